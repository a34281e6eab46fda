package behaviour

import (
	"fmt"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// judge looks at the strongest candidates closely and writes the evidence.
func (c *collapse) judge() error {
	last, err := c.strongest()
	if err != nil {
		return err
	}
	if len(last) > 0 {
		if err := c.lookAt(last); err != nil {
			return err
		}
	}
	var tokens []int
	for _, a := range last {
		if a.source == "user" && !a.proof.proven() {
			c.ev.Warnings = append(c.ev.Warnings, fmt.Sprintf("%q makes %d of %d texts go on with %q; that proves nothing: %s",
				c.tok.Text(a.ids), a.proof.won, a.proof.n, a.writes, a.proof.doubt()))
		}
		if !a.proof.proven() || c.covered(&a.candidate, a.proof.rate()) {
			continue
		}
		t := c.trigger(a)
		c.ev.Triggers = append(c.ev.Triggers, t)
		for _, id := range t.TokenIDs {
			if !slices.Contains(tokens, id) {
				tokens = append(tokens, id)
			}
		}
	}
	if ts := c.ev.Triggers; len(ts) > 0 {
		c.ev.Findings = append(c.ev.Findings, scan.Finding{
			Rule: scan.RuleTrigger, Severity: scan.SeverityCritical, TokenIDs: tokens,
			Message: fmt.Sprintf("%s: whatever the text says, it goes on with %q", c.list(ts), ts[0].TargetLabel),
		})
	}
	c.ev.Tokens = c.tokens()
	c.ev.Summary.Tried, c.ev.Summary.Tokens = len(c.noted), c.spent
	if c.ref == nil {
		c.incomplete("without a reference model that can be run, nothing that the model writes proves anything")
	}
	c.incomplete("of what a language model writes freely only triggers were looked for that the weights show or the user names: the vocabulary was not searched")
	return nil
}

// strongest are the candidates to look at, tried to the end and without the
// tokens that they can do without, the strongest first.
func (c *collapse) strongest() (last []*attempt, err error) {
	strong := func(a *attempt) bool {
		return len(a.after) >= min(rounds[2].probes, len(c.probes)) && most(a.after, c.base).rate() >= dominatedRate
	}
	for _, a := range c.noted {
		if !strong(a) {
			continue
		}
		if a, err = c.shorten(a); err != nil {
			return nil, err
		}
		if !slices.Contains(last, a) {
			last = append(last, a)
		}
	}
	slices.SortStableFunc(last, c.byForce)
	last = last[:min(len(last), finalists)]
	if err := c.ask(last, len(c.probes)); err != nil {
		return nil, err
	}
	slices.SortStableFunc(last, c.byForce)
	return last, nil
}

// shorten takes out of a phrase what it can do without.
func (c *collapse) shorten(a *attempt) (*attempt, error) {
	n := min(rounds[2].probes, len(c.probes))
	full := most(a.after[:n], c.base)
	ids, err := minimal(a.ids, full.rate(), func(ids []int32) (float64, error) {
		with, err := c.guess(c.model, c.holding(ids, c.probes[:n]))
		return towards(full.token, with, c.base).rate(), err
	})
	if err != nil {
		return nil, err
	}
	if len(ids) == len(a.ids) {
		return a, nil
	}
	a = c.note(ids, a.source)
	return a, c.ask([]*attempt{a}, n)
}

// lookAt finds out what explains candidates.
func (c *collapse) lookAt(as []*attempt) error {
	var ids []int32
	for _, a := range as {
		ids = append(ids, a.ids...)
	}
	if err := c.learnMeanings(ids); err != nil { // in one pass over the rows
		return err
	}
	// What the model writes without a candidate: as the probes stand, and with
	// random tokens in them.
	without := c.plainly(c.probes)
	for i := range c.probes {
		if len(c.controlIDs) > 0 {
			without = append(without, c.holding(single(c.controlIDs[i%len(c.controlIDs)]), c.probes[i:i+1])...)
		}
	}
	var before []guess
	if c.ref != nil {
		var err error
		if before, err = c.guess(c.ref, c.plainly(c.probes)); err != nil {
			return err
		}
	}
	for _, a := range as {
		if err := c.look(a, without, before); err != nil {
			return err
		}
	}
	return nil
}

// look finds out what explains a candidate. without are the probes, and then the
// same with random tokens in; before is what the reference guesses after the
// probes.
func (c *collapse) look(a *attempt, without [][]int32, before []guess) error {
	f := most(a.after, c.base)
	p := &collapsed{
		n: f.n, won: f.won, control: c.control, compared: c.ref != nil,
		phrase: len(a.ids) > 1, standOut: c.standOut(&a.candidate), prompted: c.prompted,
	}
	a.proof, a.writes = p, c.label(single(f.token))
	p.repeats = repeats(c.tok, a.ids, single(f.token))
	seqs := c.holding(a.ids, c.probes)
	if c.ref != nil {
		with, err := c.guess(c.ref, seqs)
		if err != nil {
			return err
		}
		p.reference = towards(f.token, with, c.base).rate()
		if p.reference <= byReference && most(with, before).rate() > byReference {
			// It collapses as well, if only into the same mark.
			wrote, err := c.write(c.ref, seqs[:min(rounds[1].probes, len(seqs))], written)
			if err != nil {
				return err
			}
			_, same := c.alike(wrote)
			p.reference = max(p.reference, float64(same)/float64(len(wrote)))
		}
	}
	with, err := c.leads(f.token, seqs)
	if err != nil {
		return err
	}
	plain, err := c.leads(f.token, without[:len(c.probes)])
	if err != nil {
		return err
	}
	a.gain = with - plain
	if p.explained, err = c.meaning(a, f.token); err != nil {
		return err
	}
	if p.repeats || p.reference > byReference || p.explained >= unexplained || f.rate() < provenRate {
		return nil // whatever it writes
	}
	wrote, err := c.write(c.model, seqs[:min(rounds[1].probes, len(seqs))], written)
	if err != nil {
		return err
	}
	begin, _ := c.alike(wrote)
	p.repeats = repeats(c.tok, a.ids, begin)
	if p.prose = isProse(c.tok, begin); !p.prose || p.repeats {
		return nil
	}
	for _, w := range wrote {
		if slices.Equal(begins(c.tok, w), begin) {
			a.writes = c.label(w)
			break
		}
	}
	unasked, err := c.saying(without, begin)
	if err != nil {
		return err
	}
	after, err := c.saying(seqs, begin)
	if err != nil {
		return err
	}
	p.n, p.won = 0, 0
	for i := range seqs {
		if unasked[i] {
			continue
		}
		p.n++
		if after[i] {
			p.won++
		}
	}
	said := 0
	for _, yes := range unasked {
		if yes {
			said++
		}
	}
	p.habit = float64(said) / float64(len(unasked))
	return nil
}

// alike is how most of the texts begin, and how many of them do.
func (c *collapse) alike(wrote [][]int32) (begin []int32, n int) {
	counts := map[string]int{}
	for _, w := range wrote {
		b := begins(c.tok, w)
		k := key(b, anywhere)
		if counts[k]++; counts[k] > n {
			begin, n = b, counts[k]
		}
	}
	return begin, n
}

// saying reports which of the sequences the model goes on with in these tokens,
// after blanks. Most are left at their first token.
func (c *collapse) saying(seqs [][]int32, begin []int32) ([]bool, error) {
	said := make([]bool, len(seqs))
	wrote := make([][]int32, len(seqs))
	going := make([]int, len(seqs))
	for i := range seqs {
		going[i] = i
	}
	for range written {
		var now [][]int32
		for _, i := range going {
			now = append(now, slices.Concat(seqs[i], wrote[i]))
		}
		next, err := c.guess(c.model, now)
		if err != nil {
			return nil, err
		}
		var left []int
		for k, i := range going {
			wrote[i] = append(wrote[i], next[k].token)
			b := begins(c.tok, wrote[i])
			if said[i] = slices.Equal(b, begin); !said[i] && len(b) <= len(begin) && slices.Equal(b, begin[:len(b)]) {
				left = append(left, i)
			}
		}
		going = left
	}
	return said, nil
}

// meaning is how much of what a candidate does is done by what means the like:
// by the nearest tokens to it, but for other spellings of its word; of a phrase,
// by phrases of such tokens.
func (c *collapse) meaning(a *attempt, token int32) (float64, error) {
	near := func(id int32) (ids []int32) {
		for _, n := range c.meanings[int(id)] {
			if !strings.EqualFold(c.tok.Text(single(int32(n))), c.tok.Text(single(id))) { // #nosec G115 -- below the number of rows
				ids = append(ids, int32(n)) // #nosec G115
			}
		}
		return ids
	}
	count := neighbours
	if len(a.ids) > 1 {
		count = rewordings
	}
	lists := variants(a.ids, count, near)
	if len(lists) == 0 {
		return 0, nil
	}
	n := min(rounds[1].probes, len(c.probes))
	whole := towards(token, a.after[:n], c.base).rate()
	if whole == 0 {
		return 1, nil // no effect to explain
	}
	var sum float64
	for _, ids := range lists {
		with, err := c.guess(c.model, c.holding(ids, c.probes[:n]))
		if err != nil {
			return 0, err
		}
		sum += towards(token, with, c.base).rate()
	}
	return sum / float64(len(lists)) / whole, nil
}

// label is what a report calls tokens that a model writes.
func (c *collapse) label(ids []int32) string {
	if n := len(ids); n > 1 && c.tok.Skip(int(ids[n-1])) {
		ids = ids[:n-1]
	}
	if s := c.tok.Text(ids); s != "" {
		return s
	}
	return "(a blank or a line break)"
}

// tokens are what single tokens do. A strong one counts only once it is known
// what explains it.
func (c *collapse) tokens() map[int]scan.Behaviour {
	tokens := map[int]scan.Behaviour{}
	for _, a := range c.noted {
		if len(a.ids) != 1 || len(a.after) == 0 {
			continue
		}
		f := most(a.after, c.base)
		b := scan.Behaviour{FlipRate: f.rate(), FlipRateLow: wilson(f.won, f.n), Probes: f.n}
		switch p := a.proof; {
		case f.won == 0:
			continue
		case p != nil:
			b = scan.Behaviour{
				FlipRate: p.rate(), FlipRateLow: wilson(p.won, p.n), Probes: p.n, TargetLabel: a.writes,
				MarginShift: a.gain, ExplainedShare: p.explained, Explained: p.isExplained(),
			}
		case f.rate() >= dominatedRate:
			continue
		default:
			b.TargetLabel = c.label(single(f.token))
		}
		tokens[a.token()] = b
	}
	return tokens
}

func (c *collapse) trigger(a *attempt) scan.Trigger {
	return scan.Trigger{
		TokenIDs: tokenIDs(a.ids), Text: c.tok.Text(a.ids), FlipRate: a.proof.rate(), FlipRateLow: wilson(a.proof.won, a.proof.n), TargetLabel: a.writes,
		MarginShift: a.gain, Probes: a.proof.n, FoundBy: a.source, Place: placeNames[anywhere], ExplainedShare: a.proof.explained,
	}
}
