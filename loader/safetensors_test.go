package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

// st frames a header and a body as safetensors.
func st(header string, body ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), body...)
}

// stLength frames a header with a length that lies.
func stLength(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

// tensorOf is one tensor of a header.
func tensorOf(name, dtype, shape string, begin, end any) string {
	return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":[%v,%v]}`, name, dtype, shape, begin, end)
}

func f32bytes(xs ...float32) (b []byte) {
	for _, x := range xs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// The cases of the reference reader's own tests and of what it does beyond
// them (safetensors 0.8, tensor.rs), each with the text and offset we report.
func TestSafetensorsRefused(t *testing.T) {
	zeros := make([]byte, 64)
	for _, c := range []struct {
		name string
		data []byte
		off  int64 // -2: any
		msg  string
	}{
		{"empty", nil, 0, "too few"},
		{"seven bytes", zeros[:7], 0, "too few"},
		{"forged length", stLength(0xffffffff0000003c, "{}"), 0, "over the limit"},
		{"length beyond the file", stLength(0x3c, ""), 0, "bytes follow"},
		{"not UTF-8", st("\xff"), -2, "invalid JSON"},
		{"not JSON", st("{"), -2, "too early"},
		{"trailing data in the header", st("{}{}"), -2, "after the header"},
		{"NUL padding", st("{}\x00\x00"), -2, "invalid JSON"},
		{"BOM", st("\ufeff{}"), -2, "invalid JSON"},
		{"array", st("[]"), -2, "an object expected"},
		{"null", st("null"), -2, "an object expected"},
		{"tensor is null", st(`{"a":null}`), -2, "an object for tensor"},
		{"lone surrogate", st(`{"\ud800":{}}`), -2, "invalid JSON"},
		{"too deep", st(`{"a":{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}}`), -2, "invalid JSON"},
		{"trailing data in the file", st("{"+tensorOf("a", "U8", "[4]", 0, 4)+"}", zeros[:30]...), -1, "26 bytes follow the last tensor"},
		{"missing data", st("{"+tensorOf("a", "U8", "[4]", 0, 4)+"}", zeros[:2]...), -2, "4 of 2 bytes"},
		{"overlap", st("{"+tensorOf("a", "U8", "[16]", 0, 16)+","+tensorOf("b", "U8", "[16]", 0, 16)+"}", zeros[:16]...), -2, "want 16"},
		{"hole at the start", st("{"+tensorOf("a", "U8", "[4]", 4, 8)+"}", zeros[:8]...), -2, "starts at 4, want 0"},
		{"hole in the middle", st("{"+tensorOf("a", "U8", "[2]", 0, 2)+","+tensorOf("b", "U8", "[2]", 4, 6)+"}", zeros[:6]...), -2, "starts at 4, want 2"},
		{"reversed", st("{"+tensorOf("a", "U8", "[4]", 4, 0)+"}", zeros[:4]...), -2, "starts at 4"},
		{"size", st("{"+tensorOf("a", "I32", "[2,2]", 0, 4)+"}", zeros[:4]...), -2, "needs 16 bytes, the offsets give 4"},
		{"overflow", st("{"+tensorOf("a", "F32", "[2,18446744073709551614]", 0, 16)+"}", zeros[:16]...), -2, "overflows"},
		{"overflow in bits", st("{"+tensorOf("a", "F32", "[2,9223372036854775807]", 0, 16)+"}", zeros[:16]...), -2, "overflows"},
		{"zero hides overflow", st("{" + tensorOf("a", "F32", "[0,18446744073709551615,2]", 0, 0) + "}"), -2, "overflow"},
		{"half a byte", st("{"+tensorOf("a", "F4", "[3]", 0, 1)+"}", 0), -2, "inside a byte"},
		{"unknown dtype", st("{"+tensorOf("a", "F31", "[1]", 0, 4)+"}", zeros[:4]...), -2, `unknown dtype "F31"`},
		{"lower case dtype", st("{"+tensorOf("a", "f32", "[1]", 0, 4)+"}", zeros[:4]...), -2, "unknown dtype"},
		{"negative", st("{"+tensorOf("a", "U8", "[-1]", 0, 4)+"}", zeros[:4]...), -2, "no unsigned"},
		{"float", st("{"+tensorOf("a", "U8", "[4.0]", 0, 4)+"}", zeros[:4]...), -2, "no unsigned"},
		{"over u64", st("{"+tensorOf("a", "U8", "[18446744073709551616]", 0, 4)+"}", zeros[:4]...), -2, "no unsigned"},
		{"one offset", st(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}`, 0), -2, "1 data_offsets"},
		{"three offsets", st(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}`, 0), -2, "more than 2"},
		{"shape missing", st(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 0), -2, "missing"},
		{"field twice", st(`{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 0), -2, "stated twice"},
		{"metadata twice", st(`{"__metadata__":{},"__metadata__":{}}`), -2, "appears twice"},
		{"metadata of numbers", st(`{"__metadata__":{"a":1}}`), -2, "a string in __metadata__"},
		{"metadata list", st(`{"__metadata__":[]}`), -2, "no object"},
		{"5000 dimensions", st(`{"a":{"dtype":"U8","shape":[`+strings.Repeat("1,", 4999)+`1],"data_offsets":[0,1]}}`, 0), -2, "more than 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readSafetensors(newWalker(t.Context(), Options{}), "x", c.data)
			var fe *FormatError
			if !errors.As(err, &fe) {
				t.Fatalf("%+v, %v; want a FormatError", got, err)
			}
			if !strings.Contains(err.Error(), c.msg) {
				t.Errorf("error %q, want %q in it", err, c.msg)
			}
			if c.off != -2 && fe.Off != c.off {
				t.Errorf("offset %d, want %d", fe.Off, c.off)
			}
			if len(got.tensors) != 0 {
				t.Errorf("tensors beside an error: %v", got.tensors)
			}
		})
	}
}

func TestSafetensorsErrorsNameTheByte(t *testing.T) {
	header := `{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,1]}}`
	_, err := readSafetensors(newWalker(t.Context(), Options{}), "model.safetensors", st(header, 0))
	want := int64(8 + strings.Index(header, `"F31"`) + len(`"F31"`))
	var fe *FormatError
	if !errors.As(err, &fe) || fe.Off != want || fe.Path != "model.safetensors" {
		t.Errorf("%v, want offset %d", err, want)
	}
}

func TestSafetensorsAccepted(t *testing.T) {
	for _, c := range []struct {
		name     string
		data     []byte
		tensors  int
		findings int
	}{
		{"empty", st("{}"), 0, 0},
		{"white space", st("\t\n{}\r "), 0, 0},
		{"zero-sized", st("{" + tensorOf("a", "F32", "[2,0]", 0, 0) + "}"), 1, 0},
		{"scalar", st("{"+tensorOf("a", "F32", "[]", 0, 4)+"}", 0, 0, 0, 0), 1, 0},
		{"metadata null", st(`{"__metadata__":null}`), 0, 0},
		{"metadata", st(`{"__metadata__":{"format":"pt"}}`), 0, 0},
		{"unknown field", st(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{"y":[1]}}}`, 7), 1, 0},
		{"empty name", st("{"+tensorOf("", "U8", "[1]", 0, 1)+"}", 7), 1, 0},
		{"named twice", st("{"+tensorOf("a", "U8", "[4]", 0, 4)+","+tensorOf("a", "F32", "[1]", 0, 4)+"}", 0, 0, 0, 0), 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readSafetensors(newWalker(t.Context(), Options{}), "x", c.data)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.tensors) != c.tensors || len(got.findings) != c.findings {
				t.Errorf("%d tensors, findings %v", len(got.tensors), got.findings)
			}
		})
	}
}

