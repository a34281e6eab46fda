package reference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// big is a safetensors file that takes a few reads.
func big(seed byte) []byte {
	b := tensors(seed)
	return append(b, bytes.Repeat([]byte{seed, 1, 2, 3, 5, 7, 11}, 300_000)...)
}

func TestPull(t *testing.T) {
	files := modelFiles(0)
	files["tokenizer.json"] = []byte(`{"model":{}}`)
	// none of these is wanted
	files["pytorch_model.bin"] = tensors(1)
	files["modeling_evil.py"] = []byte("import os")
	files["README.md"] = []byte("read me")
	files["tf_model.h5"] = []byte("h5")
	files["onnx/model.safetensors"] = tensors(2)
	for _, noBlobs := range []bool{false, true} {
		t.Run(fmt.Sprint("noBlobs=", noBlobs), func(t *testing.T) {
			h := newFakeHub(t, "org/base", files)
			h.token, h.noBlobs = "hf_secret", noBlobs
			h.extra = []string{"../../evil.safetensors", "/etc/passwd", "..", "", "a/../../config.json", "C:\\x", "config.json/../../x", "blobs\x00x", "\x1b[31m"}
			cache := t.TempDir()
			s := h.store(cache)
			var last Progress
			got, err := s.Pull(t.Context(), "org/base", "", func(p Progress) {
				if p.Done < last.Done {
					t.Errorf("progress goes back: %+v, %+v", last, p)
				}
				last = p
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"config.json", "model.safetensors", "tokenizer.json", "vocab.txt"}
			if names := tree(t, got.Path); !slices.Equal(names, want) {
				t.Errorf("snapshot: %v", names)
			}
			total := int64(0)
			for _, n := range want {
				total += int64(len(files[n]))
				b, err := os.ReadFile(filepath.Join(got.Path, n))
				if err != nil || !bytes.Equal(b, files[n]) {
					t.Errorf("%s: %v", n, err)
				}
				if to, err := os.Readlink(filepath.Join(got.Path, n)); err != nil || !strings.HasPrefix(filepath.ToSlash(to), "../../blobs/") {
					t.Errorf("%s: no relative link: %s, %v", n, to, err)
				}
			}
			if last.Done != total || (!noBlobs && last.Total != total) {
				t.Errorf("progress ends at %+v, want %d", last, total)
			}
			if all := tree(t, cache); len(all) != 4+4+1 {
				t.Errorf("cache: %v", all)
			}
			// what was pulled is found without the network
			s.Online = false
			found, err := s.Find(t.Context(), "org/base", "")
			if err != nil || found.Path != got.Path || found.Commit != commitA {
				t.Errorf("%+v, %v", found, err)
			}
			// pulling again fetches no weights, but repairs what is damaged
			s.Online = true
			before := h.requests("cdn GET")
			if _, err := s.Pull(t.Context(), "org/base", "main", nil); err != nil || h.requests("cdn GET") != before {
				t.Errorf("pulled twice: %v", err)
			}
			blob, _ := filepath.EvalSymlinks(filepath.Join(got.Path, "model.safetensors"))
			write(t, blob, tensors(77))
			if _, err := s.Pull(t.Context(), "org/base", "main", nil); err != nil || h.requests("cdn GET") != before+1 {
				t.Errorf("repair: %v", err)
			}
			if b, _ := os.ReadFile(blob); !bytes.Equal(b, tensors(0)) {
				t.Error("not repaired")
			}
		})
	}
}

func TestPullForms(t *testing.T) {
	index := func(names ...string) []byte {
		var parts []string
		for i, n := range names {
			parts = append(parts, fmt.Sprintf("%q:%q", fmt.Sprint("t", i), n))
		}
		return []byte(`{"weight_map":{` + strings.Join(parts, ",") + `}}`)
	}
	tests := []struct {
		name  string
		files map[string][]byte
		want  []string
		err   string
	}{
		{"pytorch", map[string][]byte{"config.json": nil, "pytorch_model.bin": tensors(0), "pytorch_model.bin.index.json": index("x.bin")},
			[]string{"config.json", "pytorch_model.bin"}, ""},
		{"shards", map[string][]byte{
			"model.safetensors.index.json":     index("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"),
			"model-00001-of-00002.safetensors": tensors(0), "model-00002-of-00002.safetensors": tensors(1),
			"model-00003-of-00002.safetensors": tensors(2), "pytorch_model.bin": tensors(3),
		}, []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}, ""},
		{"hostile index", map[string][]byte{"model.safetensors.index.json": index("../../../x.safetensors")}, nil, "names a shard"},
		{"absolute index", map[string][]byte{"model.safetensors.index.json": index("/x.safetensors")}, nil, "names a shard"},
		{"code as a shard", map[string][]byte{"model.safetensors.index.json": index("x.py"), "x.py": nil}, nil, "names a shard"},
		{"shard not listed", map[string][]byte{"model.safetensors.index.json": index("x.safetensors")}, nil, "does not hold"},
		{"index is no JSON", map[string][]byte{"model.safetensors.index.json": []byte("x")}, nil, "malformed index"},
		{"no weights", map[string][]byte{"config.json": nil, "tf_model.h5": nil}, nil, "holds no safetensors"},
		{"empty file", map[string][]byte{"config.json": {}, "model.safetensors": {}}, []string{"config.json", "model.safetensors"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHub(t, "base", tt.files)
			top := t.TempDir()
			s := h.store(filepath.Join(top, "cache"))
			got, err := s.Pull(t.Context(), "base", "", nil)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatal(err)
				}
				if _, err := s.Find(t.Context(), "base", ""); !errors.Is(err, ErrNotFound) {
					t.Errorf("found all the same: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if names := tree(t, got.Path); !slices.Equal(names, tt.want) {
				t.Errorf("%v", names)
			}
		})
	}
}

