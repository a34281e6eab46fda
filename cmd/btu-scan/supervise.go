package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/scan"
)

// A model that may break the program is scanned by a process of its own: a
// crash, a hang or the end of its memory ends one scan, and the others and the
// report go on.

const (
	// graceAfter is how long a process may take to end itself.
	graceAfter = 5 * time.Second
	// maxChildReport is how long a report may be. Ours are about 1 MB.
	maxChildReport = 256 << 20
	// maxChildNoise is how much is kept of what a process says in no event.
	maxChildNoise = 4 << 10
)

// A childError is an error that another process of this program met.
type childError struct {
	text, hint string
	code       int
	malformed  bool
}

func (e *childError) Error() string { return e.text }

// supervise scans the checkpoint at path in a process of its own.
func (a *app) supervise(ctx context.Context, path string, f scanFlags, p *progress) (*scan.Report, error) {
	cmd, err := a.command(ctx, append(slices.Clone(f.args), "--supervised", "--format", "json", "--progress", progressJSON, "--", path)...)
	if err != nil {
		return nil, err
	}
	cmd.Env = without(os.Environ(), "BTU_SCAN_") // the flags say it all
	cmd.Cancel = func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return cmd.Process.Kill() // Windows cannot interrupt
		}
		return nil
	}
	cmd.WaitDelay = graceAfter
	stdout := &capped{limit: maxChildReport}
	cmd.Stdout = stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the scan: %w", err)
	}
	var late atomic.Bool
	if f.limits.timeout > 0 {
		defer time.AfterFunc(f.limits.timeout+graceAfter, func() { late.Store(true); _ = cmd.Process.Kill() }).Stop()
	}
	failure, noise := listen(stderr, p)
	ended := cmd.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}

	r := &scan.Report{}
	if !stdout.cut && json.Unmarshal(stdout.Bytes(), r) == nil && r.SchemaVersion == scan.SchemaVersion && r.Verdict != "" {
		return r, failure
	}
	var exit *exec.ExitError
	switch {
	case failure != nil:
		return nil, failure
	case late.Load():
		failure = f.limits.timedOut()
	case f.limits.memory > 0 && tellsNoMemory(noise):
		failure = f.limits.full()
	case errors.As(ended, &exit):
		failure = fmt.Errorf("the process of the scan ended with %w: %s", exit, firstLine(noise))
	case ended != nil:
		failure = fmt.Errorf("the process of the scan: %w", ended)
	default:
		failure = errors.New("the process of the scan gave no report")
	}
	return unfinished(path, f, failure), failure
}

// unfinished is the report of a scan of which only its end is known.
func unfinished(path string, f scanFlags, failure error) *scan.Report {
	r := newReport(path)
	r.Coverage.Reasons = []string{failure.Error()}
	limit := &limitError{}
	if errors.As(failure, &limit) {
		r.Unsafe = append(r.Unsafe, limit.finding(path))
	}
	r.Verdict, r.Reasons = scan.Policy{Evidence: scan.Evidence(f.evidence)}.Judge(r)
	return r
}

// listen hands the stages that a process tells of on, and returns the error
// that it told of, and what else it said, until it closes its standard error.
func listen(stderr io.Reader, p *progress) (failure error, noise string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	var b strings.Builder
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Event == "" {
			if b.Len() < maxChildNoise {
				b.Write(lines.Bytes()[:min(len(lines.Bytes()), maxChildNoise)])
				b.WriteByte('\n')
			}
			continue
		}
		switch e.Event {
		case "stage":
			p.stage(e.Text)
		case "error":
			child := &childError{text: e.Text, hint: e.Hint, code: exitFailed, malformed: e.Kind == kindMalformed}
			if e.ExitCode != nil {
				child.code = *e.ExitCode
			}
			failure = child
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // a line that is too long must not stop the process
	return failure, b.String()
}

// ownFlags are those of the process that decides and writes the reports.
var ownFlags = []string{
	"fail-on", "require", "baseline", "write-baseline", "config", "no-config",
	"jobs", "format", "output", "report", "color", "progress", "verbose", "quiet",
}

// evidenceArgs are the flags that the evidence depends on, wherever they were set.
// A pin stands in the configuration alone.
func (f *scanFlags) evidenceArgs(fs *pflag.FlagSet) (args []string) {
	switch {
	case f.gate.found != nil:
		args = append(args, "--config="+f.gate.found.Path)
	case f.gate.noConfig:
		args = append(args, "--no-config")
	}
	fs.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(ownFlags, flag.Name) || flag.Name == "help" || flag.Hidden || f.gate.sources[flag.Name] == fromDefault {
			return
		}
		// A variable may have set it, for other scans.
		if f.evidence == string(scan.EvidenceWeights) && slices.Contains(behaviourOnly, flag.Name) {
			return
		}
		values := []string{flag.Value.String()}
		if many, ok := flag.Value.(pflag.SliceValue); ok {
			values = many.GetSlice()
		}
		for _, v := range values {
			args = append(args, "--"+flag.Name+"="+v)
		}
	})
	return args
}

// own forgets what is left to the process that decides.
func (f *scanFlags) own() {
	f.out.reports, f.out.output, f.gate.baseline, f.gate.write, f.gate.require = nil, "", "", "", nil
}

// itself is a command that runs this program.
func itself(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the scan: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, args...) // #nosec G204 -- this program
	cmd.Args[0] = os.Args[0]
	return cmd, nil
}

// A capped buffer drops what is over its limit.
type capped struct {
	bytes.Buffer
	limit int
	cut   bool
}

func (c *capped) Write(b []byte) (int, error) {
	if c.Len()+len(b) > c.limit {
		c.cut = true
		return len(b), nil
	}
	return c.Buffer.Write(b)
}

// tellsNoMemory reports whether the noise of a process that the runtime ended is
// about memory. The stack of a thread is memory too: the runtime has it from the
// heap, a build with cgo from the system.
func tellsNoMemory(noise string) bool {
	return slices.ContainsFunc([]string{"out of memory", "cannot allocate", "pthread_create failed"}, func(s string) bool {
		return strings.Contains(noise, s)
	})
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// without returns the variables whose names do not begin with prefix.
func without(env []string, prefix string) (kept []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, prefix) {
			kept = append(kept, v)
		}
	}
	return kept
}
