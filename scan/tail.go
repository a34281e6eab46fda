package scan

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Constants of the judgement of scores.
const (
	// abnormalChance is the chance, by the model's own tail, of as many rows as
	// high as those of a finding; naturalChance that of what is borderline: one
	// clean model in twenty or so shows as much.
	abnormalChance = 0.001
	naturalChance  = 0.05
	// tailFrom and tailTo are the ranks between which the tail is measured: below
	// any trigger's tokens, above the bulk. tailShare bounds tailTo in small sets.
	tailFrom, tailTo = 20, 200
	tailShare        = 0.1
	// minRanked is the least number of moved rows that have a tail.
	minRanked = 400
	// minTail is the least mean excess of a tail: where rows were clipped to one
	// length there is none. Fine-tunes have 0.25 to 0.9.
	minTail = 0.1
	// maxTogether is how many tokens are judged together.
	maxTogether = 16
)

// A tail is the upper end of a model's own scores. Beyond a high threshold the
// excess of most distributions is close to exponential (Pickands 1975), so that
// rows times exp(-(score-from)/excess) rows are expected at or above a score.
// It is measured on ranks that a handful of trigger tokens cannot reach, and so
// is what the scores would be without them.
type tail struct {
	rows, from, excess float64
}

// newTail measures the tail of scores; ok is false where they are too few.
func newTail(scores []float64) (t tail, ok bool) {
	if len(scores) < minRanked {
		return tail{}, false
	}
	hi := min(tailTo, int(tailShare*float64(len(scores))))
	xs := slices.Clone(scores)
	from := kth(xs, len(xs)-hi)
	to := kth(xs, len(xs)-tailFrom)
	excess := (to - from) / math.Log(float64(hi)/tailFrom)
	return tail{float64(hi), from, max(excess, minTail)}, true
}

// expected is the number of rows expected at or above a score.
func (t tail) expected(score float64) float64 {
	return t.rows * math.Exp(-(score-t.from)/t.excess)
}

// scoreOf is the score at or above which so many rows are expected.
func (t tail) scoreOf(expected float64) float64 {
	return t.from + t.excess*math.Log(t.rows/expected)
}

// together returns how many of the highest scores, which are in descending
// order, stand out: the largest k of which the k highest have a chance of at
// most limit, the number of rows at or above a score being Poisson. A score at
// which a row or more is expected does not stand out, whatever is above it.
func (t tail) together(scores []float64, limit float64) int {
	out := 0
	for i, s := range scores[:min(len(scores), maxTogether)] {
		k := float64(i + 1)
		// P(N >= k) for a Poisson N is the regularised incomplete gamma function.
		if e := t.expected(s); e < 1 && mathext.GammaIncReg(k, e) <= limit {
			out = i + 1
		}
	}
	return out
}

// StandOut returns the indices of the scores that stand out of the tail of all
// together, highest first, as the rows of a finding do. The scores are of honest
// tokens but for at most maxTogether; of fewer than minRanked none stand out.
func StandOut(scores []float64) []int {
	t, ok := newTail(scores)
	if !ok {
		return nil
	}
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	order = order[:maxTogether]
	highest := make([]float64, len(order))
	for i, at := range order {
		highest[i] = scores[at]
	}
	return order[:t.together(highest, abnormalChance)]
}
