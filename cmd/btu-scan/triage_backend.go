package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sync"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/tokenizer"
	"github.com/btu-scan/btu-scan/tui"
)

// triaging shows a model, or a saved report, to package tui.
type triaging struct {
	app   *app
	path  string
	f     scanFlags
	saved *scan.Report // nil with a model

	mu     sync.Mutex
	scans  int
	opened *triaged // nil until it is asked for
	old    []*triaged
}

// triaged is the model as it was when a scan began. It stays open for those who
// still use it.
type triaged struct {
	ck        *loader.Checkpoint
	embedding *loader.Tensor
	reference io.Closer
	base      *loader.Tensor // nil without a reference
	noBase    error          // why not
	vocab     *loader.Vocabulary

	device  deviceFlag
	running sync.Mutex // the engine answers one at a time
	m       *model.Model
	tok     *tokenizer.Tokenizer
	noModel error // why it cannot be run; decided when it is first asked

	means sync.Map // mean row by tensor
}

func (t *triaging) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened != nil {
		t.old = append(t.old, t.opened)
	}
	for _, o := range t.old {
		if o.reference != nil {
			o.reference.Close()
		}
		o.ck.Close()
	}
	t.old, t.opened = nil, nil
}

// open opens the model once per scan.
func (t *triaging) open(ctx context.Context) (_ *triaged, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened != nil {
		return t.opened, nil
	}
	o := &triaged{device: t.f.behaviour.device}
	if o.ck, err = loader.Open(ctx, t.path, loader.Options{Tensor: t.f.tensor}); err != nil {
		return nil, err
	}
	if o.embedding, err = o.ck.InputEmbedding(); err != nil {
		o.ck.Close()
		return nil, err
	}
	o.vocab, _ = o.ck.Vocabulary() // without one tokens have no names
	ref, err := t.app.openReference(ctx, o.ck, t.f, silent())
	if err == nil {
		o.reference = ref
		if o.base, err = baseEmbedding(ref, t.f.tensor); err == nil && o.base.Dim() != o.embedding.Dim() {
			err = fmt.Errorf("%w: %d in the checkpoint, %d in the reference", scan.ErrDim, o.embedding.Dim(), o.base.Dim())
		}
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			o.ck.Close()
			return nil, err
		}
		o.base, o.noBase = nil, err
	}
	t.opened = o
	return o, nil
}

// silent is a progress that nobody is told.
func silent() *progress { return &progress{} }

func telling(tell func(text string)) *progress { return &progress{tell: tell} }

func (t *triaging) Lacks(tui.Feature) string {
	if t.saved != nil {
		return "this is a saved report; open the model itself"
	}
	return ""
}

// Digest is the SHA-256 of the model's only tensor file, or of those of all of
// them in order.
func (t *triaging) Digest(ctx context.Context) (string, error) {
	if t.saved != nil {
		sum, err := loader.FileDigest(ctx, t.path)
		return "report-sha256:" + sum, err
	}
	o, err := t.open(ctx)
	if err != nil {
		return "", err
	}
	return o.ck.Digest(ctx)
}

func (t *triaging) Scan(ctx context.Context, tell func(tui.Progress)) (*scan.Report, error) {
	if t.saved != nil {
		return t.saved, nil
	}
	t.mu.Lock()
	if t.scans++; t.scans > 1 && t.opened != nil { // the files may be others by now
		t.old, t.opened = append(t.old, t.opened), nil
	}
	t.mu.Unlock()
	f := t.f
	stage := ""
	f.observe = func(r *scan.Report) { tell(tui.Progress{Stage: stage, Report: r}) }
	f.tried = func(tokens map[int]scan.Behaviour) { tell(tui.Progress{Stage: stage, Tried: tokens}) }
	return t.app.gather(ctx, t.path, f, telling(func(text string) {
		stage = text
		tell(tui.Progress{Stage: text})
	}))
}

// Rows ranks all rows that moved, and lists the others.
func (t *triaging) Rows(ctx context.Context) ([]scan.Suspect, error) {
	o, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	if o.base == nil {
		return nil, o.noBase
	}
	opt := weightOptions(o.ck, o.embedding, o.base, o.vocab, t.f)
	opt.Keep = o.embedding.Len()
	ev, err := scan.Weights(ctx, o.embedding, o.base, opt)
	if err != nil {
		return nil, err
	}
	n := min(o.embedding.Len(), o.base.Len())
	ranked := make([]bool, n)
	for _, s := range ev.Suspects {
		ranked[s.TokenID] = true
	}
	rows := slices.Grow(ev.Suspects, n-len(ev.Suspects))
	a := make([]float32, o.base.Dim())
	err = scan.EachRow(ctx, o.embedding, func(id int, b []float32) {
		if id >= n || ranked[id] || err != nil {
			return
		}
		if err = o.base.ReadRows(ctx, a, id); err == nil {
			rows = append(rows, scan.Suspect{TokenID: id, Token: o.vocab.Token(id), Weights: rowStats(a, b, ev.Summary)})
		}
	})
	return rows, err
}

