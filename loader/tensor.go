package loader

import (
	"context"
	"fmt"
	"math/bits"
	"sync/atomic"
)

// A Tensor is a named, lazily read array. It refers into the mapped file and
// is valid until its Checkpoint is closed. Its methods are safe for concurrent
// use.
type Tensor struct {
	Name  string
	DType DType
	Shape []int

	file   string // for error messages: "file" or "archive!member"
	pos    int64  // byte offset of data in file, for error messages
	data   []byte // the storage the tensor is a view of
	offset int    // of the first element in data, in elements
	stride []int  // in elements, one per dimension; nil when contiguous
	big    bool   // elements are big-endian
	mapped bool   // data is a part of a mapped file
	write  bool   // and may be changed
	wrote  atomic.Bool
}

// A view describes where a tensor's elements lie in a storage. All numbers are
// the attacker's until newTensor has checked them.
type view struct {
	name   string
	dtype  DType
	shape  []uint64
	stride []uint64 // in elements; nil for a contiguous tensor
	offset uint64   // in elements
	big    bool
	file   string // for messages
	pos    int64  // of data in file, for messages
	data   []byte // the storage
}

// maxDims caps the number of dimensions; PyTorch's own limit is 64.
const maxDims = 64

// newTensor checks v against the bytes that exist and returns the tensor.
func newTensor(v view) (*Tensor, error) {
	bad := func(format string, args ...any) (*Tensor, error) {
		return nil, &FormatError{Path: v.file, Off: v.pos, Msg: fmt.Sprintf("tensor %q: ", v.name) + fmt.Sprintf(format, args...)}
	}
	if v.dtype.Bits() == 0 {
		return bad("unknown element type")
	}
	if len(v.shape) > maxDims {
		return bad("%d dimensions, the limit is %d", len(v.shape), maxDims)
	}
	if v.stride != nil && len(v.stride) != len(v.shape) {
		return bad("%d strides for %d dimensions", len(v.stride), len(v.shape))
	}
	n, ok := product(v.shape)
	if !ok {
		return bad("shape %v overflows", v.shape)
	}
	shape := make([]int, len(v.shape))
	for i, s := range v.shape {
		if s > 1<<62 {
			return bad("dimension %d is %d", i, s)
		}
		shape[i] = int(s)
	}
	t := &Tensor{Name: v.name, DType: v.dtype, Shape: shape, file: v.file, pos: v.pos, data: v.data, big: v.big}
	// The index of the last element that can be reached, plus one.
	end := v.offset
	if n > 0 {
		if v.stride == nil {
			end, ok = add(v.offset, n)
		} else {
			end, ok = reach(v.offset, v.shape, v.stride)
		}
		if !ok {
			return bad("shape %v, strides %v and offset %d overflow", v.shape, v.stride, v.offset)
		}
	}
	hi, lo := bits.Mul64(end, v.dtype.Bits())
	if hi != 0 {
		return bad("shape %v overflows", v.shape)
	}
	need := lo/8 + min(lo%8, 1)
	if need > uint64(len(v.data)) {
		return bad("needs %d bytes of storage, %d exist", need, len(v.data))
	}
	t.offset = int(v.offset)
	if n > 0 && v.stride != nil && !contiguous(v.shape, v.stride) {
		t.stride = make([]int, len(v.stride))
		for i, s := range v.stride {
			if v.shape[i] > 1 { // the stride of a dimension of one is never used
				t.stride[i] = int(s)
			}
		}
	}
	return t, nil
}

func add(a, b uint64) (uint64, bool) {
	s, carry := bits.Add64(a, b, 0)
	return s, carry == 0
}

func product(shape []uint64) (uint64, bool) {
	n, zero := uint64(1), false
	for _, s := range shape {
		if s == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, s)
		if hi != 0 {
			return 0, false
		}
		n = lo
	}
	if zero {
		return 0, true
	}
	return n, true
}

