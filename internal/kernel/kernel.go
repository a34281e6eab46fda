// Package kernel holds the inner loops over rows of numbers: decoding of the
// 16-bit floats and the sums that weight evidence is made of.
//
// Each loop exists twice: in plain Go, which is the definition, and in
// assembly written by the generator in internal/asm for amd64 with AVX2,
// FMA and F16C. Both give the same bits: the sums have a fixed order (eight
// float64 lanes by element index modulo eight, folded pairwise), and each
// product is added with one rounding (math.FMA). Tests compare them.
package kernel

import (
	"encoding/binary"
	"math"
)

// Sums are the sums over the elements of two rows, a the reference's and b the
// checkpoint's, with d = b-a taken in float64.
type Sums struct {
	AA float64 // sum of a*a
	BB float64 // sum of b*b
	DD float64 // sum of d*d
	AD float64 // sum of a*d
}

// RowSums returns the sums over a and b, which must be of the same length. A
// row with NaN or infinite numbers makes its own sum of squares (AA or BB) so,
// and leaves the other row's alone.
func RowSums(a, b []float32) Sums {
	if len(a) != len(b) {
		panic("kernel: rows of different length")
	}
	s := rowSums(a, b)
	s.BB = max(0, s.AA+2*s.AD+s.DD) // since b = a+d; not below 0 by rounding
	if math.IsNaN(s.DD) || math.IsInf(s.DD, 0) {
		s.AA, s.BB = dot(a, a), dot(b, b)
	}
	return s
}

// Dot returns the sum of products of a and b, which must be of the same length.
func Dot(a, b []float32) float64 {
	if len(a) != len(b) {
		panic("kernel: rows of different length")
	}
	return dot(a, b)
}

// DecodeBF16 decodes len(dst) little-endian bfloat16 numbers of src.
func DecodeBF16(dst []float32, src []byte) {
	decodeBF16(dst, src[:2*len(dst)])
}

// DecodeF16 decodes len(dst) little-endian IEEE half-precision numbers of src.
func DecodeF16(dst []float32, src []byte) {
	decodeF16(dst, src[:2*len(dst)])
}

// EncodeBF16 writes src as little-endian bfloat16 numbers, rounded towards zero:
// exactly, where they were decoded from such numbers.
func EncodeBF16(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(math.Float32bits(x)>>16))
	}
}

// EncodeF16 writes src, numbers that were decoded from half-precision numbers,
// as such. Others lose bits or their value.
func EncodeF16(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], f16Bits(x))
	}
}

// f16Bits is the inverse of F16.
func f16Bits(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, e, m := uint16(bits>>16&0x8000), int(bits>>23&0xff), uint16(bits>>13&0x3ff)
	switch {
	case e == 0xff:
		return sign | 0x7c00 | m
	case e > 112:
		return sign | uint16(e-112)<<10 | m
	}
	return sign | uint16(math.Abs(float64(x))*(1<<24))
}

// F16 is the value of the IEEE 754 half-precision number with bits h.
func F16(h uint16) float32 {
	sign, e, m := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch {
	case e == 0x1f: // infinity or NaN, made quiet as the hardware does
		if m != 0 {
			m |= 0x200
		}
		return math.Float32frombits(sign | 0xff<<23 | m<<13)
	case e == 0:
		f := float32(m) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(f))
	}
	return math.Float32frombits(sign | (e+112)<<23 | m<<13)
}

// rowSumsGo returns all sums but BB.
func rowSumsGo(a, b []float32) Sums {
	var aa, dd, ad [8]float64
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		for j := range 8 {
			p := float64(x[j])
			d := float64(y[j]) - p
			aa[j] = math.FMA(p, p, aa[j])
			dd[j] = math.FMA(d, d, dd[j])
			ad[j] = math.FMA(p, d, ad[j])
		}
	}
	s := Sums{AA: fold(&aa), DD: fold(&dd), AD: fold(&ad)}
	rowSumsTail(&s, a[i:], b[i:])
	return s
}

// rowSumsTail adds the last few elements, which fill no group of eight.
func rowSumsTail(s *Sums, a, b []float32) {
	for i, x := range a {
		p := float64(x)
		d := float64(b[i]) - p
		s.AA = math.FMA(p, p, s.AA)
		s.DD = math.FMA(d, d, s.DD)
		s.AD = math.FMA(p, d, s.AD)
	}
}

func dotGo(a, b []float32) float64 {
	var lanes [8]float64
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		for j := range 8 {
			lanes[j] = math.FMA(float64(x[j]), float64(y[j]), lanes[j])
		}
	}
	return dotTail(fold(&lanes), a[i:], b[i:])
}

func dotTail(s float64, a, b []float32) float64 {
	for i, x := range a {
		s = math.FMA(float64(x), float64(b[i]), s)
	}
	return s
}

func fold(l *[8]float64) float64 {
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

func decodeBF16Go(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

func decodeF16Go(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = F16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}
