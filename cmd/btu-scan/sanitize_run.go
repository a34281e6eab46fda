package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// sanitizing is one run of the command.
type sanitizing struct {
	app  *app
	f    sanitizeFlags
	p    *progress
	path string

	ck        *loader.Checkpoint
	embedding *loader.Tensor
	reference scan.Rows // nil without one
	closers   []io.Closer
	report    *scan.Report // of the input; nil if it was not scanned
	tok       *tokenizer.Tokenizer
	net       *arch.Network // nil if the model cannot be run
	why       error         // why not

	plan   *sanitize.Plan // nil: nothing to do
	result *sanitize.Result
}

func (s *sanitizing) close() {
	for _, c := range s.closers {
		c.Close()
	}
}

// idle reports whether there is nothing to do.
func (s *sanitizing) idle() bool {
	return s.plan == nil || len(s.plan.Rows) == 0 && (s.f.data == "" || s.f.tune.Epochs == 0)
}

// prepare finds out what there is to do.
//
// The caller closes what it returns, also with an error.
func (a *app) prepare(ctx context.Context, path string, f sanitizeFlags, p *progress) (s *sanitizing, err error) {
	s = &sanitizing{app: a, f: f, p: p, path: path}
	if err := s.open(ctx); err != nil {
		return s, err
	}
	opt := s.planOptions()
	if opt.Triggers, opt.Rows, err = s.find(ctx); err != nil {
		return s, err
	}
	if f.edit == "none" {
		s.plan = &sanitize.Plan{
			SchemaVersion: sanitize.SchemaVersion, Checkpoint: path, Tensor: s.embedding.Name, Triggers: opt.Triggers,
			Rows: []sanitize.Row{}, PadID: -1, Extents: []sanitize.Extent{}, Warnings: []string{},
		}
		return s, nil
	}
	s.p.stage("making a plan")
	s.plan, err = sanitize.NewPlan(ctx, opt)
	if errors.Is(err, sanitize.ErrNothing) {
		s.plan, err = nil, nil
	}
	return s, err
}

// planOptions are what the flags and the opened files say of a plan.
func (s *sanitizing) planOptions() sanitize.PlanOptions {
	opt := sanitize.PlanOptions{
		Checkpoint: s.path, Tensor: s.embedding.Name, Embedding: s.embedding, Reference: s.reference,
		Keep: s.special, Token: s.token, Donor: sanitize.Donor(s.f.donor), PadID: s.pad(), Multiplier: s.f.multiplier,
	}
	switch s.f.edit {
	case string(sanitize.ExtentDimensions):
		opt.Extents = []sanitize.Extent{sanitize.ExtentDimensions}
	case string(sanitize.ExtentRows):
		opt.Extents = []sanitize.Extent{sanitize.ExtentRows}
	}
	return opt
}

// open opens the checkpoint and its reference.
func (s *sanitizing) open(ctx context.Context) (err error) {
	s.p.stage("opening the checkpoint")
	if s.ck, err = loader.Open(ctx, s.path, loader.Options{Tensor: s.f.scan.tensor}); err != nil {
		return err
	}
	s.closers = append(s.closers, s.ck)
	if s.embedding, err = s.ck.InputEmbedding(); err != nil {
		return err
	}
	ref, err := s.app.openReference(ctx, s.ck, s.f.scan, s.p)
	switch {
	case err == nil:
		s.closers = append(s.closers, ref)
		base, err := baseEmbedding(ref, s.f.scan.tensor)
		if err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		if base.Dim() != s.embedding.Dim() {
			return fmt.Errorf("%w: %d in the checkpoint, %d in the reference", scan.ErrDim, s.embedding.Dim(), base.Dim())
		}
		s.reference = base
	case s.f.scan.ref != "" || s.f.donor == string(sanitize.DonorReference) || s.f.edit == string(sanitize.ExtentDimensions):
		return err
	}
	tok, err := tokenizer.Open(s.ck.ReadFile)
	if err != nil {
		s.why = fmt.Errorf("the model cannot be given texts: %w", err)
		return nil
	}
	s.tok = tok
	m, err := model.Open(s.ck, model.Options{})
	if err != nil {
		s.why = fmt.Errorf("the model cannot be run: %w", err)
		return nil
	}
	s.net = m.Network()
	if s.net.Task != arch.Classify || s.net.Problem == arch.Regression {
		s.net, s.why = nil, errors.New("only classifiers are measured and fine-tuned")
	}
	return nil
}

