package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrUnsupported is what every error of Open matches that names a part of the
// files this package does not do exactly as Hugging Face's library.
var ErrUnsupported = errors.New("unsupported")

// A FormatError is what is wrong with a file, and where.
type FormatError struct {
	File string
	Off  int64  // byte offset, or -1
	Path string // of the JSON value, as in "model.merges", or ""
	Msg  string
	Err  error
}

func (e *FormatError) Error() string {
	s := e.File
	if e.Off >= 0 {
		s += ": offset " + strconv.FormatInt(e.Off, 10)
	}
	if e.Path != "" {
		s += ": " + e.Path
	}
	if e.Msg != "" {
		s += ": " + e.Msg
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *FormatError) Unwrap() error { return e.Err }

// Limits of the JSON beside the vocabulary and merges, which are read without
// making a tree: the largest part that is public, a charsmap, has 400 kB.
const (
	maxValues = 1 << 14
	maxDepth  = 32
	maxAdded  = 1 << 20
)

// A reader walks a JSON file and keeps the first error, after which every call
// does nothing.
type reader struct {
	file string
	data []byte
	dec  *jsontext.Decoder
	err  error
	left int // values that may still be read
}

func newReader(file string, data []byte) *reader {
	// Of equal names the last counts, as in serde; text must be UTF-8, as there.
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
	return &reader{file: file, data: data, dec: dec, left: maxValues}
}

func (r *reader) fail(err error) {
	if r.err != nil || err == nil {
		return
	}
	var format *FormatError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &format):
		r.err = err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		r.err = &FormatError{File: r.file, Off: int64(len(r.data)), Msg: "the JSON ends too early"}
	case errors.As(err, &syntax):
		r.err = &FormatError{File: r.file, Off: syntax.ByteOffset, Msg: "invalid JSON", Err: syntax.Err}
	default:
		r.err = &FormatError{File: r.file, Off: r.dec.InputOffset(), Msg: "invalid JSON", Err: err}
	}
}

// errorf fails at the token read last.
func (r *reader) errorf(path, format string, args ...any) {
	r.fail(&FormatError{File: r.file, Off: r.dec.InputOffset(), Path: path, Err: fmt.Errorf(format, args...)})
}

func (r *reader) token(kind jsontext.Kind, path string) (tok jsontext.Token) {
	if r.err != nil {
		return tok
	}
	tok, err := r.dec.ReadToken()
	if err == nil && tok.Kind() != kind {
		r.errorf(path, "%s expected, %s found", kind, tok.Kind())
		return tok
	}
	r.fail(err)
	return tok
}

func (r *reader) skip() {
	if r.err == nil {
		r.fail(r.dec.SkipValue())
	}
}

func (r *reader) more(end jsontext.Kind) bool {
	if r.err != nil {
		return false
	}
	k := r.dec.PeekKind()
	return k != end && k > 0 // an invalid token ends the loop; reading the end reports it
}

func (r *reader) object(path string, member func(key string)) {
	r.token('{', path)
	for r.more('}') {
		key := r.token('"', path)
		if r.err == nil {
			member(key.String())
		}
	}
	r.token('}', path)
}

func (r *reader) array(path string, element func()) {
	r.token('[', path)
	for r.more(']') {
		element()
	}
	r.token(']', path)
}

// end fails unless the input ends here.
func (r *reader) end() {
	if r.err != nil {
		return
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		r.errorf("", "data after the JSON's end")
	}
}

// raw reads a whole value, whose syntax is then known to be right, and returns
// its bytes and where they begin.
func (r *reader) raw(kind jsontext.Kind, path string) ([]byte, int64) {
	if r.err != nil {
		return nil, 0
	}
	raw, err := r.dec.ReadValue()
	if err != nil {
		r.fail(err)
		return nil, 0
	}
	if raw.Kind() != kind {
		r.errorf(path, "%s expected, %s found", kind, raw.Kind())
		return nil, 0
	}
	return raw, r.dec.InputOffset() - int64(len(raw))
}

// A scan walks the bytes of a value whose syntax is right, without a token for
// each piece of a vocabulary.
type scan struct {
	b []byte
	i int
}

