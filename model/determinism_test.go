package model

import (
	"fmt"
	"slices"
	"testing"

	"github.com/btu-scan/btu-scan/model/arch"
)

// A record is what a test saw of a model.
type record struct {
	logits, hidden, inputs []float32
	grads, trained         map[string][]float32
}

// observe runs a batch forth and back.
func observe(t testing.TB, m *Model, b *arch.Batch) (r record) {
	t.Helper()
	m.engine.ZeroGrads()
	r.logits = forward(t, m, b, true)
	r.hidden = slices.Clone(m.engine.Hidden())
	r.inputs = differentiate(t, m, b, arch.AllGrads)
	r.grads = each(t, m, gradient)
	return r
}

func (r record) same(t testing.TB, what string, want record) {
	t.Helper()
	sameBits(t, what+": logits", r.logits, want.logits)
	sameBits(t, what+": hidden states", r.hidden, want.hidden)
	sameBits(t, what+": gradients of the inputs", r.inputs, want.inputs)
	sameParams(t, what+": gradient", r.grads, want.grads)
	sameParams(t, what+": values after training", r.trained, want.trained)
}

// steps trains on a loss of any task.
func steps(t testing.TB, m *Model, n int, b *arch.Batch) {
	t.Helper()
	tr := m.Trainer(TrainOptions{LR: 1e-2, Decay: 0.1, MaxNorm: 1})
	for range n {
		m.engine.ZeroGrads()
		differentiate(t, m, b, arch.AllGrads)
		if err := tr.update(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Any number of workers computes the same bits, whether the matrices are packed
// beforehand or not.
func TestWorkers(t *testing.T) {
	forEach(t, allModels(t), func(t *testing.T, name string) {
		var want record
		for i, workers := range []int{1, 2, 3, 7} {
			m := openModel(t, name, Options{Workers: workers})
			b := arch.NewBatch(random(m, 5, 17, 1, 40, 3, 3, 29, 12)...)
			frozen := observe(t, m, b)
			m = openModel(t, name, Options{Workers: workers, Train: true})
			got := observe(t, m, b)
			steps(t, m, 3, b)
			got.trained = each(t, m, values)
			if i == 0 {
				want = got
			}
			frozen.trained = want.trained
			got.same(t, fmt.Sprintf("%d workers", workers), want)
			frozen.same(t, fmt.Sprintf("%d workers, not to be trained", workers), want)
		}
	})
}

// rowsOf are the output rows of each sequence of a batch.
func rowsOf(m *Model, b *arch.Batch, out []float32) [][]float32 {
	width := m.net.Width()
	rows := make([][]float32, b.Len())
	for i := range rows {
		if m.net.Task == arch.Generate {
			rows[i] = out[b.Starts[i]*width : b.Starts[i+1]*width]
		} else {
			rows[i] = out[i*width : (i+1)*width]
		}
	}
	return rows
}

// What comes out for a sequence does not depend on the others, on their order,
// or on what was run before.
func TestBatches(t *testing.T) {
	forEach(t, allModels(t), func(t *testing.T, name string) {
		m := openModel(t, name, Options{Workers: 2})
		sequences := random(m, 9, 5, 31, 1, 12, 12, 40, 2, 20)
		var alone [][]float32
		for _, s := range sequences {
			alone = append(alone, forward(t, m, arch.NewBatch(s), false))
		}
		order := []int{3, 7, 0, 2, 6, 5, 1, 4}
		for n := 1; n <= len(order); n++ {
			for _, keep := range []bool{false, true} {
				var some [][]int32
				for _, i := range order[:n] {
					some = append(some, sequences[i])
				}
				b := arch.NewBatch(some...)
				for k, row := range rowsOf(m, b, forward(t, m, b, keep)) {
					sameBits(t, fmt.Sprintf("sequence %d of %d, kept %t", k, n, keep), row, alone[order[k]])
				}
			}
		}
		predicted, err := m.Predict(t.Context(), sequences)
		if err != nil {
			t.Fatal(err)
		}
		width := m.net.Width()
		for i, row := range predicted {
			sameBits(t, fmt.Sprintf("prediction %d", i), row, alone[i][len(alone[i])-width:])
		}
	})
}

// The tokens that no head sees need not be computed to the end: what comes out, and
// what goes back to the inputs, has the same bits.
func TestUnseenTokens(t *testing.T) {
	forEach(t, allModels(t), func(t *testing.T, name string) {
		for _, train := range []bool{false, true} {
			opt := Options{Workers: 2, Train: train}
			m := openModel(t, name, opt)
			opt.AllHidden = true
			whole := openModel(t, name, opt)
			b := arch.NewBatch(random(m, 6, 31, 1, 12, 40, 2)...)
			if m.net.Task == arch.Generate {
				b.Positions = []int{3, 4, 5, 30, 35, 44, 84} // in runs, and none of the last sequence
			}
			sameBits(t, "logits", forward(t, m, b, false), forward(t, whole, b, false))
			want := forward(t, whole, b, true)
			sameBits(t, "logits of a pass that is kept", forward(t, m, b, true), want)
			dout := slices.Clone(want)
			inputs, err := m.engine.Backward(t.Context(), dout, arch.EmbeddingGrads)
			if err != nil {
				t.Fatal(err)
			}
			wantInputs, err := whole.engine.Backward(t.Context(), dout, arch.EmbeddingGrads)
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, "gradients of the inputs", inputs, wantInputs)
		}
	})
}

// Predict cuts long lists into passes and keeps the order.
func TestPredictManySequences(t *testing.T) {
	m := openModel(t, "bert", Options{})
	var lengths []int
	for i := range 100 {
		lengths = append(lengths, 1+i*37%48)
	}
	sequences := random(m, 1, lengths...)
	got, err := m.Predict(t.Context(), sequences)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range sequences {
		sameBits(t, fmt.Sprintf("prediction %d", i), got[i], forward(t, m, arch.NewBatch(s), false))
	}
}

// A pass does not see what earlier ones left in the memory that it uses again.
func TestPassesDoNotMix(t *testing.T) {
	forEach(t, kinds, func(t *testing.T, name string) {
		for _, train := range []bool{false, true} {
			opt := Options{Workers: 2, Train: train}
			var batches []*arch.Batch
			var fresh []record
			for seed, lengths := range [][]int{{9, 4}, {40, 40, 40, 13}, {2}} {
				m := openModel(t, name, opt)
				b := arch.NewBatch(random(m, uint64(seed), lengths...)...)
				batches, fresh = append(batches, b), append(fresh, observe(t, m, b))
			}
			m := openModel(t, name, opt)
			for pass, i := range []int{0, 0, 1, 2, 1, 0, 2, 2, 0} {
				observe(t, m, batches[i]).same(t, fmt.Sprintf("pass %d", pass), fresh[i])
				forward(t, m, batches[(i+1)%3], pass%2 == 0)
			}
		}
	})
}

// Rows given in place of ids give the same bits, and so do the rows of some
// positions.
func TestInputsAndPositions(t *testing.T) {
	forEach(t, allModels(t), func(t *testing.T, name string) {
		m := openModel(t, name, Options{Workers: 2})
		b := arch.NewBatch(random(m, 4, 8, 1, 21)...)
		want := observe(t, m, b)
		tokens := values(t, m, m.net.Embedding.Tokens.Name)
		dim := m.net.Embedding.Dim
		given := *b
		for _, id := range b.IDs {
			given.Inputs = append(given.Inputs, tokens[int(id)*dim:][:dim]...)
		}
		got := observe(t, m, &given)
		// The rows are not the embedding's, so it has no gradient but as a head.
		name = m.net.Embedding.Tokens.Name
		if !m.net.Head.Tied && !isZero(got.grads[name]) {
			t.Error("the embedding has a gradient of rows that are not its own")
		}
		got.grads[name] = want.grads[name]
		got.same(t, "rows given", want)

		if m.net.Task != arch.Generate {
			return
		}
		some := *b
		some.Positions = []int{0, 3, 7, 8, 20, 29}
		width := m.net.Width()
		out := forward(t, m, &some, true)
		var dout []float32
		for k, p := range some.Positions {
			sameBits(t, fmt.Sprintf("position %d", p), out[k*width:][:width], want.logits[p*width:][:width])
			dout = append(dout, weights(width * len(b.IDs))[p*width:][:width]...)
		}
		// A loss of these positions alone has the gradients of one in which the
		// others do not count, but for rounding.
		m.engine.ZeroGrads()
		inputs, err := m.engine.Backward(t.Context(), dout, arch.AllGrads)
		if err != nil {
			t.Fatal(err)
		}
		inputs, grads := slices.Clone(inputs), each(t, m, gradient)
		forward(t, m, b, true)
		all := make([]float32, width*len(b.IDs))
		for k, p := range some.Positions {
			copy(all[p*width:][:width], dout[k*width:])
		}
		m.engine.ZeroGrads()
		wantInputs, err := m.engine.Backward(t.Context(), all, arch.AllGrads)
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(inputs, wantInputs, 1e-3); !(d < 1e-5) {
			t.Errorf("gradients of the inputs are off by %.2g", d)
		}
		for name, g := range each(t, m, gradient) {
			if d := distance(grads[name], g, 1e-2); !(d < 1e-5) {
				t.Errorf("gradients of %s are off by %.2g", name, d)
			}
		}
	})
}

// A checkpoint in half precision gives the bits of the same numbers in single.
func TestHalfPrecision(t *testing.T) {
	forEach(t, []string{"bert-f16", "llama-bf16"}, func(t *testing.T, name string) {
		half := openModel(t, name, Options{})
		dir := writeModel(t, configOf(t, name), half.net.Params, each(t, half, values))
		b := arch.NewBatch(random(half, 2, 33, 7, 1)...)
		want := observe(t, openDir(t, dir, Options{}), b)
		observe(t, half, b).same(t, "in half precision", want)
		observe(t, openModel(t, name, Options{Train: true}), b).same(t, "in half precision, to be trained", want)
	})
}
