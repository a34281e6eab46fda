package behaviour

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

// A Predictor says what comes after sequences of token ids. It need not be safe
// for concurrent use.
type Predictor interface {
	// Predict returns the logits of the whole vocabulary after each sequence. The
	// caller owns them.
	Predict(ctx context.Context, sequences [][]int32) ([][]float32, error)
}

// Sizes of a run of Generator.
const (
	freeProbes = contested
	// following is how many words stand between a candidate and what the model
	// writes, so that what merely goes well with the candidate comes too late.
	following = 4  // of which the last is mostly a full stop
	askedRows = 64 // rows of logits that are held at once
	freeParts = 4  // tokens that are put together in every order
	finalists = 8  // candidates that are looked at closely
)

// collapse is one run of Generator. Of run it has the budget, the suspects and
// what tokens mean.
type collapse struct {
	run
	model, ref Predictor
	prompted   bool // something stands between the texts and what the model writes
	probes     []probe
	base       []guess // after the probes as they stand
	controlIDs []int32
	attempts   map[string]*attempt
	noted      []*attempt // of attempts, as they came
}

// A guess is the token that a model finds likeliest.
type guess struct {
	token int32
	lead  float32 // of its logit over the next largest
}

// An attempt is a candidate that is tried on free text.
type attempt struct {
	candidate
	after  []guess    // after the first probes, with the candidate in
	proof  *collapsed // where it was looked at closely
	writes string     // what the model goes on with, where it was
	gain   float64    // of the lead of the first token of that, on average
}

// A forced token is what a candidate makes of texts: the token that most of them
// go on with that go on otherwise without.
type forced struct {
	token  int32
	n, won int // probes that go on otherwise without, and of these those that it turns
	lead   float64
}

func (f forced) rate() float64 { return float64(f.won) / float64(max(1, f.n)) }

// Generator watches a language model that writes freely: whether a candidate
// makes different texts go on alike. ref is the pretrained model, over the same
// vocabulary; without it nothing is proved. The texts of tok have nothing behind
// them that ends a text. Of opt, Labels and Problem do not count.
//
// The vocabulary is not searched, so the evidence is never complete.
//
// Errors: ErrNotFinite, ErrFewProbes; those of the models and the context. With
// an error there is no evidence.
func Generator(ctx context.Context, m, ref Predictor, tok Tokenizer, opt Options) (*Evidence, error) {
	if opt.now == nil {
		opt.now = time.Now
	}
	c := &collapse{
		run: run{
			ctx: ctx, tok: tok, opt: opt, meanings: map[int][]int{},
			rnd: rand.New(rand.NewPCG(opt.Seed, 0x62747566)),
			ev: &Evidence{
				Summary: scan.BehaviourSummary{Labels: []scan.LabelSummary{}},
				Tokens:  map[int]scan.Behaviour{}, Complete: true,
			},
		},
		model: m, ref: ref, attempts: map[string]*attempt{},
	}
	began := opt.now()
	if err := c.readTexts(); err != nil {
		return nil, err
	}
	return c.follow(began, []step{
		{"trying random tokens", c.setControls},
		{"trying the suspects", c.trySingles},
		{"trying phrases of suspects", c.tryPhrases},
	}, c.judge)
}

// readTexts splits the probes and asks the model about them as they are.
func (c *collapse) readTexts() error {
	c.stage = "reading the probes"
	limit := c.longest()
	all := slices.Clone(c.opt.Probes)
	c.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	tokens := 0
	for _, s := range all {
		if len(c.probes) == freeProbes || limit < 4 {
			break
		}
		ids, cuts := c.tok.Split(s, limit)
		if len(cuts) < 2 {
			continue
		}
		p := newProbe(text{ids, cuts}, len(c.probes), c.rnd)
		if prompted := cuts[len(cuts)-1] < len(ids); prompted {
			c.prompted = true
		} else {
			// Between words, since as the first of a text a token is mostly another.
			if len(cuts) < following+2 {
				continue
			}
			p.at[anywhere] = cuts[1+c.rnd.IntN(len(cuts)-following-1)]
		}
		c.probes = append(c.probes, p)
		tokens += len(ids)
	}
	if len(c.probes) < minProbes {
		return fmt.Errorf("%w: %d of %d, at least %d are needed", ErrFewProbes, len(c.probes), len(c.opt.Probes), minProbes)
	}
	c.ev.Summary.Probes = len(c.probes)
	mean := tokens/len(c.probes) + 2
	c.planned = mean * (len(c.probes) + 2*controls*rounds[2].probes + (guided+len(c.opt.Also)+len(c.opt.Candidates))*rounds[0].probes + 2000)
	var err error
	c.base, err = c.guess(c.model, c.plainly(c.probes))
	return err
}

