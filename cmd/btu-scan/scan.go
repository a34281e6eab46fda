package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/reference"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// scanFlags are the flags of a scan.
type scanFlags struct {
	store     storeFlags
	behaviour behaviourFlags
	ref       string
	tensor    string
	evidence  string
	score     string
	failOn    string
	top       int
	jobs      int
	limits    limitFlags
	sandbox   string
	out       outputFlags
	gate      gateFlags

	// supervise scans in a process of its own; supervised is that process.
	supervise, supervised bool
	// args are the flags that were given and that the evidence depends on.
	args []string
	// tell is told each stage. Optional.
	tell func(text string)
	// result is told the report as it is written, and what kept it from being
	// finished. Optional.
	result func(*scan.Report, error)
	// rename changes what the report calls the files. Optional.
	rename func(*scan.Report)
	// near are tokens to try as triggers before the suspects. Optional.
	near []int
	// digest says whether the report needs the digest of a checkpoint of so many
	// tensor files. Optional.
	digest func(files int) bool
	// observe is told what is known so far; the report is not changed any more.
	// Optional.
	observe func(*scan.Report)
	// tried is told what tokens do as they are tried, as behaviour.Options has it.
	tried func(map[int]scan.Behaviour)
}

// outputFlags say where reports go.
type outputFlags struct {
	format, output, color string
	progress              string
	reports               []string
	quiet, verbose        bool
}

func (f *scanFlags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVarP(&f.ref, "reference", "r", "", "the pretrained `MODEL`: a file, a folder or a hub id (default: what the checkpoint names)")
	f.store.register(fs)
	fs.StringVar(&f.evidence, "evidence", "auto", "`weights` alone; auto: behaviour, too; or full: searched more thoroughly")
	f.behaviour.register(fs)
	fs.StringVar(&f.failOn, "fail-on", "suspicious", "exit 1 from this verdict on: `suspicious`, backdoored or never")
	fs.StringVar(&f.score, "score", string(scan.ScoreZ), "rank by `z` (ours), or a baseline: z-plain, l2, e-pur")
	fs.StringVar(&f.tensor, "tensor", "", "`NAME` of the input embedding, where it cannot be told")
	f.limits.register(fs)
	fs.StringVar(&f.sandbox, "sandbox", sandboxAuto, "`auto`: scan in a sandbox where there is one and the scan has its own process; off; or require")
	fs.IntVarP(&f.jobs, "jobs", "j", 1, "scan so many models at once; one alone uses all cores")
	fs.BoolVar(&f.supervised, "supervised", false, "")
	_ = fs.MarkHidden("supervised") // it is there
	f.out.register(fs)
	fs.StringVar(&f.out.progress, "progress", progressAuto, "`auto`: a line, on a terminal; none; or json: events on standard error")
	fs.IntVar(&f.top, "top", 20, "how many suspects to show; reports in JSON hold at least 100")
}

// defaultScan is a scan for which no flag was given.
func defaultScan() (f scanFlags) {
	f.register(pflag.NewFlagSet("", pflag.ContinueOnError))
	return f
}

func (f *outputFlags) register(fs *pflag.FlagSet) {
	fs.StringVarP(&f.format, "format", "f", "text", "report `FORMAT`: "+strings.Join(report.Formats(), ", "))
	fs.StringVarP(&f.output, "output", "o", "", "write the report to `FILE` instead of standard output")
	fs.StringArrayVar(&f.reports, "report", nil, "write a further report, `FORMAT=FILE`, as in sarif=btu.sarif; may be repeated")
	fs.StringVar(&f.color, "color", "auto", "`auto`, always or never")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "show everything: all columns, long texts, timings")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no report on standard output and no progress; the exit code tells")
}

// silent reports whether no progress is shown on a line.
func (f *outputFlags) silent() bool { return f.quiet || f.progress != progressAuto }

// keepSuspects is how many suspects a report holds at least.
const keepSuspects = 100