func reach(offset uint64, shape, stride []uint64) (uint64, bool) {
	end, ok := add(offset, 1)
	for i, s := range shape {
		hi, lo := bits.Mul64(s-1, stride[i])
		if hi != 0 || !ok {
			return 0, false
		}
		end, ok = add(end, lo)
	}
	return end, ok
}

func contiguous(shape, stride []uint64) bool {
	want := uint64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && stride[i] != want {
			return false
		}
		want *= shape[i]
	}
	return true
}

// Len is the number of rows: the first dimension, 1 for a scalar.
func (t *Tensor) Len() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[0]
}

// Dim is the number of elements in a row: the product of the other dimensions.
func (t *Tensor) Dim() int {
	n := 1
	for i := 1; i < len(t.Shape); i++ {
		n *= t.Shape[i]
	}
	return n
}

// Forget says that the tensor will not be read soon: its pages leave this
// process's memory. Reading it again brings them back.
func (t *Tensor) Forget() {
	if t.mapped { // dropped from other memory, bytes would be lost
		forget(t.data)
	}
}

// ReadRows decodes rows from, from+1, ... into dst as float32, as many as fit;
// len(dst) must be a multiple of Dim and the rows must exist. Integers and
// float64 are rounded to float32. A file that shrinks while it is mapped gives
// an error.
func (t *Tensor) ReadRows(ctx context.Context, dst []float32, from int) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.checkRows(len(dst), from); err != nil || len(dst) == 0 {
		return err
	}
	dim := t.Dim()
	defer t.guard(&err)()
	if t.stride == nil {
		return decode(dst, t.data, t.DType, t.offset+from*dim, t.big)
	}
	return t.gather(dst, from)
}

// checkRows reports whether n numbers are rows from, from+1, ... of t.
func (t *Tensor) checkRows(n, from int) error {
	dim := t.Dim()
	if n == 0 {
		return nil
	}
	if dim == 0 || n%dim != 0 || from < 0 || from > t.Len() || n/dim > t.Len()-from {
		return fmt.Errorf("tensor %q: %d numbers from row %d on, of %d rows of %d", t.Name, n, from, t.Len(), dim)
	}
	return nil
}

// element is the index in data of the element i of a row.
func (t *Tensor) element(row, i int) int {
	if t.stride == nil {
		return t.offset + row*t.Dim() + i
	}
	off := t.offset
	if len(t.stride) > 0 {
		off += row * t.stride[0]
	}
	for d := len(t.Shape) - 1; d > 0; d-- {
		off += i % t.Shape[d] * t.stride[d]
		i /= t.Shape[d]
	}
	return off
}

// VisitRows calls visit with rows from, from+1, ... from+n-1 as float32:
// without copying where the file holds them in that form, otherwise decoded
// into buf, which must have room for n rows. The slice is read-only and valid
// only during the call. Like ReadRows, it survives a file that shrinks.
func (t *Tensor) VisitRows(ctx context.Context, from, n int, buf []float32, visit func(rows []float32)) (err error) {
	if v := t.view(from, n); v != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		defer t.guard(&err)()
		visit(v)
		return nil
	}
	if n < 0 || n*t.Dim() > len(buf) {
		return fmt.Errorf("tensor %q: a buffer of %d for %d rows of %d", t.Name, len(buf), n, t.Dim())
	}
	buf = buf[:n*t.Dim()]
	if err := t.ReadRows(ctx, buf, from); err != nil {
		return err
	}
	visit(buf)
	return nil
}

// view returns rows of the mapping itself, or nil where they are not float32
// in this machine's byte order and alignment.
func (t *Tensor) view(from, n int) []float32 {
	dim := t.Dim()
	if t.DType != F32 || t.big || t.stride != nil || from < 0 || n <= 0 || from > t.Len() || n > t.Len()-from {
		return nil
	}
	return float32s(t.data, t.offset+from*dim, n*dim)
}

// guard makes a fault in the mapping an error. Use: defer t.guard(&err)().
func (t *Tensor) guard(err *error) func() {
	return guard(t.file, t.pos, t.Name, err)
}
