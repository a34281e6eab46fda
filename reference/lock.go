package reference

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
)

// LockVersion is the schema_version of the lock file.
const LockVersion = 1

// maxLock caps the lock file.
const maxLock = 16 << 20

// A Lock is the content of a lock file: which bytes each reference consists of.
// It holds no dates, so that pinning the same files gives the same lock.
type Lock struct {
	References    []Entry `json:"references"` // sorted by ID
	SchemaVersion int     `json:"schema_version"`
}

// An Entry pins one reference.
type Entry struct {
	Commit string                `json:"commit,omitempty"` // of the hub, where known
	Files  map[string]PinnedFile `json:"files"`            // by name in the folder
	ID     string                `json:"id"`               // hub id, or the path as the user writes it
}

// A PinnedFile is what a file must be.
type PinnedFile struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// ReadLock reads a lock file. A file that does not exist is an error matching
// fs.ErrNotExist; a lock that cannot be understood is never an empty one.
func ReadLock(path string) (*Lock, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readCapped(f, maxLock)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var l Lock
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("%s: malformed lock file: %w", path, err)
	}
	if l.SchemaVersion != LockVersion {
		return nil, fmt.Errorf("%s: lock file of schema version %d, this program knows %d", path, l.SchemaVersion, LockVersion)
	}
	seen := map[string]bool{}
	for _, e := range l.References {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("%s: malformed lock file: %s: %w", path, quote(e.ID), err)
		}
		if seen[canonical(e.ID)] {
			return nil, fmt.Errorf("%s: malformed lock file: %s is pinned twice", path, quote(e.ID))
		}
		seen[canonical(e.ID)] = true
	}
	return &l, nil
}

func (e *Entry) check() error {
	switch {
	case e.ID == "":
		return errors.New("no id")
	case e.Commit != "" && !hex40.MatchString(e.Commit):
		return errors.New("the commit is not 40 hex digits")
	case len(e.Files) == 0:
		return errors.New("no files")
	}
	weights := false
	for name, f := range e.Files {
		if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || name == "." {
			return fmt.Errorf("file name %s", quote(name))
		}
		if !hex64.MatchString(f.SHA256) || f.Size < 0 {
			return fmt.Errorf("size or digest of %s", quote(name))
		}
		weights = weights || isWeights(name)
	}
	if !weights {
		return errors.New("no weights")
	}
	return nil
}

// find returns the entry for an id in either spelling, or for a path as written.
func (l *Lock) find(id string) (Entry, bool) {
	for _, e := range l.References {
		if id != "" && canonical(e.ID) == canonical(id) {
			return e, true
		}
	}
	return Entry{}, false
}

// write replaces the lock file.
func (l *Lock) write(path string) error {
	l.SchemaVersion = LockVersion
	slices.SortFunc(l.References, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	if l.References == nil {
		l.References = []Entry{}
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o644)
}

// lock reads the store's lock file; none is an empty one.
func (s *Store) lock() (*Lock, error) {
	if s.LockFile == "" {
		return &Lock{}, nil
	}
	l, err := ReadLock(s.LockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lock{}, nil
	}
	return l, err
}

// Pins lists the pinned references by id.
func (s *Store) Pins() ([]Entry, error) {
	l, err := s.lock()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(l.References, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	return l.References, nil
}

// PinOptions adjust Pin. The zero value is the careful one.
type PinOptions struct {
	Replace  bool           // a pin that says something else is replaced
	Progress func(Progress) // optional
}

// Pin notes in the lock file what the files of f are now: the configuration,
// the tokenizer and all weights. f.ID is the name to pin it under, for a path
// the path as users will write it. It fails with ErrPinMismatch if that is
// pinned already with other files, unless opt.Replace is set.
func (s *Store) Pin(ctx context.Context, f Found, opt PinOptions) (Entry, error) {
	if s.LockFile == "" {
		return Entry{}, errors.New("no lock file to pin in")
	}
	if f.ID == "" {
		return Entry{}, errors.New("a pin needs a name")
	}
	folder := f.Path
	if !isFolder(folder) {
		folder = filepath.Dir(folder)
	}
	e := Entry{ID: f.ID, Commit: f.Commit, Files: map[string]PinnedFile{}}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return Entry{}, err
	}
	var jobs []job
	for _, d := range entries {
		if isReferenceFile(d.Name()) && regular(filepath.Join(folder, d.Name())) {
			jobs = append(jobs, job{name: d.Name(), path: filepath.Join(folder, d.Name())})
		}
	}
	if err := hashAll(ctx, jobs, opt.Progress); err != nil {
		return Entry{}, err
	}
	for _, j := range jobs {
		if j.err != nil {
			return Entry{}, j.err
		}
		e.Files[j.name] = PinnedFile{SHA256: j.sum, Size: j.size}
	}
	if err := e.check(); err != nil {
		return Entry{}, fmt.Errorf("pin %s: %s: %w", quote(f.ID), folder, err)
	}
	if err := s.pin(e, folder, opt.Replace); err != nil {
		return Entry{}, err
	}
	return e, nil
}

// pin writes a checked entry, of the files of folder, to the lock file.
func (s *Store) pin(e Entry, folder string, replace bool) error {
	l, err := s.lock()
	if err != nil {
		return err
	}
	if old, ok := l.find(e.ID); ok && !replace {
		if diff := old.compare(e); diff != nil {
			diff.Folder = folder
			return withHint(diff, "if the change is wanted, unpin it or replace the pin")
		}
	}
	l.remove(e.ID)
	l.References = append(l.References, e)
	return l.write(s.LockFile)
}

// Unpin removes a pin. It fails with ErrNotFound if there is none.
func (s *Store) Unpin(id string) error {
	l, err := s.lock()
	if err != nil {
		return err
	}
	if !l.remove(id) {
		return fmt.Errorf("%w: %s is not pinned", ErrNotFound, quote(id))
	}
	return l.write(s.LockFile)
}

func (l *Lock) remove(id string) bool {
	n := len(l.References)
	l.References = slices.DeleteFunc(l.References, func(e Entry) bool { return canonical(e.ID) == canonical(id) })
	return len(l.References) < n
}

// compare says how other differs from e; nil if it does not.
func (e Entry) compare(other Entry) *PinError {
	diff := &PinError{ID: e.ID}
	for name, f := range e.Files {
		switch o, ok := other.Files[name]; {
		case !ok:
			diff.Missing = append(diff.Missing, name)
		case o != f:
			diff.Differs = append(diff.Differs, name)
		}
	}
	for name := range other.Files {
		if _, ok := e.Files[name]; !ok {
			diff.Extra = append(diff.Extra, name)
		}
	}
	if diff.empty() {
		return nil
	}
	diff.sort()
	return diff
}

func (e *PinError) sort() {
	for _, names := range [][]string{e.Differs, e.Missing, e.Extra, e.Changed} {
		slices.Sort(names)
	}
}
