package tokenizer

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var vectorsDir = flag.String("vectors", "testdata", "folder of lines.gz and vectors.gz, made by testdata/scripts/make_tokenizer_vectors.py")

func gunzip(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	data, err = io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readFolder reads the files of a folder, whose tokenizer.json is compressed.
func readFolder(dir string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if name == "tokenizer.json" {
			f, err := os.Open(filepath.Join(dir, name+".gz"))
			if err != nil {
				return nil, err
			}
			defer f.Close()
			r, err := gzip.NewReader(f)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		return os.ReadFile(filepath.Join(dir, name))
	}
}

// oneFile is a folder of one file.
func oneFile(name string, data []byte) func(string) ([]byte, error) {
	return func(n string) ([]byte, error) {
		if n != name {
			return nil, fs.ErrNotExist
		}
		return data, nil
	}
}

func testLines(t testing.TB, dir string) []string {
	t.Helper()
	data := gunzip(t, filepath.Join(dir, "lines.gz"))
	var lines []string
	for len(data) > 0 {
		n, size := binary.Uvarint(data)
		lines = append(lines, string(data[size:size+int(n)]))
		data = data[size+int(n):]
	}
	return lines
}

// families are the folders of testdata with a tokenizer.
func families(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "vectors.gz"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors in %s: %v", dir, err)
	}
	for i, p := range paths {
		paths[i] = filepath.Base(filepath.Dir(p))
	}
	return paths
}

func openFamily(t testing.TB, dir, family string) *Tokenizer {
	t.Helper()
	folder := filepath.Join("testdata", family)
	if _, err := os.Stat(folder); err != nil { // one of the script's --extra
		folder = filepath.Join(dir, family)
	}
	tok, err := Open(readFolder(folder))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

type vector struct {
	ids   []int32
	spans []Span
	crc   [2]uint32
}

func readVectors(data []byte) []vector {
	var all []vector
	next := func() int {
		n, size := binary.Uvarint(data)
		data = data[size:]
		return int(n)
	}
	signed := func() int {
		n := next()
		if n&1 != 0 {
			return -(n + 1) / 2
		}
		return n / 2
	}
	for len(data) > 0 {
		var v vector
		last := 0
		for range next() {
			v.ids = append(v.ids, int32(next()))
			from := last + signed()
			last = from + signed()
			v.spans = append(v.spans, Span{int32(from), int32(last)})
		}
		for i := range v.crc {
			v.crc[i] = binary.LittleEndian.Uint32(data)
			data = data[4:]
		}
		all = append(all, v)
	}
	return all
}

// TestParity compares ids, offsets and decoded text with Hugging Face's.
func TestParity(t *testing.T) {
	lines := testLines(t, *vectorsDir)
	inTable := os.Getenv("PARITY") != "" // make parity
	if inTable {
		fmt.Print("| tokenizer | lines | tokens | lines with other ids, offsets or decoded text |\n|---|---|---|---|\n")
	}
	for _, family := range families(t, *vectorsDir) {
		t.Run(family, func(t *testing.T) {
			if !inTable {
				t.Parallel()
			}
			tok := openFamily(t, *vectorsDir, family)
			vectors := readVectors(gunzip(t, filepath.Join(*vectorsDir, family, "vectors.gz")))
			if len(vectors) != len(lines) {
				t.Fatalf("%d vectors for %d lines", len(vectors), len(lines))
			}
			bad, tokens := 0, 0
			for i, line := range lines {
				want := vectors[i]
				tokens += len(want.ids)
				got := tok.Encode(line)
				problem := ""
				switch {
				case !slices.Equal(got.IDs, want.ids):
					problem = fmt.Sprintf("ids %v, want %v", got.IDs, want.ids)
				case !slices.Equal(got.Offsets, want.spans):
					problem = fmt.Sprintf("ids %v: offsets %v, want %v", got.IDs, got.Offsets, want.spans)
				case !slices.Equal(tok.EncodeIDs(nil, line, true), want.ids):
					problem = "EncodeIDs differs from Encode"
				default:
					for k, skip := range []bool{true, false} {
						if s := tok.Decode(want.ids, skip); crc32.ChecksumIEEE([]byte(s)) != want.crc[k] {
							problem = fmt.Sprintf("decoded %q", s)
						}
					}
				}
				if problem != "" {
					if bad++; bad <= 5 {
						t.Errorf("line %d %q: %s", i, line, problem)
					}
				}
			}
			if bad > 0 {
				t.Errorf("%d mismatches in %d lines", bad, len(lines))
			}
			if inTable {
				fmt.Printf("| %s | %d | %d | %d |\n", family, len(lines), tokens, bad)
			}
		})
	}
}
