package loader

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Every 16-bit and 8-bit number survives, and what lies between two numbers goes
// to the nearer one.
func TestRounding(t *testing.T) {
	for _, dt := range []DType{F16, BF16, F8E4M3, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ} {
		size := int(dt.Bits() / 8)
		value := func(code int) float32 {
			var x [1]float32
			if err := decode(x[:], []byte{byte(code), byte(code >> 8)}[:size], dt, 0, false); err != nil {
				t.Fatal(err)
			}
			return x[0]
		}
		code := func(x float32) int {
			b := make([]byte, 2)
			if err := encode(b[:size], dt, 0, false, x); err != nil {
				t.Fatalf("%v %v: %v", dt, x, err)
			}
			return int(b[0]) | int(b[1])<<8
		}
		for c := range 1 << (8 * size) {
			x := value(c)
			if got := code(x); got != c && !(x != x && value(got) != value(got)) {
				t.Errorf("%v: code %#x is %v, which became %#x", dt, c, x, got)
			}
			next := value(c + 1&(1<<(8*size)-1))
			if x-x != 0 || next-next != 0 || x == 0 || next == 0 || math.Signbit(float64(x)) != math.Signbit(float64(next)) {
				continue
			}
			if mid := float32((float64(x) + float64(next)) / 2); float64(mid) == (float64(x)+float64(next))/2 {
				even := c + c&1
				if got := code(mid); got != even {
					t.Errorf("%v: %v lies between %v and %v and became %v", dt, mid, x, next, value(got))
				}
				toward := math.Nextafter32(mid, x)
				if got := code(toward); toward != x && got != c {
					t.Errorf("%v: %v is nearer to %v and became %v", dt, toward, x, value(got))
				}
			}
		}
		if err := encode(make([]byte, 2), dt, 0, false, math.MaxFloat32); !errors.Is(err, ErrRange) {
			t.Errorf("%v: the largest float32 gave %v", dt, err)
		}
	}
}

// copyOf copies a checkpoint file, so that it can be written.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

func allOf(t *testing.T, x *Tensor) []float32 {
	t.Helper()
	v := make([]float32, x.Len()*x.Dim())
	if err := x.ReadRows(t.Context(), v, 0); err != nil {
		t.Fatal(err)
	}
	return v
}

// What WriteRows writes is what another reader finds, and nothing else of the
// file changes: in every format, type and byte order that we read.
func TestWriteRows(t *testing.T) {
	files, err := filepath.Glob("testdata/torch/*.pt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	files = append(files, "../testdata/clean/model.safetensors")
	written := map[string]int{}
	for _, file := range files {
		path := copyOf(t, file)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ck, err := Open(t.Context(), path, Options{Write: true})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want := map[string][]float32{}
		for x := range ck.Tensors() {
			if x.DType == C64 { // is no row of numbers
				continue
			}
			want[x.Name] = allOf(t, x)
			if err := x.WriteRows(t.Context(), want[x.Name], 0); err != nil {
				t.Fatalf("%s: %s: %v", file, x.Name, err)
			}
		}
		if err := ck.Sync(); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if same, err := os.ReadFile(path); err != nil || !bytes.Equal(same, before) {
			t.Fatalf("%s: writing what was there changed the file (%v)", file, err)
		}
		var changed *Tensor
		for x := range ck.Tensors() {
			if x.Len()*x.Dim() == 0 {
				continue
			}
			if x.DType.Epsilon() > 0 {
				changed = x
				break
			}
			other := make([]float32, x.Dim()) // than any that is there
			for i := range other {
				other[i] = -123
			}
			if err := x.WriteRows(t.Context(), other, x.Len()-1); !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s: %s of %v was written: %v", file, x.Name, x.DType, err)
			}
		}
		if changed == nil {
			continue
		}
		row := make([]float32, changed.Dim())
		for i := range row {
			row[i] = 0.5 + float32(i%3)
		}
		if err := changed.WriteRows(t.Context(), row, changed.Len()-1); err != nil {
			t.Fatalf("%s: %s: %v", file, changed.Name, err)
		}
		if err := ck.Sync(); err != nil {
			t.Fatal(err)
		}
		copy(want[changed.Name][len(want[changed.Name])-len(row):], row)
		name, format, dtype := changed.Name, ck.Format(), changed.DType
		alias := map[string]bool{} // tensors that are the same bytes, or some of them
		for x := range ck.Tensors() {
			alias[x.Name] = x.Name == name || len(x.data) > 0 && len(changed.data) > 0 && within(x.data[:1], changed.data)
		}
		if err := ck.Close(); err != nil {
			t.Fatal(err)
		}

		again, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatalf("%s after writing: %v", file, err)
		}
		if len(again.Findings()) > 0 {
			t.Errorf("%s after writing: %+v", file, again.Findings())
		}
		for x := range again.Tensors() {
			if x.DType == C64 {
				continue
			}
			got := allOf(t, x)
			if x.Name == name && changedInPlace(x) && !slices.Equal(got, want[name]) {
				t.Errorf("%s: %s reads %v, want %v", file, name, got, want[name])
			}
			if !alias[x.Name] && !sameFloats(got, want[x.Name]) {
				t.Errorf("%s: writing %s changed %s", file, name, x.Name)
			}
		}
		again.Close()
		if format == FormatTorchZip {
			checkArchive(t, path)
		}
		written[string(format)+" "+dtype.String()]++
	}
	for _, kind := range []string{"safetensors F16", "torch-zip F32", "torch-legacy F32"} {
		if written[kind] == 0 {
			t.Errorf("no %s was written: %v", kind, written)
		}
	}
}