// scan scans the checkpoint at path, writes the reports and returns an error
// that holds the exit code.
func (a *app) scan(ctx context.Context, path string, f scanFlags) error {
	f = a.forTarget(f, path)
	if f.out.progress == progressJSON {
		return a.scanTelling(ctx, path, f)
	}
	return a.scanOne(ctx, path, f)
}

func (a *app) scanOne(ctx context.Context, path string, f scanFlags) error {
	if f.supervised {
		f.own()
	}
	if err := f.check(); err != nil {
		return err
	}
	out, err := a.outputs(f, path)
	if err != nil {
		return err
	}
	gate, err := a.gate(&f)
	if err != nil {
		return err
	}
	f.digest = gate.NeedsDigest
	// A scan keeps little and ends soon: collecting garbage at the default pace
	// costs a tenth of its time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var r *scan.Report
	failure := a.withProgress(f.out.silent(), func(p *progress) (err error) {
		p.tell = f.tell
		r, err = a.evidence(ctx, path, f, p)
		return err
	})
	if r == nil || errors.Is(failure, context.Canceled) {
		return failure // nothing was opened, so there is nothing to report on
	}
	if f.result != nil {
		defer f.result(r, failure)
	}
	if f.rename != nil {
		f.rename(r)
	}
	if !f.supervised {
		a.apply(gate, r, failure)
	}
	if err := out.write(r); err != nil {
		return err
	}
	if failure != nil && f.out.progress != progressJSON {
		complain(a.stderr, failure)
	}
	if f.supervised { // the process that asked for it decides
		return codeError(exitCode(failure))
	}
	return verdictCode(r, failure)
}

// evidence gathers the report under the limits of the user: in this process, or
// where they could break it in one of its own.
func (a *app) evidence(ctx context.Context, path string, f scanFlags, p *progress) (*scan.Report, error) {
	if (f.supervise || f.limits.set() || f.sandbox == sandboxRequire) && !f.supervised {
		return a.supervise(ctx, path, f, p)
	}
	if f.supervised {
		f.limits.confine()
		if err := f.confine(); err != nil {
			return nil, err
		}
	}
	ctx, stop := f.limits.within(ctx)
	defer stop()
	return a.gather(ctx, path, f, p)
}

// check refuses values and combinations that make no sense.
func (f scanFlags) check() error {
	for _, k := range []struct {
		flag, value string
		allowed     []string
	}{
		{"--evidence", f.evidence, []string{string(scan.EvidenceWeights), string(scan.EvidenceAuto), string(scan.EvidenceFull)}},
		{"--sandbox", f.sandbox, []string{sandboxAuto, sandboxOff, sandboxRequire}},
		{"--progress", f.out.progress, []string{progressAuto, progressNone, progressJSON}},
		{"--fail-on", f.failOn, []string{string(scan.Suspicious), string(scan.Backdoored), "never"}},
		{"--score", f.score, []string{string(scan.ScoreZ), string(scan.ScorePlainZ), string(scan.ScoreL2), string(scan.ScoreEPUR)}},
	} {
		if !slices.Contains(k.allowed, k.value) {
			return usagef("", "%s %q: one of %s", k.flag, k.value, strings.Join(k.allowed, ", "))
		}
	}
	if f.top < 1 || f.top > 100_000 {
		return usagef("", "--top %d: from 1 to 100000", f.top)
	}
	if err := f.limits.check(); err != nil {
		return err
	}
	if err := f.behaviour.check(f.evidence); err != nil {
		return err
	}
	if err := f.checkSandbox(); err != nil {
		return err
	}
	if err := f.gate.check(f.evidence); err != nil {
		return err
	}
	return f.store.checkLock()
}

