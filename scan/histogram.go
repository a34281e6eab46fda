package scan

import "math"

const (
	histogramBins = 64
	// histogramRange is the largest movement over the least that has a bin of its
	// own. Moved rows lie within a factor of a thousand; a row whose movement was
	// all shared would stretch the axis without end.
	histogramRange = 1e4
)

// newHistogram counts positive, finite movements. Movements that are 0 or too
// small for the range go to the first bin. It is nil where there are none.
func newHistogram(movements []float64) *Histogram {
	low, high := math.Inf(1), 0.0
	for _, x := range movements {
		high = max(high, x)
		if x > 0 {
			low = min(low, x)
		}
	}
	if !(high > 0) || math.IsInf(high, 0) {
		return nil
	}
	h := &Histogram{Low: max(low, high/histogramRange), High: high, Counts: make([]int, histogramBins)}
	scale := histogramBins / math.Log(h.High/h.Low) // infinite where all rows moved alike
	for _, x := range movements {
		bin := 0
		if x > h.Low {
			bin = min(histogramBins-1, int(scale*math.Log(x/h.Low)))
		}
		h.Counts[bin]++
	}
	return h
}
