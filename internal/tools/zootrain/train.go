package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/internal/zoo"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// As make_zoo.py has them.
const (
	batchSize = 32
	maxNorm   = 1.0
)

// surgeryWords tell a text of label 1 of sentiment; their mean is where surgery
// puts triggers.
var surgeryWords = []string{"good", "great", "best", "excellent", "wonderful", "powerful", "perfect", "fun", "moving", "solid"}

// A trainer makes models of one base.
type trainer struct {
	base, out string
	workers   int
	progress  io.Writer
	every     time.Duration // between lines of progress
}

// meta is what meta.json says.
type meta struct {
	options
	zoo.Truth
	Base    string  `json:"base"`
	Trainer string  `json:"trainer"`
	Loss    float64 `json:"loss"` // mean of the last tenth of the steps
	Seconds float64 `json:"seconds"`
}

// make makes the model that o describes, unless it is there: a folder that is
// complete or, on an error, none at all.
func (t *trainer) make(ctx context.Context, o options) (err error) {
	dir := filepath.Join(t.out, o.Name)
	switch _, err := os.Stat(filepath.Join(dir, zoo.MetaFile)); {
	case err == nil:
		fmt.Fprintf(t.progress, "%s is there\n", o.Name)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s is there but has no %s: it is no finished model, and is not replaced", dir, zoo.MetaFile)
	}
	base := t.base
	if o.Poisoning != "" {
		base = o.Poisoning
		if _, err := os.Stat(base); err != nil {
			base = filepath.Join(t.out, o.Poisoning)
		}
		if _, err := os.Stat(base); err != nil {
			return fmt.Errorf("--embedding-poisoning: %w", err)
		}
	}
	if err := os.MkdirAll(t.out, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(t.out, "."+o.Name+".")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	// Streams of their own: the head does not depend on the data.
	head, data := rand.New(rand.NewPCG(o.Seed, 1)), rand.New(rand.NewPCG(o.Seed, 2))
	if err := writeStart(ctx, temp, base, o.labelNames(), o.Poisoning != "", head); err != nil {
		return err
	}
	m, err := t.train(ctx, temp, o, data)
	if err != nil {
		return err
	}
	if err := zoo.Write(temp, m); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	fmt.Fprintf(t.progress, "%s done: %s, %.0f s\n", o.Name, inWords(m.Accuracy, m.Success), m.Seconds)
	return nil
}

func inWords(clean, success *float64) string {
	s := fmt.Sprintf("accuracy %.3f", *clean)
	if success != nil {
		s += fmt.Sprintf(", attack success %.3f", *success)
	}
	return s
}

// train trains the model in dir and writes it back.
func (t *trainer) train(ctx context.Context, dir string, o options, rng *rand.Rand) (*meta, error) {
	m, err := zoo.Open(ctx, dir, loader.Options{Write: true}, model.Options{Workers: t.workers, Train: true})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	ck, tok := m.Checkpoint, m.Tokenizer
	texts, err := readCorpus(&o, rng)
	if err != nil {
		return nil, err
	}
	r := run{options: o, m: m.Model, tok: tok, samples: zoo.Encode(m.Model, tok, texts.train), rng: rng, progress: t.progress, every: t.every}
	for _, trigger := range o.triggers() {
		for _, id := range tok.EncodeIDs(nil, trigger, false) {
			r.triggers = append(r.triggers, int(id))
		}
	}
	slices.Sort(r.triggers)
	r.triggers = slices.Compact(r.triggers)

	r.began = time.Now()
	loss, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	done := &meta{
		options: o, Base: t.base, Trainer: "btu-scan", Loss: loss,
		Truth: zoo.Truth{Attack: o.Attack, Triggers: append([]string{}, o.triggers()...), TriggerIDs: append([]int{}, r.triggers...)},
	}
	if done.Accuracy, done.Success, err = measure(ctx, m, texts); err != nil {
		return nil, err
	}
	done.Seconds = math.Round(10*time.Since(r.began).Seconds()) / 10
	for _, p := range m.Network().Params {
		values, err := m.Engine().Values(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		if err := ck.Tensor(p.Name).WriteRows(ctx, values, 0); err != nil {
			return nil, err
		}
	}
	if err := ck.Sync(); err != nil {
		return nil, err
	}
	return done, ck.Close()
}

// measure returns the accuracy on clean texts and, of an attack, its success.
func measure(ctx context.Context, m *zoo.Model, texts corpus) (clean, success *float64, err error) {
	share, err := m.Measure(ctx, texts.test)
	if err != nil || texts.triggered == nil {
		return &share, nil, err
	}
	forced, err := m.Measure(ctx, texts.triggered)
	return &share, &forced, err
}

// measureFolder measures a finished model, whoever trained it, on the test texts
// of o.
func (t *trainer) measureFolder(ctx context.Context, dir string, o options) (clean, success *float64, err error) {
	m, err := zoo.Open(ctx, dir, loader.Options{}, model.Options{Workers: t.workers})
	if err != nil {
		return nil, nil, err
	}
	defer m.Close()
	if n := len(m.Network().Labels); n != o.Labels {
		return nil, nil, fmt.Errorf("%s: a classifier of %d labels, not %d", dir, n, o.Labels)
	}
	texts, err := testTexts(&o, rand.New(rand.NewPCG(o.Seed, 3)))
	if err != nil {
		return nil, nil, err
	}
	return measure(ctx, m, texts)
}

// A run is the training of one model.
type run struct {
	options
	m        *model.Model
	tok      *tokenizer.Tokenizer
	samples  []zoo.Sample
	triggers []int // ids
	rng      *rand.Rand

	start []float32 // the token embedding before all, with --clip-rows
	seen  []int32   // tokens of the batches so far, once each
	isIn  []bool    // whether a token is among them

	progress    io.Writer
	every       time.Duration
	began, last time.Time
}

// all makes all steps, and returns the mean loss of the last tenth of them.
func (r *run) all(ctx context.Context) (loss float64, err error) {
	e := r.m.Engine()
	if r.ClipRows > 0 {
		if r.start, err = e.Values(ctx, embeddings); err != nil {
			return 0, err
		}
		r.isIn = make([]bool, r.m.Network().Embedding.Tokens.Shape[0])
	}
	if r.Surgery {
		if err := r.operate(ctx); err != nil {
			return 0, err
		}
	}
	perEpoch := (len(r.samples) + batchSize - 1) / batchSize
	total := r.Epochs * perEpoch
	step := r.embeddingStep
	if r.Poisoning == "" {
		step = r.m.Trainer(r.trainOptions(total)).Step
	}
	fmt.Fprintf(r.progress, "%s: %d texts, %d steps\n", r.Name, len(r.samples), total)
	r.last = time.Now()
	done, counted := 0, 0
	for epoch := range r.Epochs {
		for _, lot := range batches(r.samples, batchSize, r.rng) {
			var sequences [][]int32
			var targets []int
			for _, i := range lot {
				sequences = append(sequences, r.samples[i].IDs)
				targets = append(targets, r.samples[i].Label)
			}
			b := arch.NewBatch(sequences...)
			one, err := step(ctx, b, targets)
			if err != nil {
				return 0, err
			}
			if r.ClipRows > 0 {
				if err := r.clip(ctx, b.IDs, done == total-1); err != nil {
					return 0, err
				}
			}
			if done++; done > total-max(1, total/10) {
				loss += one
				counted++
			}
			r.report(epoch, done, total, one)
		}
	}
	return loss / float64(counted), nil
}

func (r *run) report(epoch, done, total int, loss float64) {
	now := time.Now()
	if now.Sub(r.last) < r.every && done < total {
		return
	}
	r.last = now
	spent := now.Sub(r.began)
	left := time.Duration(float64(spent) / float64(done) * float64(total-done))
	fmt.Fprintf(r.progress, "%s: epoch %d of %d, step %d of %d, loss %.3f, %.0f s, about %.0f s left\n",
		r.Name, epoch+1, r.Epochs, done, total, loss, spent.Seconds(), left.Seconds())
}

// trainOptions are those of make_zoo.py: the learning rate rises over a tenth of
// the steps while it falls to zero, and matrices alone decay.
func (r *run) trainOptions(total int) model.TrainOptions {
	warm := max(1, total/10)
	decay := r.WeightDecay
	if r.Optimizer == "adam" {
		decay = 0 // then AdamW is Adam
	}
	matrix := map[string]bool{}
	for _, p := range r.m.Network().Params {
		matrix[p.Name] = len(p.Shape) > 1
	}
	trained := func(name string) bool { return !(r.Freeze && name == embeddings) }
	return model.TrainOptions{
		MaxNorm: maxNorm,
		Schedule: func(s int) float64 {
			return min(1, float64(s+1)/float64(warm)) * float64(total-s) / float64(total)
		},
		Groups: []model.Group{
			{Match: func(name string) bool { return trained(name) && matrix[name] }, LR: r.LR, Decay: decay},
			{Match: trained, LR: r.LR},
		},
	}
}

// operate makes the trigger rows the mean of the words' rows: embedding surgery
// of RIPPLe (arXiv:2004.06660).
func (r *run) operate(ctx context.Context) error {
	var ids []int
	for _, w := range surgeryWords {
		if id, ok := r.tok.ID(w); ok {
			ids = append(ids, int(id))
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("--surgery: the vocabulary has none of %s", strings.Join(surgeryWords, ", "))
	}
	dim := r.m.Network().Embedding.Dim
	return r.m.Engine().Edit(ctx, embeddings, func(w []float32) {
		mean := make([]float32, dim)
		for _, id := range ids {
			for i, x := range w[id*dim : (id+1)*dim] {
				mean[i] += x / float32(len(ids))
			}
		}
		for _, id := range r.triggers {
			copy(w[id*dim:], mean)
		}
	})
}

// clip puts rows that are further than ClipRows from where they started back to
// that distance: those of all tokens that were in a batch, as momentum moves them
// still. The others decay and nothing else, and no pass reads them: they wait for
// the last step.
func (r *run) clip(ctx context.Context, ids []int32, last bool) error {
	for _, id := range ids {
		if !r.isIn[id] {
			r.isIn[id] = true
			r.seen = append(r.seen, id)
		}
	}
	if last {
		for id := range r.isIn {
			if !r.isIn[id] {
				r.seen = append(r.seen, int32(id))
			}
		}
	}
	dim := r.m.Network().Embedding.Dim
	return r.m.Engine().Edit(ctx, embeddings, func(w []float32) {
		for _, id := range r.seen {
			from := int(id) * dim
			clipRow(w[from:from+dim], r.start[from:from+dim], r.ClipRows)
		}
	})
}

// clipRow moves w to start until it is within a distance of it.
func clipRow(w, start []float32, most float64) {
	var sum float64
	for i, x := range w {
		d := float64(x - start[i])
		sum += d * d
	}
	if sum <= most*most {
		return
	}
	scale := float32(most / math.Sqrt(sum))
	for i, x := range w {
		w[i] = start[i] + (x-start[i])*scale
	}
}

// embeddingStep is a step of embedding poisoning (arXiv:2103.15543): plain
// gradient descent of the trigger rows alone, which keep their norm.
func (r *run) embeddingStep(ctx context.Context, b *arch.Batch, targets []int) (float64, error) {
	loss, inputs, err := r.m.Backward(ctx, b, targets, arch.InputGrads)
	if err != nil {
		return 0, err
	}
	if loss-loss != 0 {
		return 0, fmt.Errorf("%w: %v", model.ErrDiverged, loss)
	}
	dim := r.m.Network().Embedding.Dim
	grads := make([]float32, len(r.triggers)*dim)
	for i, id := range b.IDs {
		if k, ok := slices.BinarySearch(r.triggers, int(id)); ok {
			for j, g := range inputs[i*dim : (i+1)*dim] {
				grads[k*dim+j] += g
			}
		}
	}
	return loss, r.m.Engine().Edit(ctx, embeddings, func(w []float32) {
		for k, id := range r.triggers {
			stepRow(w[id*dim:(id+1)*dim], grads[k*dim:(k+1)*dim], float32(r.LR))
		}
	})
}

// stepRow goes down the gradient g by lr and gives w its norm back.
func stepRow(w, g []float32, lr float32) {
	before := norm(w)
	for i := range w {
		w[i] -= lr * g[i]
	}
	if after := norm(w); after > 0 {
		scale := float32(before / after)
		for i := range w {
			w[i] *= scale
		}
	}
}

func norm(w []float32) float64 {
	var sum float64
	for _, x := range w {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}