// newReport is the report of a checkpoint of which nothing is known yet.
func newReport(path string) *scan.Report {
	return &scan.Report{
		SchemaVersion: scan.SchemaVersion, Tool: thisTool(),
		Checkpoint: scan.Checkpoint{Path: path},
		Coverage:   scan.Coverage{Weights: scan.GatheredNone, Behaviour: scan.GatheredNone},
		TimingsMS:  map[string]float64{},
	}
}

// gather makes the report. Where it cannot be finished the report says so and
// the error why; without a checkpoint there is no report.
func (a *app) gather(ctx context.Context, path string, f scanFlags, p *progress) (*scan.Report, error) {
	clock := newClock()
	r := newReport(path)
	r.TimingsMS = clock.ms
	policy := scan.Policy{Evidence: scan.Evidence(f.evidence)}
	texts, err := f.behaviour.texts(func(warning string) { r.Warnings = append(r.Warnings, warning) })
	if err != nil {
		return nil, err
	}
	tokenizer := func() []loader.Finding { return nil } // what is wrong with it, once there is one
	judge := func(failure error) (*scan.Report, error) {
		r.Unsafe = append(r.Unsafe, unsafe(tokenizer())...)
		if failure != nil {
			if limit := limitOf(ctx); limit != nil {
				failure = limit
				r.Unsafe = append(r.Unsafe, limit.finding(path))
			}
			r.Coverage.Reasons = append(r.Coverage.Reasons, failure.Error())
		}
		r.Verdict, r.Reasons = policy.Judge(r)
		clock.lap("total")
		return r, failure
	}
	if policy.Evidence == scan.EvidenceWeights {
		r.Coverage.Behaviour = scan.GatheredNotRequested
	}

	p.stage("opening the checkpoint")
	ck, err := loader.Open(ctx, path, loader.Options{Tensor: f.tensor})
	if err != nil {
		if limitOf(ctx) == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, context.Canceled)) {
			return nil, err
		}
		r.Unsafe = unsafe(loader.FindingsOf(err))
		return judge(err)
	}
	defer ck.Close()
	var names sync.WaitGroup                    // they are needed only once the rows are compared
	names.Go(func() { _, _ = ck.Vocabulary() }) // an error is seen when they are used
	defer names.Wait()
	tokenizer = ck.TokenizerFindings
	describe(r, ck)
	if f.digest != nil && f.digest(len(ck.Files())) {
		if r.Checkpoint.Digest, err = ck.Digest(ctx); err != nil {
			return judge(err)
		}
		r.Checkpoint.SHA256, _ = strings.CutPrefix(r.Checkpoint.Digest, "sha256:")
	}
	embedding, err := ck.InputEmbedding()
	if err != nil {
		return judge(err)
	}
	r.Checkpoint.DType = embedding.DType.String()
	r.Checkpoint.Embedding = &scan.Embedding{Tensor: embedding.Name, Rows: embedding.Len(), Dim: embedding.Dim(), Tied: ck.Tied(), File: ck.FileOf(embedding)}
	clock.lap("checkpoint")

	p.stage("opening the reference")
	ref, err := a.openReference(ctx, ck, f, p)
	if err != nil {
		return judge(err)
	}
	defer ref.Close()
	r.Reference = &scan.Reference{Path: ref.Found.Path, ID: ref.Found.ID, HowFound: ref.Found.How + "; " + ref.Evidence, Verified: ref.Verified}
	compareConfigs(r, ck.Config(), ref.Config())
	for _, f := range ref.Findings() {
		r.Warnings = append(r.Warnings, fmt.Sprintf("reference: %s (%s, %s)", f.Detail, f.Rule, f.Where))
	}
	base, err := baseEmbedding(ref, f.tensor)
	if err != nil {
		return judge(fmt.Errorf("reference: %w", err))
	}
	clock.lap("reference")

	p.stage("comparing rows")
	vocab := vocabulary(r, ck)
	ev, err := scan.Weights(ctx, embedding, base, weightOptions(ck, embedding, base, vocab, f))
	if err != nil {
		return judge(err)
	}
	clock.lap("weights")
	r.Reference.Match = &ev.Match
	r.Findings, r.Suspects = ev.Findings, ev.Suspects
	r.Warnings = append(r.Warnings, ev.Warnings...)
	if ev.Match.Verdict == scan.MatchGood {
		r.Weights, r.Coverage.Weights = &ev.Summary, scan.GatheredFull
	} else {
		r.Coverage.Reasons = append(r.Coverage.Reasons, "weights: the reference is another model")
	}
	if f.observe != nil {
		f.observe(soFar(r))
	}
	if policy.Evidence != scan.EvidenceWeights {
		err := a.watch(ctx, r, ck, ref.Checkpoint, embedding, base, texts, f, p)
		clock.lap("behaviour")
		var usage *usageError
		if errors.As(err, &usage) { // flags that do not fit this model
			return nil, err
		}
		if err != nil {
			return judge(err)
		}
	}
	return judge(nil)
}

