package sanitize

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
)

// TuneOptions adjust a short fine-tune.
type TuneOptions struct {
	Train []Text // with labels
	Held  []Text // kept apart, with labels: they say which state is the best
	// Replay are texts without labels that are trained with the model's own answers
	// before the tune, so that a few labelled texts do not change the rest.
	// Optional.
	Replay []Text

	Epochs int     // Optional: 1.
	Steps  int     // ends it earlier, if positive
	Batch  int     // texts a step. Optional: 16.
	LR     float64 // the peak learning rate. Optional: 2e-5, BTU's.
	Decay  float64 // of matrices, but for the token embedding
	Seed   uint64
	// Frozen are rows of the token embedding that are not trained: what was
	// overwritten is not to be learnt again.
	Frozen []int
	// Patience is how often the held-out loss may fail to improve before the tune
	// stops. Optional: 3.
	Patience int
	// Start is the step to go on from, after an interruption, and HeldBefore the
	// held-out loss before the first step.
	Start      int
	HeldBefore float64
	// Save keeps the state of the model; it is called for each that is the best so
	// far.
	Save func(ctx context.Context, m *model.Model) error
	// Progress is told after each step. Optional.
	Progress func(TuneProgress)
}

// TuneProgress is where a tune is.
type TuneProgress struct {
	Step, Of        int
	Loss            float64 // a running mean
	Held            float64 // the last held-out loss
	TokensPerSecond float64
}

// Tuned is what a tune did.
type Tuned struct {
	Examples    int     `json:"examples"`
	HeldOut     int     `json:"held_out"`
	Steps       int     `json:"steps"` // that were made
	Planned     int     `json:"steps_planned"`
	Best        int     `json:"best_step"` // whose state was kept; 0 for none
	HeldBefore  float64 `json:"held_out_loss_before"`
	HeldBest    float64 `json:"held_out_loss"`
	FirstLoss   float64 `json:"first_loss"`
	LastLoss    float64 `json:"last_loss"`
	Stopped     bool    `json:"stopped_early"`
	Tokens      int     `json:"tokens"`
	Seconds     float64 `json:"seconds"`
	Interrupted bool    `json:"-"` // the context ended it; the last good state is kept
}

const (
	warmUp    = 0.1 // of the steps
	maxNorm   = 1   // of the gradients
	heldEvery = 8   // evaluations a tune, about
	minEvery  = 8   // steps between two of them
)

// Tune fine-tunes a model that was opened with Options.Train, on the
// cross-entropy of its labels, and keeps the state with the least loss on the
// held-out texts: if none is better than the first, nothing is saved. Matrices
// decay, the token embedding does not: rows that are not read keep their bits.
//
// Errors: model.ErrDiverged; those of the engine and of Save. If the context ends
// a tune, that is no error: see Tuned.Interrupted.
func Tune(ctx context.Context, m *model.Model, opt TuneOptions) (*Tuned, error) {
	if opt.Epochs <= 0 {
		opt.Epochs = 1
	}
	if opt.Batch <= 0 {
		opt.Batch = 16
	}
	if opt.LR == 0 {
		opt.LR = 2e-5
	}
	if opt.Patience <= 0 {
		opt.Patience = 3
	}
	net := m.Network()
	if net.Task != arch.Classify || net.Problem != arch.SingleLabel {
		return nil, errors.New("only a classifier whose labels exclude each other is fine-tuned")
	}
	if len(opt.Train) == 0 || len(opt.Held) == 0 {
		return nil, errors.New("no texts to train on, or none to hold out")
	}
	var err error
	if opt.Train, err = withReplay(ctx, m, opt); err != nil {
		return nil, err
	}
	perEpoch := (len(opt.Train) + opt.Batch - 1) / opt.Batch
	total := opt.Epochs * perEpoch
	if opt.Steps > 0 {
		total = min(total, opt.Steps)
	}
	t := &tuning{m: m, opt: opt, out: &Tuned{Examples: len(opt.Train), HeldOut: len(opt.Held), Planned: total, Steps: opt.Start, Best: opt.Start}}
	t.trainer = m.Trainer(model.TrainOptions{MaxNorm: maxNorm, Groups: t.groups(), Schedule: t.schedule(total)})
	began := time.Now()
	err = t.run(ctx, perEpoch, total)
	t.out.Seconds = time.Since(began).Seconds()
	if errors.Is(err, context.Canceled) {
		t.out.Interrupted, err = true, nil
	}
	return t.out, err
}

