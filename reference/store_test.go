package reference

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFromEnv(t *testing.T) {
	p := filepath.FromSlash
	tests := []struct {
		env                    map[string]string
		cache, token, endpoint string
		tokenFile              string
	}{
		{map[string]string{}, "", "", "", ""},
		{map[string]string{"HOME": "/h"}, "/h/.cache/huggingface/hub", "", "", "/h/.cache/huggingface/token"},
		{map[string]string{"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub", "", "", "/x/huggingface/token"},
		{map[string]string{"HOME": "/h", "HF_HOME": "~/hf"}, "/h/hf/hub", "", "", "/h/hf/token"},
		{map[string]string{"HF_HOME": "/f", "HF_HUB_CACHE": "/c", "HF_TOKEN": " t\n", "HF_ENDPOINT": "https://m"}, "/c", "t", "https://m", "/f/token"},
		{map[string]string{"HF_TOKEN_PATH": "/tok"}, "", "", "", "/tok"},
	}
	for _, tt := range tests {
		s := FromEnv(func(k string) string { return tt.env[k] })
		if s.CacheDir != p(tt.cache) || s.Token != tt.token || s.Endpoint != tt.endpoint || s.TokenFile != p(tt.tokenFile) || s.Online {
			t.Errorf("%v: %+v", tt.env, s)
		}
	}
}

func TestFindInDirs(t *testing.T) {
	const id = "google-bert/bert-base-uncased"
	for _, layout := range []string{
		"google-bert/bert-base-uncased", "google-bert--bert-base-uncased", "bert-base-uncased",
	} {
		t.Run(layout, func(t *testing.T) {
			dir := t.TempDir()
			want := model(t, filepath.Join(dir, filepath.FromSlash(layout)), 0)
			s := Store{Dirs: []string{filepath.Join(dir, "none"), dir}}
			for _, id := range []string{id, "bert-base-uncased"} {
				got, err := s.Find(t.Context(), id, "")
				if err != nil || filepath.Clean(got.Path) != want || got.How != "--reference-dir "+dir {
					t.Errorf("%s: %+v, %v", id, got, err)
				}
			}
			if _, err := s.Find(t.Context(), id, "v1"); !errors.Is(err, ErrNotFound) {
				t.Errorf("a revision of a plain folder: %v", err)
			}
			if _, err := s.Find(t.Context(), "bert-base-cased", ""); !errors.Is(err, ErrNotFound) {
				t.Errorf("another model: %v", err)
			}
			// the folder itself is the model
			s = Store{Dirs: []string{want}}
			if got, err := s.Find(t.Context(), id, ""); err != nil || got.Path != want {
				t.Errorf("itself: %+v, %v", got, err)
			}
		})
	}
	t.Run("cache layout", func(t *testing.T) {
		dir := t.TempDir()
		snap := cached(t, dir, id, commitA, modelFiles(0), "main")
		for _, d := range []string{dir, filepath.Join(dir, cacheFolder(id))} {
			got, err := (&Store{Dirs: []string{d}}).Find(t.Context(), id, "")
			if err != nil || got.Path != snap || got.Commit != commitA {
				t.Errorf("%+v, %v", got, err)
			}
		}
	})
	t.Run("no weights", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "gpt2", "config.json"), []byte(config))
		_, err := (&Store{Dirs: []string{dir}}).Find(t.Context(), "gpt2", "")
		if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no weights") {
			t.Error(err)
		}
	})
}

