//go:build gotch

package gotch

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
)

const parityDir = "../../testdata/parity"

// device is where the tests run: BTU_SCAN_TEST_CUDA=1 for the first GPU.
var device = Options{CUDA: os.Getenv("BTU_SCAN_TEST_CUDA") != ""}

func openCheckpoint(t testing.TB, dir string) *loader.Checkpoint {
	t.Helper()
	ck, err := loader.Open(t.Context(), dir, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	return ck
}

// open returns a model on both engines.
func open(t testing.TB, dir string, train bool) (ours, libtorch *model.Model) {
	t.Helper()
	ck := openCheckpoint(t, dir)
	ours, err := model.Open(ck, model.Options{Train: train, Workers: 1, AllHidden: true})
	if err != nil {
		t.Fatal(err)
	}
	libtorch, err = model.Open(ck, model.Options{Train: train, Engine: func(net *arch.Network, tensor func(string) *loader.Tensor) (model.Engine, error) {
		return New(net, tensor, device)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return ours, libtorch
}

func named(name string) string { return filepath.Join(parityDir, name) }

func random(m *model.Model, seed uint64, lengths ...int) *arch.Batch {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([][]int32, len(lengths))
	for i, n := range lengths {
		for range n {
			out[i] = append(out[i], int32(r.IntN(m.Network().Embedding.Tokens.Shape[0])))
		}
	}
	return arch.NewBatch(out...)
}

// distance is the largest difference, as a share of the largest number or of
// floor.
func distance(got, want []float32, floor float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	largest, worst := floor, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(float64(w)))
		if d := math.Abs(float64(got[i] - w)); !(d <= worst) {
			worst = d
		}
	}
	return worst / largest
}

// backward runs a batch forth and back: with the cross-entropy, or for an encoder
// a weighted sum.
func backward(t testing.TB, m *model.Model, b *arch.Batch, want arch.Grads) (loss float64, inputs []float32) {
	t.Helper()
	var y []int
	switch m.Network().Task {
	case arch.Encode:
		out, err := m.Engine().Forward(t.Context(), b, true)
		if err != nil {
			t.Fatal(err)
		}
		w := make([]float32, len(out))
		for i, x := range out {
			w[i] = float32(math.Sin(float64(3*i + 1)))
			loss += float64(w[i]) * float64(x)
		}
		if inputs, err = m.Engine().Backward(t.Context(), w, want); err != nil {
			t.Fatal(err)
		}
		return loss, inputs
	case arch.Generate:
		y = model.NextTokens(b)
	case arch.Classify:
		for i := range b.Len() {
			y = append(y, (2*i+1)%len(m.Network().Labels))
		}
	}
	loss, inputs, err := m.Backward(t.Context(), b, y, want)
	if err != nil {
		t.Fatal(err)
	}
	return loss, inputs
}

func forward(t testing.TB, m *model.Model, b *arch.Batch) []float32 {
	t.Helper()
	out, err := m.Engine().Forward(t.Context(), b, false)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out)
}

func values(t testing.TB, m *model.Model, name string) []float32 {
	t.Helper()
	w, err := m.Engine().Values(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func gradient(t testing.TB, m *model.Model, name string) []float32 {
	t.Helper()
	g, err := m.Engine().Gradient(name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func edit(t testing.TB, m *model.Model, name string, change func(w []float32)) {
	t.Helper()
	if err := m.Engine().Edit(t.Context(), name, change); err != nil {
		t.Fatal(err)
	}
}

func near(t testing.TB, what string, got, limit float64) {
	t.Helper()
	if !(got <= limit) {
		t.Errorf("%s off by %.2g, the limit is %.0e", what, got, limit)
	}
}

// tableRow prints the row of a table, for make gotch-test.
func tableRow(cells ...any) {
	if os.Getenv("PARITY") == "" {
		return
	}
	for _, c := range cells {
		if x, ok := c.(float64); ok {
			fmt.Printf("| %.1e ", x)
		} else {
			fmt.Printf("| %v ", c)
		}
	}
	fmt.Println("|")
}

func models(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(parityDir, "*", "vectors.safetensors"))
	if err != nil || len(files) < 26 {
		t.Fatalf("%d models in %s: %v", len(files), parityDir, err)
	}
	var dirs []string
	for _, f := range files {
		dirs = append(dirs, filepath.Dir(f))
	}
	return append(dirs, "../../testdata/clean")
}

// lengths make chunks with padding, without, and of one sequence, and go past the
// windows of the models.
var lengths = []int{7, 4, 11, 1, 3, 3, 1, 1, 12, 2}

func TestAgreement(t *testing.T) {
	tableRow("model", "logits", "hidden states", "input gradients", "parameter gradients", "5 AdamW losses")
	tableRow("---", "---", "---", "---", "---", "---")
	for _, dir := range models(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			ours, libtorch := open(t, dir, false)
			b := random(ours, 5, lengths...)
			want := forward(t, ours, b)
			logits := distance(forward(t, libtorch, b), want, 1)
			hidden := distance(libtorch.Engine().Hidden(), ours.Engine().Hidden(), 1)
			wantLoss, wantInputs := backward(t, ours, b, arch.AllGrads)
			loss, gotInputs := backward(t, libtorch, b, arch.AllGrads)
			logits = max(logits, math.Abs(loss-wantLoss)/max(1, math.Abs(wantLoss)))
			inputs := distance(gotInputs, wantInputs, 1e-3)
			params, worst := 0.0, ""
			for _, p := range ours.Network().Params {
				// Those of the biases of keys are zero but for rounding.
				if d := distance(gradient(t, libtorch, p.Name), gradient(t, ours, p.Name), 1e-2); !(d <= params) {
					params, worst = d, p.Name
				}
			}
			adamw := 0.0
			for _, opt := range []arch.Update{{}, {MaxNorm: 1}} {
				ours, libtorch := open(t, dir, true)
				want := train(t, ours, b, opt)
				for i, loss := range train(t, libtorch, b, opt) {
					adamw = max(adamw, math.Abs(loss-want[i])/max(1, math.Abs(want[i])))
				}
				if want[4] >= want[0] {
					t.Errorf("the loss went from %v to %v", want[0], want[4])
				}
			}
			tableRow(filepath.Base(dir), logits, hidden, inputs, params, adamw)
			near(t, "logits", logits, 2e-5)
			near(t, "hidden states", hidden, 2e-5)
			near(t, "input gradients", inputs, 1e-4)
			near(t, "gradients ("+worst+")", params, 1e-4)
			near(t, "losses of AdamW", adamw, 1e-4)
		})
	}
}

// train makes five steps and returns the losses before them.
func train(t testing.TB, m *model.Model, b *arch.Batch, u arch.Update) (losses []float64) {
	t.Helper()
	u.Beta1, u.Beta2, u.Eps = 0.9, 0.999, 1e-8
	for u.Step = 1; u.Step <= 5; u.Step++ {
		m.Engine().ZeroGrads()
		loss, _ := backward(t, m, b, arch.AllGrads)
		losses = append(losses, loss)
		u.Param = func(string) arch.ParamUpdate { return arch.ParamUpdate{LR: 5e-3 / float64(u.Step), Decay: 0.01} }
		if norm, err := m.Engine().Update(t.Context(), u); err != nil || (norm > 0) != (u.MaxNorm > 0) {
			t.Fatal(norm, err)
		}
	}
	return losses
}

func targets(m *model.Model, b *arch.Batch) []int {
	if m.Network().Task == arch.Generate {
		return model.NextTokens(b)
	}
	y := make([]int, b.Len())
	for i := range y {
		y[i] = (2*i + 1) % len(m.Network().Labels)
	}
	return y
}

// Each level of gradients has those of the levels before and no others.
func TestLevels(t *testing.T) {
	for _, name := range []string{"bert", "llama-tied", "electra", "gpt2-classifier"} { // rows alone, and tied to a head
		_, m := open(t, named(name), false)
		b := random(m, 8, 13, 4, 1)
		tokens := m.Network().Embedding.Tokens.Name
		_, inputs := backward(t, m, b, arch.AllGrads)
		all := gradient(t, m, tokens)
		for _, want := range []arch.Grads{arch.EmbeddingGrads, arch.InputGrads} {
			m.Engine().ZeroGrads()
			_, got := backward(t, m, b, want)
			near(t, name+": input gradients", distance(got, inputs, 1e-3), 1e-6)
			for _, p := range m.Network().Params {
				g := gradient(t, m, p.Name)
				if want == arch.EmbeddingGrads && p.Name == tokens {
					near(t, name+": gradients of the embedding", distance(g, all, 1e-3), 1e-6)
				} else if slices.ContainsFunc(g, func(x float32) bool { return x != 0 }) {
					t.Errorf("%s: %s has a gradient at level %d", name, p.Name, want)
				}
			}
		}
	}
}

// Backward adds, and ZeroGrads forgets, numbers that are none included.
func TestAccumulation(t *testing.T) {
	for _, name := range []string{"bert", "llama-tied", "gpt2"} {
		_, m := open(t, named(name), false)
		one, two := random(m, 8, 9, 5), random(m, 9, 2, 14, 3)
		sum := map[string][]float32{}
		for _, b := range []*arch.Batch{one, two} {
			m.Engine().ZeroGrads()
			backward(t, m, b, arch.AllGrads)
			for _, p := range m.Network().Params {
				for i, g := range gradient(t, m, p.Name) {
					if sum[p.Name] == nil {
						sum[p.Name] = make([]float32, p.Len())
					}
					sum[p.Name][i] += g
				}
			}
		}
		spoilt := random(m, 3, 4)
		spoilt.Inputs = make([]float32, 4*m.Network().Embedding.Dim)
		spoilt.Inputs[0] = float32(math.NaN())
		backward(t, m, spoilt, arch.AllGrads)
		m.Engine().ZeroGrads()
		backward(t, m, one, arch.AllGrads)
		backward(t, m, two, arch.AllGrads)
		for _, p := range m.Network().Params {
			near(t, name+": the sum of "+p.Name, distance(gradient(t, m, p.Name), sum[p.Name], 1e-2), 5e-6)
		}
	}
}

// Groups, masks of rows, frozen parameters and the limit of the norm are those of
// the Go engine; what is frozen keeps its bits.
func TestMasks(t *testing.T) {
	for _, name := range []string{"bert", "llama-tied"} {
		ours, libtorch := open(t, named(name), true)
		tokens := ours.Network().Embedding.Tokens
		mask := make([]bool, tokens.Shape[0])
		for i := range mask {
			mask[i] = i%3 != 0
		}
		opt := model.TrainOptions{MaxNorm: 0.1, Groups: []model.Group{
			{Match: func(name string) bool { return name == tokens.Name }, LR: 1e-2, Decay: 0.4, Rows: mask},
			{Match: func(name string) bool { return strings.Contains(name, "1") }, LR: 2e-2, Decay: 0.5},
		}}
		before := values(t, libtorch, tokens.Name)
		frozen := map[string][]float32{}
		for _, p := range ours.Network().Params {
			if p.Name != tokens.Name && !strings.Contains(p.Name, "1") {
				frozen[p.Name] = values(t, libtorch, p.Name)
			}
		}
		if len(frozen) == 0 {
			t.Fatal("nothing is frozen")
		}
		one, two := ours.Trainer(opt), libtorch.Trainer(opt)
		for step := range 4 {
			b := random(ours, uint64(step), 5, 9, 2)
			for _, tr := range []*model.Trainer{one, two} {
				if _, err := tr.Step(t.Context(), b, targets(ours, b)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, p := range ours.Network().Params {
			got := values(t, libtorch, p.Name)
			if was := frozen[p.Name]; was != nil && !slices.Equal(got, was) {
				t.Errorf("%s: %s is frozen and moved", name, p.Name)
			}
			if !strings.Contains(p.Name, "key.bias") {
				near(t, name+": "+p.Name, distance(got, values(t, ours, p.Name), 1), 1e-4)
			}
		}
		after, dim := values(t, libtorch, tokens.Name), tokens.Shape[1]
		for i, trained := range mask {
			if trained == slices.Equal(after[i*dim:(i+1)*dim], before[i*dim:(i+1)*dim]) {
				t.Errorf("%s: row %d: trained %t", name, i, trained)
			}
		}
		var norms []float64
		for _, m := range []*model.Model{ours, libtorch} {
			m.Engine().ZeroGrads()
			backward(t, m, random(ours, 9, 4, 8), arch.AllGrads)
			n, err := m.Engine().Update(t.Context(), arch.Update{Step: 5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxNorm: 1, Param: func(name string) arch.ParamUpdate {
				return arch.ParamUpdate{Frozen: name != tokens.Name, Rows: map[bool][]bool{true: mask}[name == tokens.Name]}
			}})
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			norms = append(norms, n)
		}
		near(t, name+": the norm", math.Abs(norms[0]-norms[1])/norms[0], 1e-4)
		_, err := libtorch.Engine().Update(t.Context(), arch.Update{Step: 1, Param: func(string) arch.ParamUpdate { return arch.ParamUpdate{Rows: make([]bool, 2)} }})
		if err == nil || !strings.Contains(err.Error(), "a mask of 2 rows") {
			t.Errorf("a short mask: %v", err)
		}
	}
}

// Positions, inputs, padding inside sequences and edits are the Go engine's.
func TestBatches(t *testing.T) {
	for _, name := range []string{"llama", "gpt2-classifier", "roberta", "mpnet", "gemma2"} {
		ours, libtorch := open(t, named(name), false)
		net := ours.Network()
		b := random(ours, 21, 9, 6, 10)
		for _, pad := range []int{net.Embedding.PadID, max(0, net.Head.PadID)} {
			b.IDs[3], b.IDs[8], b.IDs[14] = int32(pad), int32(pad), int32(pad)
		}
		check := func(what string) {
			t.Helper()
			near(t, name+": "+what, distance(forward(t, libtorch, b), forward(t, ours, b), 1), 2e-5)
		}
		check("with padding tokens")
		if net.Task == arch.Generate {
			b.Positions = []int{2, 8, 9, 20}
			check("positions")
			b.Positions = nil
		}
		b.Inputs = make([]float32, len(b.IDs)*net.Embedding.Dim)
		for i := range b.Inputs {
			b.Inputs[i] = float32(math.Sin(float64(i)))
		}
		check("inputs")
		_, want := backward(t, ours, b, arch.AllGrads)
		_, got := backward(t, libtorch, b, arch.AllGrads)
		near(t, name+": gradients of inputs", distance(got, want, 1e-3), 1e-4)
		g := net.Embedding.Tokens.Name
		near(t, name+": gradient of the embedding beside inputs", distance(gradient(t, libtorch, g), gradient(t, ours, g), 1e-2), 1e-4)
		b.Inputs = nil
		before := forward(t, libtorch, b)
		for _, p := range net.Params {
			for _, m := range []*model.Model{ours, libtorch} {
				edit(t, m, p.Name, func(w []float32) {
					for i := range w {
						w[i] += float32(i%5+1) / 64
					}
				})
			}
		}
		check("edited")
		if slices.Equal(forward(t, libtorch, b), before) {
			t.Errorf("%s: edits change nothing", name)
		}
	}
}

// Long sequences are attended to in blocks of queries.
func TestBlocks(t *testing.T) {
	defer func(n int) { maxScores = n }(maxScores)
	for _, name := range []string{"mistral", "gemma2", "mpnet", "bert"} {
		ours, libtorch := open(t, named(name), false)
		b := random(ours, 2, 12, 12, 5, 11)
		want := forward(t, ours, b)
		_, wantInputs := backward(t, ours, b, arch.AllGrads)
		for _, maxScores = range []int{1, 100, 1000} {
			near(t, name+": logits", distance(forward(t, libtorch, b), want, 1), 2e-5)
			_, inputs := backward(t, libtorch, b, arch.AllGrads)
			near(t, name+": input gradients", distance(inputs, wantInputs, 1e-3), 1e-4)
		}
	}
}

// What is no number in one sequence does not reach the others.
func TestNaNStays(t *testing.T) {
	for _, name := range []string{"bert", "llama", "mpnet"} {
		_, m := open(t, named(name), false)
		b := random(m, 6, 5, 3)
		dim, width := m.Network().Embedding.Dim, m.Network().Width()
		b.Inputs = make([]float32, len(b.IDs)*dim)
		for i := range b.Inputs {
			b.Inputs[i] = float32(math.Cos(float64(i)))
		}
		good := forward(t, m, b)
		b.Inputs[6*dim] = float32(math.NaN())
		bad := forward(t, m, b)
		first := m.Network().Rows(arch.NewBatch(b.IDs[:5])) * width
		if !slices.Equal(bad[:first], good[:first]) || !slices.ContainsFunc(bad[first:], func(x float32) bool { return x != x }) {
			t.Errorf("%s: outputs %v, not %v", name, bad, good)
		}
		out, err := m.Engine().Forward(t.Context(), b, true)
		if err != nil {
			t.Fatal(err)
		}
		d := make([]float32, len(out))
		for i := range d[:first] {
			d[i] = 1
		}
		inputs, err := m.Engine().Backward(t.Context(), d, arch.InputGrads)
		if err != nil || slices.ContainsFunc(inputs[:5*dim], func(x float32) bool { return x-x != 0 }) {
			t.Errorf("%s: gradients of the sequence without: %v, %v", name, inputs[:5*dim], err)
		}
	}
}

func handles(t testing.TB) (n int) {
	t.Helper()
	if err := do(func() error { n = live; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Steps leave no tensors behind, nor do passes that fail, nor engines.
func TestNothingIsLost(t *testing.T) {
	start := handles(t)
	func() {
		_, m := open(t, named("gemma3"), true)
		tr := m.Trainer(model.TrainOptions{LR: 1e-3, MaxNorm: 1})
		b := random(m, 1, 7, 3, 9)
		step := func() int {
			if _, err := tr.Step(t.Context(), b, targets(m, b)); err != nil {
				t.Fatal(err)
			}
			forward(t, m, b)
			return handles(t)
		}
		step()
		want := step()
		if params := len(m.Network().Params); want-start < params || want-start > 4*params { // values, gradients, two moments
			t.Errorf("%d tensors after a step of %d parameters", want-start, params)
		}
		if _, err := m.Engine().Forward(t.Context(), b, true); err != nil { // and no way back
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Engine().Forward(ctx, b, true); err == nil {
			t.Error("a cancelled pass: no error")
		}
		if _, err := m.Engine().Backward(t.Context(), nil, arch.AllGrads); err == nil {
			t.Error("back from a cancelled pass: no error")
		}
		if _, err := m.Engine().Forward(t.Context(), b, true); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Engine().Backward(t.Context(), []float32{1}, arch.AllGrads); err == nil {
			t.Error("gradients of another length: no error")
		}
		if got := step(); got != want {
			t.Errorf("%d tensors, then %d", want, got)
		}
	}()
	for range 100 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
		if handles(t) <= start {
			return
		}
	}
	t.Errorf("%d tensors outlive their engine", handles(t)-start)
}

// An error of libtorch is one, of one line, and the next operation works.
func TestErrors(t *testing.T) {
	start := handles(t)
	multiply := func(rows int) error {
		return do(func() error {
			var s scope
			defer s.drop()
			s.matmul(s.zeros(onCPU, 2, 3), s.zeros(onCPU, rows, 5))
			return nil
		})
	}
	if err := multiply(4); err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "libtorch: mat1 and mat2") {
		t.Errorf("2x3 times 4x5: %v", err)
	}
	if err := multiply(3); err != nil {
		t.Errorf("2x3 times 3x5: %v", err)
	}
	func() {
		defer func() {
			if r := recover(); r != "a bug" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = do(func() error { panic("a bug") })
		t.Error("a panic does not reach the caller")
	}()
	if n := handles(t); n != start {
		t.Errorf("%d tensors lost", n-start)
	}
	_, m := open(t, named("bert"), false)
	if err := m.Engine().Edit(t.Context(), "nothing", func([]float32) { t.Error("called") }); err == nil {
		t.Error("Edit of no parameter")
	}
	if _, err := m.Engine().Values(t.Context(), "nothing"); err == nil {
		t.Error("Values of no parameter")
	}
	if _, err := m.Engine().Gradient("nothing"); err == nil {
		t.Error("Gradient of no parameter")
	}
	if _, err := m.Engine().Forward(t.Context(), arch.NewBatch([]int32{-1}), false); err == nil {
		t.Error("a bad batch: no error")
	}
	n, err := CUDADevices()
	if (n == 0) != (err != nil) {
		t.Errorf("%d CUDA devices, %v", n, err)
	}
	if _, err := New(m.Network(), nil, Options{CUDA: true, Device: n}); err == nil {
		t.Error("a CUDA device that there is not: no error")
	}
}

// A pass that needs more memory than the limit is an error.
func TestTooMuch(t *testing.T) {
	_, m := open(t, named("llama"), false)
	m.Network().MaxTokens = 1 << 20
	b := arch.NewBatch(make([]int32, 1<<17))
	if _, err := m.Engine().Forward(t.Context(), b, true); err == nil || !strings.Contains(err.Error(), "MB, the limit is 8192") {
		t.Errorf("a pass over %d tokens: %v", len(b.IDs), err)
	}
}

// processorTime is what the process has used, whatever else the machine does.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestSpeed times both engines with one thread, for make gotch-test.
func TestSpeed(t *testing.T) {
	if os.Getenv("PARITY") == "" {
		t.Skip("for make gotch-test")
	}
	if os.Getenv("OMP_NUM_THREADS") != "1" {
		t.Fatal("OMP_NUM_THREADS=1 makes the times comparable")
	}
	runtime.GOMAXPROCS(2) // libtorch's thread and the one that waits for it
	tableRow("16 sequences", "work", "Go, ms of processor time", "libtorch", "ratio")
	tableRow("---", "---", "---", "---", "---")
	uniform, ragged := make([]int, 16), make([]int, 16)
	for i := range uniform {
		uniform[i], ragged[i] = 64, 8*(i/2+1)
	}
	ours, libtorch := open(t, "../../testdata/clean", true)
	for _, row := range []struct {
		what    string
		lengths []int
	}{{"of 64 tokens", uniform}, {"of 8 to 64 tokens", ragged}} {
		b := random(ours, 1, row.lengths...)
		one, two := ours.Trainer(model.TrainOptions{LR: 1e-5}), libtorch.Trainer(model.TrainOptions{LR: 1e-5})
		step := func(tr *model.Trainer) func() error {
			return func() error { _, err := tr.Step(t.Context(), b, targets(ours, b)); return err }
		}
		pass := func(m *model.Model) func() error {
			return func() error { _, err := m.Engine().Forward(t.Context(), b, false); return err }
		}
		for _, kind := range []struct {
			what      string
			ours, its func() error
		}{{"a pass", pass(ours), pass(libtorch)}, {"a training step", step(one), step(two)}} {
			var a, z []float64
			for i := range 7 { // in turn: a machine whose speed drifts slows both alike
				runtime.GC() // of one's own garbage
				for _, run := range []struct {
					f     func() error
					times *[]float64
				}{{kind.ours, &a}, {kind.its, &z}} {
					start := processorTime(t)
					if err := run.f(); err != nil {
						t.Fatal(err)
					}
					if i > 1 {
						*run.times = append(*run.times, (processorTime(t)-start).Seconds()*1e3)
					}
				}
			}
			slices.Sort(a)
			slices.Sort(z)
			tableRow(row.what, kind.what, fmt.Sprintf("%.0f", a[2]), fmt.Sprintf("%.0f", z[2]), fmt.Sprintf("%.2f", z[2]/a[2]))
		}
	}
}
