package reference

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ImportOptions adjust Import. The zero value is the careful one.
type ImportOptions struct {
	// SHA256 is what the whole pack must have, in lower-case hex. Without it
	// the digests in the pack guard against damage alone. Optional.
	SHA256 string
	// Pin notes the files in the lock file.
	Pin bool
	// Replace moves a revision that stands for another commit, and replaces a
	// pin that says something else if Pin is set.
	Replace  bool
	Progress func(Progress) // optional
}

// Imported is what Import did.
type Imported struct {
	Pack  Pack
	Found Found
	There bool // the cache held the same files already
}

// Import takes a reference out of a pack into the hub cache, where scans find
// it. Every byte of the pack is checked before anything appears under its final
// name; an error leaves the cache, its revisions and the lock file as they
// were. Files that the cache holds already are not written again, and files of
// the same commit that differ are ErrConflict, as is a revision that stands for
// another commit. A pack that is not what Export writes is ErrBadPack; one that
// contradicts a pin is ErrPinMismatch.
func (s *Store) Import(ctx context.Context, r io.Reader, opt ImportOptions) (Imported, error) {
	switch {
	case s.CacheDir == "":
		return Imported{}, withHint(errors.New("no cache folder to import to"), "set HF_HOME or HF_HUB_CACHE")
	case opt.Pin && s.LockFile == "":
		return Imported{}, errors.New("no lock file to pin in")
	case opt.SHA256 != "" && !hex64.MatchString(opt.SHA256):
		return Imported{}, fmt.Errorf("%s is no SHA-256 digest in hex", quote(opt.SHA256))
	}
	in := &packReader{r: &ctxReader{ctx, r}, sum: sha256.New()}
	m, err := in.manifest(s.maxBytes())
	if err != nil {
		return Imported{}, err
	}
	if err := s.allowed(m, opt); err != nil {
		return Imported{}, err
	}
	out, err := s.importPack(ctx, in, m, opt)
	if err != nil {
		return Imported{}, fmt.Errorf("import %s: %w", m.ID, err)
	}
	return out, nil
}

// allowed says whether the lock file lets m be imported: what contradicts a pin
// could be used by no scan.
func (s *Store) allowed(m *manifest, opt ImportOptions) error {
	lock, err := s.lock()
	if err != nil {
		return err
	}
	pin, pinned := lock.find(m.ID)
	if !pinned || opt.Pin && opt.Replace {
		return nil
	}
	if diff := pin.compare(m.Entry); diff != nil {
		diff.Folder = "the pack"
		return diff
	}
	return nil
}

func (s *Store) importPack(ctx context.Context, in *packReader, m *manifest, opt ImportOptions) (_ Imported, err error) {
	var folders, undo undoList
	defer func() {
		if err != nil {
			folders.run()
		}
	}()
	model := filepath.Join(s.CacheDir, cacheFolder(m.ID))
	if err := makeFolders(model, &folders); err != nil {
		return Imported{}, err
	}
	// Every write goes through root: a symlink planted in the cache cannot lead
	// it elsewhere.
	root, err := os.OpenRoot(model)
	if err != nil {
		return Imported{}, err
	}
	defer root.Close()
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	i := &importer{in: in, m: m, root: root, opt: opt, folder: filepath.Join(model, "snapshots", m.Commit)}
	if err := i.look(ctx, model); err != nil {
		return Imported{}, err
	}
	// First the bytes, under a name that nobody looks for.
	temp := ""
	if !i.there {
		temp = ".btu-scan-import-" + rand.Text()[:10]
		if err := root.Mkdir(temp, 0o755); err != nil {
			return Imported{}, err
		}
		undo.add(func() { _ = root.RemoveAll(temp) })
	}
	if err := i.files(temp); err != nil {
		return Imported{}, err
	}
	pack, err := i.finish(temp)
	if err != nil {
		return Imported{}, err
	}
	// Then the names.
	if !i.there {
		if err := makeInside(root, "snapshots", &undo); err != nil {
			return Imported{}, err
		}
		if err := root.Rename(temp, i.snapshot()); err != nil {
			return Imported{}, err
		}
		undo.add(func() { _ = root.RemoveAll(i.snapshot()) })
	}
	if err := i.setRef(&undo); err != nil {
		return Imported{}, err
	}
	if opt.Pin {
		if err := s.pin(m.Entry, i.folder, opt.Replace); err != nil {
			return Imported{}, err
		}
	}
	return Imported{
		Pack:  pack,
		Found: Found{ID: m.ID, Path: i.folder, Commit: m.Commit, How: "imported from a pack"},
		There: i.there,
	}, nil
}

