package behaviour

import (
	"math"
	"slices"

	"github.com/btu-scan/btu-scan/internal/kernel"
	"github.com/btu-scan/btu-scan/scan"
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

// explain is the mean effect of n variants of a candidate, in which each token is
// replaced with one of its nearest neighbours by meaning, over the candidate's
// own.
func (r *run) explain(ids []int32, where place, a int, probes []probe, n int) (float64, error) {
	if err := r.learnMeanings(ids); err != nil {
		return 0, err
	}
	near := func(id int32) (like []int32) {
		for _, n := range r.meanings[int(id)] {
			like = append(like, int32(n))
		}
		return like
	}
	lists := append([][]int32{ids}, variants(ids, n, near)...)
	effects, err := r.try(lists, where, probes)
	if err != nil || len(lists) == 1 || effects[0] == nil {
		return 0, err
	}
	return r.over(effects, a), nil
}

// variants returns n variants of tokens, the k-th with each replaced by the k-th
// of those near it. A token keeps its place in a phrase where fewer are near it; a
// single one has as many variants.
func variants(ids []int32, n int, near func(id int32) []int32) (lists [][]int32) {
	for v := range n {
		other := slices.Clone(ids)
		replaced := false
		for i, id := range ids {
			if like := near(id); v < len(like) {
				other[i], replaced = like[v], true
			}
		}
		if replaced || len(ids) > 1 {
			lists = append(lists, other)
		}
	}
	return lists
}

// over is the mean gain of all effects but the first over the first's.
func (r *run) over(effects [][]effect, a int) float64 {
	own := effects[0][a].gain()
	if own <= 0 {
		return 1 // no effect to explain
	}
	var sum float64
	for _, e := range effects[1:] {
		sum += max(0, e[a].gain())
	}
	return sum / float64(len(effects)-1) / own
}

// strongPart is the share of a phrase's effect that one token has alone, from which
// it is asked what of that its meaning explains.
const strongPart = 0.3

// parts is what the tokens of a phrase do one by one, together, over what the
// phrase does. What a token whose row stands out does alone, and not for what it
// means, is no honest word's: it may be the strongest part of a trigger.
func (r *run) parts(c *candidate, a int, probes []probe) (float64, error) {
	effects, err := r.try(append([][]int32{c.ids}, singles(c.ids)...), c.place, probes)
	if err != nil || effects[0] == nil {
		return 0, err
	}
	whole := effects[0][a].gain()
	if whole <= 0 {
		return 1, nil // no effect to explain
	}
	var sum float64
	for i, id := range c.ids {
		share := max(0, effects[i+1][a].gain()) / whole
		if share >= strongPart && slices.Contains(r.opt.Abnormal, int(id)) {
			kin, err := r.kinship(id, a)
			if err != nil {
				return 0, err
			}
			meant, err := r.explain(single(id), c.place, a, probes, neighbours)
			if err != nil {
				return 0, err
			}
			if kin < kindredThere && meant < unexplained {
				share *= meant
			}
		}
		sum += share
	}
	return sum, nil
}

// neighbours are how many tokens of the nearest pretrained meaning are looked
// at, and rewordings how many for each token of a phrase.
const neighbours, rewordings = 10, 3

// meaning returns the matrix whose rows say what tokens mean, and its mean row:
// rows of a language model share a large part that means nothing, so they are
// measured from it (Mu and Viswanath 2018, arXiv:1702.01417).
func (r *run) meaning() (scan.Rows, []float32, error) {
	rows := r.opt.Reference
	if rows == nil {
		rows = r.opt.Rows
	}
	if r.mean != nil {
		return rows, r.mean, nil
	}
	sum, n := make([]float64, rows.Dim()), 0
	err := scan.EachRow(r.ctx, rows, func(_ int, row []float32) {
		if !finite(row) {
			return
		}
		n++
		for j, x := range row {
			sum[j] += float64(x)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	r.mean = make([]float32, rows.Dim())
	for j := range r.mean {
		r.mean[j] = float32(sum[j] / float64(max(1, n)))
	}
	return rows, r.mean, nil
}

// direction is a token's row from the mean, made a unit vector; nil where it
// has none.
func (r *run) direction(id int32) ([]float32, error) {
	rows, mean, err := r.meaning()
	if err != nil || int(id) >= rows.Len() {
		return nil, err
	}
	row := make([]float32, rows.Dim())
	if err := rows.ReadRows(r.ctx, row, int(id)); err != nil || !finite(row) {
		return nil, err
	}
	for j := range row {
		row[j] -= mean[j]
	}
	norm := math.Sqrt(kernel.Dot(row, row))
	if norm == 0 {
		return nil, nil
	}
	for j := range row {
		row[j] = float32(float64(row[j]) / norm)
	}
	return row, nil
}

func (r *run) directions(ids []int32) (ds [][]float32, err error) {
	for _, id := range ids {
		d, err := r.direction(id)
		if err != nil {
			return nil, err
		}
		if d != nil {
			ds = append(ds, d)
		}
	}
	return ds, nil
}

// learnMeanings finds for tokens their nearest neighbours by cosine.
func (r *run) learnMeanings(ids []int32) error {
	rows, mean, err := r.meaning()
	if err != nil {
		return err
	}
	var ask []int32
	var own [][]float32
	for _, id := range ids {
		if _, known := r.meanings[int(id)]; known || slices.Contains(ask, id) {
			continue
		}
		d, err := r.direction(id)
		if err != nil {
			return err
		}
		if d != nil {
			ask, own = append(ask, id), append(own, d)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	tops := make([][]scored, len(ask))
	centred := make([]float32, rows.Dim())
	err = scan.EachRow(r.ctx, rows, func(id int, row []float32) {
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
			if int32(id) != ask[k] {
				tops[k] = highest(tops[k], scored{int32(id), kernel.Dot(q, centred) / norm}, neighbours)
			}
		}
	})
	for k, id := range ask {
		for _, s := range tops[k] {
			r.meanings[int(id)] = append(r.meanings[int(id)], int(s.id))
		}
	}
	return err
}

// kinSample is how many random tokens tell how like a label's words a token is
// by chance.
const kinSample = 512

// kinship is how much more a token is like the words that speak for an answer,
// by the median of its cosines with them, than random tokens are: in standard
// deviations of theirs.
func (r *run) kinship(id int32, a int) (float64, error) {
	own, err := r.direction(id)
	if err != nil || own == nil {
		return 0, err
	}
	if r.sample == nil {
		if r.sample, err = r.directions(r.random(kinSample, 0, 1)); err != nil {
			return 0, err
		}
	}
	words, err := r.directions(slices.DeleteFunc(slices.Clone(r.words[a]), func(w int32) bool { return w == id }))
	if err != nil || len(words) < minKin || len(r.sample) < minKin {
		return 0, err
	}
	like := func(d []float32) float64 {
		cosines := make([]float64, len(words))
		for i, w := range words {
			cosines[i] = kernel.Dot(d, w)
		}
		return median(cosines)
	}
	var sum, squares float64
	for _, d := range r.sample {
		x := like(d)
		sum, squares = sum+x, squares+x*x
	}
	n := float64(len(r.sample))
	sd := math.Sqrt(max(0, squares/n-sum/n*sum/n))
	if sd == 0 {
		return 0, nil
	}
	return (like(own) - sum/n) / sd, nil
}

// median sorts numbers, at least one.
func median(xs []float64) float64 {
	slices.Sort(xs)
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}

// minKin is the least number of words that have a kind.
const minKin = 4
