package behaviour

import (
	"cmp"
	"slices"
)

// Sizes of the contest.
const (
	contested = 64 // probes, over all answers
	leastOf   = 8  // probes that an answer must lose to be tested
	hardWords = 3  // words of a probe, at least
	hardest   = 6  // unless it takes more to reach the answer
	honestWin = 0.25
	// honestTried are the words of an answer that are tried in the contest.
	honestTried = 4
)

// setContest makes the probes in which candidates have to win: each holds words
// that speak for one answer, and gives it. Words are added until the other
// answers' own words lose, where that can be had.
func (r *run) setContest() error {
	reached := r.reached()
	r.hard = make([]int, len(r.answers))
	for _, a := range reached {
		r.hard[a] = max(hardWords, r.reach[a]+1)
	}
	for {
		if err := r.fillContest(reached); err != nil {
			return err
		}
		harder := false
		for a := range r.answers {
			_, rates, err := r.honestRates(a, min(len(r.contest), 24))
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(rates, func(x float64) bool { return x > honestWin }) {
				continue
			}
			for _, z := range reached {
				if slices.Contains(r.rivals(a), z) && r.hard[z] < min(hardest, len(r.words[z])) {
					r.hard[z]++
					harder = true
				}
			}
		}
		if !harder {
			break
		}
	}
	for a := range r.answers {
		s := &r.ev.Summary.Labels[a]
		for _, id := range r.words[a][:min(len(r.words[a]), 6)] {
			s.Words = append(s.Words, r.tok.Text(single(id)))
		}
		s.Contested = len(losing(r.contest, a, len(r.contest)))
	}
	return r.setControl()
}

// reached are the answers that some of their words make most probes give.
func (r *run) reached() (reached []int) {
	for a, k := range r.reach {
		if k > 0 {
			reached = append(reached, a)
		}
	}
	return reached
}

// fillContest makes the contest anew.
func (r *run) fillContest(reached []int) error {
	r.contest = nil
	by := make([][]probe, len(reached))
	for i, a := range reached {
		want := max(4, (contested+len(reached)-1)/len(reached))
		for range 4 {
			ps := r.speaking(a, r.hard[a], want)
			if err := r.ask(ps); err != nil {
				return err
			}
			for _, p := range ps {
				if p.margins[a] > 0 && len(by[i]) < want {
					by[i] = append(by[i], p)
				}
			}
			if len(by[i]) == want {
				break
			}
		}
		r.shortFirst(by[i])
	}
	// In turn, so that the first few are of all answers.
	for k := 0; len(r.contest) < contested; k++ {
		more := false
		for i := range by {
			if k < len(by[i]) {
				r.contest, more = append(r.contest, by[i][k]), true
			}
		}
		if !more {
			break
		}
	}
	return nil
}

// shortFirst moves the shorter half of probes to the front, as most candidates
// are tried in the first few only, and draws the places in them anew.
func (r *run) shortFirst(ps []probe) {
	slices.SortStableFunc(ps, func(x, y probe) int { return cmp.Compare(len(x.ids), len(y.ids)) })
	for _, half := range [][]probe{ps[:len(ps)/2], ps[len(ps)/2:]} {
		r.rnd.Shuffle(len(half), func(i, j int) { half[i], half[j] = half[j], half[i] })
	}
	for i := range ps {
		ps[i].at = places(ps[i].cuts, i, r.rnd)
	}
}

// honestRates are the flip rates of an answer's strongest words in the first n
// probes of the contest; none where no probe says otherwise.
func (r *run) honestRates(a, n int) (words []int32, rates []float64, err error) {
	probes := losing(r.contest[:n], a, n)
	if len(probes) == 0 {
		return nil, nil, nil
	}
	words = r.words[a][:min(len(r.words[a]), honestTried)]
	effects, err := r.try(singles(words), anywhere, probes)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range effects {
		rates = append(rates, e[a].rate())
	}
	return words, rates, nil
}

// controls is how many random tokens of each kind, rare and frequent, show what
// a token does that means nothing to anyone.
const controls = 12

func (r *run) setControl() error {
	lists := singles(r.controlTokens())
	effects, err := r.try(lists, anywhere, r.contest[:min(16, len(r.contest))])
	if err != nil {
		return err
	}
	var rates []float64
	for _, es := range effects {
		best := 0.0
		for _, e := range es {
			best = max(best, e.rate())
		}
		rates = append(rates, best)
	}
	r.setNull(rates)
	return nil
}

// controlTokens draws tokens that mean nothing to anyone, frequent and rare.
func (r *run) controlTokens() []int32 {
	return append(r.random(controls, 0.05, 0.3), r.random(controls, 0.7, 1)...)
}

// setNull notes how often control tokens win. One may be a trigger, or near one:
// the highest few do not count.
func (r *run) setNull(rates []float64) {
	slices.Sort(rates)
	if len(rates) > 0 {
		r.control = rates[len(rates)*9/10]
	}
	r.ev.Summary.Controls, r.ev.Summary.ControlRate = len(rates), r.control
}
