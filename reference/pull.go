package reference

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// defaultMaxBytes caps one download: the largest models whose embeddings are
// worth comparing, in one file format, stay below.
const defaultMaxBytes = 64 << 30

// Pull fetches a revision of a model (by default main) from the hub into the
// cache, in the layout that Hugging Face's tools use and find it in. It takes
// the configuration, the tokenizer and one form of the weights, safetensors if
// there is any, and skips what is there already and has the right digest.
//
// It needs Online and CacheDir. A cancelled or interrupted download is resumed
// by the next call. Two processes may pull the same model: each works on its
// own partial file. Errors match ErrOffline, ErrNotFound, ErrDenied or
// ErrCorrupt, or are network errors.
func (s *Store) Pull(ctx context.Context, id, revision string, progress func(Progress)) (Found, error) {
	if revision == "" {
		revision = defaultRevision
	}
	switch {
	case !ValidID(id):
		return Found{}, fmt.Errorf("%w: %s is no hub id", ErrNotFound, quote(id))
	case !validRevision(revision):
		return Found{}, fmt.Errorf("%w: %s is no revision", ErrNotFound, quote(revision))
	case !s.Online:
		return Found{}, withHint(fmt.Errorf("%w: fetching %s needs the network", ErrOffline, id),
			`allow it with --online, or run "btu-scan reference pull %s"`, id)
	case s.CacheDir == "":
		return Found{}, withHint(errors.New("no cache folder to download to"), "set HF_HOME or HF_HUB_CACHE")
	}
	found, err := s.pull(ctx, id, revision, progress)
	if err != nil {
		return Found{}, fmt.Errorf("fetch %s: %w", id, err)
	}
	return found, nil
}

