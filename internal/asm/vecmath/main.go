// Command vecmath writes the amd64 assembly of package vecmath.
//
//	go generate ./internal/vecmath
//
// loop.go goes over rows, math.go holds the functions on a register, and this
// file puts them together.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // avo is made to be used so
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	arithmetic()
	functions()
	softmax()
	sums()
	norms()
	rotations()
	adamW()
	Generate()
}

// arithmetic emits what waits for memory: two registers a turn.
func arithmetic() {
	l := begin("addAVX2", "func(dst, a, b []float32)", "sets dst = a + b.", "dst", "a", "b")
	l.each(2, func() {
		y := l.load("a")
		VADDPS(l.load("b"), y, y)
		l.store(y, "dst")
	})
	l = begin("mulAVX2", "func(dst, a, b []float32)", "sets dst = a * b.", "dst", "a", "b")
	l.each(2, func() {
		y := l.load("a")
		VMULPS(l.load("b"), y, y)
		l.store(y, "dst")
	})
	l = begin("scaleAVX2", "func(dst, a []float32, alpha float32)", "sets dst = alpha * a.", "dst", "a")
	alpha := broadcast("alpha")
	l.each(2, func() {
		y := l.load("a")
		VMULPS(alpha, y, y)
		l.store(y, "dst")
	})
}

// unary emits dst = f(x); f may overwrite its operand.
func unary(name, what string, f func(x reg.VecVirtual) reg.VecVirtual) {
	l := begin(name+"AVX2", "func(dst, x []float32)", "sets dst = "+what+".", "dst", "x")
	l.each(1, func() { l.store(f(l.load("x")), "dst") })
}

// gradient emits dst = dy * f(x), where x may have another name.
func gradient(name, x, what string, f func(x reg.VecVirtual) reg.VecVirtual) {
	l := begin(name+"GradAVX2", "func(dst, "+x+", dy []float32)", "sets dst = dy * "+what+".", "dst", x, "dy")
	l.each(1, func() {
		y := f(l.load(x))
		VMULPS(l.load("dy"), y, y)
		l.store(y, "dst")
	})
}

func functions() {
	unary("tanh", "tanh(x)", tanh)
	gradient("tanh", "y", "(1 - y*y)", func(y reg.VecVirtual) reg.VecVirtual {
		d := register(constant("one", 1))
		VFNMADD231PS(y, y, d)
		return d
	})
	for _, g := range []struct{ name, what string }{{"gelu", "GELU"}, {"geluTanh", "GELUTanh"}, {"silu", "SiLU"}} {
		f := gates[g.name]
		unary(g.name, g.what+"(x)", func(x reg.VecVirtual) reg.VecVirtual {
			t := magnitude(x, f.name, f.limit)
			q := f.tail(t)
			positive(x)
			VFNMADD231PS(t, q, x)
			return x
		})
		gradient(g.name, "x", g.what+"'(x)", func(x reg.VecVirtual) reg.VecVirtual {
			h, other := f.slope(magnitude(x, f.name, f.limit)), register(constant("one", 1))
			VSUBPS(h, other, other)
			VBLENDVPS(x, h, other, h)
			return h
		})
	}
	unary("relu", "max(x, 0)", func(x reg.VecVirtual) reg.VecVirtual {
		positive(x)
		return x
	})
	l := begin("reluGradAVX2", "func(dst, x, dy []float32)", "sets dst to dy where x > 0 and to 0 elsewhere.", "dst", "x", "dy")
	zero := zeros(1)[0]
	l.each(2, func() {
		x, above := l.load("x"), YMM()
		VCMPPS(Imm(0x1e), zero, x, above) // x > 0, false for NaN
		VCMPPS(Imm(0x03), x, x, x)        // all bits, which is NaN, for NaN
		VANDPS(l.load("dy"), above, above)
		VORPS(x, above, above)
		l.store(above, "dst")
	})
}

// positive sets x = max(x, 0).
func positive(x reg.VecVirtual) { VMAXPS(x, zeros(1)[0], x) }

