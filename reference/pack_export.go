package reference

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// ExportOptions adjust Export. The zero value is a useful one.
type ExportOptions struct {
	// Commit is the hub's commit that the files of a plain folder are, which
	// cannot be known from the folder. Optional where the model lies in a hub
	// cache or its pin names the commit.
	Commit   string
	Progress func(Progress) // optional
}

// Export writes a pack of the model id to w: the configuration, the tokenizer
// and one form of the weights, as Pull would fetch them. It reads them where
// Find finds them, and fetches them first only if the store is online and they
// are nowhere. If id is pinned, the files must be exactly those pinned.
//
// Without a revision the importing cache calls the commit main, so that a scan
// there uses what a scan here uses. What was written to w before an error is no
// pack.
func (s *Store) Export(ctx context.Context, id, revision string, w io.Writer, opt ExportOptions) (Pack, error) {
	switch {
	case !ValidID(id):
		return Pack{}, fmt.Errorf("%w: %s is no hub id", ErrNotFound, quote(id))
	case revision != "" && !validRevision(revision):
		return Pack{}, fmt.Errorf("%w: %s is no revision", ErrNotFound, quote(revision))
	case opt.Commit != "" && !hex40.MatchString(opt.Commit):
		return Pack{}, fmt.Errorf("%s is no commit of 40 hex digits", quote(opt.Commit))
	}
	found, err := s.resolveID(ctx, id, revision, opt.Progress)
	if err != nil {
		return Pack{}, err
	}
	m, err := s.manifest(ctx, found, revision, opt)
	if err != nil {
		return Pack{}, fmt.Errorf("export %s: %w", id, err)
	}
	pack, err := m.write(ctx, found.Path, w, opt.Progress)
	if err != nil {
		return Pack{}, fmt.Errorf("export %s: %w", id, err)
	}
	return pack, nil
}

// manifest hashes the files of a reference and compares them with its pin.
func (s *Store) manifest(ctx context.Context, found Found, revision string, opt ExportOptions) (*manifest, error) {
	jobs, err := packFiles(found.Path)
	if err != nil {
		return nil, err
	}
	if err := hashAll(ctx, jobs, opt.Progress); err != nil {
		return nil, err
	}
	m := &manifest{Entry: Entry{ID: found.ID, Commit: found.Commit, Files: map[string]PinnedFile{}}, SchemaVersion: PackVersion}
	for _, j := range jobs {
		if j.err != nil {
			return nil, fmt.Errorf("%s: %w", quote(j.name), j.err)
		}
		m.Files[j.name] = PinnedFile{SHA256: j.sum, Size: j.size}
	}
	lock, err := s.lock()
	if err != nil {
		return nil, err
	}
	pin, pinned := lock.find(found.ID)
	if pinned {
		if err := samePacked(pin, m.Entry, found.Path); err != nil {
			return nil, err
		}
	}
	if m.Commit == "" && pinned {
		m.Commit = pin.Commit // the same bytes, so the same commit
	}
	switch {
	case m.Commit == "" && opt.Commit == "":
		return nil, withHint(fmt.Errorf("%s does not say which commit of the hub it holds", found.Path), "name it with --commit, or export from the hub cache")
	case m.Commit == "":
		m.Commit = opt.Commit
	case opt.Commit != "" && opt.Commit != m.Commit:
		return nil, fmt.Errorf("the files are of commit %s, not %s", m.Commit, opt.Commit)
	}
	switch {
	case revision == "":
		m.Revision = defaultRevision
	case !hex40.MatchString(revision):
		m.Revision = revision
	}
	return m, m.check(s.maxBytes())
}

// samePacked says whether a pack of e, of the files of folder, would pass the
// check of the pin.
func samePacked(pin, e Entry, folder string) error {
	diff := pin.compare(e)
	if diff == nil {
		return nil
	}
	diff.Folder = folder
	for _, name := range diff.Missing {
		if regular(filepath.Join(folder, name)) && len(diff.Differs) == 0 {
			return withHint(fmt.Errorf("the pin of %s names %s, which a pack does not carry", quote(e.ID), quote(name)),
				"pin a folder that holds one form of the weights alone, as btu-scan reference pull makes it")
		}
	}
	return diff
}

// packFiles lists the files of a folder that Pull would fetch.
func packFiles(folder string) ([]job, error) {
	var names []string
	for _, n := range sideFiles {
		if regular(filepath.Join(folder, n)) {
			names = append(names, n)
		}
	}
	weights, err := packWeights(folder)
	if err != nil {
		return nil, err
	}
	var jobs []job
	for _, n := range append(names, weights...) {
		jobs = append(jobs, job{name: n, path: filepath.Join(folder, n)})
	}
	return jobs, nil
}

func packWeights(folder string) ([]string, error) {
	for _, form := range weightForms {
		if !regular(filepath.Join(folder, form.file)) {
			continue
		}
		if !form.sharded {
			return []string{form.file}, nil
		}
		f, err := os.Open(filepath.Join(folder, form.file))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		names, err := shards(f, form.shard)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", form.file, err)
		}
		return append(names, form.file), nil
	}
	return nil, fmt.Errorf("%w: %s holds no weights under the names that the hub's tools give them", ErrNotFound, folder)
}

// write writes the pack. The files are read a second time and must still be
// what the manifest says.
func (m *manifest) write(ctx context.Context, folder string, w io.Writer, progress func(Progress)) (Pack, error) {
	data, err := m.encode()
	if err != nil {
		return Pack{}, err
	}
	if len(data) > maxPackManifest {
		return Pack{}, fmt.Errorf("a manifest of %d bytes, the limit is %d", len(data), maxPackManifest)
	}
	p := &packWriter{w: w, sum: sha256.New()}
	head, err := packHeader(packManifest, int64(len(data)))
	if err != nil {
		return Pack{}, err
	}
	if err := p.write(head, data, make([]byte, padding(int64(len(data))))); err != nil {
		return Pack{}, err
	}
	now := Progress{Total: m.bytes()}
	buf := make([]byte, 1<<20)
	for _, name := range m.names() {
		now.File = name
		if err := p.file(ctx, filepath.Join(folder, name), name, m.Files[name], buf, tick(&now, progress)); err != nil {
			return Pack{}, fmt.Errorf("%s: %w", quote(name), err)
		}
	}
	if err := p.write(make([]byte, 2*packBlock)); err != nil {
		return Pack{}, err
	}
	return Pack{Entry: m.Entry, Revision: m.Revision, SHA256: hex.EncodeToString(p.sum.Sum(nil)), Size: p.n}, nil
}

// A packWriter counts and hashes what it writes.
type packWriter struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (p *packWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.sum.Write(b[:n])
	p.n += int64(n)
	return n, err
}

func (p *packWriter) write(parts ...[]byte) error {
	for _, b := range parts {
		if _, err := p.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// file writes one file, which must be what was promised.
func (p *packWriter) file(ctx context.Context, path, name string, want PinnedFile, buf []byte, told io.Writer) error {
	head, err := packHeader(name, want.Size)
	if err != nil {
		return err
	}
	if err := p.write(head); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(p, sum, told), &ctxReader{ctx, io.LimitReader(f, want.Size)}, buf)
	switch {
	case err != nil:
		return err
	case n != want.Size || hex.EncodeToString(sum.Sum(nil)) != want.SHA256:
		return errChanged
	}
	return p.write(make([]byte, padding(n)))
}

// tick is a writer that tells progress how much was written to it.
func tick(now *Progress, progress func(Progress)) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		now.Done += int64(len(b))
		if progress != nil {
			progress(*now)
		}
		return len(b), nil
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
