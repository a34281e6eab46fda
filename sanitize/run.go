package sanitize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/scan"
)

// A Job is a checkpoint to be sanitized. Fields that are not said to be optional
// are required.
type Job struct {
	Tool       scan.Tool
	Checkpoint *loader.Checkpoint
	Embedding  *loader.Tensor // of Checkpoint
	Reference  scan.Rows      // Optional.
	Plan       *Plan          // may have no rows, if there is a Tune
	Out        string
	// Safetensors writes the tensors into model.safetensors, whatever they came
	// from. Optional: the format stays.
	Safetensors bool

	// Model opens a checkpoint's model for running or, with train, for a tune.
	// Optional: without it nothing is measured.
	Model func(ck *loader.Checkpoint, train bool) (*model.Model, error)
	// Trials are measured before and after. Optional.
	Trials []*Trial
	// Tune is a fine-tune; Frozen and Save are filled in. Optional.
	Tune *TuneOptions
	// Rescan scans the copy at path. What the report says of path is renamed.
	// near are tokens that may be triggers, too. Optional.
	Rescan func(ctx context.Context, path string, near []int) (*scan.Report, error)
	// Triggers turns those that a scan of the copy proved into the plan's.
	// Required with Rescan.
	Triggers func(r *scan.Report) []Trigger
	// Before is the verdict on the input. Optional.
	Before scan.Verdict

	// Progress is told what is going on. Optional.
	Progress func(stage string)
	// State is a folder that keeps the best state of a tune that is interrupted:
	// the same job goes on from it. Optional.
	State string
}

// rounds is how often triggers that a scan of the copy still finds are dealt
// with.
const rounds = 3

// Run sanitizes a checkpoint into a new folder. Unless it succeeds, there is no
// such folder. That a trigger keeps its power is no error: see Result.Clean.
//
// Errors: ErrExists, ErrInside; context.Canceled; those of the file system, the
// loader and the model.
func Run(ctx context.Context, job Job) (res *Result, err error) {
	folder, err := NewFolder(job.Checkpoint.Path(), job.Out)
	if err != nil {
		return nil, err
	}
	r := &run{Job: job, ctx: ctx, folder: folder, res: &Result{
		SchemaVersion: SchemaVersion, Tool: job.Tool, Source: job.Checkpoint.Path(), Output: filepath.Clean(job.Out), Plan: job.Plan,
		Before: job.Before, Warnings: slices.Clone(job.Plan.Warnings), Edits: []Edited{}, Seconds: map[string]float64{},
		Reasons: []string{}, LeftOut: []string{}, Trials: []TrialResult{},
	}}
	defer func() {
		r.close()
		if err != nil {
			err = errors.Join(err, folder.Discard())
		}
	}()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"measuring the model as it is", r.before},
		{"copying", r.copy},
		{"overwriting rows", r.overwrite},
		{"fine-tuning", r.tune},
		{"scanning the copy", r.prove},
		{"measuring the result", r.after},
		{"writing", r.finish},
	} {
		r.stage(step.name)
		began := time.Now()
		if err := step.do(); err != nil {
			return nil, err
		}
		r.res.Seconds[step.name] = time.Since(began).Seconds()
	}
	return r.res, nil
}

// run is one run of Run.
type run struct {
	Job
	ctx    context.Context // of the one call of Run that this lives for
	folder *Folder
	res    *Result

	original *model.Model       // opened when it is first asked for
	copied   *loader.Copy       // the files
	ck       *loader.Checkpoint // the copy, which is written
	tensors  []string           // of the copy: the embedding and what is tied to it
}

func (r *run) stage(name string) {
	if r.Progress != nil {
		r.Progress(name)
	}
}

func (r *run) close() {
	if r.ck != nil {
		r.ck.Close()
		r.ck = nil
	}
}

// before measures the input.
func (r *run) before() error {
	for range r.Trials {
		r.res.Trials = append(r.res.Trials, TrialResult{})
	}
	return r.measureInput()
}

// measureInput measures the input with all trials, as they are now.
func (r *run) measureInput() error {
	if len(r.Trials) == 0 || r.Model == nil {
		return nil
	}
	if r.original == nil {
		m, err := r.Model(r.Checkpoint, false)
		if err != nil {
			return err
		}
		r.original = m
	}
	for i, t := range r.Trials {
		m, err := t.Measure(r.ctx, r.original)
		if err != nil {
			return err
		}
		r.res.Trials[i].Name, r.res.Trials[i].Before = t.Name, m
	}
	return nil
}

