package reference

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	commitA = "0123456789abcdef0123456789abcdef01234567"
	commitB = "89abcdef0123456789abcdef0123456789abcdef"
)

// tensors is a minimal safetensors file with one 2x2 embedding of x.
func tensors(x byte) []byte {
	header := `{"embeddings.word_embeddings.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for range 4 {
		b = append(b, x, 0, 128, 63)
	}
	return b
}

const config = `{"model_type":"bert","vocab_size":2,"hidden_size":2}`

func sha256hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func gitBlob(b []byte) string {
	sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hex.EncodeToString(sum[:])
}

// A fakeHub answers as the hub does: what it stores itself with a git blob's
// ETag, large files with a redirect to a second server, which fails the test if
// it is shown the token.
type fakeHub struct {
	t       *testing.T
	id      string
	commit  string
	token   string // required, if set
	files   map[string][]byte
	lfs     map[string]bool
	extra   []string // listed but not served
	noBlobs bool     // the listing states neither sizes nor digests
	status  func(r *http.Request) (code int, header http.Header)
	body    func(w http.ResponseWriter, r *http.Request, b []byte) bool // true: answered
	etag    func(name, etag string) string

	hub, cdn *httptest.Server
	mu       sync.Mutex
	log      []string
}

func newFakeHub(t *testing.T, id string, files map[string][]byte) *fakeHub {
	h := &fakeHub{t: t, id: id, commit: commitA, files: files, lfs: map[string]bool{}}
	for name := range files {
		if strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".bin") {
			h.lfs[name] = true
		}
	}
	h.hub = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.hub.Close)
	h.cdn = httptest.NewServer(http.HandlerFunc(h.deliver))
	t.Cleanup(h.cdn.Close)
	return h
}

func (h *fakeHub) note(r *http.Request, where string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := where + " " + r.Method + " " + r.URL.Path
	if v := r.Header.Get("Range"); v != "" {
		s += " " + v
	}
	h.log = append(h.log, s)
}

func (h *fakeHub) requests(contains string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.log {
		if strings.Contains(l, contains) {
			n++
		}
	}
	return n
}

func (h *fakeHub) serve(w http.ResponseWriter, r *http.Request) {
	h.note(r, "hub")
	if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
		w.Header().Set("X-Error-Code", "GatedRepo")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if h.status != nil {
		if code, header := h.status(r); code != 0 {
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(code)
			return
		}
	}
	if rev, ok := strings.CutPrefix(r.URL.Path, "/api/models/"+h.id+"/revision/"); ok {
		if rev != "main" && rev != h.commit && rev != "refs/pr/1" {
			w.Header().Set("X-Error-Code", "RevisionNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		var l listing
		l.Commit = h.commit
		for name, b := range h.files {
			s := sibling{Name: name}
			if !h.noBlobs {
				s.Size, s.Blob = int64(len(b)), gitBlob(b)
				if h.lfs[name] {
					s.LFS.SHA256 = sha256hex(b)
				}
			}
			l.Files = append(l.Files, s)
		}
		for _, name := range h.extra {
			l.Files = append(l.Files, sibling{Name: name, Size: 3})
		}
		json.NewEncoder(w).Encode(l)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/"+h.id+"/resolve/"+h.commit+"/")
	b, exists := h.files[name]
	if !ok || !exists {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", h.commit)
	if h.lfs[name] {
		etag := `"` + sha256hex(b) + `"`
		if h.etag != nil {
			etag = h.etag(name, etag)
		}
		w.Header().Set("X-Linked-Etag", etag)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(b)))
		w.Header().Set("Location", h.cdn.URL+"/signed/"+name+"?Signature=secret")
		w.WriteHeader(http.StatusFound)
		return
	}
	etag := `"` + gitBlob(b) + `"`
	if h.etag != nil {
		etag = h.etag(name, etag)
	}
	w.Header().Set("ETag", etag)
	h.content(w, r, b)
}

func (h *fakeHub) deliver(w http.ResponseWriter, r *http.Request) {
	h.note(r, "cdn")
	if r.Header.Get("Authorization") != "" {
		h.t.Errorf("the token was sent to another server: %s", r.URL)
	}
	w.Header().Set("ETag", `"of the delivery network"`)
	h.content(w, r, h.files[strings.TrimPrefix(r.URL.Path, "/signed/")])
}

func (h *fakeHub) content(w http.ResponseWriter, r *http.Request, b []byte) {
	if h.body != nil && r.Method == http.MethodGet && h.body(w, r, b) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
}

// store returns an online store on the fake hub, which never really sleeps.
func (h *fakeHub) store(cache string) *Store {
	return &Store{
		CacheDir: cache, Endpoint: h.hub.URL, Online: true, Token: h.token,
		sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		stall: 5 * time.Second,
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// model writes a small model folder.
func model(t *testing.T, dir string, x byte) string {
	t.Helper()
	write(t, filepath.Join(dir, "config.json"), []byte(config))
	write(t, filepath.Join(dir, "model.safetensors"), tensors(x))
	return dir
}

// cached writes a snapshot the way Hugging Face's tools do.
func cached(t *testing.T, cache, id, commit string, files map[string][]byte, refs ...string) string {
	t.Helper()
	root := filepath.Join(cache, cacheFolder(id))
	snap := filepath.Join(root, "snapshots", commit)
	if err := os.MkdirAll(snap, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		write(t, filepath.Join(root, "blobs", sha256hex(b)), b)
		if err := os.Symlink(filepath.Join("..", "..", "blobs", sha256hex(b)), filepath.Join(snap, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range refs {
		write(t, filepath.Join(root, "refs", r), []byte(commit))
	}
	return snap
}

func modelFiles(x byte) map[string][]byte {
	return map[string][]byte{"config.json": []byte(config), "vocab.txt": []byte("[PAD]\ncf\n"), "model.safetensors": tensors(x)}
}

// tree lists the regular files and links below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
