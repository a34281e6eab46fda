//go:build !amd64

package gemm

// archs are the ways to compute tiles that this processor has, best first.
var archs = []*arch{generic}

var best = generic

func transpose(dst []float32, w int, m Matrix) { transposeGo(dst, w, m, 0, 0) }