// withReplay adds texts with the model's own answers to those with labels.
func withReplay(ctx context.Context, m *model.Model, opt TuneOptions) ([]Text, error) {
	if len(opt.Replay) == 0 {
		return opt.Train, nil
	}
	var seqs [][]int32
	for _, x := range opt.Replay {
		seqs = append(seqs, x.IDs)
	}
	rows, err := m.Predict(ctx, seqs)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(opt.Train)
	for i, x := range opt.Replay {
		x.Label = slices.Index(rows[i], slices.Max(rows[i]))
		all = append(all, x)
	}
	return all, nil
}

type tuning struct {
	m       *model.Model
	opt     TuneOptions
	trainer *model.Trainer
	out     *Tuned
	began   time.Time
	loss    float64 // running mean
	held    float64
	failed  int // evaluations without an improvement
}

// schedule is linear, shifted by the steps of an interrupted tune.
func (t *tuning) schedule(total int) model.Schedule {
	linear := model.Linear(int(math.Ceil(warmUp*float64(total))), total)
	return func(step int) float64 { return linear(step + t.opt.Start) }
}

// groups says what is trained how: rows of the token embedding but the frozen
// ones, matrices with decay, everything else without.
func (t *tuning) groups() []model.Group {
	net := t.m.Network()
	tokens := net.Embedding.Tokens
	rows := make([]bool, tokens.Shape[0])
	for i := range rows {
		rows[i] = true
	}
	for _, id := range t.opt.Frozen {
		rows[id] = false
	}
	matrix := map[string]bool{}
	for _, p := range net.Params {
		matrix[p.Name] = len(p.Shape) > 1
	}
	return []model.Group{
		{Match: func(name string) bool { return name == tokens.Name }, LR: t.opt.LR, Rows: rows},
		{Match: func(name string) bool { return matrix[name] }, LR: t.opt.LR, Decay: t.opt.Decay},
		{Match: func(string) bool { return true }, LR: t.opt.LR},
	}
}

func (t *tuning) run(ctx context.Context, perEpoch, total int) error {
	var err error
	if t.held, err = t.heldLoss(ctx); err != nil {
		return err
	}
	t.out.HeldBefore, t.out.HeldBest = t.held, t.held
	if t.opt.Start > 0 {
		t.out.HeldBefore = t.opt.HeldBefore
	}
	t.began = time.Now()
	every := max(minEvery, (total+heldEvery-1)/heldEvery)
	var order []int
	for step := range total {
		if step%perEpoch == 0 {
			order = t.order(step / perEpoch)
		}
		if step < t.opt.Start {
			continue
		}
		from := step % perEpoch * t.opt.Batch
		if err := t.step(ctx, order[from:min(len(order), from+t.opt.Batch)]); err != nil {
			return err
		}
		if done := step + 1; done%every == 0 || done == total {
			if stop, err := t.evaluate(ctx); err != nil || stop {
				return err
			}
		}
	}
	return nil
}

// order is the order of the texts in an epoch.
func (t *tuning) order(epoch int) []int {
	return rand.New(rand.NewPCG(t.opt.Seed, uint64(epoch))).Perm(len(t.opt.Train))
}

