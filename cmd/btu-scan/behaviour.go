package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/behaviour"
	"github.com/btu-scan/btu-scan/scan/probes"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// probeSeed draws probes and positions where the user gives no other seed.
const probeSeed = 1

// behaviourFlags adjust the behaviour evidence.
type behaviourFlags struct {
	probes     string
	prompt     string
	answers    []string
	candidates []string
	budget     time.Duration
	seed       uint64
	device     deviceFlag
	changed    func(name string) bool // reports whether a flag was given
}

func (f *behaviourFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.probes, "probes", "", "`FILE` with texts of the model's own field: lines, TSV, CSV or JSON lines")
	fs.StringVar(&f.prompt, "prompt", "", "how a language model is asked: `TEXT` with {} where the text goes and \\n for a line break, or @FILE (default: it goes on with texts)")
	fs.StringArrayVar(&f.answers, "answer", nil, "a `TEXT` that it answers with, mostly with a blank before it; may be repeated (default: found by asking, else free text)")
	fs.StringArrayVar(&f.candidates, "candidate", nil, "a `TEXT` to try as a trigger; may be repeated")
	fs.DurationVar(&f.budget, "budget", 0, "end the behaviour evidence after `TIME`, such as 30s; the likeliest comes first")
	fs.Uint64Var(&f.seed, "seed", probeSeed, "draws probes and positions")
	f.device.register(fs)
	f.changed = fs.Changed
}

// behaviourOnly are the flags that are about behaviour alone.
var behaviourOnly = []string{"probes", "prompt", "answer", "candidate", "budget", "seed", "device", "engine"}

// check refuses flags that would have no effect.
func (f *behaviourFlags) check(evidence string) error {
	if f.budget < 0 {
		return usagef("", "--budget %v: a time such as 30s", f.budget)
	}
	for _, name := range behaviourOnly {
		if f.changed != nil && f.changed(name) && evidence == string(scan.EvidenceWeights) {
			return usagef("", "--%s is about behaviour, which --evidence weights leaves out", name)
		}
	}
	if evidence == string(scan.EvidenceWeights) {
		return nil
	}
	if f.prompt != "" {
		if _, err := readPrompt(f.prompt); err != nil {
			return err
		}
	}
	if len(f.answers) > 0 && f.prompt == "" || len(f.answers) == 1 {
		return usagef("", "--answer: at least two, and --prompt, which they answer")
	}
	_, err := f.device.options(0)
	return err
}

// texts reads the probe file, or returns the built-in probes.
func (f *behaviourFlags) texts(warn func(string)) ([]string, error) {
	if f.probes == "" {
		return probes.Builtin(), nil
	}
	file, err := os.Open(f.probes)
	if err != nil {
		return nil, usagef("", "--probes: %v", err)
	}
	defer file.Close()
	set, err := probes.Read(f.probes, file)
	if err != nil {
		return nil, usagef("a text on each line, or TSV, CSV or JSON lines with a column \"text\"", "--probes: %v", err)
	}
	if set.Truncated {
		warn(fmt.Sprintf("--probes: %s holds more than is read; %d texts of it are used", f.probes, len(set.Texts)))
	}
	return set.Texts, nil
}

// watcher gathers behaviour evidence about a checkpoint.
type watcher struct {
	m    *model.Model
	tok  *tokenizer.Tokenizer
	runs behaviour.Model
	text behaviour.Tokenizer
	// labels are the names of the answers, and maxTokens the length of the longest
	// text.
	labels    []string
	maxTokens int
	// free is whether the model writes freely, and ref the pretrained model that
	// this is compared with; nil without one.
	free bool
	ref  *model.Model
	// unasked is why it is not asked for a few answers.
	unasked error
}

// newWatcher opens the model of a checkpoint for behaviour evidence. An error
// says why there can be none, or is a *usageError.
func newWatcher(ctx context.Context, ck *loader.Checkpoint, f *behaviourFlags, texts []string, opt model.Options) (*watcher, error) {
	m, err := model.Open(ck, opt)
	if err != nil {
		return nil, fmt.Errorf("the model cannot be run: %w", err)
	}
	net := m.Network()
	switch {
	case net.Task == arch.Encode:
		return nil, errors.New("an encoder without a head gives no answer that could be judged")
	case net.Task != arch.Generate && f.prompt != "":
		return nil, usagef("", "--prompt: the model is no language model, it has labels of its own")
	case net.Problem == arch.Regression:
		return nil, errors.New("a regression has no labels that a trigger could force")
	}
	tok, err := tokenizer.Open(ck.ReadFile)
	if err != nil {
		return nil, fmt.Errorf("the model cannot be given texts: %w", err)
	}
	rows := splits{tok, int32(net.Embedding.Tokens.Shape[0])}
	w := &watcher{m: m, tok: tok, runs: runs{m}, text: rows, labels: net.Labels, maxTokens: net.MaxTokens}
	if net.Task == arch.Generate {
		return w, w.ask(ctx, rows, f, texts)
	}
	return w, nil
}

