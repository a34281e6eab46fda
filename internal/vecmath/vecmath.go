// Package vecmath holds the loops over rows of float32 of which a transformer
// is made besides matrix products: activations, softmax, normalisation, rotary
// embedding and the optimiser's step, each with its derivative.
//
// Each loop exists twice: in plain Go (plain.go), which is the definition, and
// in assembly written by the generator in internal/asm for amd64 with AVX2 and
// FMA, chosen when the program starts. They agree to the accuracy that the
// tests state, not to the bit; only SumSquares gives the same bits on any
// machine. What does hold on every machine:
//
//   - Rows have any length, 0 included, and any alignment. All rows of a call
//     have the length of the first unless its comment says otherwise; if not,
//     the function panics before it writes.
//   - Nothing outside the rows is written, and nothing read there has an effect.
//   - dst may be the very slice of an input; slices that overlap in part, or two
//     results in one slice, give nonsense.
//   - An element of the result depends on the elements at its own index (and,
//     where the function has sums, on these) but not on its index, the length
//     or the alignment of the row. The order of a sum depends on the length of
//     the row and nothing else.
//   - NaN gives NaN in the elements that depend on it; infinities give the
//     limit where there is one.
package vecmath

import (
	"math"

	"github.com/btu-scan/btu-scan/internal/kernel"
)

// check panics unless the rows of a call fit each other.
func check(fit bool) {
	if !fit {
		panic("vecmath: rows of different length")
	}
}

// AddTo sets dst += a.
func AddTo(dst, a []float32) {
	check(len(a) == len(dst))
	add(dst, dst, a)
}

// Mul sets dst = a * b.
func Mul(dst, a, b []float32) {
	check(len(a) == len(dst) && len(b) == len(dst))
	mul(dst, a, b)
}

// Scale sets dst = alpha * a.
func Scale(dst []float32, alpha float32, a []float32) {
	check(len(a) == len(dst))
	scale(dst, a, alpha)
}

// Softmax sets dst = softmax(factor * x). Elements of -Inf give 0 unless all
// are, which gives NaN, as +Inf does.
func Softmax(dst, x []float32, factor float32) {
	check(len(x) == len(dst))
	softmax(dst, x, factor)
}

// SoftmaxGrad sets dst to the gradient with regard to x of p = softmax(factor*x)
// given the gradient dp with regard to p: factor * p * (dp - sum(p*dp)).
func SoftmaxGrad(dst, p, dp []float32, factor float32) {
	check(len(p) == len(dst) && len(dp) == len(dst))
	softmaxGrad(dst, p, dp, factor)
}

// LogSumExp returns the logarithm of the sum of exp(x), -Inf for an empty row.
func LogSumExp(x []float32) float64 {
	return logSumExp(x)
}

// GELU sets dst = x * Phi(x), Phi being the normal distribution function: the
// exact form, with erf.
func GELU(dst, x []float32) {
	check(len(x) == len(dst))
	gelu(dst, x)
}

// GELUGrad sets dst = dy * GELU'(x).
func GELUGrad(dst, x, dy []float32) {
	check(len(x) == len(dst) && len(dy) == len(dst))
	geluGrad(dst, x, dy)
}

// GELUTanh sets dst to the approximation of GELU by tanh which PyTorch calls
// approximate='tanh' and Hugging Face gelu_new.
func GELUTanh(dst, x []float32) {
	check(len(x) == len(dst))
	geluTanh(dst, x)
}

// GELUTanhGrad sets dst = dy * GELUTanh'(x).
func GELUTanhGrad(dst, x, dy []float32) {
	check(len(x) == len(dst) && len(dy) == len(dst))
	geluTanhGrad(dst, x, dy)
}

// SiLU sets dst = x / (1 + exp(-x)).
func SiLU(dst, x []float32) {
	check(len(x) == len(dst))
	silu(dst, x)
}

// SiLUGrad sets dst = dy * SiLU'(x).
func SiLUGrad(dst, x, dy []float32) {
	check(len(x) == len(dst) && len(dy) == len(dst))
	siluGrad(dst, x, dy)
}

// Tanh sets dst = tanh(x).
func Tanh(dst, x []float32) {
	check(len(x) == len(dst))
	tanh(dst, x)
}

// TanhGrad sets dst = dy * (1 - y*y), the gradient with regard to x of y = tanh(x).
func TanhGrad(dst, y, dy []float32) {
	check(len(y) == len(dst) && len(dy) == len(dst))
	tanhGrad(dst, y, dy)
}

// ReLU sets dst = max(x, 0).
func ReLU(dst, x []float32) {
	check(len(x) == len(dst))
	relu(dst, x)
}

// ReLUGrad sets dst to dy where x > 0 and to 0 elsewhere.
func ReLUGrad(dst, x, dy []float32) {
	check(len(x) == len(dst) && len(dy) == len(dst))
	reluGrad(dst, x, dy)
}

