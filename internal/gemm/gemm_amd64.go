package gemm

import "golang.org/x/sys/cpu"

//go:generate go run -C ../asm ./gemm -out ../gemm/gemm_amd64.s -stubs ../gemm/stubs_amd64.go -pkg gemm

var (
	avx2   = &arch{"avx2", 16, []tileFunc{tile1AVX2, tile2AVX2, tile3AVX2, tile4AVX2, tile5AVX2, tile6AVX2}}
	avx512 = &arch{"avx512", 32, []tileFunc{
		tile1AVX512, tile2AVX512, tile3AVX512, tile4AVX512, tile5AVX512, tile6AVX512,
		tile7AVX512, tile8AVX512, tile9AVX512, tile10AVX512, tile11AVX512, tile12AVX512,
	}}

	hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA
)

// archs are the ways to compute tiles that this processor has, best first.
var archs = func() []*arch {
	var as []*arch
	if cpu.X86.HasAVX512F && hasAVX2 {
		as = append(as, avx512)
	}
	if hasAVX2 {
		as = append(as, avx2)
	}
	return append(as, generic)
}()

var best = archs[0]

// transpose sets dst[i*w+j] = m(i, j), where the columns of m are contiguous.
func transpose(dst []float32, w int, m Matrix) {
	k, cols := 0, 0
	if hasAVX2 && m.Rows >= 8 && m.Cols >= 8 {
		k, cols = m.Rows&^7, m.Cols&^7
		for j := 0; j < cols; j += 8 {
			transpose8AVX2(&dst[j], w, &m.Data[j*m.CS], m.CS, k)
		}
		transposeGo(dst, w, Matrix{m.Data, m.Rows, cols, m.RS, m.CS}, k, 0)
	}
	transposeGo(dst, w, m, 0, cols)
}
