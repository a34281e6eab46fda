package loader

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestDecodeDTypes(t *testing.T) {
	u16 := func(x uint16) []byte { return binary.LittleEndian.AppendUint16(nil, x) }
	u64 := func(x uint64) []byte { return binary.LittleEndian.AppendUint64(nil, x) }
	for _, c := range []struct {
		dtype DType
		data  []byte
		want  float32
	}{
		{F32, f32bytes(1.5), 1.5}, {F64, u64(math.Float64bits(-2.25)), -2.25}, {BF16, u16(0x3fc0), 1.5}, {F16, u16(0x3e00), 1.5},
		{I64, u64(1 << 63), -1 << 63}, {U64, u64(1 << 63), 1 << 63}, {I16, u16(0xffff), -1}, {U16, u16(0xffff), 65535},
		{I8, []byte{0xff}, -1}, {U8, []byte{0xff}, 255}, {BOOL, []byte{1}, 1},
		// Values of the OCP specification and PyTorch's.
		{F8E4M3, []byte{0x7e}, 448}, {F8E4M3, []byte{0x01}, 0.001953125}, {F8E4M3, []byte{0xb8}, -1},
		{F8E5M2, []byte{0x7b}, 57344}, {F8E5M2, []byte{0x7c}, float32(math.Inf(1))}, {F8E5M2, []byte{0x3c}, 1},
		{F8E4M3FNUZ, []byte{0x7f}, 240}, {F8E5M2FNUZ, []byte{0x7f}, 57344}, {F8E8M0, []byte{127}, 1}, {F8E8M0, []byte{130}, 8},
	} {
		var got [1]float32
		if err := decode(got[:], c.data, c.dtype, 0, false); err != nil || got[0] != c.want {
			t.Errorf("%v %x is %v, %v; want %v", c.dtype, c.data, got[0], err, c.want)
		}
		swapped := slices.Clone(c.data)
		slices.Reverse(swapped)
		if err := decode(got[:], swapped, c.dtype, 0, true); err != nil || got[0] != c.want {
			t.Errorf("big-endian %v %x is %v, %v; want %v", c.dtype, swapped, got[0], err, c.want)
		}
	}
	var nan [1]float32
	for dt, b := range map[DType]byte{F8E4M3: 0x7f, F8E4M3FNUZ: 0x80, F8E5M2: 0x7d, F8E5M2FNUZ: 0x80, F8E8M0: 255} {
		if err := decode(nan[:], []byte{b}, dt, 0, false); err != nil || !math.IsNaN(float64(nan[0])) {
			t.Errorf("%v %x is %v, want NaN", dt, b, nan[0])
		}
	}
	for _, dt := range []DType{F4, F6E2M3, F6E3M2, C64} {
		if err := decode(nan[:], make([]byte, 8), dt, 0, false); err == nil {
			t.Errorf("%v was read as a number", dt)
		}
	}
}

