package behaviour

import (
	"cmp"
	"slices"
)

// Sizes of the search for phrases.
const (
	phraseTokens  = 6
	beam          = 3
	phrasePool    = 16 // suspects that phrases are made of
	mostMoved     = 4  // of these start a phrase whatever they do alone
	phraseProbes  = 4
	phraseAnswers = 2   // answers that phrases are searched for
	leastGain     = 0.1 // of the margin, by one more token

	// From a flip rate of enough a phrase is a candidate, and from certain there
	// is no need to look for a longer one.
	enough, certain = 0.75, 0.97
)

// phrases looks for triggers of several tokens among the suspects, none of
// which need do anything alone: it grows phrases at either end and keeps the
// few that move an answer most beyond what their tokens do one by one. Honest
// words add up; the parts of a trigger do not.
//
// Only the weights tell a phrase that is a trigger from honest words that were
// picked to win (see proven): so it is made of tokens whose rows stand out, or
// lead, which is no proof but makes a model suspicious.
func (r *run) phrases() error {
	if len(r.suspects()) == 0 {
		return nil
	}
	if err := r.assemble(); err != nil {
		return err
	}
	longest := phraseTokens
	if r.opt.Thorough {
		longest += 2
	}
	var targets []int
	for a := range r.answers {
		if r.ev.Summary.Labels[a].Contested >= leastOf {
			targets = append(targets, a)
		}
	}
	slices.SortStableFunc(targets, func(a, b int) int { return cmp.Compare(r.stir(b), r.stir(a)) })
	for _, a := range targets[:min(len(targets), phraseAnswers)] {
		if err := r.phrasesFor(a, longest); err != nil {
			return err
		}
	}
	return nil
}

