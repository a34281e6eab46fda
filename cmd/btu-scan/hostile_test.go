package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/internal/hostile"
	"github.com/btu-scan/btu-scan/scan"
)

const (
	hostileTime   = 2 * time.Second
	hostileMemory = 100 << 20 // bytes allocated in all, freed or not
)

// TestHostile runs the program on every case of the corpus. Malicious ones are
// reported or refused, benign ones pass in silence, and none of them costs more
// than a scan may, ends the program, or leaves anything behind.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	for _, c := range hostile.Cases() {
		t.Run(c.ID(), func(t *testing.T) {
			dir := t.TempDir()
			target, err := c.Write(filepath.Join(dir, "case"))
			if err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			env := func(key string) string { return map[string]string{"HOME": dir}[key] }
			var stdout, stderr bytes.Buffer
			var m0, m1 runtime.MemStats
			runtime.ReadMemStats(&m0)
			start := processorTime()
			code := run(t.Context(), []string{target, "--evidence", "weights", "--format", "json"}, nil, &stdout, &stderr, env)
			took := processorTime() - start
			runtime.ReadMemStats(&m1)
			if n := m1.TotalAlloc - m0.TotalAlloc; n > hostileMemory {
				t.Errorf("allocates %d MB", n>>20)
			}
			if took > hostileTime && !raceDetector {
				t.Errorf("takes %v of a processor", took)
			}
			if after := listing(t, dir); !maps.Equal(before, after) {
				t.Errorf("files before %v, after %v", before, after)
			}
			if s := stderr.String(); strings.Contains(s, "internal error") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' }) {
				t.Errorf("stderr %q", s)
			}
			var r scan.Report
			if err := json.Unmarshal(stdout.Bytes(), &r); err != nil && stdout.Len() > 0 {
				t.Errorf("report: %v", err)
			}
			checkHostile(t, c, code, r.Unsafe)
			if t.Failed() {
				t.Logf("%s\n%s", c.Tests, stderr.String())
			}
		})
	}
}

func checkHostile(t *testing.T, c hostile.Case, code int, unsafe []scan.Unsafe) {
	t.Helper()
	if !slices.Contains(c.Exit, code) {
		t.Errorf("exit code %d, want one of %v; findings %+v", code, c.Exit, unsafe)
	}
	has := func(rule string, ok func(scan.Severity) bool) bool {
		return slices.ContainsFunc(unsafe, func(u scan.Unsafe) bool { return u.Rule == rule && ok(u.Severity) })
	}
	switch c.Label {
	case hostile.Malicious:
		serious := func(s scan.Severity) bool { return s.Serious() || code != exitFindings }
		if len(c.Rules) > 0 && !slices.ContainsFunc(c.Rules, func(rule string) bool { return has(rule, serious) }) {
			t.Errorf("findings %+v, want one of %v", unsafe, c.Rules)
		}
	case hostile.Benign:
		for _, u := range unsafe {
			if u.Severity != scan.SeverityInfo {
				t.Errorf("finding %+v", u)
			}
		}
	case hostile.Notice:
		for _, rule := range c.Rules {
			if !has(rule, func(scan.Severity) bool { return true }) {
				t.Errorf("findings %+v, want %s", unsafe, rule)
			}
		}
	}
}

// listing is every path below dir with its size.
func listing(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !d.IsDir() {
			sizes[path] = info.Size()
		} else {
			sizes[path] = -1
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}