func TestStridedViews(t *testing.T) {
	storage := f32bytes(0, 1, 2, 3, 4, 5)
	for _, c := range []struct {
		name          string
		shape, stride []uint64
		offset        uint64
		want          []float32
	}{
		{"plain", []uint64{2, 3}, []uint64{3, 1}, 0, []float32{0, 1, 2, 3, 4, 5}},
		{"transposed", []uint64{3, 2}, []uint64{1, 3}, 0, []float32{0, 3, 1, 4, 2, 5}},
		{"columns", []uint64{2, 2}, []uint64{3, 1}, 1, []float32{1, 2, 4, 5}},
		{"every other row", []uint64{2, 1}, []uint64{4, 1}, 0, []float32{0, 4}},
		{"expanded", []uint64{2, 3}, []uint64{0, 1}, 3, []float32{3, 4, 5, 3, 4, 5}},
		{"three dimensions", []uint64{1, 3, 2}, []uint64{9, 1, 3}, 0, []float32{0, 3, 1, 4, 2, 5}},
	} {
		x, err := newTensor(view{name: c.name, dtype: F32, shape: c.shape, stride: c.stride, offset: c.offset, data: storage})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := make([]float32, len(c.want))
		if err := x.ReadRows(t.Context(), got, 0); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestViewsThatDoNotFit(t *testing.T) {
	storage := make([]byte, 24)
	huge := uint64(math.MaxUint64)
	for _, c := range []struct {
		name string
		v    view
	}{
		{"too large", view{shape: []uint64{7}}},
		{"offset beyond", view{shape: []uint64{1}, offset: 6}},
		{"offset overflows", view{shape: []uint64{2}, offset: huge}},
		{"empty at an offset beyond", view{shape: []uint64{0}, offset: 7}},
		{"stride beyond", view{shape: []uint64{2}, stride: []uint64{6}}},
		{"stride overflows", view{shape: []uint64{3}, stride: []uint64{huge / 2}}},
		{"stride overflows to fit", view{shape: []uint64{3}, stride: []uint64{1 << 63}}},
		{"shape overflows", view{shape: []uint64{1 << 32, 1 << 32}}},
		{"bits overflow", view{shape: []uint64{1 << 61}}},
		{"strides missing", view{shape: []uint64{1, 1}, stride: []uint64{1}}},
	} {
		c.v.dtype, c.v.data = F32, storage
		if x, err := newTensor(c.v); err == nil {
			t.Errorf("%s: accepted as %+v", c.name, x)
		}
	}
}

func TestRowsOutOfRange(t *testing.T) {
	x, err := newTensor(view{name: "x", dtype: F32, shape: []uint64{2, 2}, data: f32bytes(1, 2, 3, 4)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ n, from int }{{2, 2}, {6, 0}, {2, -1}, {3, 0}, {2, math.MaxInt}} {
		if err := x.ReadRows(t.Context(), make([]float32, c.n), c.from); err == nil {
			t.Errorf("%d numbers from row %d were read", c.n, c.from)
		}
	}
	if err := x.VisitRows(t.Context(), 1, 2, nil, func([]float32) { t.Error("visited") }); err == nil {
		t.Error("rows beyond the end were visited")
	}
}

func TestVisitRowsCopiesNothing(t *testing.T) {
	data := f32bytes(1, 2, 3, 4)
	x, err := newTensor(view{name: "x", dtype: F32, shape: []uint64{2, 2}, data: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.VisitRows(t.Context(), 1, 1, nil, func(rows []float32) {
		if !slices.Equal(rows, []float32{3, 4}) {
			t.Errorf("rows %v", rows)
		}
	}); err != nil {
		t.Error(err)
	}
}

// A file that shrinks under the mapping must give an error, not SIGBUS.
func TestTruncatedWhileOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be truncated")
	}
	n := 1 << 16
	dir := write(t, map[string][]byte{"m.safetensors": st("{"+tensorOf("wte.weight", "F32", "[65536,4]", 0, 16*n)+"}", make([]byte, 16*n)...)})
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := os.Truncate(filepath.Join(dir, "m.safetensors"), 4096); err != nil {
		t.Fatal(err)
	}
	x := c.Tensor("wte.weight")
	for name, err := range map[string]error{
		"read":  x.ReadRows(t.Context(), make([]float32, 4), n-1),
		"visit": x.VisitRows(t.Context(), n-1, 1, nil, func(rows []float32) { bytes.IndexByte([]byte{byte(rows[0])}, 0) }),
	} {
		if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgottenTensorsAreReadAgain(t *testing.T) {
	ck, err := Open(t.Context(), filepath.Join("..", "testdata", "clean"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	for x := range ck.Tensors() {
		a, b := make([]float32, x.Len()*x.Dim()), make([]float32, x.Len()*x.Dim())
		if err := x.ReadRows(t.Context(), a, 0); err != nil {
			t.Fatal(err)
		}
		x.Forget()
		if err := x.ReadRows(t.Context(), b, 0); err != nil || !slices.Equal(a, b) {
			t.Fatalf("%s: other numbers after Forget: %v", x.Name, err)
		}
	}
}

func TestForgetLeavesOtherMemoryAlone(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = 1
	}
	x := &Tensor{Name: "x", DType: U8, Shape: []int{1 << 20}, data: data}
	x.Forget()
	if bytes.IndexByte(data, 0) >= 0 || within(data[:10], data[10:]) || !within(data[5:], data) || within(nil, data) {
		t.Error("memory that is no file's was dropped, or would be")
	}
}

// A checkpoint says which file holds a tensor, whatever is between the two.
func TestFileOf(t *testing.T) {
	for _, name := range []string{"plain.zip.pt", "plain.legacy.pt"} {
		ck, err := Open(t.Context(), filepath.Join("testdata", "torch", name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for tensor := range ck.Tensors() {
			n++
			if got := ck.FileOf(tensor); got != name {
				t.Errorf("%s: %s is in %q", name, tensor.Name, got)
			}
		}
		if n == 0 {
			t.Errorf("%s has no tensors", name)
		}
		ck.Close()
	}
}