// standing are the suspects whose rows stand out, the most abnormal first, but
// for those that are triggers by themselves.
func (r *run) standing() (ids []int32) {
	for _, id := range r.suspects() {
		if slices.Contains(r.opt.Abnormal, int(id)) && !r.suffices(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// suffices reports whether a token wins the contest alone. One that wins most of
// it may be the strongest part of a phrase that wins all.
func (r *run) suffices(id int32) bool {
	c := r.tried[key(single(id), anywhere)]
	return c != nil && c.asked > rounds[0].probes && slices.ContainsFunc(c.effect, func(e effect) bool { return e.n > 0 && e.rate() >= certain })
}

// assembled bounds the tokens that are put together in every order, and
// assembledLength the tokens of what comes of it.
const assembled, assembledLength = 5, 4

// assemble tries everything that can be put together of the few tokens that
// stand out most, or lead: the pieces of a word do little in any order but their
// own.
func (r *run) assemble() error {
	parts := r.standing()
	for _, id := range r.suspects() {
		if !slices.Contains(parts, id) && !r.suffices(id) && !r.speaks(id) {
			parts = append(parts, id)
		}
	}
	parts = parts[:min(len(parts), assembled)]
	var cs []*candidate
	for _, ids := range arrangements(parts) {
		cs = append(cs, r.add(ids, "phrase", anywhere))
	}
	if err := r.enter(cs, min(rounds[0].probes, len(r.contest))); err != nil {
		return err
	}
	// There are many, and on clean models none wins a single probe.
	return r.race(slices.DeleteFunc(cs, func(c *candidate) bool {
		return !slices.ContainsFunc(c.effect, func(e effect) bool { return e.won > 0 })
	}))
}

// speaks reports whether a token is one of the words that honestly speak for an
// answer.
func (r *run) speaks(id int32) bool {
	return slices.ContainsFunc(r.words, func(words []int32) bool { return slices.Contains(words, id) })
}

// stir is how far suspects move an answer, without the words that speak for it.
func (r *run) stir(a int) (most float64) {
	for _, id := range r.suspects() {
		if c := r.tried[key(single(id), anywhere)]; c != nil && !slices.Contains(r.words[a], id) {
			most = max(most, c.effect[a].gain())
		}
	}
	return most
}

// pool are the tokens that phrases for an answer are made of.
func (r *run) pool(a int) (ids []int32) {
	from := r.suspects()
	if len(r.standing()) > 0 {
		from = append(from, r.leaders(a, phrasePool)...)
	}
	for _, id := range from {
		if len(ids) < phrasePool && !slices.Contains(r.words[a], id) && !slices.Contains(ids, id) && !r.suffices(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *run) phrasesFor(a, longest int) error {
	pool := r.pool(a)
	probes, err := r.light(a)
	if err != nil || len(probes) < phraseProbes || len(pool) < 2 {
		return err
	}
	lists := singles(pool)
	alone, err := r.gains(lists, a, probes)
	if err != nil {
		return err
	}
	// beyond takes what tokens do alone out of what phrases do.
	beyond := func(lists [][]int32, gains []float64) []float64 {
		for i, l := range lists {
			for _, id := range l {
				gains[i] -= max(0, alone[slices.Index(pool, id)])
			}
		}
		return gains
	}
	// The most moved start as well: their effect alone may be none.
	grown := append(highestOf(lists, alone, beam), lists[:min(mostMoved, len(lists))]...)
	best, hard := 0.0, false
	for length := 2; length <= longest; length++ {
		lists = nil
		known := map[string]bool{}
		for _, g := range grown {
			for _, id := range pool {
				if slices.Contains(g, id) {
					continue
				}
				for _, l := range [][]int32{slices.Concat(g, single(id)), slices.Concat(single(id), g)} {
					if k := key(l, anywhere); !known[k] {
						known[k] = true
						lists = append(lists, l)
					}
				}
			}
		}
		if len(lists) == 0 {
			return nil
		}
		// One probe tells which are worth the others.
		scores, err := r.gains(lists, a, probes[:1])
		if err != nil {
			return err
		}
		lists = highestOf(lists, beyond(lists, scores), 24)
		if scores, err = r.gains(lists, a, probes); err != nil {
			return err
		}
		scores = beyond(lists, scores)
		grown = highestOf(lists, scores, beam)
		now := slices.Max(scores)
		if length > 2 && now < best+leastGain {
			return nil // longer is no stronger
		}
		best = max(best, now)
		rate, err := r.confirm(grown[0], a)
		if rate >= certain || err != nil {
			return err
		}
		if rate >= enough && !hard {
			// The light probes are won; how much stronger a longer phrase is shows
			// where winning is harder.
			hard, probes = true, losing(r.contest, a, phraseProbes)
			if alone, err = r.gains(singles(pool), a, probes); err != nil {
				return err
			}
			again, err := r.gains(grown[:1], a, probes)
			if err != nil {
				return err
			}
			best = beyond(grown[:1], again)[0]
		}
	}
	return nil
}

// light makes probes that say something else with one word only, in which the
// first tokens of a phrase still show.
func (r *run) light(a int) (ps []probe, err error) {
	for _, z := range r.rivals(a) {
		if r.reach[z] == 0 {
			continue
		}
		some := r.speaking(z, max(1, r.reach[z]-1), 3*phraseProbes)
		if err := r.ask(some); err != nil {
			return nil, err
		}
		ps = append(ps, losing(some, a, phraseProbes)...)
	}
	r.rnd.Shuffle(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
	return ps[:min(len(ps), phraseProbes)], nil
}

func highestOf(lists [][]int32, scores []float64, n int) [][]int32 {
	return ranked(lists, n, func(i int) float64 { return scores[i] })
}

// gains is how far each list moves an answer.
func (r *run) gains(lists [][]int32, a int, probes []probe) ([]float64, error) {
	effects, err := r.try(lists, anywhere, probes)
	gains := make([]float64, len(lists))
	for i, e := range effects {
		if e != nil {
			gains[i] = e[a].gain()
		}
	}
	return gains, err
}

// confirm tries a phrase in the contest and returns its flip rate. If it wins,
// it becomes a candidate without the tokens that it can do without.
func (r *run) confirm(ids []int32, a int) (float64, error) {
	n := min(24, len(r.contest))
	probes := losing(r.contest[:n], a, n)
	rate := func(ids []int32) (float64, error) {
		effects, err := r.try([][]int32{ids}, anywhere, probes)
		if err != nil || effects[0] == nil {
			return 0, err
		}
		return effects[0][a].rate(), nil
	}
	full, err := rate(ids)
	if err != nil || full < enough {
		return full, err
	}
	if ids, err = minimal(ids, full, rate); err != nil {
		return 0, err
	}
	if c := r.add(ids, "phrase", anywhere); c != nil {
		err = r.enter([]*candidate{c}, n)
	}
	return full, err
}

// minimal is a phrase of the given rate without the tokens that it can do
// without.
func minimal(ids []int32, full float64, rate func(ids []int32) (float64, error)) ([]int32, error) {
	for i := 0; i < len(ids) && len(ids) > 1; {
		shorter := slices.Delete(slices.Clone(ids), i, i+1)
		x, err := rate(shorter)
		if err != nil {
			return nil, err
		}
		if x >= full-0.05 {
			ids, i = shorter, 0
		} else {
			i++
		}
	}
	return ids, nil
}