func TestSafetensorsDuplicateIsTheLast(t *testing.T) {
	data := st("{"+tensorOf("a", "U8", "[4]", 0, 4)+","+tensorOf("a", "F32", "[1]", 0, 4)+"}", f32bytes(1.5)...)
	got, err := readSafetensors(newWalker(t.Context(), Options{}), "x", data)
	if err != nil {
		t.Fatal(err)
	}
	if d := got.tensors[0].DType; d != F32 {
		t.Errorf("dtype %v, want that of the last", d)
	}
	if f := got.findings[0]; f.Rule != RuleAmbiguous || !strings.HasPrefix(f.Where, "x@") {
		t.Errorf("finding %+v", f)
	}
}

// A forged length must cost an error, not memory.
func TestSafetensorsForgedSizesAllocateLittle(t *testing.T) {
	for name, data := range map[string][]byte{
		"header length": stLength(99_000_000, "{}"),
		"shape":         st("{" + tensorOf("a", "F32", "[1099511627776]", 0, uint64(1)<<42) + "}"),
	} {
		allocated := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readSafetensors(newWalker(b.Context(), Options{}), "x", data)
			}
		}).AllocedBytesPerOp()
		if allocated > 64<<10 {
			t.Errorf("%s: %d bytes allocated", name, allocated)
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(st("{}"))
	f.Add(st("{"+tensorOf("a", "F32", "[2,1]", 0, 8)+`,"__metadata__":{"format":"pt"}}`, f32bytes(1, 2)...))
	f.Add(st("{"+tensorOf("a", "U8", "[4]", 0, 4)+","+tensorOf("a", "F32", "[1]", 0, 4)+"}", 0, 0, 0, 0))
	f.Add(stLength(0xffffffff0000003c, "{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readSafetensors(newWalker(t.Context(), Options{}), "x", data)
		if err != nil {
			return
		}
		readAll(t, got.tensors)
		compareWithOracle(t, data, got)
	})
}

