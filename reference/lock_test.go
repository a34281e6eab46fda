package reference

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLockRoundTrip(t *testing.T) {
	top := t.TempDir()
	s := Store{LockFile: filepath.Join(top, "btu-scan.lock")}
	dir := model(t, filepath.Join(top, "m"), 0)
	write(t, filepath.Join(dir, "modeling.py"), []byte("import os"))
	if pins, err := s.Pins(); err != nil || len(pins) != 0 {
		t.Fatal(pins, err)
	}
	for _, id := range []string{"org/z", "org/a"} {
		e, err := s.Pin(t.Context(), Found{ID: id, Path: dir, Commit: commitA}, PinOptions{})
		if err != nil || len(e.Files) != 2 || e.Files["model.safetensors"].SHA256 != sha256hex(tensors(0)) {
			t.Fatal(e, err)
		}
		if err := Verify(t.Context(), e, dir, nil); err != nil {
			t.Fatal(err)
		}
	}
	first, err := os.ReadFile(s.LockFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pin(t.Context(), Found{ID: "org/z", Path: dir, Commit: commitA}, PinOptions{}); err != nil {
		t.Fatal(err)
	}
	second, _ := os.ReadFile(s.LockFile)
	if !bytes.Equal(first, second) {
		t.Errorf("pinning is not reproducible:\n%s\n%s", first, second)
	}
	pins, err := s.Pins()
	if err != nil || len(pins) != 2 || pins[0].ID != "org/a" || pins[1].Commit != commitA {
		t.Fatal(pins, err)
	}
	if left := tree(t, top); len(left) != 4 {
		t.Errorf("left behind: %v", left)
	}
	if err := s.Unpin("org/a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unpin("org/a"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func TestPinDoesNotReplaceSilently(t *testing.T) {
	top := t.TempDir()
	s := Store{LockFile: filepath.Join(top, "lock")}
	a, b := model(t, filepath.Join(top, "a"), 0), model(t, filepath.Join(top, "b"), 1)
	if _, err := s.Pin(t.Context(), Found{ID: "bert-base-uncased", Path: a}, PinOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Pin(t.Context(), Found{ID: "google-bert/bert-base-uncased", Path: b}, PinOptions{})
	if !errors.Is(err, ErrPinMismatch) || !strings.Contains(err.Error(), `"model.safetensors" differs`) {
		t.Fatal(err)
	}
	if _, err := s.Pin(t.Context(), Found{ID: "google-bert/bert-base-uncased", Path: b}, PinOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if pins, _ := s.Pins(); len(pins) != 1 {
		t.Fatal(pins)
	}
	if _, err := s.Pin(t.Context(), Found{ID: "x", Path: t.TempDir()}, PinOptions{}); err == nil {
		t.Error("a folder without weights was pinned")
	}
}

func TestReadLockRefuses(t *testing.T) {
	entry := func(name string) string {
		return `{"id":"a","files":{"` + name + `":{"sha256":"` + strings.Repeat("0", 64) + `","size":1}}}`
	}
	file := func(name string) string { return `{"schema_version":1,"references":[` + entry(name) + `]}` }
	for name, content := range map[string]string{
		"empty":         "",
		"not JSON":      "x",
		"no version":    `{"references":[]}`,
		"newer":         `{"schema_version":2,"references":[]}`,
		"no id":         strings.Replace(file("m.bin"), `"id":"a"`, `"id":""`, 1),
		"no weights":    file("config.json"),
		"path":          file("../m.bin"),
		"folder":        file("x/m.bin"),
		"digest":        strings.Replace(file("m.bin"), "000", "", 1),
		"negative size": strings.Replace(file("m.bin"), `"size":1`, `"size":-1`, 1),
		"commit":        strings.Replace(file("m.bin"), `"id":"a"`, `"id":"a","commit":"main"`, 1),
		"twice":         `{"schema_version":1,"references":[` + entry("m.bin") + `,` + entry("m.bin") + `]}`,
	} {
		path := filepath.Join(t.TempDir(), "lock")
		write(t, path, []byte(content))
		if l, err := ReadLock(path); err == nil {
			t.Errorf("%s: accepted: %+v", name, l)
		}
		// A lock that cannot be read is not an absent one.
		if _, err := (&Store{LockFile: path}).Open(t.Context(), model(t, t.TempDir(), 0), OpenOptions{}); err == nil {
			t.Errorf("%s: opened all the same", name)
		}
	}
	path := filepath.Join(t.TempDir(), "lock")
	write(t, path, []byte(file("m.bin")))
	if _, err := ReadLock(path); err != nil {
		t.Error(err)
	}
}

func TestVerify(t *testing.T) {
	tests := []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   PinError
	}{
		{"same", func(*testing.T, string) {}, PinError{}},
		{"an unrelated file", func(t *testing.T, d string) { write(t, filepath.Join(d, "README.md"), nil) }, PinError{}},
		{"bytes", func(t *testing.T, d string) { write(t, filepath.Join(d, "model.safetensors"), tensors(1)) }, PinError{Differs: []string{"model.safetensors"}}},
		{"size", func(t *testing.T, d string) { write(t, filepath.Join(d, "config.json"), []byte("{}")) }, PinError{Differs: []string{"config.json"}}},
		{"missing", func(t *testing.T, d string) { os.Remove(filepath.Join(d, "config.json")) }, PinError{Missing: []string{"config.json"}}},
		{"extra weights", func(t *testing.T, d string) { write(t, filepath.Join(d, "pytorch_model.bin"), nil) }, PinError{Extra: []string{"pytorch_model.bin"}}},
		{"extra index", func(t *testing.T, d string) { write(t, filepath.Join(d, "model.safetensors.index.json"), nil) }, PinError{Extra: []string{"model.safetensors.index.json"}}},
		{"a folder in its place", func(t *testing.T, d string) {
			os.Remove(filepath.Join(d, "config.json"))
			os.Mkdir(filepath.Join(d, "config.json"), 0o755)
		}, PinError{Differs: []string{"config.json"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			s := Store{LockFile: filepath.Join(top, "lock")}
			dir := model(t, filepath.Join(top, "m"), 0)
			e, err := s.Pin(t.Context(), Found{ID: "org/m", Path: dir}, PinOptions{})
			if err != nil {
				t.Fatal(err)
			}
			tt.tamper(t, dir)
			var last Progress
			err = Verify(t.Context(), e, dir, func(p Progress) { last = p })
			if tt.want.empty() {
				if err != nil || last.Done != last.Total || last.Total == 0 {
					t.Fatal(err, last)
				}
				return
			}
			var got *PinError
			if !errors.As(err, &got) || !errors.Is(err, ErrPinMismatch) || !slices.Equal(got.Differs, tt.want.Differs) ||
				!slices.Equal(got.Missing, tt.want.Missing) || !slices.Equal(got.Extra, tt.want.Extra) {
				t.Fatal(err)
			}
			// opening it by its id, found beside a good second place, fails too
			s.Dirs = []string{top}
			if ref, err := s.Open(t.Context(), "org/m", OpenOptions{}); err == nil {
				ref.Close()
				t.Error("opened")
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		s := Store{LockFile: filepath.Join(t.TempDir(), "lock")}
		dir := model(t, t.TempDir(), 0)
		e, err := s.Pin(t.Context(), Found{ID: "org/m", Path: dir}, PinOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Verify(ctx, e, dir, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestOpenPinned(t *testing.T) {
	top := t.TempDir()
	cache := filepath.Join(top, "cache")
	snap := cached(t, cache, "google-bert/bert-base-uncased", commitA, modelFiles(0), "main")
	s := Store{CacheDir: cache, LockFile: filepath.Join(top, "lock")}
	found, err := s.Find(t.Context(), "google-bert/bert-base-uncased", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pin(t.Context(), found, PinOptions{}); err != nil {
		t.Fatal(err)
	}
	// main moves on: the pinned commit is still the one that is meant
	cached(t, cache, "google-bert/bert-base-uncased", commitB, modelFiles(8), "main")
	for _, id := range []string{"bert-base-uncased", "google-bert/bert-base-uncased"} {
		ref, err := s.Open(t.Context(), id, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !ref.Verified || ref.Found.Commit != commitA {
			t.Errorf("%+v", ref)
		}
		ref.Close()
	}
	if _, err := s.Open(t.Context(), "bert-base-uncased@"+commitB, OpenOptions{}); !errors.Is(err, ErrPinMismatch) {
		t.Errorf("another commit: %v", err)
	}
	// the blob is tampered with
	blob, _ := filepath.EvalSymlinks(filepath.Join(snap, "model.safetensors"))
	write(t, blob, tensors(66))
	_, err = s.openFirst(t.Context(), judge([]Candidate{{ID: "bert-base-uncased"}, {ID: "org/other"}}, "", nil), OpenOptions{})
	if !errors.Is(err, ErrPinMismatch) || !strings.Contains(err.Error(), "model.safetensors") {
		t.Errorf("tampered: %v", err)
	}
	write(t, blob, []byte("no tensors at all"))
	if _, err := s.Open(t.Context(), "bert-base-uncased", OpenOptions{}); !errors.Is(err, ErrPinMismatch) {
		t.Errorf("damaged: %v", err)
	}
}

func TestVerifyNoticesReplacedFile(t *testing.T) {
	s := Store{LockFile: filepath.Join(t.TempDir(), "lock")}
	dir := model(t, t.TempDir(), 0)
	e, err := s.Pin(t.Context(), Found{ID: "org/m", Path: dir}, PinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := stats(dir, e)
	// Right bytes by the time they are hashed, but not the file that was opened.
	write(t, filepath.Join(dir, "new"), tensors(0))
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	var got *PinError
	if err := verify(t.Context(), e, dir, before, nil); !errors.As(err, &got) || !slices.Equal(got.Changed, []string{"model.safetensors"}) {
		t.Fatal(err)
	}
}
