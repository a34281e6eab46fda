package loader

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/btu-scan/btu-scan/internal/kernel"
)

// decode converts len(dst) elements of src, from element off on, to float32.
// The caller has checked that the bytes exist.
func decode(dst []float32, src []byte, dt DType, off int, big bool) error {
	n := len(dst)
	switch dt {
	case F32:
		b := src[4*off : 4*(off+n)]
		if v := float32s(src, off, n); v != nil && !big {
			copy(dst, v)
			return nil
		}
		order := byteOrder(big)
		for i := range dst {
			dst[i] = math.Float32frombits(order.Uint32(b[4*i:]))
		}
	case BF16, F16:
		b := src[2*off : 2*(off+n)]
		switch {
		case dt == BF16 && !big:
			kernel.DecodeBF16(dst, b)
		case dt == F16 && !big:
			kernel.DecodeF16(dst, b)
		case dt == BF16:
			for i := range dst {
				dst[i] = math.Float32frombits(uint32(binary.BigEndian.Uint16(b[2*i:])) << 16)
			}
		default:
			for i := range dst {
				dst[i] = kernel.F16(binary.BigEndian.Uint16(b[2*i:]))
			}
		}
	case F64, I64, U64, I32, U32, I16, U16, U8, I8, BOOL:
		size := int(dt.Bits() / 8)
		b := src[size*off : size*(off+n)]
		order := byteOrder(big)
		for i := range dst {
			dst[i] = number(dt, order, b[size*i:])
		}
	case F8E4M3, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0:
		table := f8Tables[dt]
		for i, x := range src[off : off+n] {
			dst[i] = table[x]
		}
	default:
		return fmt.Errorf("%w: elements of type %v cannot be read as numbers", ErrUnsupported, dt)
	}
	return nil
}

func byteOrder(big bool) binary.ByteOrder {
	if big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func number(dt DType, order binary.ByteOrder, b []byte) float32 {
	switch dt {
	case F64:
		return float32(math.Float64frombits(order.Uint64(b)))
	case I64:
		return float32(int64(order.Uint64(b)))
	case U64:
		return float32(order.Uint64(b))
	case I32:
		return float32(int32(order.Uint32(b)))
	case U32:
		return float32(order.Uint32(b))
	case I16:
		return float32(int16(order.Uint16(b)))
	case U16:
		return float32(order.Uint16(b))
	case I8:
		return float32(int8(b[0]))
	}
	return float32(b[0]) // U8, BOOL
}

// gather reads rows of a strided view, element by element.
func (t *Tensor) gather(dst []float32, from int) error {
	dim := t.Dim()
	for r := 0; r*dim < len(dst); r++ {
		row := dst[r*dim : (r+1)*dim]
		base := t.offset + (from+r)*t.stride[0]
		if len(t.Shape) == 2 && t.stride[1] == 1 {
			if err := decode(row, t.data, t.DType, base, t.big); err != nil {
				return err
			}
			continue
		}
		for i := range row {
			if err := decode(row[i:i+1], t.data, t.DType, t.element(from+r, i), t.big); err != nil {
				return err
			}
		}
	}
	return nil
}

// f8Tables hold the value of each byte of the 8-bit floats. E4M3 has no
// infinities and one NaN, E5M2 follows IEEE 754, the FNUZ variants have no
// negative zero (whose code is their NaN) and a bias larger by one, E8M0 is an
// exponent alone (OCP 8-bit and microscaling formats, as in PyTorch).
var f8Tables = map[DType]*[256]float32{
	F8E4M3:     f8Table(4, 3, 7, false, func(x byte) bool { return x&0x7f == 0x7f }),
	F8E4M3FNUZ: f8Table(4, 3, 8, false, func(x byte) bool { return x == 0x80 }),
	F8E5M2:     f8Table(5, 2, 15, true, func(x byte) bool { return x&0x7f > 0x7c }),
	F8E5M2FNUZ: f8Table(5, 2, 16, false, func(x byte) bool { return x == 0x80 }),
	F8E8M0:     f8E8M0(),
}

func f8Table(exponent, mantissa, bias int, inf bool, nan func(byte) bool) *[256]float32 {
	var t [256]float32
	for i := range t {
		x := byte(i)
		e, m := int(x&0x7f)>>mantissa, float64(int(x)&(1<<mantissa-1))
		var v float64
		switch {
		case nan(x):
			v = math.NaN()
		case inf && e == 1<<exponent-1:
			v = math.Inf(1)
		case e == 0:
			v = math.Ldexp(m, 1-bias-mantissa)
		default:
			v = math.Ldexp(m+float64(int(1)<<mantissa), e-bias-mantissa)
		}
		if x >= 0x80 {
			v = -v
		}
		t[i] = float32(v)
	}
	return &t
}

func f8E8M0() *[256]float32 {
	var t [256]float32
	for i := range t {
		t[i] = float32(math.Ldexp(1, i-127))
	}
	t[255] = float32(math.NaN())
	return &t
}
