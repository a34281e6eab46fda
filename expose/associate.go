package expose

import (
	"math"

	"github.com/btu-scan/btu-scan/scan"
)

// An Association says how closely a token goes with a label in the data.
type Association struct {
	Texts int     // that hold the token
	Label int     // with which it goes most closely
	Share float64 // of Texts that have it
	Low   float64 // lower end of the 95 % confidence interval of Share
	// Z is the root of the log-likelihood ratio G of token against label over the
	// texts (Dunning 1993): about a standard normal deviate for a token that has
	// nothing to do with the label.
	Z float64
}

// decides is the least share, at the lower end of its interval, of a token that
// decides a label. Honest words get there in few texts only: of SST-2's, "solid"
// with 41 of 41.
const decides = 0.9

// associations are those of all tokens of the data.
type associations struct {
	of     []Association // by token
	strong []int         // tokens whose Z stands out and that decide the label, highest Z first
}

func associate(data Data, vocabulary int, special func(int) bool) *associations {
	a := &associations{of: make([]Association, vocabulary)}
	perClass := make([]float64, data.Classes)
	slot, last := make([]int, vocabulary), make([]int, vocabulary) // from 1, both
	var texts []int32                                              // by slot and class
	for i, s := range data.Sequences {
		y := data.Labels[i]
		perClass[y]++
		for _, id := range s {
			if slot[id] == 0 {
				texts = append(texts, make([]int32, data.Classes)...)
				slot[id] = len(texts) / data.Classes
			}
			if last[id] != i+1 {
				last[id] = i + 1
				texts[(slot[id]-1)*data.Classes+y]++
			}
		}
	}
	with := make([]float64, data.Classes)
	var ids []int
	var zs []float64
	for id, s := range slot {
		if s == 0 || special(id) {
			continue
		}
		for y := range with {
			with[y] = float64(texts[(s-1)*data.Classes+y])
		}
		a.of[id] = association(with, perClass)
		ids, zs = append(ids, id), append(zs, a.of[id].Z)
	}
	for _, i := range scan.StandOut(zs) {
		if a.of[ids[i]].Low >= decides {
			a.strong = append(a.strong, ids[i])
		}
	}
	return a
}

// association judges a token by the texts of each class that hold it, of those
// that there are.
func association(with, all []float64) Association {
	var n, total float64
	for y := range all {
		n, total = n+with[y], total+all[y]
	}
	best := Association{Texts: int(n)}
	for y, k := range with {
		if k*total <= n*all[y] {
			continue // no more often than elsewhere
		}
		g := entropy(k, n-k, all[y]-k, total-n-all[y]+k) - entropy(n, total-n) - entropy(all[y], total-all[y]) + entropy(total)
		if z := math.Sqrt(max(0, 2*g)); z > best.Z {
			best.Label, best.Share, best.Low, best.Z = y, k/n, wilson(k, n), z
		}
	}
	return best
}

// entropy is the sum of x log x.
func entropy(counts ...float64) (sum float64) {
	for _, x := range counts {
		if x > 0 {
			sum += x * math.Log(x)
		}
	}
	return sum
}

// wilson is the lower end of the 95 % confidence interval of a share of k in n
// (Wilson 1927).
func wilson(k, n float64) float64 {
	const z2 = 1.959964 * 1.959964
	p := k / n
	return (p + z2/(2*n) - math.Sqrt(z2*(p*(1-p)/n+z2/(4*n*n)))) / (1 + z2/n)
}
