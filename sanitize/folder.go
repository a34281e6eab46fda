package sanitize

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Folder is a folder in the making: under a temporary name beside the one it
// will have, so that nobody takes a half-written model for a whole one.
type Folder struct {
	// Path is where to write until Commit.
	Path string
	out  string
}

var (
	// ErrExists says that the output is there already.
	ErrExists = errors.New("already exists")
	// ErrInside says that the output would lie in the input, or the input in it.
	ErrInside = errors.New("the output must lie outside the input")
)

// CheckOut reports whether out can become the output for the input at in, a file
// or a folder, without writing anything.
func CheckOut(in, out string) error {
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("%s: %w", out, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(filepath.Clean(out))
	info, err := os.Stat(parent)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a folder", parent)
	}
	folder := in
	if info, err := os.Stat(in); err == nil && !info.IsDir() {
		folder = filepath.Dir(filepath.Clean(in))
	}
	a, err := real(folder)
	if err != nil {
		return err
	}
	b, err := real(parent)
	if err != nil {
		return err
	}
	if a == b && folder != in { // a file whose folder gets another folder beside it
		return nil
	}
	if rel, err := filepath.Rel(a, filepath.Join(b, filepath.Base(out))); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return fmt.Errorf("%s: %w", out, ErrInside)
	}
	return nil
}

// real is an absolute path without links.
func real(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// NewFolder begins the folder out for the input at in. It must be ended with
// Commit or Discard.
//
// Errors: ErrExists, ErrInside, and those of the file system.
func NewFolder(in, out string) (*Folder, error) {
	if err := CheckOut(in, out); err != nil {
		return nil, err
	}
	out = filepath.Clean(out)
	f := &Folder{out: out, Path: filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".unfinished-"+rand.Text()[:8])}
	return f, os.Mkdir(f.Path, 0o755)
}

// Commit gives the folder its name. What is in it must be closed.
func (f *Folder) Commit() error {
	if err := syncDir(f.Path); err != nil {
		return err
	}
	// A rename would replace an empty folder that someone made meanwhile.
	if _, err := os.Lstat(f.out); err == nil {
		return fmt.Errorf("%s: %w", f.out, ErrExists)
	}
	if err := os.Rename(f.Path, f.out); err != nil {
		return err
	}
	f.Path = f.out
	return syncDir(filepath.Dir(f.out))
}

// Discard removes what was not committed.
func (f *Folder) Discard() error {
	if f.Path == f.out {
		return nil
	}
	return os.RemoveAll(f.Path)
}

// syncDir makes the names in a folder durable, where the system can.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	_ = d.Sync() // folders cannot be synced everywhere
	return nil
}