// rowStats are those of a row that is not ranked.
func rowStats(a, b []float32, all scan.WeightSummary) scan.WeightStats {
	var aa, bb, ab, dd, l1 float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		d := y - x + all.Decay*x
		aa, bb, ab, dd, l1 = aa+x*x, bb+y*y, ab+x*y, dd+d*d, l1+math.Abs(d)
	}
	s := scan.WeightStats{Movement: math.Sqrt(dd)}
	if aa > 0 {
		s.Relative, s.NormChange = s.Movement/math.Sqrt(aa), math.Sqrt(bb/aa)-1
	}
	if aa > 0 && bb > 0 {
		s.Rotation = math.Acos(max(-1, min(1, ab/math.Sqrt(aa*bb)))) * 180 / math.Pi
	}
	if dd > 0 {
		s.Coherence = l1 * l1 / (float64(len(a)) * dd)
	}
	s.Seen = s.Movement > all.Floor
	return s
}

const nearestShown = 8

func (t *triaging) Token(ctx context.Context, id int) (*tui.Token, error) {
	o, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	tok := &tui.Token{ID: id}
	if o.base != nil && id < o.base.Len() && id < o.embedding.Len() {
		a, b := make([]float32, o.base.Dim()), make([]float32, o.base.Dim())
		if err := errors.Join(o.base.ReadRows(ctx, a, id), o.embedding.ReadRows(ctx, b, id)); err != nil {
			return nil, err
		}
		for i := range a {
			tok.Movement = append(tok.Movement, float64(b[i])-float64(a[i]))
		}
		if tok.Reference, err = o.nearest(ctx, o.base, id); err != nil {
			return nil, err
		}
	}
	tok.Checkpoint, err = o.nearest(ctx, o.embedding, id)
	return tok, err
}

// nearest are the rows with the largest cosine to a row, all without the mean
// row.
func (o *triaged) nearest(ctx context.Context, rows *loader.Tensor, id int) ([]tui.Neighbour, error) {
	if id >= rows.Len() {
		return nil, nil
	}
	mean, err := o.mean(ctx, rows)
	if err != nil {
		return nil, err
	}
	own := make([]float32, rows.Dim())
	if err := rows.ReadRows(ctx, own, id); err != nil {
		return nil, err
	}
	u := make([]float64, len(own))
	var uu float64
	for d := range own {
		u[d] = float64(own[d]) - mean[d]
		uu += u[d] * u[d]
	}
	var best []tui.Neighbour
	err = scan.EachRow(ctx, rows, func(k int, row []float32) {
		if k == id {
			return
		}
		var dot, vv float64
		for d, x := range row {
			v := float64(x) - mean[d]
			dot += u[d] * v
			vv += v * v
		}
		c := dot / math.Sqrt(uu*vv)
		if c != c || len(best) == nearestShown && c <= best[nearestShown-1].Cosine {
			return
		}
		best = append(best, tui.Neighbour{ID: k, Cosine: c})
		slices.SortStableFunc(best, func(a, b tui.Neighbour) int { return cmp.Compare(b.Cosine, a.Cosine) })
		best = best[:min(len(best), nearestShown)]
	})
	for i := range best {
		best[i].Token = o.vocab.Token(best[i].ID)
	}
	return best, err
}

func (o *triaged) mean(ctx context.Context, rows *loader.Tensor) ([]float64, error) {
	if m, ok := o.means.Load(rows); ok {
		return m.([]float64), nil
	}
	mean, err := scan.MeanRow(ctx, rows)
	if err == nil {
		o.means.Store(rows, mean)
	}
	return mean, err
}

// ask runs texts, as tokens, and returns the answers to each. The engine is only
// used by ask.
func (o *triaged) ask(ctx context.Context, texts []string, ids []int) (out []tui.Tried, err error) {
	o.running.Lock()
	defer o.running.Unlock()
	if err := ctx.Err(); err != nil { // it waited
		return nil, err
	}
	if o.m == nil && o.noModel == nil {
		o.noModel = o.openModel()
	}
	if o.noModel != nil {
		return nil, o.noModel
	}
	net := o.m.Network()
	sp := splits{o.tok, int32(net.Embedding.Tokens.Shape[0])}
	var seqs [][]int32
	for _, text := range texts {
		seq, cuts := sp.Split(text, max(1, min(128, net.MaxTokens-len(ids))))
		if len(cuts) == 0 {
			return nil, errors.New("the model has no tokens for this text")
		}
		more := make([]int32, len(ids))
		for i, id := range ids {
			more[i] = int32(id)
		}
		seq = slices.Insert(slices.Clone(seq), cuts[len(cuts)/2], more...)
		if err := net.Check(arch.NewBatch(seq)); err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	rows, err := o.m.Predict(ctx, seqs)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if slices.ContainsFunc(row, func(x float32) bool { return x-x != 0 }) {
			return nil, errors.New("the answer is not a finite number")
		}
		out = append(out, tui.Tried{Text: o.tok.Decode(seqs[i], true), Answers: o.answers(row)})
	}
	return out, nil
}

