package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/policy"
	"github.com/btu-scan/btu-scan/reference"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// gateFlags are the flags of the gate, and what the configuration adds to them.
type gateFlags struct {
	config   string
	noConfig bool
	require  []string
	triage   string
	baseline string
	write    string // a baseline

	found   *policy.Config    // that the user trusts; nil for none
	sources map[string]string // what set a flag, by its name; none for its default
	notes   []string
	// pin is of the checkpoint that is scanned; set by forTarget.
	pin policy.Pin
	// severities are those of found, raised by the checkpoint's folder.
	severities map[string]policy.Severity
	target     *policy.Config // of the checkpoint's folder; nil for none
}

func (f *gateFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.require, "require", nil, "pass only with this evidence in full: `weights`, behaviour (default: what --evidence asks for)")
	fs.StringVar(&f.baseline, "baseline", "", "count only what is not in `FILE`, an earlier report in JSON")
	fs.StringVar(&f.write, "write-baseline", "", "write this scan's report to `FILE`, for --baseline")
	fs.StringVar(&f.triage, "triage", "", "count tokens as `FILE` of btu-scan triage says: benign ones do not, triggers do")
	fs.StringVar(&f.config, "config", "", "read the policy from `FILE` (default: "+policy.FileName+" here, and what is stricter in the model's folder)")
	fs.BoolVar(&f.noConfig, "no-config", false, "read no "+policy.FileName)
}

// check refuses evidence that cannot be had.
func (f *gateFlags) check(evidence string) error {
	if len(f.require) == 0 {
		return nil
	}
	if err := policy.CheckRequire(f.require); err != nil {
		return usagef("for example --require weights,behaviour", "--%v", err)
	}
	if evidence == string(scan.EvidenceWeights) && slices.Contains(f.require, policy.Behaviour) {
		return usagef("require weights alone, or scan with --evidence auto", "behaviour is required, and --evidence weights leaves it out")
	}
	return nil
}

// checkPin compares the reference with the digest that the configuration pins.
func (f *gateFlags) checkPin(ctx context.Context, ref *reference.Reference) error {
	if f.pin.Digest == "" {
		return nil
	}
	digest, err := ref.Digest(ctx)
	if err == nil && digest != f.pin.Digest {
		err = fmt.Errorf("%w: %s has digest %s, and %s:%d pins %s", reference.ErrPinMismatch, ref.Found.Path, digest, f.found.Path, f.pin.Line, f.pin.Digest)
	}
	ref.Verified = ref.Verified || err == nil
	return err
}

// A gate is the policy for one checkpoint, with all of its files read.
type gate struct{ policy.Policy }

// gate reads what the policy for a checkpoint needs. It fails before anything
// is scanned.
func (a *app) gate(f *scanFlags) (*gate, error) {
	g := &gate{policy.Policy{
		FailOn: f.failOn, Evidence: scan.Evidence(f.evidence), Require: f.gate.require, Severities: f.gate.severities,
		Notes: slices.Clone(f.gate.notes), Now: time.Now(),
	}}
	for _, c := range []struct {
		config *policy.Config
		kind   scan.PolicyKind
	}{{f.gate.found, scan.PolicyConfig}, {f.gate.target, scan.PolicyTarget}} {
		if c.config != nil {
			g.Files = append(g.Files, scan.PolicyFile{Kind: c.kind, Path: c.config.Path, SHA256: c.config.SHA256})
		}
	}
	if f.gate.found != nil {
		g.Suppressions = f.gate.found.Suppressions
	}
	if path := f.gate.triage; path != "" {
		data, err := readSmall(path, policy.MaxTriage)
		if err == nil {
			g.Triage, err = policy.ReadTriage(path, data)
		}
		if err != nil {
			return nil, usagef("btu-scan triage MODEL writes one", "--triage: %v", err)
		}
		g.file(scan.PolicyTriage, path, data)
	}
	if path := f.gate.baseline; path != "" {
		data, err := readSmall(path, policy.MaxBaseline)
		if err == nil {
			g.Baseline, err = policy.ReadBaseline(path, data)
		}
		if err != nil {
			return nil, usagef("--write-baseline FILE writes one", "--baseline: %v", err)
		}
		g.file(scan.PolicyBaseline, path, data)
	}
	return g, nil
}

func (g *gate) file(kind scan.PolicyKind, path string, data []byte) {
	sum := sha256.Sum256(data)
	g.Files = append(g.Files, scan.PolicyFile{Kind: kind, Path: path, SHA256: hex.EncodeToString(sum[:])})
}

// readSmall reads a regular file of at most limit bytes, and one byte more of a
// larger one.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// apply decides, and tells what of the policy is over.
func (a *app) apply(g *gate, r *scan.Report, failure error) {
	for _, note := range append(g.Apply(r, failure != nil), g.Notes...) {
		fmt.Fprintf(a.stderr, "btu-scan: warning: %s\n", report.Plain(note))
	}
}

// verdictCode is the exit code that goes with a report and its gate.
func verdictCode(r *scan.Report, failure error) error {
	unsafe := slices.ContainsFunc(r.Unsafe, func(u scan.Unsafe) bool { return u.Severity.Serious() })
	switch {
	case r.Gate.Decision == scan.Fail && !(malformed(failure) && r.Verdict == scan.Inconclusive):
		return codeError(exitFindings)
	case failure != nil && !unsafe:
		return codeError(exitCode(failure))
	case failure != nil:
		return codeError(exitFailed)
	case r.Gate.Decision != scan.Pass:
		return codeError(exitNoVerdict)
	}
	return nil
}

// checkOutput refuses a file that could not be written, before the scan spends
// its time. What it says is a mistake in the call: nothing was scanned.
func checkOutput(path, model string) error {
	hint := "name a file in a folder that exists and that you may write to"
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return usagef(hint, "%s is a folder, so no report can be written to it", path)
	case err == nil && !info.Mode().IsRegular():
		return nil // a pipe or a device, which is written to as it is
	case err == nil:
		if m, err := os.Stat(model); err == nil && os.SameFile(info, m) {
			return usagef("name another file", "%s is the model that is scanned, so no report is written over it", path)
		}
	case !errors.Is(err, os.ErrNotExist):
		return usagef(hint, "no report can be written: %v", err)
	}
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	// Reports are written under another name first, so the folder must take one.
	probe, err := os.CreateTemp(filepath.Dir(path), ".btu-scan-*")
	if err != nil {
		return usagef(hint, "no report can be written to %s: %v", path, reason(err))
	}
	err = probe.Close()
	os.Remove(probe.Name())
	return err
}

// reason is an error without the name of the probe.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// hungUp reports whether err says that whoever read standard output is gone, as
// head is when it has enough.
func hungUp(err error) bool {
	var p *os.PathError
	return errors.As(err, &p) && p.Path == "/dev/stdout" && errors.Is(p.Err, syscall.EPIPE)
}
