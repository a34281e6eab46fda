//go:build !amd64

package vecmath

// Instructions names the instructions of the loops: avx2, or go for plain Go.
func Instructions() string { return "go" }

func add(dst, a, b []float32)                              { addGo(dst, a, b) }
func mul(dst, a, b []float32)                              { mulGo(dst, a, b) }
func scale(dst, a []float32, alpha float32)                { scaleGo(dst, a, alpha) }
func softmax(dst, x []float32, factor float32)             { softmaxGo(dst, x, factor) }
func softmaxGrad(dst, p, dp []float32, factor float32)     { softmaxGradGo(dst, p, dp, factor) }
func logSumExp(x []float32) float64                        { return logSumExpGo(x) }
func gelu(dst, x []float32)                                { geluGo(dst, x) }
func geluGrad(dst, x, dy []float32)                        { geluGradGo(dst, x, dy) }
func geluTanh(dst, x []float32)                            { geluTanhGo(dst, x) }
func geluTanhGrad(dst, x, dy []float32)                    { geluTanhGradGo(dst, x, dy) }
func silu(dst, x []float32)                                { siluGo(dst, x) }
func siluGrad(dst, x, dy []float32)                        { siluGradGo(dst, x, dy) }
func tanh(dst, x []float32)                                { tanhGo(dst, x) }
func tanhGrad(dst, y, dy []float32)                        { tanhGradGo(dst, y, dy) }
func relu(dst, x []float32)                                { reluGo(dst, x) }
func reluGrad(dst, x, dy []float32)                        { reluGradGo(dst, x, dy) }
func roughSum(x []float32) float64                         { return roughSumGo(x) }
func deviations(x []float32, mean float32) (s, ss float64) { return deviationsGo(x, mean) }
func normalize(dst, x, w []float32, mean, rstd float32)    { normalizeGo(dst, x, w, mean, rstd) }
func normalizeBias(dst, x, w, b []float32, mean, rstd float32) {
	normalizeBiasGo(dst, x, w, b, mean, rstd)
}
func normGradSums(dy, x, w []float32, mean, rstd float32) (s, sx float64) {
	return normGradSumsGo(dy, x, w, mean, rstd)
}
func normWeightGrad(dw, dy, x []float32, mean, rstd float32) { normWeightGradGo(dw, dy, x, mean, rstd) }
func normGrad(dx, dy, x, w []float32, mean, rstd, s, sx float32) {
	normGradGo(dx, dy, x, w, mean, rstd, s, sx)
}
func rotate(x, y, cos, sin []float32)           { rotateGo(x, y, cos, sin) }
func rotateBack(x, y, cos, sin []float32)       { rotateBackGo(x, y, cos, sin) }
func adamW(w, g, m, v []float32, f *[9]float32) { adamWGo(w, g, m, v, f) }
