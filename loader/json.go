package loader

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonError turns an error of jsontext into a FormatError whose offset counts
// from the start of the file, base bytes before the JSON.
func jsonError(name string, base int64, err error) error {
	var at *positionError
	if errors.As(err, &at) {
		return &FormatError{Path: name, Off: base + at.off, Msg: at.msg}
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		cause := syntax.Err
		if errors.Is(cause, io.ErrUnexpectedEOF) {
			return &FormatError{Path: name, Off: base + syntax.ByteOffset, Msg: "the JSON ends too early"}
		}
		return &FormatError{Path: name, Off: base + syntax.ByteOffset, Msg: "invalid JSON", Err: cause}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FormatError{Path: name, Off: base, Msg: "the JSON ends too early"}
	}
	return &FormatError{Path: name, Off: base, Msg: "invalid JSON", Err: err}
}

// A tokenReader walks JSON and keeps the first error, after which every call
// does nothing.
type tokenReader struct {
	dec *jsontext.Decoder
	err error
}

func (d *tokenReader) fail(err error) {
	if d.err == nil && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		d.err = err
	}
}

// A positionError is what is wrong with JSON whose syntax is right, and where.
type positionError struct {
	off int64
	msg string
}

func (e *positionError) Error() string { return fmt.Sprintf("offset %d: %s", e.off, e.msg) }

// errorf fails at the token read last.
func (d *tokenReader) errorf(format string, args ...any) {
	d.fail(&positionError{d.dec.InputOffset(), fmt.Sprintf(format, args...)})
}

// end fails unless the input ends here.
func (d *tokenReader) end() {
	if d.err != nil {
		return
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		d.errorf("data after the JSON's end")
	}
}

func (d *tokenReader) token(kind jsontext.Kind) (tok jsontext.Token) {
	if d.err != nil {
		return tok
	}
	tok, err := d.dec.ReadToken()
	if err == nil && tok.Kind() != kind {
		d.errorf("%s expected, %s found", kind, tok.Kind())
		return tok
	}
	d.fail(err)
	return tok
}

// value reads a whole value of a kind and returns its bytes.
func (d *tokenReader) value(kind jsontext.Kind) jsontext.Value {
	if d.err != nil {
		return nil
	}
	raw, err := d.dec.ReadValue()
	if err == nil && raw.Kind() != kind {
		d.errorf("%s expected, %s found", kind, raw.Kind())
		return raw
	}
	d.fail(err)
	return raw
}

func (d *tokenReader) skip() {
	if d.err == nil {
		d.fail(d.dec.SkipValue())
	}
}

func (d *tokenReader) more(end jsontext.Kind) bool {
	if d.err != nil {
		return false
	}
	k := d.dec.PeekKind()
	return k != end && k > 0 // an invalid token ends the loop; reading the end reports it
}

func (d *tokenReader) object(member func(key string)) {
	d.token('{')
	for d.more('}') {
		key := d.token('"')
		if d.err == nil {
			member(key.String())
		}
	}
	d.token('}')
}

func (d *tokenReader) array(element func()) {
	d.token('[')
	for d.more(']') {
		element()
	}
	d.token(']')
}