func weightOptions(ck *loader.Checkpoint, embedding, base *loader.Tensor, vocab *loader.Vocabulary, f scanFlags) scan.WeightOptions {
	return scan.WeightOptions{
		Token: vocab.Token, Special: vocab.Special, Tied: ck.Tied(), Pad: ck.Config().PadTokenID,
		Epsilon: embedding.DType.Epsilon(), ReferenceEpsilon: base.DType.Epsilon(),
		Score: scan.Score(f.score), Keep: max(keepSuspects, f.top),
	}
}

// soFar is a copy of an unfinished report that later steps do not reach. It has
// no verdict.
func soFar(r *scan.Report) *scan.Report {
	c := *r
	c.Suspects, c.Findings, c.Warnings = slices.Clone(r.Suspects), slices.Clone(r.Findings), slices.Clone(r.Warnings)
	c.Coverage.Reasons, c.TimingsMS = slices.Clone(r.Coverage.Reasons), maps.Clone(r.TimingsMS)
	return &c
}

func (a *app) openReference(ctx context.Context, ck *loader.Checkpoint, f scanFlags, p *progress) (*reference.Reference, error) {
	store := f.store.store(a.getenv)
	opt := reference.OpenOptions{Progress: p.bytes}
	var ref *reference.Reference
	var err error
	if f.ref == "" {
		ref, err = store.OpenFor(ctx, ck, opt)
	} else {
		ref, err = store.Open(ctx, f.ref, opt)
	}
	if err != nil {
		return nil, err
	}
	if err := f.gate.checkPin(ctx, ref); err != nil {
		ref.Close()
		return nil, err
	}
	return ref, nil
}

// baseEmbedding is the reference's. Where the user named the checkpoint's, a
// tensor of that name is it: both are most likely written by the same program.
func baseEmbedding(ref *reference.Reference, name string) (*loader.Tensor, error) {
	if name != "" && ref.Tensor(name) != nil {
		return ref.Matrix(name)
	}
	return ref.InputEmbedding()
}

// describe fills in what the checkpoint's files say.
func describe(r *scan.Report, ck *loader.Checkpoint) {
	cfg := ck.Config()
	r.Checkpoint.Format = string(ck.Format())
	r.Checkpoint.Architecture = cfg.ModelType
	if len(cfg.Architectures) > 0 {
		r.Checkpoint.Architecture = cfg.Architectures[0]
	}
	r.Warnings = append(r.Warnings, ck.Warnings()...)
	r.Unsafe = unsafe(ck.Findings())
}

func unsafe(findings []loader.Finding) (us []scan.Unsafe) {
	for _, f := range findings {
		us = append(us, scan.Unsafe{Rule: f.Rule, Severity: scan.Severity(f.Severity), Where: f.Where, Detail: f.Detail})
	}
	return us
}

// vocabulary is the checkpoint's; without one the suspects have no names.
func vocabulary(r *scan.Report, ck *loader.Checkpoint) *loader.Vocabulary {
	v, err := ck.Vocabulary()
	if err != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("tokens have no names: %v", err))
	}
	return v
}

