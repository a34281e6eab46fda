package loader

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/btu-scan/btu-scan/loader/internal/zipdir"
)

// ErrReadOnly marks a tensor that cannot be written: its checkpoint was opened
// without Options.Write, or the tensor is no part of a file as it lies there.
var ErrReadOnly = errors.New("the tensor cannot be written")

// ErrRange marks a number that the tensor's element type cannot hold.
var ErrRange = errors.New("the number does not fit the tensor's type")

// WriteRows rounds src to the tensor's element type, to nearest and ties to
// even, and makes it rows from, from+1, ... of the tensor in its file. An element
// whose value stays keeps its bytes. Nothing else of the file changes; a zip
// archive's checksums do not fit until Sync. Not to be called while the rows are
// read.
//
// Errors: ErrReadOnly, ErrRange, and a *FormatError where the file cannot take
// the change, such as on a full disk. Rows may then be written in part.
func (t *Tensor) WriteRows(ctx context.Context, src []float32, from int) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.checkRows(len(src), from); err != nil || len(src) == 0 {
		return err
	}
	if !t.write {
		return fmt.Errorf("tensor %s: %w", quoted(t.Name), ErrReadOnly)
	}
	defer t.guard(&err)()
	t.wrote.Store(true)
	dim := t.Dim()
	old := make([]float32, dim)
	for r := 0; r*dim < len(src); r++ {
		if err := t.ReadRows(ctx, old, from+r); err != nil {
			return err
		}
		for i, x := range src[r*dim : (r+1)*dim] {
			if x == old[i] || x != x && old[i] != old[i] {
				continue
			}
			if err := encode(t.data, t.DType, t.element(from+r, i), t.big, x); err != nil {
				return fmt.Errorf("tensor %s, row %d: %w", quoted(t.Name), from+r, err)
			}
		}
	}
	return nil
}

// encode makes x element i of dst.
func encode(dst []byte, dt DType, i int, big bool, x float32) error {
	order := byteOrder(big)
	switch dt {
	case F64:
		order.PutUint64(dst[8*i:], math.Float64bits(float64(x)))
	case F32:
		order.PutUint32(dst[4*i:], math.Float32bits(x))
	case BF16:
		order.PutUint16(dst[2*i:], roundBF16(x))
	case F16:
		order.PutUint16(dst[2*i:], roundF16(x))
	case F8E4M3, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ:
		dst[i] = roundF8(f8Tables[dt], x)
	default:
		return fmt.Errorf("%w: elements of type %v are no floating-point numbers that are written", ErrUnsupported, dt)
	}
	var back [1]float32
	if err := decode(back[:], dst, dt, i, big); err != nil {
		return err
	}
	a, b := math.Abs(float64(x)), math.Abs(float64(back[0]))
	if x-x == 0 && (b-b != 0 || a > 1 && a > b*(1+2*dt.Epsilon())) { // infinite, or the largest that there is
		return fmt.Errorf("%w: %v as %v", ErrRange, x, dt)
	}
	return nil
}

func roundBF16(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		return uint16(bits>>16) | 0x40 // quiet, as rounding could make it an infinity
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

func roundF16(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits >> 16 & 0x8000)
	switch a := math.Abs(float64(x)); {
	case x != x:
		return sign | 0x7e00
	case a >= 65520: // half a unit over the largest
		return sign | 0x7c00
	case a < 1.0/(1<<14): // subnormal: in units of 2^-24
		return sign | uint16(math.RoundToEven(a*(1<<24)))
	}
	bits &= 0x7fffffff
	bits += 0xfff + bits>>13&1
	return sign | uint16(bits>>13-112<<10)
}

// roundF8 finds the code whose value is nearest, the even one of two.
func roundF8(table *[256]float32, x float32) byte {
	best, away := -1, math.Inf(1)
	for code, v := range table {
		d := math.Abs(float64(v) - float64(x))
		if v-v != 0 {
			if v == x || v != v && x != x {
				return byte(code)
			}
			continue
		}
		same := math.Signbit(float64(v)) == math.Signbit(float64(x))
		if d < away || d == away && (code&1 == 0 && same || best&1 == 1) {
			best, away = code, d
		}
	}
	return byte(best)
}

// Sync makes what WriteRows wrote durable, and the checksums fit. It must be
// called before the files are used.
func (c *Checkpoint) Sync() (err error) {
	defer guard(c.path, -1, "", &err)()
	for _, f := range c.files {
		var parts [][]byte // of the file, which were written
		for _, t := range c.tensors {
			if t.wrote.Load() && within(t.data, f.data.data) {
				parts = append(parts, t.data)
			}
		}
		if len(parts) == 0 {
			continue
		}
		if c.format == FormatTorchZip {
			if err := fixChecksums(f.data.data, parts); err != nil {
				return zipError(f.Path, "", err)
			}
		}
		if err := f.data.data.Flush(); err != nil {
			return &os.PathError{Op: "sync", Path: f.Path, Err: err}
		}
	}
	return nil
}

// fixChecksums computes the checksums of the members that hold parts.
func fixChecksums(data []byte, parts [][]byte) error {
	dir, err := zipdir.Open(context.Background(), data, zipdir.Limits{})
	if err != nil {
		return err
	}
	for _, e := range dir.Entries {
		for _, p := range parts {
			if within(p, e.Raw()) {
				at, crc := e.Checksums()
				for _, off := range at {
					binary.LittleEndian.PutUint32(data[off:], crc)
				}
				break
			}
		}
	}
	return nil
}
