package tokenizer

import (
	"path/filepath"
	"testing"
)

// benchLines are the lines of the vectors, and their bytes.
func benchLines(b *testing.B) (lines []string, size int64) {
	for _, line := range testLines(b, *vectorsDir) {
		lines = append(lines, line)
		size += int64(len(line))
	}
	return lines, size
}

// BenchmarkEncode encodes every line once per iteration, with offsets as
// scripts/bench/tokenizers_hf.py does.
func BenchmarkEncode(b *testing.B) {
	lines, size := benchLines(b)
	for _, family := range families(b, *vectorsDir) {
		tok := openFamily(b, *vectorsDir, family)
		b.Run(family, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for _, line := range lines {
					tok.Encode(line)
				}
			}
		})
	}
}

// BenchmarkEncodeIDs does the same without offsets.
func BenchmarkEncodeIDs(b *testing.B) {
	lines, size := benchLines(b)
	var ids []int32
	for _, family := range families(b, *vectorsDir) {
		tok := openFamily(b, *vectorsDir, family)
		b.Run(family, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for _, line := range lines {
					ids = tok.EncodeIDs(ids[:0], line, true)
				}
			}
		})
	}
}

// BenchmarkOpen opens a folder that is in memory.
func BenchmarkOpen(b *testing.B) {
	for _, family := range families(b, *vectorsDir) {
		path := filepath.Join("testdata", family, "tokenizer.json.gz")
		if m, _ := filepath.Glob(filepath.Join(*vectorsDir, family, "tokenizer.json.gz")); len(m) > 0 {
			path = m[0]
		}
		if m, _ := filepath.Glob(path); len(m) == 0 {
			continue
		}
		data := gunzip(b, path)
		b.Run(family, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(oneFile("tokenizer.json", data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