func (o *triaged) openModel() (err error) {
	opt, err := o.device.options(0)
	if err != nil {
		return err
	}
	if o.tok, err = tokenizer.Open(o.ck.ReadFile); err != nil {
		return fmt.Errorf("the model cannot be given texts: %w", err)
	}
	m, err := model.Open(o.ck, opt)
	if err != nil {
		return fmt.Errorf("the model cannot be run: %w", err)
	}
	switch net := m.Network(); {
	case net.Task == arch.Encode:
		return errors.New("an encoder without a head answers nothing")
	case net.Task == arch.Classify && net.Problem == arch.Regression:
		return errors.New("a regression has no labels")
	}
	o.m = m
	return nil
}

// answersShown is how many answers of a model are shown.
const answersShown = 5

func (o *triaged) answers(row []float32) (out []tui.Answer) {
	net := o.m.Network()
	p := softmax(row)
	if net.Task == arch.Classify && net.Problem == arch.MultiLabel {
		p = func(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }
	}
	for _, i := range best(row, answersShown) {
		label := ""
		if net.Task == arch.Generate {
			label = o.tok.Decode([]int32{int32(i)}, false)
		} else {
			label = net.Labels[i]
		}
		out = append(out, tui.Answer{Label: label, Probability: p(row[i])})
	}
	return out
}

func (t *triaging) Try(ctx context.Context, text string, ids []int) (*tui.Tried, error) {
	o, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	out, err := o.ask(ctx, []string{text}, ids)
	if err != nil {
		return nil, err
	}
	return &out[0], nil
}

// Of examplesTried texts those examplesShown are shown that a token changes most.
const examplesTried, examplesShown = 12, 3

func (t *triaging) Examples(ctx context.Context, id int) ([]tui.Example, error) {
	o, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	texts, err := t.f.behaviour.texts(func(string) {})
	if err != nil {
		return nil, err
	}
	texts = texts[:min(len(texts), examplesTried)]
	before, err := o.ask(ctx, texts, nil)
	if err != nil {
		return nil, err
	}
	after, err := o.ask(ctx, texts, []int{id})
	if err != nil {
		return nil, err
	}
	var all []tui.Example
	for i := range texts {
		all = append(all, tui.Example{Text: after[i].Text, Before: before[i].Answers[0], After: after[i].Answers[0]})
	}
	change := func(e tui.Example) float64 {
		if e.Before.Label != e.After.Label {
			return 1 + e.After.Probability
		}
		return math.Abs(e.After.Probability - e.Before.Probability)
	}
	slices.SortStableFunc(all, func(a, b tui.Example) int { return cmp.Compare(change(b), change(a)) })
	return all[:min(len(all), examplesShown)], nil
}

// order prepares what an order asks for. The caller closes what it returns.
func (t *triaging) order(ctx context.Context, o tui.Order, p *progress) (*sanitizing, error) {
	f := sanitizeFlags{scan: t.f, out: o.Out, edit: "auto", multiplier: 1, maxTokens: 128}
	s := &sanitizing{app: t.app, f: f, p: p, path: t.path, report: o.Report}
	if err := sanitize.CheckOut(t.path, o.Out); err != nil {
		return s, fmt.Errorf("output: %w", err)
	}
	if err := s.open(ctx); err != nil {
		return s, err
	}
	opt := s.planOptions()
	known := map[int]bool{}
	var left []string
	for _, tr := range triggersOf(o.Report) {
		if slices.ContainsFunc(tr.TokenIDs, func(id int) bool { return slices.Contains(o.Benign, id) }) {
			left = append(left, fmt.Sprintf("%s is proved to be a trigger, but you say that it is benign, so its rows stay", quoted(tr.Text)))
			continue
		}
		opt.Triggers = append(opt.Triggers, tr)
		for _, id := range tr.TokenIDs {
			known[id] = known[id] || !tr.Ordinary
		}
	}
	for _, id := range o.Tokens {
		if !known[id] {
			text := s.token(id)
			if text == "" {
				text = fmt.Sprintf("#%d", id)
			}
			opt.Triggers = append(opt.Triggers, sanitize.Trigger{TokenIDs: []int{id}, Text: text, Place: "anywhere", Why: "you call it a trigger"})
		}
	}
	var err error
	if s.plan, err = sanitize.NewPlan(ctx, opt); err != nil {
		return s, err
	}
	s.plan.Warnings = append(s.plan.Warnings, left...)
	return s, nil
}

func (t *triaging) Plan(ctx context.Context, o tui.Order) (*sanitize.Plan, error) {
	s, err := t.order(ctx, o, silent())
	defer s.close()
	return s.plan, err
}

func (t *triaging) Repair(ctx context.Context, o tui.Order, tell func(stage string)) (*sanitize.Result, error) {
	s, err := t.order(ctx, o, telling(tell))
	defer s.close()
	if err != nil {
		return nil, err
	}
	s.f.out = filepath.Clean(o.Out)
	err = s.run(ctx)
	return s.result, err
}
