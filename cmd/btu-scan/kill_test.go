package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/internal/demo"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/sanitize"
)

// Killed at any moment, sanitize leaves the input as it was, and either a whole
// output or none.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	dir := t.TempDir()
	if err := demo.Extract(filepath.Join(dir, "sample")); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(dir, "sample", demo.Backdoored)
	before, err := os.ReadFile(filepath.Join(model, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for i := 0; i < 40 && whole < 2; i++ {
		out := filepath.Join(dir, "clean")
		cmd := exec.Command(self, "sanitize", model, "-r", filepath.Join(dir, "sample", demo.Base), "--tokens", "cf,mn", "--no-scan", "--out", out, "-q")
		cmd.Args[0] = "btu-scan" // under this name the test binary is the program
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(1+i*i*8)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() >= 0) {
			t.Fatalf("it failed by itself: %v", err)
		}
		if now, err := os.ReadFile(filepath.Join(model, "model.safetensors")); err != nil || !bytes.Equal(now, before) {
			t.Fatalf("the input changed (%v)", err)
		}
		_, statErr := os.Stat(out)
		if err == nil && statErr != nil {
			t.Fatalf("it succeeded without an output: %v", statErr)
		}
		if statErr == nil {
			whole++
			checkWhole(t, out)
			if err := os.RemoveAll(out); err != nil {
				t.Fatal(err)
			}
		}
	}
	if whole == 0 {
		t.Error("it was killed each time: the test is too impatient")
	}
}

// checkWhole checks that a folder is all that sanitize writes.
func checkWhole(t *testing.T, out string) {
	t.Helper()
	ck, err := loader.Open(t.Context(), out, loader.Options{})
	if err != nil {
		t.Fatalf("the output is not whole: %v", err)
	}
	defer ck.Close()
	if _, err := os.Stat(filepath.Join(out, sanitize.ManifestName)); err != nil {
		t.Errorf("the output is not whole: %v", err)
	}
}
