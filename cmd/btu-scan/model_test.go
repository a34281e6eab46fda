package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// spoil copies the clean model and sets the first number of a float16 tensor.
func spoil(t *testing.T, tensor string, bits uint16) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "testdata", "clean"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(data[8+int(n)+header[tensor].Offsets[0]:], bits)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A model whose weights are no numbers gives no label, in any format.
func TestRunOfBrokenWeights(t *testing.T) {
	for name, bits := range map[string]uint16{"NaN": 0x7e00, "infinity": 0x7c00} {
		dir := spoil(t, "classifier.bias", bits)
		for _, format := range []string{"text", "json"} {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), []string{"run", dir, "--text", "dull", "--format", format}, nil, &stdout, &stderr, os.Getenv)
			if code != exitFailed || strings.Contains(stdout.String(), "itive") || !strings.Contains(stdout.String(), "not a finite number") {
				t.Errorf("%s: code %d, %s %s", name, code, &stdout, &stderr)
			}
		}
	}
}

// Lines are answered as they come, and Ctrl-C ends the wait for the next.
func TestRunAnswersLinesAsTheyCome(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, lines := io.Pipe()
	out, stdout := io.Pipe()
	codes := make(chan int, 1)
	go func() {
		var stderr bytes.Buffer
		codes <- run(ctx, []string{"run", filepath.Join("..", "..", "testdata", "clean"), "--file", "-"}, in, stdout, &stderr, os.Getenv)
		stdout.Close()
	}()
	if _, err := io.WriteString(lines, "dull\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	n, err := out.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "\"dull\"\n  negative") {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	cancel()
	select {
	case code := <-codes:
		if code != exitInterrupted {
			t.Errorf("code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still waiting for a line")
	}
}

func TestBest(t *testing.T) {
	row := []float32{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}
	want := []int{5, 7, 4, 8, 10, 2, 0, 9, 6, 1, 3}
	for n := 1; n <= 12; n++ {
		got := best(row, n)
		for i := range min(n, len(row)) {
			if got[i] != want[i] {
				t.Fatalf("best %d are %v", n, got)
			}
		}
	}
}

func TestShorten(t *testing.T) {
	for in, want := range map[string]string{
		"short":                          "short",
		strings.Repeat("é", 60):          strings.Repeat("é", 60),
		strings.Repeat("\U00020000", 99): strings.Repeat("\U00020000", 60) + "...",
	} {
		if got := shorten(in); got != want {
			t.Errorf("%q", got)
		}
	}
}