// ask makes a classifier of a language model, unless it writes freely: it is not
// asked at all, or its answers are not a few words.
func (w *watcher) ask(ctx context.Context, rows splits, f *behaviourFlags, texts []string) error {
	if f.prompt == "" {
		w.text, w.free = newQuestions(rows, prompt{}), true
		w.unasked = errors.New("the language model was watched as it goes on with texts: how else it is asked, --prompt says")
		return nil
	}
	p, err := readPrompt(f.prompt)
	if err != nil {
		return err
	}
	q := newQuestions(rows, p)
	w.text, w.maxTokens = q, w.maxTokens-q.extra
	var tokens []int32
	if len(f.answers) > 0 {
		tokens, err = answerTokens(w.tok, p, rows.rows, f.answers)
	} else {
		var asked [][]int32
		for _, text := range texts[:min(len(texts), askedAtMost)] {
			if ids, _ := q.Split(text, min(answerText, w.maxTokens)); len(ids) > 0 {
				asked = append(asked, ids)
			}
		}
		if len(asked) == 0 {
			return fmt.Errorf("the prompt of %d tokens leaves no room for a text: the model takes %d", q.extra, w.m.Network().MaxTokens)
		}
		if tokens, err = findAnswers(ctx, w.m, asked); errors.Is(err, errAnswers) {
			w.free, w.unasked = true, err
			return nil
		}
	}
	if err != nil {
		return err
	}
	w.runs, w.labels = answering{w.m, tokens}, q.labels(tokens)
	return nil
}

// watch gathers the evidence. ref is nil where there is no reference.
func (w *watcher) watch(ctx context.Context, rows, ref scan.Rows, suspects []scan.Suspect, opt behaviour.Options) (*behaviour.Evidence, error) {
	net := w.m.Network()
	opt.Labels, opt.Rows, opt.Reference, opt.MaxTokens = w.labels, rows, ref, w.maxTokens
	if net.Problem == arch.MultiLabel {
		opt.Problem = behaviour.MultiLabel
	}
	for _, s := range suspects {
		if s.Status == scan.StatusNeutral {
			opt.Also = append(opt.Also, s.TokenID)
			continue
		}
		opt.Suspects = append(opt.Suspects, s.TokenID)
		if s.Status != scan.StatusNatural {
			opt.Abnormal = append(opt.Abnormal, s.TokenID)
		}
		if s.Status == scan.StatusAbnormal {
			opt.Findings = append(opt.Findings, s.TokenID)
		}
	}
	if !w.free {
		return behaviour.Classifier(ctx, w.runs, w.text, opt)
	}
	var reference behaviour.Predictor // an interface that holds a nil model is not nil
	if w.ref != nil {
		reference = w.ref
	}
	return behaviour.Generator(ctx, w.m, reference, w.text, opt)
}

// compare opens the pretrained model of a language model that writes freely. An
// error says why they cannot be compared.
func (w *watcher) compare(ck *loader.Checkpoint, opt model.Options) error {
	m, err := model.Open(ck, opt)
	if err != nil {
		return fmt.Errorf("the reference cannot be run: %w", err)
	}
	own, other := w.m.Network(), m.Network()
	switch {
	case other.Task != arch.Generate:
		return errors.New("the reference is no language model that writes texts")
	case other.Width() != own.Width() || other.Embedding.Tokens.Shape[0] != own.Embedding.Tokens.Shape[0]:
		return fmt.Errorf("the reference has a vocabulary of %d tokens, the model one of %d", other.Embedding.Tokens.Shape[0], own.Embedding.Tokens.Shape[0])
	}
	w.ref = m
	w.maxTokens = min(w.maxTokens, other.MaxTokens-(own.MaxTokens-w.maxTokens)) // the prompt takes as much of either
	return nil
}

// watch adds behaviour evidence to a report, or the reason why there is none.
func (a *app) watch(ctx context.Context, r *scan.Report, ck, ref *loader.Checkpoint, rows, base *loader.Tensor, texts []string, f scanFlags, p *progress) error {
	p.stage("opening the model")
	why := func(err error) { r.Coverage.Reasons = append(r.Coverage.Reasons, "behaviour: "+err.Error()) }
	opt, err := f.behaviour.device.options(0)
	if err != nil {
		return err
	}
	w, err := newWatcher(ctx, ck, &f.behaviour, texts, opt)
	var usage *usageError
	switch {
	case errors.As(err, &usage), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil:
		why(err)
		return nil
	}
	began := time.Now()
	var meaning scan.Rows // of the tokens; a wrong reference knows another
	if r.Weights != nil {
		meaning = base
	}
	if w.free {
		why(w.unasked)
		if r.Weights != nil {
			if err := w.compare(ref, opt); err != nil {
				why(err)
			}
		}
	}
	ev, err := w.watch(ctx, rows, meaning, r.Suspects, behaviour.Options{
		Also: f.near, Probes: texts, Rewrites: rewrites(), Candidates: f.behaviour.candidates, Budget: f.behaviour.budget, Seed: f.behaviour.seed,
		Thorough: f.evidence == string(scan.EvidenceFull), Tried: f.tried,
		Progress: func(stage string, done, total int) {
			p.stage(fmt.Sprintf("%s, %d %%%s", stage, 100*done/max(1, total), eta(began, done, total)))
		},
	})
	switch {
	case errors.Is(err, behaviour.ErrNotFinite), errors.Is(err, behaviour.ErrFewProbes), errors.Is(err, behaviour.ErrOneLabel):
		why(err)
		return nil
	case err != nil:
		return err
	}
	r.Behaviour, r.Triggers = &ev.Summary, ev.Triggers
	r.Findings = append(ev.Findings, r.Findings...)
	r.Warnings = append(r.Warnings, ev.Warnings...)
	for i := range r.Suspects {
		if b, ok := ev.Tokens[r.Suspects[i].TokenID]; ok {
			r.Suspects[i].Behaviour = &b
		}
	}
	if f.behaviour.prompt != "" {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the answers are those to the prompt '%s' alone: another may have triggers of its own", f.behaviour.prompt))
	}
	r.Coverage.Behaviour = scan.GatheredFull
	if !ev.Complete {
		r.Coverage.Behaviour = scan.GatheredPartial
		for _, reason := range ev.Reasons {
			why(errors.New(reason))
		}
	}
	return nil
}

