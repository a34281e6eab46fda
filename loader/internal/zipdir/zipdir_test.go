package zipdir

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/internal/ziptest"
)

func three() *ziptest.Archive {
	return ziptest.Build(
		ziptest.Member{Name: "m/data.pkl", Body: []byte("first body")},
		ziptest.Member{Name: "m/data/0", Body: []byte("second")},
		ziptest.Member{Name: "m/version", Body: []byte("3\n"), Deflate: true},
	)
}

func TestOpen(t *testing.T) {
	insert := func(b []byte, at int, s string) []byte {
		return append(append(append([]byte{}, b[:at]...), s...), b[at:]...)
	}
	put16 := func(b []byte, at int, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }
	put32 := func(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
	type note struct {
		kind Kind
		says string
	}
	tests := []struct {
		name  string
		edit  func(a *ziptest.Archive) []byte
		notes []note
		err   string
	}{
		{name: "plain", edit: func(a *ziptest.Archive) []byte { return a.Data }},
		// 18
		{name: "encrypted in the directory", edit: func(a *ziptest.Archive) []byte { a.Data[a.Central[0]+8] = 1; return a.Data },
			notes: []note{{Malformed, "is encrypted"}, {Ambiguous, "flags 0x0, the central directory 0x1"}}},
		{name: "encrypted in the header", edit: func(a *ziptest.Archive) []byte { a.Data[a.Local[0]+6] = 0x40; return a.Data },
			notes: []note{{Ambiguous, "flags 0x40"}}},
		{name: "patched", edit: func(a *ziptest.Archive) []byte {
			a.Data[a.Central[0]+8], a.Data[a.Local[0]+6] = 0x20, 0x20
			return a.Data
		}, notes: []note{{Malformed, "encrypted (flags 0x20)"}}},
		// 19
		{name: "header name", edit: func(a *ziptest.Archive) []byte { a.Data[a.Local[0]+30] = 'x'; return a.Data },
			notes: []note{{Ambiguous, `names the member "x/data.pkl"`}}},
		{name: "header method", edit: func(a *ziptest.Archive) []byte { a.Data[a.Local[0]+8] = 8; return a.Data },
			notes: []note{{Ambiguous, "method 8"}}},
		{name: "header size", edit: func(a *ziptest.Archive) []byte { a.Data[a.Local[0]+22]++; return a.Data },
			notes: []note{{Ambiguous, "11 bytes (10 stored)"}}},
		{name: "header checksum", edit: func(a *ziptest.Archive) []byte { a.Data[a.Local[0]+14]++; return a.Data },
			notes: []note{{Ambiguous, "two checksums"}}},
		// 22
		{name: "prefix, offsets kept", edit: func(a *ziptest.Archive) []byte { return append([]byte("MZ"), a.Data...) },
			notes: []note{}, err: "no central directory record"},
		{name: "prefix, offsets moved", edit: func(a *ziptest.Archive) []byte {
			for _, c := range a.Central {
				put32(a.Data, c+42, binary.LittleEndian.Uint32(a.Data[c+42:])+2)
			}
			put32(a.Data, a.End+16, binary.LittleEndian.Uint32(a.Data[a.End+16:])+2)
			return append([]byte("MZ"), a.Data...)
		}, notes: []note{{Ambiguous, "2 bytes lie before the first member"}}},
		{name: "trailing bytes", edit: func(a *ziptest.Archive) []byte { return append(a.Data, "junk"...) },
			notes: []note{{Ambiguous, "4 bytes follow the end"}}},
		{name: "comment", edit: func(a *ziptest.Archive) []byte { put16(a.Data, a.End+20, 4); return append(a.Data, "note"...) },
			notes: []note{{Curious, "comment of 4 bytes"}}},
		{name: "comment too long", edit: func(a *ziptest.Archive) []byte { put16(a.Data, a.End+20, 9); return append(a.Data, "note"...) },
			notes: []note{{Ambiguous, "comment declares 9 bytes, 4 exist"}}},
		{name: "second end record", edit: func(a *ziptest.Archive) []byte {
			return append(a.Data, bytes.Clone(a.Data[a.End:])...)
		}, notes: []note{{Ambiguous, "22 bytes lie between"}, {Ambiguous, "a second end"}}},
		{name: "bytes between members", edit: func(a *ziptest.Archive) []byte {
			b := insert(a.Data, a.Central[0], "hidden")
			put32(b, a.End+6+16, uint32(a.Central[0]+6))
			return b
		}, notes: []note{{Ambiguous, "6 bytes before it belong to no member"}}},
		{name: "overlap", edit: func(a *ziptest.Archive) []byte {
			put32(a.Data, a.Central[1]+42, uint32(a.Local[0]))
			return a.Data
		}, notes: []note{{Ambiguous, "names the member"}, {Ambiguous, "the local header has 10 bytes"}, {Ambiguous, "two checksums"}, {Ambiguous, "overlaps"}, {Ambiguous, "belong to no member"}}},
		// 23
		{name: "duplicate", edit: func(*ziptest.Archive) []byte {
			return ziptest.Build(ziptest.Member{Name: "m/data.pkl"}, ziptest.Member{Name: "m/data.pkl"}).Data
		}, notes: []note{{Ambiguous, "occurs twice"}}},
		{name: "case", edit: func(*ziptest.Archive) []byte {
			return ziptest.Build(ziptest.Member{Name: "m/data.pkl"}, ziptest.Member{Name: "m/Data.pkl"}).Data
		}, notes: []note{{Ambiguous, "only in case"}}},
		{name: "names", edit: func(*ziptest.Archive) []byte {
			return ziptest.Build(ziptest.Member{Name: "../x"}, ziptest.Member{Name: "/etc/x"}, ziptest.Member{Name: `a\b`},
				ziptest.Member{Name: "C:x"}, ziptest.Member{Name: "a/../b"}, ziptest.Member{Name: "x\x00.txt"}, ziptest.Member{Name: "\xff"}, ziptest.Member{Name: "a..b/c"}).Data
		}, notes: []note{{Traversal, ""}, {Traversal, ""}, {Traversal, ""}, {Traversal, ""}, {Traversal, ""}, {Ambiguous, "control"}, {Malformed, "UTF-8"}}},
		// 25
		{name: "method", edit: func(a *ziptest.Archive) []byte {
			a.Data[a.Central[0]+10], a.Data[a.Local[0]+8] = 14, 14
			return a.Data
		}, notes: []note{{Malformed, "compression method 14"}}},
		{name: "corrupt entry does not hide the rest", edit: func(a *ziptest.Archive) []byte { put32(a.Data, a.Central[0]+42, 7); return a.Data },
			notes: []note{{Malformed, "no local header"}, {Ambiguous, "before the first member"}}},
		{name: "offset beyond", edit: func(a *ziptest.Archive) []byte { put32(a.Data, a.Central[0]+42, 1<<31); return a.Data },
			notes: []note{{Malformed, "does not lie before"}, {Malformed, "does not lie before"}, {Ambiguous, "before the first member"}}},
		{name: "size beyond", edit: func(a *ziptest.Archive) []byte {
			put32(a.Data, a.Central[1]+20, uint32(a.Central[0]-4))
			put32(a.Data, a.Central[1]+24, uint32(a.Central[0]-4))
			return a.Data
		}, notes: []note{{Malformed, "runs into the central directory"}, {Ambiguous, "belong to no member"}}},
		{name: "two sizes", edit: func(a *ziptest.Archive) []byte { put32(a.Data, a.Central[0]+24, 100); return a.Data },
			notes: []note{{Ambiguous, "stored member of 10 bytes declares 100"}, {Ambiguous, "local header has"}}},
		{name: "zip64 field missing", edit: func(a *ziptest.Archive) []byte { put32(a.Data, a.Central[0]+24, 1<<32-1); return a.Data }, err: "zip64"},

		{name: "empty file", edit: func(*ziptest.Archive) []byte { return nil }, err: "too short"},
		{name: "no end", edit: func(a *ziptest.Archive) []byte { return a.Data[:a.End] }, err: "no end of central directory"},
		{name: "count too large", edit: func(a *ziptest.Archive) []byte {
			put16(a.Data, a.End+8, 60000)
			put16(a.Data, a.End+10, 60000)
			return a.Data
		}, err: "has room for"},
		{name: "count too small", edit: func(a *ziptest.Archive) []byte { put16(a.Data, a.End+8, 2); put16(a.Data, a.End+10, 2); return a.Data }, err: "goes on"},
		{name: "counts differ", edit: func(a *ziptest.Archive) []byte { put16(a.Data, a.End+8, 2); return a.Data }, err: "in this volume"},
		{name: "volumes", edit: func(a *ziptest.Archive) []byte { put16(a.Data, a.End+4, 1); return a.Data }, err: "volumes"},
		{name: "directory outside", edit: func(a *ziptest.Archive) []byte { put32(a.Data, a.End+16, 1<<31); return a.Data }, err: "does not lie before"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Open(t.Context(), tt.edit(three()), Limits{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Notes) != len(tt.notes) {
				t.Fatalf("notes %+v, want %+v", d.Notes, tt.notes)
			}
			for i, n := range d.Notes {
				if n.Kind != tt.notes[i].kind || !strings.Contains(n.Detail, tt.notes[i].says) {
					t.Errorf("note %d is %+v, want %+v", i, n, tt.notes[i])
				}
			}
		})
	}
}

func TestMembersLimit(t *testing.T) {
	_, err := Open(t.Context(), three().Data, Limits{Members: 2})
	var ze *Error
	if !errors.As(err, &ze) || !ze.Budget {
		t.Errorf("error %v", err)
	}
}

func TestBytes(t *testing.T) {
	bomb := make([]byte, 20<<20)
	a := ziptest.Build(ziptest.Member{Name: "bomb", Body: bomb, Deflate: true}, ziptest.Member{Name: "lies", Body: bomb[:5000], Deflate: true})
	binary.LittleEndian.PutUint32(a.Data[a.Central[1]+24:], 10)
	binary.LittleEndian.PutUint32(a.Data[a.Local[1]+22:], 10)
	d, err := Open(t.Context(), a.Data, Limits{Inflate: bytesLeft(30 << 20)})
	if err != nil || len(d.Notes) > 0 {
		t.Fatal(err, d.Notes)
	}
	var ze *Error
	if _, err := d.Entries[0].Bytes(1 << 20); !errors.As(err, &ze) || !ze.Budget {
		t.Errorf("over the limit: %v", err)
	}
	if b, err := d.Entries[0].Bytes(1 << 30); err != nil || len(b) != len(bomb) || !d.Entries[0].CheckCRC(b) {
		t.Errorf("within the limit: %v", err)
	}
	if _, err := d.Entries[0].Bytes(1 << 30); !errors.As(err, &ze) || !ze.Budget {
		t.Errorf("over the budget: %v", err)
	}
	if _, err := d.Entries[1].Bytes(1 << 30); err == nil || !strings.Contains(err.Error(), "does not inflate to the 10 bytes") {
		t.Errorf("a forged size: %v", err)
	}
	if h := d.Entries[0].Head(100); len(h) != 100 {
		t.Errorf("head of %d bytes", len(h))
	}
}

func TestForgedCountAllocatesLittle(t *testing.T) {
	a := three()
	for _, c := range a.Central[:1] {
		binary.LittleEndian.PutUint32(a.Data[c+24:], 1<<31)
		a.Data[c+10] = 8
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if d, err := Open(t.Context(), a.Data, Limits{}); err == nil {
		for _, e := range d.Entries {
			e.Bytes(1 << 62)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// compare checks that an archive without notes is what archive/zip sees.
func compare(t *testing.T, data []byte) {
	d, err := Open(t.Context(), data, Limits{Inflate: bytesLeft(1 << 20)})
	if err != nil || len(d.Notes) > 0 {
		return
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Errorf("archive/zip: %v", err)
		return
	}
	if len(r.File) != len(d.Entries) {
		t.Fatalf("%d members, archive/zip has %d", len(d.Entries), len(r.File))
	}
	for i, e := range d.Entries {
		f := r.File[i]
		if f.Name != e.Name || f.UncompressedSize64 != e.Size || f.CRC32 != e.CRC || f.Method != e.Method {
			t.Errorf("member %d is %+v, archive/zip has %+v", i, e, f)
		}
		b, err := e.Bytes(1 << 20)
		if err != nil || !e.CheckCRC(b) {
			continue
		}
		rc, err := f.Open()
		if err != nil {
			t.Errorf("archive/zip: %q: %v", e.Name, err)
			continue
		}
		want, err := io.ReadAll(rc)
		if strings.HasSuffix(e.Name, "/") {
			continue // archive/zip takes it for a folder without content
		}
		if err != nil || !bytes.Equal(b, want) {
			t.Errorf("%q: contents differ (%v)", e.Name, err)
		}
	}
}

func fixtures(t testing.TB) [][]byte {
	files, _ := filepath.Glob("../../testdata/torch/*.zip.pt")
	if len(files) == 0 {
		t.Fatal("no fixtures")
	}
	var out [][]byte
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
	return out
}

func TestPlainArchivesHaveNoNotes(t *testing.T) {
	var std bytes.Buffer
	w := zip.NewWriter(&std)
	for _, name := range []string{"a/x", "a/y"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(bytes.Repeat([]byte(name), 100))
	}
	w.Close()
	for i, data := range append(fixtures(t), std.Bytes()) {
		d, err := Open(t.Context(), data, Limits{})
		if err != nil || len(d.Notes) > 0 {
			t.Errorf("archive %d: %v %v", i, err, d)
		}
		compare(t, data)
	}
}

func FuzzZipDir(f *testing.F) {
	f.Add(three().Data)
	for _, data := range fixtures(f) {
		f.Add(data)
	}
	f.Fuzz(compare)
}

func bytesLeft(n int64) *int64 { return &n }

func TestFind(t *testing.T) {
	plain := ziptest.Build(ziptest.Member{Name: "a", Body: []byte("aaaa")}).Data
	moved := append([]byte("before "), plain...) // offsets still count from the archive
	tests := []struct {
		name  string
		data  []byte
		start int
		ok    bool
	}{
		{"plain", plain, 0, true},
		{"appended", moved, 7, true},
		{"trailing bytes", append(bytes.Clone(moved), "after"...), 7, true},
		{"cut", plain[:len(plain)-1], 0, false},
		{"no members", ziptest.Build().Data, 0, false},
		{"a signature alone", append(make([]byte, 100), "PK\x05\x06aaaaaaaaaaaaaaaaaaaaaaaaaa"...), 0, false},
		{"empty", nil, 0, false},
	}
	for _, tt := range tests {
		if start, ok := Find(tt.data); start != tt.start || ok != tt.ok {
			t.Errorf("%s: %d %v, want %d %v", tt.name, start, ok, tt.start, tt.ok)
		}
	}
}
