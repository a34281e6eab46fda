package kernel

import "golang.org/x/sys/cpu"

//go:generate go run -C ../asm ./kernel -out ../kernel/kernel_amd64.s -stubs ../kernel/stubs_amd64.go -pkg kernel

var useAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA && hasF16C()

// Instructions names the instructions of the loops: avx2, or go for plain Go.
func Instructions() string {
	if useAVX2 {
		return "avx2"
	}
	return "go"
}

func rowSums(a, b []float32) Sums {
	if !useAVX2 {
		return rowSumsGo(a, b)
	}
	n := len(a) &^ 7
	var lanes [3][8]float64
	if n > 0 {
		rowSumsAVX2(a[:n], b[:n], &lanes)
	}
	s := Sums{AA: fold(&lanes[0]), DD: fold(&lanes[1]), AD: fold(&lanes[2])}
	rowSumsTail(&s, a[n:], b[n:])
	return s
}

func dot(a, b []float32) float64 {
	n := len(a) &^ 7
	if !useAVX2 || n == 0 {
		return dotGo(a, b)
	}
	var lanes [8]float64
	dotAVX2(a[:n], b[:n], &lanes)
	return dotTail(fold(&lanes), a[n:], b[n:])
}

func decodeBF16(dst []float32, src []byte) {
	n := 0
	if useAVX2 {
		if n = len(dst) &^ 15; n > 0 {
			decodeBF16AVX2(dst[:n], src)
		}
	}
	decodeBF16Go(dst[n:], src[2*n:])
}

func decodeF16(dst []float32, src []byte) {
	n := 0
	if useAVX2 {
		if n = len(dst) &^ 15; n > 0 {
			decodeF16AVX2(dst[:n], src)
		}
	}
	decodeF16Go(dst[n:], src[2*n:])
}
