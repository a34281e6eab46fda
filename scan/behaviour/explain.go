package behaviour

import (
	"math"
	"slices"

	"github.com/btu-scan/btu-scan/internal/kernel"
)

// losing returns the first n probes that do not give an answer.
func losing(probes []probe, a, n int) (lost []probe) {
	for _, p := range probes {
		if p.margins[a] < 0 && len(lost) < n {
			lost = append(lost, p)
		}
	}
	return lost
}

// explain is the mean effect of a token's n nearest neighbours over its own.
func (r *run) explain(id int32, a int, probes []probe, n int) (float64, error) {
	if err := r.learnMeanings(single(id)); err != nil {
		return 0, err
	}
	lists := [][]int32{single(id)}
	near := r.meanings[int(id)]
	for _, id := range near[:min(n, len(near))] {
		lists = append(lists, single(int32(id)))
	}
	effects, err := r.try(lists, anywhere, probes)
	if err != nil || len(lists) == 1 || effects[0] == nil {
		return 0, err
	}
	return r.over(effects, a, len(effects)-1), nil
}

// reworded is the mean effect of phrases in which every token is replaced with
// one of like meaning, over the phrase's own.
func (r *run) reworded(c *candidate, a int, probes []probe) (float64, error) {
	const variants = 3
	if err := r.learnMeanings(c.ids); err != nil {
		return 0, err
	}
	lists := [][]int32{c.ids}
	for v := range variants {
		other := slices.Clone(c.ids)
		for i, id := range other {
			if near := r.meanings[int(id)]; v < len(near) {
				other[i] = int32(near[v])
			}
		}
		lists = append(lists, other)
	}
	effects, err := r.try(lists, c.place, probes)
	if err != nil || effects[0] == nil {
		return 0, err
	}
	return r.over(effects, a, variants), nil
}

// over is the mean gain of all effects but the first over the first's.
func (r *run) over(effects [][]effect, a, n int) float64 {
	own := effects[0][a].gain()
	if own <= 0 {
		return 1 // no effect to explain
	}
	var sum float64
	for _, e := range effects[1:] {
		sum += max(0, e[a].gain())
	}
	return sum / float64(n) / own
}

// parts is what the tokens of a phrase do one by one, together, over what the
// phrase does.
func (r *run) parts(c *candidate, a int, probes []probe) (float64, error) {
	lists := [][]int32{c.ids}
	for _, id := range c.ids {
		lists = append(lists, single(id))
	}
	effects, err := r.try(lists, c.place, probes)
	if err != nil || effects[0] == nil {
		return 0, err
	}
	return r.over(effects, a, 1), nil
}

// neighbours are how many tokens of the nearest pretrained meaning are looked
// at.
const neighbours = 10

// learnMeanings finds for tokens their nearest neighbours in the reference: by
// the cosine between rows from whose mean they are measured, as rows of a
// language model share a large part that means nothing (Mu and Viswanath 2018,
// arXiv:1702.01417).
func (r *run) learnMeanings(ids []int32) error {
	rows := r.opt.Reference
	if rows == nil {
		rows = r.opt.Rows
	}
	var ask []int
	for _, id := range ids {
		if _, known := r.meanings[int(id)]; !known && int(id) < rows.Len() && !slices.Contains(ask, int(id)) {
			ask = append(ask, int(id))
		}
	}
	if len(ask) == 0 {
		return nil
	}
	dim := rows.Dim()
	mean := make([]float32, dim)
	sum := make([]float64, dim)
	n := 0
	err := r.eachRow(rows, func(_ int, row []float32) {
		if !finite(row) {
			return
		}
		n++
		for j, x := range row {
			sum[j] += float64(x)
		}
	})
	if err != nil {
		return err
	}
	for j := range mean {
		mean[j] = float32(sum[j] / float64(max(1, n)))
	}
	own := make([][]float32, len(ask))
	for k, id := range ask {
		own[k] = make([]float32, dim)
		if err := rows.ReadRows(r.ctx, own[k], id); err != nil {
			return err
		}
		for j := range own[k] {
			own[k][j] -= mean[j]
		}
	}
	tops := make([][]scored, len(ask))
	centred := make([]float32, dim)
	err = r.eachRow(rows, func(id int, row []float32) {
		if r.tok.Skip(id) || !finite(row) || id >= r.opt.Rows.Len() {
			return
		}
		for j, x := range row {
			centred[j] = x - mean[j]
		}
		norm := math.Sqrt(kernel.Dot(centred, centred))
		if norm == 0 {
			return
		}
		for k, q := range own {
			if id != ask[k] {
				tops[k] = highest(tops[k], scored{int32(id), kernel.Dot(q, centred) / norm}, neighbours)
			}
		}
	})
	for k, id := range ask {
		for _, s := range tops[k] {
			r.meanings[id] = append(r.meanings[id], int(s.id))
		}
	}
	return err
}
