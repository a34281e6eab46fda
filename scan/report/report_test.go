package report

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// encode gives the report in a format.
func encode(t testing.TB, format string, opt Options, r *scan.Report) string {
	t.Helper()
	enc, err := New(format, opt)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := enc.Encode(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		i := 0
		for i < min(len(g), len(w))-1 && g[i] == w[i] {
			i++
		}
		t.Errorf("%s differs; go test -update rewrites it. Line %d is\n%s\nwant\n%s", path, i+1, g[i], w[i])
	}
}

func TestFormats(t *testing.T) {
	if got, want := Formats(), []string{"text", "json", "sarif", "junit", "markdown", "html", "cyclonedx"}; !slices.Equal(got, want) {
		t.Errorf("Formats() = %v, want %v", got, want)
	}
	for _, format := range Formats() {
		if _, err := New(format, Options{}); err != nil {
			t.Errorf("New(%q): %v", format, err)
		}
	}
	_, err := New("yaml", Options{})
	if err == nil || !strings.Contains(err.Error(), `"yaml"`) || !strings.Contains(err.Error(), "text, json, sarif, junit, markdown, html, cyclonedx") {
		t.Errorf("New(yaml): %v, want an error that lists the formats", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestEncodeErrors(t *testing.T) {
	full := errors.New("disk full")
	for _, format := range Formats() {
		enc, err := New(format, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := enc.Encode(failingWriter{full}, suspicious()); !errors.Is(err, full) {
			t.Errorf("%s: a failing writer gives %v", format, err)
		}
		if err := enc.Encode(&bytes.Buffer{}, nil); err == nil {
			t.Errorf("%s: a nil report is no error", format)
		}
		// The zero report is never valid, and never a panic.
		if err := enc.Encode(&bytes.Buffer{}, &scan.Report{}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// BenchmarkFormats writes what a scan of a vocabulary of 150,000 rows reports.
func BenchmarkFormats(b *testing.B) {
	for _, suspects := range []int{100, 2000} {
		r := large(suspects)
		for _, format := range Formats() {
			b.Run(fmt.Sprintf("%s/%d", format, suspects), func(b *testing.B) {
				enc, err := New(format, Options{})
				if err != nil {
					b.Fatal(err)
				}
				n := &counter{}
				for b.Loop() {
					n.bytes = 0
					if err := enc.Encode(n, r); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n.bytes), "bytes")
			})
		}
	}
}

type counter struct{ bytes int }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += len(p)
	return len(p), nil
}
