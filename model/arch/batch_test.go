package arch

import (
	"math"
	"slices"
	"testing"
)

func TestNewBatch(t *testing.T) {
	b := NewBatch([]int32{5, 6}, []int32{7}, []int32{8, 9, 5})
	if b.Len() != 3 || !slices.Equal(b.IDs, []int32{5, 6, 7, 8, 9, 5}) || !slices.Equal(b.Starts, []int{0, 2, 3, 6}) {
		t.Errorf("%+v", b)
	}
	if b := NewBatch(); b.Len() != 0 {
		t.Errorf("%+v", b)
	}
}

func TestRows(t *testing.T) {
	b := NewBatch([]int32{5, 6}, []int32{7})
	last := &Batch{IDs: b.IDs, Starts: b.Starts, Positions: []int{1, 2}}
	none := &Batch{IDs: b.IDs, Starts: b.Starts, Positions: []int{}}
	for _, row := range []struct {
		task Task
		b    *Batch
		want int
	}{{Classify, b, 2}, {Encode, last, 2}, {Generate, b, 3}, {Generate, last, 2}, {Generate, none, 0}} {
		if got := (&Network{Task: row.task}).Rows(row.b); got != row.want {
			t.Errorf("%s: %d rows for %+v, not %d", row.task, got, row.b, row.want)
		}
	}
}

func TestCheck(t *testing.T) {
	n := &Network{MaxTokens: 4, Embedding: Embedding{Tokens: Param{"tokens", []int{10, 2}}, Dim: 2}}
	ids := []int32{0, 9, 3, 4, 5}
	for _, row := range []struct {
		name string
		b    Batch
		ok   bool
	}{
		{"sound", Batch{IDs: ids, Starts: []int{0, 1, 5}}, true},
		{"inputs", Batch{IDs: ids, Starts: []int{0, 2, 5}, Inputs: make([]float32, 10)}, true},
		{"positions", Batch{IDs: ids, Starts: []int{0, 2, 5}, Positions: []int{0, 1, 4}}, true},
		{"no positions", Batch{IDs: ids, Starts: []int{0, 2, 5}, Positions: []int{}}, true},

		{"nothing", Batch{}, false},
		{"no sequence", Batch{Starts: []int{0}}, false},
		{"an empty sequence", Batch{Starts: []int{0, 0}}, false},
		{"an empty sequence first", Batch{IDs: ids[:2], Starts: []int{0, 0, 2}}, false},
		{"an empty sequence last", Batch{IDs: ids[:2], Starts: []int{0, 2, 2}}, false},
		{"begins late", Batch{IDs: ids, Starts: []int{1, 5}}, false},
		{"begins before", Batch{IDs: ids, Starts: []int{-1, 1, 5}}, false},
		{"ends early", Batch{IDs: ids, Starts: []int{0, 4}}, false},
		{"ends late", Batch{IDs: ids, Starts: []int{0, 3, 6}}, false},
		{"goes back", Batch{IDs: ids, Starts: []int{0, 4, 2, 5}}, false},
		{"beyond the end and back", Batch{IDs: ids, Starts: []int{0, math.MaxInt, 5}}, false},
		{"below zero and up", Batch{IDs: ids, Starts: []int{0, math.MinInt, 5}}, false},
		{"too long", Batch{IDs: ids, Starts: []int{0, 5}}, false},
		{"negative id", Batch{IDs: []int32{0, -1}, Starts: []int{0, 2}}, false},
		{"smallest id", Batch{IDs: []int32{math.MinInt32}, Starts: []int{0, 1}}, false},
		{"id over the vocabulary", Batch{IDs: []int32{0, 10}, Starts: []int{0, 2}}, false},
		{"largest id", Batch{IDs: []int32{math.MaxInt32}, Starts: []int{0, 1}}, false},
		{"too few inputs", Batch{IDs: ids, Starts: []int{0, 2, 5}, Inputs: make([]float32, 9)}, false},
		{"too many inputs", Batch{IDs: ids, Starts: []int{0, 2, 5}, Inputs: make([]float32, 12)}, false},
		{"empty inputs", Batch{IDs: ids, Starts: []int{0, 2, 5}, Inputs: []float32{}}, false},
		{"position out of order", Batch{IDs: ids, Starts: []int{0, 2, 5}, Positions: []int{3, 1}}, false},
		{"position twice", Batch{IDs: ids, Starts: []int{0, 2, 5}, Positions: []int{1, 1}}, false},
		{"negative position", Batch{IDs: ids, Starts: []int{0, 2, 5}, Positions: []int{-1}}, false},
		{"position of no token", Batch{IDs: ids, Starts: []int{0, 2, 5}, Positions: []int{4, 5}}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := n.Check(&row.b); (err == nil) != row.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}
