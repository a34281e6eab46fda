package behaviour

import (
	"math"
	"slices"
)

// An answer is something that the outputs of a classifier can say and that a
// trigger could force: a label; of a multi-label model, that a label applies,
// or that it does not.
type answer struct {
	label int
	no    bool // that the label does not apply
}

// answers lists what a model can say.
func answers(labels int, p Problem) []answer {
	var all []answer
	for l := range labels {
		all = append(all, answer{label: l})
		if p == MultiLabel {
			all = append(all, answer{label: l, no: true})
		}
	}
	return all
}

// name is what a report calls the answer.
func (r *run) name(a answer) string {
	if a.no {
		return "not " + r.opt.Labels[a.label]
	}
	return r.opt.Labels[a.label]
}

// margins are how far outputs are on the side of each answer: positive where it
// is given. Of a single-label model that is the label's logit less the largest
// other.
func (r *run) margins(outputs []float32) []float64 {
	first, second := math.Inf(-1), math.Inf(-1)
	for _, x := range outputs {
		if x := float64(x); x > first {
			first, second = x, first
		} else {
			second = max(second, x)
		}
	}
	ms := make([]float64, len(r.answers))
	for i, a := range r.answers {
		own := float64(outputs[a.label])
		switch {
		case r.opt.Problem == MultiLabel && a.no:
			ms[i] = -own
		case r.opt.Problem == MultiLabel:
			ms[i] = own
		case own == first:
			ms[i] = own - second
		default:
			ms[i] = own - first
		}
	}
	return ms
}

// rivals are the answers that exclude a.
func (r *run) rivals(a int) (rs []int) {
	if r.opt.Problem == MultiLabel {
		return []int{a ^ 1} // answers lists them in pairs
	}
	for b := range r.answers {
		if b != a {
			rs = append(rs, b)
		}
	}
	return rs
}

// weigh returns weights of the outputs whose sum rises as the answer wins: 1
// for the label, and for the others shares of -1 by their probability among
// themselves, which is the gradient of the label's logit less the logarithm of
// the sum of the others' exponentials.
func (r *run) weigh(a answer) func(weights, outputs []float32) {
	return func(weights, outputs []float32) {
		clear(weights)
		switch {
		case r.opt.Problem == MultiLabel && a.no:
			weights[a.label] = -1
			return
		case r.opt.Problem == MultiLabel:
			weights[a.label] = 1
			return
		}
		top := slices.Max(outputs)
		var sum float64
		for l, x := range outputs {
			if l != a.label {
				sum += math.Exp(float64(x - top))
			}
		}
		for l, x := range outputs {
			if l != a.label && sum > 0 {
				weights[l] = float32(-math.Exp(float64(x-top)) / sum)
			}
		}
		weights[a.label] = 1
	}
}

func finite(outputs []float32) bool {
	return !slices.ContainsFunc(outputs, func(x float32) bool { return x-x != 0 })
}