func TestPullStatuses(t *testing.T) {
	always := func(code int, kv ...string) func(*http.Request) (int, http.Header) {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return func(*http.Request) (int, http.Header) { return code, h }
	}
	tests := []struct {
		name   string
		status func(*http.Request) (int, http.Header)
		token  string
		err    error
		text   string
		hint   string
		calls  int
	}{
		{"404", always(404, "X-Error-Code", "RepoNotFound"), "", ErrNotFound, "404 Not Found", "name", 1},
		{"401 of a stranger", always(401), "", ErrDenied, "401", "HF_TOKEN", 1},
		{"401 for what is not there", always(401, "X-Error-Code", "RepoNotFound"), "", ErrNotFound, "RepoNotFound", "HF_TOKEN", 1},
		{"403 gated", always(403, "X-Error-Code", "GatedRepo", "X-Error-Message", "ask \u202ethe author"), "t", ErrDenied, `ask \u202ethe author`, "gated", 1},
		{"403 with a token", always(403), "t", ErrDenied, "403", "no access", 1},
		{"500 for ever", always(500), "", nil, "gave up after 5", "", 5},
		{"429 for too long", always(429, "Retry-After", "3600"), "", nil, "wait 1h0m0s", "", 1},
		{"redirect without end", func(r *http.Request) (int, http.Header) {
			return 302, http.Header{"Location": {r.URL.Path}}
		}, "", nil, "10 redirects", "", 10},
		{"redirect to a file", always(302, "Location", "file:///etc/passwd"), "", nil, "another protocol", "", 1},
		{"redirect to nowhere", always(302), "", nil, "without saying", "", 1},
		{"teapot", always(418), "", nil, "418", "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHub(t, "org/base", modelFiles(0))
			h.status = tt.status
			s := h.store(t.TempDir())
			s.Token = tt.token
			_, err := s.Pull(t.Context(), "org/base", "", nil)
			if err == nil || (tt.err != nil && !errors.Is(err, tt.err)) || !strings.Contains(err.Error(), tt.text) {
				t.Error(err)
			}
			if strings.ContainsAny(err.Error(), "\x1b\r\n\u202e") {
				t.Errorf("raw control characters: %q", err)
			}
			if !strings.Contains(Hint(err), tt.hint) {
				t.Errorf("hint: %s", Hint(err))
			}
			if n := h.requests("hub"); n != tt.calls {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestPullRetries(t *testing.T) {
	h := newFakeHub(t, "org/base", modelFiles(0))
	var n atomic.Int32
	h.status = func(*http.Request) (int, http.Header) {
		switch n.Add(1) % 3 {
		case 1:
			return 429, http.Header{"Retry-After": {"7"}}
		case 2:
			return 503, nil
		}
		return 0, nil
	}
	s := h.store(t.TempDir())
	var waits []time.Duration
	s.sleep = func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		return nil
	}
	if _, err := s.Pull(t.Context(), "org/base", "", nil); err != nil {
		t.Fatal(err)
	}
	if len(waits) < 2 || waits[0] != 7*time.Second || waits[1] != 2*time.Second {
		t.Errorf("%v", waits)
	}
}

func TestPullToken(t *testing.T) {
	t.Run("from a file", func(t *testing.T) {
		h := newFakeHub(t, "org/base", modelFiles(0))
		h.token = "from-file"
		s := h.store(t.TempDir())
		s.Token, s.TokenFile = "", filepath.Join(t.TempDir(), "token")
		write(t, s.TokenFile, []byte("from-file\n"))
		if _, err := s.Pull(t.Context(), "org/base", "", nil); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("hostile", func(t *testing.T) {
		h := newFakeHub(t, "org/base", modelFiles(0))
		s := h.store(t.TempDir())
		s.Token = "a\r\nX-Evil: 1"
		if _, err := s.Pull(t.Context(), "org/base", "", nil); err == nil || strings.Contains(err.Error(), "Evil") {
			t.Fatal(err)
		}
	})
	t.Run("not to another server, not even for the listing", func(t *testing.T) {
		h := newFakeHub(t, "org/base", modelFiles(0))
		h.status = func(r *http.Request) (int, http.Header) {
			return 307, http.Header{"Location": {h.cdn.URL + r.URL.Path}}
		}
		s := h.store(t.TempDir())
		s.Token = "secret"
		if _, err := s.Pull(t.Context(), "org/base", "", nil); err == nil {
			t.Fatal("no error")
		}
		if h.requests("cdn") == 0 {
			t.Error("the redirect was not followed")
		}
	})
	t.Run("only in the open to this machine", func(t *testing.T) {
		var got []string
		s := &Store{Online: true, CacheDir: t.TempDir(), Endpoint: "http://mirror.example", Token: "secret"}
		s.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			got = append(got, r.Header.Get("Authorization"))
			return &http.Response{StatusCode: 401, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})
		_, err := s.Pull(t.Context(), "org/base", "", nil)
		if !errors.Is(err, ErrDenied) || !strings.Contains(Hint(err), "not https") || !slices.Equal(got, []string{""}) {
			t.Errorf("%v (%s) %q", err, Hint(err), got)
		}
	})
	t.Run("no downgrade", func(t *testing.T) {
		s := &Store{Online: true, CacheDir: t.TempDir(), Endpoint: "https://mirror.example", Token: "secret"}
		s.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Scheme != "https" || r.Header.Get("Authorization") != "Bearer secret" {
				t.Errorf("%s %q", r.URL, r.Header)
			}
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"http://mirror.example/x"}}, Body: http.NoBody, Request: r}, nil
		})
		if _, err := s.Pull(t.Context(), "org/base", "", nil); err == nil || !strings.Contains(err.Error(), "another protocol") {
			t.Error(err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPullRefusesRequests(t *testing.T) {
	s := &Store{CacheDir: t.TempDir(), Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("a request: %s", r.URL)
		return nil, errors.New("no")
	})}
	_, err := s.Pull(t.Context(), "org/base", "", nil)
	if !errors.Is(err, ErrOffline) || !strings.Contains(Hint(err), "--online") {
		t.Error(err)
	}
	if _, err := s.Resolve(t.Context(), "org/base", nil); !errors.Is(err, ErrOffline) {
		t.Error(err)
	}
	s.Online = true
	for _, id := range []string{"", "../x", "a/b/c", "a?b", "a#b", "a/..", "http://x"} {
		if _, err := s.Pull(t.Context(), id, "", nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := s.Pull(t.Context(), "org/base", "../../x", nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for _, e := range []string{"ftp://x", "x", "https://", "https://u:p@x", "https://x?a=b", "::"} {
		s.Endpoint = e
		if _, err := s.Pull(t.Context(), "org/base", "", nil); err == nil || !strings.Contains(err.Error(), "endpoint") {
			t.Errorf("%q: %v", e, err)
		}
	}
	s.CacheDir = ""
	if _, err := s.Pull(t.Context(), "org/base", "", nil); err == nil {
		t.Error("no cache folder")
	}
}

func TestPullBodies(t *testing.T) {
	content := big(0)
	weights := func(w http.ResponseWriter, r *http.Request, b []byte) bool { return len(b) == len(content) }
	chunked := func(w http.ResponseWriter, b []byte) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush() // no Content-Length
		w.Write(b)
	}
	tests := []struct {
		name   string
		body   func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool // for the weights; n-th request
		err    error
		text   string
		resume bool // a later request asks for the rest
	}{
		{"truncated, then resumed", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			w.Write(b[:len(b)/2])
			return true
		}, nil, "", true},
		{"truncated without a length", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			if n > 1 {
				return false
			}
			chunked(w, b[:len(b)/3])
			return true
		}, nil, "", true},
		{"resume is not supported", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			if n == 1 {
				chunked(w, b[:len(b)/3])
			} else {
				w.Write(b)
			}
			return true
		}, nil, "", true},
		{"resume is refused", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			switch n {
			case 1:
				chunked(w, b[:len(b)/3])
				return true
			case 2:
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return true
			}
			return false
		}, nil, "", true},
		{"another range than asked for", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			if n == 1 {
				chunked(w, b[:len(b)/3])
				return true
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(b)
			return true
		}, ErrCorrupt, "asked for", true},
		{"a part nobody asked for", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, nil, "answers 206", false},
		{"wrong bytes", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			w.Write(big(1))
			return true
		}, ErrCorrupt, "digest", false},
		{"more than stated", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			chunked(w, append(slices.Clone(b), 1))
			return true
		}, ErrCorrupt, "more than", false},
		{"another length than stated", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)+1))
			w.Write(append(slices.Clone(b), 1))
			return true
		}, ErrCorrupt, "were announced", false},
		{"always cut short", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			return true
		}, nil, "gave up", false},
		{"the signed address ran out once", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			if n == 1 {
				w.WriteHeader(http.StatusForbidden)
			}
			return n == 1
		}, nil, "", false},
		{"stalls once", func(w http.ResponseWriter, r *http.Request, b []byte, n int) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			w.Write(b[:len(b)/2])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, nil, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHub(t, "org/base", map[string][]byte{"config.json": []byte(config), "model.safetensors": content})
			var n atomic.Int32
			h.body = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
				return weights(w, r, b) && tt.body(w, r, b, int(n.Add(1)))
			}
			cache := t.TempDir()
			s := h.store(cache)
			s.stall = 300 * time.Millisecond
			got, err := s.Pull(t.Context(), "org/base", "", nil)
			if tt.err == nil && tt.text == "" {
				if err != nil {
					t.Fatal(err)
				}
				if b, err := os.ReadFile(filepath.Join(got.Path, "model.safetensors")); err != nil || !bytes.Equal(b, content) {
					t.Error("wrong bytes", err)
				}
			} else {
				if err == nil || (tt.err != nil && !errors.Is(err, tt.err)) || !strings.Contains(err.Error(), tt.text) {
					t.Error(err)
				}
				if strings.Contains(fmt.Sprint(err), "secret") {
					t.Errorf("a signed address in a message: %v", err)
				}
				if _, err := s.Find(t.Context(), "org/base", ""); !errors.Is(err, ErrNotFound) {
					t.Errorf("found all the same: %v", err)
				}
			}
			for _, f := range tree(t, cache) {
				if errors.Is(err, ErrCorrupt) && strings.HasSuffix(f, partialSuffix) || strings.HasSuffix(f, ".tmp") {
					t.Errorf("left behind: %s", f)
				}
			}
			if resumed := h.requests("bytes=") > 0; resumed != tt.resume {
				t.Errorf("resumed: %v\n%s", resumed, strings.Join(h.log, "\n"))
			}
		})
	}
}

