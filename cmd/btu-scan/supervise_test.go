package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// TestSupervise: whatever becomes of the process of a scan, there is a report
// that is not clean, or an error.
func TestSupervise(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	var clean bytes.Buffer
	enc, err := report.New("json", report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := enc.Encode(&clean, &scan.Report{SchemaVersion: scan.SchemaVersion, Verdict: scan.Clean}); err != nil {
		t.Fatal(err)
	}
	limits := limitFlags{timeout: time.Minute, memory: 1e9}
	for name, tt := range map[string]struct {
		script  string
		limits  limitFlags
		verdict scan.Verdict // "": no report
		rule    string
		err     string // "": none
		code    int
	}{
		"report":           {"cat", limits, scan.Clean, "", "", exitClean},
		"crash":            {"echo 'panic: index out of range' >&2; echo 'goroutine 1' >&2; exit 2", limits, scan.Inconclusive, "", "exit status 2: panic: index out of range", exitFailed},
		"killed":           {"kill -9 $$", limits, scan.Inconclusive, "", "killed", exitFailed},
		"out of memory":    {"echo 'fatal error: runtime: out of memory' >&2; exit 2", limits, scan.Inconclusive, loader.RuleIncomplete, "ended by --max-memory 1000MB", exitFailed},
		"no limit":         {"echo 'fatal error: runtime: out of memory' >&2; exit 2", limitFlags{}, scan.Inconclusive, "", "exit status 2: fatal error: runtime: out of memory", exitFailed},
		"silence":          {"exit 0", limits, scan.Inconclusive, "", "gave no report", exitFailed},
		"half a report":    {"head -c 100; exit 0", limits, scan.Inconclusive, "", "gave no report", exitFailed},
		"another version":  {`echo '{"schema_version":99,"verdict":"clean"}'`, limits, scan.Inconclusive, "", "gave no report", exitFailed},
		"no verdict":       {`echo '{"schema_version":1}'`, limits, scan.Inconclusive, "", "gave no report", exitFailed},
		"error":            {`echo '{"event":"error","text":"no such file","hint":"look","exit_code":3}' >&2; exit 3`, limits, "", "", "no such file", exitNoVerdict},
		"report and error": {`cat; echo '{"event":"error","text":"broken","kind":"malformed","exit_code":2}' >&2; exit 2`, limits, scan.Clean, "", "broken", exitFailed},
		"no end of a line": {`cat; head -c 3000000 /dev/zero >&2; exit 0`, limits, scan.Clean, "", "", exitClean},
		"a flood of lines": {`cat; yes noise | head -n 300000 >&2; exit 0`, limits, scan.Clean, "", "", exitClean},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{command: func(ctx context.Context, args ...string) (*exec.Cmd, error) {
				cmd := exec.CommandContext(ctx, "sh", "-c", tt.script)
				cmd.Stdin = bytes.NewReader(clean.Bytes())
				return cmd, nil
			}}
			r, err := a.supervise(t.Context(), "model", scanFlags{evidence: "auto", limits: tt.limits}, &progress{})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || exitCode(err) != tt.code {
				t.Errorf("error %v, code %d; want %q, %d", err, exitCode(err), tt.err, tt.code)
			}
			if r == nil && tt.verdict != "" || r != nil && r.Verdict != tt.verdict {
				t.Fatalf("report %+v, want verdict %q", r, tt.verdict)
			}
			if rule := ""; r != nil {
				if len(r.Unsafe) > 0 {
					rule = r.Unsafe[0].Rule
				}
				if rule != tt.rule {
					t.Errorf("rule %q, want %q", rule, tt.rule)
				}
			}
		})
	}
}

// TestSuperviseHang: a process that does not end is ended, and so is one that
// does not hear the user's interrupt.
func TestSuperviseHang(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the time of grace")
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	a := &app{command: func(ctx context.Context, args ...string) (*exec.Cmd, error) {
		return exec.CommandContext(ctx, "sh", "-c", "trap '' INT TERM; while :; do sleep 0.1; done"), nil
	}}
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		f := scanFlags{evidence: "auto", limits: limitFlags{timeout: 50 * time.Millisecond}}
		r, err := a.supervise(t.Context(), "model", f, &progress{})
		var limit *limitError
		if !errors.As(err, &limit) || r == nil || r.Verdict != scan.Inconclusive {
			t.Errorf("error %v, report %+v", err, r)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if r, err := a.supervise(ctx, "model", scanFlags{evidence: "auto"}, &progress{}); !errors.Is(err, context.DeadlineExceeded) || r != nil {
			t.Errorf("error %v, report %+v", err, r)
		}
	})
}
