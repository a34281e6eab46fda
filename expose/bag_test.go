package expose

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A run of PyTorch, which testdata/scripts/make_expose_vectors.py writes.
type vectors struct {
	Vocabulary, Dim, Classes, Batch int
	LR, Decay                       float64
	Examples                        []struct {
		IDs   []int32 `json:"ids"`
		Label int
	}
	Embedding, Weight, Bias, Trained []float32
	Losses                           []float64
}

func TestBagIsPyTorchs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "bag.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var all []example
	for _, e := range v.Examples {
		all = append(all, example{e.IDs, e.Label})
	}
	head := newLinear(v.Dim, v.Classes, func() float64 { return 0 })
	copy(head.w, v.Weight)
	copy(head.b, v.Bias)
	b, err := newBag(t.Context(), table{v.Embedding, v.Dim}, head, all, Options{LR: v.LR, Decay: v.Decay})
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for range 2 {
		for batch := range slices.Chunk(all, v.Batch) {
			losses = append(losses, b.train(batch))
		}
	}
	for i, want := range v.Losses {
		if math.Abs(losses[i]-want) > 1e-6 {
			t.Errorf("step %d: loss %v, PyTorch has %v", i+1, losses[i], want)
		}
	}
	var got []float32
	for id := range v.Vocabulary {
		got = append(got, b.trained(id)...)
	}
	moved := 0
	for i, want := range v.Trained {
		if math.Abs(float64(got[i]-want)) > 2e-6 {
			t.Errorf("token %d, dimension %d: %v, PyTorch has %v", i/v.Dim, i%v.Dim, got[i], want)
		}
		if math.Abs(float64(want-v.Embedding[i])) > 1e-4 {
			moved++
		}
	}
	if moved < len(got)/2 {
		t.Errorf("%d of %d numbers moved: nothing was compared", moved, len(got))
	}
}

// randomData returns an embedding of n rows and texts of a third of its tokens,
// whose labels are drawn.
func randomData(seed uint64, n, dim, classes, texts int) (table, Data) {
	r := rand.New(rand.NewPCG(seed, 1))
	ref := table{make([]float32, n*dim), dim}
	for i := range ref.rows {
		ref.rows[i] = float32(r.NormFloat64()) / 10
	}
	data := Data{Classes: classes}
	for i := range texts {
		var ids []int32
		for range 3 + r.IntN(10) {
			ids = append(ids, int32(r.IntN(n)))
		}
		data.Sequences, data.Labels = append(data.Sequences, ids), append(data.Labels, i%classes)
	}
	return ref, data
}

func TestLinearGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	l := newLinear(5, 3, r.NormFloat64)
	h := make([]float32, 5)
	for i := range h {
		h[i] = float32(r.NormFloat64())
	}
	y, dy, dh, tmp := make([]float32, 3), make([]float32, 3), make([]float32, 5), make([]float32, 5)
	loss := func() float64 {
		l.forward(y, h)
		return crossEntropy(dy, y, 1, 0.5) / 2
	}
	loss()
	l.backward(dh, dy, tmp)
	l.params(dy, h, tmp)
	for _, c := range []struct {
		what string
		x, g []float32
	}{{"h", h, dh}, {"W", l.w, slices.Clone(l.gw)}, {"b", l.b, slices.Clone(l.gb)}} {
		for i := range c.x {
			const step = 1e-2
			old := c.x[i]
			c.x[i] = old + step
			up := loss()
			c.x[i] = old - step
			down := loss()
			c.x[i] = old
			if want := (up - down) / (2 * step); math.Abs(want-float64(c.g[i])) > 1e-4 {
				t.Errorf("gradient of %s[%d]: %v, want %v", c.what, i, c.g[i], want)
			}
		}
	}
}

// table is an embedding in memory.
type table struct {
	rows []float32
	dim  int
}

func (t table) Len() int { return len(t.rows) / t.dim }
func (t table) Dim() int { return t.dim }
func (t table) ReadRows(_ context.Context, dst []float32, from int) error {
	copy(dst, t.rows[from*t.dim:])
	return nil
}

// broken is an embedding that cannot be read.
type broken struct{ table }

func (broken) ReadRows(context.Context, []float32, int) error { return os.ErrClosed }
