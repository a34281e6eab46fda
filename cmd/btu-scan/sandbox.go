package main

import (
	"fmt"

	"github.com/btu-scan/btu-scan/internal/sandbox"
)

// Whether the process of a scan gives up what it does not need.
const (
	sandboxAuto    = "auto" // where the kernel offers it, and a scan has a process of its own
	sandboxOff     = "off"
	sandboxRequire = "require"
)

// confine gives up, for the whole process and for good, everything but reading
// files and writing to what is open: no file is made or changed, no program
// started, no TCP connection made.
func (f *scanFlags) confine() error {
	switch {
	case f.sandbox == sandboxRequire:
		if err := sandbox.Enter(); err != nil {
			return fmt.Errorf("--sandbox require: %w", err)
		}
	case f.sandbox == sandboxAuto && !f.store.online && !f.behaviour.device.needsDriver():
		_ = sandbox.Enter() // where there is one
	}
	return nil
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