// compareConfigs warns where the two models say that they differ in kind.
func compareConfigs(r *scan.Report, a, b loader.Config) {
	if a.ModelType != "" && b.ModelType != "" && a.ModelType != b.ModelType {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the checkpoint is of type %q, the reference of type %q", a.ModelType, b.ModelType))
	}
}

// A clock measures the stages of a scan.
type clock struct {
	start, last time.Time
	ms          map[string]float64
}

func newClock() *clock {
	now := time.Now()
	return &clock{start: now, last: now, ms: map[string]float64{}}
}

func (c *clock) lap(stage string) {
	since := c.last
	if stage == "total" {
		since = c.start
	}
	c.last = time.Now()
	c.ms[stage] = float64(c.last.Sub(since).Microseconds()) / 1000
}

// outputs are the places a report is written to.
type outputs struct {
	app   *app
	files []outputFile
}

type outputFile struct {
	path string // "" for standard output
	enc  report.Encoder
}

// outputs checks everything about the reports that can be checked before the
// scan of a model. Without one, files are not: their folder may yet be made.
func (a *app) outputs(f scanFlags, model string) (*outputs, error) {
	colour, err := a.colour(f.out.color, a.stdout)
	if err != nil {
		return nil, err
	}
	if f.out.quiet && f.out.verbose {
		return nil, usagef("", "--quiet and --verbose contradict each other")
	}
	created, err := a.created()
	if err != nil {
		return nil, err
	}
	o := &outputs{app: a}
	add := func(format, path string) error {
		opt := report.Options{Top: f.top, Verbose: f.out.verbose, Created: created}
		if path == "" {
			opt.Color, opt.Width = colour, width(a.stdout)
		}
		enc, err := report.New(format, opt)
		if err != nil {
			return usagef("", "%v", err)
		}
		if path != "" {
			path = filepath.Clean(path)
		}
		if path != "" && model != "" {
			if err := checkOutput(path, model); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(o.files, func(o outputFile) bool { return o.path == path }) {
			return usagef("", "two reports go to %s", path)
		}
		o.files = append(o.files, outputFile{path, enc})
		return nil
	}
	if f.out.output != "" || !f.out.quiet {
		if err := add(f.out.format, f.out.output); err != nil {
			return nil, err
		}
	}
	for _, spec := range f.out.reports {
		format, path, ok := strings.Cut(spec, "=")
		if !ok || path == "" {
			return nil, usagef("for example --report json=report.json", "--report %q: want FORMAT=FILE", spec)
		}
		if err := add(format, path); err != nil {
			return nil, err
		}
	}
	if f.gate.write != "" {
		if err := add("json", f.gate.write); err != nil {
			return nil, err
		}
	}
	// Files first: whoever reads standard output may go away before its end.
	slices.SortStableFunc(o.files, func(a, b outputFile) int { return strings.Compare(b.path, a.path) })
	return o, nil
}

// created is the time that SOURCE_DATE_EPOCH gives, in seconds since 1970; zero
// without one. https://reproducible-builds.org/specs/source-date-epoch/ has a
// value that is malformed end the program.
func (a *app) created() (time.Time, error) {
	s := a.getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if t := time.Unix(n, 0).UTC(); err == nil && n >= 0 && t.Year() <= 9999 {
		return t, nil
	}
	return time.Time{}, usagef("unset it, or give seconds since 1970", "SOURCE_DATE_EPOCH=%q is no time", s)
}

func (o *outputs) write(r *scan.Report) error {
	for _, f := range o.files {
		var b bytes.Buffer
		if err := f.enc.Encode(&b, r); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if f.path == "" {
			if _, err := o.app.stdout.Write(b.Bytes()); err != nil && !hungUp(err) {
				return fmt.Errorf("report: %w", err)
			}
			continue
		}
		if err := atomicfile.Write(f.path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}
