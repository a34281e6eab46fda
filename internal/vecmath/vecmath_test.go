package vecmath

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// guard surrounds test rows; a loop that writes outside its row changes it, and
// one that adds it up shows.
const guard = 12345678

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// ways are the implementations that this machine has, each with what turns it on
// and returns what turns it off.
var ways = map[string]func() func(){"default": func() func() { return func() {} }}

func eachWay(t *testing.T, f func(t *testing.T)) {
	for name, on := range ways {
		t.Run(name, func(t *testing.T) {
			defer on()()
			f(t)
		})
	}
}

// place copies x to a row with guards around it, at an address that is not a
// multiple of 32 bytes unless off happens to make it one.
func place(t *testing.T, x []float32, off int) []float32 {
	t.Helper()
	off %= 8
	all := make([]float32, 16+off+len(x))
	for i := range all {
		all[i] = guard
	}
	from, to := 8+off, 8+off+len(x)
	copy(all[from:to], x)
	t.Cleanup(func() {
		for i, v := range all {
			if (i < from || i >= to) && v != guard {
				t.Errorf("row of %d: wrote %v at %d", len(x), v, i-from)
			}
		}
	})
	return all[from:to:to]
}

func randoms(r *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * scale)
	}
	return x
}

func source() *rand.Rand { return rand.New(rand.NewPCG(7, 11)) }

// same compares bits, but for the bits of NaN.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

// off is how wrong got is, absolutely and in units of the last place of want.
func off(got float32, want float64) (abs, ulps float64) {
	w := float32(want)
	if float64(got) == want || got == w || got != got && w != w {
		return 0, 0
	}
	abs = math.Abs(float64(got) - want)
	_, e := math.Frexp(want)
	return abs, abs / math.Ldexp(1, max(e-24, -149))
}

// elementwise are the functions without sums. rows counts the inputs after dst,
// and old tells that dst is an input too: the first of want's.
var elementwise = []struct {
	name string
	rows int
	old  bool
	run  func(dst []float32, in ...[]float32)
	want func(in ...float64) float64
	ulps float64 // either error may be this large
	abs  float64
}{
	{"AddTo", 1, true, func(d []float32, in ...[]float32) { AddTo(d, in[0]) }, func(in ...float64) float64 { return in[0] + in[1] }, .501, 0},
	{"Mul", 2, false, func(d []float32, in ...[]float32) { Mul(d, in[0], in[1]) }, func(in ...float64) float64 { return in[0] * in[1] }, .501, 0},
	{"Scale", 1, false, func(d []float32, in ...[]float32) { Scale(d, -1.5, in[0]) }, func(in ...float64) float64 { return -1.5 * in[0] }, .501, 0},
	{"GELU", 1, false, func(d []float32, in ...[]float32) { GELU(d, in[0]) }, func(in ...float64) float64 {
		x := max(in[0], -1e10)
		return x * math.Erfc(-x/math.Sqrt2) / 2
	}, 5, 1e-43},
	{"GELUGrad", 2, false, func(d []float32, in ...[]float32) { GELUGrad(d, in[0], in[1]) }, func(in ...float64) float64 {
		x := min(max(in[0], -1e10), 1e10)
		return in[1] * (math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi))
	}, 5, 1e-7},
	{"GELUTanh", 1, false, func(d []float32, in ...[]float32) { GELUTanh(d, in[0]) }, func(in ...float64) float64 {
		x := max(in[0], -1e10)
		return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) // tanh loses digits
	}, 5, 1e-7},
	{"GELUTanhGrad", 2, false, func(d []float32, in ...[]float32) { GELUTanhGrad(d, in[0], in[1]) }, func(in ...float64) float64 {
		x, k := min(max(in[0], -1e10), 1e10), math.Sqrt(2/math.Pi)
		s := 1 / (1 + math.Exp(-2*k*(x+0.044715*x*x*x)))
		return in[1] * (s + x*s*(1-s)*2*k*(1+3*0.044715*x*x))
	}, 5, 2e-7},
	{"SiLU", 1, false, func(d []float32, in ...[]float32) { SiLU(d, in[0]) }, func(in ...float64) float64 {
		x := max(in[0], -1e10)
		return x / (1 + math.Exp(-x))
	}, 4, 1e-41}, // exp(x) is not a normal number where the result just is
	{"SiLUGrad", 2, false, func(d []float32, in ...[]float32) { SiLUGrad(d, in[0], in[1]) }, func(in ...float64) float64 {
		x := min(max(in[0], -1e10), 1e10)
		s := 1 / (1 + math.Exp(-x))
		return in[1] * s * (1 + x*(1-s))
	}, 5, 2e-7},
	{"Tanh", 1, false, func(d []float32, in ...[]float32) { Tanh(d, in[0]) }, func(in ...float64) float64 { return math.Tanh(in[0]) }, 4, 0},
	{"TanhGrad", 2, false, func(d []float32, in ...[]float32) { TanhGrad(d, in[0], in[1]) }, func(in ...float64) float64 { return in[1] * (1 - in[0]*in[0]) }, 2, 1e-7},
	{"ReLU", 1, false, func(d []float32, in ...[]float32) { ReLU(d, in[0]) }, func(in ...float64) float64 { return max(in[0], 0) }, 0, 0},
	{"ReLUGrad", 2, false, func(d []float32, in ...[]float32) { ReLUGrad(d, in[0], in[1]) }, func(in ...float64) float64 {
		if in[0] <= 0 {
			return 0
		}
		return in[0] * in[1] / in[0]
	}, .501, 0},
}

