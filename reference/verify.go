package reference

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/btu-scan/btu-scan/loader"
)

// hashWorkers is how many files are hashed at once. More would compete for the
// disk, not for the processor.
const hashWorkers = 2

// Verify hashes the files of a pinned reference. It fails with a [*PinError]
// that names every file that differs, is missing, or is a weight file that was
// not pinned.
func Verify(ctx context.Context, e Entry, folder string, progress func(Progress)) error {
	return verify(ctx, e, folder, nil, progress)
}

// stats notes which files the pinned names stand for.
func stats(folder string, e Entry) map[string]fs.FileInfo {
	out := map[string]fs.FileInfo{}
	for name := range e.Files {
		if info, err := os.Stat(filepath.Join(folder, name)); err == nil {
			out[name] = info
		}
	}
	return out
}

// verify is Verify; the files must also be those noted before, if before is
// not nil.
func verify(ctx context.Context, e Entry, folder string, before map[string]fs.FileInfo, progress func(Progress)) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	diff := &PinError{ID: e.ID, Folder: folder}
	for _, d := range entries {
		if _, pinned := e.Files[d.Name()]; !pinned && isWeights(d.Name()) {
			diff.Extra = append(diff.Extra, d.Name())
		}
	}
	var jobs []job
	for name, want := range e.Files {
		path := filepath.Join(folder, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			diff.Missing = append(diff.Missing, name)
		case err != nil:
			return err
		case !info.Mode().IsRegular() || info.Size() != want.Size:
			diff.Differs = append(diff.Differs, name)
		default:
			jobs = append(jobs, job{name: name, path: path})
		}
	}
	if err := hashAll(ctx, jobs, progress); err != nil {
		return err
	}
	for _, j := range jobs {
		want := e.Files[j.name]
		switch {
		case errors.Is(j.err, errChanged):
			diff.Changed = append(diff.Changed, j.name)
		case j.err != nil:
			return j.err
		case j.sum != want.SHA256 || j.size != want.Size:
			diff.Differs = append(diff.Differs, j.name)
		case before != nil && !same(before[j.name], j.info):
			diff.Changed = append(diff.Changed, j.name)
		}
	}
	if diff.empty() {
		return nil
	}
	diff.sort()
	return withHint(diff, "restore the pinned files, or pin these if the change is wanted")
}

// same says whether two looks saw the same, unchanged file.
func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// allPinned checks that every file the loader opened is a pinned one.
func allPinned(ck *loader.Checkpoint, e Entry, folder string) error {
	diff := &PinError{ID: e.ID, Folder: folder}
	pinned := stats(folder, e)
	for _, f := range ck.Files() {
		info, err := os.Stat(f.Path)
		if err != nil {
			return err
		}
		if p, ok := pinned[filepath.Base(f.Path)]; !ok || !os.SameFile(info, p) {
			diff.Extra = append(diff.Extra, f.Path)
		}
	}
	if diff.empty() {
		return nil
	}
	return diff
}

// A job is one file to hash and, afterwards, what came of it.
type job struct {
	name, path string
	info       fs.FileInfo
	sum        string
	size       int64
	err        error
}

var errChanged = errors.New("the file changed while it was read")

// hashAll fills in the results of all jobs. Its error is that of ctx.
func hashAll(ctx context.Context, jobs []job, progress func(Progress)) error {
	var (
		mu   sync.Mutex
		now  Progress
		wg   sync.WaitGroup
		todo = make(chan *job)
	)
	for i := range jobs {
		if info, err := os.Stat(jobs[i].path); err == nil {
			now.Total += info.Size()
		}
	}
	report := func(name string, n int64) {
		if progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		now.File = name
		now.Done += n
		progress(now)
	}
	for range min(hashWorkers, len(jobs)) {
		wg.Go(func() {
			for j := range todo {
				j.err = j.hash(ctx, report)
			}
		})
	}
	for i := range jobs {
		todo <- &jobs[i]
	}
	close(todo)
	wg.Wait()
	return ctx.Err()
}

func (j *job) hash(ctx context.Context, report func(string, int64)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := os.Open(j.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", j.path)
	}
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		if j.size += int64(n); j.size > info.Size() {
			return errChanged
		}
		report(j.name, int64(n))
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if j.size != info.Size() || !same(info, after) {
		return errChanged
	}
	j.info = info
	j.sum = hex.EncodeToString(sum.Sum(nil))
	return nil
}
