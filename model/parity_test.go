package model

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
)

// The vectors in testdata/parity come from PyTorch and Hugging Face:
// testdata/scripts/make_parity.py.
const parityDir = "../testdata/parity"

// vectors is a file of expected numbers.
type vectors struct {
	t  testing.TB
	ck *loader.Checkpoint
}

func openCheckpoint(t testing.TB, path string) *loader.Checkpoint {
	t.Helper()
	ck, err := loader.Open(t.Context(), path, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	return ck
}

func (v vectors) get(name string) []float32 {
	v.t.Helper()
	x := v.ck.Tensor(name)
	if x == nil {
		v.t.Fatalf("no vector %q", name)
	}
	data := make([]float32, x.Len()*x.Dim())
	if err := x.ReadRows(context.Background(), data, 0); err != nil {
		v.t.Fatal(err)
	}
	return data
}

// batch is padded sequences laid end to end, and where each token lies in the
// padded arrays.
func (v vectors) batch(ids, lengths string) (b *arch.Batch, index []int) {
	padded, ls := v.get(ids), v.get(lengths)
	width := len(padded) / len(ls)
	var seqs [][]int32
	for i, l := range ls {
		var s []int32
		for j := range int(l) {
			s = append(s, int32(padded[i*width+j]))
			index = append(index, i*width+j)
		}
		seqs = append(seqs, s)
	}
	return arch.NewBatch(seqs...), index
}

// labels are the targets of a batch.
func (v vectors) targets(net *arch.Network, b *arch.Batch, name string) []int {
	if net.Task == arch.Generate {
		return NextTokens(b)
	}
	var y []int
	for _, x := range v.get(name) {
		y = append(y, int(x))
	}
	return y
}

// rows picks rows of a padded array.
func rows(x []float32, index []int, width int) []float32 {
	var out []float32
	for _, i := range index {
		out = append(out, x[i*width:(i+1)*width]...)
	}
	return out
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

// errors of a model's numbers against the vectors.
type parity struct {
	logits, hidden, inputs, params float64
	worst                          string // parameter
	adamw                          float64
}

// loss is the loss of the vectors: cross-entropy, or for encoders a weighted
// sum.
func backward(t testing.TB, m *Model, v vectors, b *arch.Batch, prefix string) (loss float64, inputs []float32) {
	t.Helper()
	if name := prefix + "loss_weight"; m.net.Task == arch.Encode {
		w := v.get(name)
		out, err := m.engine.Forward(t.Context(), b, true)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range out {
			loss += float64(x) * float64(w[i])
		}
		if inputs, err = m.engine.Backward(t.Context(), w, arch.AllGrads); err != nil {
			t.Fatal(err)
		}
		return loss, inputs
	}
	loss, inputs, err := m.Backward(t.Context(), b, v.targets(m.net, b, prefix+"labels"), arch.AllGrads)
	if err != nil {
		t.Fatal(err)
	}
	return loss, inputs
}

func compare(t testing.TB, dir string, workers int) parity {
	ck := openCheckpoint(t, dir)
	v := vectors{t, openCheckpoint(t, filepath.Join(dir, "vectors.safetensors"))}
	m, err := Open(ck, Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	var p parity
	b, index := v.batch("input_ids", "lengths")
	out, err := m.engine.Forward(t.Context(), b, false)
	if err != nil {
		t.Fatal(err)
	}
	want := v.get("logits")
	if m.net.Task == arch.Generate {
		want = rows(want, index, m.net.Width())
	}
	p.logits = distance(out, want, 1)
	whole, err := Open(ck, Options{Workers: workers, AllHidden: true})
	if err != nil {
		t.Fatal(err)
	}
	forward(t, whole, b, false)
	p.hidden = distance(whole.engine.Hidden(), rows(v.get("hidden"), index, m.net.Hidden), 1)

	loss, inputs := backward(t, m, v, b, "")
	p.logits = max(p.logits, distance([]float32{float32(loss)}, v.get("loss"), 1))
	p.inputs = distance(inputs, rows(v.get("grad_inputs"), index, m.net.Embedding.Dim), 1e-3)
	for _, q := range m.net.Params {
		g, err := m.engine.Gradient(q.Name)
		if err != nil {
			t.Fatal(err)
		}
		// Those of the biases of keys are zero but for rounding.
		if d := distance(g, v.get("grad."+q.Name), 1e-2); d > p.params || math.IsNaN(d) {
			p.params, p.worst = d, q.Name
		}
	}
	for _, name := range m.net.Unused {
		if g := v.get("grad." + name); distance(g, make([]float32, len(g)), 1) > 0 {
			t.Errorf("%s has a gradient but is not used", name)
		}
	}
	for _, clip := range []bool{false, true} {
		m, err := Open(ck, Options{Workers: workers, Train: true})
		if err != nil {
			t.Fatal(err)
		}
		name, opt := "adamw_losses", TrainOptions{LR: 5e-3, Decay: 0.01}
		if clip {
			name, opt = "adamw_losses_clip", TrainOptions{LR: 5e-3, MaxNorm: 1, Schedule: Linear(2, 5)}
		}
		p.adamw = max(p.adamw, trainAsIn(t, m, v, name, b, "", opt))
	}
	return p
}

// trainAsIn makes the steps of the vectors and returns how far the losses are
// off.
func trainAsIn(t testing.TB, m *Model, v vectors, name string, b *arch.Batch, prefix string, opt TrainOptions) float64 {
	t.Helper()
	tr := m.Trainer(opt)
	var losses []float32
	want := v.get(name)
	for range want {
		m.engine.ZeroGrads()
		loss, _ := backward(t, m, v, b, prefix)
		if err := tr.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, float32(loss))
	}
	return distance(losses, want, 1)
}

// inTable says that the tests print their numbers as rows of a table, for make
// parity.
var inTable = os.Getenv("PARITY") != ""

func tableRow(cells ...any) {
	if !inTable {
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

func TestParity(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(parityDir, "*", "vectors.safetensors"))
	if err != nil || len(dirs) < 26 {
		t.Fatalf("%d families in %s: %v", len(dirs), parityDir, err)
	}
	tableRow("model", "logits", "hidden states", "input gradients", "parameter gradients", "10 AdamW losses")
	tableRow("---", "---", "---", "---", "---", "---")
	for _, d := range dirs {
		dir := filepath.Dir(d)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			p := compare(t, dir, 2)
			tableRow(filepath.Base(dir), p.logits, p.hidden, p.inputs, p.params, p.adamw)
			for _, c := range []struct {
				what       string
				got, limit float64
			}{
				{"logits", p.logits, 2e-5}, {"hidden states", p.hidden, 2e-5}, {"input gradients", p.inputs, 1e-4},
				{"gradients (" + p.worst + ")", p.params, 1e-4}, {"losses of AdamW", p.adamw, 1e-4},
			} {
				if !(c.got <= c.limit) {
					t.Errorf("%s are off by %.2g, the limit is %.0e", c.what, c.got, c.limit)
				}
			}
		})
	}
}

// Trained models: a small one of this repository, and those of PARITY_REAL, as
// "folder=vectors" with commas between.
func TestParityOfTrainedModels(t *testing.T) {
	models := "../testdata/clean=" + parityDir + "/real/clean.safetensors"
	if more := os.Getenv("PARITY_REAL"); more != "" {
		models += "," + more
	}
	tableRow("trained model", "logits", "loss", "input gradients", "norm of all gradients", "5 AdamW losses")
	tableRow("---", "---", "---", "---", "---", "---")
	for pair := range strings.SplitSeq(models, ",") {
		dir, file, _ := strings.Cut(pair, "=")
		t.Run(filepath.Base(dir), func(t *testing.T) {
			ck := openCheckpoint(t, dir)
			v := vectors{t, openCheckpoint(t, file)}
			m, err := Open(ck, Options{Train: true})
			if err != nil {
				t.Fatal(err)
			}
			b, index := v.batch("input_ids", "lengths")
			last := arch.Batch{IDs: b.IDs, Starts: b.Starts}
			if m.net.Task == arch.Generate { // the vectors have the last token's alone
				last.AskLast()
			}
			out, err := m.engine.Forward(t.Context(), &last, false)
			if err != nil {
				t.Fatal(err)
			}
			logits := distance(out, v.get("logits"), 1)
			loss, got := backward(t, m, v, b, "")
			lossError := distance([]float32{float32(loss)}, v.get("loss"), 1)
			inputs := distance(got, rows(v.get("grad_inputs"), index, m.net.Embedding.Dim), 1e-3)
			n, err := m.engine.Update(t.Context(), arch.Update{
				Step: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxNorm: math.MaxFloat64,
				Param: func(string) arch.ParamUpdate { return arch.ParamUpdate{} }, // a step of length 0
			})
			if err != nil {
				t.Fatal(err)
			}
			norm := distance([]float32{float32(n)}, v.get("grad_norm"), 1)
			if m, err = Open(ck, Options{Train: true}); err != nil {
				t.Fatal(err)
			}
			b, _ = v.batch("step_input_ids", "step_lengths")
			adamw := trainAsIn(t, m, v, "adamw_losses", b, "step_", TrainOptions{LR: 5e-5, Decay: 0.01})
			tableRow(filepath.Base(dir), logits, lossError, inputs, norm, adamw)
			if !(logits <= 1e-4 && lossError <= 1e-4 && inputs <= 1e-3 && norm <= 1e-3 && adamw <= 1e-4) {
				t.Errorf("off by: logits %.2g, loss %.2g, input gradients %.2g, norm %.2g, losses of AdamW %.2g", logits, lossError, inputs, norm, adamw)
			}
		})
	}
}
