// Package textrows reads texts and their labels from files: plain lines, TSV,
// CSV and JSON lines.
//
// A file may be huge, binary or broken. No more is held of it than a line, or a
// CSV record over several lines, and no panic comes of it.
package textrows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxLine is how many bytes a line may have with its end, and a CSV record over
// several lines.
const MaxLine = 1 << 20

const maxHead = 64 << 10 // bytes that the format and the columns are told by

// ErrBinary is returned for a file that is not text.
var ErrBinary = errors.New("not a text file")

// Options adjust NewReader.
type Options struct {
	// Text and Label name the columns: as the header or the JSON objects do, or
	// by a number that counts from 1. Optional: they are found by usual names,
	// and the text by its looks.
	Text, Label string
	// MaxBytes is how much of a file is read, in whole lines.
	MaxBytes int
}

// A Row is a text. Its strings are parts of a line: clone what is kept.
type Row struct {
	Line        int    // from 1
	Text, Label string // valid UTF-8; Label is "" where it is missing
}

// A Reader reads the rows of a file.
type Reader struct {
	lines *lines
	cols  columns
	width int // of the first row, 0 before it
}

// NewReader returns a reader of r. The extension of name tells the format: .txt,
// .tsv, .csv, or .jsonl, .ndjson and .json for JSON lines. With another name the
// content does, CSV by its header.
//
// Errors of it and of Next do not name the file, but mostly the line; some wrap
// [ErrBinary].
func NewReader(name string, r io.Reader, opt Options) (*Reader, error) {
	in := bufio.NewReaderSize(r, maxHead)
	head, err := in.Peek(maxHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := checkText(head); err != nil {
		return nil, err
	}
	if bom := []byte("\uFEFF"); bytes.HasPrefix(head, bom) {
		head = head[len(bom):]
		_, _ = in.Discard(len(bom)) // it is in the buffer
	}
	f := formatOf(name, head)
	cols, err := columnsOf(f, head, opt)
	if err != nil {
		return nil, err
	}
	return &Reader{lines: newLines(f, in, opt), cols: cols}, nil
}

// Labelled reports whether the file has a column of labels. JSON lines have one
// that any of them may leave out.
func (r *Reader) Labelled() bool { return r.cols.label >= 0 }

// Next returns a row, and io.EOF after the last one.
func (r *Reader) Next() (Row, error) {
	for {
		cells, err := r.lines.next()
		if err != nil {
			return Row{}, err
		}
		if r.width == 0 {
			if r.width = len(cells); r.cols.header {
				continue
			}
		}
		if len(cells) != r.width {
			return Row{}, fmt.Errorf("line %d: %d columns, expected %d as in the first row", r.lines.start, len(cells), r.width)
		}
		row := Row{Line: r.lines.start, Text: cells[r.cols.text]}
		if r.cols.label >= 0 {
			row.Label = cells[r.cols.label]
		}
		return row, nil
	}
}

// Blank is how many blank lines were left out.
func (r *Reader) Blank() int { return r.lines.blank }

// Cut reports whether the file has more than was read of it.
func (r *Reader) Cut() bool { return r.lines.cut }

// checkText says what keeps a file with this start from being UTF-8 text.
func checkText(head []byte) error {
	switch invalid := len(head) - len(bytes.ToValidUTF8(head, nil)); {
	case bytes.HasPrefix(head, []byte("\xFF\xFE")), bytes.HasPrefix(head, []byte("\xFE\xFF")):
		return errors.New("text in UTF-16: save it as UTF-8")
	case bytes.IndexByte(head, 0) >= 0:
		return errNUL(1 + bytes.Count(head[:bytes.IndexByte(head, 0)], []byte("\n")))
	case 10*invalid > len(head):
		return fmt.Errorf("%w: it is not in UTF-8", ErrBinary)
	}
	return nil
}

func errNUL(line int) error { return fmt.Errorf("line %d: %w: it has NUL bytes", line, ErrBinary) }
