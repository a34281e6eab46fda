package loader

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
)

// Streams that pack one file. joblib, torch's old downloads and plain habit
// make them; their content is looked at, weights in it are not read.

func ungzip(data []byte) (io.Reader, error)  { return gzip.NewReader(bytes.NewReader(data)) }
func unbzip2(data []byte) (io.Reader, error) { return bzip2.NewReader(bytes.NewReader(data)), nil }
func unzlib(data []byte) (io.Reader, error)  { return zlib.NewReader(bytes.NewReader(data)) }

func isGzip(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\x1f\x8b\x08")) && unpacks(data, ungzip)
}
func isBzip2(data []byte) bool { return bytes.HasPrefix(data, []byte("BZh")) && unpacks(data, unbzip2) }

// isZlib does not ask for more than the two bytes that zlib has, whose check
// one file in a thousand passes by chance; decoding tells.
func isZlib(data []byte) bool {
	return len(data) > 6 && data[0]&0x0f == 8 && data[0]>>4 <= 7 && (uint(data[0])<<8|uint(data[1]))%31 == 0 && unpacks(data, unzlib)
}

// sniffBytes are enough decoded bytes for a stream to be no accident.
const sniffBytes = 512

// unpacks reports whether data decodes, for a while or to its end.
func unpacks(data []byte, open func([]byte) (io.Reader, error)) bool {
	r, err := open(data)
	if err != nil {
		return false
	}
	n, err := io.CopyN(io.Discard, r, sniffBytes)
	return err == nil || errors.Is(err, io.EOF) && n > 0
}

// readStream looks at the file that a stream packs.
func readStream(format string, open func([]byte) (io.Reader, error)) reader {
	return func(w *walker, name string, data []byte) (contents, error) {
		r, err := open(data)
		if err != nil {
			return contents{}, &FormatError{Path: name, Off: 0, Msg: format + ": " + err.Error()}
		}
		body, cut, err := w.unpack(r)
		if w.ctx.Err() != nil {
			return contents{}, w.ctx.Err()
		}
		found := w.inside(name+"!"+format, body, cut || err != nil)
		if err != nil {
			found = append(found, Finding{Rule: RuleMalformed, Severity: SeverityHigh, Where: name,
				Detail: fmt.Sprintf("the %s stream breaks off after %d unpacked bytes: %v", format, len(body), err)})
		}
		if cut {
			return contents{}, refuse(name, &FormatError{Path: name, Off: -1,
				Msg: fmt.Sprintf("%s: only the first %d unpacked bytes were looked at: unpack it first", format, len(body)), Err: ErrIncomplete}, found)
		}
		return contents{findings: found}, refuse(name, fmt.Errorf("%s: %w: %s: unpack it first", name, errLooked, format), found)
	}
}
