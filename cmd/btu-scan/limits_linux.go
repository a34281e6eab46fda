package main

import "golang.org/x/sys/unix"

// spareMemory is what the runtime reserves at once and may never use.
const spareMemory = 256 << 20

// confine makes the kernel refuse memory far above the limit, in case it is
// taken faster than watchMemory looks. The runtime then ends the program.
func (f *limitFlags) confine() {
	if f.memory == 0 {
		return
	}
	limit := uint64(f.memory) + spareMemory
	_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}) // a lower one holds
}
