package reference

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/loader"
)

// DefaultEndpoint is the hub that ids refer to unless another is configured.
const DefaultEndpoint = "https://huggingface.co"

// A Store is where references are looked for. The zero value finds existing
// paths and nothing else. It must not be changed while it is in use; its
// methods are safe for concurrent use, except that concurrent changes of one
// lock file may lose one of them.
type Store struct {
	// Dirs are searched first. Each may be a model folder itself, or hold
	// org/name, org--name, name or the hub cache's models--org--name.
	Dirs []string
	// CacheDir is the hub cache, searched next and filled by Pull.
	CacheDir string
	// LockFile holds the pins. It need not exist.
	LockFile string
	// Online allows the network. Without it nothing is ever fetched.
	Online bool
	// Endpoint is the hub. Optional: DefaultEndpoint.
	Endpoint string
	// Token is sent to the endpoint, over TLS or to this machine only. Optional.
	Token string
	// TokenFile is read where Token is empty and the network is used. Optional.
	TokenFile string
	// MaxBytes caps what one Pull may fetch. Optional: 64 GiB.
	MaxBytes int64
	// UserAgent is sent to the hub. Optional.
	UserAgent string
	// Transport carries the requests. Optional: one with timeouts, which heeds
	// the proxy settings that net/http knows.
	Transport http.RoundTripper

	// Set by tests only.
	sleep   func(context.Context, time.Duration) error
	stall   time.Duration
	symlink func(root *os.Root, target, name string) error
}

