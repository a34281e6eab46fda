package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // avo is made to be used so
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expSeries are 1, 1 and minimax coefficients: the polynomial is exp(x) for
// |x| <= ln(2)/2 with a relative error of 2^-28.2. Found by Remez exchange of
// (exp(x)-1-x)/x^2 with weight x^2/exp(x).
var expSeries = []float64{1, 1, 0.49999994, 0.166665196, 0.0416684076, 0.00836892147, 0.00138141739}

// tailSeries are minimax coefficients in u = 1/(1+tailPole*t) of
// exp(t*t/2)*Q(t)/u for 0 <= t <= 14.5, Q(t) being 1-Phi(t), the upper tail of the
// normal distribution: relative error 2^-24.9 after rounding to float32. Found by
// Remez exchange; the form is that of Abramowitz and Stegun 7.1.26, with the pole
// chosen so that the coefficients stay small.
var tailSeries = []float64{
	0.119686693, 0.119571812, 0.110235423, 0.0783896372, 0.0961568728,
	-0.079423584, 0.19178468, -0.228213727, 0.112435684, -0.0206234828,
}

const tailPole = 0.3

// The functions below are those of plain.go, which explains the first two.
const (
	cubic = 0.044715
	slope = 2 * math.Sqrt2 / math.SqrtPi
)

const (
	// least is where exp rounds to 0: exp(-104) < 2^-150, half the smallest number.
	least = -104
	// shift is added to exponents so that 2^-158 can be held as a normal number;
	// the result is multiplied by 2^-shift at last, which rounds it once.
	shift = 32
)

// A power2 is a number taken apart: exp(x) = exp(rest) * scale, where the scale
// is a power of 2 and |rest| <= ln(2)/2.
type power2 struct {
	rest, scale reg.VecVirtual
}

// split takes exp(x) apart with a scale that is 2^by too large. The exponents,
// by included, must be those of normal numbers. It overwrites x.
func split(x reg.VecVirtual, by int) power2 {
	// Adding 1.5*2^23 rounds to an integer, which stands in the low bits; with the
	// bias added too, these are an exponent after a shift.
	round := constant(fmt.Sprintf("round%d", by), float64(3<<22+127+by))
	z, n := register(round), YMM()
	VFMADD231PS(constant("log2e", math.Log2E), x, z)
	VSUBPS(round, z, n)
	subtractLn2(n, x)
	VPSLLD(Imm(23), z, z)
	return power2{x, z}
}

// subtractLn2 takes n*ln(2), in two parts, from x.
func subtractLn2(n, x reg.VecVirtual) {
	hi := float64(float32(math.Ln2))
	VFNMADD231PS(constant("ln2hi", hi), n, x)
	VFNMADD231PS(constant("ln2lo", math.Ln2-hi), n, x)
}

// series is exp(x) for small x.
func series(x reg.VecVirtual) reg.VecVirtual { return horner("exp", x, expSeries, 0) }

// expNegative returns exp(x) for x from a little below least to 0. It overwrites x.
func expNegative(x reg.VecVirtual) reg.VecVirtual {
	e := split(x, shift)
	p := series(e.rest)
	unsplit(p, e)
	return p
}

// unsplit multiplies p by the scale.
func unsplit(p reg.VecVirtual, e power2) {
	VMULPS(e.scale, p, p)
	VMULPS(constant("unshift", 1.0/(1<<shift)), p, p)
}

// atLeast sets x = max(x, m). Of NaN and a number these instructions return the
// second operand, which Go writes first.
func atLeast(m Mem, x reg.VecVirtual) {
	y := register(m)
	VMAXPS(x, y, x)
}

func atMost(m Mem, x reg.VecVirtual) {
	y := register(m)
	VMINPS(x, y, x)
}

// magnitude returns min(|x|, limit).
func magnitude(x reg.VecVirtual, name string, limit float64) reg.VecVirtual {
	t := YMM()
	VANDPS(bits("magnitude", math.MaxInt32), x, t)
	atMost(constant(name, limit), t)
	return t
}

// A gate is an activation x*S(x), where S goes from 0 to 1 and S(-x) = 1-S(x).
// With t = |x| and Q(t) = S(-t) the activation is max(x,0) - t*Q(t), and with
// h = Q(t) + t*Q'(t) its derivative is h for x < 0 and 1-h for x > 0. So only
// Q is needed, on one side of 0, where it loses no digits; t stops at a limit
// where Q and t*Q' round to 0.
type gate struct {
	name  string
	limit float64
	tail  func(t reg.VecVirtual) reg.VecVirtual // Q(t)
	slope func(t reg.VecVirtual) reg.VecVirtual // Q(t) + t*Q'(t)
}

var gates = map[string]gate{
	"gelu":     {"geluLimit", 14.7, normalTail, normalSlope},
	"geluTanh": {"geluTanhLimit", 10.69, cubicTail, cubicSlope},
	"silu":     {"siluLimit", -least, logisticTail, logisticSlope},
}

