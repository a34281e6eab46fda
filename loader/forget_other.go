//go:build !unix

package loader

func forget([]byte) {}

func scattered([]byte, bool) {}
