package loader

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{
		"a/model.safetensors", "a/config.json", "a/checkpoint-5/model.safetensors", // below a model: part of it
		"b/deep/er/pytorch_model.bin.index.json",
		"loose/x.pt", "loose/y.safetensors", "loose/readme.md",
		"several/config.json", "several/x.pt", "several/y.pt", // the scan says why it does not choose
		"one/weights.ckpt",
		".hidden/model.safetensors", "empty/notes.txt",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(root, filepath.Join(root, "loop")); err != nil {
		t.Skip(err)
	}
	got, err := Find(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range got {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = filepath.ToSlash(rel)
	}
	want := []string{"a", "b/deep/er", "loose/x.pt", "loose/y.safetensors", "one", "several"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	deep := filepath.Join(t.TempDir(), strings.Repeat("d/", maxNested+1))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), filepath.Join(deep, strings.Repeat("../", maxNested+1))); !errors.Is(err, ErrTooMany) {
		t.Errorf("a deep folder: %v", err)
	}
	if _, err := Find(t.Context(), filepath.Join(root, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