// An importer takes one pack into a model's folder of the cache.
type importer struct {
	in     *packReader
	m      *manifest
	root   *os.Root // the model's folder
	opt    ImportOptions
	folder string // of the snapshot
	there  bool   // the snapshot is in the cache, and is the same
	ref    string // the commit that the revision stood for; "" for none
}

func (i *importer) snapshot() string { return "snapshots/" + i.m.Commit }

// look finds out what the cache holds already, before the long part.
func (i *importer) look(ctx context.Context, model string) error {
	if i.m.Revision != "" {
		switch _, err := i.root.Lstat("refs/" + i.m.Revision); {
		case err == nil:
			i.ref, err = readRef(model, i.m.Revision)
			if i.ref != i.m.Commit && !i.opt.Replace {
				return withHint(fmt.Errorf("%w: revision %s stands for %s, the pack holds %s", ErrConflict, quote(i.m.Revision), standsFor(i.ref, err), i.m.Commit),
					"move it with --replace")
			}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	switch _, err := i.root.Lstat(i.snapshot()); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := contained(model, i.folder); err != nil {
		return err
	}
	var diff *PinError
	err := verify(ctx, i.m.Entry, i.folder, nil, i.opt.Progress)
	if errors.As(err, &diff) {
		return withHint(fmt.Errorf("%w: %s: %s", ErrConflict, i.folder, diff.list("in the pack")), "if the pack is the right one, remove that folder and import again")
	}
	i.there = err == nil
	return err
}

// files writes what follows the manifest into the folder temp, or compares it
// only if that is "".
func (i *importer) files(temp string) error {
	now := Progress{Total: i.m.bytes()}
	buf := make([]byte, 1<<20)
	for _, name := range i.m.names() {
		now.File = name
		told := tick(&now, i.opt.Progress)
		if temp == "" {
			if err := i.in.file(name, i.m.Files[name], told, buf); err != nil {
				return err
			}
			continue
		}
		f, err := i.root.OpenFile(temp+"/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		err = i.in.file(name, i.m.Files[name], io.MultiWriter(f, told), buf)
		if err == nil {
			err = f.Sync()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// finish checks what can be known only once all is read: that nothing follows,
// the digest of the whole, and that the index names the shards that came.
func (i *importer) finish(temp string) (Pack, error) {
	if err := i.in.end(); err != nil {
		return Pack{}, err
	}
	pack := Pack{Entry: i.m.Entry, Revision: i.m.Revision, SHA256: hex.EncodeToString(i.in.sum.Sum(nil)), Size: i.in.n}
	if i.opt.SHA256 != "" && pack.SHA256 != i.opt.SHA256 {
		return Pack{}, withHint(fmt.Errorf("%w: its SHA-256 is %s, not %s", ErrBadPack, pack.SHA256, i.opt.SHA256), "copy it once more; if that does not help, it is another pack")
	}
	form, err := i.m.form()
	if err != nil || !form.sharded {
		return pack, err
	}
	if temp == "" {
		temp = i.snapshot()
	}
	f, err := i.root.Open(temp + "/" + form.file)
	if err != nil {
		return Pack{}, err
	}
	defer f.Close()
	names, err := shards(f, form.shard)
	if err != nil {
		return Pack{}, fmt.Errorf("%w: %s: %w", ErrBadPack, form.file, err)
	}
	if !slices.Equal(names, i.m.shards(form)) {
		return Pack{}, fmt.Errorf("%w: %s names other shards than the manifest", ErrBadPack, form.file)
	}
	return pack, nil
}

// setRef makes the revision stand for the commit.
func (i *importer) setRef(undo *undoList) error {
	revision, old := i.m.Revision, i.ref
	if revision == "" || old == i.m.Commit {
		return nil
	}
	name := "refs/" + revision
	if err := makeInside(i.root, path.Dir(name), undo); err != nil {
		return err
	}
	if err := writeRef(i.root, revision, i.m.Commit); err != nil {
		return err
	}
	undo.add(func() {
		if old == "" {
			i.root.Remove(name)
		} else {
			_ = writeRef(i.root, revision, old) // nothing better is left to try
		}
	})
	return nil
}

// A packReader reads a pack, counts its bytes and hashes them.
type packReader struct {
	r   io.Reader
	sum hash.Hash
	n   int64 // bytes read so far
}

func (p *packReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.sum.Write(b[:n])
	p.n += int64(n)
	return n, err
}

// bad is an error of the pack at the current offset.
func (p *packReader) bad(format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %w", ErrBadPack, p.n, fmt.Errorf(format, args...))
}

// full fills b, or fails with the end of the pack.
func (p *packReader) full(b []byte, what string) error {
	_, err := io.ReadFull(p, b)
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return p.bad("the pack ends within %s", what)
	}
	return err
}

// manifest reads the first member.
func (p *packReader) manifest(maxBytes int64) (*manifest, error) {
	head := make([]byte, packBlock)
	if err := p.full(head, "its first header"); err != nil {
		return nil, err
	}
	p.n = 0 // for messages: the header is what is wrong, if anything
	if !bytes.HasPrefix(head, []byte(packManifest+"\x00")) {
		return nil, withHint(p.bad("no manifest"), `"btu-scan reference export" makes packs`)
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(head[124:136]), "\x00 "), 8, 64)
	if err != nil || size < 0 || size > maxPackManifest {
		return nil, p.bad("size of the manifest")
	}
	if want, err := packHeader(packManifest, size); err != nil || !bytes.Equal(head, want) {
		return nil, p.bad("the header of the manifest is not one that export writes")
	}
	p.n = packBlock
	data, err := io.ReadAll(io.LimitReader(p, size))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) < size {
		return nil, p.bad("the pack ends within its manifest")
	}
	m, err := decodeManifest(data, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadPack, err)
	}
	return m, p.zeros(padding(size), packManifest)
}

// file reads the next member, which must be the named one, into w.
func (p *packReader) file(name string, want PinnedFile, w io.Writer, buf []byte) error {
	head, err := packHeader(name, want.Size)
	if err != nil {
		return err
	}
	got := make([]byte, len(head))
	start := p.n
	if err := p.full(got, "the header of "+name); err != nil {
		return err
	}
	if !bytes.Equal(got, head) {
		p.n = start
		return p.bad("not the header of %s with %d bytes, which the manifest puts here", name, want.Size)
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(w, sum), io.LimitReader(p, want.Size), buf)
	if err != nil {
		return err
	}
	if n < want.Size {
		return p.bad("the pack ends within %s, after %d bytes of %d", name, n, want.Size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.SHA256 {
		return p.bad("the SHA-256 of %s is %s, the manifest says %s", name, got, want.SHA256)
	}
	return p.zeros(padding(n), name)
}

// zeros reads n zeros, less than a block of them.
func (p *packReader) zeros(n int64, after string) error {
	b := make([]byte, n)
	if err := p.full(b, "the padding after "+after); err != nil {
		return err
	}
	if !allZero(b) {
		return p.bad("the padding after %s is not zero", after)
	}
	return nil
}

// end reads the end of the pack: two blocks of zeros or more, as tar pads them.
func (p *packReader) end() error {
	start := p.n
	b := make([]byte, packBlock)
	for {
		n, err := io.ReadFull(p, b)
		switch {
		case err == io.EOF:
			if p.n-start < 2*packBlock {
				return p.bad("the pack ends without its end mark")
			}
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return p.bad("the pack ends within a block")
		case err != nil:
			return err
		case !allZero(b[:n]):
			return p.bad("data after the last file")
		case p.n-start > maxPackTail:
			return p.bad("over %d bytes after the last file", maxPackTail)
		}
	}
}

func allZero(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 })
}

// standsFor is a ref's commit, or why it has none, for a message.
func standsFor(commit string, err error) string {
	if err != nil {
		return "something unreadable (" + err.Error() + ")"
	}
	return commit
}

// An undoList takes back, last first, what was done before a failure. It does
// what it can: the failure itself is what is reported.
type undoList []func()

func (u *undoList) add(f func()) { *u = append(*u, f) }

func (u undoList) run() {
	for _, f := range slices.Backward(u) {
		f()
	}
}

// makeFolders makes a folder and those above it that are missing.
func makeFolders(dir string, undo *undoList) error {
	var missing []string
	for p := dir; ; p = filepath.Dir(p) {
		if _, err := os.Lstat(p); err == nil || p == filepath.Dir(p) {
			break
		}
		missing = append(missing, p)
	}
	for _, p := range slices.Backward(missing) {
		undo.add(func() { os.Remove(p) }) // only while it is empty
	}
	return os.MkdirAll(dir, 0o755)
}

// makeInside is makeFolders below root, for a path with slashes.
func makeInside(root *os.Root, dir string, undo *undoList) error {
	if dir == "." {
		return nil
	}
	if err := makeInside(root, path.Dir(dir), undo); err != nil {
		return err
	}
	err := root.Mkdir(dir, 0o755)
	if err == nil {
		undo.add(func() { root.Remove(dir) })
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