// FromEnv returns a store with what the environment says about the hub: its
// cache (HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME), its
// address (HF_ENDPOINT) and the access token (HF_TOKEN, HUGGING_FACE_HUB_TOKEN,
// HF_TOKEN_PATH), as Hugging Face's own tools read them. Online stays unset.
func FromEnv(getenv func(key string) string) Store {
	first := func(keys ...string) string {
		for _, k := range keys {
			if v := strings.TrimSpace(getenv(k)); v != "" {
				return v
			}
		}
		return ""
	}
	user := first("HOME", "USERPROFILE")
	path := func(p string) string {
		if p == "~" || strings.HasPrefix(p, "~/") {
			if user == "" {
				return ""
			}
			return filepath.Join(user, p[1:])
		}
		return p
	}
	home := path(first("HF_HOME"))
	if home == "" {
		if x := path(first("XDG_CACHE_HOME")); x != "" {
			home = filepath.Join(x, "huggingface")
		} else if user != "" {
			home = filepath.Join(user, ".cache", "huggingface")
		}
	}
	s := Store{
		CacheDir:  path(first("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")),
		Endpoint:  first("HF_ENDPOINT"),
		Token:     first("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
		TokenFile: path(first("HF_TOKEN_PATH")),
	}
	if home != "" {
		if s.CacheDir == "" {
			s.CacheDir = filepath.Join(home, "hub")
		}
		if s.TokenFile == "" {
			s.TokenFile = filepath.Join(home, "token")
		}
	}
	return s
}

// A Found is where a reference lies on this machine.
type Found struct {
	ID     string // the hub id, or "" for a path
	Path   string // the folder or file to open
	How    string // "Hugging Face cache, revision main (0123456789ab)"
	Commit string // of the hub; "" where it is not known
}

// Find looks for a hub id on this machine, first in Dirs, then in the cache.
// Without a revision it means the pinned commit, else main. Only a folder with
// weights counts. It fails with ErrNotFound, ErrUnsafeCache or an error of the
// lock file, and never uses the network.
func (s *Store) Find(ctx context.Context, id, revision string) (Found, error) {
	if !ValidID(id) {
		return Found{}, fmt.Errorf("%w: %s is no hub id", ErrNotFound, quote(id))
	}
	if revision != "" && !validRevision(revision) {
		return Found{}, fmt.Errorf("%w: %s is no revision", ErrNotFound, quote(revision))
	}
	lock, err := s.lock()
	if err != nil {
		return Found{}, err
	}
	pin, pinned := lock.find(id)
	lookup := &lookupError{id: id, kinds: []error{ErrNotFound}}
	for _, dir := range s.Dirs {
		if err := ctx.Err(); err != nil {
			return Found{}, err
		}
		f, err := findInDir(dir, id, revision)
		if err == nil {
			return f, nil
		}
		if errors.Is(err, ErrUnsafeCache) {
			return Found{}, err
		}
		lookup.looked = append(lookup.looked, fmt.Sprintf("--reference-dir %s: %v", dir, err))
	}
	if s.CacheDir == "" {
		return Found{}, lookup
	}
	revisions := []string{revision}
	if revision == "" && pinned && pin.Commit != "" {
		// Another commit of the same bytes would pass the check all the same.
		revisions = []string{pin.Commit, ""}
	}
	for _, rev := range revisions {
		for _, spelling := range spellings(id) {
			model := filepath.Join(s.CacheDir, cacheFolder(spelling))
			if !isFolder(model) {
				continue
			}
			snap, err := findSnapshot(model, rev)
			if err == nil {
				return Found{ID: id, Path: snap.folder, Commit: snap.commit, How: "Hugging Face cache, " + snap.how}, nil
			}
			if errors.Is(err, ErrUnsafeCache) {
				return Found{}, err
			}
			lookup.looked = append(lookup.looked, fmt.Sprintf("%s: %v", model, err))
		}
	}
	if !mentions(lookup.looked, s.CacheDir) {
		lookup.looked = append(lookup.looked, s.CacheDir)
	}
	return Found{}, lookup
}

func mentions(places []string, dir string) bool {
	for _, p := range places {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}

// findInDir looks for id in one of the user's folders. Plain folders have no
// revisions: there a named revision finds nothing.
func findInDir(dir, id, revision string) (Found, error) {
	if !isFolder(dir) {
		return Found{}, errors.New("no such folder")
	}
	var problem error
	note := func(err error) {
		if problem == nil {
			problem = err
		}
	}
	self, err := filepath.Abs(dir)
	if err != nil {
		return Found{}, err
	}
	for _, sp := range spellings(id) {
		name := sp[strings.LastIndexByte(sp, '/')+1:]
		flat := strings.ReplaceAll(sp, "/", "--")
		plain := []string{filepath.Join(dir, filepath.FromSlash(sp)), filepath.Join(dir, flat), filepath.Join(dir, name)}
		caches := []string{filepath.Join(dir, cacheFolder(sp))}
		switch filepath.Base(self) {
		case name, flat:
			plain = append(plain, dir)
		case cacheFolder(sp):
			caches = append(caches, dir)
		}
		for _, p := range plain {
			if !isFolder(p) {
				continue
			}
			if revision != "" {
				note(fmt.Errorf("%s has no revisions", p))
				continue
			}
			if err := usable(p); err != nil {
				note(fmt.Errorf("%s: %w", p, err))
				continue
			}
			return Found{ID: id, Path: p, How: "--reference-dir " + dir}, nil
		}
		for _, c := range caches {
			if !isFolder(c) {
				continue
			}
			snap, err := findSnapshot(c, revision)
			if errors.Is(err, ErrUnsafeCache) {
				return Found{}, err
			}
			if err != nil {
				note(fmt.Errorf("%s: %w", c, err))
				continue
			}
			return Found{ID: id, Path: snap.folder, Commit: snap.commit, How: "--reference-dir " + dir + ", " + snap.how}, nil
		}
	}
	if problem == nil {
		problem = errors.New("not there")
	}
	return Found{}, problem
}

// Resolve finds what a user named as the reference: a file, a folder, or a hub
// id, which may end in "@revision". An existing path wins over an id. What is
// not on this machine is fetched if the store is online, and is ErrOffline if
// it is not.
func (s *Store) Resolve(ctx context.Context, arg string, progress func(Progress)) (Found, error) {
	if arg == "" {
		return Found{}, fmt.Errorf("%w: empty name", ErrNotFound)
	}
	info, err := os.Stat(arg)
	switch {
	case err == nil:
		return resolvePath(arg, info)
	case !errors.Is(err, fs.ErrNotExist) && !ValidID(arg):
		return Found{}, err
	}
	id, revision := splitRevision(arg)
	if !ValidID(id) || (strings.Contains(arg, "@") && !validRevision(revision)) {
		return Found{}, fmt.Errorf("%w: %s is neither an existing path nor a hub id", ErrNotFound, quote(arg))
	}
	return s.resolveID(ctx, id, revision, progress)
}

// resolveID finds a valid id here or, if that is allowed, at the hub.
func (s *Store) resolveID(ctx context.Context, id, revision string, progress func(Progress)) (Found, error) {
	found, err := s.Find(ctx, id, revision)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return found, err
	}
	if !s.Online {
		var lookup *lookupError
		if errors.As(err, &lookup) {
			lookup.kinds = []error{ErrOffline, ErrNotFound}
		}
		return Found{}, withHint(err, `allow the download with --online, or fetch it once with "btu-scan reference pull %s"`, joinRevision(id, revision))
	}
	if revision == "" {
		lock, err := s.lock()
		if err != nil {
			return Found{}, err
		}
		if pin, ok := lock.find(id); ok {
			revision = pin.Commit
		}
	}
	return s.Pull(ctx, id, revision, progress)
}

// resolvePath takes a file or folder as it is, except that a model's folder of
// the hub cache means the snapshot in it.
func resolvePath(arg string, info fs.FileInfo) (Found, error) {
	found := Found{Path: arg, How: "path " + arg}
	if !info.IsDir() || usable(arg) == nil || !isFolder(filepath.Join(arg, "snapshots")) {
		return found, nil
	}
	snap, err := findSnapshot(arg, "")
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", arg, err)
	}
	return Found{Path: snap.folder, Commit: snap.commit, How: "path " + arg + ", " + snap.how}, nil
}