// The functions of one row, and the gradients for dy = 1, over all magnitudes.
func TestAccuracy(t *testing.T) {
	stride := uint32(4093)
	if testing.Short() {
		stride *= 50
	}
	var x, ones []float32
	for b := uint32(0); b < 0x7f800000; b += stride {
		f := math.Float32frombits(b)
		x, ones = append(x, f, -f), append(ones, 1, 1)
	}
	for v := -110.0; v < 110; v += 0.0021 * float64(stride) / 1021 { // most magnitudes are far from where things happen
		x, ones = append(x, float32(v), float32(v/16)), append(ones, 1, 1)
	}
	eachWay(t, func(t *testing.T) {
		dst := make([]float32, len(x))
		for _, f := range elementwise {
			if f.old || f.rows == 2 && !strings.HasSuffix(f.name, "Grad") {
				continue // arithmetic
			}
			f.run(dst, [][]float32{x, ones}[:f.rows]...)
			var maxAbs, maxUlps float64
			bad := 0
			for i, v := range x {
				abs, ulps := off(dst[i], f.want([]float64{float64(v), 1}[:f.rows]...))
				if f.name == "TanhGrad" && (v > 1 || v < -1) {
					continue
				}
				if want := math.Abs(f.want([]float64{float64(v), 1}[:f.rows]...)); want < 1 {
					maxAbs = max(maxAbs, abs)
					if want > 1e-36 {
						maxUlps = max(maxUlps, ulps)
					}
				} else {
					maxUlps = max(maxUlps, ulps)
				}
				if !(ulps <= f.ulps || abs <= f.abs) {
					if bad++; bad < 4 {
						t.Errorf("%s(%v) = %v, want %v: %.3g ulp, %.3g", f.name, v, dst[i], f.want(float64(v), 1), ulps, abs)
					}
				}
			}
			if f.abs > 1e-30 { // units of the last place mean nothing near a zero
				t.Logf("%-12s %8.2g below 1", f.name, maxAbs)
			} else {
				t.Logf("%-12s %8.2g below 1, %.2f ulp", f.name, maxAbs, maxUlps)
			}
		}
	})
}