func TestPullMetadata(t *testing.T) {
	tests := []struct {
		name string
		etag func(name, etag string) string
		err  string
	}{
		{"weak", func(_, e string) string { return "W/" + e }, ""},
		{"unquoted", func(_, e string) string { return strings.Trim(e, `"`) }, ""},
		{"none, but listed", func(_, e string) string { return "" }, ""},
		{"another than listed", func(_, e string) string { return `"` + strings.Repeat("0", len(e)-2) + `"` }, "serves it with"},
		{"path", func(_, e string) string { return `"../../x"` }, "serves it with"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHub(t, "org/base", modelFiles(0))
			h.etag = tt.etag
			_, err := h.store(t.TempDir()).Pull(t.Context(), "org/base", "", nil)
			if (tt.err == "") != (err == nil) || (err != nil && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tt.err))) {
				t.Error(err)
			}
		})
	}
	t.Run("unlisted path", func(t *testing.T) {
		h := newFakeHub(t, "org/base", modelFiles(0))
		h.noBlobs = true
		h.etag = func(_, e string) string { return `"../../../../evil"` }
		if _, err := h.store(t.TempDir()).Pull(t.Context(), "org/base", "", nil); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "neither") {
			t.Error(err)
		}
	})
	t.Run("another commit", func(t *testing.T) {
		h := newFakeHub(t, "org/base", modelFiles(0))
		if _, err := h.store(t.TempDir()).Pull(t.Context(), "org/base", commitB, nil); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		h.commit = "main"
		if _, err := h.store(t.TempDir()).Pull(t.Context(), "org/base", "", nil); err == nil || !strings.Contains(err.Error(), "no commit") {
			t.Error(err)
		}
	})
	t.Run("renamed repository", func(t *testing.T) {
		h := newFakeHub(t, "google-bert/bert-base-uncased", modelFiles(0))
		h.status = func(r *http.Request) (int, http.Header) {
			if strings.HasPrefix(r.URL.Path, "/google-bert/") || strings.Contains(r.URL.Path, "models/google-bert/") {
				return 0, nil
			}
			to := strings.Replace(r.URL.Path, "bert-base-uncased", "google-bert/bert-base-uncased", 1)
			return 307, http.Header{"Location": {to}}
		}
		s := h.store(t.TempDir())
		s.Token = "t"
		if _, err := s.Pull(t.Context(), "bert-base-uncased", "", nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("revision with slashes", func(t *testing.T) {
		h := newFakeHub(t, "org/base", modelFiles(0))
		s := h.store(t.TempDir())
		got, err := s.Pull(t.Context(), "org/base", "refs/pr/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := s.Find(t.Context(), "org/base", "refs/pr/1"); err != nil || found.Path != got.Path {
			t.Errorf("%+v, %v", found, err)
		}
	})
	t.Run("limit", func(t *testing.T) {
		h := newFakeHub(t, "org/base", modelFiles(0))
		s := h.store(t.TempDir())
		s.MaxBytes = 100
		if _, err := s.Pull(t.Context(), "org/base", "", nil); err == nil || !strings.Contains(err.Error(), "the limit is") {
			t.Error(err)
		}
	})
}

func TestPullCancelledThenResumed(t *testing.T) {
	content := big(0)
	h := newFakeHub(t, "org/base", map[string][]byte{"model.safetensors": content})
	var first atomic.Bool
	first.Store(true)
	h.body = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
		if !first.Swap(false) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	cache := t.TempDir()
	s := h.store(cache)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Pull(ctx, "org/base", "", func(p Progress) {
		if p.Done >= int64(len(content)/2) {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	blob := filepath.Join(cache, cacheFolder("org/base"), "blobs", sha256hex(content))
	if info, err := os.Stat(blob + partialSuffix); err != nil || info.Size() != int64(len(content)/2) {
		t.Fatal(info, err)
	}
	if _, err := s.Pull(t.Context(), "org/base", "", nil); err != nil {
		t.Fatal(err)
	}
	if n := h.requests(fmt.Sprintf("cdn GET /signed/model.safetensors bytes=%d-", len(content)/2)); n != 1 {
		t.Errorf("not resumed: %s", strings.Join(h.log, "\n"))
	}
	if b, err := os.ReadFile(blob); err != nil || !bytes.Equal(b, content) {
		t.Error("wrong bytes", err)
	}
	if left, _ := filepath.Glob(blob + "*incomplete"); len(left) != 0 {
		t.Error(left)
	}
}

func TestPullPartialFiles(t *testing.T) {
	content := big(0)
	tests := []struct {
		name    string
		partial []byte
		suffix  string
		age     time.Duration
		resumed bool
		stays   bool
	}{
		{"good", content[:1000], partialSuffix, 0, true, false},
		{"complete", content, partialSuffix, 0, false, false},
		{"poisoned", bytes.Repeat([]byte{9}, 1000), partialSuffix, 0, true, false},
		{"poisoned and complete", big(3), partialSuffix, 0, false, false},
		{"too long", append(slices.Clone(content), 1), partialSuffix, 0, false, false},
		{"of a dead process", content[:1000], ".AAAAAAAAAA" + partialSuffix, time.Hour, true, false},
		{"of a live process", content[:1000], ".AAAAAAAAAA" + partialSuffix, 0, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHub(t, "org/base", map[string][]byte{"model.safetensors": content})
			cache := t.TempDir()
			blob := filepath.Join(cache, cacheFolder("org/base"), "blobs", sha256hex(content))
			write(t, blob+tt.suffix, tt.partial)
			then := time.Now().Add(-tt.age)
			if err := os.Chtimes(blob+tt.suffix, then, then); err != nil {
				t.Fatal(err)
			}
			if _, err := h.store(cache).Pull(t.Context(), "org/base", "", nil); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(blob); err != nil || !bytes.Equal(b, content) {
				t.Error("wrong bytes", err)
			}
			if resumed := h.requests("bytes=") > 0; resumed != tt.resumed {
				t.Errorf("resumed: %v", resumed)
			}
			if left, _ := filepath.Glob(blob + "*incomplete"); (len(left) != 0) != tt.stays {
				t.Error(left)
			}
		})
	}
}

func TestPullConcurrently(t *testing.T) {
	content := big(0)
	h := newFakeHub(t, "org/base", map[string][]byte{"config.json": []byte(config), "model.safetensors": content})
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			got, err := h.store(cache).Pull(t.Context(), "org/base", "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(got.Path, "model.safetensors")); err != nil || !bytes.Equal(b, content) {
				t.Error("wrong bytes", err)
			}
		})
	}
	wg.Wait()
	if all := tree(t, cache); len(all) != 5 {
		t.Errorf("%v", all)
	}
}

func TestPullPlantedLinks(t *testing.T) {
	for _, name := range []string{"blobs", "snapshots", "refs", "snapshots/" + commitA} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t, "org/base", modelFiles(0))
			cache, outside := t.TempDir(), t.TempDir()
			at := filepath.Join(cache, cacheFolder("org/base"), filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			link(t, outside, at)
			if _, err := h.store(cache).Pull(t.Context(), "org/base", "", nil); err == nil {
				t.Error("no error")
			}
			if files := tree(t, outside); len(files) != 0 {
				t.Errorf("written outside: %v", files)
			}
		})
	}
}

