//go:build unix

package loader

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forget drops the whole pages of mapped bytes from memory.
func forget(b []byte) {
	page := os.Getpagesize()
	from := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	if n := (len(b) - from) / page * page; n > 0 {
		_ = unix.Madvise(b[from:from+n], unix.MADV_DONTNEED) // it is advice
	}
}

// scattered tells the system whether mapped bytes are read here and there: it
// then reads no more ahead than it is asked for.
func scattered(b []byte, yes bool) {
	if len(b) == 0 {
		return
	}
	advice := unix.MADV_NORMAL
	if yes {
		advice = unix.MADV_RANDOM
	}
	_ = unix.Madvise(b, advice) // it is advice
}
