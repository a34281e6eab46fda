//go:build gotch

package gotch

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// This file is all that calls libtorch: by gotch's bindings, not by its tensors
// (package ts), which weigh 100 kB each on Go's heap, lose C memory with every
// operation, and end the process on some errors.

// A tensor is a handle, which is dropped by hand. The zero value is none.
type tensor = libtch.Ctensor

// The types of elements, as libtorch numbers them.
const (
	asStored    = -1
	typeInt64   = 4
	typeFloat   = 6
	typeFloat64 = 7
	typeBool    = 11
)

// thread runs functions on one thread of the system, on which libtorch keeps its
// last error and whether it records for gradients. It lives as long as the
// process.
var thread = sync.OnceValue(func() chan<- func() {
	todo := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range todo {
			f()
		}
	}()
	return todo
})

// A failure is how an operation that failed ends the function of do.
type failure struct{ error }

// do runs f on libtorch's thread. It returns its error, or that of an operation
// that failed in it.
func do(f func() error) (err error) {
	done := make(chan any)
	thread() <- func() {
		defer func() { done <- recover() }()
		err = f()
	}
	switch r := (<-done).(type) {
	case nil:
		return err
	case failure:
		return r.error
	default: // to the caller's goroutine, which someone may guard
		panic(r)
	}
}

// check ends the function of do if the last call of libtorch failed.
func check() { fail(unsafe.Pointer(libtch.GetAndResetLastErr())) }

// fail does, unless there is no message.
func fail(p unsafe.Pointer) {
	if p == nil {
		return
	}
	var msg strings.Builder
	for ; *(*byte)(p) != 0 && *(*byte)(p) != '\n'; p = unsafe.Add(p, 1) { // a trace follows
		msg.WriteByte(*(*byte)(p))
	}
	panic(failure{fmt.Errorf("libtorch: %s", strings.ToValidUTF8(msg.String(), "?"))})
}

// live is how many handles there are, for tests to see that none is lost.
var live int

func drop(t tensor) {
	if t != nil {
		libtch.AtFree(t)
		live--
	}
}

// view is the memory of a tensor without gaps on the processor: of n elements.
func view[T float32 | int64 | bool](t tensor, n int) []T {
	p := libtch.AtDataPtr(t)
	check()
	return unsafe.Slice((*T)(p), n)
}

// numbers copies a tensor of n elements.
func numbers[T float32 | float64](t tensor, n int) []T {
	x := make([]T, n)
	if n > 0 {
		libtch.AtCopyData(t, unsafe.Pointer(&x[0]), uint(n), uint(unsafe.Sizeof(x[0])))
		check()
	}
	return x
}

// gradients are those of loss with regard to some tensors; none for one that it
// does not depend on. (gotch's RunBackward has room for one.)
func (s *scope) gradients(loss tensor, of []tensor) []tensor {
	out := make([]tensor, len(of))
	libtch.AtRunBackward(&loss, 1, &of[0], len(of), &out[0], 0, 0)
	check()
	for i, t := range out {
		if s.own(t); !libtch.AtDefined(t) {
			out[i] = nil
		}
	}
	return out
}

// CUDADevices is how many CUDA devices there are; if none, the error says why.
func CUDADevices() (n int, err error) {
	err = do(func() error {
		n = max(0, int(libtch.AtcCudaDeviceCount()))
		check()
		if n > 0 {
			return nil
		}
		var s scope
		defer s.drop()
		s.empty(0, typeFloat, 1) // libtorch knows what is missing
		return errors.New("libtorch sees no CUDA device")
	})
	if n == 0 && strings.Contains(err.Error(), "Could not run") { // as it says of any backend
		err = errors.New("this program was linked with a libtorch for the processor alone")
	}
	return n, err
}

// A scope owns tensors. Its methods are operations, whose results it owns.
type scope struct{ owned []tensor }

func (s *scope) own(t tensor) tensor {
	check()
	live++
	s.owned = append(s.owned, t)
	return t
}

