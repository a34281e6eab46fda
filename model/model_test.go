package model

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
)

// kinds are models that have, together, every kind of layer: norms after and
// before, a pooler, ReLU, the exact GELU and its approximation, biases by
// distance, projected rows, stored [in x out], rotary embeddings with shared
// keys, windows, caps, norms of queries and keys, tied and own heads.
var kinds = []string{
	"bert-gelu-new", "distilbert", "electra", "roberta-encoder", "mpnet", "gpt2", "gpt2-classifier",
	"llama", "llama-tied", "mistral", "qwen2-classifier", "gemma2", "gemma3",
}

// allModels are the names of the models in testdata/parity.
func allModels(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(parityDir, "*", "config.json"))
	if err != nil || len(files) < 26 {
		t.Fatalf("%d models in %s: %v", len(files), parityDir, err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names
}

// forEach runs a test on each of some models.
func forEach(t *testing.T, models []string, test func(t *testing.T, name string)) {
	for _, name := range models {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

func openModel(t testing.TB, name string, opt Options) *Model {
	t.Helper()
	return openDir(t, filepath.Join(parityDir, name), opt)
}

func openDir(t testing.TB, dir string, opt Options) *Model {
	t.Helper()
	m, err := Open(openCheckpoint(t, dir), opt)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// random returns sequences of those lengths, the same for the same seed.
func random(m *Model, seed uint64, lengths ...int) [][]int32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([][]int32, len(lengths))
	for i, n := range lengths {
		for range n {
			out[i] = append(out[i], int32(r.IntN(m.net.Embedding.Tokens.Shape[0])))
		}
	}
	return out
}

// targets are labels for the outputs of a batch; nil for an encoder.
func targets(m *Model, b *arch.Batch) []int {
	switch m.net.Task {
	case arch.Generate:
		return NextTokens(b)
	case arch.Encode:
		return nil
	}
	y := make([]int, b.Len())
	for i := range y {
		y[i] = (2*i + 1) % len(m.net.Labels)
	}
	return y
}

// weights make a loss of an encoder's output: their product.
func weights(n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(math.Sin(float64(3*i + 1)))
	}
	return w
}

func forward(t testing.TB, m *Model, b *arch.Batch, keep bool) []float32 {
	t.Helper()
	out, err := m.engine.Forward(t.Context(), b, keep)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out)
}

// loss runs a forward pass: the mean cross-entropy, or an encoder's product.
func loss(t testing.TB, m *Model, b *arch.Batch) float64 {
	t.Helper()
	out := forward(t, m, b, false)
	var sum float64
	if y := targets(m, b); y != nil {
		sum, err := CrossEntropy(make([]float32, len(out)), out, y)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	for i, w := range weights(len(out)) {
		sum += float64(w) * float64(out[i])
	}
	return sum
}

// differentiate adds the gradients of that loss and returns those of the rows.
func differentiate(t testing.TB, m *Model, b *arch.Batch, want arch.Grads) []float32 {
	t.Helper()
	var inputs []float32
	var err error
	if y := targets(m, b); y != nil {
		_, inputs, err = m.Backward(t.Context(), b, y, want)
	} else {
		inputs, err = m.engine.Backward(t.Context(), weights(len(forward(t, m, b, true))), want)
	}
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(inputs)
}

func values(t testing.TB, m *Model, name string) []float32 {
	t.Helper()
	w, err := m.engine.Values(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func gradient(t testing.TB, m *Model, name string) []float32 {
	t.Helper()
	g, err := m.engine.Gradient(name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// each calls get for every parameter.
func each(t testing.TB, m *Model, get func(testing.TB, *Model, string) []float32) map[string][]float32 {
	t.Helper()
	all := map[string][]float32{}
	for _, p := range m.net.Params {
		all[p.Name] = get(t, m, p.Name)
	}
	return all
}

func edit(t testing.TB, m *Model, name string, change func(w []float32)) {
	t.Helper()
	if err := m.engine.Edit(t.Context(), name, change); err != nil {
		t.Fatal(err)
	}
}

// sameBits compares numbers by their bits.
func sameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, not %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s: number %d is %v, not %v", what, i, got[i], want[i])
			return
		}
	}
}

// sameParams compares the numbers of all parameters by their bits.
func sameParams(t testing.TB, what string, got, want map[string][]float32) {
	t.Helper()
	for name, w := range want {
		sameBits(t, what+" of "+name, got[name], w)
	}
}

func isZero(x []float32) bool { return !slices.ContainsFunc(x, func(x float32) bool { return x != 0 }) }

// writeModel writes a model folder with the tensors as float32 and returns it.
func writeModel(t testing.TB, config []byte, params []arch.Param, data map[string][]float32) string {
	t.Helper()
	header := map[string]any{}
	var body []byte
	for _, p := range params {
		start := len(body)
		for _, x := range data[p.Name] {
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(x))
		}
		header[p.Name] = map[string]any{"dtype": "F32", "shape": p.Shape, "data_offsets": []int{start, len(body)}}
	}
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"config.json": config, "model.safetensors": append(file, body...)} {
		if data == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func configOf(t testing.TB, name string) []byte {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(parityDir, name, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestOpenErrors(t *testing.T) {
	m := openModel(t, "bert", Options{})
	data := each(t, m, values)
	for _, row := range []struct {
		name        string
		config      []byte
		message     string
		unsupported bool
	}{
		{"no config.json", nil, "there is none", true},
		{"no model", []byte("{}"), "model_type", true},
		{"no JSON", []byte("{"), "config.json", false},
		{"another model", configOf(t, "roberta"), "roberta.embeddings", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, err := Open(openCheckpoint(t, writeModel(t, row.config, m.net.Params, data)), Options{})
			var bad *arch.ConfigError
			if m != nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), row.message) {
				t.Errorf("error %v", err)
			}
			if errors.Is(err, arch.ErrUnsupported) != row.unsupported {
				t.Errorf("ErrUnsupported is %t", !row.unsupported)
			}
		})
	}
}

func TestOpenWithEngine(t *testing.T) {
	ck := openCheckpoint(t, filepath.Join(parityDir, "bert"))
	failure := errors.New("no engine")
	for _, want := range []error{nil, failure} {
		m, err := Open(ck, Options{Engine: func(net *arch.Network, tensor func(string) *loader.Tensor) (Engine, error) {
			if net.Family != "bert" || tensor("classifier.weight") == nil {
				t.Errorf("an engine of %+v", net)
			}
			return nil, want
		}})
		if !errors.Is(err, want) || (m == nil) != (want != nil) {
			t.Errorf("%v, %v", m, err)
		}
	}
}

func TestBadBatches(t *testing.T) {
	m := openModel(t, "roberta", Options{})
	vocab, longest := int32(m.net.Embedding.Tokens.Shape[0]), m.net.MaxTokens
	good := [][]int32{{0, 5, 2}, make([]int32, longest)}
	want, err := m.Predict(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][][]int32{
		"an empty sequence":   {{0, 5}, {}},
		"a negative id":       {{0, -1}},
		"the smallest id":     {{math.MinInt32}},
		"an id past the last": {{vocab - 1, vocab}},
		"the largest id":      {{math.MaxInt32}},
		"too long":            {make([]int32, longest+1)},
	} {
		if out, err := m.Predict(t.Context(), bad); err == nil || out != nil {
			t.Errorf("%s: Predict returns %v, %v", name, out, err)
		}
		b := arch.NewBatch(bad...)
		if _, _, err := m.Backward(t.Context(), b, make([]int, b.Len()), arch.AllGrads); err == nil {
			t.Errorf("%s: Backward accepts it", name)
		}
	}
	if _, err := m.engine.Forward(t.Context(), &arch.Batch{}, false); err == nil {
		t.Error("Forward accepts an empty batch")
	}
	b := arch.NewBatch(good...)
	for _, y := range [][]int{nil, {0}, {0, 3}, {0, 1, 2}} {
		if _, _, err := m.Backward(t.Context(), b, y, arch.AllGrads); err == nil {
			t.Errorf("Backward accepts the targets %v", y)
		}
	}
	got, err := m.Predict(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		sameBits(t, "after the errors", got[i], want[i])
	}
	if out, err := m.Predict(t.Context(), nil); err != nil || len(out) != 0 {
		t.Errorf("nothing gives %v, %v", out, err)
	}
}

func TestNoPositions(t *testing.T) {
	m := openModel(t, "gemma2", Options{})
	b := arch.NewBatch(random(m, 1, 4, 3)...)
	b.Positions = []int{}
	if out := forward(t, m, b, true); len(out) != 0 {
		t.Errorf("%d logits of no position", len(out))
	}
	inputs, err := m.engine.Backward(t.Context(), nil, arch.AllGrads)
	if err != nil || !isZero(inputs) || len(inputs) != 7*m.net.Embedding.Dim {
		t.Errorf("gradients %v, %v", inputs, err)
	}
}

// countdown is a context that is cancelled at the n-th question.
type countdown struct {
	context.Context
	left *int
}

func cancelAfter(t testing.TB, n int) countdown { return countdown{t.Context(), &n} }

func (c countdown) Err() error {
	if *c.left--; *c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A pass that is cancelled at any moment returns the context's error, and the
// next one is as if nothing had happened.
func TestCancel(t *testing.T) {
	forEach(t, []string{"mpnet", "gpt2", "gemma3"}, func(t *testing.T, name string) {
		for _, train := range []bool{false, true} {
			opt := Options{Workers: 1, Train: train}
			m := openModel(t, name, opt)
			b := arch.NewBatch(random(m, 1, 5, 9)...)
			want, wantInputs := forward(t, m, b, true), differentiate(t, m, b, arch.AllGrads)
			wantGrads, original := each(t, m, gradient), each(t, m, values)

			passes := []struct {
				what string
				run  func(ctx context.Context) error
			}{
				{"Forward", func(ctx context.Context) error { _, err := m.engine.Forward(ctx, b, true); return err }},
				{"Backward", func(ctx context.Context) error {
					_, err := m.engine.Backward(ctx, make([]float32, len(want)), arch.AllGrads)
					return err
				}},
				{"Update", func(ctx context.Context) error {
					_, err := m.engine.Update(ctx, arch.Update{Step: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxNorm: 1,
						Param: func(string) arch.ParamUpdate { return arch.ParamUpdate{} }})
					return err
				}},
			}
			for _, pass := range passes {
				cancelled := 0
				for ; ; cancelled++ {
					m = openModel(t, name, opt)
					if pass.what == "Backward" {
						forward(t, m, b, true)
					}
					err := pass.run(cancelAfter(t, cancelled))
					if err == nil {
						break
					}
					if !errors.Is(err, context.Canceled) {
						t.Fatalf("%s: %v", pass.what, err)
					}
					m.engine.ZeroGrads()
					sameBits(t, pass.what+" and Forward", forward(t, m, b, true), want)
					sameBits(t, pass.what+" and Backward", differentiate(t, m, b, arch.AllGrads), wantInputs)
					sameParams(t, pass.what+" and gradients", each(t, m, gradient), wantGrads)
					sameParams(t, pass.what+" and values", each(t, m, values), original)
					if t.Failed() {
						t.Fatalf("after %d questions", cancelled)
					}
				}
				if cancelled < 4 {
					t.Errorf("%s asked its context %d times", pass.what, cancelled)
				}
			}
		}
	})
	m := openModel(t, "bert", Options{Train: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := arch.NewBatch(random(m, 1, 5)...)
	if _, err := m.Predict(ctx, [][]int32{b.IDs}); !errors.Is(err, context.Canceled) {
		t.Errorf("Predict: %v", err)
	}
	if _, err := m.Trainer(TrainOptions{LR: 1}).Step(ctx, b, targets(m, b)); !errors.Is(err, context.Canceled) {
		t.Errorf("Step: %v", err)
	}
	if _, err := m.engine.Values(ctx, "classifier.weight"); !errors.Is(err, context.Canceled) {
		t.Errorf("Values: %v", err)
	}
}

// Weights that are not numbers give logits that are not numbers, and nothing
// worse.
func TestNotNumbers(t *testing.T) {
	forEach(t, kinds, func(t *testing.T, name string) {
		m := openModel(t, name, Options{})
		b := arch.NewBatch(random(m, 1, 1, 9, 20)...)
		original := each(t, m, values)
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		for _, x := range []float32{nan, inf, -inf, math.MaxFloat32} {
			for _, p := range m.net.Params {
				edit(t, m, p.Name, func(w []float32) {
					for i := range w {
						w[i] = x
					}
				})
				forward(t, m, b, false)
				differentiate(t, m, b, arch.AllGrads)
				edit(t, m, p.Name, func(w []float32) { copy(w, original[p.Name]) })
			}
		}
		tokens := m.net.Embedding.Tokens
		edit(t, m, tokens.Name, func(w []float32) { w[int(b.IDs[0])*m.net.Embedding.Dim] = nan })
		if first := forward(t, m, b, false)[:m.net.Width()]; slices.ContainsFunc(first, func(x float32) bool { return x == x }) {
			t.Errorf("a token that is not a number gives %v", first)
		}
		// The loss of what is not a number is none either.
		if l := loss(t, m, b); l == l {
			t.Errorf("loss %v", l)
		}
	})
}

// A model whose buckets leave the fewest far distances runs on the longest
// sequence.
func TestManyBuckets(t *testing.T) {
	const buckets, positions = 508, 300
	m := openModel(t, "mpnet", Options{})
	data := each(t, m, values)
	params := slices.Clone(m.net.Params)
	for i, p := range params {
		switch n := p.Shape[len(p.Shape)-1]; {
		case strings.HasSuffix(p.Name, "relative_attention_bias.weight"):
			params[i].Shape, data[p.Name] = []int{buckets, n}, weights(buckets*n)
		case strings.HasSuffix(p.Name, "position_embeddings.weight"):
			params[i].Shape, data[p.Name] = []int{positions, n}, weights(positions*n)
		}
	}
	config := configOf(t, "mpnet")
	for old, now := range map[string]string{
		`"relative_attention_num_buckets": 32`: fmt.Sprintf(`"relative_attention_num_buckets": %d`, buckets),
		`"max_position_embeddings": 64`:        fmt.Sprintf(`"max_position_embeddings": %d`, positions),
	} {
		if changed := strings.Replace(string(config), old, now, 1); changed != string(config) {
			config = []byte(changed)
		} else {
			t.Fatalf("the config has no %s", old)
		}
	}
	m = openDir(t, writeModel(t, config, params, data), Options{})
	b := arch.NewBatch(random(m, 1, m.net.MaxTokens)...)
	forward(t, m, b, true)
	differentiate(t, m, b, arch.AllGrads)
}

func TestNextTokens(t *testing.T) {
	b := arch.NewBatch([]int32{5, 6, 7}, []int32{8}, []int32{9, 4})
	if got := NextTokens(b); !slices.Equal(got, []int{6, 7, -1, -1, 4, -1}) {
		t.Errorf("%v", got)
	}
}

// A few kB whose tensors repeat one number claim any number of parameters.
func TestOpenRefusesSharedBytes(t *testing.T) {
	_, err := Open(openCheckpoint(t, filepath.Join(parityDir, "hostile", "shared")), Options{})
	if err == nil || !strings.Contains(err.Error(), "they share them") {
		t.Errorf("error %v", err)
	}
}

// Integers are no weights: they were quantized, and only their maker knows how.
func TestOpenRefusesIntegers(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(parityDir, "bert"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte(`"F32"`), []byte(`"I32"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(openCheckpoint(t, dir), Options{})
	if !errors.Is(err, arch.ErrUnsupported) || !strings.Contains(err.Error(), "I32") {
		t.Errorf("error %v", err)
	}
}

// What a pass would need is known before it begins.
func TestPassLimit(t *testing.T) {
	m := openModel(t, "llama", Options{})
	mlp := m.net.Layers[1].MLP
	for _, l := range []*arch.Linear{mlp.Up, mlp.Gate} {
		l.Out = 1 << 30 // a description that no file of this size could have
	}
	_, err := m.engine.Forward(t.Context(), arch.NewBatch(random(m, 1, 8)...), false)
	if err == nil || !strings.Contains(err.Error(), "the limit is 8192") {
		t.Errorf("error %v", err)
	}
}

// After a forward pass that failed there is nothing to go back from.
func TestBackwardAfterFailure(t *testing.T) {
	m := openModel(t, "bert", Options{})
	b := arch.NewBatch(random(m, 1, 8)...)
	out := forward(t, m, b, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.engine.Forward(ctx, b, true); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Backward went back from a pass that failed")
		}
	}()
	_, _ = m.engine.Backward(t.Context(), make([]float32, len(out)), arch.AllGrads)
}

// Without its head a model gives the mean of the last hidden states that it has
// with it, or the last one where no token sees those after it.
func TestEncode(t *testing.T) {
	forEach(t, []string{"bert", "distilbert", "gpt2", "gpt2-classifier", "llama-tied", "roberta-encoder"}, func(t *testing.T, name string) {
		whole, m := openModel(t, name, Options{AllHidden: true}), openModel(t, name, Options{Encode: true})
		b := arch.NewBatch(random(m, 3, 5, 1, 8)...)
		if _, err := whole.Engine().Forward(t.Context(), b, false); err != nil {
			t.Fatal(err)
		}
		hidden := whole.Engine().Hidden()
		got, err := m.Engine().Forward(t.Context(), b, true)
		width := m.net.Hidden
		if err != nil || len(got) != b.Len()*width || m.net.Task != arch.Encode {
			t.Fatalf("%d numbers of task %s, error %v", len(got), m.net.Task, err)
		}
		causal := strings.HasPrefix(name, "gpt2") || strings.HasPrefix(name, "llama")
		for i := range b.Len() {
			for j := range width {
				n, want := b.Starts[i+1]-b.Starts[i], float64(hidden[(b.Starts[i+1]-1)*width+j])
				if !causal {
					want = 0
					for t := b.Starts[i]; t < b.Starts[i+1]; t++ {
						want += float64(hidden[t*width+j]) / float64(n)
					}
				}
				if math.Abs(want-float64(got[i*width+j])) > 1e-5 {
					t.Fatalf("sequence %d, %d: %v, want %v", i, j, got[i*width+j], want)
				}
			}
		}
		for _, p := range whole.net.Params {
			used := slices.ContainsFunc(m.net.Params, func(q arch.Param) bool { return q.Name == p.Name })
			if used == slices.Contains(m.net.Unused, p.Name) {
				t.Errorf("%s is used %v, and listed as unused", p.Name, used)
			}
		}
		if head := whole.net.Head.Out; head != nil && !whole.net.Head.Tied && !slices.Contains(m.net.Unused, head.Weight.Name) {
			t.Errorf("the head's %s is still there", head.Weight.Name)
		}
	})
}