func (s *sanitizing) special(id int) bool {
	return s.tok != nil && (id >= s.tok.Len() || s.tok.Special(int32(id)))
}

func (s *sanitizing) token(id int) string {
	v, err := s.ck.Vocabulary()
	if err != nil {
		return ""
	}
	return v.Token(id)
}

// pad is the padding token: what config.json says, else the token of that name.
// One that has another name ends texts, too, and so means something.
func (s *sanitizing) pad() int {
	if id := s.ck.Config().PadTokenID; id != nil && *id >= 0 && *id < s.embedding.Len() {
		if name := s.token(*id); name == "" || strings.Contains(strings.ToLower(name), "pad") {
			return *id
		}
		return -1
	}
	for _, piece := range []string{"[PAD]", "<pad>"} {
		if s.tok != nil {
			if id, ok := s.tok.ID(piece); ok && int(id) < s.embedding.Len() {
				return int(id)
			}
		}
	}
	return -1
}

// find returns the triggers, and rows of tokens that are suspects for another
// reason.
func (s *sanitizing) find(ctx context.Context) ([]sanitize.Trigger, []sanitize.Row, error) {
	switch {
	case len(s.f.tokens) > 0:
		ts, err := s.named(s.f.tokens)
		return ts, nil, err
	case s.f.suspects != "":
		rows, err := readSuspects(s.f.suspects, s.f.top)
		return nil, rows, err
	case s.f.triage != "":
		rows, err := s.marked(ctx)
		return nil, rows, err
	case s.f.from != "":
		r, err := readReport(s.f.from)
		if err != nil {
			return nil, nil, err
		}
		if e := r.Checkpoint.Embedding; e == nil || e.Rows != s.embedding.Len() || e.Dim != s.embedding.Dim() {
			return nil, nil, usagef("scan this model, or leave --from away", "--from %s is about another checkpoint", s.f.from)
		}
		s.report = r
	default:
		r, err := s.scan(ctx, s.path, nil)
		if err != nil {
			return nil, nil, err
		}
		s.report = r
	}
	return triggersOf(s.report), nil, nil
}

// marked are the tokens that the user marked as triggers of these very bytes.
func (s *sanitizing) marked(ctx context.Context) (rows []sanitize.Row, err error) {
	if _, err := os.Stat(s.f.triage); err != nil {
		return nil, usagef("", "--triage: %v", err)
	}
	file, err := triagefile.Read(s.f.triage)
	if err != nil {
		return nil, usagef("", "--triage: %v", err)
	}
	s.p.stage("reading the checkpoint")
	digest, err := s.ck.Digest(ctx)
	if err != nil {
		return nil, err
	}
	now, expired := time.Now(), 0
	for _, d := range file.Checkpoints[digest] {
		switch {
		case d.Counts(now) == triagefile.MarkTrigger:
			rows = append(rows, sanitize.Row{TokenID: d.TokenID, Why: "marked as a trigger in " + s.f.triage})
		case d.Mark == triagefile.MarkTrigger:
			expired++
		}
	}
	switch {
	case len(rows) == 0 && expired > 0:
		return nil, usagef("btu-scan triage marks them again with t", "--triage: every trigger of this checkpoint in %s has expired", s.f.triage)
	case len(rows) == 0:
		return nil, usagef("btu-scan triage marks them with t", "--triage: %s has no trigger of this checkpoint", s.f.triage)
	}
	return rows, nil
}

// scan scans a checkpoint as the flags of this run say. near are tokens to try
// beside the suspects.
func (s *sanitizing) scan(ctx context.Context, path string, near []int) (*scan.Report, error) {
	f := s.f.scan
	f.near = near
	r, err := s.app.gather(ctx, path, f, s.p)
	if err != nil && (r == nil || errors.Is(err, context.Canceled) || path == s.path) {
		return nil, err
	}
	return r, nil
}

// stateSuffix follows the output's name in that of the folder that keeps an
// interrupted fine-tune.
const stateSuffix = ".tune"