func (s *scope) drop() {
	for _, t := range s.owned {
		drop(t)
	}
	s.owned = nil
}

// give lets another scope own t, which the scope owns.
func (s *scope) give(t tensor, to *scope) {
	for i, x := range s.owned {
		if x == t {
			s.owned[i] = s.owned[len(s.owned)-1]
			s.owned = s.owned[:len(s.owned)-1]
			to.owned = append(to.owned, t)
			return
		}
	}
}

// take is give to nobody: the caller is to drop t.
func (s *scope) take(t tensor) tensor {
	s.give(t, &scope{})
	return t
}

// within makes one tensor and drops what was made on the way.
func (s *scope) within(f func(s *scope) tensor) tensor {
	var inner scope
	defer inner.drop()
	t := f(&inner)
	inner.give(t, s)
	return t
}

func sizes(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, n := range shape {
		out[i] = int64(n)
	}
	return out
}

func (s *scope) empty(device int32, kind int32, shape ...int) (t tensor) {
	libtch.AtgEmpty(&t, sizes(shape), len(shape), kind, device)
	return s.own(t)
}

func (s *scope) zeros(device int32, shape ...int) (t tensor) {
	libtch.AtgZeros(&t, sizes(shape), len(shape), typeFloat, device)
	return s.own(t)
}

// of makes a tensor of numbers on the device.
func of[T float32 | int64 | bool](s *scope, device int32, data []T, shape ...int) tensor {
	kind := int32(typeFloat)
	switch any(data).(type) {
	case []int64:
		kind = typeInt64
	case []bool:
		kind = typeBool
	}
	return s.within(func(s *scope) tensor {
		t := s.empty(onCPU, kind, shape...)
		copy(view[T](t, len(data)), data)
		return s.to(t, device)
	})
}

// to returns t itself if it is there.
func (s *scope) to(t tensor, device int32) (u tensor) {
	if device == onCPU {
		return t
	}
	libtch.AtgTo(&u, t, device)
	return s.own(u)
}

// leaf is x, as a tensor with regard to which gradients are taken.
func (s *scope) leaf(x tensor) tensor {
	var t, same tensor
	libtch.AtgDetach(&t, x)
	s.own(t)
	libtch.AtgRequiresGrad_(&same, t, 1)
	check()
	libtch.AtFree(same)
	return t
}

func (s *scope) add(a, b tensor) (t tensor)    { libtch.AtgAdd(&t, a, b); return s.own(t) }
func (s *scope) sub(a, b tensor) (t tensor)    { libtch.AtgSub(&t, a, b); return s.own(t) }
func (s *scope) mul(a, b tensor) (t tensor)    { libtch.AtgMul(&t, a, b); return s.own(t) }
func (s *scope) div(a, b tensor) (t tensor)    { libtch.AtgDiv(&t, a, b); return s.own(t) }
func (s *scope) matmul(a, b tensor) (t tensor) { libtch.AtgMatmul(&t, a, b); return s.own(t) }
func (s *scope) square(x tensor) (t tensor)    { libtch.AtgSquare(&t, x); return s.own(t) }
func (s *scope) sqrt(x tensor) (t tensor)      { libtch.AtgSqrt(&t, x); return s.own(t) }
func (s *scope) rsqrt(x tensor) (t tensor)     { libtch.AtgRsqrt(&t, x); return s.own(t) }
func (s *scope) tanh(x tensor) (t tensor)      { libtch.AtgTanh(&t, x); return s.own(t) }
func (s *scope) silu(x tensor) (t tensor)      { libtch.AtgSilu(&t, x); return s.own(t) }
func (s *scope) relu(x tensor) (t tensor)      { libtch.AtgRelu(&t, x); return s.own(t) }

func (s *scope) gelu(x tensor, approximate string) (t tensor) {
	libtch.AtgGelu(&t, x, approximate)
	return s.own(t)
}

func (s *scope) softmax(x tensor) (t tensor) {
	libtch.AtgSoftmax(&t, x, -1, asStored)
	return s.own(t)
}