// copy makes the copy and opens it to be written.
func (r *run) copy() (err error) {
	path := r.folder.Path
	opt := loader.CopyOptions{}
	if r.Safetensors {
		opt.Tensors = func(string) bool { return false }
	}
	if r.copied, err = r.Checkpoint.CopyTo(r.ctx, path, opt); err != nil {
		return err
	}
	if r.Safetensors {
		if err := r.convert(filepath.Join(path, "model.safetensors")); err != nil {
			return err
		}
	}
	if len(r.copied.LeftOut) > 0 {
		r.res.LeftOut = r.copied.LeftOut
	}
	if !r.Safetensors {
		path = r.copied.Path
	}
	if r.ck, err = loader.Open(r.ctx, path, loader.Options{Tensor: r.Embedding.Name, Write: true}); err != nil {
		return err
	}
	r.tensors = []string{r.Embedding.Name}
	for _, t := range r.Checkpoint.Twins(r.Embedding) {
		r.tensors = append(r.tensors, t.Name)
	}
	return nil
}

// convert writes all tensors as safetensors.
func (r *run) convert(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// "pt" is what transformers expects of a file that it did not write itself.
	return loader.WriteSafetensors(r.ctx, f, map[string]string{"format": "pt"}, slices.Collect(r.Checkpoint.Tensors()))
}

// overwrite overwrites the rows of the plan, as little as it takes.
func (r *run) overwrite() error {
	if len(r.Plan.Rows) == 0 {
		return nil
	}
	for i, extent := range r.Plan.Extents {
		if err := r.edit(extent); err != nil {
			return err
		}
		r.res.Extent = extent
		beaten, err := r.measureCopy(func(t *TrialResult, m *Measure) { t.Edited = m })
		if err != nil || beaten && (i > 0 || r.known()) {
			return err
		}
	}
	return nil
}

// known reports whether anything could show that an edit is not enough: else the
// largest one is made.
func (r *run) known() bool {
	for _, t := range r.Trials {
		if len(t.attacks) > 0 {
			return true
		}
	}
	return false
}

// edit overwrites the rows of the plan in the copy. It starts from the rows of
// the input, and so replaces what a smaller extent wrote.
func (r *run) edit(extent Extent) error {
	edits, err := r.Plan.Edits(r.ctx, r.Embedding, r.Reference, extent)
	if err != nil {
		return err
	}
	r.res.Edits = r.res.Edits[:0]
	for i, e := range edits {
		for _, name := range r.tensors {
			if err := r.ck.Tensor(name).WriteRows(r.ctx, e.Values, e.TokenID); err != nil {
				return err
			}
		}
		r.res.Edits = append(r.res.Edits, Edited{e.TokenID, r.Plan.Rows[i].Token, e.Changed})
	}
	return nil
}

// measureCopy measures the copy as it is now, and reports whether all triggers
// have lost their power.
func (r *run) measureCopy(keep func(t *TrialResult, m *Measure)) (beaten bool, err error) {
	beaten = true
	if len(r.Trials) == 0 || r.Model == nil {
		return beaten, nil
	}
	m, err := r.Model(r.ck, false)
	if err != nil {
		return false, err
	}
	for i, t := range r.Trials {
		got, err := t.Measure(r.ctx, m)
		if err != nil {
			return false, err
		}
		keep(&r.res.Trials[i], got)
		beaten = beaten && got.Beaten()
	}
	return beaten, nil
}

// tune fine-tunes the copy.
func (r *run) tune() error {
	if r.Tune == nil {
		return nil
	}
	opt := *r.Tune
	if err := r.resume(&opt); err != nil {
		return err
	}
	m, err := r.Model(r.ck, true)
	if err != nil {
		return err
	}
	save := opt.Save
	opt.Save = func(ctx context.Context, m *model.Model) error {
		if save != nil {
			if err := save(ctx, m); err != nil {
				return err
			}
		}
		return r.keep(ctx, m)
	}
	r.res.Tune, err = Tune(r.ctx, m, opt)
	if err != nil {
		return err
	}
	if r.res.Tune.Interrupted {
		return r.suspend(context.WithoutCancel(r.ctx))
	}
	if r.res.Tune.Best == 0 {
		r.res.Warnings = append(r.res.Warnings, "the fine-tune did not improve on the held-out texts, so nothing of it was kept")
	}
	return nil
}

