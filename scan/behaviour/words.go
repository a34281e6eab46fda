package behaviour

import (
	"cmp"
	"slices"
)

// Sizes of the search for words that speak for a label.
const (
	slotsScreened = 24 // probes whose gradients are averaged
	slotsTried    = 8
	wordsTried    = 96 // per answer, with few answers
	wordsKept     = 12
	wordsLooked   = 24 // go on to all slots
	reachShare    = 0.7
	// How closely words are asked whether their meaning explains them.
	quickProbes, quickNeighbours = 3, 5
	// explainedRatio is the share of a token's effect that its neighbours in the
	// pretrained vocabulary must have, on average, for its meaning to explain it.
	explainedRatio = 0.5
)

// fewAnswers is up to how many answers each is looked at closely.
const fewAnswers = 8

// share divides a number of tries among the answers.
func (r *run) share(n, least int) int { return max(least, n*2/max(2, len(r.answers))) }

// labelWords finds, for each answer, words that speak for it by what they
// meant before: the ones that the contest is made of. A trigger speaks for its
// label, too, but its neighbours in the pretrained vocabulary do not.
func (r *run) labelWords() error {
	r.words, r.reach = make([][]int32, len(r.answers)), make([]int, len(r.answers))
	slots := r.short(slotsScreened)
	if err := r.collect(slots, r.share(wordsTried, 24)); err != nil {
		return err
	}
	for round := 0; ; round++ {
		if err := r.measureReach(); err != nil {
			return err
		}
		if !slices.Contains(r.reach, 0) || round == 4 {
			return nil
		}
		// Words that help only together with others: look again in their company.
		if err := r.collectMore(); err != nil {
			return err
		}
	}
}

// short returns n of the shorter probes.
func (r *run) short(n int) []probe {
	ps := slices.Clone(r.plain)
	slices.SortStableFunc(ps, func(x, y probe) int { return cmp.Compare(len(x.ids), len(y.ids)) })
	ps = ps[:max(min(len(ps), n), len(ps)*2/3)]
	r.rnd.Shuffle(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
	return ps[:min(n, len(ps))]
}

// strength is the mean margin of each answer with a token in, whatever the
// probes say as they stand.
func (r *run) strength(ids []int32, probes []probe) ([][]float64, error) {
	out := make([][]float64, len(ids))
	for i := range out {
		out[i] = make([]float64, len(r.answers))
	}
	err := r.sweep(singles(ids), anywhere, probes, func(list int, _ *probe, margins []float64) {
		for a, m := range margins {
			out[list][a] += m / float64(len(probes))
		}
	})
	return out, err
}

// strongest tries tokens and returns for each answer the n that move it most.
func (r *run) strongest(ids []int32, probes []probe, n int) ([][]int32, error) {
	quick, err := r.strength(ids, probes[:min(2, len(probes))])
	if err != nil {
		return nil, err
	}
	var going []int32
	for a := range r.answers {
		for _, id := range ranked(ids, r.share(wordsLooked, n), func(i int) float64 { return quick[i][a] }) {
			if !slices.Contains(going, id) {
				going = append(going, id)
			}
		}
	}
	full, err := r.strength(going, probes)
	if err != nil {
		return nil, err
	}
	out := make([][]int32, len(r.answers))
	for a := range r.answers {
		out[a] = ranked(going, n, func(i int) float64 { return full[i][a] })
	}
	return out, nil
}

// collect finds the words of all answers in probes as they stand.
func (r *run) collect(slots []probe, n int) error {
	centres := r.neutral()
	tops, err := r.screen(func(int) []probe { return slots }, func(int) []int32 { return centres }, n)
	if err != nil {
		return err
	}
	var ids []int32
	for _, top := range append(tops, r.suspects()) {
		for _, id := range top {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	words, err := r.strongest(ids, slots[:min(slotsTried, len(slots))], 2*wordsKept)
	if err != nil {
		return err
	}
	for a := range r.answers {
		if r.words[a], err = r.honestOf(words[a], a, slots); err != nil {
			return err
		}
	}
	return nil
}

// honestOf returns those of the words that pretrained meaning explains, or all
// where it explains too few to speak for the answer.
func (r *run) honestOf(words []int32, a int, slots []probe) ([]int32, error) {
	if len(r.answers) > fewAnswers {
		return words[:min(len(words), wordsKept)], nil
	}
	if err := r.learnMeanings(words); err != nil {
		return nil, err
	}
	lost := losing(slots, a, quickProbes)
	if len(lost) < quickProbes {
		return words[:min(len(words), wordsKept)], nil
	}
	var honest []int32
	for _, id := range words {
		ratio, err := r.explain(single(id), anywhere, a, lost, quickNeighbours)
		if err != nil {
			return nil, err
		}
		if ratio >= explainedRatio {
			honest = append(honest, id)
		}
		if len(honest) == wordsKept {
			break
		}
	}
	if len(honest) < 4 {
		return words[:min(len(words), wordsKept)], nil
	}
	return honest, nil
}

// collectMore looks for further words of the answers that are not reached, in
// probes that already hold those found.
func (r *run) collectMore() error {
	slots := make([][]probe, len(r.answers))
	for a, k := range r.reach {
		if k > 0 || len(r.words[a]) == 0 {
			continue
		}
		slots[a] = r.speaking(a, min(8, len(r.words[a])), slotsScreened)
		if err := r.ask(slots[a]); err != nil {
			return err
		}
	}
	centres := r.neutral()
	tops, err := r.screen(func(a int) []probe { return slots[a] }, func(int) []int32 { return centres }, r.share(wordsTried, 24))
	if err != nil {
		return err
	}
	for a := range r.answers {
		if slots[a] == nil {
			continue
		}
		words, err := r.strongest(tops[a], slots[a][:min(slotsTried, len(slots[a]))], 4)
		if err != nil {
			return err
		}
		for _, id := range words[a] {
			if !slices.Contains(r.words[a], id) {
				r.words[a] = slices.Insert(r.words[a], 0, id)
			}
		}
		r.words[a] = r.words[a][:min(len(r.words[a]), 16)]
	}
	return nil
}

// speaking makes n probes with k of an answer's words.
func (r *run) speaking(a, k, n int) []probe {
	var ps []probe
	slots := r.short(n)
	for i := range n {
		t := slots[i%len(slots)].text
		words := slices.Clone(r.words[a])
		r.rnd.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		for _, w := range words[:min(k, len(words))] {
			t = t.put(w, r.rnd.IntN(len(t.cuts)))
		}
		ps = append(ps, newProbe(t, i, r.rnd))
	}
	return ps
}

// measureReach finds how many words it takes to make most probes give each
// answer.
func (r *run) measureReach() error {
	for a := range r.answers {
		for _, k := range []int{1, 2, 3, 4, 6, 8} {
			if r.reach[a] > 0 || k > len(r.words[a]) {
				break
			}
			ps := r.speaking(a, k, 16)
			if err := r.ask(ps); err != nil {
				return err
			}
			won := 0
			for _, p := range ps {
				if p.margins[a] > 0 {
					won++
				}
			}
			if float64(won) >= reachShare*float64(len(ps)) {
				r.reach[a] = k
			}
		}
	}
	return nil
}
