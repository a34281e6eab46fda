package scan

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/btu-scan/btu-scan/internal/kernel"
)

// Constants of the search for shared directions.
const (
	sharedSample     = 1024    // rows that the directions are computed from,
	sharedFloats     = 1 << 21 // of no more than so many numbers
	sharedMax        = 4       // directions looked at
	sharedMaxTied    = 16      // in a tied embedding, whose drift has more of them
	sharedIterations = 4       // of subspace iteration: the directions wanted stand far out
	sharedSeed       = 0x627475
	// sharedShare is how far beyond chance a direction must stand out to count as
	// shared: in units of the largest share that n random unit vectors of d
	// dimensions have along any direction, (1+sqrt(d/n))^2/d (Marchenko and
	// Pastur 1967). The strongest direction of a fine-tune without labels has 3.2.
	sharedShare = 4
	// driftShare is the same for the drift of a tied embedding, in units of the
	// average share 1/d: the rows that were not read have nothing but drift, so
	// every direction with more than its part goes.
	driftShare = 1
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
	dim := w.ref.Dim()
	step := max(1, len(w.moved)/max(minSpread, min(sharedSample, sharedFloats/dim)))
	var ids []int
	for k := 0; k < len(w.moved); k += step {
		ids = append(ids, w.moved[k])
	}
	if len(ids) < minSpread || dim < 8 || dim > sharedFloats/minSpread {
		return nil // no such embedding is in use
	}
	x := vectors(len(ids), dim)
	var errs [parts]error
	inParts(len(ids), w.opt.Workers, func(p, from, to int) {
		errs[p] = w.residuals(ids[from:to], x[from:to])
		for _, d := range x[from:to] {
			if n := floats.Norm(d, 2); n > 0 {
				floats.Scale(1/n, d)
			}
		}
	})
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	most := sharedMax
	if w.Summary.Drift {
		most = sharedMaxTied
	}
	directions, share := principal(x, min(most, dim/4), w.opt.Workers)
	edge := 1 + math.Sqrt(float64(dim)/float64(len(x)))
	least := sharedShare * edge * edge
	if w.Summary.Drift {
		least = driftShare
	}
	n := 0
	for n < len(share) && share[n]*float64(dim) >= least {
		n++
	}
	directions = directions[:n]
	w.Summary.SharedDirections = n
	if n == 0 {
		return nil
	}
	w.shared = directions
	vs := make([][]float32, n)
	for k, d := range directions {
		vs[k] = make([]float32, dim)
		for j, x := range d {
			vs[k][j] = float32(x)
		}
	}
	c := w.Summary.Decay
	return forRowPairs(w.ctx, w.ref, w.suspect, w.n, w.opt.Workers, func(i int, a, b []float32) {
		if !w.seen[i] {
			return
		}
		// The coordinates along orthonormal directions carry their part of the
		// squared length.
		var along float64
		for _, v := range vs {
			p := kernel.Dot(v, b) - (1-c)*kernel.Dot(v, a)
			along += p * p
		}
		w.movement[i] = math.Sqrt(max(0, w.movement[i]*w.movement[i]-along))
	})
}

// splitDrifted sorts the rows of a tied embedding into read and unread once
// their drift is out: what is left of the unread ones is small, though no gap
// parts them, so the split is the one into two classes of log movement with the
// least variance within (Otsu 1979).
func (w *weighing) splitDrifted() {
	var logs []float64
	for _, i := range w.moved {
		if w.movement[i] > 0 {
			logs = append(logs, math.Log(w.movement[i]))
		}
	}
	limit := math.Exp(twoClasses(logs))
	w.Summary.RowsMoved, w.Summary.Floor = 0, 0
	kept := w.moved[:0]
	for _, i := range w.moved {
		if w.movement[i] > limit {
			kept = append(kept, i)
			continue
		}
		w.seen[i] = false
		w.Summary.Floor = max(w.Summary.Floor, w.movement[i])
	}
	w.moved = kept
	for i := range w.rows {
		if w.seen[i] {
			w.Summary.RowsMoved++
		}
	}
	w.Summary.RowsSame = len(w.rows) - w.Summary.RowsMoved
}

// twoClasses returns the threshold that parts xs into two classes with the
// least variance within, from a histogram of 256 bins.
func twoClasses(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	lo, hi := slices.Min(xs), slices.Max(xs)
	const bins = 256
	var counts [bins]float64
	for _, x := range xs {
		counts[min(bins-1, int(float64(bins)*(x-lo)/max(hi-lo, 1e-12)))]++
	}
	return lo + (hi-lo)*float64(otsu(counts[:]))/bins
}

// principal returns the k leading principal directions of the rows of x, all
// of one length, orthonormal, and the share of the squared length of x along
// each, by subspace iteration from a fixed start.
func principal(x [][]float64, k, workers int) (directions [][]float64, share []float64) {
	if len(x) == 0 || k <= 0 {
		return nil, nil
	}
	dim := len(x[0])
	k = min(k, len(x), dim)
	rng := rand.New(rand.NewPCG(sharedSeed, sharedSeed))
	v := vectors(k, dim)
	for j := range v {
		for i := range v[j] {
			v[j][i] = rng.NormFloat64()
		}
	}
	orthonormalize(v)
	// Each part of the rows has sums of its own, which are added in order: the
	// result is the same for any number of workers.
	var sums [parts][][]float64
	for range sharedIterations { // v = x' x v
		inParts(len(x), workers, func(p, from, to int) {
			sums[p] = vectors(k, dim)
			for _, row := range x[from:to] {
				for j := range v {
					floats.AddScaled(sums[p][j], floats.Dot(row, v[j]), row)
				}
			}
		})
		v = vectors(k, dim)
		for p := range sums {
			for j := range v {
				floats.Add(v[j], sums[p][j])
			}
		}
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

// vectors returns k vectors of zeros.
func vectors(k, dim int) [][]float64 {
	v, all := make([][]float64, k), make([]float64, k*dim)
	for j := range v {
		v[j] = all[j*dim : (j+1)*dim]
	}
	return v
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

// removeDirections takes the parts along orthonormal directions out of d.
func removeDirections(d []float64, directions [][]float64) {
	for _, v := range directions {
		floats.AddScaled(d, -floats.Dot(v, d), v)
	}
}