func (s *scan) space() {
	for s.i < len(s.b) && s.b[s.i] <= ' ' {
		s.i++
	}
}

// next reports whether a token other than end follows, and is at it.
func (s *scan) next(end byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == ',' {
		s.i++
		s.space()
	}
	if s.i >= len(s.b) {
		return false
	}
	if s.b[s.i] == end {
		s.i++
		return false
	}
	return true
}

// text appends the string at hand; false: it is no string.
func (s *scan) text(dst []byte) ([]byte, bool) {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return dst, false
	}
	from := s.i + 1
	end := bytes.IndexByte(s.b[from:], '"')
	if end < 0 {
		return dst, false
	}
	if body := s.b[from : from+end]; bytes.IndexByte(body, '\\') < 0 {
		s.i = from + end + 1
		return append(dst, body...), true
	}
	i := from
	for i < len(s.b) && s.b[i] != '"' {
		if s.b[i] == '\\' {
			i++
		}
		i++
	}
	if i >= len(s.b) {
		return dst, false
	}
	dst, err := jsontext.AppendUnquote(dst, s.b[s.i:i+1])
	s.i = i + 1
	return dst, err == nil
}

// integer reads digits alone: serde takes no 1.0 or 1e3 for an id.
func (s *scan) integer() (n int64, ok bool) {
	for ; s.i < len(s.b) && s.b[s.i]-'0' < 10; s.i++ {
		n, ok = n*10+int64(s.b[s.i]-'0'), true
		if n > 1<<40 {
			return 0, false
		}
	}
	return n, ok && s.i < len(s.b) && !isNumberByte(s.b[s.i])
}

