package textrows

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// lines reads the cells of the rows of a file, up to the limits.
type lines struct {
	in    *bufio.Reader
	max   int // bytes that are read
	buf   []byte
	line  int  // the last one that was read
	start int  // the first line of the last row
	read  int  // bytes
	blank int  // lines left out
	cut   bool // there is more than is read

	split func(line string) ([]string, error) // nil for CSV

	// A CSV record may go over lines: its reader takes them, through Read.
	csv  *csv.Reader
	rest string // of the line that it takes
	size int    // bytes of the record that it has taken
}

func newLines(f format, in io.Reader, opt Options) *lines {
	r := &lines{in: bufio.NewReaderSize(in, maxHead), max: opt.MaxBytes} // in itself, if it is one
	switch f {
	case plain:
		r.split = func(line string) ([]string, error) { return []string{line}, nil }
	case tsv:
		r.split = func(line string) ([]string, error) { return strings.Split(line, "\t"), nil }
	case jsonLines:
		r.split = func(line string) ([]string, error) { return object(line, opt) }
	case commas:
		r.csv = csv.NewReader(r)
		r.csv.LazyQuotes = true
		r.csv.FieldsPerRecord = -1 // the caller counts
	}
	return r
}

// next returns a row, and io.EOF after the last one.
func (r *lines) next() ([]string, error) {
	if r.csv != nil {
		r.size = 0
		row, err := r.csv.Read()
		if err != nil && r.cut {
			err = io.EOF // also within a quoted text
		}
		return row, err
	}
	line, err := r.readLine(true)
	if err != nil {
		return nil, err
	}
	r.start = r.line
	row, err := r.split(line)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", r.line, err)
	}
	return row, nil
}

// Read hands the CSV reader one line at a time, so that it never holds more than
// the record it is at, and where that starts is known.
func (r *lines) Read(p []byte) (int, error) {
	if r.rest == "" {
		line, err := r.readLine(r.size == 0)
		switch {
		case errors.Is(err, io.EOF) && r.size > 0:
			return 0, fmt.Errorf("line %d: expected a quote at the end of the quoted text that starts here", r.start)
		case err != nil:
			return 0, err
		case r.size == 0:
			r.start = r.line
		}
		r.rest = line + "\n"
		if r.size += len(r.rest); r.size > MaxLine {
			return 0, fmt.Errorf("line %d: the record that starts here is longer than %d MiB; is a quote missing?", r.start, MaxLine>>20)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// readLine returns a line without its end, and io.EOF after the last one.
func (r *lines) readLine(skipBlank bool) (string, error) {
	for {
		r.line++
		r.buf = r.buf[:0]
		for err := bufio.ErrBufferFull; errors.Is(err, bufio.ErrBufferFull); {
			var part []byte
			part, err = r.in.ReadSlice('\n')
			r.buf = append(r.buf, part...)
			r.read += len(part)
			switch {
			case r.read > r.max:
				r.cut = true
				return "", io.EOF
			case len(r.buf) > MaxLine:
				return "", fmt.Errorf("line %d: longer than %d MiB", r.line, MaxLine>>20)
			case errors.Is(err, io.EOF) && len(r.buf) > 0: // the last line needs no end
			case err != nil && !errors.Is(err, bufio.ErrBufferFull):
				return "", err
			}
		}
		if bytes.IndexByte(r.buf, 0) >= 0 {
			return "", errNUL(r.line)
		}
		line := strings.TrimSuffix(strings.TrimSuffix(string(r.buf), "\n"), "\r")
		if !skipBlank || strings.TrimSpace(line) != "" {
			return strings.ToValidUTF8(line, "\uFFFD"), nil
		}
		r.blank++
	}
}