// A Progress says how far a download or a verification is.
type Progress struct {
	File        string // being worked on
	Done, Total int64  // bytes of all files; Total is 0 while it is unknown
}

// OpenOptions adjust Open and OpenFor. The zero value is a useful one.
type OpenOptions struct {
	Loader   loader.Options
	Progress func(Progress) // called from one goroutine at a time; optional
}

// A Reference is an opened reference.
type Reference struct {
	*loader.Checkpoint
	Found Found
	// Evidence says who names this reference: the user, or a file of the
	// checkpoint, which is its maker's word.
	Evidence string
	// Verified says that the files were pinned and agree with the pin.
	Verified bool
}

// Open resolves what the user named and opens it. If it is pinned, by the id or
// the path as written, its files are verified first: see Verify. The caller
// closes the result.
func (s *Store) Open(ctx context.Context, arg string, opt OpenOptions) (*Reference, error) {
	found, err := s.Resolve(ctx, arg, opt.Progress)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, arg, found, "named by the user", opt)
}

// OpenFor opens the first candidate of ck that is to be had. It goes on to the
// next candidate only where one is not to be had at all (or is the checkpoint
// itself): a pin that does not hold, a damaged file or an unsafe cache ends the
// search, so that nothing silently replaces the likelier base. The caller
// closes the result.
func (s *Store) OpenFor(ctx context.Context, ck *loader.Checkpoint, opt OpenOptions) (*Reference, error) {
	return s.openFirst(ctx, Candidates(ck), opt)
}

func (s *Store) openFirst(ctx context.Context, candidates []Candidate, opt OpenOptions) (*Reference, error) {
	if len(candidates) == 0 {
		return nil, withHint(fmt.Errorf("%w: the checkpoint names no base model", ErrNotFound), "name one with --reference DIR or ID")
	}
	var failed []error
	for _, c := range candidates {
		ref, err := s.openCandidate(ctx, c, opt)
		if err == nil {
			return ref, nil
		}
		err = fmt.Errorf("%s (%s): %w", quote(c.ID), c.Evidence, err)
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDenied) && !errors.Is(err, ErrSelf) {
			return nil, err
		}
		failed = append(failed, err)
	}
	if len(failed) == 1 {
		return nil, failed[0]
	}
	return nil, errors.Join(failed...)
}

func (s *Store) openCandidate(ctx context.Context, c Candidate, opt OpenOptions) (*Reference, error) {
	if c.Problem != "" {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, c.Problem)
	}
	found := Found{Path: c.Path, How: "path " + c.Path + " named by the checkpoint"}
	if c.Path == "" {
		var err error
		if found, err = s.resolveID(ctx, c.ID, "", opt.Progress); err != nil {
			return nil, err
		}
	} else if err := usable(c.Path); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotFound, c.Path, err)
	}
	if isOneOf(found.Path, c.self) {
		return nil, fmt.Errorf("%w: %s", ErrSelf, found.Path)
	}
	ref, err := s.open(ctx, c.ID, found, c.Evidence, opt)
	if err != nil {
		return nil, err
	}
	for _, f := range ref.Files() {
		if isOneOf(f.Path, c.self) {
			ref.Close()
			return nil, fmt.Errorf("%w: %s", ErrSelf, f.Path)
		}
	}
	return ref, nil
}

// open opens what was found and verifies its pin, if there is one.
func (s *Store) open(ctx context.Context, arg string, found Found, evidence string, opt OpenOptions) (*Reference, error) {
	lock, err := s.lock()
	if err != nil {
		return nil, err
	}
	opt.Loader.TensorsOnly = true
	ref := &Reference{Found: found, Evidence: evidence}
	pin, pinned := lock.find(found.ID)
	if !pinned {
		pin, pinned = lock.find(arg)
	}
	if !pinned {
		ref.Checkpoint, err = loader.Open(ctx, found.Path, opt.Loader)
		if err != nil {
			return nil, err
		}
		return ref, nil
	}
	folder := found.Path
	if !isFolder(folder) {
		folder = filepath.Dir(folder)
	}
	// The files are opened between two looks at which files the names stand
	// for, and hashed through handles to those same files: a name that comes to
	// stand for another file in between is noticed. Hashing after opening, not
	// before, means that what is mapped is what was hashed.
	before := stats(folder, pin)
	ref.Checkpoint, err = loader.Open(ctx, found.Path, opt.Loader)
	if err == nil {
		err = verify(ctx, pin, folder, before, opt.Progress)
	} else if perr := verify(ctx, pin, folder, before, opt.Progress); errors.Is(perr, ErrPinMismatch) {
		err = perr // says more than a parser's complaint about tampered bytes
	}
	if err == nil {
		err = allPinned(ref.Checkpoint, pin, folder)
	}
	if err != nil {
		if ref.Checkpoint != nil {
			ref.Close()
		}
		return nil, err
	}
	ref.Verified = true
	return ref, nil
}
