package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// modelPlace stands in the name of a report for the model's.
const modelPlace = "{model}"

// targets are the models that the arguments name: model folders and tensor
// files, folders with models below them, and patterns. What is none of these
// is left to the scan to complain of.
func targets(ctx context.Context, args []string) (models []string, err error) {
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?["):
			matches, err := filepath.Glob(arg)
			if err != nil || len(matches) == 0 {
				return nil, usagef("", "no file or folder matches %s", arg)
			}
			found, err := targets(ctx, matches)
			if err != nil {
				return nil, err
			}
			models = append(models, found...)
		case err == nil && info.IsDir():
			found, err := loader.Find(ctx, arg)
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				found = []string{arg}
			}
			models = append(models, found...)
		default:
			models = append(models, arg)
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(models, func(path string) bool {
		path = filepath.Clean(path)
		twice := seen[path]
		seen[path] = true
		return twice
	}), nil
}

// A fleet scans several models, each in a process of its own, and sums up.
type fleet struct {
	app    *app
	flags  scanFlags
	paths  []string
	names  []string // of the models in names of files, one for each path
	events *events  // nil: none
	line   *progress

	mu      sync.Mutex
	done    int
	found   int // models with findings
	scanned []report.Scanned
	texts   [][]byte // whole reports, with --verbose
}

// scanAll scans the models at paths, writes a summary and the reports of each,
// and returns an error that holds the exit code.
func (a *app) scanAll(ctx context.Context, paths []string, f scanFlags) error {
	fl := &fleet{app: a, flags: f, paths: paths, names: modelNames(paths), scanned: make([]report.Scanned, len(paths)), texts: make([][]byte, len(paths))}
	if err := fl.check(); err != nil {
		return err
	}
	colour, err := a.colour(f.out.color, a.stdout)
	if err != nil {
		return err
	}
	if f.out.progress == progressJSON {
		fl.events = &events{w: a.stderr}
	}
	for i, path := range paths {
		fl.scanned[i] = report.Scanned{Path: path, Outcome: report.OutcomeNotScanned, ExitCode: exitInterrupted, Reasons: []string{}, Reports: []string{}}
	}
	err = a.withProgress(f.out.silent(), func(p *progress) error {
		fl.line = p
		fl.run(ctx)
		return ctx.Err()
	})
	summary := &report.Summary{
		SchemaVersion: report.SummarySchemaVersion, Tool: thisTool(),
		Models: fl.scanned, Outcomes: map[string]int{}, ExitCode: fl.exitCode(),
	}
	for i := range fl.scanned {
		summary.Outcomes[string(fl.scanned[i].Outcome)]++
	}
	if werr := fl.write(summary, report.Options{Color: colour && f.out.output == "", Width: width(a.stdout)}); werr != nil {
		return werr
	}
	if err != nil {
		return err
	}
	return codeError(summary.ExitCode)
}

// check refuses what can be known to fail before the first scan.
func (fl *fleet) check() error {
	f := fl.flags
	if err := f.check(); err != nil {
		return err
	}
	if f.jobs < 1 {
		return usagef("", "--jobs %d: at least 1", f.jobs)
	}
	if !slices.Contains(report.Summaries(), f.out.format) {
		return usagef("a report of each model: --report "+f.out.format+"="+modelPlace+".out",
			"%d models are given, whose summary is %s, not %s", len(fl.paths), strings.Join(report.Summaries(), ", "), f.out.format)
	}
	files := map[string][]string{"--report": f.out.reports, "--baseline": {f.gate.baseline}, "--write-baseline": {f.gate.write}}
	for _, flag := range slices.Sorted(maps.Keys(files)) {
		for _, file := range files[flag] {
			if file != "" && !strings.Contains(file, modelPlace) {
				return usagef("for example --report json="+modelPlace+".json", "%s %s: %d models are given, so the name of the file needs %s", flag, file, len(fl.paths), modelPlace)
			}
		}
	}
	for i := range fl.paths {
		if _, err := fl.app.outputs(fl.of(i), fl.paths[i]); err != nil {
			return err
		}
	}
	return nil
}

// of is the flags of the scan of model i.
func (fl *fleet) of(i int) scanFlags {
	f := fl.flags
	f.supervise = true
	f.out.quiet, f.out.verbose, f.out.output, f.out.progress = true, false, "", progressNone
	f.out.reports = slices.Clone(f.out.reports)
	for k, spec := range f.out.reports {
		f.out.reports[k] = strings.ReplaceAll(spec, modelPlace, fl.names[i])
	}
	f.gate.baseline = strings.ReplaceAll(f.gate.baseline, modelPlace, fl.names[i])
	f.gate.write = strings.ReplaceAll(f.gate.write, modelPlace, fl.names[i])
	return f
}

// run scans all models, as many at a time as the user says.
func (fl *fleet) run(ctx context.Context) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(fl.flags.jobs, len(fl.paths)) {
		wg.Go(func() {
			for i := range next {
				fl.scan(ctx, i)
			}
		})
	}
	for i := range fl.paths {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
}