// Every length, alignment and aliasing gives an element the bits that it has in
// a row of its own.
func TestElementsDoNotDependOnTheRow(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		r := source()
		for _, f := range elementwise {
			for n := range 71 {
				dst := randoms(r, n, 3)
				in := [][]float32{randoms(r, n, 3), randoms(r, n, 3)}[:f.rows]
				want := slices.Clone(dst)
				for i := range n {
					var one [][]float32
					for _, row := range in {
						one = append(one, row[i:i+1])
					}
					f.run(want[i:i+1], one...)
					var args []float64
					if f.old {
						args = append(args, float64(dst[i]))
					}
					for _, row := range in {
						args = append(args, float64(row[i]))
					}
					if abs, ulps := off(want[i], f.want(args...)); !(ulps <= f.ulps+1 || abs <= max(f.abs, 1e-7)*10) {
						t.Errorf("%s(%v) = %v, want %v", f.name, args, want[i], f.want(args...))
					}
				}
				got, placed := place(t, dst, n), make([][]float32, len(in))
				for k, row := range in {
					placed[k] = place(t, row, n/8+3*k)
				}
				f.run(got, placed...)
				if !same(got, want) {
					t.Errorf("%s: row of %d: %v, want %v", f.name, n, got, want)
				}
				for k := range in {
					if !same(placed[k], in[k]) {
						t.Errorf("%s: row of %d: input %d changed", f.name, n, k)
					}
				}
				if f.old {
					continue
				}
				for k := range in {
					for j, row := range in {
						placed[j] = place(t, row, n+j)
					}
					f.run(placed[k], placed...)
					if !same(placed[k], want) {
						t.Errorf("%s: row of %d: into input %d: %v, want %v", f.name, n, k, placed[k], want)
					}
				}
			}
		}
	})
}

func TestSpecialNumbers(t *testing.T) {
	grad := func(f func(dst, x, dy []float32)) func(dst, x []float32) {
		return func(dst, x []float32) { f(dst, x, []float32{1, 1, 1, 1, 1}) }
	}
	x := []float32{nan, -inf, inf, -math.MaxFloat32, math.MaxFloat32}
	eachWay(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			f    func(dst, x []float32)
			want []float32 // by value: -0 is 0
		}{
			{"GELU", GELU, []float32{nan, 0, inf, 0, math.MaxFloat32}},
			{"GELUTanh", GELUTanh, []float32{nan, 0, inf, 0, math.MaxFloat32}},
			{"SiLU", SiLU, []float32{nan, 0, inf, 0, math.MaxFloat32}},
			{"ReLU", ReLU, []float32{nan, 0, inf, 0, math.MaxFloat32}},
			{"Tanh", Tanh, []float32{nan, -1, 1, -1, 1}},
			{"GELUGrad", grad(GELUGrad), []float32{nan, 0, 1, 0, 1}},
			{"GELUTanhGrad", grad(GELUTanhGrad), []float32{nan, 0, 1, 0, 1}},
			{"SiLUGrad", grad(SiLUGrad), []float32{nan, 0, 1, 0, 1}},
			{"ReLUGrad", grad(ReLUGrad), []float32{nan, 0, 1, 0, 1}},
		} {
			got := make([]float32, len(x))
			c.f(got, x)
			for i := range got {
				if got[i] != c.want[i] && !(got[i] != got[i] && c.want[i] != c.want[i]) {
					t.Errorf("%s(%v) = %v, want %v", c.name, x[i], got[i], c.want[i])
				}
			}
		}
		zeros, got := []float32{0, float32(math.Copysign(0, -1))}, make([]float32, 2)
		if Tanh(got, zeros); !same(got, zeros) {
			t.Errorf("tanh of zeros: %v", got)
		}
	})
}

// softmax64 is the reference.
func softmax64(x []float32, factor float64) []float64 {
	p, top, s := make([]float64, len(x)), math.Inf(-1), 0.0
	for i, v := range x {
		p[i] = factor * float64(v)
		top = max(top, p[i])
	}
	for i := range p {
		p[i] = math.Exp(p[i] - top)
		s += p[i]
	}
	for i := range p {
		p[i] /= s
	}
	return p
}

