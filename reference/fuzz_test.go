package reference

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzShards(f *testing.F) {
	f.Add([]byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../x.safetensors"}}`))
	f.Add([]byte(`{"weight_map":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		names, err := shards(bytes.NewReader(b), weightForms[1].shard)
		if err != nil {
			return
		}
		for _, n := range names {
			if !filepath.IsLocal(n) || strings.ContainsAny(n, `/\`) {
				t.Errorf("%q", n)
			}
		}
	})
}

// Whatever id is valid stays one folder below where it is looked for.
func FuzzValidID(f *testing.F) {
	for _, id := range []string{"gpt2", "a/b", "../x", "a/..", "a\\b", "C:", "a--b/c"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if !ValidID(id) {
			return
		}
		if name := cacheFolder(id); !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\:%?#") {
			t.Errorf("%q gives %q", id, name)
		}
		if path := filepath.FromSlash(id); !filepath.IsLocal(path) || filepath.Clean(path) != path {
			t.Errorf("%q is no clean path", id)
		}
	})
}

func FuzzReadLock(f *testing.F) {
	f.Add([]byte(`{"schema_version":1,"references":[{"id":"a","files":{"m.bin":{"sha256":"` + strings.Repeat("0", 64) + `","size":1}}}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := ReadLock(path)
		if err != nil {
			return
		}
		if err := l.write(path); err != nil {
			t.Fatal(err)
		}
		if again, err := ReadLock(path); err != nil || len(again.References) != len(l.References) {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// Whatever comes as a pack is refused and leaves nothing, or is imported and
// exports to the same bytes.
func FuzzImport(f *testing.F) {
	pack := packed(f, f.TempDir())
	f.Add(pack)
	f.Add(pack[:len(pack)-3*packBlock])
	f.Add(append(bytes.Clone(pack), make([]byte, packBlock)...))
	f.Add(forge([]byte(`{"schema_version":1}`)))
	f.Add(forge(overflowing()))
	f.Add([]byte(packManifest))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Store{CacheDir: filepath.Join(t.TempDir(), "hub"), MaxBytes: 1 << 20}
		got, err := s.Import(t.Context(), bytes.NewReader(b), ImportOptions{})
		if err != nil {
			if _, err := os.Lstat(s.CacheDir); err == nil {
				t.Errorf("left behind: %v", tree(t, s.CacheDir))
			}
			return
		}
		if err := Verify(t.Context(), got.Pack.Entry, got.Found.Path, nil); err != nil {
			t.Error(err)
		}
		revision := got.Pack.Revision
		if revision == "" {
			revision = got.Pack.Commit
		}
		var again bytes.Buffer
		if _, err := s.Export(t.Context(), got.Pack.ID, revision, &again, ExportOptions{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, again.Bytes()) || !allZero(b[again.Len():]) {
			t.Error("the pack it exports to differs")
		}
	})
}
