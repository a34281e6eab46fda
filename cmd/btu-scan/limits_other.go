//go:build !linux

package main

// confine has no second net to offer where the kernel does not count a
// program's own memory apart from the files it maps.
func (f *limitFlags) confine() {}
