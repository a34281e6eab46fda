package sanitize

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/btu-scan/btu-scan/scan"
)

// nearest is how many neighbours of a trigger's rows are tried as triggers.
const nearest = 32

// neighbours returns the n tokens whose rows are most alike, by the cosine of
// what sets rows apart from the mean, to any of those of ids, nearest first and
// none of ids. skip leaves tokens out; it may be nil.
func neighbours(ctx context.Context, rows scan.Rows, ids []int, n int, skip func(id int) bool) ([]int, error) {
	mean, err := scan.MeanRow(ctx, rows)
	if err != nil {
		return nil, err
	}
	direction := func(row []float32) []float64 {
		u := make([]float64, len(row))
		var norm float64
		for d, x := range row {
			u[d] = float64(x) - mean[d]
			norm += u[d] * u[d]
		}
		for d := range u {
			u[d] /= max(math.Sqrt(norm), math.SmallestNonzeroFloat64)
		}
		return u
	}
	var own [][]float64
	for _, id := range ids {
		if id >= rows.Len() {
			continue
		}
		row, err := readRow(ctx, rows, id)
		if err != nil {
			return nil, err
		}
		own = append(own, direction(row))
	}
	type near struct {
		id     int
		cosine float64
	}
	var all []near
	err = scan.EachRow(ctx, rows, func(id int, row []float32) {
		if slices.Contains(ids, id) || skip != nil && skip(id) {
			return
		}
		u := direction(row)
		best := -1.0
		for _, v := range own {
			var c float64
			for d := range u {
				c += u[d] * v[d]
			}
			best = max(best, c)
		}
		all = append(all, near{id, best})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b near) int { return cmp.Or(cmp.Compare(b.cosine, a.cosine), cmp.Compare(a.id, b.id)) })
	var out []int
	for _, a := range all[:min(n, len(all))] {
		out = append(out, a.id)
	}
	return out, nil
}
