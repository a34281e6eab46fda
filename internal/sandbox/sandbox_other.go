//go:build !linux

package sandbox

import "errors"

// Version is that of the kernel's interface, 0 for none.
func Version() int { return 0 }

// Enter is an error: only Linux has a sandbox.
func Enter() error { return errors.New("only Linux has one") }
