package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/btu-scan/btu-scan/scan"
)

// jsonEncoder writes the struct as it is; docs/report.schema.json describes
// it. Lists and maps are never null. JSON has no NaN and no infinities: they
// are written as 0 and as the largest float64 of their sign, and a warning
// says so. Characters that are not visible are written as \uXXXX, so that a
// terminal which shows the file is safe; invalid UTF-8 becomes U+FFFD.
type jsonEncoder struct{}

func newJSON(Options) Encoder { return jsonEncoder{} }

func (jsonEncoder) Encode(w io.Writer, r *scan.Report) error {
	if r == nil {
		return errNil
	}
	var c jsonCopier
	clean := c.copy(reflect.ValueOf(*r)).Interface().(scan.Report)
	if c.clamped > 0 {
		clean.Warnings = append(clean.Warnings, fmt.Sprintf("%d numbers of the report were not finite: NaN is written as 0, infinity as the largest number", c.clamped))
	}
	return writeJSON(w, clean, "  ")
}

// writeJSON writes v as [JSON] has it, in one call of Write.
func writeJSON(w io.Writer, v any, indent string) error {
	text, err := JSON(v, indent)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// JSON is v as JSON with a line break at its end, on one line where indent is
// empty. What could fool a terminal is escaped, and nothing else.
func JSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return escapeJSON(b.Bytes()), nil
}

// escapeJSON replaces characters of JSON that encoding/json wrote that are not
// visible by their \uXXXX form.
//
// Outside strings JSON is ASCII, and inside them encoding/json has escaped the
// controls below the space, so only what is above '~' needs a look.
func escapeJSON(src []byte) []byte {
	if !slices.ContainsFunc(src, func(c byte) bool { return c > '~' }) {
		return src
	}
	dst := make([]byte, 0, len(src)+len(src)/8)
	for len(src) > 0 {
		r, size := utf8.DecodeRune(src)
		switch {
		case r <= '~' || visible(r):
			dst = append(dst, src[:size]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, hi, lo)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
		src = src[size:]
	}
	return dst
}

// A jsonCopier copies a report into one that JSON can hold.
type jsonCopier struct {
	clamped int // numbers that were not finite
}

// copy returns a deep copy of v with finite numbers and without nil slices
// and maps. It knows the kinds of types that scan.Report consists of.
func (c *jsonCopier) copy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Float64:
		out.SetFloat(c.finite(v.Float()))
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(c.copy(v.Field(i)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(c.copy(v.Elem()))
		}
	case reflect.Slice:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(c.copy(v.Index(i)))
		}
	case reflect.Map:
		out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for it := v.MapRange(); it.Next(); {
			out.SetMapIndex(it.Key(), c.copy(it.Value()))
		}
	default:
		out.Set(v)
	}
	return out
}

func (c *jsonCopier) finite(x float64) float64 {
	switch {
	case math.IsNaN(x):
		c.clamped++
		return 0
	case math.IsInf(x, 0):
		c.clamped++
		return math.Copysign(math.MaxFloat64, x)
	}
	return x
}
