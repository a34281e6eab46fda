package vecmath

import (
	"math"
	"slices"

	"golang.org/x/sys/cpu"
)

//go:generate go run -C ../asm ./vecmath -out ../vecmath/vecmath_amd64.s -stubs ../vecmath/stubs_amd64.go -pkg vecmath

var useAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// Instructions names the instructions of the loops: avx2, or go for plain Go.
func Instructions() string {
	if useAVX2 {
		return "avx2"
	}
	return "go"
}

func add(dst, a, b []float32) {
	if !useAVX2 {
		addGo(dst, a, b)
		return
	}
	addAVX2(dst, a, b)
}

func mul(dst, a, b []float32) {
	if !useAVX2 {
		mulGo(dst, a, b)
		return
	}
	mulAVX2(dst, a, b)
}

func scale(dst, a []float32, alpha float32) {
	if !useAVX2 {
		scaleGo(dst, a, alpha)
		return
	}
	scaleAVX2(dst, a, alpha)
}

// block is how many exponentials are added in float32, an eighth of them in each
// lane, before the sum goes on in float64.
const block = 512

func softmax(dst, x []float32, factor float32) {
	if !useAVX2 || factor < 0 {
		softmaxGo(dst, x, factor)
		return
	}
	top, s := peakAVX2(x), 0.0
	for i := 0; i < len(x); i += block {
		end := min(i+block, len(x))
		s += expSumAVX2(dst[i:end], x[i:end], top, factor)
	}
	scaleAVX2(dst, dst, float32(1/s))
}

func softmaxGrad(dst, p, dp []float32, factor float32) {
	if !useAVX2 {
		softmaxGradGo(dst, p, dp, factor)
		return
	}
	softmaxBackAVX2(dst, p, dp, factor, float32(dotAVX2(p, dp)))
}

func logSumExp(x []float32) float64 {
	if useAVX2 {
		if top := peakAVX2(x); !math.IsInf(float64(top), 0) {
			s := 0.0
			for part := range slices.Chunk(x, block) {
				s += sumExpAVX2(part, top, 1)
			}
			return float64(top) + math.Log(s)
		}
	}
	return logSumExpGo(x)
}

func gelu(dst, x []float32) {
	if !useAVX2 {
		geluGo(dst, x)
		return
	}
	geluAVX2(dst, x)
}

func geluGrad(dst, x, dy []float32) {
	if !useAVX2 {
		geluGradGo(dst, x, dy)
		return
	}
	geluGradAVX2(dst, x, dy)
}

func geluTanh(dst, x []float32) {
	if !useAVX2 {
		geluTanhGo(dst, x)
		return
	}
	geluTanhAVX2(dst, x)
}

func geluTanhGrad(dst, x, dy []float32) {
	if !useAVX2 {
		geluTanhGradGo(dst, x, dy)
		return
	}
	geluTanhGradAVX2(dst, x, dy)
}

func silu(dst, x []float32) {
	if !useAVX2 {
		siluGo(dst, x)
		return
	}
	siluAVX2(dst, x)
}

func siluGrad(dst, x, dy []float32) {
	if !useAVX2 {
		siluGradGo(dst, x, dy)
		return
	}
	siluGradAVX2(dst, x, dy)
}

func tanh(dst, x []float32) {
	if !useAVX2 {
		tanhGo(dst, x)
		return
	}
	tanhAVX2(dst, x)
}

func tanhGrad(dst, y, dy []float32) {
	if !useAVX2 {
		tanhGradGo(dst, y, dy)
		return
	}
	tanhGradAVX2(dst, y, dy)
}

func relu(dst, x []float32) {
	if !useAVX2 {
		reluGo(dst, x)
		return
	}
	reluAVX2(dst, x)
}

func reluGrad(dst, x, dy []float32) {
	if !useAVX2 {
		reluGradGo(dst, x, dy)
		return
	}
	reluGradAVX2(dst, x, dy)
}

func roughSum(x []float32) float64 {
	if !useAVX2 {
		return roughSumGo(x)
	}
	return roughSumAVX2(x)
}

func deviations(x []float32, mean float32) (s, ss float64) {
	if !useAVX2 {
		return deviationsGo(x, mean)
	}
	return deviationsAVX2(x, mean)
}

func normalize(dst, x, w []float32, mean, rstd float32) {
	if !useAVX2 {
		normalizeGo(dst, x, w, mean, rstd)
		return
	}
	normalizeAVX2(dst, x, w, mean, rstd)
}

func normalizeBias(dst, x, w, b []float32, mean, rstd float32) {
	if !useAVX2 {
		normalizeBiasGo(dst, x, w, b, mean, rstd)
		return
	}
	normalizeBiasAVX2(dst, x, w, b, mean, rstd)
}

func normGradSums(dy, x, w []float32, mean, rstd float32) (s, sx float64) {
	if !useAVX2 {
		return normGradSumsGo(dy, x, w, mean, rstd)
	}
	return normGradSumsAVX2(dy, x, w, mean, rstd)
}

func normWeightGrad(dw, dy, x []float32, mean, rstd float32) {
	if !useAVX2 {
		normWeightGradGo(dw, dy, x, mean, rstd)
		return
	}
	normWeightGradAVX2(dw, dy, x, mean, rstd)
}

func normGrad(dx, dy, x, w []float32, mean, rstd, s, sx float32) {
	if !useAVX2 {
		normGradGo(dx, dy, x, w, mean, rstd, s, sx)
		return
	}
	normGradAVX2(dx, dy, x, w, mean, rstd, s, sx)
}

func rotate(x, y, cos, sin []float32) {
	if !useAVX2 {
		rotateGo(x, y, cos, sin)
		return
	}
	rotateAVX2(x, y, cos, sin)
}

func rotateBack(x, y, cos, sin []float32) {
	if !useAVX2 {
		rotateBackGo(x, y, cos, sin)
		return
	}
	rotateBackAVX2(x, y, cos, sin)
}

func adamW(w, g, m, v []float32, f *[9]float32) {
	if !useAVX2 {
		adamWGo(w, g, m, v, f)
		return
	}
	adamWAVX2(w, g, m, v, f)
}
