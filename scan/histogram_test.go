package scan

import (
	"math"
	"testing"
)

func TestHistogram(t *testing.T) {
	sum := func(h *Histogram) (n int) {
		for _, c := range h.Counts {
			n += c
		}
		return n
	}
	var spread []float64
	for i := range 1000 {
		spread = append(spread, math.Exp(-4*float64(i)/999)) // evenly in the logarithm, 1 down to e^-4
	}
	h := newHistogram(spread)
	if h.High != 1 || math.Abs(h.Low-math.Exp(-4)) > 1e-12 || len(h.Counts) != histogramBins || sum(h) != 1000 {
		t.Errorf("%+v", h)
	}
	for bin, n := range h.Counts {
		if n < 14 || n > 17 {
			t.Errorf("bin %d of evenly spread movements holds %d", bin, n)
		}
	}

	// What is too small for the range, or did not move of its own, is in the first bin.
	h = newHistogram([]float64{0, 1e-300, 1e-9, 1, 1, 10})
	if h.Low != 10/histogramRange || h.High != 10 || h.Counts[0] != 3 || h.Counts[histogramBins-1] != 1 || sum(h) != 6 {
		t.Errorf("%+v", h)
	}
	if h := newHistogram([]float64{0.5, 0.5, 0.5}); h == nil || h.Counts[0] != 3 || h.Low != 0.5 || h.High != 0.5 {
		t.Errorf("equal movements: %+v", h)
	}
	if h := newHistogram([]float64{5e-324, 5e-324, 1e-323}); h == nil || sum(h) != 3 {
		t.Errorf("the smallest numbers: %+v", h)
	}
	for _, none := range [][]float64{nil, {0, 0}, {math.Inf(1), 1}} {
		if h := newHistogram(none); h != nil {
			t.Errorf("%v: %+v", none, h)
		}
	}
}

// The histogram of a scan holds every ranked row once, and its ends are those
// of the summary.
func TestWeightsHistogram(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 64, read: 1500, decay: 1e-4, seed: 1})
	ev, err := Weights(t.Context(), suspect, ref, WeightOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h, n := ev.Summary.Histogram, 0
	if h == nil {
		t.Fatal("no histogram")
	}
	for _, c := range h.Counts {
		n += c
	}
	if n != ev.Summary.RowsMoved || h.High != ev.Summary.Max || h.Low <= 0 || h.Low > ev.Summary.Median {
		t.Errorf("%d of %d rows from %v to %v, median %v, largest %v", n, ev.Summary.RowsMoved, h.Low, h.High, ev.Summary.Median, ev.Summary.Max)
	}
	same, err := Weights(t.Context(), ref, ref, WeightOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if same.Summary.Histogram != nil {
		t.Errorf("nothing moved: %+v", same.Summary.Histogram)
	}
}