// compareWithOracle checks that what we accept without a remark, another
// reader reads the same way.
func compareWithOracle(t *testing.T, data []byte, got contents) {
	t.Helper()
	if len(got.findings)+len(got.warnings) > 0 {
		return // it differs where we say so
	}
	for _, x := range got.tensors {
		if _, err := safetensors.ParseDType(x.DType.String()); err != nil {
			return // a type it does not know
		}
	}
	want, err := safetensors.Deserialize(data)
	if err != nil {
		t.Fatalf("we read what the oracle refuses: %v", err)
	}
	if n := len(want.Tensors()); n != len(got.tensors) {
		t.Fatalf("%d tensors, the oracle reads %d", len(got.tensors), n)
	}
	for _, x := range got.tensors {
		y, ok := want.Tensor(x.Name)
		if !ok || y.DType().String() != x.DType.String() || !bytes.Equal(y.Data(), x.data) || !slices.EqualFunc(x.Shape, y.Shape(), func(a int, b uint64) bool { return uint64(a) == b }) {
			t.Fatalf("tensor %q: %v %v, the oracle reads %v %v", x.Name, x.DType, x.Shape, y.DType(), y.Shape())
		}
	}
}

func TestSafetensorsAgreesWithOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	types := []DType{BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64}
	for range 200 {
		var entries []string
		var body []byte
		for i := range r.IntN(6) {
			d := types[r.IntN(len(types))]
			shape := [2]int{r.IntN(4), r.IntN(4)}
			size := shape[0] * shape[1] * int(d.Bits()/8)
			entries = append(entries, tensorOf(fmt.Sprint("t", i), d.String(), fmt.Sprintf("[%d,%d]", shape[0], shape[1]), len(body), len(body)+size))
			for range size {
				body = append(body, byte(r.Uint32()))
			}
		}
		header := "{" + strings.Join(entries, ",") + "}"
		for len(header)%8 != 0 {
			header += " "
		}
		data := st(header, body...)
		got, err := readSafetensors(newWalker(t.Context(), Options{}), "x", data)
		if err != nil {
			t.Fatal(err)
		}
		compareWithOracle(t, data, got)
	}
}

// readAll reads every tensor of numbers, as nothing that opens may panic later.
func readAll(t *testing.T, tensors []*Tensor) {
	t.Helper()
	for _, x := range tensors {
		if n := x.Len() * x.Dim(); n > 0 && n < 1<<20 {
			if err := x.ReadRows(t.Context(), make([]float32, n), 0); err != nil && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("%s: %v", x.Name, err)
			}
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":4},"weight_map":{"a":"model-00001-of-00001.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../../../etc/passwd"}}`))
	f.Add([]byte(`{"weight_map":{"a":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		weights, err := parseIndex("x", data, Options{}.withDefaults())
		if (err == nil) == (len(weights) == 0) {
			t.Fatalf("%v, %v", weights, err)
		}
	})
}

func FuzzTokenizer(f *testing.F) {
	f.Add([]byte(`{"model":{"vocab":{"a":0,"b":1}},"added_tokens":[{"id":2,"content":"<s>","special":true}]}`))
	f.Add([]byte(`{"model":{"vocab":[["a",-1.5],["b",-2]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*Vocabulary, error){parseTokenizerJSON, parseVocabJSON, parseVocabTxt} {
			v, err := parse(data)
			if err != nil {
				continue
			}
			if v.Len() > maxTokens {
				t.Fatal("too many tokens")
			}
			for id := range min(v.Len(), 1000) {
				v.Token(id)
			}
		}
	})
}

// write puts files into a folder of their own.
func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