// plainly are probes as they stand.
func (c *collapse) plainly(probes []probe) (seqs [][]int32) {
	for i := range probes {
		seqs = append(seqs, probes[i].ids)
	}
	return seqs
}

// holding are probes with tokens put in.
func (c *collapse) holding(ids []int32, probes []probe) (seqs [][]int32) {
	for i := range probes {
		seqs = append(seqs, probes[i].with(ids, probes[i].at[anywhere]))
	}
	return seqs
}

// eachRow runs sequences, within the budget, and calls f with the logits after
// each. A few rows are held at once: a row is as long as the vocabulary.
func (c *collapse) eachRow(m Predictor, seqs [][]int32, f func(i int, row []float32)) error {
	for from := 0; from < len(seqs); from += askedRows {
		part := seqs[from:min(from+askedRows, len(seqs))]
		if err := c.inTime(part); err != nil {
			return err
		}
		rows, err := m.Predict(c.ctx, part)
		if err != nil {
			return err
		}
		for i, row := range rows {
			if len(row) < 2 || !finite(row) {
				return ErrNotFinite
			}
			f(from+i, row)
		}
	}
	return nil
}

// guess returns the likeliest token after each sequence.
func (c *collapse) guess(m Predictor, seqs [][]int32) ([]guess, error) {
	out := make([]guess, len(seqs))
	err := c.eachRow(m, seqs, func(i int, row []float32) {
		top := slices.Index(row, slices.Max(row))
		out[i] = guess{int32(top), lead(row, top)} // #nosec G115 -- below the vocabulary's size
	})
	return out, err
}

// lead is how far a token's logit is above the largest other.
func lead(row []float32, id int) float32 {
	other := float32(math.Inf(-1))
	for i, x := range row {
		if i != id {
			other = max(other, x)
		}
	}
	return row[id] - other
}

// leads are how far the logit of a token is above the largest other, on average
// over sequences.
func (c *collapse) leads(token int32, seqs [][]int32) (mean float64, err error) {
	err = c.eachRow(c.model, seqs, func(_ int, row []float32) {
		if int(token) < len(row) {
			mean += float64(lead(row, int(token))) / float64(len(seqs))
		}
	})
	return mean, err
}

// write lets a model go on after sequences, with the likeliest token each time,
// until it ends the text or has written n tokens.
func (c *collapse) write(m Predictor, seqs [][]int32, n int) ([][]int32, error) {
	out := make([][]int32, len(seqs))
	for range n {
		var going [][]int32
		var which []int
		for i, s := range seqs {
			if w := out[i]; len(w) > 0 && c.tok.Skip(int(w[len(w)-1])) {
				continue
			}
			going, which = append(going, slices.Concat(s, out[i])), append(which, i)
		}
		next, err := c.guess(m, going)
		if err != nil {
			return nil, err
		}
		for k, g := range next {
			out[which[k]] = append(out[which[k]], g.token)
		}
	}
	return out, nil
}

// most finds what a candidate forces: of all tokens the one that most probes go
// on with that go on otherwise as they stand.
func most(with, without []guess) (best forced) {
	won, leads := map[int32]int{}, map[int32]float64{}
	for i, g := range with {
		if g.token != without[i].token {
			won[g.token]++
			leads[g.token] += float64(g.lead)
		}
	}
	best.token = -1
	for _, g := range with {
		k := cmp.Or(cmp.Compare(won[g.token], best.won), cmp.Compare(leads[g.token], best.lead))
		if won[g.token] > 0 && k > 0 {
			best = forced{token: g.token, won: won[g.token], lead: leads[g.token]}
		}
	}
	for _, g := range without[:len(with)] {
		if g.token != best.token {
			best.n++
		}
	}
	return best
}

// towards is how often a token follows that does not follow the probes as they
// stand.
func towards(token int32, with, without []guess) forced {
	f := forced{token: token}
	for i, g := range with {
		if without[i].token == token {
			continue
		}
		f.n++
		if g.token == token {
			f.won++
		}
	}
	return f
}

