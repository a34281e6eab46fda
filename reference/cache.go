package reference

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// defaultRevision is the branch every repository of the hub has.
const defaultRevision = "main"

// A snapshot is one commit of a model in the hub cache.
type snapshot struct {
	folder string // <cache>/models--org--name/snapshots/<commit>
	commit string
	how    string // "revision main (0123456789ab)"
}

// findSnapshot looks for revision in a model's folder of the hub cache, whose
// layout is refs/<revision> -> commit, snapshots/<commit>/<file> -> blobs/<etag>.
// Without a revision it takes main, or else the only complete snapshot.
func findSnapshot(model, revision string) (snapshot, error) {
	if hex40.MatchString(revision) {
		s := snapshot{commit: revision, how: "commit " + short(revision)}
		return s, s.check(model)
	}
	rev := revision
	if rev == "" {
		rev = defaultRevision
	}
	commit, err := readRef(model, rev)
	if err == nil {
		s := snapshot{commit: commit, how: fmt.Sprintf("revision %s (%s)", rev, short(commit))}
		err = s.check(model)
		if err == nil || errors.Is(err, ErrUnsafeCache) {
			return s, err
		}
	}
	if revision != "" {
		return snapshot{}, err
	}
	only, n, onlyErr := onlySnapshot(model)
	switch {
	case onlyErr != nil:
		return snapshot{}, onlyErr
	case n == 1:
		only.how = fmt.Sprintf("the only complete snapshot (%s), as %s is not there", short(only.commit), rev)
		return only, nil
	case n > 1:
		return snapshot{}, fmt.Errorf("%d snapshots and no %s: name a revision", n, rev)
	}
	return snapshot{}, err
}

// onlySnapshot counts the complete snapshots and returns the last.
func onlySnapshot(model string) (found snapshot, n int, err error) {
	entries, err := os.ReadDir(filepath.Join(model, "snapshots"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, 0, err
	}
	for _, e := range entries {
		if !hex40.MatchString(e.Name()) {
			continue
		}
		s := snapshot{commit: e.Name()}
		switch err := s.check(model); {
		case err == nil:
			found = s
			n++
		case errors.Is(err, ErrUnsafeCache):
			return found, n, err
		}
	}
	return found, n, nil
}

// check sets the folder if the snapshot is complete and stays in the cache.
func (s *snapshot) check(model string) error {
	folder := filepath.Join(model, "snapshots", s.commit)
	if !isFolder(folder) {
		return fmt.Errorf("no snapshot %s", short(s.commit))
	}
	if err := contained(model, folder); err != nil {
		return err
	}
	if err := usable(folder); err != nil {
		return fmt.Errorf("snapshot %s: %w", short(s.commit), err)
	}
	s.folder = folder
	return nil
}

// contained checks that a snapshot and all files of it, symlinks resolved, lie
// in the model's own folder of the cache. The loader opens what it finds there,
// so every file is looked at, not only those we know.
func contained(model, folder string) error {
	root, err := real(model)
	if err != nil {
		return err
	}
	check := func(path string) error {
		to, err := real(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a dangling link opens nothing; usable tells what is missing
		}
		if err != nil {
			return err
		}
		if !inside(to, root) {
			return fmt.Errorf("%w: %s leads out of the model's cache folder, to %s", ErrUnsafeCache, quote(path), quote(to))
		}
		return nil
	}
	if err := check(folder); err != nil {
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := check(filepath.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// readRef reads the commit a revision stood for when it was fetched.
func readRef(model, rev string) (string, error) {
	if !validRevision(rev) {
		return "", fmt.Errorf("%s is no revision", quote(rev))
	}
	root, err := os.OpenRoot(model)
	if err != nil {
		return "", err
	}
	defer root.Close()
	name := filepath.Join("refs", filepath.FromSlash(rev))
	if info, err := root.Stat(name); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("no revision %s", quote(rev))
	}
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(data))
	if !hex40.MatchString(commit) {
		return "", fmt.Errorf("the ref of revision %s holds %s, no commit", quote(rev), quote(commit))
	}
	return commit, nil
}
