package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/model/arch"
)

// always matches all parameters.
func always(string) bool { return true }

// plainAdamW is AdamW in float64, as its paper has it.
type plainAdamW struct {
	opt     TrainOptions
	w, m, v map[string][]float64
	steps   int
}

func newPlainAdamW(t testing.TB, m *Model, opt TrainOptions) *plainAdamW {
	t.Helper()
	a := &plainAdamW{opt: m.Trainer(opt).opt, w: map[string][]float64{}, m: map[string][]float64{}, v: map[string][]float64{}}
	for name, w := range each(t, m, values) {
		for _, x := range w {
			a.w[name] = append(a.w[name], float64(x))
		}
		a.m[name], a.v[name] = make([]float64, len(w)), make([]float64, len(w))
	}
	return a
}

func (a *plainAdamW) group(name string) *Group {
	for i := range a.opt.Groups {
		if g := &a.opt.Groups[i]; g.Match(name) {
			return g
		}
	}
	return nil
}

// trains reports whether element i of a parameter is trained.
func trains(g *Group, n, i int) bool { return g.Rows == nil || g.Rows[i*len(g.Rows)/n] }

func (a *plainAdamW) step(grads map[string][]float32) (norm float64) {
	for name, g := range grads {
		if group := a.group(name); group != nil {
			for i, x := range g {
				if trains(group, len(g), i) {
					norm += float64(x) * float64(x)
				}
			}
		}
	}
	norm = math.Sqrt(norm)
	scale := 1.0
	if a.opt.MaxNorm > 0 {
		scale = min(1, a.opt.MaxNorm/(norm+1e-6))
	}
	factor := a.opt.Schedule(a.steps)
	a.steps++
	bias1, bias2 := 1-math.Pow(a.opt.Beta1, float64(a.steps)), 1-math.Pow(a.opt.Beta2, float64(a.steps))
	for name, w := range a.w {
		group := a.group(name)
		if group == nil {
			continue
		}
		lr, m, v := group.LR*factor, a.m[name], a.v[name]
		for i := range w {
			if !trains(group, len(w), i) {
				continue
			}
			g := scale * float64(grads[name][i])
			m[i] = a.opt.Beta1*m[i] + (1-a.opt.Beta1)*g
			v[i] = a.opt.Beta2*v[i] + (1-a.opt.Beta2)*g*g
			w[i] -= lr * group.Decay * w[i]
			w[i] -= lr * m[i] / bias1 / (math.Sqrt(v[i]/bias2) + a.opt.Eps)
		}
	}
	return norm
}

// check compares a model with the numbers of plain AdamW.
func (a *plainAdamW) check(t testing.TB, m *Model, what string) {
	t.Helper()
	for name, got := range each(t, m, values) {
		for i, w := range a.w[name] {
			if d := math.Abs(float64(got[i]) - w); !(d <= 1e-6*max(1, math.Abs(w))) {
				t.Errorf("%s: number %d of %s is %v, not %v", what, i, name, got[i], w)
				break
			}
		}
	}
}

// rowsBut is a mask of n rows without some.
func rowsBut(n int, without ...int) []bool {
	mask := make([]bool, n)
	for i := range mask {
		mask[i] = !slices.Contains(without, i)
	}
	return mask
}

