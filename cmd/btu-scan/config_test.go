package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/policy"
)

// TestExampleConfig: the example as it is changes nothing, and every setting in
// it can be used once its comment mark is gone.
func TestExampleConfig(t *testing.T) {
	c, err := policy.Parse("example", exampleConfig)
	if err != nil || len(c.Settings)+len(c.Suppressions)+len(c.Pins)+len(c.Severities) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	setting := regexp.MustCompile(`(?m)^# ((?:[a-z-]+:| +[a-zA-Z-]).*)$`)
	text := setting.ReplaceAll(exampleConfig, []byte("$1"))
	text = regexp.MustCompile(`(?m)^(docs|btu-scan|every report|looked at).*$`).ReplaceAll(text, nil)
	c, err = policy.Parse("example", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(c.Settings) != 17 || len(c.Suppressions) != 2 || len(c.Pins) != 1 || len(c.Severities) != 1 {
		t.Errorf("%d settings, %d suppressions, %d pins, %d severities", len(c.Settings), len(c.Suppressions), len(c.Pins), len(c.Severities))
	}
}

// TestSettingsAreFlags: what a configuration can set is a flag of the scan.
func TestSettingsAreFlags(t *testing.T) {
	var f scanFlags
	flags := pflag.NewFlagSet("scan", pflag.ContinueOnError)
	f.register(flags)
	f.gate.register(flags)
	c, err := policy.Parse("p.yaml", []byte(`
fail-on: never
evidence: auto
require: [weights]
budget: 1s
seed: 1
probes: a
reference: {model: a, dirs: [b], lock: c}
triage: a
baseline: a
reports: [json=a]
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Settings {
		if flags.Lookup(s.Flag) == nil {
			t.Errorf("%s sets --%s, which there is not", s.Key, s.Flag)
		}
	}
}

// TestBelongs: what lies in a checkpoint's folder or below it is its maker's.
func TestBelongs(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"m/deep/er", "mm"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "m", "x.bin"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "m"), filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	for _, tc := range []struct {
		file, target string
		want         bool
	}{
		{"m/p", "m", true},
		{"m/p", "m/x.bin", true},
		{"m/deep/er/p", "m", true},
		{"link/p", "m", true},
		{"m/p", "link", true},
		{"link/deep/p", "m/x.bin", true},
		{"p", "m", false},
		{"mm/p", "m", false},
		{"m/p", "m/deep", false},
		{"p", "none", false},
	} {
		if got := belongs(filepath.Join(dir, tc.file), filepath.Join(dir, tc.target)); got != tc.want {
			t.Errorf("%s to %s: %t", tc.file, tc.target, got)
		}
	}
}

// TestPolicyWithoutDigest: what needs no digest reads no file for it.
func TestPolicyWithoutDigest(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy policy.Policy
		files  int
		want   bool
	}{
		{"nothing", policy.Policy{}, 1, false},
		{"a baseline", policy.Policy{Baseline: &policy.Baseline{}}, 1, false},
		{"a suppression", policy.Policy{Suppressions: []policy.Suppression{{Checkpoint: "sha256:00"}}}, 1, true},
		{"a suppression of a file, for shards", policy.Policy{Suppressions: []policy.Suppression{{Checkpoint: "sha256:00"}}}, 2, false},
		{"a suppression of shards", policy.Policy{Suppressions: []policy.Suppression{{Checkpoint: "shards-sha256:00"}}}, 2, true},
	} {
		if got := tc.policy.NeedsDigest(tc.files); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}

// TestVariablesOfOthers: only this program's are looked at.
func TestVariablesOfOthers(t *testing.T) {
	var stdout, stderr bytes.Buffer
	env := []string{"BTU_SCANNER=1", "PATH=x", "BTU_SCAN_TEST_CUDA=1", "BTU_SCAN_TOP=5", "BTU_SCAN_EMPTY=", "BTU_SCAN_\x1b[2J=1"}
	code := run(t.Context(), []string{"config", "show"}, nil, &stdout, &stderr, func(name string) string {
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v
			}
		}
		return ""
	}, env...)
	if code != 0 || strings.Count(stderr.String(), "\n") != 1 || strings.Contains(stderr.String(), "\x1b") || !strings.Contains(stdout.String(), "BTU_SCAN_TOP") {
		t.Errorf("code %d: %s%s", code, &stdout, &stderr)
	}
}