// normalTail is the upper tail of the normal distribution.
func normalTail(t reg.VecVirtual) reg.VecVirtual {
	p, e := density(t)
	r := ratio(t)
	VMULPS(r, p, p)
	unsplit(p, e)
	return p
}

// normalSlope is exp(-t*t/2) * (ratio - t/sqrt(2*pi)).
func normalSlope(t reg.VecVirtual) reg.VecVirtual {
	p, e := density(t)
	r := ratio(t)
	VFNMADD231PS(constant("density", 1/(math.Sqrt2*math.SqrtPi)), t, r)
	VMULPS(r, p, p)
	unsplit(p, e)
	return p
}

// density returns exp(-t*t/2), of which the scale is still to be multiplied.
func density(t reg.VecVirtual) (reg.VecVirtual, power2) {
	square, lost, x := YMM(), YMM(), YMM()
	VMULPS(t, t, square)
	VMOVAPS(square, lost)
	VFMSUB231PS(t, t, lost) // t*t - square: up to 2^-18, too much to lose
	VMULPS(constant("minusHalf", -0.5), square, x)
	e := split(x, shift)
	VFMADD231PS(constant("minusHalf", -0.5), lost, e.rest)
	return series(e.rest), e
}

// ratio returns exp(t*t/2) times the upper tail of the normal distribution.
func ratio(t reg.VecVirtual) reg.VecVirtual {
	one, w, u, r := register(constant("one", 1)), YMM(), YMM(), YMM()
	VMULPS(constant("tailPole", tailPole), t, w)
	VADDPS(one, w, u)
	VDIVPS(u, one, u)
	// One step of Newton's method makes up for the rounding of 1+w, which for
	// small t is most of the error: u += u * (1 - u - w*u).
	VSUBPS(u, one, r)
	VFNMADD231PS(w, u, r)
	VFMADD231PS(u, r, u)
	g := horner("tail", u, tailSeries, 0)
	VMULPS(u, g, g)
	return g
}

// logisticTail is e/(1+e) where e = exp(-t). It leaves t alone, as they all do.
func logisticTail(t reg.VecVirtual) reg.VecVirtual {
	x := YMM()
	VXORPS(bits("sign", 1<<31), t, x)
	return odds(expNegative(x))
}

// odds returns e/(1+e). It overwrites e.
func odds(e reg.VecVirtual) reg.VecVirtual {
	d := YMM()
	VADDPS(constant("one", 1), e, d)
	VDIVPS(d, e, e)
	return e
}

// logisticSlope is q*(1-t*(1-q)).
func logisticSlope(t reg.VecVirtual) reg.VecVirtual {
	q := logisticTail(t)
	w, u := register(constant("one", 1)), YMM()
	VSUBPS(q, w, u)
	VFNMADD231PS(t, u, w)
	VMULPS(w, q, q)
	return q
}

// cubicTail is logisticTail of slope*(t + cubic*t^3).
func cubicTail(t reg.VecVirtual) reg.VecVirtual {
	x, square := YMM(), YMM()
	VMULPS(t, t, square)
	VMOVUPS(constant("minusSlopeCubic", -slope*cubic), x)
	VFMADD213PS(constant("minusSlope", -slope), square, x)
	VMULPS(t, x, x)
	return odds(expNegative(x))
}

// cubicSlope is q*(1-t*(1-q)*slope*(1+3*cubic*t*t)).
func cubicSlope(t reg.VecVirtual) reg.VecVirtual {
	q := cubicTail(t)
	w, u, d := register(constant("one", 1)), YMM(), YMM()
	VSUBPS(q, w, u)
	VMULPS(t, t, d)
	VMULPS(constant("slopeCubic3", 3*slope*cubic), d, d)
	VADDPS(constant("slope", slope), d, d)
	VMULPS(t, u, u)
	VFNMADD231PS(d, u, w)
	VMULPS(w, q, q)
	return q
}

// tanh is -m/(2+m) with the sign of x, where m = exp(-2|x|)-1 is taken without
// loss of digits near 0. Beyond 10 it is 1.
func tanh(x reg.VecVirtual) reg.VecVirtual {
	t := magnitude(x, "tanhLimit", 10)
	VMULPS(constant("minusTwo", -2), t, t)
	e := split(t, 0)
	m, s := horner("exp", e.rest, expSeries, 1), YMM()
	VMULPS(e.rest, m, m)
	VSUBPS(constant("one", 1), e.scale, s)
	VFMADD213PS(s, e.scale, m)
	d := YMM()
	VADDPS(constant("two", 2), m, d)
	VDIVPS(d, m, m)
	VANDPS(bits("magnitude", math.MaxInt32), m, m)
	VANDPS(bits("sign", 1<<31), x, x)
	VORPS(x, m, m)
	return m
}