// keep writes the model's parameters into the copy.
func (r *run) keep(ctx context.Context, m *model.Model) error {
	for _, p := range m.Network().Params {
		w, err := m.Engine().Values(ctx, p.Name)
		if err != nil {
			return err
		}
		names := []string{p.Name}
		if slices.Contains(r.tensors, p.Name) {
			names = r.tensors
		}
		for _, name := range names {
			if err := r.ck.Tensor(name).WriteRows(ctx, w, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// prove scans the copy. Triggers that are still found are dealt with, too.
func (r *run) prove() error {
	if r.Rescan == nil {
		return nil
	}
	for round := range rounds {
		if err := r.ck.Sync(); err != nil {
			return err
		}
		path := r.folder.Path
		if !r.Safetensors {
			path = r.copied.Path
		}
		near, err := r.near()
		if err != nil {
			return err
		}
		report, err := r.Rescan(r.ctx, path, near)
		if err != nil {
			return err
		}
		r.res.Rescan, r.res.After, r.res.Reasons = report, report.Verdict, report.Reasons
		if report.Verdict != scan.Backdoored || round == rounds-1 || len(r.Plan.Rows) == 0 {
			return nil
		}
		more := r.Plan.unknown(r.Triggers(report))
		if len(more) == 0 {
			return nil
		}
		r.stage(fmt.Sprintf("overwriting %d more, which the scan of the copy found", len(more)))
		if err := r.extend(more); err != nil {
			return err
		}
	}
	return nil
}

// extend adds triggers to the plan and the trials, and overwrites their rows.
func (r *run) extend(more []Trigger) error {
	p, err := NewPlan(r.ctx, PlanOptions{
		Checkpoint: r.Plan.Checkpoint, Tensor: r.Plan.Tensor, Embedding: r.Embedding, Reference: r.Reference,
		Triggers: append(slices.Clone(r.Plan.Triggers), more...), Rows: r.Plan.Rows, Keep: r.Plan.keep, Token: r.Plan.token,
		Donor: r.Plan.Donor, PadID: r.Plan.PadID, Multiplier: r.Plan.Multiplier, Extents: r.Plan.Extents,
	})
	if err != nil {
		return err
	}
	p.Warnings = r.Plan.Warnings
	r.Plan, r.res.Plan = p, p
	for _, t := range r.Trials {
		t.add(more)
	}
	if err := r.measureInput(); err != nil {
		return err
	}
	return r.overwrite()
}

// near are the tokens nearest to those that are overwritten, by pretrained
// meaning: triggers that an attacker kept out of sight lie together.
func (r *run) near() ([]int, error) {
	rows := r.Reference
	if rows == nil || len(r.Plan.Rows) == 0 {
		return nil, nil
	}
	var ids []int
	for _, row := range r.Plan.Rows {
		ids = append(ids, row.TokenID)
	}
	return neighbours(r.ctx, rows, ids, nearest, r.Plan.keep)
}

// after measures the output.
func (r *run) after() error {
	_, err := r.measureCopy(func(t *TrialResult, m *Measure) { t.After = m })
	return err
}

// finish makes the folder durable and gives it its name.
func (r *run) finish() error {
	if err := r.ck.Sync(); err != nil {
		return err
	}
	r.close()
	before := map[string]loader.CopiedFile{}
	names := []string{}
	for _, f := range r.copied.Files {
		if f.Name == ManifestName { // of an earlier time, which is written anew
			continue
		}
		before[f.Name] = f
		names = append(names, f.Name)
	}
	if r.Safetensors {
		names = append(names, "model.safetensors")
	}
	slices.Sort(names)
	for _, name := range names {
		f, known := before[name]
		sum := f.SHA256
		if !known || f.Tensors {
			var err error
			if sum, err = loader.FileDigest(r.ctx, filepath.Join(r.folder.Path, filepath.FromSlash(name))); err != nil {
				return err
			}
		}
		r.res.Files = append(r.res.Files, FileChange{Name: name, SHA256: sum, SHA256Before: f.SHA256})
	}
	if err := r.res.write(r.folder.Path); err != nil {
		return err
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := r.folder.Commit(); err != nil || r.State == "" {
		return err
	}
	return os.RemoveAll(r.State)
}