func softmax() {
	l := begin("peakAVX2", "func(x []float32) float32", "returns the largest element that is not NaN, -Inf if there is none.", "x")
	lowest := constant("lowest", math.Inf(-1))
	top := make([]reg.VecVirtual, 4)
	for i := range top {
		top[i] = register(lowest)
	}
	l.run(len(top), func(j int) {
		x := l.load("x")
		if l.mask != nil {
			y := register(lowest)
			VBLENDVPS(l.mask, x, y, x)
		}
		VMAXPS(top[j], x, top[j])
	}, pairwise(top, VMAXPS))
	t, h := top[0].AsX(), XMM()
	VEXTRACTF128(Imm(1), top[0], h)
	VMAXPS(h, t, t)
	VPERMILPS(Imm(0x0e), t, h)
	VMAXPS(h, t, t)
	VPERMILPS(Imm(0x01), t, h)
	VMAXPS(h, t, t)
	Store(t, ReturnIndex(0))
	end()

	exponentials("expSumAVX2", "func(dst, x []float32, top, factor float32) float64",
		"sets dst = exp(factor*(x-top)) and returns the sum, in float32 lanes; no exponent may be above 0.", "dst", "x")
	exponentials("sumExpAVX2", "func(x []float32, top, factor float32) float64",
		"returns the sum of exp(factor*(x-top)), in float32 lanes; no exponent may be above 0.", "x")

	l = begin("dotAVX2", "func(a, b []float32) float64", "returns the sum of a*b, in float32 lanes.", "a", "b")
	s := zeros(4)
	l.run(len(s), func(j int) {
		a := l.load("a")
		VFMADD231PS(l.load("b"), a, s[j])
	}, pairwise(s, VADDPS))
	Store(foldSingle(s[0]).AsX(), ReturnIndex(0))
	end()

	l = begin("softmaxBackAVX2", "func(dst, p, dp []float32, factor, s float32)", "sets dst = factor * p * (dp-s).", "dst", "p", "dp")
	f, m := broadcast("factor"), broadcast("s")
	l.each(2, func() {
		y, p := l.load("dp"), l.load("p")
		VSUBPS(m, y, y)
		VMULPS(f, p, p)
		VMULPS(p, y, y)
		l.store(y, "dst")
	})
}

func exponentials(name, signature, doc string, rows ...string) {
	l := begin(name, signature, doc, rows...)
	top, factor, s := broadcast("top"), broadcast("factor"), zeros(1)[0]
	l.run(1, func(int) {
		x := l.load("x")
		VSUBPS(top, x, x)
		VMULPS(factor, x, x)
		atLeast(constant("least", least), x)
		e := expNegative(x)
		if rows[0] == "dst" {
			l.store(e, "dst")
		}
		l.keep(e)
		VADDPS(e, s, s)
	}, nil)
	Store(foldSingle(s).AsX(), ReturnIndex(0))
	end()
}

func sums() {
	l := begin("roughSumAVX2", "func(x []float32) float64", "returns the sum of x, in float32 lanes.", "x")
	s := zeros(4)
	l.run(len(s), func(j int) { VADDPS(l.load("x"), s[j], s[j]) }, pairwise(s, VADDPS))
	Store(foldSingle(s[0]).AsX(), ReturnIndex(0))
	end()

	l = begin("deviationsAVX2", "func(x []float32, mean float32) (s, ss float64)",
		"returns the sums of x-mean and of its squares, in float32 lanes.", "x")
	mean, s, ss := broadcast("mean"), zeros(4), zeros(4)
	l.run(len(s), func(j int) {
		x := l.load("x")
		VSUBPS(mean, x, x)
		l.keep(x)
		VADDPS(x, s[j], s[j])
		VFMADD231PS(x, x, ss[j])
	}, func() {
		pairwise(s, VADDPS)()
		pairwise(ss, VADDPS)()
	})
	Store(foldSingle(s[0]).AsX(), Return("s"))
	Store(foldSingle(ss[0]).AsX(), Return("ss"))
	end()
}