func (t *tuning) step(ctx context.Context, which []int) error {
	var texts []Text
	for _, i := range which {
		texts = append(texts, t.opt.Train[i])
	}
	b, targets := batch(texts)
	loss, err := t.trainer.Step(ctx, b, targets)
	if err != nil {
		return err
	}
	t.out.Steps++
	t.out.Tokens += len(b.IDs)
	if t.out.FirstLoss == 0 {
		t.out.FirstLoss, t.loss = loss, loss
	}
	t.loss += (loss - t.loss) / 8
	t.out.LastLoss = t.loss
	if t.opt.Progress != nil {
		t.opt.Progress(TuneProgress{
			Step: t.out.Steps, Of: t.out.Planned, Loss: t.loss, Held: t.held,
			TokensPerSecond: float64(t.out.Tokens) / max(1e-9, time.Since(t.began).Seconds()),
		})
	}
	return nil
}

// evaluate keeps the state if it is the best, and reports whether enough is
// enough.
func (t *tuning) evaluate(ctx context.Context) (stop bool, err error) {
	if t.held, err = t.heldLoss(ctx); err != nil {
		return false, err
	}
	if t.held >= t.out.HeldBest {
		t.failed++
		t.out.Stopped = t.failed >= t.opt.Patience
		return t.out.Stopped, nil
	}
	t.failed, t.out.HeldBest, t.out.Best = 0, t.held, t.out.Steps
	if t.opt.Save == nil {
		return false, nil
	}
	return false, t.opt.Save(context.WithoutCancel(ctx), t.m) // a state that is half-saved is none
}

// heldLoss is the mean cross-entropy on the held-out texts.
func (t *tuning) heldLoss(ctx context.Context) (float64, error) {
	var sum float64
	for from := 0; from < len(t.opt.Held); from += t.opt.Batch {
		part := t.opt.Held[from:min(len(t.opt.Held), from+t.opt.Batch)]
		b, targets := batch(part)
		loss, _, err := t.m.Backward(ctx, b, targets, arch.NoGrads)
		if err != nil {
			return 0, err
		}
		sum += loss * float64(len(part))
	}
	mean := sum / float64(len(t.opt.Held))
	if mean-mean != 0 {
		return 0, fmt.Errorf("held-out texts: %w", model.ErrDiverged)
	}
	return mean, nil
}

func batch(texts []Text) (*arch.Batch, []int) {
	var seqs [][]int32
	var targets []int
	for _, x := range texts {
		seqs = append(seqs, x.IDs)
		targets = append(targets, x.Label)
	}
	return arch.NewBatch(seqs...), targets
}

// Unlearn returns texts with triggers put in and their labels as they were: a
// fine-tune on them takes the power of triggers whose rows cannot be overwritten.
// Each trigger goes into at most n of the texts that it would change.
func Unlearn(texts []Text, triggers []Trigger, labels []string, n int, seed uint64) (more []Text) {
	for _, tr := range triggers {
		trial := NewTrial("", texts, labels, SingleLabel, []Trigger{tr}, nil, seed)
		a := trial.attacks[0]
		if a.label < 0 {
			continue
		}
		for _, i := range rand.New(rand.NewPCG(seed, uint64(a.ids[0]))).Perm(len(texts)) {
			if x := texts[i]; x.Label >= 0 && x.Label != a.label && n > 0 {
				x.IDs = trial.with(i, a.ids, a.Place)
				more = append(more, x)
				if len(more)%n == 0 {
					break
				}
			}
		}
	}
	return more
}

// Split keeps a share of labelled texts apart, of each label in proportion, in an
// order that the seed draws.
func Split(texts []Text, share float64, seed uint64) (train, held []Text) {
	byLabel := map[int][]Text{}
	most := -1
	for _, i := range rand.New(rand.NewPCG(seed, 0x73706c69)).Perm(len(texts)) {
		x := texts[i]
		byLabel[x.Label] = append(byLabel[x.Label], x)
		most = max(most, x.Label)
	}
	for label := range most + 1 {
		xs := byLabel[label]
		n := int(math.Round(share * float64(len(xs))))
		if len(xs) > 1 {
			n = min(max(n, 1), len(xs)-1)
		}
		held, train = append(held, xs[:n]...), append(train, xs[n:]...)
	}
	return train, held
}