func isNumberByte(c byte) bool { return c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+' }

// number reads a JSON number as serde_json does without its float_roundtrip: up
// to 64 bits of significand, rounded, times a power of ten, rounded again. The
// last bit decides between splits of Unigram that are as good as one another.
func (s *scan) number() (f float64, ok bool) {
	at := func() byte {
		if s.i < len(s.b) {
			return s.b[s.i]
		}
		return 0
	}
	negative := at() == '-'
	if negative {
		s.i++
	}
	var significand uint64
	exponent, full, any := 0, false, false
	digits := func(step, skipped int) {
		for ; at()-'0' < 10; s.i++ {
			any = true
			digit := uint64(at() - '0')
			if full = full || significand > (math.MaxUint64-digit)/10; full {
				exponent += skipped
				continue
			}
			significand = significand*10 + digit
			exponent += step
		}
	}
	digits(0, 1)
	if at() == '.' {
		s.i++
		full = false // a digit that fits may follow an integer that does not
		digits(-1, 0)
	}
	if c := at(); c == 'e' || c == 'E' {
		s.i++
		sign := 1
		switch at() {
		case '-':
			sign = -1
			s.i++
		case '+':
			s.i++
		}
		e := 0
		for ; at()-'0' < 10; s.i++ {
			e = min(e*10+int(at()-'0'), math.MaxInt32)
		}
		exponent += sign * e
	}
	f = float64(significand)
	for exponent < -308 && f != 0 {
		f /= 1e308
		exponent += 308
	}
	switch {
	case f == 0:
	case exponent > 308:
		return 0, false
	case exponent >= 0:
		f *= powersOfTen[exponent]
	default:
		f /= powersOfTen[-exponent]
	}
	if negative {
		f = -f
	}
	return f, any && !math.IsInf(f, 0)
}

var powersOfTen = func() (p [309]float64) {
	for i := range p {
		p[i], _ = strconv.ParseFloat("1e"+strconv.Itoa(i), 64) // rounded once
	}
	return p
}()

// A value is a small part of the file: a normalizer, a post-processor.
type value struct {
	file string
	path string
	off  int64
	kind jsontext.Kind
	str  string
	num  float64
	elem []*value
	keys map[string]*value
}

// value reads the value that follows; nil: it is null.
func (r *reader) value(path string) *value {
	v := r.tree(path, 0)
	if r.err != nil || v.kind == 'n' {
		return nil
	}
	return v
}

func (r *reader) tree(path string, depth int) *value {
	v := &value{file: r.file, path: path}
	if r.err != nil {
		return v
	}
	if r.left--; r.left < 0 || depth > maxDepth {
		r.errorf(path, "more than %d values, or deeper than %d", maxValues, maxDepth)
		return v
	}
	v.kind = r.dec.PeekKind()
	switch v.kind {
	case '{':
		v.keys = map[string]*value{}
		r.object(path, func(key string) {
			name := key[:min(len(key), 80)] // paths are kept: a long key must not multiply
			v.keys[key] = r.tree(path+"."+name, depth+1)
		})
	case '[':
		r.array(path, func() {
			v.elem = append(v.elem, r.tree(path+"["+strconv.Itoa(len(v.elem))+"]", depth+1))
		})
	case '"':
		v.str = r.token('"', path).String()
	case '0':
		tok := r.token('0', path)
		if r.err == nil {
			f, err := strconv.ParseFloat(tok.String(), 64)
			if err != nil {
				r.errorf(path, "%w", err)
			}
			v.num = f
		}
	default:
		tok, err := r.dec.ReadToken()
		v.kind = tok.Kind()
		r.fail(err)
	}
	if r.err == nil {
		v.off = r.dec.InputOffset()
	}
	return v
}

func (v *value) errorf(format string, args ...any) error {
	return &FormatError{File: v.file, Off: v.off, Path: v.path, Err: fmt.Errorf(format, args...)}
}

func (v *value) unsupported(what, name string) error {
	return v.errorf("%s %s: %w", what, quote(name), ErrUnsupported)
}

// kindOf is the "type" of a component.
func (v *value) kindOf() (string, error) { return v.text("type") }

func (v *value) get(key string, kinds string) (*value, error) {
	if v.kind != '{' {
		return nil, v.errorf("object expected, %s found", v.kind)
	}
	e := v.keys[key]
	if e == nil {
		return nil, v.errorf("no %s", key)
	}
	if !bytes.ContainsRune([]byte(kinds), rune(e.kind)) {
		return nil, e.errorf("%s found", e.kind)
	}
	return e, nil
}

func (v *value) text(key string) (string, error) {
	e, err := v.get(key, `"`)
	if err != nil {
		return "", err
	}
	return e.str, nil
}

func (v *value) char(key string) (rune, error) {
	s, err := v.text(key)
	if err != nil {
		return 0, err
	}
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 || size != len(s) {
		return 0, v.keys[key].errorf("one character expected")
	}
	return r, nil
}

func (v *value) boolean(key string) (bool, error) {
	e, err := v.get(key, "tf")
	if err != nil {
		return false, err
	}
	return e.kind == 't', nil
}

// optionalBoolean is other where the key is missing or null.
func (v *value) optionalBoolean(key string, other bool) (bool, error) {
	if e := v.keys[key]; e == nil || e.kind == 'n' {
		return other, nil
	}
	return v.boolean(key)
}

func (v *value) integer(key string) (int, error) {
	e, err := v.get(key, "0")
	if err != nil {
		return 0, err
	}
	return e.asInteger()
}

func (v *value) asInteger() (int, error) {
	if v.kind != '0' || v.num != float64(int32(v.num)) || v.num < 0 {
		return 0, v.errorf("number from 0 to 2147483647 expected")
	}
	return int(v.num), nil
}

// components reads the list of components that a Sequence holds under key.
func components[T any](v *value, key string, read func(*value) (T, error)) ([]T, error) {
	list, err := v.list(key)
	if err != nil {
		return nil, err
	}
	var all []T
	for _, e := range list {
		one, err := read(e)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (v *value) list(key string) ([]*value, error) {
	e, err := v.get(key, "[")
	if err != nil {
		return nil, err
	}
	return e.elem, nil
}

// pattern is the {"String": …} or {"Regex": …} of Split and Replace.
func (v *value) pattern() (kind, pattern string, err error) {
	p, err := v.get("pattern", "{")
	if err != nil {
		return "", "", err
	}
	for _, kind := range []string{"String", "Regex"} {
		if len(p.keys) == 1 && p.keys[kind] != nil {
			s, err := p.text(kind)
			return kind, s, err
		}
	}
	return "", "", p.errorf("String or Regex expected")
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// quote shortens and escapes a string of the file for an error.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
