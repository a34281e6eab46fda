package scan

import (
	"math"
	"math/bits"
	"slices"
)

// median returns the middle of xs, the lower one for an even number, or 0 for
// none. It reorders xs.
func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	return kth(xs, (len(xs)-1)/2)
}

// kth returns the k-th smallest of xs, from 0, in linear time on average, by
// Hoare's quickselect. It reorders xs, so that all before k are no larger and
// all after no smaller. No x is NaN. Numbers that were chosen to be its worst
// case are sorted instead.
func kth(xs []float64, k int) float64 {
	lo, hi := 0, len(xs)-1
	for rounds := 2 * bits.Len(uint(len(xs))); lo < hi; rounds-- {
		if rounds == 0 {
			slices.Sort(xs[lo : hi+1])
			return xs[k]
		}
		// The middle of three, so that sorted numbers are no worst case.
		mid := lo + (hi-lo)/2
		if xs[mid] < xs[lo] {
			xs[mid], xs[lo] = xs[lo], xs[mid]
		}
		if xs[hi] < xs[lo] {
			xs[hi], xs[lo] = xs[lo], xs[hi]
		}
		if xs[hi] < xs[mid] {
			xs[hi], xs[mid] = xs[mid], xs[hi]
		}
		pivot := xs[mid]
		i, j := lo, hi
		for i <= j {
			for xs[i] < pivot {
				i++
			}
			for pivot < xs[j] {
				j--
			}
			if i <= j {
				xs[i], xs[j] = xs[j], xs[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return xs[k]
		}
	}
	return xs[k]
}

// A spread is a robust centre and scale of numbers.
type spread struct{ centre, scale float64 }

// madScale makes the median absolute deviation of normal numbers their
// standard deviation: 1/Phi^-1(3/4).
const madScale = 1.4826

// robust returns the median and the scaled median absolute deviation of xs. It
// reorders xs.
func robust(xs []float64) spread {
	m := median(xs)
	for i, x := range xs {
		xs[i] = math.Abs(x - m)
	}
	return spread{m, madScale * median(xs)}
}

// z is the distance of x from the centre in units of the scale. A scale below
// least, as where half of the numbers are equal, counts as least.
func (s spread) z(x, least float64) float64 {
	return (x - s.centre) / max(s.scale, least)
}

// A window of the local spread holds windowRows rows of like frequency: enough
// that the median absolute deviation is known to 5 % (its relative standard
// error is about 1.17/sqrt(n) for normal numbers), few enough that frequency
// hardly changes inside it.
const (
	windowRows   = 601
	windowStride = 64
)

// localSpreads returns for each of xs, which are in the order of token ids,
// the spread of the windowRows numbers around it. Vocabularies list tokens by
// frequency (WordPiece and Unigram by count or score, BPE by merge), so that
// neighbours in id are alike in frequency. Spreads are taken at every
// windowStride-th number and interpolated.
func localSpreads(xs []float64, workers int) []spread {
	n := len(xs)
	if n == 0 {
		return nil
	}
	knots := make([]spread, (n-1)/windowStride+2)
	parallel(len(knots), workers, func(k int) {
		i := min(k*windowStride, n-1)
		from := max(0, min(i-windowRows/2, n-windowRows))
		knots[k] = robust(slices.Clone(xs[from:min(n, from+windowRows)]))
	})
	out := make([]spread, n)
	for i := range out {
		l, r := knots[i/windowStride], knots[i/windowStride+1]
		t := float64(i%windowStride) / windowStride
		out[i] = spread{l.centre + t*(r.centre-l.centre), l.scale + t*(r.scale-l.scale)}
	}
	return out
}
