// Package probes has the texts into which candidate triggers are inserted to
// see whether a model's answer flips: the built-in ones and the user's.
//
// A user's file may be huge, binary or broken. No more is held of it than the
// texts that are kept and one line, and no panic comes of it.
package probes

import (
	_ "embed" // for builtin.txt
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/btu-scan/btu-scan/internal/textrows"
)

// Max is the number of texts that are kept of a file.
const Max = 10_000

// maxFile is how many bytes of a file are read.
const maxFile = 64 << 20

var (
	// ErrEmpty is returned for a file without a text.
	ErrEmpty = errors.New("no texts in it")
	// ErrBinary is returned for a file that is not text.
	ErrBinary = textrows.ErrBinary
)

//go:embed builtin.txt
var builtin string

// Builtin returns the built-in probes: 120 neutral English sentences of 4 to 40
// words, over a dozen domains. The slice is the caller's.
func Builtin() []string {
	var texts []string
	for line := range strings.Lines(builtin) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			texts = append(texts, line)
		}
	}
	return texts
}

// A Set is the texts of a file, in its order.
type Set struct {
	Texts     []string // trimmed, valid UTF-8, none empty, none twice
	Labels    []string // parallel to Texts, "" where unknown; nil where the file has none
	Skipped   int      // empty lines and texts, and repeats of the texts kept
	Truncated bool     // the file has more than Max texts, or more than is read of it
}

// Read reads the texts of a file, and their labels where it has them. The
// extension of name tells the format: .txt, .tsv, .csv, or .jsonl, .ndjson and
// .json for JSON lines. With another name the content does, CSV by its header.
//
//   - Plain text has a text on each line. No line is a comment.
//   - TSV, without quotes, and CSV may have a header. Columns with usual names,
//     such as sentence and label, are taken for what they say. Else the text is
//     the column that looks most like sentences, and the label the other of two.
//   - JSON lines are strings, or objects with a string named text, sentence or
//     the like, or with a single string, and perhaps a label.
//
// Of more than [Max] texts, Max are kept: drawn evenly from the whole file, the
// same ones each time. Of more than 64 MiB, the whole lines of the first 64 MiB
// are read. Of equal texts the first is kept. Invalid UTF-8 becomes U+FFFD.
// Errors name the file and mostly the line; some wrap [ErrEmpty] or [ErrBinary].
func Read(name string, r io.Reader) (*Set, error) {
	set, err := read(name, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

func read(name string, r io.Reader) (*Set, error) {
	rows, err := textrows.NewReader(name, r, textrows.Options{MaxBytes: maxFile})
	if err != nil {
		return nil, err
	}
	var s sample
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		s.add(row.Line, row.Text, row.Label)
	}
	set := s.set()
	set.Skipped += rows.Blank()
	set.Truncated = set.Truncated || rows.Cut()
	if len(set.Texts) == 0 {
		return nil, ErrEmpty
	}
	return set, nil
}