func norms() {
	var mean, rstd reg.VecVirtual
	// normal loads the normalised elements of x.
	normal := func(l *loop) reg.VecVirtual {
		x := l.load("x")
		VSUBPS(mean, x, x)
		VMULPS(rstd, x, x)
		return x
	}

	l := begin("normalizeAVX2", "func(dst, x, w []float32, mean, rstd float32)", "sets dst = (x-mean)*rstd*w.", "dst", "x", "w")
	mean, rstd = broadcast("mean"), broadcast("rstd")
	l.each(2, func() {
		x := normal(l)
		VMULPS(l.load("w"), x, x)
		l.store(x, "dst")
	})

	l = begin("normalizeBiasAVX2", "func(dst, x, w, b []float32, mean, rstd float32)", "sets dst = (x-mean)*rstd*w + b.", "dst", "x", "w", "b")
	mean, rstd = broadcast("mean"), broadcast("rstd")
	l.each(2, func() {
		x, w := normal(l), l.load("w")
		VFMADD213PS(l.load("b"), w, x)
		l.store(x, "dst")
	})

	l = begin("normGradSumsAVX2", "func(dy, x, w []float32, mean, rstd float32) (s, sx float64)",
		"returns the sums of dy*w and of dy*w*(x-mean)*rstd, in float32 lanes.", "dy", "x", "w")
	mean, rstd = broadcast("mean"), broadcast("rstd")
	s, sx := zeros(2), zeros(2)
	l.run(2, func(j int) {
		y := l.load("dy")
		VMULPS(l.load("w"), y, y)
		VADDPS(y, s[j], s[j])
		x := normal(l)
		l.keep(x) // or 0 times what may be infinite
		VFMADD231PS(x, y, sx[j])
	}, func() {
		pairwise(s, VADDPS)()
		pairwise(sx, VADDPS)()
	})
	Store(foldSingle(s[0]).AsX(), Return("s"))
	Store(foldSingle(sx[0]).AsX(), Return("sx"))
	end()

	l = begin("normWeightGradAVX2", "func(dw, dy, x []float32, mean, rstd float32)", "sets dw += dy*(x-mean)*rstd.", "dw", "dy", "x")
	mean, rstd = broadcast("mean"), broadcast("rstd")
	l.each(2, func() {
		y, x := l.load("dw"), normal(l)
		VFMADD231PS(l.load("dy"), x, y)
		l.store(y, "dw")
	})

	l = begin("normGradAVX2", "func(dx, dy, x, w []float32, mean, rstd, s, sx float32)",
		"sets dx = rstd * (dy*w - s - (x-mean)*rstd*sx).", "dx", "dy", "x", "w")
	mean, rstd = broadcast("mean"), broadcast("rstd")
	ms, msx := broadcast("s"), broadcast("sx")
	l.each(2, func() {
		y, w := l.load("dy"), l.load("w")
		VFMSUB213PS(ms, w, y)
		VFNMADD231PS(msx, normal(l), y)
		VMULPS(rstd, y, y)
		l.store(y, "dx")
	})
}

func rotations() {
	for _, r := range []struct {
		name, doc    string
		first, other func(ops ...Op)
	}{
		{"rotateAVX2", "sets x, y = x*cos - y*sin, y*cos + x*sin.", VFNMADD231PS, VFMADD231PS},
		{"rotateBackAVX2", "sets x, y = x*cos + y*sin, y*cos - x*sin.", VFMADD231PS, VFNMADD231PS},
	} {
		l := begin(r.name, "func(x, y, cos, sin []float32)", r.doc, "x", "y", "cos", "sin")
		l.each(1, func() {
			x, y, c, s := l.load("x"), l.load("y"), l.load("cos"), l.load("sin")
			p, q := YMM(), YMM()
			VMULPS(c, x, p)
			VMULPS(c, y, q)
			r.first(s, y, p)
			r.other(s, x, q)
			l.store(p, "x")
			l.store(q, "y")
		})
	}
}

func adamW() {
	l := begin("adamWAVX2", "func(w, g, m, v []float32, f *[9]float32)", "makes one step of AdamW.", "w", "g", "m", "v")
	at := Load(Param("f"), GP64())
	f := make([]reg.VecVirtual, 9)
	for i := range f {
		f[i] = YMM()
		VBROADCASTSS(Mem{Base: at, Disp: 4 * i}, f[i])
	}
	gradScale, keep, beta1, rest1, beta2, rest2, root, eps, step := f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8]
	l.each(1, func() {
		g := l.load("g")
		VMULPS(gradScale, g, g)
		v, t := l.load("v"), YMM()
		VMULPS(beta2, v, v)
		VMULPS(rest2, g, t)
		VFMADD231PS(g, t, v)
		l.store(v, "v")
		VSQRTPS(v, v)
		VDIVPS(root, v, v)
		VADDPS(eps, v, v)
		m := l.load("m")
		VMULPS(beta1, m, m)
		VFMADD231PS(rest1, g, m)
		l.store(m, "m")
		VMULPS(step, m, m)
		VDIVPS(v, m, m)
		w := l.load("w")
		VFMSUB213PS(m, keep, w)
		l.store(w, "w")
	})
}