// near fails unless |got-want| <= tol*(1+|want|) for all elements.
func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= tol*(1+math.Abs(w))) {
			t.Errorf("%s: row of %d: element %d is %v, want %v", what, len(want), i, got[i], w)
			return
		}
	}
}

// lengths are those of rows with every kind of tail, and some long ones.
var lengths = func() (n []int) {
	for i := range 71 {
		n = append(n, i)
	}
	return append(n, 383, 384, 511, 1000, 4097)
}()

func TestSoftmax(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		r := source()
		for _, n := range lengths {
			for _, factor := range []float32{1, 0.125, 0, -0.5, 30} {
				x := randoms(r, n, 4)
				want := softmax64(x, float64(factor))
				got := place(t, make([]float32, n), n)
				Softmax(got, place(t, x, n/8), factor)
				for i, w := range want { // small ones to the digits that their exponents have
					if abs, ulps := off(got[i], w); ulps > 4-2*math.Log(w) && abs > 1e-44 {
						t.Fatalf("row of %d, factor %v: element %d is %v, want %v: %.3g ulp", n, factor, i, got[i], w, ulps)
					}
				}
				again := place(t, x, n+3)
				if Softmax(again, again, factor); !same(got, again) {
					t.Errorf("row of %d: in place %v, want %v", n, again, got)
				}

				dp := randoms(r, n, 1)
				s := 0.0
				for i, p := range got {
					s += float64(p) * float64(dp[i])
				}
				for i, p := range got {
					want[i] = float64(factor) * float64(p) * (float64(dp[i]) - s)
				}
				back := place(t, make([]float32, n), n+1)
				SoftmaxGrad(back, place(t, got, n), place(t, dp, n/8), factor)
				near(t, "gradient", back, want, 2e-7*float64(1+factor*factor))
				again = place(t, dp, n+3)
				if SoftmaxGrad(again, got, again, factor); !same(back, again) {
					t.Errorf("gradient: row of %d: in place %v, want %v", n, again, back)
				}
				if SoftmaxGrad(got, got, dp, factor); !same(back, got) {
					t.Errorf("gradient: row of %d: in place %v, want %v", n, got, back)
				}
			}
		}
	})
}

func TestSoftmaxOfInfinities(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		for n := 1; n <= 40; n++ {
			x := make([]float32, n)
			for i := range x {
				x[i] = -inf
			}
			got := make([]float32, n)
			if Softmax(got, x, 0.5); slices.ContainsFunc(got, func(v float32) bool { return v == v }) {
				t.Errorf("all of %d are -Inf: %v", n, got)
			}
			x[n/2] = -3
			Softmax(got, x, 0.5)
			for i, v := range got {
				if want := map[bool]float32{true: 1}[i == n/2]; v != want {
					t.Errorf("all of %d but one are -Inf: %v", n, got)
					break
				}
			}
			for _, bad := range []float32{nan, inf} {
				x[n-1] = bad
				if Softmax(got, x, 0.5); got[n/2] == got[n/2] {
					t.Errorf("%v in %d: %v", bad, n, got)
				}
			}
			for i := range x {
				x[i] = math.MaxFloat32 * float32(1-2*(i%2))
			}
			Softmax(got, x, 1)
			for i, v := range got {
				if want := float32(1-i%2) / float32((n+1)/2); math.Abs(float64(v-want)) > 1e-7 {
					t.Errorf("largest numbers: %v", got)
					break
				}
			}
		}
	})
}

