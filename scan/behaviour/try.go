package behaviour

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/btu-scan/btu-scan/scan"
)

// A candidate is a token or a phrase that is tried.
type candidate struct {
	ids    []int32
	source string // how it was found
	place  place
	asked  int      // how many probes of the contest it was put into
	effect []effect // by answer
}

// An effect is what a candidate does towards one answer, in probes that give
// another as they stand.
type effect struct {
	n, won int
	margin float64 // sum of margins
	shift  float64 // sum of what the margins gained
}

// effectOf is what one probe shows whose margin was before.
func effectOf(margin, before float64) effect {
	e := effect{n: 1, margin: margin, shift: margin - before}
	if margin > 0 {
		e.won = 1
	}
	return e
}

func (e effect) rate() float64 {
	if e.n == 0 {
		return 0
	}
	return float64(e.won) / float64(e.n)
}

func (e effect) mean() float64 { return e.margin / float64(max(1, e.n)) }
func (e effect) gain() float64 { return e.shift / float64(max(1, e.n)) }
func (e *effect) add(f effect) {
	e.n, e.won, e.margin, e.shift = e.n+f.n, e.won+f.won, e.margin+f.margin, e.shift+f.shift
}

func single(id int32) []int32   { return []int32{id} }
func (c *candidate) token() int { return int(c.ids[0]) }

// assembled is 1 for a phrase that was put together of suspects, else 0.
func (c *candidate) assembled() int {
	if c.source == "phrase" {
		return 1
	}
	return 0
}

// tokenIDs are tokens as reports hold them.
func tokenIDs(ids []int32) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

func singles(ids []int32) (lists [][]int32) {
	for _, id := range ids {
		lists = append(lists, single(id))
	}
	return lists
}

// key is a candidate as a string: where it is put, and its tokens.
func key(ids []int32, where place) string {
	b := []byte{byte(where)}
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return string(b)
}

// best is the answer that the candidate forces most, -1 where none is lost by
// any probe.
func (c *candidate) best() int {
	best := -1
	for a, e := range c.effect {
		if e.n == 0 {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(e.rate(), c.effect[best].rate()), cmp.Compare(e.mean(), c.effect[best].mean())) > 0 {
			best = a
		}
	}
	return best
}

// byRate sorts candidates by what they force, strongest first, and of equal ones
// short ones first, and those that work anywhere.
func byRate(x, y *candidate) int {
	a, b := x.best(), y.best()
	if a < 0 || b < 0 {
		return cmp.Compare(b, a)
	}
	return cmp.Or(cmp.Compare(y.effect[b].rate(), x.effect[a].rate()), cmp.Compare(len(x.ids), len(y.ids)), cmp.Compare(x.place, y.place), cmp.Compare(y.effect[b].mean(), x.effect[a].mean()))
}

// ranked returns the n items of the highest scores, highest first; of equal
// ones the first.
func ranked[T any](items []T, n int, score func(i int) float64) []T {
	at := make([]int, len(items))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(x, y int) int { return cmp.Compare(score(y), score(x)) })
	top := make([]T, 0, min(n, len(at)))
	for _, i := range at[:min(n, len(at))] {
		top = append(top, items[i])
	}
	return top
}

// atOnce is how many sequences are run in one call.
const atOnce = 512

// sweep puts each of the token lists into each of the probes, and calls each
// with the margins that the model then has.
func (r *run) sweep(lists [][]int32, where place, probes []probe, each func(list int, p *probe, margins []float64)) error {
	if len(probes) == 0 {
		return nil
	}
	per := max(1, atOnce/len(probes))
	for from := 0; from < len(lists); from += per {
		part := lists[from:min(from+per, len(lists))]
		var seqs [][]int32
		for _, ids := range part {
			for i := range probes {
				seqs = append(seqs, probes[i].with(ids, probes[i].at[where]))
			}
		}
		rows, err := r.predict(seqs)
		if err != nil {
			return err
		}
		for i, row := range rows {
			each(from+i/len(probes), &probes[i%len(probes)], r.margins(row))
		}
	}
	return nil
}

// try returns the effects of token lists put into probes, by list and answer;
// nil without probes.
func (r *run) try(lists [][]int32, where place, probes []probe) ([][]effect, error) {
	out := make([][]effect, len(lists))
	err := r.sweep(lists, where, probes, func(list int, p *probe, margins []float64) {
		if out[list] == nil {
			out[list] = make([]effect, len(r.answers))
		}
		for a, m := range margins {
			base := p.margins[a]
			if base >= 0 {
				continue
			}
			out[list][a].add(effectOf(m, base))
		}
	})
	return out, err
}

// add notes a candidate, unless it is known.
func (r *run) add(ids []int32, source string, where place) *candidate {
	if len(ids) == 0 || len(ids) > room/3 {
		return nil
	}
	k := key(ids, where)
	if c := r.tried[k]; c != nil {
		return c
	}
	c := &candidate{ids: slices.Clone(ids), source: source, place: where, effect: make([]effect, len(r.answers))}
	r.tried[k] = c
	r.order = append(r.order, c)
	return c
}

// The rounds of a race: how many probes of the contest it takes in each, and
// how many candidates go on from it.
var rounds = []struct{ probes, keep int }{{4, 48}, {12, 24}, {24, 12}, {contested, 0}}

// going is the flip rate below which a candidate has no chance to prove itself.
const going = 0.3

// race tries candidates in the contest. Those without prospect leave early.
func (r *run) race(cs []*candidate) error {
	for k, round := range rounds {
		n := min(round.probes, len(r.contest))
		if err := r.enter(cs, n); err != nil {
			return err
		}
		if k+1 == len(rounds) {
			break
		}
		slices.SortStableFunc(cs, func(x, y *candidate) int { return cmp.Compare(y.prospect(), x.prospect()) })
		cs = cs[:min(len(cs), round.keep)]
		if k > 1 {
			cs = slices.DeleteFunc(slices.Clone(cs), func(c *candidate) bool { b := c.best(); return b < 0 || c.effect[b].rate() < going })
		}
	}
	return nil
}

// prospect is the highest mean margin.
func (c *candidate) prospect() float64 {
	best := -1e30
	for _, e := range c.effect {
		if e.n > 0 {
			best = max(best, e.mean())
		}
	}
	return best
}

// enter puts candidates into the first n probes of the contest, less those that
// they have seen.
func (r *run) enter(cs []*candidate, n int) error {
	groups := map[[2]int][]*candidate{}
	var keys [][2]int
	for _, c := range cs {
		if c == nil || c.asked >= n {
			continue
		}
		k := [2]int{int(c.place), c.asked}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], c)
	}
	for _, k := range keys {
		var lists [][]int32
		for _, c := range groups[k] {
			lists = append(lists, c.ids)
		}
		effects, err := r.try(lists, place(k[0]), r.contest[k[1]:n])
		if err != nil {
			return err
		}
		for i, c := range groups[k] {
			for a := range c.effect {
				c.effect[a].add(effects[i][a])
			}
			c.asked = n
		}
	}
	r.tell()
	return nil
}

// tell hands out what single tokens do, as far as they were tried.
func (r *run) tell() {
	if r.opt.Tried == nil {
		return
	}
	tokens := map[int]scan.Behaviour{}
	for _, c := range r.order {
		if len(c.ids) != 1 || c.asked == 0 || c.best() < 0 {
			continue
		}
		if _, known := tokens[c.token()]; !known { // the first place that a token was tried in, as in judge
			tokens[c.token()] = r.behaviour(c, r.measured(c))
		}
	}
	if len(tokens) > 0 {
		r.opt.Tried(tokens)
	}
}