// triggersOf are those that a scan proved.
func triggersOf(r *scan.Report) (ts []sanitize.Trigger) {
	for _, t := range r.Triggers {
		ts = append(ts, sanitize.Trigger{
			TokenIDs: t.TokenIDs, Text: t.Text, Label: t.TargetLabel, Place: t.Place, Ordinary: t.FoundBy == "structure",
			Why: fmt.Sprintf("proved by a scan: turns %.0f %% of contested texts to %q", 100*t.FlipRate, t.TargetLabel),
		})
	}
	return ts
}

// named are the tokens of the user.
func (s *sanitizing) named(words []string) (ts []sanitize.Trigger, err error) {
	if s.tok == nil {
		return nil, s.why
	}
	for _, w := range words {
		var ids []int
		if id, ok := s.tok.ID(w); ok {
			ids = []int{int(id)}
		} else {
			for _, id := range (splits{s.tok, int32(s.embedding.Len())}).Inner(w) {
				ids = append(ids, int(id))
			}
		}
		if len(ids) == 0 {
			return nil, usagef("", "--tokens %q: has no tokens", w)
		}
		ts = append(ts, sanitize.Trigger{TokenIDs: ids, Text: w, Place: "anywhere", Why: "named by the user"})
	}
	return ts, nil
}

// run sanitizes.
func (s *sanitizing) run(ctx context.Context) error {
	job := sanitize.Job{
		Tool: thisTool(), Checkpoint: s.ck, Embedding: s.embedding, Reference: s.reference,
		Plan: s.plan, Out: s.f.out, Safetensors: s.f.to == "safetensors" && s.ck.Format() != loader.FormatSafetensors,
		Triggers: triggersOf, Progress: s.p.stage, State: filepath.Clean(s.f.out) + stateSuffix,
	}
	if s.report != nil {
		job.Before = s.report.Verdict
	}
	if !s.f.noScan {
		job.Rescan = func(ctx context.Context, path string, near []int) (*scan.Report, error) {
			r, err := s.scan(ctx, path, near)
			if r != nil { // the name that it had then is gone
				r.Checkpoint.Path = s.f.out
			}
			return r, err
		}
	}
	if s.net == nil {
		if s.f.data != "" || s.f.test != "" {
			return s.why
		}
		s.plan.Warnings = append(s.plan.Warnings, "nothing was measured: "+s.why.Error())
	} else {
		opt, err := s.f.scan.behaviour.device.options(0)
		if err != nil {
			return err
		}
		job.Model = func(ck *loader.Checkpoint, train bool) (*model.Model, error) {
			opt := opt
			opt.Train = train
			return model.Open(ck, opt)
		}
		if err := s.texts(ctx, &job); err != nil {
			return err
		}
	}
	var err error
	s.result, err = sanitize.Run(ctx, job)
	return err
}

// nothing says why there is nothing to do.
func (s *sanitizing) nothing() error {
	switch {
	case s.plan != nil:
		fmt.Fprintln(s.app.stderr, "btu-scan: the triggers are made of ordinary words, whose rows the model needs: nothing was written")
		fmt.Fprintln(s.app.stderr, "btu-scan: hint: --data FILE fine-tunes on labelled texts, which takes their power")
		return codeError(exitFindings)
	case s.report == nil:
		fmt.Fprintln(s.app.stderr, "btu-scan: nothing to overwrite")
		return codeError(exitNoVerdict)
	case s.report.Verdict == scan.Clean:
		fmt.Fprintln(s.app.stderr, "btu-scan: the scan found nothing to sanitize: nothing was written")
		return nil
	case s.report.Verdict == scan.Suspicious:
		fmt.Fprintf(s.app.stderr, "btu-scan: no trigger is proved (%s): nothing was written\n", printable(strings.Join(s.report.Reasons, "; ")))
		fmt.Fprintln(s.app.stderr, "btu-scan: hint: --suspects REPORT.json overwrites the rows that stand out, --tokens those that you name")
		return codeError(exitFindings)
	}
	fmt.Fprintf(s.app.stderr, "btu-scan: the scan is inconclusive (%s): nothing was written\n", printable(strings.Join(s.report.Reasons, "; ")))
	return codeError(exitNoVerdict)
}
