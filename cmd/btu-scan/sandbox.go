package main

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Whether the process of a scan gives up what it does not need.
const (
	sandboxAuto    = "auto" // where the kernel offers it, and a scan has a process of its own
	sandboxOff     = "off"
	sandboxRequire = "require"
)

// confine gives up, for the whole process and for good, everything but reading
// files and writing to what is open: no file is made or changed, no program
// started, no TCP connection made. Linux alone has it (Landlock, from 5.13;
// connections from 6.7).
func (f *scanFlags) confine() error {
	if f.sandbox == sandboxOff || f.sandbox == sandboxAuto && (f.store.online || f.behaviour.device.needsDriver()) {
		return nil
	}
	config := landlock.V4
	if f.sandbox == sandboxAuto {
		config = landlock.V11.BestEffort()
	}
	if err := config.Restrict(landlock.PathAccess(ll.AccessFSReadFile|ll.AccessFSReadDir, "/")); err != nil {
		return fmt.Errorf("--sandbox: %w", err)
	}
	return nil
}

// leastLandlock is the version of Landlock's interface that bounds connections, too.
const leastLandlock = 4

// landlockVersion is that of the kernel, 0 for none.
func landlockVersion() int {
	v, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return v
}

// checkSandbox refuses what a sandbox keeps from working.
func (f *scanFlags) checkSandbox() error {
	switch {
	case f.sandbox != sandboxRequire:
		return nil
	case f.store.online:
		return usagef("fetch the reference first, with btu-scan reference pull", "--sandbox require and --online contradict each other")
	case f.behaviour.device.needsDriver():
		return usagef("", "--sandbox require: a GPU's driver writes files; use --device cpu --engine go")
	}
	return nil
}
