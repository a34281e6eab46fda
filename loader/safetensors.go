package loader

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// isSafetensors reports whether data is framed as safetensors: a length that
// fits, then a JSON object. No other format that we read starts so.
func isSafetensors(data []byte) bool {
	if len(data) < 10 {
		return false
	}
	n := binary.LittleEndian.Uint64(data)
	if n < 2 || n > uint64(len(data)-8) {
		return false
	}
	return bytes.HasPrefix(bytes.TrimLeft(data[8:min(len(data), 72)], " \t\r\n"), []byte("{"))
}

// stEntry is one tensor of a safetensors header, as the file states it.
type stEntry struct {
	name       string
	dtype      DType
	shape      []uint64
	begin, end uint64
	off        int64 // of the entry in the file, for messages
}

// readSafetensors reads a safetensors file under the rules of the reference
// reader (safetensors 0.8, tensor.rs): the offsets must tile the data section
// exactly. What the reference accepts though readers can differ on it, such as
// a tensor named twice, is accepted with a finding.
func readSafetensors(w *walker, name string, data []byte) (contents, error) {
	var c contents
	ctx, opt := w.ctx, w.opt
	if len(data) < 8 {
		return c, &FormatError{Path: name, Off: 0, Msg: fmt.Sprintf("%d bytes are too few for a safetensors header length", len(data))}
	}
	n := binary.LittleEndian.Uint64(data)
	switch {
	case n > uint64(opt.MaxHeader):
		return c, &FormatError{Path: name, Off: 0, Msg: fmt.Sprintf("header length %d is over the limit of %d", n, opt.MaxHeader)}
	case n > uint64(len(data)-8):
		return c, &FormatError{Path: name, Off: 0, Msg: fmt.Sprintf("header length %d, but %d bytes follow", n, len(data)-8)}
	}
	p := stParser{name: name, opt: opt, dec: jsontext.NewDecoder(bytes.NewReader(data[8:8+n]), jsontext.AllowDuplicateNames(true))}
	if err := p.header(ctx); err != nil {
		return c, err
	}
	body := data[8+n:]
	if err := p.tile(uint64(len(body))); err != nil {
		return c, err
	}
	if int64(n)%8 != 0 {
		p.warnings = append(p.warnings, fmt.Sprintf("%s: the header is not padded to 8 bytes", name))
	}
	c.findings, c.warnings = p.findings, p.warnings
	c.tensors = make([]*Tensor, 0, len(p.entries))
	defer w.scattered(data)()
	for _, e := range p.entries {
		t, err := newTensor(view{
			name: e.name, dtype: e.dtype, shape: e.shape, file: name, pos: int64(8+n) + int64(e.begin), data: body[e.begin:e.end:e.end],
		})
		if err != nil {
			return contents{}, err
		}
		c.tensors = append(c.tensors, t)
		c.findings = append(c.findings, w.hidden(name+"!"+t.Name, t.data)...)
	}
	return c, refuse(name, nil, c.findings)
}

type stParser struct {
	name     string
	opt      Options
	dec      *jsontext.Decoder
	entries  []stEntry
	findings []Finding
	warnings []string
}

// pos is the offset in the file of the token read last.
func (p *stParser) pos() int64 { return 8 + p.dec.InputOffset() }

func (p *stParser) errorf(format string, args ...any) error {
	return &FormatError{Path: p.name, Off: p.pos(), Msg: fmt.Sprintf(format, args...)}
}

// token reads the next token; a syntax error of the JSON becomes a FormatError.
func (p *stParser) token() (jsontext.Token, error) {
	tok, err := p.dec.ReadToken()
	if err != nil {
		return tok, jsonError(p.name, 8, err)
	}
	return tok, nil
}

func (p *stParser) expect(kind jsontext.Kind, what string) (jsontext.Token, error) {
	tok, err := p.token()
	if err == nil && tok.Kind() != kind {
		err = p.errorf("%s expected, %s found", what, tok.Kind())
	}
	return tok, err
}

func (p *stParser) header(ctx context.Context) error {
	if _, err := p.expect('{', "an object"); err != nil {
		return err
	}
	seen := map[string]int{}
	for n := 0; p.dec.PeekKind() != '}'; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, err := p.expect('"', "a name")
		if err != nil {
			return err
		}
		name, off := key.String(), p.pos()
		if name == "__metadata__" {
			if _, twice := seen[name]; twice {
				return p.errorf("__metadata__ appears twice")
			}
			seen[name] = -1
			if err := p.metadata(); err != nil {
				return err
			}
			continue
		}
		e, err := p.entry(name)
		if err != nil {
			return err
		}
		e.off = off
		if i, twice := seen[name]; twice {
			p.findings = append(p.findings, Finding{
				Rule: RuleAmbiguous, Severity: SeverityHigh, Where: where(p.name, off),
				Detail: fmt.Sprintf("tensor %s is stated twice; readers take the first or the last", quoted(name)),
			})
			p.entries[i] = e // the reference reader's choice
			continue
		}
		if len(p.entries) >= p.opt.MaxTensors {
			return p.errorf("more than %d tensors", p.opt.MaxTensors)
		}
		seen[name] = len(p.entries)
		p.entries = append(p.entries, e)
	}
	if _, err := p.token(); err != nil { // the closing brace
		return err
	}
	if _, err := p.dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			return p.errorf("data after the header's object")
		}
		return jsonError(p.name, 8, err)
	}
	return nil
}