// LayerNorm sets dst = (x-mean)*rstd*w + b, where mean is that of x and rstd is
// 1/sqrt(variance + eps), and returns both for LayerNormGrad. b may be nil.
func LayerNorm(dst, x, w, b []float32, eps float32) (mean, rstd float32) {
	check(len(x) == len(dst) && len(w) == len(dst) && (b == nil || len(b) == len(dst)))
	n := float64(max(len(x), 1))
	// The second pass also tells by how much the mean of the first is wrong
	// (Chan, Golub and LeVeque, 1983: the corrected two-pass algorithm).
	rough := float32(roughSum(x) / n)
	s, ss := deviations(x, rough)
	s, ss = s/n, ss/n
	mean = float32(float64(rough) + s)
	rstd = float32(1 / math.Sqrt(max(0, ss-s*s)+float64(eps)))
	if b == nil {
		normalize(dst, x, w, mean, rstd)
	} else {
		normalizeBias(dst, x, w, b, mean, rstd)
	}
	return mean, rstd
}

// LayerNormGrad is the derivative of LayerNorm given dy, the gradient with
// regard to its result: it sets dx to the gradient with regard to x and adds
// those with regard to w and b to dw and db, each of which may be nil. dx may be
// dy or x itself; dw and db are rows of their own.
func LayerNormGrad(dx, dw, db, dy, x, w []float32, mean, rstd float32) {
	check(len(dy) == len(dx) && len(x) == len(dx) && len(w) == len(dx))
	check((dw == nil || len(dw) == len(dx)) && (db == nil || len(db) == len(dx)))
	if dw != nil {
		normWeightGrad(dw, dy, x, mean, rstd)
	}
	if db != nil {
		add(db, db, dy)
	}
	s, sx := normGradSums(dy, x, w, mean, rstd)
	n := float64(max(len(dx), 1))
	normGrad(dx, dy, x, w, mean, rstd, float32(s/n), float32(sx/n))
}

// RMSNorm sets dst = x*rstd*w, where rstd is 1/sqrt(mean of squares + eps), and
// returns it for RMSNormGrad.
func RMSNorm(dst, x, w []float32, eps float32) (rstd float32) {
	check(len(x) == len(dst) && len(w) == len(dst))
	_, ss := deviations(x, 0)
	rstd = float32(1 / math.Sqrt(ss/float64(max(len(x), 1))+float64(eps)))
	normalize(dst, x, w, 0, rstd)
	return rstd
}

// RMSNormGrad is the derivative of RMSNorm, as LayerNormGrad is of LayerNorm.
func RMSNormGrad(dx, dw, dy, x, w []float32, rstd float32) {
	check(len(dy) == len(dx) && len(x) == len(dx) && len(w) == len(dx) && (dw == nil || len(dw) == len(dx)))
	if dw != nil {
		normWeightGrad(dw, dy, x, 0, rstd)
	}
	_, sx := normGradSums(dy, x, w, 0, rstd)
	normGrad(dx, dy, x, w, 0, rstd, 0, float32(sx/float64(max(len(dx), 1))))
}

// Rotate turns the pairs (x[i], x[i+h]) of one head by the angles whose cosines
// and sines are given, both of length h, half that of x: the rotary embedding of
// Su et al. (arXiv:2104.09864) in the order of GPT-NeoX and Llama.
func Rotate(x, cos, sin []float32) {
	h := len(cos)
	check(len(x) == 2*h && len(sin) == h)
	rotate(x[:h], x[h:], cos, sin)
}

// RotateBack turns the pairs back: it is the inverse of Rotate, and its
// derivative applied to a gradient.
func RotateBack(x, cos, sin []float32) {
	h := len(cos)
	check(len(x) == 2*h && len(sin) == h)
	rotateBack(x[:h], x[h:], cos, sin)
}

// SumSquares returns the sum of the squares of x in float64, the same bits on
// any machine.
func SumSquares(x []float32) float64 {
	return kernel.Dot(x, x)
}

// AdamWStep is what one step of AdamW takes besides the rows. The numbers are
// float64 since 1-Beta2 is formed of them: 1-0.999 is wrong by 5e-5 of itself if
// 0.999 has been rounded to float32 before.
type AdamWStep struct {
	LR           float64 // learning rate of this step
	Beta1, Beta2 float64 // decay of the moments
	Eps          float64
	Decay        float64 // weight decay
	GradScale    float64 // the gradients are multiplied by it first; 1 does nothing
	Bias1, Bias2 float64 // 1 - Beta1^t and 1 - Beta2^t for step t, counted from 1
}

// AdamW makes one step of decoupled weight decay (Loshchilov and Hutter,
// arXiv:1711.05101) on the weights w with gradients g and moments m and v, with
// the operations of torch.optim.AdamW:
//
//	g *= GradScale
//	w *= 1 - LR*Decay
//	m = Beta1*m + (1-Beta1)*g
//	v = Beta2*v + (1-Beta2)*g*g
//	w -= LR/Bias1 * m / (sqrt(v)/sqrt(Bias2) + Eps)
//
// It leaves g alone.
func AdamW(w, g, m, v []float32, s AdamWStep) {
	check(len(g) == len(w) && len(m) == len(w) && len(v) == len(w))
	adamW(w, g, m, v, &[9]float32{
		float32(s.GradScale),
		float32(1 - s.LR*s.Decay),
		float32(s.Beta1), float32(1 - s.Beta1),
		float32(s.Beta2), float32(1 - s.Beta2),
		float32(math.Sqrt(s.Bias2)),
		float32(s.Eps),
		float32(s.LR / s.Bias1),
	})
}
