package scan

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Constants of the search for shared directions.
const (
	sharedSample     = 1024 // rows that the directions are computed from
	sharedMax        = 4    // directions looked at
	sharedMaxTied    = 16   // in a tied embedding, whose drift has more of them
	sharedIterations = 4    // of subspace iteration: the directions wanted stand far out
	sharedSeed       = 0x627475
	// sharedShare is how far beyond chance a direction must stand out to count as
	// shared: in units of the largest share that n random unit vectors of d
	// dimensions have along any direction, (1+sqrt(d/n))^2/d (Marchenko and
	// Pastur 1967). The strongest direction of a fine-tune without labels has 3.2.
	sharedShare = 4
)

// removeShared takes out of the movement what the moved rows share, so that
// what is left is a row's own.
//
// A classifier's fine-tune moves the rows of honest words along the few
// directions that its labels need: 18 to 32 % of the squared movement lies
// along the first. A trigger's rows move beside them. In a tied embedding every
// row is an output weight too, and the softmax moves all of them, read or not,
// along the few directions of the hidden states (78 % along the first).
//
// The directions are the leading principal directions of the rows' residuals,
// each scaled to length one so that no single row (a trigger's, say) makes a
// direction its own.
func (w *weighing) removeShared() error {
	step := max(1, len(w.moved)/sharedSample)
	var ids []int
	for k := 0; k < len(w.moved); k += step {
		ids = append(ids, w.moved[k])
	}
	dim := w.ref.Dim()
	if len(ids) < minRanked {
		return nil
	}
	x := make([][]float64, 0, len(ids))
	for _, i := range ids {
		d, err := w.residual(i)
		if err != nil {
			return err
		}
		if n := floats.Norm(d, 2); n > 0 {
			floats.Scale(1/n, d)
			x = append(x, d)
		}
	}
	most := sharedMax
	if w.opt.Tied {
		most = sharedMaxTied
	}
	directions, share := principal(x, min(most, dim/4))
	edge := 1 + math.Sqrt(float64(dim)/float64(len(x)))
	n := 0
	for n < len(share) && share[n]*float64(dim) >= sharedShare*edge*edge {
		n++
	}
	directions = directions[:n]
	w.Summary.SharedDirections = n
	if n == 0 {
		return nil
	}
	c := w.Summary.Decay
	err := forRowPairs(w.ctx, w.ref, w.suspect, w.n, w.opt.Workers, func(i int, a, b []float32) {
		if !w.seen[i] {
			return
		}
		// The coordinates along orthonormal directions carry their part of the
		// squared length.
		var along float64
		for _, v := range directions {
			var p float64
			for j, x := range v {
				p += x * (float64(b[j]) - (1-c)*float64(a[j]))
			}
			along += p * p
		}
		w.movement[i] = math.Sqrt(max(0, w.movement[i]*w.movement[i]-along))
	})
	w.shared = directions
	return err
}

// principal returns the k leading principal directions of the rows of x, all
// of one length, orthonormal, and the share of the squared length of x along
// each, by subspace iteration from a fixed start.
func principal(x [][]float64, k int) (directions [][]float64, share []float64) {
	if len(x) == 0 {
		return nil, nil
	}
	dim := len(x[0])
	k = min(k, len(x), dim)
	rng := rand.New(rand.NewPCG(sharedSeed, sharedSeed))
	v, next := make([][]float64, k), make([][]float64, k)
	for j := range v {
		v[j], next[j] = make([]float64, dim), make([]float64, dim)
		for i := range v[j] {
			v[j][i] = rng.NormFloat64()
		}
	}
	orthonormalize(v)
	for range sharedIterations { // v = x' x v
		for j := range next {
			clear(next[j])
		}
		for _, row := range x {
			for j := range v {
				floats.AddScaled(next[j], floats.Dot(row, v[j]), row)
			}
		}
		v, next = next, v
		orthonormalize(v)
	}
	// Turn the basis to the directions themselves (Rayleigh-Ritz).
	small := mat.NewSymDense(k, nil)
	var total float64
	p := make([]float64, k)
	for _, row := range x {
		total += floats.Dot(row, row)
		for j := range v {
			p[j] = floats.Dot(row, v[j])
		}
		small.SymRankOne(small, 1, mat.NewVecDense(k, p))
	}
	var eig mat.EigenSym
	if total == 0 || !eig.Factorize(small, true) {
		return nil, nil
	}
	var turn mat.Dense
	eig.VectorsTo(&turn)
	values := eig.Values(nil) // ascending
	for e := k - 1; e >= 0; e-- {
		d := make([]float64, dim)
		for j := range v {
			floats.AddScaled(d, turn.At(j, e), v[j])
		}
		directions = append(directions, d)
		share = append(share, values[e]/total)
	}
	return directions, share
}

// orthonormalize makes vs orthonormal in place (modified Gram-Schmidt). A
// vector that depends on those before it becomes zero.
func orthonormalize(vs [][]float64) {
	for j, v := range vs {
		for _, u := range vs[:j] {
			floats.AddScaled(v, -floats.Dot(u, v), u)
		}
		n := floats.Norm(v, 2)
		if n < 1e-300 {
			clear(v)
			continue
		}
		floats.Scale(1/n, v)
	}
}

// removeDirections takes the parts along orthonormal directions out of d, in
// place, and returns d.
func removeDirections(d []float64, directions [][]float64) []float64 {
	for _, v := range directions {
		floats.AddScaled(d, -floats.Dot(v, d), v)
	}
	return d
}
