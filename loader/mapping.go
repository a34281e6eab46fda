package loader

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"

	"github.com/edsrzf/mmap-go"
)

// A mapping is a whole file, mapped.
type mapping struct {
	data mmap.MMap
}

// mapFile maps f, which may be closed afterwards. Only regular files are
// mapped: a pipe or a device has no size to trust.
func mapFile(f *os.File, write bool) (*mapping, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "map", Path: f.Name(), Err: fmt.Errorf("%w: not a regular file", ErrUnsupported)}
	}
	if info.Size() == 0 {
		return &mapping{}, nil
	}
	if info.Size() != int64(int(info.Size())) {
		return nil, &fs.PathError{Op: "map", Path: f.Name(), Err: fmt.Errorf("%d bytes do not fit this machine's address space", info.Size())}
	}
	prot := mmap.RDONLY
	if write {
		prot = mmap.RDWR
	}
	data, err := mmap.Map(f, prot, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "map", Path: f.Name(), Err: err}
	}
	return &mapping{data: data}, nil
}

func (m *mapping) close() error {
	if m == nil || m.data == nil {
		return nil
	}
	return m.data.Unmap()
}

// within reports whether part is a part of whole, in memory.
func within(part, whole []byte) bool {
	from, base := uintptr(unsafe.Pointer(unsafe.SliceData(part))), uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	return len(part) > 0 && from >= base && from-base <= uintptr(len(whole)) && uintptr(len(part)) <= uintptr(len(whole))-(from-base)
}

// littleEndian says whether this machine stores numbers as safetensors does.
var littleEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 1
}()

// float32s returns n floats of data from element off on, without copying, or
// nil where byte order or alignment forbid it. The caller has checked that the
// bytes exist.
func float32s(data []byte, off, n int) []float32 {
	if !littleEndian || n == 0 {
		return nil
	}
	b := data[4*off : 4*(off+n)]
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(p)%4 != 0 && runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return nil
	}
	return unsafe.Slice((*float32)(p), n)
}

// guard makes a fault in a mapping (someone else truncated the file) an error
// instead of the end of the process, for the code of this goroutine until the
// function it returns is called. The tensor being read may be "". Use: defer
// guard(file, pos, tensor, &err)().
func guard(file string, pos int64, tensor string, err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr }) // see debug.SetPanicOnFault
		if !ok {
			panic(r)
		}
		msg := fmt.Sprintf("the file changed while it was read (%v)", fault)
		if tensor != "" {
			msg = fmt.Sprintf("tensor %q: %s", tensor, msg)
		}
		*err = &FormatError{Path: file, Off: pos, Msg: msg}
	}
}