func (s *Store) pull(ctx context.Context, id, revision string, progress func(Progress)) (Found, error) {
	h, err := s.hub()
	if err != nil {
		return Found{}, err
	}
	defer h.close()
	list, err := h.list(ctx, id, revision)
	if err != nil {
		return Found{}, err
	}
	sides, weights, form := choose(list.Files)
	if form < 0 {
		return Found{}, fmt.Errorf("%w: the repository holds no safetensors or PyTorch weights", ErrNotFound)
	}
	model := filepath.Join(s.CacheDir, cacheFolder(id))
	if err := os.MkdirAll(model, 0o755); err != nil {
		return Found{}, err
	}
	// Every write goes through root: a symlink planted in the cache cannot lead
	// it elsewhere.
	root, err := os.OpenRoot(model)
	if err != nil {
		return Found{}, err
	}
	defer root.Close()
	p := &puller{hub: h, root: root, id: id, commit: list.Commit, progress: progress, left: s.maxBytes(), symlink: s.symlink}
	if p.symlink == nil {
		p.symlink = func(root *os.Root, target, name string) error { return root.Symlink(target, name) }
	}
	for _, dir := range []string{"blobs", p.snapshot(), "refs"} {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return Found{}, err
		}
	}
	byName := map[string]sibling{}
	for _, f := range list.Files {
		byName[f.Name] = f
	}
	p.expect(append(slices.Clone(sides), weights...), byName)
	for _, name := range sides {
		if err := p.file(ctx, byName[name], maxSideFile); err != nil {
			return Found{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if weightForms[form].sharded {
		index := weights[0]
		if err := p.file(ctx, byName[index], maxSideFile); err != nil {
			return Found{}, fmt.Errorf("%s: %w", index, err)
		}
		if weights, err = p.shards(form); err != nil {
			return Found{}, fmt.Errorf("%s: %w", index, err)
		}
		for _, name := range weights {
			if _, listed := byName[name]; !listed {
				return Found{}, fmt.Errorf("%w: %s names a shard %s that the repository does not hold", ErrNotFound, index, quote(name))
			}
		}
		p.expect(weights, byName)
	}
	for _, name := range weights {
		if err := p.file(ctx, byName[name], p.left); err != nil {
			return Found{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if revision != list.Commit {
		if err := writeRef(p.root, revision, p.commit); err != nil {
			return Found{}, err
		}
	}
	return Found{
		ID:     id,
		Path:   filepath.Join(model, filepath.FromSlash(p.snapshot())),
		Commit: list.Commit,
		How:    fmt.Sprintf("downloaded from %s, revision %s (%s)", h.base.Host, revision, short(list.Commit)),
	}, nil
}

// choose picks the files to fetch by name. Whatever else the hub lists, whatever
// it is called, is not touched. form is an index of weightForms, or -1.
func choose(files []sibling) (sides, weights []string, form int) {
	has := map[string]bool{}
	for _, f := range files {
		has[f.Name] = true
	}
	for _, n := range sideFiles {
		if has[n] {
			sides = append(sides, n)
		}
	}
	for i, w := range weightForms {
		if has[w.file] {
			return sides, []string{w.file}, i
		}
	}
	return sides, nil, -1
}

// A puller fetches the files of one commit.
type puller struct {
	hub      *hub
	root     *os.Root // the model's folder in the cache
	id       string
	commit   string
	progress func(Progress)
	now      Progress
	left     int64 // bytes that may still be fetched
	symlink  func(root *os.Root, target, name string) error
}

func (p *puller) snapshot() string { return "snapshots/" + p.commit }

// expect adds the sizes the hub listed to the total.
func (p *puller) expect(names []string, listed map[string]sibling) {
	for _, n := range names {
		if size := listed[n].Size; size > 0 && p.now.Total <= 1<<62-size {
			p.now.Total += size
		}
	}
}

func (p *puller) report(file string, n int64) {
	p.now.File = file
	p.now.Done += n
	if p.progress != nil {
		now := p.now
		if now.Done > now.Total {
			now.Total = 0 // the hub listed no sizes
		}
		p.progress(now)
	}
}

// file makes one file part of the snapshot.
func (p *puller) file(ctx context.Context, f sibling, limit int64) error {
	r, err := p.hub.stat(ctx, p.id, p.commit, f)
	if err != nil {
		return err
	}
	if limit = min(limit, p.left); r.size > limit {
		return fmt.Errorf("%d bytes are stated, the limit is %d", r.size, limit)
	}
	p.left -= r.size
	blob := "blobs/" + r.etag
	start := p.now.Done
	err = p.check(ctx, blob, r)
	if err != nil && ctx.Err() == nil {
		err = p.fetch(ctx, blob, r)
	}
	if err != nil {
		return err
	}
	p.now.Done = start
	p.report(r.name, r.size)
	return p.link(blob, r)
}

// check says whether the named file of the cache is r.
func (p *puller) check(ctx context.Context, name string, r remote) error {
	info, err := p.root.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != r.size {
		return fmt.Errorf("%w: %d bytes of %d", ErrCorrupt, info.Size(), r.size)
	}
	f, err := p.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.verify(ctx, f)
}

// verify compares the bytes of f with the digest the hub gave.
func (r remote) verify(ctx context.Context, f io.Reader) error {
	var sum hash.Hash
	if len(r.etag) == 64 {
		sum = sha256.New()
	} else {
		sum = sha1.New() // git's name for a small file
		fmt.Fprintf(sum, "blob %d\x00", r.size)
	}
	n, err := io.Copy(sum, &ctxReader{ctx, io.LimitReader(f, r.size+1)})
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != r.size || got != r.etag {
		return fmt.Errorf("%w: the digest is %s, the hub announced %s", ErrCorrupt, got, r.etag)
	}
	return nil
}

// A ctxReader fails once its context is done.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// Partial files. A partial nobody works on is called <etag>.btu-scan.incomplete.
// Who wants to continue it renames it to a name of its own, which succeeds for
// one process only, and renames it back on failure. So no lock is needed that a
// killed process could leave behind; its partial file is adopted when it has
// not grown for a while. Should two processes yet write to one file, the digest
// is wrong and the download starts over. Hugging Face's tools use other names.
const (
	partialSuffix = ".btu-scan.incomplete"
	orphanAge     = 15 * time.Minute // over any stall and pause
)

// claim opens a partial file of the blob for this call alone.
func (p *puller) claim(blob string) (f *os.File, name string, err error) {
	name = blob + "." + rand.Text()[:10] + partialSuffix
	idle := blob + partialSuffix
	if p.root.Rename(idle, name) != nil {
		if orphan := p.orphan(blob); orphan != "" {
			_ = p.root.Rename(orphan, name)
		}
	}
	f, err = p.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	return f, name, err
}

// orphan finds a partial file whose process seems to be dead.
func (p *puller) orphan(blob string) string {
	dir, err := p.root.Open("blobs")
	if err != nil {
		return ""
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		name := "blobs/" + e.Name()
		if !strings.HasPrefix(name, blob+".") || !strings.HasSuffix(name, partialSuffix) || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > orphanAge {
			return name
		}
	}
	return ""
}

// fetch downloads r to the name blob.
func (p *puller) fetch(ctx context.Context, blob string, r remote) error {
	f, name, err := p.claim(blob)
	if err != nil {
		return err
	}
	keep := true // for the next call
	defer func() {
		f.Close()
		if keep {
			_ = p.root.Rename(name, blob+partialSuffix)
		} else {
			_ = p.root.Remove(name) // gone already after success
		}
	}()
	for {
		had, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		if err := p.fill(ctx, f, r); err != nil {
			keep = !errors.Is(err, ErrCorrupt)
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err = r.verify(ctx, f)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrCorrupt) {
			return err
		}
		if had == 0 {
			keep = false
			return err
		}
		// What an earlier call left may be the culprit: once more from the start.
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	keep = false
	return p.root.Rename(name, blob)
}

// fill appends to f until it has all bytes of r.
func (p *puller) fill(ctx context.Context, f *os.File, r remote) error {
	start := p.now.Done
	for n := 1; ; n++ {
		have, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		if have > r.size {
			if err := f.Truncate(0); err != nil {
				return err
			}
			have = 0
		}
		p.now.Done = start + have
		if have == r.size {
			return nil
		}
		got, err := p.attempt(ctx, f, r, have)
		if err == nil {
			continue
		}
		if got >= progressSize {
			n = 1
		}
		if err := p.hub.pause(ctx, n, err); err != nil {
			return err
		}
	}
}

// attempt appends what one request gives to f, which has so many bytes already.
func (p *puller) attempt(ctx context.Context, f *os.File, r remote, have int64) (got int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(p.hub.stall, func() { cancel(errStalled) })
	defer alarm.Stop()

	header := http.Header{}
	if have > 0 {
		// No If-Range: behind the redirect the file has another ETag. The
		// address names a commit, and the digest has the last word.
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := p.hub.get(ctx, r.url, header)
	if err != nil {
		return 0, transientStall(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0:
		want := fmt.Sprintf("bytes %d-%d/%d", have, r.size-1, r.size)
		if cr := resp.Header.Get("Content-Range"); cr != want {
			return 0, fmt.Errorf("%w: asked for %q, the server sends %s", ErrCorrupt, want, quote(cr))
		}
	case resp.StatusCode == http.StatusOK:
		p.now.Done -= have // it starts over
		have = 0
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0:
		if err := f.Truncate(0); err != nil {
			return 0, err
		}
		return 0, &transientError{err: errors.New("the server does not resume the download")}
	default:
		return 0, fmt.Errorf("the server answers %d", resp.StatusCode)
	}
	rest := r.size - have
	if resp.ContentLength >= 0 && resp.ContentLength != rest {
		return 0, fmt.Errorf("%w: the server sends %d bytes where %d were announced", ErrCorrupt, resp.ContentLength, rest)
	}
	if err := f.Truncate(have); err != nil {
		return 0, err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10)
	for {
		n, rerr := resp.Body.Read(buf)
		alarm.Reset(p.hub.stall)
		if int64(n) > rest-got {
			return got, fmt.Errorf("%w: the server sends more than the %d bytes announced", ErrCorrupt, r.size)
		}
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return got, err
			}
			got += int64(n)
			p.report(r.name, int64(n))
		}
		switch {
		case rerr == io.EOF && got == rest:
			return got, nil
		case rerr == io.EOF:
			return got, &transientError{err: fmt.Errorf("the connection ended after %d of %d bytes", have+got, r.size)}
		case rerr != nil && ctx.Err() != nil:
			return got, transientStall(context.Cause(ctx))
		case rerr != nil:
			return got, &transientError{err: fmt.Errorf("the connection broke after %d of %d bytes: %w", have+got, r.size, rerr)}
		}
	}
}

// shards reads the index that was just fetched.
func (p *puller) shards(form int) ([]string, error) {
	f, err := p.root.Open(p.snapshot() + "/" + weightForms[form].file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return shards(f, weightForms[form].shard)
}

// link makes the blob appear in the snapshot: as a relative symlink, or as a
// copy where there are no symlinks.
func (p *puller) link(blob string, r remote) error {
	name := p.snapshot() + "/" + r.name
	target := filepath.FromSlash("../../" + blob)
	if old, err := p.root.Readlink(name); err == nil && old == target {
		return nil
	}
	temp := p.snapshot() + "/." + rand.Text()[:10] + ".tmp"
	defer p.root.Remove(temp) // gone already after success
	if err := p.symlink(p.root, target, temp); err != nil {
		if err := p.copy(blob, temp); err != nil {
			return err
		}
	}
	return p.root.Rename(temp, name)
}

func (p *puller) copy(from, to string) error {
	in, err := p.root.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := p.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// writeRef notes which commit the revision stands for, in the model's folder of
// a cache. It comes last: until then the snapshot may be incomplete.
func writeRef(root *os.Root, revision, commit string) error {
	name := "refs/" + revision
	if err := root.MkdirAll(filepath.ToSlash(filepath.Dir(name)), 0o755); err != nil {
		return err
	}
	temp := "refs/." + rand.Text()[:10] + ".tmp"
	defer root.Remove(temp)
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(commit)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if old, err := root.Stat(name); err == nil && old.IsDir() {
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	return root.Rename(temp, name)
}