func TestPullWithoutSymlinks(t *testing.T) {
	h := newFakeHub(t, "org/base", modelFiles(0))
	s := h.store(t.TempDir())
	s.symlink = func(*os.Root, string, string) error { return errors.New("no symlinks here") }
	for range 2 {
		got, err := s.Pull(t.Context(), "org/base", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(filepath.Join(got.Path, "model.safetensors"))
		if err != nil || !info.Mode().IsRegular() {
			t.Fatal(info, err)
		}
	}
}

func TestResolvePulls(t *testing.T) {
	h := newFakeHub(t, "org/base", modelFiles(0))
	s := h.store(t.TempDir())
	s.LockFile = filepath.Join(t.TempDir(), "lock")
	got, err := s.Resolve(t.Context(), "org/base", nil)
	if err != nil || !strings.Contains(got.How, "downloaded from") {
		t.Fatal(got, err)
	}
	if _, err := s.Pin(t.Context(), got, PinOptions{}); err != nil {
		t.Fatal(err)
	}
	// What is here is not asked for again, and another machine with the same
	// lock file asks for the pinned commit, not for main.
	n := h.requests("")
	if _, err := s.Resolve(t.Context(), "org/base", nil); err != nil || h.requests("") != n {
		t.Fatal(err)
	}
	s.CacheDir = t.TempDir()
	ref, err := s.Open(t.Context(), "org/base", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	if !ref.Verified || h.requests("revision/"+commitA) != 1 {
		t.Errorf("%+v\n%s", ref, strings.Join(h.log, "\n"))
	}
	// and a hub that serves other bytes under the name is noticed
	h.files, h.commit = modelFiles(66), commitA
	s.CacheDir = t.TempDir()
	if _, err := s.Open(t.Context(), "org/base", OpenOptions{}); !errors.Is(err, ErrPinMismatch) {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "x": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %s", v, got)
		}
	}
}