func TestFindInCache(t *testing.T) {
	const id = "org/base"
	other := modelFiles(9)
	bare := map[string][]byte{"config.json": []byte(config)}
	tests := []struct {
		name     string
		build    func(t *testing.T, cache string)
		revision string
		commit   string // "" for ErrNotFound
		how      string
	}{
		{"main", func(t *testing.T, c string) { cached(t, c, id, commitA, modelFiles(0), "main") }, "", commitA, "revision main (0123456789ab)"},
		{"main of two", func(t *testing.T, c string) {
			cached(t, c, id, commitA, modelFiles(0), "main")
			cached(t, c, id, commitB, other, "v1")
		}, "", commitA, "revision main"},
		{"tag", func(t *testing.T, c string) {
			cached(t, c, id, commitA, modelFiles(0), "main")
			cached(t, c, id, commitB, other, "v1")
		}, "v1", commitB, "revision v1"},
		{"ref with slashes", func(t *testing.T, c string) { cached(t, c, id, commitA, modelFiles(0), "refs/pr/1") }, "refs/pr/1", commitA, "revision refs/pr/1"},
		{"commit", func(t *testing.T, c string) { cached(t, c, id, commitB, modelFiles(0)) }, commitB, commitB, "commit 89abcdef0123"},
		{"only one", func(t *testing.T, c string) { cached(t, c, id, commitB, modelFiles(0)) }, "", commitB, "the only complete snapshot"},
		{"main is bare", func(t *testing.T, c string) {
			cached(t, c, id, commitA, bare, "main")
			cached(t, c, id, commitB, other)
		}, "", commitB, "the only complete snapshot"},
		{"two and no main", func(t *testing.T, c string) {
			cached(t, c, id, commitA, modelFiles(0))
			cached(t, c, id, commitB, other)
		}, "", "", "2 snapshots"},
		{"named revision is missing", func(t *testing.T, c string) { cached(t, c, id, commitA, modelFiles(0), "main") }, "v1", "", "no revision"},
		{"unknown commit", func(t *testing.T, c string) { cached(t, c, id, commitA, modelFiles(0), "main") }, commitB, "", "no snapshot"},
		{"bare", func(t *testing.T, c string) { cached(t, c, id, commitA, bare, "main") }, "", "", "no weights"},
		{"hostile ref", func(t *testing.T, c string) {
			write(t, filepath.Join(c, cacheFolder(id), "refs", "main"), []byte("../../../elsewhere"))
		}, "", "", "no commit"},
		{"hostile revision", func(t *testing.T, c string) { cached(t, c, id, commitA, modelFiles(0), "main") }, "../main", "", "no revision"},
		{"shard missing", func(t *testing.T, c string) {
			cached(t, c, id, commitA, map[string][]byte{
				"model.safetensors.index.json":     []byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`),
				"model-00001-of-00002.safetensors": tensors(0),
			}, "main")
		}, "", "", "model-00002-of-00002.safetensors\" is missing"},
		{"hostile index", func(t *testing.T, c string) {
			cached(t, c, id, commitA, map[string][]byte{
				"model.safetensors.index.json": []byte(`{"weight_map":{"a":"../../../x.safetensors"}}`),
			}, "main")
		}, "", "", "names a shard"},
		{"not there", func(*testing.T, string) {}, "", "", "looked in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cache := t.TempDir()
			tt.build(t, cache)
			got, err := (&Store{CacheDir: cache}).Find(t.Context(), id, tt.revision)
			if tt.commit == "" {
				if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), tt.how) {
					t.Fatalf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || got.Commit != tt.commit || !strings.Contains(got.How, tt.how) || got.ID != id {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
}

func TestCacheEscape(t *testing.T) {
	const id = "org/base"
	outside := model(t, t.TempDir(), 7)
	tests := map[string]func(t *testing.T, cache string){
		"file": func(t *testing.T, cache string) {
			snap := cached(t, cache, id, commitA, map[string][]byte{"config.json": []byte(config)}, "main")
			link(t, filepath.Join(outside, "model.safetensors"), filepath.Join(snap, "model.safetensors"))
		},
		"unknown file": func(t *testing.T, cache string) {
			snap := cached(t, cache, id, commitA, modelFiles(0), "main")
			link(t, filepath.Join(outside, "model.safetensors"), filepath.Join(snap, "zz.safetensors"))
		},
		"blob": func(t *testing.T, cache string) {
			snap := cached(t, cache, id, commitA, modelFiles(0), "main")
			blob, err := filepath.EvalSymlinks(filepath.Join(snap, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(blob)
			link(t, filepath.Join(outside, "model.safetensors"), blob)
		},
		"snapshot": func(t *testing.T, cache string) {
			snap := cached(t, cache, id, commitA, nil, "main")
			os.Remove(snap)
			link(t, outside, snap)
		},
		"another model": func(t *testing.T, cache string) {
			cached(t, cache, "org/evil", commitA, modelFiles(9), "main")
			snap := cached(t, cache, id, commitA, nil, "main")
			link(t, filepath.Join("..", "..", "..", cacheFolder("org/evil"), "blobs", sha256hex(tensors(9))), filepath.Join(snap, "model.safetensors"))
		},
	}
	for name, build := range tests {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			build(t, cache)
			if got, err := (&Store{CacheDir: cache}).Find(t.Context(), id, ""); !errors.Is(err, ErrUnsafeCache) {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestResolve(t *testing.T) {
	cache := t.TempDir()
	snap := cached(t, cache, "org/base", commitA, modelFiles(0), "main")
	cached(t, cache, "org/base", commitB, modelFiles(1), "v1")
	dir := model(t, filepath.Join(t.TempDir(), "m"), 0)
	s := Store{CacheDir: cache}
	for arg, want := range map[string]string{
		dir:                                     dir,
		filepath.Join(dir, "model.safetensors"): filepath.Join(dir, "model.safetensors"),
		"org/base":                              snap,
		"org/base@" + commitB:                   filepath.Join(filepath.Dir(snap), commitB),
		"org/base@v1":                           filepath.Join(filepath.Dir(snap), commitB),
		filepath.Join(cache, cacheFolder("org/base")): snap,
	} {
		if got, err := s.Resolve(t.Context(), arg, nil); err != nil || got.Path != want || got.How == "" {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
	}
	t.Chdir(t.TempDir())
	model(t, filepath.Join("org", "base"), 3)
	if got, err := s.Resolve(t.Context(), "org/base", nil); err != nil || got.Path != "org/base" {
		t.Errorf("an existing path does not win: %+v, %v", got, err)
	}
	for _, arg := range []string{"", "./nothing", "/nonexistent/x", "a/b/c", "org/base@", "org/base@../x", "a..b"} {
		if _, err := s.Resolve(t.Context(), arg, nil); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrOffline) {
			t.Errorf("%q: %v", arg, err)
		}
	}
	_, err := s.Resolve(t.Context(), "org/other", nil)
	if !errors.Is(err, ErrOffline) || !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), cache) ||
		!strings.Contains(Hint(err), "--online") || !strings.Contains(Hint(err), "btu-scan reference pull org/other") {
		t.Errorf("%v (%s)", err, Hint(err))
	}
}

func TestOpenCandidates(t *testing.T) {
	top := t.TempDir()
	cache := filepath.Join(top, "cache")
	cached(t, cache, "org/base", commitA, modelFiles(0), "main")
	base := model(t, filepath.Join(top, "base"), 0)
	ck := model(t, filepath.Join(top, "ck"), 1)
	broken := filepath.Join(top, "broken")
	write(t, filepath.Join(broken, "config.json"), []byte(config))
	write(t, filepath.Join(broken, "model.safetensors"), []byte("no tensors"))
	self := cached(t, cache, "org/self", commitA, modelFiles(5), "main")

	s := Store{CacheDir: cache}
	tests := []struct {
		name  string
		dir   string
		ids   []string
		wants string // evidence, or "" for an error
		err   error
	}{
		{"id", ck, []string{"org/base"}, "e0", nil},
		{"path", ck, []string{"../base"}, "e0", nil},
		{"second", ck, []string{"org/none", "./gone", "org/base"}, "e2", nil},
		{"none", ck, []string{"org/none", "./gone"}, "", ErrOffline},
		{"nothing named", ck, nil, "", ErrNotFound},
		{"itself", self, []string{"org/self"}, "", ErrSelf},
		{"itself, then another", self, []string{"org/self", "org/base"}, "e1", nil},
		{"a damaged one ends the search", ck, []string{"../broken", "org/base"}, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var named []Candidate
			for i, id := range tt.ids {
				named = append(named, Candidate{ID: id, Evidence: "e" + string(rune('0'+i))})
			}
			ref, err := s.openFirst(t.Context(), judge(named, tt.dir, nil), OpenOptions{})
			if tt.wants == "" {
				if err == nil || (tt.err != nil && !errors.Is(err, tt.err)) {
					t.Fatal(ref, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer ref.Close()
			if ref.Evidence != tt.wants || ref.Verified || ref.Found.How == "" {
				t.Errorf("%+v", ref)
			}
		})
	}
	_ = base
}

func TestSelfByFile(t *testing.T) {
	// The same file under another name is still the checkpoint itself.
	top := t.TempDir()
	ck := model(t, filepath.Join(top, "ck"), 1)
	twin := filepath.Join(top, "twin")
	write(t, filepath.Join(twin, "config.json"), []byte(config))
	if err := os.Link(filepath.Join(ck, "model.safetensors"), filepath.Join(twin, "model.safetensors")); err != nil {
		t.Skip(err)
	}
	c := judge([]Candidate{{ID: "../twin"}}, ck, []string{filepath.Join(ck, "model.safetensors")})
	if _, err := (&Store{}).openFirst(t.Context(), c, OpenOptions{}); !errors.Is(err, ErrSelf) {
		t.Error(err)
	}
}

func TestOpenPath(t *testing.T) {
	dir := model(t, t.TempDir(), 0)
	ref, err := (&Store{}).Open(t.Context(), dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	if ref.Verified || ref.Evidence != "named by the user" {
		t.Errorf("%+v", ref)
	}
	if _, err := (&Store{}).Open(t.Context(), filepath.Join(dir, "gone"), OpenOptions{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	_, err = os.Stat(filepath.Join(dir, "btu-scan.lock"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("opening wrote a lock file")
	}
}
