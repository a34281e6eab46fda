package loader

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
)

const npyMagic = "\x93NUMPY"

func isNumpy(data []byte) bool {
	_, _, err := npyHeader("", data)
	return err == nil
}

// npyHeader splits a numpy array into its header, a Python dict, and its data.
func npyHeader(name string, data []byte) (header string, body []byte, _ error) {
	bad := func(off int64, format string, args ...any) (string, []byte, error) {
		return "", nil, &FormatError{Path: name, Off: off, Msg: "numpy array: " + fmt.Sprintf(format, args...)}
	}
	if len(data) < 10 || !bytes.HasPrefix(data, []byte(npyMagic)) {
		return bad(0, "its magic or its header is missing")
	}
	from, n := 10, uint64(binary.LittleEndian.Uint16(data[8:]))
	switch data[6] {
	case 1:
	case 2, 3:
		if len(data) < 12 {
			return bad(8, "the header is cut")
		}
		from, n = 12, uint64(binary.LittleEndian.Uint32(data[8:]))
	default:
		return bad(6, "version %d", data[6])
	}
	if n > uint64(len(data)-from) || n > maxNpyHeader {
		return bad(8, "the header declares %d bytes, %d exist and %d are read", n, len(data)-from, maxNpyHeader)
	}
	header = string(data[from : from+int(n)])
	if !strings.HasPrefix(strings.TrimSpace(header), "{") {
		return bad(int64(from), "the header is no dict")
	}
	return header, data[from+int(n):], nil
}

// maxNpyHeader is numpy's own limit on a header that it evaluates.
const maxNpyHeader = 10_000

var (
	npyShape  = regexp.MustCompile(`'shape'\s*:\s*\(([0-9L,\s]*)\)`)
	npySimple = regexp.MustCompile(`'descr'\s*:\s*'([<>|=]?)([a-zA-Z])(\d*)'`)
	npyObject = regexp.MustCompile(`['"][<>|=]?(O\d*|object)['"]`)
)

// readNumpy looks at an array of numpy (.npy). An array of objects is a pickle,
// which numpy.load runs where it is told allow_pickle=True.
func readNumpy(w *walker, name string, data []byte) (contents, error) {
	header, body, err := npyHeader(name, data)
	if err != nil {
		return contents{}, err
	}
	looked := fmt.Errorf("%s: %w: a numpy array, not a checkpoint", name, errLooked)
	at := len(data) - len(body)
	if objects := npyObject.MatchString(header); objects || w.isPickle(body) {
		p := place{file: name, base: at}
		s := w.walkPickle(p, body)
		found := s.findings
		if !objects {
			found = append(found, Finding{Rule: RuleAmbiguous, Severity: SeverityHigh, Where: p.at(0), Detail: "the array's numbers are a pickle"})
		}
		if s.err != nil {
			return contents{}, refuse(name, s.err, found)
		}
		return contents{findings: found}, refuse(name, looked, found)
	}
	simple := npySimple.FindStringSubmatch(header)
	shape := npyShape.FindStringSubmatch(header)
	if shape == nil {
		return contents{}, &FormatError{Path: name, Off: 10, Msg: "the header states no shape"}
	}
	if simple == nil { // a structure, whose size takes its fields
		return contents{}, looked
	}
	if want, ok := npyBytes(simple[2], simple[3], shape[1]); !ok || want != uint64(len(body)) {
		return contents{}, &FormatError{Path: name, Off: int64(at), Msg: fmt.Sprintf("%d bytes follow the header, its shape and type need %d", len(body), want)}
	}
	return contents{}, looked
}

// npyBytes is how many bytes an array of a simple type has.
func npyBytes(kind, width, shape string) (n uint64, ok bool) {
	n = 1
	if width != "" {
		var err error
		if n, err = strconv.ParseUint(width, 10, 32); err != nil {
			return 0, false
		}
	}
	if kind == "U" {
		n *= 4 // UCS-4
	}
	for field := range strings.SplitSeq(shape, ",") {
		field = strings.TrimSuffix(strings.TrimSpace(field), "L")
		if field == "" {
			continue
		}
		d, err := strconv.ParseUint(field, 10, 64)
		hi, lo := bits.Mul64(n, d)
		if err != nil || hi != 0 {
			return math.MaxUint64, false
		}
		n = lo
	}
	return n, true
}
