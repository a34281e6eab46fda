//go:build !amd64

package kernel

// Instructions names the instructions of the loops: avx2, or go for plain Go.
func Instructions() string { return "go" }

func rowSums(a, b []float32) Sums          { return rowSumsGo(a, b) }
func dot(a, b []float32) float64           { return dotGo(a, b) }
func decodeBF16(dst []float32, src []byte) { decodeBF16Go(dst, src) }
func decodeF16(dst []float32, src []byte)  { decodeF16Go(dst, src) }