// rewrites are the built-in ones, as package behaviour takes them.
func rewrites() (all []behaviour.Rewrite) {
	for _, w := range probes.Rewrites() {
		all = append(all, behaviour.Rewrite(w))
	}
	return all
}

// runs shows a model to package behaviour.
type runs struct{ m *model.Model }

func (r runs) Predict(ctx context.Context, sequences [][]int32) ([][]float32, error) {
	return r.m.Predict(ctx, sequences)
}

// gradientsAtOnce is how many sequences are differentiated in one pass.
const gradientsAtOnce = 16

func (r runs) Gradients(ctx context.Context, sequences [][]int32, at []int, weigh func(weights, outputs []float32)) ([][]float32, error) {
	return gradients(ctx, r.m, sequences, at, weigh)
}

// gradients are those of the weighted outputs of each sequence, with regard to
// the embedding row of one of its tokens.
func gradients(ctx context.Context, m *model.Model, sequences [][]int32, at []int, weigh func(weights, outputs []float32)) ([][]float32, error) {
	width, dim := m.Network().Width(), m.Network().Embedding.Dim
	var rows [][]float32
	for part := range slices.Chunk(sequences, gradientsAtOnce) {
		b := arch.NewBatch(part...)
		if m.Network().Task == arch.Generate {
			b.AskLast()
		}
		if err := m.Network().Check(b); err != nil {
			return nil, err
		}
		out, err := m.Engine().Forward(ctx, b, true)
		if err != nil {
			return nil, err
		}
		dout := make([]float32, len(out))
		for i := range part {
			weigh(dout[i*width:(i+1)*width], out[i*width:(i+1)*width])
		}
		grads, err := m.Engine().Backward(ctx, dout, arch.InputGrads)
		if err != nil {
			return nil, err
		}
		for i := range part {
			t := b.Starts[i] + at[len(rows)]
			rows = append(rows, slices.Clone(grads[t*dim:(t+1)*dim]))
		}
	}
	return rows, nil
}

// splits shows a tokenizer to package behaviour.
type splits struct {
	t    *tokenizer.Tokenizer
	rows int32 // of the embedding: a token beyond has none
}

func (s splits) Split(text string, limit int) (ids []int32, cuts []int) {
	e := s.t.EncodeMax(text, limit)
	if slices.ContainsFunc(e.IDs, func(id int32) bool { return id < 0 || id >= s.rows }) {
		return nil, nil
	}
	end := len(e.IDs) - e.Suffix
	for i := e.Prefix; i < end; i++ {
		if i == e.Prefix || e.WordStart[i] {
			cuts = append(cuts, i)
		}
	}
	return e.IDs, append(cuts, end)
}

// Inner tokenizes words as they are after a word: a byte-level tokenizer gives
// the first word of a text no mark.
func (s splits) Inner(text string) []int32 {
	ids := s.t.EncodeIDs(nil, "a "+strings.TrimSpace(text), false)
	if head := s.t.EncodeIDs(nil, "a", false); len(head) < len(ids) && slices.Equal(ids[:len(head)], head) {
		ids = ids[len(head):]
	} else {
		ids = s.t.EncodeIDs(nil, text, false)
	}
	return slices.DeleteFunc(ids, func(id int32) bool { return id < 0 || id >= s.rows })
}

func (s splits) Text(ids []int32) string { return strings.TrimSpace(s.t.Decode(ids, false)) }

func (s splits) Skip(id int) bool {
	if id >= s.t.Len() || s.t.Special(int32(id)) {
		return true
	}
	piece := s.t.Token(int32(id))
	return piece == "" || strings.HasPrefix(piece, "[unused")
}

func (s splits) Mask() int32 {
	for _, piece := range []string{"[MASK]", "<mask>"} {
		if id, ok := s.t.ID(piece); ok && id < s.rows {
			return id
		}
	}
	return -1
}