func TestLogSumExp(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		r := source()
		for _, n := range append(lengths, 30522) {
			x := place(t, randoms(r, n, 5), n)
			s := 0.0
			for _, v := range x {
				s += math.Exp(float64(v))
			}
			if got, want := LogSumExp(x), math.Log(s); !(math.Abs(got-want) <= 2e-7) && n > 0 {
				t.Errorf("row of %d: %v, want %v", n, got, want)
			}
		}
		for _, c := range []struct {
			x    []float32
			want float64
		}{
			{nil, math.Inf(-1)},
			{[]float32{-inf, -inf}, math.Inf(-1)},
			{[]float32{-inf, 2, -inf}, 2},
			{[]float32{1, inf, -inf}, math.Inf(1)},
			{[]float32{inf, inf}, math.Inf(1)},
			{[]float32{1, nan}, math.NaN()},
			{[]float32{inf, nan}, math.NaN()},
			{[]float32{nan, -inf}, math.NaN()},
			{[]float32{1e30, 1e30}, float64(float32(1e30))},
		} {
			if got := LogSumExp(c.x); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
				t.Errorf("%v: %v, want %v", c.x, got, c.want)
			}
		}
	})
}

// norm64 is LayerNorm, or RMSNorm if rms, in float64.
func norm64(x, w, b []float64, eps float64, rms bool) (dst []float64, mean, rstd float64) {
	n := float64(len(x))
	if !rms {
		for _, v := range x {
			mean += v / n
		}
	}
	s := 0.0
	for _, v := range x {
		s += (v - mean) * (v - mean)
	}
	rstd = 1 / math.Sqrt(s/n+eps)
	for i, v := range x {
		dst = append(dst, (v-mean)*rstd*w[i]+b[i])
	}
	return dst, mean, rstd
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestNorms(t *testing.T) {
	const eps = 1e-5
	eachWay(t, func(t *testing.T) {
		r := source()
		for _, n := range lengths[1:] {
			for _, rms := range []bool{false, true} {
				x, w, b, dy := randoms(r, n, 2), randoms(r, n, 1), randoms(r, n, 1), randoms(r, n, 1)
				for i := range x {
					x[i] += 3
				}
				bias := wide(b)
				if rms {
					clear(bias)
				}
				want, mean, rstd := norm64(wide(x), wide(w), bias, eps, rms)
				norm := func(dst, x, b []float32) (float32, float32) {
					if rms {
						return 0, RMSNorm(dst, x, place(t, w, n/8), eps)
					}
					return LayerNorm(dst, x, place(t, w, n/8), b, eps)
				}
				got := place(t, make([]float32, n), n)
				m, s := norm(got, place(t, x, n/8), place(t, b, n))
				if n > 1 {
					near(t, "norm", got, want, 3e-6)
					near(t, "mean and rstd", []float32{m, s}, []float64{mean, rstd}, 1e-6)
				}
				again := place(t, x, n+5)
				if norm(again, again, b); !same(again, got) {
					t.Errorf("row of %d: in place %v, want %v", n, again, got)
				}
				if !rms {
					norm(got, x, nil)
					for i := range want {
						want[i] -= bias[i]
					}
					near(t, "norm without bias", got, want, 3e-6*float64(1+n&1))
				}

				dx := place(t, make([]float32, n), n)
				dw, db := place(t, b, n+1), place(t, w, n+2)
				grad := func(dx, dw, db, dy, x []float32) {
					if rms {
						RMSNormGrad(dx, dw, dy, x, place(t, w, n+4), s)
					} else {
						LayerNormGrad(dx, dw, db, dy, x, place(t, w, n+4), m, s)
					}
				}
				grad(dx, dw, db, place(t, dy, n/8), place(t, x, n))
				if n > 1 && n <= 71 {
					numeric(t, dx, dw, db, x, w, b, dy, eps, rms)
				}
				again = place(t, dy, n+3)
				if grad(again, nil, nil, again, x); !same(again, dx) {
					t.Errorf("gradient: row of %d: in place %v, want %v", n, again, dx)
				}
				if grad(x, nil, nil, dy, x); !same(x, dx) {
					t.Errorf("gradient: row of %d: in place of x %v, want %v", n, x, dx)
				}
			}
		}
		if m, s := LayerNorm(nil, nil, nil, nil, 0.25); m != 0 || s != 2 {
			t.Errorf("empty row: mean %v, rstd %v", m, s)
		}
		LayerNormGrad(nil, nil, nil, nil, nil, nil, 0, 2)
	})
}

// numeric compares gradients with quotients of differences. dw started as b, db
// as w.
func numeric(t *testing.T, dx, dw, db, x, w, b, dy []float32, eps float64, rms bool) {
	t.Helper()
	x64, w64, b64 := wide(x), wide(w), wide(b)
	slopes := func(of []float64, start []float32) []float64 {
		var d []float64
		loss := func() (s float64) {
			y, _, _ := norm64(x64, w64, b64, eps, rms)
			for i, v := range y {
				s += v * float64(dy[i])
			}
			return s
		}
		for i, v := range of {
			const h = 1e-5
			of[i] = v + h
			up := loss()
			of[i] = v - h
			down := loss()
			of[i] = v
			d = append(d, (up-down)/(2*h))
			if start != nil {
				d[i] += float64(start[i])
			}
		}
		return d
	}
	near(t, "dx", dx, slopes(x64, nil), 1e-5)
	near(t, "dw", dw, slopes(w64, b), 1e-5)
	if !rms {
		near(t, "db", db, slopes(b64, w), 1e-5)
	}
}

func TestNormsOfHardRows(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		x, ones, got := make([]float32, 100), make([]float32, 100), make([]float32, 100)
		for i := range x { // a mean of 1000 times the deviation: two passes are needed
			x[i], ones[i] = 1000+float32(i%2), 1
		}
		LayerNorm(got, x, ones, nil, 0)
		for i, v := range got {
			if want := float32(2*(i%2) - 1); math.Abs(float64(v-want)) > 1e-4 {
				t.Fatalf("element %d is %v, want %v", i, v, want)
			}
		}
		for i := range x {
			x[i] = 5
		}
		if _, s := LayerNorm(got, x, ones, nil, 1e-4); got[99] != 0 || math.Abs(float64(s)-100) > 1e-4 {
			t.Errorf("constant row: %v, rstd %v", got[99], s)
		}
		x[99] = nan
		if LayerNorm(got, x, ones, nil, 1e-4); got[0] == got[0] {
			t.Errorf("NaN in the row: %v", got)
		}
	})
}

