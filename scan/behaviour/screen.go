package behaviour

import (
	"math"
	"slices"

	"github.com/btu-scan/btu-scan/internal/kernel"
	"github.com/btu-scan/btu-scan/scan"
)

// addUnit adds the unit vector of x to sum.
func addUnit(sum, x []float32) {
	norm := math.Sqrt(kernel.Dot(x, x))
	if norm == 0 {
		return
	}
	for i, v := range x {
		sum[i] += float32(float64(v) / norm)
	}
}

type scored struct {
	id    int32
	score float64
}

// highest keeps the n highest scores, highest first; of equal ones the first.
func highest(top []scored, s scored, n int) []scored {
	if n == 0 || len(top) == n && s.score <= top[n-1].score {
		return top
	}
	at, _ := slices.BinarySearchFunc(top, s.score, func(t scored, x float64) int {
		if t.score >= x {
			return -1
		}
		return 1
	})
	top = slices.Insert(top, at, s)
	return top[:min(len(top), n)]
}

// screen returns the n tokens that would help each answer most in the given
// probes, to first order: those whose rows have the largest products with the
// gradient at a token that is put there. The token is one of centres, in turn
// (HotFlip, Ebrahimi et al. 2018, arXiv:1712.06751; Wallace et al. 2019,
// arXiv:1908.07125, whose tokens replace one another in the same way).
func (r *run) screen(probes func(a int) []probe, centres func(a int) []int32, n int) ([][]int32, error) {
	grads := make([][]float32, len(r.answers))
	for a, x := range r.answers {
		var seqs [][]int32
		var at []int
		cs := centres(a)
		for i, p := range probes(a) {
			if len(cs) == 0 {
				break
			}
			cut := p.at[anywhere]
			seqs, at = append(seqs, p.with(single(cs[i%len(cs)]), cut)), append(at, cut)
		}
		if len(seqs) == 0 {
			continue
		}
		g, err := r.gradients(seqs, at, x)
		if err != nil {
			return nil, err
		}
		grads[a] = g
	}
	tops := make([][]scored, len(r.answers))
	err := scan.EachRow(r.ctx, r.opt.Rows, func(id int, row []float32) {
		if r.tok.Skip(id) {
			return
		}
		for a, g := range grads {
			if g == nil || len(g) != len(row) {
				continue
			}
			if s := kernel.Dot(g, row); s-s == 0 {
				tops[a] = highest(tops[a], scored{int32(id), s}, n)
			}
		}
	})
	out := make([][]int32, len(tops))
	for a, top := range tops {
		for _, s := range top {
			out[a] = append(out[a], s.id)
		}
	}
	return out, err
}

// neutral are tokens that stand for any.
func (r *run) neutral() []int32 {
	if m := r.tok.Mask(); m >= 0 {
		return single(m)
	}
	return r.random(8, 0, 1)
}

// random draws n different tokens from a part of the vocabulary, whose ids
// mostly go from frequent to rare.
func (r *run) random(n int, from, to float64) (ids []int32) {
	v := float64(r.opt.Rows.Len())
	lo, hi := int(from*v), int(to*v)
	for range 50 * n {
		if hi <= lo || len(ids) == n {
			break
		}
		id := int32(lo + r.rnd.IntN(hi-lo))
		if !r.tok.Skip(int(id)) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
