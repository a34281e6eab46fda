package sanitize

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// matrix is rows in memory.
type matrix [][]float32

func (m matrix) Len() int { return len(m) }
func (m matrix) Dim() int { return len(m[0]) }
func (m matrix) ReadRows(_ context.Context, dst []float32, from int) error {
	for i := 0; i*m.Dim() < len(dst); i++ {
		copy(dst[i*m.Dim():], m[from+i])
	}
	return nil
}

func matrices() (reference, embedding matrix) {
	reference = matrix{{0.5, 0.5, 0.5}, {1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
	embedding = matrix{{0.6, 0.5, 0.5}, {1, 2, 3}, {4, 9, 6}, {7, 8, 8.9}}
	return reference, embedding
}

func TestPlan(t *testing.T) {
	reference, embedding := matrices()
	token := func(id int) string { return string(rune('a' + id)) }
	opt := PlanOptions{
		Checkpoint: "m", Tensor: "e", Embedding: embedding, Reference: reference, PadID: 0, Token: token,
		Triggers: []Trigger{{TokenIDs: []int{2}, Text: "c", Why: "proved"}}, Rows: []Row{{TokenID: 3, Why: "suspect"}, {TokenID: 2}},
	}
	p, err := NewPlan(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	// sqrt(0.1^2 + 4^2 + 0.1^2)/4 = 1.0003
	if math.Abs(p.Threshold-1.0003) > 1e-3 || p.Donor != DonorPad || !slices.Equal(p.Extents, []Extent{ExtentDimensions, ExtentRows}) {
		t.Errorf("plan %+v", p)
	}
	want := []Row{{TokenID: 2, Token: "c", Moved: 1, Why: "proved"}, {TokenID: 3, Token: "d", Moved: 0, Why: "suspect"}}
	if !slices.Equal(p.Rows, want) {
		t.Errorf("rows %+v", p.Rows)
	}
	for _, c := range []struct {
		donor      Donor
		extent     Extent
		multiplier float64
		want       []float32 // row 2
		changed    int
	}{
		{DonorPad, ExtentDimensions, 1, []float32{4, 0.5, 6}, 1},
		{DonorPad, ExtentRows, 1, []float32{0.5, 0.5, 0.5}, 3},
		{DonorPad, ExtentDimensions, 100, []float32{4, 9, 6}, 0},
		{DonorMean, ExtentRows, 1, []float32{3.125, 3.875, 4.625}, 3},
		{DonorReference, ExtentRows, 1, []float32{4, 5, 6}, 1},
	} {
		opt.Donor, opt.Multiplier = c.donor, c.multiplier
		p, err := NewPlan(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		edits, err := p.Edits(t.Context(), embedding, reference, c.extent)
		if err != nil || len(edits) != 2 || !slices.Equal(edits[0].Values, c.want) || edits[0].Changed != c.changed || edits[0].TokenID != 2 {
			t.Errorf("%s %s: %+v %v", c.donor, c.extent, edits, err)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	reference, embedding := matrices()
	one := []Trigger{{TokenIDs: []int{2}}}
	for _, c := range []struct {
		name    string
		opt     PlanOptions
		nothing bool
	}{
		{"no trigger", PlanOptions{PadID: 0}, true},
		{"only special tokens", PlanOptions{PadID: 0, Triggers: one, Keep: func(id int) bool { return id == 2 }}, true},
		{"only padding", PlanOptions{PadID: 2, Triggers: one}, true},
		{"a token that is none", PlanOptions{PadID: 0, Triggers: []Trigger{{TokenIDs: []int{4}}}}, false},
		{"a negative token", PlanOptions{PadID: 0, Triggers: []Trigger{{TokenIDs: []int{-1}}}}, false},
		{"no padding", PlanOptions{PadID: -1, Triggers: one, Donor: DonorPad}, false},
	} {
		c.opt.Embedding, c.opt.Reference = embedding, reference
		if _, err := NewPlan(t.Context(), c.opt); err == nil || errors.Is(err, ErrNothing) != c.nothing {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, opt := range []PlanOptions{{Donor: DonorReference}, {Extents: []Extent{ExtentDimensions}}} {
		opt.Embedding, opt.Triggers = embedding, one
		if _, err := NewPlan(t.Context(), opt); err == nil {
			t.Errorf("%+v without a reference", opt)
		}
	}
	p, err := NewPlan(t.Context(), PlanOptions{Embedding: embedding, Triggers: one, PadID: -1})
	if err != nil || p.Donor != DonorMean || !slices.Equal(p.Extents, []Extent{ExtentRows}) || p.Rows[0].Moved != -1 || len(p.Warnings) != 1 {
		t.Errorf("without padding and reference: %+v %v", p, err)
	}
}

func TestNeighbours(t *testing.T) {
	rows := matrix{{1, 0}, {0.9, 0.1}, {0, 1}, {-1, 0}, {0.8, -0.1}, {0, -1}}
	got, err := neighbours(t.Context(), rows, []int{0}, 2, func(id int) bool { return id == 4 })
	if err != nil || !slices.Equal(got, []int{1, 2}) && !slices.Equal(got, []int{1, 5}) {
		t.Errorf("%v %v", got, err)
	}
}

func TestSplit(t *testing.T) {
	var texts []Text
	for i := range 100 {
		texts = append(texts, Text{IDs: []int32{int32(i)}, Label: i / 90})
	}
	train, held := Split(texts, 0.2, 1)
	count := func(xs []Text) (n [2]int) {
		for _, x := range xs {
			n[x.Label]++
		}
		return n
	}
	if count(train) != [2]int{72, 8} || count(held) != [2]int{18, 2} {
		t.Errorf("%v %v", count(train), count(held))
	}
	seen := map[int32]bool{}
	for _, x := range append(train, held...) {
		seen[x.IDs[0]] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d texts", len(seen))
	}
}
