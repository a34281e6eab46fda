package scan

import "math"

// removeDecay returns the shrinkage c that decoupled weight decay gave every
// row, so that d + c*a is what training did. A row that no gradient reached is
// d = -c*a exactly; such rows are among those that moved least for their size.
//
// The median of -ad/aa over the least moved twentieth of the changed rows is
// taken. Where every row was read it is a small number of either sign, and
// only a consistent shrinkage counts: c is 0 unless nine tenths of the rows
// agree on the sign.
func removeDecay(rows []rowSums) float64 {
	moved := make([]float64, 0, len(rows))
	for i := range rows {
		if r := &rows[i]; r.usable() && r.DD > 0 {
			moved = append(moved, r.DD/r.AA)
		}
	}
	n := min(len(moved), max(64, len(moved)/20))
	if n < 16 {
		return 0
	}
	limit := kth(moved, n-1)
	var shrinks []float64
	positive := 0
	for i := range rows {
		if r := &rows[i]; r.usable() && r.DD > 0 && r.DD/r.AA <= limit {
			shrinks = append(shrinks, -r.AD/r.AA)
			if r.AD < 0 {
				positive++
			}
		}
	}
	if 10*positive < 9*len(shrinks) {
		return 0
	}
	return median(shrinks)
}

// roundingRMS is the root mean square error, relative to the numbers, of
// rounding to a type whose largest relative error is 1: for mantissas spread
// evenly in the logarithm, sqrt(2 ln 2 / 9).
var roundingRMS = math.Sqrt(2 * math.Ln2 / 9)

// Constants of the split between moved and unmoved rows.
const (
	// minGap is the least ratio between the least moved row that was read and
	// the most moved row that was not. Measured on full fine-tunes: 4.6 to 200.
	minGap = 3
	// gapShare and gapRows bound from below how many rows lie on either side of
	// the gap: a handful of far outliers is no side.
	gapShare = 0.002
	gapRows  = 32
	// valleyShare is how empty the valley between unmoved and moved rows must be
	// where rows that were read only in the last steps lie in it, in units of the
	// lower of the two hills.
	valleyShare = 0.1
	// roundingMargin is how far over the expected rounding error of its type a
	// row must have moved. The error of a row of 128 numbers or more is within
	// 15 % of its expectation.
	roundingMargin = 1.3
)

// splitMoved returns the largest movement, relative to the row's length, that
// counts as unmoved, from relative movements and the rounding error expected
// of the stored types. Rows at or under the result never took part in training.
//
// Training moves a row by many orders of magnitude more than rounding does, so
// the two kinds are apart by a gap, or by a valley with a few rows that were
// read in the last steps alone; where the stored types are so coarse that
// rounding fills it, the expected rounding error is the limit.
func splitMoved(relative []float64, rounding float64) float64 {
	// Numbers of like size share a bucket, four to an octave, so that a gap of
	// minGap leaves an empty one: no need to sort.
	const shift = 50 // keeps the exponent and two bits of the mantissa
	buckets := make([]bucket, 1<<(63-shift))
	zeros := 0
	for _, x := range relative {
		if x == 0 {
			zeros++
			continue
		}
		b := &buckets[math.Float64bits(x)>>shift]
		if b.n == 0 {
			b.min, b.max = x, x
		}
		b.n++
		b.min, b.max = min(b.min, x), max(b.max, x)
	}
	side := max(gapRows, int(gapShare*float64(len(relative))))
	best, at := float64(minGap), 0.0
	below, last := zeros, 0.0
	for i := range buckets {
		b := &buckets[i]
		if b.n == 0 {
			continue
		}
		if below >= side && len(relative)-below >= side && last > 0 && b.min > best*last {
			best, at = b.min/last, last
		}
		below += b.n
		last = b.max
	}
	if at > 0 {
		return at
	}
	if at := valley(buckets, side); at > 0 {
		return at
	}
	if zeros > 0 && rounding < 1e-5 {
		return 0 // rows that were not read kept their bits
	}
	return roundingMargin * rounding
}

// A bucket counts numbers of like size.
type bucket struct {
	n        int
	min, max float64
}

// valley returns the largest number below the emptiest place between two hills
// of buckets, or 0 where there are no two hills far apart with at least side
// numbers each.
func valley(buckets []bucket, side int) float64 {
	counts := make([]float64, len(buckets))
	for i := range buckets {
		counts[i] = float64(buckets[i].n)
	}
	cut := otsu(counts)
	low, high := peak(counts[:cut]), cut+peak(counts[cut:])
	// Four buckets to an octave: hills less than a factor of 10 apart are one.
	if counts[low] == 0 || counts[high] == 0 || high-low < 13 {
		return 0
	}
	at := low + 1
	for i := low + 1; i < high; i++ {
		if counts[i] < counts[at] {
			at = i
		}
	}
	if counts[at] > valleyShare*min(counts[low], counts[high]) {
		return 0
	}
	above := 0
	for _, b := range buckets[at:] {
		above += b.n
	}
	if above < side {
		return 0
	}
	for at--; buckets[at].n == 0; at-- {
	}
	return buckets[at].max
}

// peak is the index of the largest count, the first of equals.
func peak(counts []float64) (at int) {
	for i, c := range counts {
		if c > counts[at] {
			at = i
		}
	}
	return at
}

// otsu returns the first bin of the upper of the two classes with the least
// variance within (Otsu 1979); it is at least 1 and less than the number of bins.
func otsu(counts []float64) int {
	var total, sum float64
	for b, c := range counts {
		total += c
		sum += c * float64(b)
	}
	var below, belowSum, best float64
	at := 1
	for b, c := range counts[:len(counts)-1] {
		below += c
		belowSum += c * float64(b)
		if below == 0 || below == total {
			continue
		}
		gap := belowSum/below - (sum-belowSum)/(total-below)
		if between := below * (total - below) * gap * gap; between > best {
			best, at = between, b+1
		}
	}
	return at
}