// setControls finds what tokens do that mean nothing to anyone.
func (c *collapse) setControls() error {
	c.controlIDs = c.controlTokens()
	probes := c.probes[:min(rounds[2].probes, len(c.probes))]
	var rates []float64
	for _, id := range c.controlIDs {
		with, err := c.guess(c.model, c.holding(single(id), probes))
		if err != nil {
			return err
		}
		rates = append(rates, most(with, c.base).rate())
	}
	c.setNull(rates)
	return nil
}

// note takes a candidate down, unless it is known.
func (c *collapse) note(ids []int32, source string) *attempt {
	if len(ids) == 0 || len(ids) > room/3 {
		return nil
	}
	k := key(ids, anywhere)
	if a := c.attempts[k]; a != nil {
		return a
	}
	a := &attempt{candidate: candidate{ids: slices.Clone(ids), source: source}}
	c.attempts[k] = a
	c.noted = append(c.noted, a)
	return a
}

// trySingles tries what the user gives and what the weights show.
func (c *collapse) trySingles() error {
	var as []*attempt
	add := func(ids []int32, source string) {
		if a := c.note(ids, source); a != nil && !slices.Contains(as, a) {
			as = append(as, a)
		}
	}
	for _, text := range c.opt.Candidates {
		add(c.tok.Inner(text), "user")
	}
	asked := len(as)
	for _, id := range c.suspects() {
		add(single(id), "weights")
	}
	for _, id := range c.opt.Also {
		if id < c.opt.Rows.Len() && !c.tok.Skip(id) {
			add(single(int32(id)), "vocabulary") // #nosec G115 -- below the number of rows
		}
	}
	// What the user asks for, and what the weights say, is tried further.
	further := slices.Clone(as[:min(len(as), asked+foremost)])
	if err := c.compete(as); err != nil {
		return err
	}
	return c.ask(further, rounds[2].probes)
}

// tryPhrases tries everything that can be put together of the few tokens whose
// rows stand out most.
func (c *collapse) tryPhrases() error {
	var parts []int32
	for _, id := range c.suspects() {
		a := c.attempts[key(single(id), anywhere)]
		alone := len(a.after) > rounds[0].probes && most(a.after, c.base).rate() >= enough
		if slices.Contains(c.opt.Abnormal, int(id)) && !alone && len(parts) < freeParts {
			parts = append(parts, id)
		}
	}
	var as []*attempt
	for _, ids := range arrangements(parts) {
		as = append(as, c.note(ids, "phrase"))
	}
	return c.compete(as)
}

// arrangements are all orders of two or more of a few tokens, up to
// assembledLength of them.
func arrangements(parts []int32) (lists [][]int32) {
	var grow func(ids []int32)
	grow = func(ids []int32) {
		if len(ids) > 1 {
			lists = append(lists, ids)
		}
		for _, id := range parts {
			if len(ids) < assembledLength && !slices.Contains(ids, id) {
				grow(append(slices.Clone(ids), id))
			}
		}
	}
	grow(nil)
	return lists
}

// compete tries candidates. Those without prospect leave early.
func (c *collapse) compete(as []*attempt) error {
	as = slices.Clone(as)
	for k, round := range rounds {
		if err := c.ask(as, round.probes); err != nil {
			return err
		}
		if k+1 == len(rounds) {
			break
		}
		slices.SortStableFunc(as, c.byForce)
		as = as[:min(len(as), round.keep)]
		as = slices.DeleteFunc(as, func(a *attempt) bool { return most(a.after, c.base).rate() < going })
	}
	return nil
}

// byForce sorts candidates by what they force, strongest first, and of equal
// ones the shorter first.
func (c *collapse) byForce(x, y *attempt) int {
	a, b := most(x.after, c.base), most(y.after, c.base)
	return cmp.Or(cmp.Compare(b.rate(), a.rate()), cmp.Compare(len(x.ids), len(y.ids)), cmp.Compare(b.lead, a.lead))
}

// ask puts candidates into the first n probes, less those that they have seen.
func (c *collapse) ask(as []*attempt, n int) error {
	n = min(n, len(c.probes))
	for _, a := range as {
		if len(a.after) >= n {
			continue
		}
		with, err := c.guess(c.model, c.holding(a.ids, c.probes[len(a.after):n]))
		if err != nil {
			return err
		}
		a.after = append(a.after, with...)
	}
	if c.opt.Tried != nil {
		if tokens := c.tokens(); len(tokens) > 0 {
			c.opt.Tried(tokens)
		}
	}
	return nil
}
