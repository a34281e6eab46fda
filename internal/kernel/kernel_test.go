package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// guard surrounds test slices; a kernel that writes past its slice changes it.
const guard = 12345.0

func TestRowSumsMatchesReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 70 {
		a, b := make([]float32, n), make([]float32, n)
		for i := range a {
			a[i] = float32(r.NormFloat64())
			b[i] = a[i] + float32(r.NormFloat64())*1e-3
		}
		if got, want := rowSums(a, b), rowSumsGo(a, b); got != want {
			t.Fatalf("n = %d: %+v, want %+v", n, got, want)
		}
		if got, want := Dot(a, b), dotGo(a, b); got != want {
			t.Fatalf("n = %d: %v, want %v", n, got, want)
		}
	}
}

func TestRowSumsOfKnownRows(t *testing.T) {
	a, b := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}, []float32{1, 2, 3, 4, 5, 6, 7, 8, 11}
	want := Sums{AA: 285, BB: 325, DD: 4, AD: 18}
	if got := RowSums(a, b); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := Dot(a, b); got != 303 {
		t.Errorf("dot product %v, want 303", got)
	}
}

func TestRowSumsTellsWhichRowIsNotFinite(t *testing.T) {
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, n := range []int{24, 27} { // in the groups and in the tail
			good, row := make([]float32, n), make([]float32, n)
			row[n-1] = bad
			if s := RowSums(good, row); !finite(s.AA) || finite(s.BB) {
				t.Errorf("%v in the second row: %+v", bad, s)
			}
			if s := RowSums(row, good); finite(s.AA) || !finite(s.BB) {
				t.Errorf("%v in the first row: %+v", bad, s)
			}
		}
	}
}

func TestRowSumsOfZeroedRowIsZero(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	a := make([]float32, 100)
	for i := range a {
		a[i] = float32(r.NormFloat64())
	}
	if s := RowSums(a, make([]float32, 100)); s.BB != 0 {
		t.Errorf("sum of squares of zeros is %g", s.BB)
	}
}

func TestDecodeAll16BitNumbers(t *testing.T) {
	src := make([]byte, 2<<16)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
	}
	for _, c := range []struct {
		name         string
		decode, want func([]float32, []byte)
	}{{"bf16", DecodeBF16, decodeBF16Go}, {"f16", DecodeF16, decodeF16Go}} {
		for _, n := range []int{0, 1, 15, 16, 17, 33, 1 << 16} {
			got, want := make([]float32, n+1), make([]float32, n)
			got[n] = guard
			c.decode(got[:n], src)
			c.want(want, src)
			for i, w := range want {
				if math.Float32bits(got[i]) != math.Float32bits(w) {
					t.Fatalf("%s: %#04x is %x, want %x", c.name, i, math.Float32bits(got[i]), math.Float32bits(w))
				}
			}
			if got[n] != guard {
				t.Fatalf("%s: wrote past the end", c.name)
			}
		}
	}
}

func TestF16KnownValues(t *testing.T) {
	for h, want := range map[uint16]float64{
		0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: math.Ldexp(1, -24), 0x0400: math.Ldexp(1, -14), 0x7c00: math.Inf(1), 0x3555: 0.333251953125,
	} {
		if got := float64(F16(h)); got != want {
			t.Errorf("%#04x is %v, want %v", h, got, want)
		}
	}
}

func benchmarkRows(b *testing.B, dim int, f func(x, y []float32) Sums) {
	x, y := make([]float32, dim), make([]float32, dim)
	b.SetBytes(int64(8 * dim))
	for b.Loop() {
		f(x, y)
	}
}

func BenchmarkRowSums(b *testing.B) {
	for name, f := range map[string]func(x, y []float32) Sums{"kernel": RowSums, "go": rowSumsGo} {
		b.Run(name+"/384", func(b *testing.B) { benchmarkRows(b, 384, f) })
		b.Run(name+"/4096", func(b *testing.B) { benchmarkRows(b, 4096, f) })
	}
}

func BenchmarkDecode(b *testing.B) {
	dst, src := make([]float32, 4096), make([]byte, 8192)
	for name, f := range map[string]func([]float32, []byte){"bf16": DecodeBF16, "bf16-go": decodeBF16Go, "f16": DecodeF16, "f16-go": decodeF16Go} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(8192)
			for b.Loop() {
				f(dst, src)
			}
		})
	}
}

func TestEncodeIsTheInverseOfDecode(t *testing.T) {
	src, back := make([]byte, 2<<16), make([]byte, 2<<16)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
	}
	x := make([]float32, 1<<16)
	for name, f := range map[string]struct {
		decode func([]float32, []byte)
		encode func([]byte, []float32)
	}{"bf16": {DecodeBF16, EncodeBF16}, "f16": {DecodeF16, EncodeF16}} {
		f.decode(x, src)
		f.encode(back, x)
		for i := range 1 << 16 {
			got := binary.LittleEndian.Uint16(back[2*i:])
			if got != uint16(i) && !(math.IsNaN(float64(x[i])) && got == uint16(i)|0x200) { // made quiet
				t.Fatalf("%s: %#04x came back as %#04x", name, i, got)
			}
		}
	}
}