// Steps of a Trainer are those of AdamW: of all parameters, of groups, of some
// rows, with and without a limit. Each batch has tokens that the next ones do
// not, and most tokens are in none.
func TestAdamW(t *testing.T) {
	const vocab = 61
	isEmbedding := func(name string) bool {
		return strings.Contains(name, "word_embeddings") || strings.Contains(name, "wte")
	}
	for name, opt := range map[string]TrainOptions{
		"plain":    {LR: 1e-2},
		"decay":    {LR: 1e-2, Decay: 0.3},
		"limit":    {LR: 1e-2, Decay: 0.1, MaxNorm: 0.05},
		"far":      {LR: 1e-2, MaxNorm: 1e9},
		"betas":    {LR: 1e-2, Beta1: 0.5, Beta2: 0.6, Eps: 1e-3},
		"schedule": {LR: 1e-2, Decay: 0.1, Schedule: Linear(2, 4)},
		"groups": {MaxNorm: 0.1, Groups: []Group{
			{Match: func(name string) bool { return strings.HasSuffix(name, ".bias") }, LR: 1e-2},
			{Match: func(name string) bool { return strings.Contains(name, "layer.1.") || strings.Contains(name, "h.1.") }, LR: 2e-2, Decay: 0.5},
			{Match: isEmbedding, LR: 1e-3, Decay: 0.2},
		}},
		"rows": {MaxNorm: 0.1, Groups: []Group{
			{Match: isEmbedding, LR: 1e-2, Decay: 0.4, Rows: rowsBut(vocab, 7, 9, 30, 60)},
		}},
		"rows and the rest": {Groups: []Group{
			{Match: isEmbedding, LR: 1e-2, Decay: 0.4, Rows: rowsBut(vocab, 7, 9, 30, 60)},
			{Match: always, LR: 1e-3},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, model := range []string{"bert", "gpt2"} { // rows of their own, and tied to a head
				m := openModel(t, model, Options{Train: true})
				tr, plain := m.Trainer(opt), newPlainAdamW(t, m, opt)
				for step, ids := range [][]int32{{7, 8, 9, 10}, {9, 11, 11}, {8, 30, 12, 13}, {7, 7}, {20, 9}} {
					b := arch.NewBatch(ids, ids[:2])
					loss, err := tr.Step(t.Context(), b, targets(m, b))
					if err != nil || !(loss > 0) {
						t.Fatalf("loss %v, %v", loss, err)
					}
					plain.step(each(t, m, gradient))
					plain.check(t, m, fmt.Sprintf("%s, step %d", model, step+1))
				}
			}
		})
	}
}

// What no group matches keeps its bits, and so do the rows that a mask leaves
// out, whatever their gradients and the decay; neither counts in the norm.
func TestFrozen(t *testing.T) {
	const tokens = "bert.embeddings.word_embeddings.weight"
	m := openModel(t, "bert", Options{Train: true})
	before := each(t, m, values)
	mask := rowsBut(61, 5, 6, 50)
	b := arch.NewBatch([]int32{5, 6, 7}, []int32{6, 8})
	opt := TrainOptions{MaxNorm: 1, Groups: []Group{
		{Match: func(name string) bool { return name == tokens }, LR: 0.1, Decay: 0.5, Rows: mask},
		{Match: func(name string) bool { return name == "classifier.bias" }, LR: 0.1},
		{Match: func(name string) bool { return name == "classifier.weight" }, LR: 0.1, Rows: []bool{false, true, false}},
	}}
	tr := m.Trainer(opt)
	for range 3 {
		if _, err := tr.Step(t.Context(), b, targets(m, b)); err != nil {
			t.Fatal(err)
		}
	}
	for name, w := range each(t, m, values) {
		switch name {
		case tokens:
			for i, trained := range mask {
				row, was := w[i*24:(i+1)*24], before[name][i*24:(i+1)*24]
				if trained == slices.Equal(row, was) {
					t.Errorf("row %d: trained %t", i, trained)
				}
			}
		case "classifier.weight":
			sameBits(t, "row 0", w[:24], before[name][:24])
			sameBits(t, "row 2", w[48:], before[name][48:])
			if slices.Equal(w[24:48], before[name][24:48]) {
				t.Error("row 1 of the classifier is as it was")
			}
		case "classifier.bias":
			if slices.Equal(w, before[name]) {
				t.Error("the classifier's bias is as it was")
			}
		default:
			sameBits(t, name, w, before[name])
		}
	}

	m.engine.ZeroGrads()
	if _, _, err := m.Backward(t.Context(), b, targets(m, b), arch.AllGrads); err != nil {
		t.Fatal(err)
	}
	want := newPlainAdamW(t, m, opt).step(each(t, m, gradient))
	got, err := m.engine.Update(t.Context(), arch.Update{Step: 4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxNorm: 1, Param: func(name string) arch.ParamUpdate {
		for _, g := range opt.Groups {
			if g.Match(name) {
				return arch.ParamUpdate{Rows: g.Rows}
			}
		}
		return arch.ParamUpdate{Frozen: true}
	}})
	if err != nil || math.Abs(got-want) > 1e-6*want {
		t.Errorf("the norm is %v, %v, not %v", got, err, want)
	}
}