// scan scans model i.
func (fl *fleet) scan(ctx context.Context, i int) {
	path, began, f := fl.paths[i], time.Now(), fl.of(i)
	f.tell = func(text string) { fl.show(path, text) }
	if fl.events != nil {
		f.tell = fl.events.stages(path)
		fl.events.write(event{Event: "start", Model: path})
	}
	var failure error
	var r *scan.Report
	f.result = func(report *scan.Report, err error) { r, failure = report, err }
	quiet := *fl.app
	quiet.stderr = &bytes.Buffer{} // the summary tells
	err := quiet.scan(ctx, path, f)
	if ctx.Err() != nil {
		return // it stays not scanned
	}
	s := report.Scanned{Path: path, ExitCode: exitCode(err), Reasons: []string{}, Reports: []string{}, Seconds: seconds(time.Since(began))}
	var code codeError
	if failure == nil && !errors.As(err, &code) {
		failure = err // of a scan without a report, or of writing one
	}
	if failure != nil {
		s.Error = failure.Error()
	}
	if r != nil {
		s.Verdict, s.Reasons = r.Verdict, r.Reasons
		for _, spec := range f.out.reports {
			_, file, _ := strings.Cut(spec, "=")
			s.Reports = append(s.Reports, file)
		}
	}
	s.Outcome = outcomeOf(&s)
	if fl.events != nil {
		if failure != nil {
			fl.events.failed(path, began, failure)
		}
		fl.events.write(event{Event: "done", Model: path, Verdict: string(s.Verdict), ExitCode: &s.ExitCode, Seconds: s.Seconds})
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.scanned[i] = s
	fl.texts[i] = fl.whole(r)
	fl.done++
	if s.ExitCode == exitFindings {
		fl.found++
	}
}

// whole is the text report of a model, where it is asked for.
func (fl *fleet) whole(r *scan.Report) []byte {
	if r == nil || !fl.flags.out.verbose || fl.flags.out.format != "text" {
		return nil
	}
	enc, err := report.New("text", report.Options{Top: fl.flags.top, Width: width(fl.app.stdout)})
	if err != nil {
		return nil // there is such a format
	}
	var b bytes.Buffer
	if enc.Encode(&b, r) != nil {
		return nil // it fails only where the writer does
	}
	return b.Bytes()
}

// outcomeOf names what a scan came to.
func outcomeOf(s *report.Scanned) report.Outcome {
	switch {
	case s.Verdict == scan.Backdoored || s.Verdict == scan.Suspicious:
		return report.Outcome(s.Verdict)
	case s.ExitCode == exitFindings:
		return report.OutcomeUnsafe
	case s.ExitCode == exitFailed || s.Verdict == "":
		return report.OutcomeUnfinished
	}
	return report.Outcome(s.Verdict)
}

// show puts a stage of a model's scan on the progress line.
func (fl *fleet) show(path, text string) {
	fl.mu.Lock()
	done, found := fl.done, fl.found
	fl.mu.Unlock()
	fl.line.stage(fmt.Sprintf("%d of %d done, %d with findings; %s: %s", done, len(fl.paths), found, path, text))
}

// exitCode is the worst of the models': a finding is more than a scan that
// failed, and that more than one without a verdict.
func (fl *fleet) exitCode() int {
	for _, code := range []int{exitInterrupted, exitFindings, exitUsage, exitFailed, exitNoVerdict} {
		if slices.ContainsFunc(fl.scanned, func(s report.Scanned) bool { return s.ExitCode == code }) {
			return code
		}
	}
	return exitClean
}

func (fl *fleet) write(s *report.Summary, opt report.Options) error {
	var b bytes.Buffer
	for _, text := range fl.texts {
		b.Write(text)
	}
	if err := s.Encode(&b, fl.flags.out.format, opt); err != nil {
		return err
	}
	var err error
	switch {
	case fl.flags.out.output != "":
		err = atomicfile.Write(filepath.Clean(fl.flags.out.output), b.Bytes(), 0o644)
	case !fl.flags.out.quiet:
		_, err = fl.app.stdout.Write(b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	return nil
}

// modelNames gives each model a name that can be part of a file's: the last
// parts of its path that are needed to tell it from the others, and a number
// where that is not enough.
func modelNames(paths []string) []string {
	names := make([]string, len(paths))
	taken := map[string]bool{}
	for i, path := range paths {
		name := fileName(filepath.Base(path))
		if base := name; taken[name] {
			name = fileName(filepath.Base(filepath.Dir(path))) + "-" + base
		}
		for n, base := 2, name; taken[name]; n++ {
			name = base + "-" + strconv.Itoa(n)
		}
		taken[name] = true
		names[i] = name
	}
	return names
}

// fileName keeps of a name what every file system takes.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '.' || r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	name = strings.TrimLeft(name, ".")
	if name == "" {
		return "model"
	}
	return name[:min(len(name), 100)]
}
