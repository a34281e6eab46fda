package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteReplacesAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.json")
	for _, text := range []string{"first", "second"} {
		if err := Write(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("read %q, %v; want %q", got, err, text)
		}
	}
	// A folder cannot be replaced by a file: the write fails.
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(folder, []byte("x"), 0o644); err == nil {
		t.Error("a folder was replaced")
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("report.json", link); err == nil {
		if err := Write(link, []byte("third"), 0o644); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link became %v, %v", info, err)
		}
		if got, _ := os.ReadFile(path); string(got) != "third" {
			t.Errorf("behind the link: %q", got)
		}
		os.Remove(link)
	}
	// What fails half-way leaves the old file, whatever the error is.
	if err := WriteFunc(path, 0o644, func(w io.Writer) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return fs.ErrExist
	}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the error of a writer is lost: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || strings.HasPrefix(string(got), "half") {
		t.Errorf("after a failure: %q, %v", got, err)
	}
	if err := Write(os.DevNull, []byte("x"), 0o644); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("%s is now %v, %v", os.DevNull, info, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}