// A row that is in no batch decays, and nothing else.
func TestDecayOfUnseenRows(t *testing.T) {
	m := openModel(t, "bert", Options{Train: true})
	name := m.net.Embedding.Tokens.Name
	before := values(t, m, name)
	tr := m.Trainer(TrainOptions{LR: 0.05, Decay: 0.4})
	b := arch.NewBatch([]int32{5, 6, 7})
	const n = 6
	for range n {
		if _, err := tr.Step(t.Context(), b, targets(m, b)); err != nil {
			t.Fatal(err)
		}
	}
	after := values(t, m, name)
	factor := math.Pow(1-0.05*0.4, n)
	for i, w := range before {
		seen, want := i/24 >= 5 && i/24 <= 7, float64(w)*factor
		if near := math.Abs(float64(after[i])-want) <= 1e-6*math.Abs(want); near == seen {
			t.Errorf("number %d of row %d went from %v to %v; decay makes it %v", i%24, i/24, w, after[i], want)
		}
	}
}

func TestLinear(t *testing.T) {
	for _, row := range []struct {
		warmUp, total int
		want          []float64
	}{
		{0, 4, []float64{1, 0.75, 0.5, 0.25, 0, 0}},
		{2, 6, []float64{0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0}},
		{3, 3, []float64{0, 1.0 / 3, 2.0 / 3, 0, 0}},
		{4, 2, []float64{0, 0.25, 0.5, 0.75, 0}},
		{0, 0, []float64{0, 0}},
	} {
		s := Linear(row.warmUp, row.total)
		for step, want := range row.want {
			if got := s(step); got != want {
				t.Errorf("%d of %d: %v at step %d, not %v", row.warmUp, row.total, got, step, want)
			}
		}
	}
}

// A loss that is no number is reported, and costs neither the parameters nor a
// step.
func TestDiverged(t *testing.T) {
	m, fine := openModel(t, "bert", Options{Train: true}), openModel(t, "bert", Options{Train: true})
	opt := TrainOptions{LR: 1e-2, Decay: 0.1, Schedule: Linear(1, 4)}
	tr, other := m.Trainer(opt), fine.Trainer(opt)
	b := arch.NewBatch([]int32{5, 6, 7}, []int32{9})
	step := func(tr *Trainer) {
		t.Helper()
		if _, err := tr.Step(t.Context(), b, []int{0, 1}); err != nil {
			t.Fatal(err)
		}
	}
	step(tr)
	step(other)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		before := each(t, m, values)
		edit(t, m, "bert.pooler.dense.bias", func(w []float32) { w[3] = float32(math.NaN()) })
		edit(t, m, "classifier.bias", func(w []float32) { w[0] = bad })
		spoilt := each(t, m, values)
		loss, err := tr.Step(t.Context(), b, []int{1, 1})
		if !errors.Is(err, ErrDiverged) || loss-loss == 0 {
			t.Errorf("loss %v, %v", loss, err)
		}
		sameParams(t, "values", each(t, m, values), spoilt)
		for name, w := range before {
			edit(t, m, name, func(dst []float32) { copy(dst, w) })
		}
	}
	if _, err := tr.Step(t.Context(), b, []int{-1, -1}); err == nil || errors.Is(err, ErrDiverged) {
		t.Errorf("no targets: %v", err)
	}
	for range 2 {
		step(tr)
		step(other)
	}
	sameParams(t, "values after further steps", each(t, m, values), each(t, fine, values))
}

