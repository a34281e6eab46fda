package vecmath

import "math"

func addGo(dst, a, b []float32) {
	for i, x := range a {
		dst[i] = x + b[i]
	}
}

func mulGo(dst, a, b []float32) {
	for i, x := range a {
		dst[i] = x * b[i]
	}
}

func scaleGo(dst, a []float32, alpha float32) {
	for i, x := range a {
		dst[i] = alpha * x
	}
}

// each sets dst = f(x).
func each(dst, x []float32, f func(float64) float64) {
	for i, v := range x {
		dst[i] = float32(f(float64(v)))
	}
}

// eachGrad sets dst = dy * f(x).
func eachGrad(dst, x, dy []float32, f func(float64) float64) {
	for i, v := range x {
		dst[i] = dy[i] * float32(f(float64(v)))
	}
}

// peak is the element of x for which factor*x is largest, so that
// factor*(x[i]-peak) is never above 0. NaN may be passed over: it makes a sum of
// exponentials NaN by itself.
func peak(x []float32, factor float32) float32 {
	if factor < 0 {
		low := float32(math.Inf(1))
		for _, v := range x {
			if v < low {
				low = v
			}
		}
		return low
	}
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

func softmaxGo(dst, x []float32, factor float32) {
	top, s := peak(x, factor), 0.0
	for i, v := range x {
		e := math.Exp(float64(factor) * (float64(v) - float64(top)))
		dst[i] = float32(e)
		s += e
	}
	for i, e := range dst {
		dst[i] = float32(float64(e) / s)
	}
}

func softmaxGradGo(dst, p, dp []float32, factor float32) {
	s := 0.0
	for i, v := range p {
		s += float64(v) * float64(dp[i])
	}
	for i, v := range p {
		dst[i] = float32(float64(factor) * float64(v) * (float64(dp[i]) - s))
	}
}

func logSumExpGo(x []float32) float64 {
	top, s := float64(peak(x, 1)), 0.0
	for _, v := range x {
		if d := float64(v) - top; d == 0 || math.IsInf(top, 0) && float64(v) == top {
			s++ // also where infinities would differ by NaN
		} else {
			s += math.Exp(d)
		}
	}
	return top + math.Log(s)
}

// far is beyond where exp(-x*x/2), and so the tail of every activation here but
// SiLU's, is 0 in float32. Stopping there keeps infinity times zero away.
const far = 40

// normal is the normal distribution function.
func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

func geluGo(dst, x []float32) {
	each(dst, x, func(x float64) float64 {
		x = max(x, -far)
		return x * normal(x)
	})
}

func geluGradGo(dst, x, dy []float32) {
	eachGrad(dst, x, dy, func(x float64) float64 {
		x = min(max(x, -far), far)
		return normal(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	})
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// cubic is the factor of GELUTanh's third power (Hendrycks and Gimpel,
// arXiv:1606.08415); 2*sqrt(2/pi) its other one, since (1+tanh(z))/2 is
// logistic(2*z).
const cubic = 0.044715

const slope = 2 * math.Sqrt2 / math.SqrtPi

func geluTanhGo(dst, x []float32) {
	each(dst, x, func(x float64) float64 {
		x = max(x, -far)
		return x * logistic(slope*(x+cubic*x*x*x))
	})
}

func geluTanhGradGo(dst, x, dy []float32) {
	eachGrad(dst, x, dy, func(x float64) float64 {
		x = min(max(x, -far), far)
		s := logistic(slope * (x + cubic*x*x*x))
		return s + x*s*(1-s)*slope*(1+3*cubic*x*x)
	})
}

// siluFar is for SiLU what far is for the others.
const siluFar = 800

func siluGo(dst, x []float32) {
	each(dst, x, func(x float64) float64 {
		x = max(x, -siluFar)
		return x * logistic(x)
	})
}

func siluGradGo(dst, x, dy []float32) {
	eachGrad(dst, x, dy, func(x float64) float64 {
		x = min(max(x, -siluFar), siluFar)
		s := logistic(x)
		return s + x*s*(1-s)
	})
}

func tanhGo(dst, x []float32) { each(dst, x, math.Tanh) }

func tanhGradGo(dst, y, dy []float32) {
	eachGrad(dst, y, dy, func(y float64) float64 { return 1 - y*y })
}

func reluGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = max(v, 0)
	}
}

func reluGradGo(dst, x, dy []float32) {
	for i, v := range x {
		switch {
		case v > 0:
			dst[i] = dy[i]
		case v <= 0:
			dst[i] = 0
		default:
			dst[i] = v
		}
	}
}

// roughSumGo adds sixteen lanes by index, then what is left to eight of them,
// and folds these as kernel.Dot does. It need not be exact: see LayerNorm.
func roughSumGo(x []float32) float64 {
	var l [16]float64
	i := 0
	for ; i+16 <= len(x); i += 16 {
		for j, v := range x[i : i+16] {
			l[j] += float64(v)
		}
	}
	for j := range 8 {
		l[j] += l[j+8]
	}
	for j, v := range x[i:] {
		l[j%8] += float64(v)
	}
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

// deviationsGo returns the sums of x-mean and of its squares.
func deviationsGo(x []float32, mean float32) (s, ss float64) {
	for _, v := range x {
		d := float64(v) - float64(mean)
		s += d
		ss += d * d
	}
	return s, ss
}

func normalizeGo(dst, x, w []float32, mean, rstd float32) {
	for i, v := range x {
		dst[i] = (v - mean) * rstd * w[i]
	}
}

func normalizeBiasGo(dst, x, w, b []float32, mean, rstd float32) {
	for i, v := range x {
		dst[i] = (v-mean)*rstd*w[i] + b[i]
	}
}

// normGradSumsGo returns the sums of dy*w and of dy*w times the normalised x.
func normGradSumsGo(dy, x, w []float32, mean, rstd float32) (s, sx float64) {
	for i, v := range x {
		p := float64(dy[i]) * float64(w[i])
		s += p
		sx += p * float64((v-mean)*rstd)
	}
	return s, sx
}

func normWeightGradGo(dw, dy, x []float32, mean, rstd float32) {
	for i, v := range x {
		dw[i] += dy[i] * ((v - mean) * rstd)
	}
}

// normGradGo takes the means of what normGradSumsGo returns. As functions of x,
// the mean and the deviation carry these parts of the gradient.
func normGradGo(dx, dy, x, w []float32, mean, rstd, s, sx float32) {
	for i, v := range x {
		dx[i] = rstd * (dy[i]*w[i] - s - (v-mean)*rstd*sx)
	}
}

func rotateGo(x, y, cos, sin []float32) {
	for i, c := range cos {
		p, q, s := x[i], y[i], sin[i]
		x[i], y[i] = p*c-q*s, q*c+p*s
	}
}

func rotateBackGo(x, y, cos, sin []float32) {
	for i, c := range cos {
		p, q, s := x[i], y[i], sin[i]
		x[i], y[i] = p*c+q*s, q*c-p*s
	}
}

// adamWGo takes the factors that AdamW makes of its step.
func adamWGo(w, g, m, v []float32, f *[9]float32) {
	gradScale, keep, beta1, rest1, beta2, rest2, root, eps, step := f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8]
	for i, d := range g {
		d *= gradScale
		m[i] = beta1*m[i] + rest1*d
		v[i] = beta2*v[i] + rest2*d*d
		denom := float32(math.Sqrt(float64(v[i])))/root + eps
		w[i] = keep*w[i] - step*m[i]/denom
	}
}