func where(name string, off int64) string { return fmt.Sprintf("%s@%d", name, off) }

// metadata reads the map of strings to strings, which we do not use.
func (p *stParser) metadata() error {
	tok, err := p.token()
	if err != nil {
		return err
	}
	if tok.Kind() == 'n' {
		return nil
	}
	if tok.Kind() != '{' {
		return p.errorf("__metadata__ is no object")
	}
	for p.dec.PeekKind() != '}' {
		if _, err := p.token(); err != nil {
			return err
		}
		if _, err := p.expect('"', "a string in __metadata__"); err != nil {
			return err
		}
	}
	_, err = p.token()
	return err
}

func (p *stParser) entry(name string) (stEntry, error) {
	e := stEntry{name: name}
	if _, err := p.expect('{', fmt.Sprintf("an object for tensor %q", name)); err != nil {
		return e, err
	}
	const hasDType, hasShape, hasOffsets = 1, 2, 4
	var have int
	for p.dec.PeekKind() != '}' {
		key, err := p.expect('"', "a name")
		if err != nil {
			return e, err
		}
		var bit int
		switch field := key.String(); field {
		case "dtype":
			bit = hasDType
			tok, err := p.expect('"', "a string for dtype")
			if err != nil {
				return e, err
			}
			dt, ok := ParseDType(tok.String())
			if !ok {
				return e, p.errorf("tensor %q: unknown dtype %q", name, tok.String())
			}
			e.dtype = dt
		case "shape":
			bit = hasShape
			if e.shape, err = p.numbers(maxDims); err != nil {
				return e, err
			}
		case "data_offsets":
			bit = hasOffsets
			ns, err := p.numbers(2)
			if err != nil {
				return e, err
			}
			if len(ns) != 2 {
				return e, p.errorf("tensor %q: %d data_offsets, want 2", name, len(ns))
			}
			e.begin, e.end = ns[0], ns[1]
		default:
			p.warnings = append(p.warnings, fmt.Sprintf("%s: tensor %s has the unknown field %s", p.name, quoted(name), quoted(field)))
			if err := p.dec.SkipValue(); err != nil {
				return e, jsonError(p.name, 8, err)
			}
		}
		if bit != 0 && have&bit != 0 {
			return e, p.errorf("tensor %q: a field is stated twice", name)
		}
		have |= bit
	}
	if _, err := p.token(); err != nil {
		return e, err
	}
	if have != hasDType|hasShape|hasOffsets {
		return e, p.errorf("tensor %q: dtype, shape or data_offsets is missing", name)
	}
	return e, nil
}

// numbers reads an array of at most limit unsigned integers.
func (p *stParser) numbers(limit int) ([]uint64, error) {
	if _, err := p.expect('[', "an array"); err != nil {
		return nil, err
	}
	ns := []uint64{}
	for p.dec.PeekKind() != ']' {
		tok, err := p.expect('0', "a number")
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(tok.String(), 10, 64)
		if err != nil {
			return nil, p.errorf("%q is no unsigned 64-bit integer", tok.String())
		}
		if len(ns) == limit {
			return nil, p.errorf("more than %d numbers", limit)
		}
		ns = append(ns, n)
	}
	_, err := p.token()
	return ns, err
}

// tile checks that the entries cover size bytes of data without hole or
// overlap, each as long as its shape says.
func (p *stParser) tile(size uint64) error {
	order := make([]int, len(p.entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := p.entries[i], p.entries[j]
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name))
	})
	var at uint64
	for _, i := range order {
		e := p.entries[i]
		bad := func(format string, args ...any) error {
			return &FormatError{Path: p.name, Off: e.off, Msg: fmt.Sprintf("tensor %q: ", e.name) + fmt.Sprintf(format, args...)}
		}
		if e.begin != at {
			return bad("data starts at %d, want %d: tensors must follow each other without hole or overlap", e.begin, at)
		}
		if e.end < e.begin {
			return bad("data ends at %d, before it starts at %d", e.end, e.begin)
		}
		if e.end > size {
			return bad("data ends at %d of %d bytes", e.end, size)
		}
		n, ok := product(e.shape)
		if !ok || n > (1<<63)/e.dtype.Bits() {
			return bad("shape %v overflows", e.shape)
		}
		bits := n * e.dtype.Bits()
		if bits%8 != 0 {
			return bad("%d elements of %v end inside a byte", n, e.dtype)
		}
		if bits/8 != e.end-e.begin {
			return bad("shape %v of %v needs %d bytes, the offsets give %d", e.shape, e.dtype, bits/8, e.end-e.begin)
		}
		at = e.end
	}
	if at != size {
		return &FormatError{Path: p.name, Off: -1, Msg: fmt.Sprintf("%d bytes follow the last tensor", size-at)}
	}
	return nil
}

// quoted is text from a file made harmless for a message.
func quoted(s string) string {
	if !utf8.ValidString(s) {
		return strconv.QuoteToASCII(s)
	}
	return strconv.QuoteToGraphic(s)
}