// A batch that is refused is no step either.
func TestStepErrors(t *testing.T) {
	m := openModel(t, "bert", Options{Train: true})
	before := each(t, m, values)
	tr := m.Trainer(TrainOptions{LR: 1})
	for name, step := range map[string]func() (float64, error){
		"a bad batch":      func() (float64, error) { return tr.Step(t.Context(), arch.NewBatch([]int32{-1}), []int{0}) },
		"a bad target":     func() (float64, error) { return tr.Step(t.Context(), arch.NewBatch([]int32{5}), []int{3}) },
		"too few targets":  func() (float64, error) { return tr.Step(t.Context(), arch.NewBatch([]int32{5}, []int32{6}), []int{1}) },
		"too many targets": func() (float64, error) { return tr.Step(t.Context(), arch.NewBatch([]int32{5}), []int{1, 1, 1}) },
		"a cancelled context": func() (float64, error) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return tr.Step(ctx, arch.NewBatch([]int32{5}), []int{1})
		},
	} {
		if _, err := step(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	sameParams(t, "values", each(t, m, values), before)
}

// After Edit, a model is the one that was opened with these values.
func TestEdit(t *testing.T) {
	forEach(t, kinds, func(t *testing.T, name string) {
		for _, train := range []bool{false, true} {
			opt := Options{Workers: 1, Train: train}
			m := openModel(t, name, opt)
			b := arch.NewBatch(random(m, 3, 6, 11)...)
			original := forward(t, m, b, false)
			data := each(t, m, values)
			for _, p := range m.net.Params {
				change := func(w []float32) {
					for i := range w {
						w[i] += float32(i%5+1) / 8
					}
				}
				changed := maps.Clone(data)
				changed[p.Name] = slices.Clone(data[p.Name])
				change(changed[p.Name])
				edit(t, m, p.Name, change)
				got := forward(t, m, b, false)
				want := forward(t, openDir(t, writeModel(t, configOf(t, name), m.net.Params, changed), opt), b, false)
				sameBits(t, "after a change of "+p.Name, got, want)
				// All keys of a token moving by one bias changes no weight.
				if key := strings.Contains(p.Name, "key.bias") || strings.Contains(p.Name, "k.bias") || strings.Contains(p.Name, "k_lin.bias"); !key && slices.Equal(got, original) {
					t.Errorf("a change of %s shows nowhere", p.Name)
				}
				sameBits(t, p.Name, values(t, m, p.Name), changed[p.Name])
				edit(t, m, p.Name, func(w []float32) { copy(w, data[p.Name]) })
			}
			sameBits(t, "when all is as it was", forward(t, m, b, false), original)
		}
	})
	m := openModel(t, "bert", Options{})
	if err := m.engine.Edit(t.Context(), "nothing", func([]float32) { t.Error("called") }); err == nil {
		t.Error("Edit of no parameter")
	}
	if _, err := m.engine.Values(t.Context(), "nothing"); err == nil {
		t.Error("Values of no parameter")
	}
	if _, err := m.engine.Gradient("nothing"); err == nil {
		t.Error("Gradient of no parameter")
	}
}

// Values and Gradient are copies.
func TestCopies(t *testing.T) {
	m := openModel(t, "bert", Options{Train: true})
	b := arch.NewBatch([]int32{5, 6})
	differentiate(t, m, b, arch.AllGrads)
	for name, get := range map[string]func(testing.TB, *Model, string) []float32{"values": values, "gradient": gradient} {
		want := get(t, m, "classifier.weight")
		clear(get(t, m, "classifier.weight"))
		sameBits(t, name, get(t, m, "classifier.weight"), want)
	}
}

// Each level of gradients has those of the levels before, to the bit.
func TestLevels(t *testing.T) {
	forEach(t, kinds, func(t *testing.T, name string) {
		m := openModel(t, name, Options{})
		b := arch.NewBatch(random(m, 8, 13, 4, 1)...)
		tokens := m.net.Embedding.Tokens.Name
		inputs := map[arch.Grads][]float32{}
		grads := map[arch.Grads]map[string][]float32{}
		for _, want := range []arch.Grads{arch.AllGrads, arch.EmbeddingGrads, arch.InputGrads} {
			m.engine.ZeroGrads()
			inputs[want] = differentiate(t, m, b, want)
			grads[want] = each(t, m, gradient)
		}
		sameBits(t, "gradients of the embedding", grads[arch.EmbeddingGrads][tokens], grads[arch.AllGrads][tokens])
		for _, want := range []arch.Grads{arch.EmbeddingGrads, arch.InputGrads} {
			sameBits(t, "gradients of the inputs", inputs[want], inputs[arch.AllGrads])
			for _, p := range m.net.Params {
				if (want == arch.InputGrads || p.Name != tokens) && !isZero(grads[want][p.Name]) {
					t.Errorf("%s has a gradient at level %d", p.Name, want)
				}
			}
		}
		for _, p := range m.net.Params {
			if isZero(grads[arch.AllGrads][p.Name]) {
				t.Errorf("%s has no gradient", p.Name)
			}
		}
	})
	m := openModel(t, "bert", Options{})
	b := arch.NewBatch([]int32{5, 6})
	loss, inputs, err := m.Backward(t.Context(), b, []int{1}, arch.NoGrads)
	if err != nil || !(loss > 0) || inputs != nil {
		t.Errorf("a loss alone: %v, %v, %v", loss, inputs, err)
	}
}

// ZeroGrads forgets all, numbers that are none included.
func TestZeroGrads(t *testing.T) {
	forEach(t, kinds, func(t *testing.T, name string) {
		m := openModel(t, name, Options{Train: true})
		for p, g := range each(t, m, gradient) {
			if !isZero(g) {
				t.Errorf("%s begins with a gradient", p)
			}
		}
		sequences := random(m, 8, 9, 5)
		b, spoilt := arch.NewBatch(sequences...), arch.NewBatch(random(m, 2, 7)...)
		want := observe(t, m, b)
		spoilt.Inputs = make([]float32, len(spoilt.IDs)*m.net.Embedding.Dim)
		spoilt.Inputs[0] = float32(math.NaN())
		differentiate(t, m, spoilt, arch.AllGrads)
		spoilt.Inputs = nil
		edit(t, m, m.net.Embedding.Tokens.Name, func(w []float32) { w[0] = -w[0] })
		differentiate(t, m, spoilt, arch.AllGrads)
		edit(t, m, m.net.Embedding.Tokens.Name, func(w []float32) { w[0] = -w[0] })
		m.engine.ZeroGrads()
		for p, g := range each(t, m, gradient) {
			if !isZero(g) {
				t.Errorf("%s keeps its gradient", p)
			}
		}
		observe(t, m, b).same(t, "after ZeroGrads", want)
	})
}

// Backward adds: the gradients of two passes are the sum of theirs.
func TestAccumulation(t *testing.T) {
	forEach(t, kinds, func(t *testing.T, name string) {
		m := openModel(t, name, Options{})
		one, two := arch.NewBatch(random(m, 8, 9, 5)...), arch.NewBatch(random(m, 9, 2, 14, 3)...)
		first, second := observe(t, m, one), observe(t, m, two)
		m.engine.ZeroGrads()
		differentiate(t, m, one, arch.AllGrads)
		differentiate(t, m, two, arch.AllGrads)
		for p, g := range each(t, m, gradient) {
			for i := range first.grads[p] {
				first.grads[p][i] += second.grads[p][i]
			}
			// Those of the biases of keys are zero but for rounding.
			if d := distance(g, first.grads[p], 1e-2); !(d < 5e-6) {
				t.Errorf("the sum of %s is off by %.2g", p, d)
			}
		}
	})
}

// A model learns what it is shown.
func TestTraining(t *testing.T) {
	forEach(t, []string{"bert", "gpt2", "gemma3"}, func(t *testing.T, name string) {
		m := openModel(t, name, Options{Train: true})
		b := arch.NewBatch(random(m, 8, 9, 5, 12)...)
		tr := m.Trainer(TrainOptions{LR: 1e-2, MaxNorm: 1, Schedule: Linear(3, 40)})
		var losses []float64
		for range 40 {
			loss, err := tr.Step(t.Context(), b, targets(m, b))
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, loss)
		}
		if first, last := losses[0], losses[39]; !(last < first/20) {
			t.Errorf("the loss went from %v to %v", first, last)
		}
	})
}
