package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/btu-scan/btu-scan/dataset"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/sanitize"
)

// replayTo is how many texts a fine-tune has at least: probes with the model's own
// answers make up for what is missing.
const replayTo = 256

// unlearnTexts is how many texts teach the model that a trigger of ordinary words
// says nothing.
const unlearnTexts = 64

// heldShare is the part of the user's texts that is held out.
const heldShare = 0.2

// texts reads the texts that the model is measured with and trained on.
func (s *sanitizing) texts(ctx context.Context, job *sanitize.Job) error {
	control, seed, problem := s.control(), s.f.scan.behaviour.seed, sanitize.SingleLabel
	if s.net.Problem == arch.MultiLabel {
		problem = sanitize.MultiLabel
	}
	trial := func(name string, texts []sanitize.Text) {
		job.Trials = append(job.Trials, sanitize.NewTrial(name, texts, s.net.Labels, problem, s.plan.Triggers, control, seed))
	}
	data, err := s.labelled(ctx, "--data", s.f.data)
	if err != nil {
		return err
	}
	test, err := s.labelled(ctx, "--test", s.f.test)
	if err != nil {
		return err
	}
	probes, err := s.probes()
	if err != nil {
		return err
	}
	if data != nil && s.f.tune.Epochs > 0 {
		train, held := sanitize.Split(data, heldShare, seed)
		if len(held) < 2 || len(train) < 2 {
			return usagef("", "--data: %d texts are too few to hold some out", len(data))
		}
		job.Tune = s.tuning(train, held, probes)
		data = held
	}
	switch {
	case test != nil:
		trial("test", test)
	case data != nil:
		trial("data", data)
	}
	trial("probes", probes)
	return nil
}

// probes splits the probes.
func (s *sanitizing) probes() (texts []sanitize.Text, err error) {
	lines, err := s.f.scan.behaviour.texts(func(w string) { s.plan.Warnings = append(s.plan.Warnings, w) })
	for _, line := range lines {
		if x, ok := s.split(line); ok {
			texts = append(texts, x)
		}
	}
	return texts, err
}

// tuning says how to fine-tune.
func (s *sanitizing) tuning(train, held, probes []sanitize.Text) *sanitize.TuneOptions {
	opt := s.f.tune
	opt.Train, opt.Held, opt.Seed, opt.Decay = train, held, s.f.scan.behaviour.seed, 0.01
	var began time.Time
	opt.Progress = func(x sanitize.TuneProgress) {
		if began.IsZero() {
			began = time.Now()
		}
		s.p.stage(fmt.Sprintf("fine-tuning, step %d of %d, loss %.3f, held out %.3f, %.0f tokens/s%s",
			x.Step, x.Of, x.Loss, x.Held, x.TokensPerSecond, eta(began, x.Step, x.Of)))
	}
	if s.f.freeze {
		for _, r := range s.plan.Rows {
			opt.Frozen = append(opt.Frozen, r.TokenID)
		}
	}
	var ordinary []sanitize.Trigger
	for _, t := range s.plan.Triggers {
		if t.Ordinary {
			ordinary = append(ordinary, t)
		}
	}
	opt.Train = append(opt.Train, sanitize.Unlearn(train, ordinary, s.net.Labels, unlearnTexts, opt.Seed)...)
	opt.Replay = probes[:min(len(probes), max(0, replayTo-len(opt.Train)))]
	return &opt
}

// split makes tokens of a text.
func (s *sanitizing) split(text string) (sanitize.Text, bool) {
	const room = 16 // for a trigger
	ids, cuts := (splits{s.tok, int32(s.embedding.Len())}).Split(text, min(s.f.maxTokens, s.net.MaxTokens-room))
	return sanitize.Text{IDs: ids, Cuts: cuts, Label: -1}, len(cuts) > 0
}

// labelled reads labelled texts; nil where no file is named.
func (s *sanitizing) labelled(ctx context.Context, flag, name string) ([]sanitize.Text, error) {
	if name == "" {
		return nil, nil
	}
	set, err := readDataset(ctx, flag, name, dataset.Options{TextColumn: s.f.textColumn, LabelColumn: s.f.labelName})
	if err != nil {
		return nil, err
	}
	labels, err := set.Index(s.net.Labels)
	if err != nil {
		return nil, usagef("labels are the model's names for them, or their numbers", "%s: %s: %v", flag, name, err)
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(labels))); len(distinct) < 2 {
		return nil, usagef("", "%s: %s: all texts have the label %q", flag, name, set.Examples[0].Label)
	}
	var texts []sanitize.Text
	for i, e := range set.Examples {
		if x, ok := s.split(e.Text); ok {
			x.Label = labels[i]
			texts = append(texts, x)
		}
	}
	if len(texts) < len(set.Examples) {
		s.plan.Warnings = append(s.plan.Warnings, fmt.Sprintf("%s: %d texts have no words that the model reads", flag, len(set.Examples)-len(texts)))
	}
	return texts, nil
}

// control draws ordinary tokens.
func (s *sanitizing) control() (ids []int32) {
	rows := int32(s.embedding.Len())
	sp := splits{s.tok, rows}
	rnd := rand.New(rand.NewPCG(s.f.scan.behaviour.seed, 0x636f6e74))
	own := map[int]bool{}
	for _, r := range s.plan.Rows {
		own[r.TokenID] = true
	}
	for range 4096 {
		if id := rnd.Int32N(rows); !sp.Skip(int(id)) && !own[int(id)] {
			ids = append(ids, id)
		}
		if len(ids) == 512 {
			break
		}
	}
	return ids
}