func TestRotate(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		r := source()
		for h := range 71 {
			x, c, s := randoms(r, 2*h, 1), make([]float32, h), make([]float32, h)
			var want []float64
			for i := range h {
				sin, cos := math.Sincos(r.Float64() * 7)
				s[i], c[i] = float32(sin), float32(cos)
			}
			for i, v := range x {
				j := i % h
				if i < h {
					want = append(want, float64(v)*float64(c[j])-float64(x[h+j])*float64(s[j]))
				} else {
					want = append(want, float64(v)*float64(c[j])+float64(x[j])*float64(s[j]))
				}
			}
			got := place(t, x, h)
			Rotate(got, place(t, c, h/8), place(t, s, h))
			near(t, "rotated", got, want, 2e-7)
			RotateBack(got, c, s)
			near(t, "rotated back", got, wide(x), 4e-7)
		}
	})
}

func TestSumSquares(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		r := source()
		for _, n := range lengths {
			x := randoms(r, n, 100)
			q := 0.0
			for _, v := range x {
				q += float64(v) * float64(v)
			}
			x = place(t, x, n)
			if got := SumSquares(x); math.Abs(got-q) > 1e-12*q {
				t.Errorf("row of %d: %v, want %v", n, got, q)
			}
		}
	})
}

func TestAdamW(t *testing.T) {
	s := AdamWStep{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Decay: 0.01, GradScale: 0.5}
	eachWay(t, func(t *testing.T) {
		r := source()
		for n := range 71 {
			w, m, v := randoms(r, n, 1), make([]float32, n), make([]float32, n)
			w64, m64, v64 := wide(w), wide(m), wide(v)
			w, m, v = place(t, w, n), place(t, m, n/8), place(t, v, n+1)
			for step := 1; step <= 5; step++ {
				g := place(t, randoms(r, n, 0.1), n+step)
				if n > 2 {
					g[2] = 0 // no gradient, only decay
				}
				s.Bias1, s.Bias2 = 1-math.Pow(s.Beta1, float64(step)), 1-math.Pow(s.Beta2, float64(step))
				before := slices.Clone(g)
				AdamW(w, g, m, v, s)
				if !same(g, before) {
					t.Fatal("gradient changed")
				}
				for i := range g {
					d := float64(g[i]) * s.GradScale
					w64[i] *= 1 - s.LR*s.Decay
					m64[i] = s.Beta1*m64[i] + (1-s.Beta1)*d
					v64[i] = s.Beta2*v64[i] + (1-s.Beta2)*d*d
					w64[i] -= s.LR / s.Bias1 * m64[i] / (math.Sqrt(v64[i])/math.Sqrt(s.Bias2) + s.Eps)
				}
				near(t, "weights", w, w64, 3e-7)
				near(t, "first moments", m, m64, 1e-8)
				near(t, "second moments", v, v64, 1e-9)
			}
		}
	})
}