// sum is that of all elements, in elements of that type.
func (s *scope) sum(x tensor, kind int32) (t tensor) {
	libtch.AtgSum(&t, x, kind)
	return s.own(t)
}

// rowMeans are the means of the last dimension, which stays, with length 1.
func (s *scope) rowMeans(x tensor) (t tensor) {
	libtch.AtgMeanDim(&t, x, []int64{-1}, 1, 1, asStored)
	return s.own(t)
}

// scaled is c*x, and plus c+x.
func (s *scope) scaled(x tensor, c float64) (t tensor) {
	scalar(c, func(c libtch.Cscalar) { libtch.AtgMulScalar(&t, x, c) })
	return s.own(t)
}

func (s *scope) plus(x tensor, c float64) (t tensor) {
	scalar(c, func(c libtch.Cscalar) { libtch.AtgAddScalar(&t, x, c) })
	return s.own(t)
}

// filled is x with c wherever mask is true.
func (s *scope) filled(x, mask tensor, c float64) (t tensor) {
	scalar(c, func(c libtch.Cscalar) { libtch.AtgMaskedFill(&t, x, mask, c) })
	return s.own(t)
}

func scalar(c float64, use func(libtch.Cscalar)) {
	x := libtch.AtsFloat(c)
	use(x)
	err := libtch.GetAndResetLastErr()
	libtch.AtsFree(x)
	fail(unsafe.Pointer(err))
}

// linear is x·Wᵀ + b; b may be none.
func (s *scope) linear(x, w, b tensor) (t tensor) { libtch.AtgLinear(&t, x, w, b); return s.own(t) }

// addmm is b + x·w.
func (s *scope) addmm(b, x, w tensor) (t tensor) { libtch.AtgAddmm(&t, b, x, w); return s.own(t) }

func (s *scope) layerNorm(x, w, b tensor, width int, eps float32) (t tensor) {
	libtch.AtgLayerNorm(&t, x, []int64{int64(width)}, 1, w, b, float64(eps), 1)
	return s.own(t)
}

// rows are those of x at an index.
func (s *scope) rows(x, index tensor) (t tensor) {
	libtch.AtgIndexSelect(&t, x, 0, index)
	return s.own(t)
}

// addRows is x with rows added at an index.
func (s *scope) addRows(x, index, rows tensor) (t tensor) {
	libtch.AtgIndexAdd(&t, x, 0, index, rows)
	return s.own(t)
}

// setRows sets rows of x.
func setRows(x, index, rows tensor) {
	var same tensor
	libtch.AtgIndexCopy_(&same, x, 0, index, rows)
	check()
	libtch.AtFree(same)
}

// set sets x.
func set(x, values tensor) {
	libtch.AtCopy_(x, values)
	check()
}

func (s *scope) cat(dim int, ts ...tensor) (t tensor) {
	if len(ts) == 1 {
		return ts[0]
	}
	libtch.AtgCat(&t, ts, len(ts), int64(dim))
	return s.own(t)
}

// part is x from index from on, so many.
func (s *scope) part(x tensor, dim, from, n int) (t tensor) {
	libtch.AtgNarrow(&t, x, int64(dim), int64(from), int64(n))
	return s.own(t)
}

func (s *scope) reshape(x tensor, shape ...int) (t tensor) {
	libtch.AtgReshape(&t, x, sizes(shape), len(shape))
	return s.own(t)
}

func (s *scope) expand(x tensor, shape ...int) (t tensor) {
	libtch.AtgExpand(&t, x, sizes(shape), len(shape), 0)
	return s.own(t)
}

func (s *scope) permute(x tensor, dims ...int) (t tensor) {
	libtch.AtgPermute(&t, x, sizes(dims), len(dims))
	return s.own(t)
}

func (s *scope) transpose(x tensor, i, j int) (t tensor) {
	libtch.AtgTranspose(&t, x, int64(i), int64(j))
	return s.own(t)
}
