package reference

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// packOf exports id from a store.
func packOf(t *testing.T, s *Store, id, revision string, opt ExportOptions) ([]byte, Pack) {
	t.Helper()
	var b bytes.Buffer
	p, err := s.Export(t.Context(), id, revision, &b, opt)
	if err != nil {
		t.Fatal(err)
	}
	if p.SHA256 != sha256hex(b.Bytes()) || p.Size != int64(b.Len()) {
		t.Errorf("the pack has %d bytes, %s; told: %+v", b.Len(), sha256hex(b.Bytes()), p)
	}
	return b.Bytes(), p
}

// packed is a small pack of org/base.
func packed(t testing.TB, dir string) []byte {
	t.Helper()
	for name, b := range modelFiles(1) {
		write(t, filepath.Join(dir, "org", "base", name), b)
	}
	var b bytes.Buffer
	s := &Store{Dirs: []string{dir}}
	if _, err := s.Export(context.Background(), "org/base", "", &b, ExportOptions{Commit: commitA}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func shardedFiles() map[string][]byte {
	return map[string][]byte{
		"config.json":                  []byte(config),
		"model.safetensors.index.json": []byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`),
		// of sizes that need padding, and one of a whole number of blocks
		"model-00001-of-00002.safetensors": big(1),
		"model-00002-of-00002.safetensors": make([]byte, 2*packBlock),
	}
}

func TestExportThenImport(t *testing.T) {
	unwanted := map[string][]byte{"modeling.py": []byte("import os"), "README.md": []byte("x"), "pytorch_model.bin": tensors(9), "tf_model.h5": []byte("h5"), "training_args.bin": []byte("x")}
	for _, files := range []map[string][]byte{modelFiles(1), shardedFiles()} {
		all := map[string][]byte{}
		for _, m := range []map[string][]byte{files, unwanted} {
			for name, b := range m {
				all[name] = b
			}
		}
		source := t.TempDir()
		cached(t, source, "org/base", commitA, all, "main")
		s := &Store{CacheDir: source}
		pack, told := packOf(t, s, "org/base", "", ExportOptions{})
		if told.Commit != commitA || told.Revision != "main" {
			t.Errorf("told %+v", told)
		}

		// It holds what Pull fetches.
		pulled := t.TempDir()
		if _, err := newFakeHub(t, "org/base", all).store(pulled).Pull(t.Context(), "org/base", "", nil); err != nil {
			t.Fatal(err)
		}
		if again, _ := packOf(t, &Store{CacheDir: pulled}, "org/base", "", ExportOptions{}); !bytes.Equal(again, pack) {
			t.Error("an export of what was pulled differs")
		}

		// Any tar reads it: the manifest, then the files, sorted.
		var names []string
		r := tar.NewReader(bytes.NewReader(pack))
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 || h.Mode != 0o644 {
				t.Errorf("%s says something about its maker: %+v", h.Name, h)
			}
			if names = append(names, h.Name); len(names) > 1 && !bytes.Equal(b, files[h.Name]) {
				t.Errorf("%s differs", h.Name)
			}
		}
		if names[0] != packManifest || len(names) != len(files)+1 || !slices.IsSorted(names[1:]) {
			t.Errorf("members %v", names)
		}

		cache := filepath.Join(t.TempDir(), "hf", "hub") // not there yet
		to := &Store{CacheDir: cache, LockFile: filepath.Join(t.TempDir(), "lock")}
		for _, there := range []bool{false, true} {
			var last Progress
			got, err := to.Import(t.Context(), bytes.NewReader(pack), ImportOptions{SHA256: told.SHA256, Pin: true, Progress: func(p Progress) { last = p }})
			if err != nil {
				t.Fatal(err)
			}
			if got.There != there || got.Pack.SHA256 != told.SHA256 || got.Pack.Size != told.Size || last.Done != last.Total {
				t.Errorf("imported %+v, progress %+v", got, last)
			}
			found, err := to.Find(t.Context(), "org/base", "")
			if err != nil || found.Path != got.Found.Path || found.Commit != commitA {
				t.Errorf("found %+v, %v; imported to %s", found, err, got.Found.Path)
			}
			if have := tree(t, got.Found.Path); len(have) != len(files) {
				t.Errorf("files %v", have)
			}
			if have := tree(t, cache); len(have) != len(files)+1 { // and the ref
				t.Errorf("cache %v", have)
			}
			pins, err := to.Pins()
			if err != nil || len(pins) != 1 || Verify(t.Context(), pins[0], found.Path, nil) != nil {
				t.Errorf("pins %+v, %v", pins, err)
			}
		}
		// The copy gives the same pack as the original, pinned or not.
		if again, _ := packOf(t, to, "org/base", "", ExportOptions{}); !bytes.Equal(again, pack) {
			t.Error("two exports of the same files differ")
		}
	}
}

// What a plain folder cannot say, its user or its pin says; the bytes are those
// of an export from a cache.
func TestExportFromFolder(t *testing.T) {
	cache, dir := t.TempDir(), t.TempDir()
	cached(t, cache, "org/base", commitA, modelFiles(1), "main")
	want, _ := packOf(t, &Store{CacheDir: cache}, "org/base", "", ExportOptions{})
	for name, b := range modelFiles(1) {
		write(t, filepath.Join(dir, "org", "base", name), b)
	}
	s := &Store{Dirs: []string{dir}, LockFile: filepath.Join(t.TempDir(), "lock")}
	if _, err := s.Export(t.Context(), "org/base", "", io.Discard, ExportOptions{}); err == nil || !strings.Contains(Hint(err), "--commit") {
		t.Errorf("without a commit: %v", err)
	}
	if got, _ := packOf(t, s, "org/base", "", ExportOptions{Commit: commitA}); !bytes.Equal(got, want) {
		t.Error("with a commit: other bytes")
	}
	if _, err := s.Pin(t.Context(), Found{ID: "org/base", Path: filepath.Join(dir, "org", "base"), Commit: commitA}, PinOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := packOf(t, s, "org/base", "", ExportOptions{}); !bytes.Equal(got, want) {
		t.Error("with a pin: other bytes")
	}
	if _, err := s.Export(t.Context(), "org/base", "", io.Discard, ExportOptions{Commit: commitB}); err == nil {
		t.Error("a commit that is not the pin's was taken")
	}
	// A pin of both forms of the weights is one that no pack satisfies.
	folder := filepath.Join(dir, "org", "base")
	write(t, filepath.Join(folder, "pytorch_model.bin"), tensors(1))
	if _, err := s.Pin(t.Context(), Found{ID: "org/base", Path: folder, Commit: commitA}, PinOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Export(t.Context(), "org/base", "", io.Discard, ExportOptions{}); err == nil || !strings.Contains(err.Error(), "pytorch_model.bin\", which a pack does not carry") {
		t.Errorf("two forms pinned: %v", err)
	}
	write(t, filepath.Join(dir, "org", "base", "model.safetensors"), tensors(2))
	if _, err := s.Export(t.Context(), "org/base", "", io.Discard, ExportOptions{}); !errors.Is(err, ErrPinMismatch) {
		t.Errorf("tampered: %v", err)
	}
}

func TestExportFails(t *testing.T) {
	cache := t.TempDir()
	cached(t, cache, "org/base", commitA, modelFiles(1), "main", "v1")
	cached(t, cache, "org/odd", commitA, map[string][]byte{"config.json": []byte(config), "weights.bin": tensors(1)}, "main")
	s := &Store{CacheDir: cache, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("the network is used: %s", r.URL)
		return nil, errAny
	})}
	for _, c := range []struct {
		id, revision string
		opt          ExportOptions
		want         error
	}{
		{id: "org/none", want: ErrOffline},
		{id: "../base", want: ErrNotFound},
		{id: "org/base", revision: "v2", want: ErrOffline},
		{id: "org/base", revision: "../main", want: ErrNotFound},
		{id: "org/odd", want: ErrNotFound},
		{id: "org/base", opt: ExportOptions{Commit: "main"}},
		{id: "org/base", opt: ExportOptions{Commit: commitB}},
	} {
		if _, err := s.Export(t.Context(), c.id, c.revision, io.Discard, c.opt); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s@%s %+v: %v", c.id, c.revision, c.opt, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Export(ctx, "org/base", "", io.Discard, ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := s.Export(t.Context(), "org/base", "", brokenWriter{}, ExportOptions{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("full disk: %v", err)
	}
	// A file that changes between its digest and its copy.
	changed := false
	target := filepath.Join(cache, cacheFolder("org/base"), "blobs", sha256hex(tensors(1)))
	_, err := s.Export(t.Context(), "org/base", "", writerFunc(func(b []byte) (int, error) {
		if !changed {
			changed = true
			write(t, target, tensors(7))
		}
		return len(b), nil
	}), ExportOptions{})
	if !errors.Is(err, errChanged) {
		t.Errorf("changed: %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// A revision is kept as Pull keeps it: a branch or tag is a ref, a commit none.
func TestPackRevision(t *testing.T) {
	source := t.TempDir()
	cached(t, source, "org/base", commitA, modelFiles(1), "main", "v1", "refs/pr/1")
	for revision, ref := range map[string]string{"": "main", "main": "main", "v1": "v1", "refs/pr/1": "refs/pr/1", commitA: ""} {
		pack, _ := packOf(t, &Store{CacheDir: source}, "org/base", revision, ExportOptions{})
		to := &Store{CacheDir: t.TempDir()}
		if _, err := to.Import(t.Context(), bytes.NewReader(pack), ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		model := filepath.Join(to.CacheDir, cacheFolder("org/base"))
		if _, err := os.Stat(filepath.Join(model, "refs")); (err == nil) != (ref != "") {
			t.Errorf("%q: refs: %v", revision, err)
		}
		if ref != "" {
			if got, err := readRef(model, ref); got != commitA {
				t.Errorf("%q: %s is %q, %v", revision, ref, got, err)
			}
		}
		if f, err := to.Find(t.Context(), "org/base", revision); err != nil || f.Commit != commitA {
			t.Errorf("%q: found %+v, %v", revision, f, err)
		}
	}
}

// A name or a size beyond a plain header's has more blocks, which any tar reads.
func TestPackHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
	}{{"config.json", 5}, {"big.safetensors", 9 << 30}, {strings.Repeat("n", 200) + ".safetensors", 1}} {
		b, err := packHeader(c.name, c.size)
		if err != nil || len(b)%packBlock != 0 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		if h, err := tar.NewReader(bytes.NewReader(b)).Next(); err != nil || h.Name != c.name || h.Size != c.size {
			t.Errorf("%+v, %v", h, err)
		}
	}
}

// member is a file of a forged pack.
type member struct {
	name string
	data []byte
}

// forge makes a pack of whatever it is told.
func forge(m any, members ...member) []byte {
	data, ok := m.([]byte)
	if !ok {
		data, _ = json.MarshalIndent(m, "", "  ")
		data = append(data, '\n')
	}
	var b bytes.Buffer
	for _, f := range append([]member{{packManifest, data}}, members...) {
		head, _ := packHeader(f.name, int64(len(f.data)))
		b.Write(head)
		b.Write(f.data)
		b.Write(make([]byte, padding(int64(len(f.data)))))
	}
	b.Write(make([]byte, 2*packBlock))
	return b.Bytes()
}

func TestImportHostile(t *testing.T) {
	weights, side := tensors(1), []byte(config)
	good := func() *manifest {
		return &manifest{
			Entry: Entry{ID: "org/base", Commit: commitA, Files: map[string]PinnedFile{
				"config.json":       {sha256hex(side), int64(len(side))},
				"model.safetensors": {sha256hex(weights), int64(len(weights))},
			}},
			Revision: "main", SchemaVersion: PackVersion,
		}
	}
	files := []member{{"config.json", side}, {"model.safetensors", weights}}
	whole := forge(good(), files...)
	with := func(change func(*manifest)) []byte { m := good(); change(m); return forge(m, files...) }
	named := func(name string) []byte {
		return with(func(m *manifest) { m.Files[name] = PinnedFile{sha256hex(side), int64(len(side))} })
	}
	sized := func(name string, size int64) []byte {
		return with(func(m *manifest) { m.Files[name] = PinnedFile{sha256hex(side), size} })
	}
	text := func(old, new string) []byte {
		data, _ := good().encode()
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("no %q in the manifest", old)
		}
		return forge(bytes.Replace(data, []byte(old), []byte(new), 1), files...)
	}
	flip := func(at int) []byte { b := bytes.Clone(whole); b[at] ^= 1; return b }
	starts := func(name string) int { return bytes.Index(whole, append([]byte(name), 0)) }
	index := func(text string, shards ...string) []byte {
		m := good()
		delete(m.Files, "model.safetensors")
		m.Files["model.safetensors.index.json"] = PinnedFile{sha256hex([]byte(text)), int64(len(text))}
		members := []member{{"config.json", side}}
		for _, s := range shards {
			m.Files[s] = PinnedFile{sha256hex(weights), int64(len(weights))}
			members = append(members, member{s, weights})
		}
		members = append(members, member{"model.safetensors.index.json", []byte(text)})
		slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		return forge(m, members...)
	}
	// A tar as the usual tools write one: another owner, another date.
	var foreign bytes.Buffer
	w := tar.NewWriter(&foreign)
	data, _ := good().encode()
	for _, f := range append([]member{{packManifest, data}}, files...) {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o600, Uid: 1000}); err != nil {
			t.Fatal(err)
		}
		w.Write(f.data)
	}
	w.Close()

	for name, c := range map[string]struct {
		pack []byte
		want string // in the error
	}{
		"empty":                     {nil, "ends within its first header"},
		"no tar":                    {bytes.Repeat([]byte("x"), 2000), "no manifest"},
		"foreign tar":               {foreign.Bytes(), "not one that export writes"},
		"huge manifest":             {append(header(packManifest, maxPackManifest+1), whole...), "size of the manifest"},
		"short manifest":            {append(header(packManifest, maxPackManifest), whole[packBlock:]...), "ends within its manifest"},
		"size not octal":            {replace(whole, 124, "99999999999\x00"), "size of the manifest"},
		"empty manifest":            {forge([]byte{}), "malformed manifest"},
		"manifest of another kind":  {forge([]byte("[]")), "malformed manifest"},
		"deep manifest":             {forge(bytes.Repeat([]byte("["), 100_000)), "malformed manifest"},
		"newer version":             {with(func(m *manifest) { m.SchemaVersion = 2 }), "schema version 2, this program knows 1"},
		"unknown key":               {text(`"revision"`, `"x": 1, "revision"`), "not in the form"},
		"repeated key":              {text(`"revision"`, `"id": "org/base", "revision"`), "not in the form"},
		"key in another case":       {text(`"id"`, `"ID"`), "not in the form"},
		"id with a path":            {with(func(m *manifest) { m.ID = "../base" }), "no hub id"},
		"id with an escape":         {with(func(m *manifest) { m.ID = "a\x1b[31m" }), "no hub id"},
		"no id":                     {with(func(m *manifest) { m.ID = "" }), "no hub id"},
		"no commit":                 {with(func(m *manifest) { m.Commit = "" }), "no commit"},
		"commit with a path":        {with(func(m *manifest) { m.Commit = "../../../" + commitA[:31] }), "no commit"},
		"commit in upper case":      {with(func(m *manifest) { m.Commit = strings.ToUpper(commitA) }), "no commit"},
		"revision with a path":      {with(func(m *manifest) { m.Revision = "../../x" }), "no revision"},
		"revision that is a commit": {with(func(m *manifest) { m.Revision = commitB }), "no revision"},
		"no files":                  {with(func(m *manifest) { m.Files = nil }), "no files"},
		"no weights":                {with(func(m *manifest) { delete(m.Files, "model.safetensors") }), "no weights"},
		"weights of another name": {with(func(m *manifest) {
			delete(m.Files, "model.safetensors")
			m.Files["x.bin"] = PinnedFile{sha256hex(side), 1}
		}), "0 forms"},
		"two forms of weights":  {named("pytorch_model.bin"), "2 forms"},
		"code":                  {named("modeling.py"), "belongs to no reference"},
		"more weights":          {named("adapter.safetensors"), "belongs to no reference"},
		"path out":              {named("../model.py"), "file name"},
		"absolute path":         {named("/etc/passwd"), "file name"},
		"folder":                {named("a/config.json"), "file name"},
		"backslash":             {named(`..\x`), "file name"},
		"no name":               {named(""), "file name"},
		"negative size":         {sized("config.json", -1), "size or digest"},
		"huge side file":        {sized("config.json", maxSideFile+1), "the limit is"},
		"huge weights":          {sized("model.safetensors", 1<<62), "the files have over"},
		"sizes that overflow":   {with(func(m *manifest) { *m = *overflowing() }), "the files have over"},
		"no digest":             {with(func(m *manifest) { m.Files["config.json"] = PinnedFile{"", 1} }), "size or digest"},
		"another size":          {sized("config.json", int64(len(side)+1)), "not the header of config.json"},
		"another digest":        {with(func(m *manifest) { m.Files["config.json"] = PinnedFile{sha256hex(weights), int64(len(side))} }), "the SHA-256 of config.json"},
		"another order":         {forge(good(), files[1], files[0]), "not the header of config.json"},
		"one member too few":    {forge(good(), files[0]), "not the header of model.safetensors"},
		"one member too many":   {forge(good(), append(slices.Clone(files), member{"x.py", side})...), "data after the last file"},
		"a member between":      {forge(good(), files[0], member{"x.py", side}, files[1]), "not the header of model.safetensors"},
		"flipped data":          {flip(starts("config.json") + packBlock), "the SHA-256 of config.json"},
		"flipped owner":         {flip(starts("config.json") + 108), "not the header of config.json"},
		"a symlink":             {replace(whole, starts("config.json")+156, "2"), "not the header of config.json"},
		"flipped padding":       {flip(starts("config.json") + packBlock + len(side)), "padding"},
		"flipped end":           {flip(len(whole) - 1), "data after the last file"},
		"data after the end":    {append(bytes.Clone(whole), "more"...), "ends within a block"},
		"a block after the end": {append(bytes.Clone(whole), bytes.Repeat([]byte("x"), packBlock)...), "data after the last file"},
		"endless zeros":         {append(bytes.Clone(whole), make([]byte, maxPackTail)...), "after the last file"},
		"no end":                {whole[:len(whole)-2*packBlock], "without its end mark"},
		"half an end":           {whole[:len(whole)-packBlock], "without its end mark"},
		"compressed":            {append([]byte{0x1f, 0x8b}, whole...), "no manifest"},
		"index names no shard":  {index(`{"weight_map":{}}`, "a.safetensors"), "model.safetensors.index.json"},
		"index names fewer":     {index(`{"weight_map":{"x":"a.safetensors"}}`, "a.safetensors", "b.safetensors"), "names other shards"},
		"index names more":      {index(`{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}`, "a.safetensors"), "names other shards"},
		"index names a path":    {index(`{"weight_map":{"x":"../a.safetensors"}}`, "a.safetensors"), "names a shard"},
	} {
		t.Run(name, func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "hub")
			s := &Store{CacheDir: cache, LockFile: filepath.Join(t.TempDir(), "lock")}
			_, err := s.Import(t.Context(), bytes.NewReader(c.pack), ImportOptions{Pin: true})
			if !errors.Is(err, ErrBadPack) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			for _, path := range []string{cache, s.LockFile} {
				if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("left behind: %s (%v)", path, err)
				}
			}
		})
	}

	t.Run("truncated", func(t *testing.T) {
		for n := 0; n < len(whole); n += packBlock / 4 {
			cache := filepath.Join(t.TempDir(), "hub")
			s := &Store{CacheDir: cache}
			if _, err := s.Import(t.Context(), bytes.NewReader(whole[:n]), ImportOptions{}); !errors.Is(err, ErrBadPack) {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			if _, err := os.Lstat(cache); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("after %d bytes something is left: %v", n, err)
			}
		}
	})

	// The forger can make a good one, too; tar's own padding is fine.
	s := &Store{CacheDir: t.TempDir()}
	if _, err := s.Import(t.Context(), bytes.NewReader(append(bytes.Clone(whole), make([]byte, 17*packBlock)...)), ImportOptions{}); err != nil {
		t.Error(err)
	}
}

// overflowing is a manifest whose sizes add up to a small number in 64 bits.
func overflowing() *manifest {
	m := &manifest{
		Entry:    Entry{ID: "org/base", Commit: commitA, Files: map[string]PinnedFile{"model.safetensors.index.json": {sha256hex(nil), 0}}},
		Revision: "main", SchemaVersion: PackVersion,
	}
	for i := range 4 {
		m.Files[fmt.Sprintf("%d.safetensors", i)] = PinnedFile{sha256hex(nil), 1 << 62}
	}
	return m
}

func header(name string, size int64) []byte {
	b, err := packHeader(name, size)
	if err != nil {
		panic(err)
	}
	return b
}

func replace(b []byte, at int, text string) []byte {
	b = bytes.Clone(b)
	copy(b[at:], text)
	return b
}

// What the cache holds is not changed by a pack that says something else.
func TestImportConflicts(t *testing.T) {
	pack := packed(t, t.TempDir())
	other := modelFiles(2)
	more := modelFiles(1)
	more["pytorch_model.bin"] = tensors(1)
	for name, c := range map[string]struct {
		prepare func(t *testing.T, s *Store)
		opt     ImportOptions
		want    error // nil: it is imported
	}{
		"same files, no ref": {func(t *testing.T, s *Store) { cached(t, s.CacheDir, "org/base", commitA, modelFiles(1)) }, ImportOptions{}, nil},
		"other files":        {func(t *testing.T, s *Store) { cached(t, s.CacheDir, "org/base", commitA, other, "main") }, ImportOptions{Replace: true}, ErrConflict},
		"more weights":       {func(t *testing.T, s *Store) { cached(t, s.CacheDir, "org/base", commitA, more, "main") }, ImportOptions{}, ErrConflict},
		"half a snapshot": {func(t *testing.T, s *Store) {
			cached(t, s.CacheDir, "org/base", commitA, map[string][]byte{"config.json": []byte(config)})
		}, ImportOptions{}, ErrConflict},
		"other main":           {func(t *testing.T, s *Store) { cached(t, s.CacheDir, "org/base", commitB, other, "main") }, ImportOptions{}, ErrConflict},
		"other main, replaced": {func(t *testing.T, s *Store) { cached(t, s.CacheDir, "org/base", commitB, other, "main") }, ImportOptions{Replace: true}, nil},
		"ref that is no ref": {func(t *testing.T, s *Store) {
			write(t, filepath.Join(s.CacheDir, cacheFolder("org/base"), "refs", "main"), []byte("\x1b[31m"))
		}, ImportOptions{}, ErrConflict},
		"other branch": {func(t *testing.T, s *Store) { cached(t, s.CacheDir, "org/base", commitB, other, "v1") }, ImportOptions{}, nil},
		"other pin": {func(t *testing.T, s *Store) {
			pinFiles(t, s, other)
		}, ImportOptions{}, ErrPinMismatch},
		"other pin, pinned":            {func(t *testing.T, s *Store) { pinFiles(t, s, other) }, ImportOptions{Pin: true}, ErrPinMismatch},
		"other pin, replaced no pin":   {func(t *testing.T, s *Store) { pinFiles(t, s, other) }, ImportOptions{Replace: true}, ErrPinMismatch},
		"other pin, replaced":          {func(t *testing.T, s *Store) { pinFiles(t, s, other) }, ImportOptions{Pin: true, Replace: true}, nil},
		"same pin":                     {func(t *testing.T, s *Store) { pinFiles(t, s, modelFiles(1)) }, ImportOptions{}, nil},
		"digest of the pack":           {func(*testing.T, *Store) {}, ImportOptions{SHA256: sha256hex(pack)}, nil},
		"other digest of the pack":     {func(*testing.T, *Store) {}, ImportOptions{SHA256: sha256hex(nil)}, ErrBadPack},
		"other digest, the same files": {func(t *testing.T, s *Store) { cached(t, s.CacheDir, "org/base", commitA, modelFiles(1)) }, ImportOptions{SHA256: sha256hex(nil)}, ErrBadPack},
		"no size for it":               {func(_ *testing.T, s *Store) { s.MaxBytes = 50 }, ImportOptions{}, ErrBadPack},
		"snapshots lead out": {func(t *testing.T, s *Store) {
			linkTo(t, t.TempDir(), filepath.Join(s.CacheDir, cacheFolder("org/base"), "snapshots"))
		}, ImportOptions{}, errAny},
		"snapshot leads out": {func(t *testing.T, s *Store) {
			linkTo(t, model(t, t.TempDir(), 1), filepath.Join(s.CacheDir, cacheFolder("org/base"), "snapshots", commitA))
		}, ImportOptions{}, ErrUnsafeCache},
		"refs lead out": {func(t *testing.T, s *Store) {
			linkTo(t, t.TempDir(), filepath.Join(s.CacheDir, cacheFolder("org/base"), "refs"))
		}, ImportOptions{}, errAny},
		"the lock cannot be written": {func(t *testing.T, s *Store) {
			cached(t, s.CacheDir, "org/base", commitB, other, "main")
			s.LockFile = filepath.Join(s.LockFile, "none", "lock")
		}, ImportOptions{Pin: true, Replace: true}, errAny},
		"the model's folder is a file": {func(t *testing.T, s *Store) {
			write(t, filepath.Join(s.CacheDir, cacheFolder("org/base")), nil)
		}, ImportOptions{}, errAny},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := &Store{CacheDir: filepath.Join(dir, "hub"), LockFile: filepath.Join(dir, "lock")}
			c.prepare(t, s)
			before := contents(t, dir)
			got, err := s.Import(t.Context(), bytes.NewReader(pack), c.opt)
			if c.want != nil {
				if err == nil || !errors.Is(c.want, errAny) && !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if after := contents(t, dir); after != before {
					t.Errorf("it changed\n%s\nto\n%s", before, after)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ref, err := s.Open(t.Context(), "org/base", OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer ref.Close()
			if ref.Found.Path != got.Found.Path || ref.Found.Commit != commitA {
				t.Errorf("a scan finds %+v, imported was %+v", ref.Found, got.Found)
			}
		})
	}
}

var errAny = errors.New("any error")

// pinFiles pins org/base with these files.
func pinFiles(t *testing.T, s *Store, files map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		write(t, filepath.Join(dir, name), b)
	}
	if _, err := s.Pin(t.Context(), Found{ID: "org/base", Path: dir}, PinOptions{}); err != nil {
		t.Fatal(err)
	}
}

func linkTo(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Skip(err)
	}
}

// contents describes all that is below dir.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		text := ""
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = sha256hex(data)
		}
		_, err = fmt.Fprintln(&b, strings.TrimPrefix(path, dir), d.Type(), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Wherever an import is interrupted, nothing is left of it.
func TestImportInterrupted(t *testing.T) {
	source := t.TempDir()
	cached(t, source, "org/base", commitA, shardedFiles(), "main")
	pack, _ := packOf(t, &Store{CacheDir: source}, "org/base", "", ExportOptions{})
	stopped := 0
	for at := 0; at < len(pack); at += 300_000 {
		ctx, cancel := context.WithCancel(t.Context())
		cache := filepath.Join(t.TempDir(), "hub")
		s := &Store{CacheDir: cache}
		read := 0
		_, err := s.Import(ctx, readerFunc(func(b []byte) (int, error) {
			n := copy(b, pack[read:])
			if read += n; read > at {
				cancel()
			}
			return n, nil
		}), ImportOptions{})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("at %d: %v", at, err)
		}
		if _, err := os.Lstat(cache); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("at %d something is left: %v", at, err)
		}
		stopped++
	}
	if stopped < 5 {
		t.Errorf("only %d interruptions", stopped)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A pack that promises much and holds little costs little memory.
func TestImportAllocatesWhatIsThere(t *testing.T) {
	m := &manifest{
		Entry: Entry{ID: "org/base", Commit: commitA, Files: map[string]PinnedFile{
			"config.json":       {sha256hex(nil), maxSideFile},
			"model.safetensors": {sha256hex(nil), 60 << 30},
		}},
		SchemaVersion: PackVersion,
	}
	pack := forge(m)
	pack = append(pack[:len(pack)-2*packBlock], header("config.json", maxSideFile)...)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (&Store{CacheDir: filepath.Join(b.TempDir(), "hub")}).Import(b.Context(), bytes.NewReader(pack), ImportOptions{}); !errors.Is(err, ErrBadPack) {
				b.Fatal(err)
			}
		}
	})
	if n := result.AllocedBytesPerOp(); n > 2<<20 {
		t.Errorf("%d bytes for a pack of %d", n, len(pack))
	}
}