// One step from known numbers: the first step of Adam is LR in size whatever the
// gradient is, against its sign.
func TestAdamWFirstStep(t *testing.T) {
	eachWay(t, func(t *testing.T) {
		w, g := []float32{1, 1, 1}, []float32{1e-3, -50, nan}
		m, v := make([]float32, 3), make([]float32, 3)
		AdamW(w, g, m, v, AdamWStep{LR: 0.25, Beta1: 0.9, Beta2: 0.999, GradScale: 1, Bias1: 1 - 0.9, Bias2: 1 - 0.999})
		near(t, "weights", w[:2], []float64{0.75, 1.25}, 1e-6)
		if w[2] == w[2] {
			t.Errorf("a gradient of NaN gives %v", w[2])
		}
	})
}

func TestRowsOfDifferentLength(t *testing.T) {
	a, b, two := make([]float32, 9), make([]float32, 8), make([]float32, 16)
	for name, f := range map[string]func(){
		"AddTo": func() { AddTo(a, b) }, "Mul": func() { Mul(a, b, a) }, "Mul dst": func() { Mul(b, a, a) },
		"Scale": func() { Scale(a, 1, b) }, "Softmax": func() { Softmax(a, b, 1) },
		"SoftmaxGrad": func() { SoftmaxGrad(a, a, b, 1) }, "GELU": func() { GELU(a, b) }, "GELUGrad": func() { GELUGrad(a, a, b) },
		"GELUTanh": func() { GELUTanh(a, b) }, "GELUTanhGrad": func() { GELUTanhGrad(a, b, a) }, "SiLU": func() { SiLU(a, b) },
		"SiLUGrad": func() { SiLUGrad(b, a, a) }, "Tanh": func() { Tanh(a, b) },
		"TanhGrad": func() { TanhGrad(a, a, b) }, "ReLU": func() { ReLU(b, a) }, "ReLUGrad": func() { ReLUGrad(a, b, b) },
		"LayerNorm": func() { LayerNorm(a, a, b, nil, 1) }, "LayerNorm bias": func() { LayerNorm(a, a, a, b, 1) },
		"LayerNormGrad": func() { LayerNormGrad(a, b, nil, a, a, a, 0, 1) }, "LayerNormGrad db": func() { LayerNormGrad(a, nil, b, a, a, a, 0, 1) },
		"RMSNorm": func() { RMSNorm(a, a, b, 1) }, "RMSNormGrad": func() { RMSNormGrad(a, b, a, a, a, 1) },
		"Rotate": func() { Rotate(two, a, a) }, "Rotate sin": func() { Rotate(two, b, a) }, "RotateBack": func() { RotateBack(a, b, b) },
		"AdamW": func() { AdamW(a, a, a, b, AdamWStep{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func Benchmark(b *testing.B) {
	const most = 1 << 20
	r := source()
	var rows [6][]float32
	for i := range rows {
		rows[i] = randoms(r, most+80*i, 1)[80*i:] // not all at the same place of a page
	}
	for _, f := range []struct {
		name string
		run  func(d, x, y, w, m, v []float32)
		big  bool
	}{
		{name: "Scale", run: func(d, x, _, _, _, _ []float32) { Scale(d, 0.5, x) }},
		{name: "Softmax", run: func(d, x, _, _, _, _ []float32) { Softmax(d, x, 0.125) }},
		{name: "SoftmaxGrad", run: func(d, x, y, _, _, _ []float32) { SoftmaxGrad(d, x, y, 0.125) }},
		{name: "LogSumExp", run: func(_, x, _, _, _, _ []float32) { LogSumExp(x) }},
		{name: "GELU", run: func(d, x, _, _, _, _ []float32) { GELU(d, x) }},
		{name: "GELUGrad", run: func(d, x, y, _, _, _ []float32) { GELUGrad(d, x, y) }},
		{name: "GELUTanh", run: func(d, x, _, _, _, _ []float32) { GELUTanh(d, x) }},
		{name: "GELUTanhGrad", run: func(d, x, y, _, _, _ []float32) { GELUTanhGrad(d, x, y) }},
		{name: "SiLU", run: func(d, x, _, _, _, _ []float32) { SiLU(d, x) }},
		{name: "SiLUGrad", run: func(d, x, y, _, _, _ []float32) { SiLUGrad(d, x, y) }},
		{name: "Tanh", run: func(d, x, _, _, _, _ []float32) { Tanh(d, x) }},
		{name: "TanhGrad", run: func(d, x, y, _, _, _ []float32) { TanhGrad(d, x, y) }},
		{name: "ReLU", run: func(d, x, _, _, _, _ []float32) { ReLU(d, x) }},
		{name: "ReLUGrad", run: func(d, x, y, _, _, _ []float32) { ReLUGrad(d, x, y) }},
		{name: "LayerNorm", run: func(d, x, y, w, _, _ []float32) { LayerNorm(d, x, w, y, 1e-5) }},
		{name: "LayerNormGrad", run: func(d, x, y, w, m, v []float32) { LayerNormGrad(d, m, v, y, x, w, 0, 1e-9) }},
		{name: "RMSNorm", run: func(d, x, _, w, _, _ []float32) { RMSNorm(d, x, w, 1e-5) }},
		{name: "RMSNormGrad", run: func(d, x, y, w, m, _ []float32) { RMSNormGrad(d, m, y, x, w, 1e-9) }},
		{name: "Rotate", run: func(d, _, y, w, _, _ []float32) { h := len(d) / 2; Rotate(d, y[:h], w[:h]) }},
		{name: "SumSquares", run: func(_, x, _, _, _, _ []float32) { SumSquares(x) }},
		{name: "AdamW", big: true, run: func(_, x, _, w, m, v []float32) {
			AdamW(w, x, m, v, AdamWStep{LR: 1e-9, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Bias1: 1, Bias2: 1})
		}},
	} {
		sizes := []int{32, 384, 1536}
		if f.big {
			sizes = append(sizes, most)
		}
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", f.name, n), func(b *testing.B) {
				for i := range rows {
					for j := range rows[i][:n] {
						rows[i][j] = float32(j%13)/4 - 1.5
					}
				}
				for j := range n {
					rows[5][j] = 0.5 // a second moment
				}
				for b.Loop() {
					f.run(rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n], rows[4][:n], rows[5][:n])
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
			})
		}
	}
}