// changedInPlace reports whether each element of x has a place of its own.
func changedInPlace(x *Tensor) bool {
	for i, s := range x.stride {
		if s == 0 && x.Shape[i] > 1 {
			return false
		}
	}
	return true
}

func sameFloats(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return x == y || x != x && y != y })
}

// checkArchive reads all members, which checks their checksums.
func checkArchive(t *testing.T, path string) {
	t.Helper()
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, f := range r.File {
		m, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, m); err != nil {
			t.Errorf("%s: %s: %v", path, f.Name, err)
		}
		m.Close()
	}
}

func TestWriteRowsRefuses(t *testing.T) {
	path := copyOf(t, "../testdata/clean/model.safetensors")
	ck, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := ck.InputEmbedding()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.WriteRows(t.Context(), make([]float32, x.Dim()), 0); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a checkpoint that was opened to be read: %v", err)
	}
	ck.Close()
	ck, err = Open(t.Context(), path, Options{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	if x, err = ck.InputEmbedding(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ n, from int }{{x.Dim() - 1, 0}, {x.Dim(), -1}, {x.Dim(), x.Len()}, {2 * x.Dim(), x.Len() - 1}} {
		if err := x.WriteRows(t.Context(), make([]float32, c.n), c.from); err == nil {
			t.Errorf("%d numbers from row %d on were written", c.n, c.from)
		}
	}
	big := make([]float32, x.Dim())
	big[3] = 1e6
	if err := x.WriteRows(t.Context(), big, 0); !errors.Is(err, ErrRange) {
		t.Errorf("1e6 as %v: %v", x.DType, err)
	}
}

// What WriteSafetensors writes reads back, from every format.
func TestWriteSafetensors(t *testing.T) {
	files, err := filepath.Glob("testdata/torch/*.pt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		ck, err := Open(t.Context(), file, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var all []*Tensor
		for x := range ck.Tensors() {
			all = append(all, x)
		}
		var b bytes.Buffer
		if err := WriteSafetensors(t.Context(), &b, map[string]string{"format": "pt"}, all); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		got, err := readSafetensors(newWalker(t.Context(), Options{}), "x", b.Bytes())
		if err != nil || len(got.findings)+len(got.warnings) > 0 || len(got.tensors) != len(all) {
			t.Fatalf("%s: %v, %+v %v", file, err, got.findings, got.warnings)
		}
		for _, x := range got.tensors {
			from := ck.Tensor(x.Name)
			if from == nil || from.DType != x.DType || !slices.Equal(from.Shape, x.Shape) {
				t.Fatalf("%s: %q is %v %v", file, x.Name, x.DType, x.Shape)
			}
			if x.DType != C64 && !sameFloats(allOf(t, x), allOf(t, from)) {
				t.Errorf("%s: %q changed", file, x.Name)
			}
		}
		ck.Close()
	}
}

func TestFloats(t *testing.T) {
	values := []float32{1, -2, 3, float32(math.Inf(1)), 5, 6}
	x, err := Floats("w", []int{2, 3}, values)
	if err != nil || !slices.Equal(allOf(t, x.As("v")), values) || x.As("v").Name != "v" {
		t.Fatalf("%v %v", x, err)
	}
	if _, err := Floats("w", []int{2, 2}, values); err == nil {
		t.Error("six numbers were taken for 2 x 2")
	}
}

// FuzzWriteRows writes rows of random shapes into files and finds them again.
func FuzzWriteRows(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5), uint8(0))
	f.Add(uint64(2), uint8(1), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, rows, dim, kind uint8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n, d := 1+int(rows)%9, 1+int(dim)%9
		dt := []DType{F16, BF16, F32, F64, F8E5M2}[int(kind)%5]
		x := &Tensor{Name: "x", DType: dt, Shape: []int{n, d}, data: make([]byte, n*d*int(dt.Bits()/8)), big: kind&0x80 != 0, write: true}
		if kind&0x40 != 0 { // transposed
			x.stride = []int{1, n}
		}
		want := make([]float32, d)
		for i := range want {
			want[i] = float32(rnd.IntN(8)) / 4
		}
		at := rnd.IntN(n)
		if err := x.WriteRows(t.Context(), want, at); err != nil {
			t.Fatal(err)
		}
		for r := range n {
			got := make([]float32, d)
			if err := x.ReadRows(t.Context(), got, r); err != nil {
				t.Fatal(err)
			}
			if r == at && !slices.Equal(got, want) || r != at && slices.ContainsFunc(got, func(v float32) bool { return v != 0 }) {
				t.Fatalf("row %d of %d x %d, %v: %v", r, n, d, dt, got)
			}
		}
	})
}
