package gemm

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/viterin/vek/vek32"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// guard surrounds what a test lets be written; a tile that writes beside its
// own place changes it.
const guard = 12345

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// want is init + a·b in float64, and the sum of the products' sizes, which
// rounding errors are in proportion to.
func want(a, b Matrix, init func(i, j int) float64, i, j int) (sum, size float64) {
	sum = init(i, j)
	size = math.Abs(sum)
	for k := range a.Cols {
		p := float64(a.Data[i*a.RS+k*a.CS]) * float64(b.Data[k*b.RS+j*b.CS])
		sum += p
		size += math.Abs(p)
	}
	return sum, size
}

// wide has the tiles of AVX-512 in plain Go, for processors without. (That the
// assembly computes such tiles is tested in internal/asm, by interpreting it.)
var wide = func() *arch {
	a := &arch{name: "wide", width: maxWidth}
	for rows := range 12 {
		a.tiles = append(a.tiles, tileGo(rows+1, maxWidth))
	}
	return a
}()

// on runs a test with each way to compute tiles that this processor has.
func on(t *testing.T, test func(t *testing.T, a *arch)) {
	for _, a := range append(archs, wide) {
		t.Run(a.name, func(t *testing.T) { test(t, a) })
	}
}

func spread(n int, task func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { task(i) })
	}
	wg.Wait()
}

func TestMul(t *testing.T) {
	shapes := [][3]int{{1, 1, 1}, {1, 7, 300}, {2, 16, 3}, {5, 17, 8}, {6, 16, 4}, {7, 31, 5}, {12, 32, 9}, {13, 33, 257},
		{48, 48, 64}, {49, 100, 256}, {50, 129, 513}, {97, 15, 31}, {3, 0, 4}, {0, 3, 4}, {3, 5, 0}, {100, 300, 24}}
	layouts := map[string]func(m Matrix) Matrix{
		"dense": func(m Matrix) Matrix { return m },
		"transposed": func(m Matrix) Matrix {
			data := make([]float32, len(m.Data))
			for i := range m.Rows {
				for j := range m.Cols {
					data[j*m.Rows+i] = m.Data[i*m.Cols+j]
				}
			}
			return Dense(data, m.Cols, m.Rows).T()
		},
		"gaps": func(m Matrix) Matrix {
			data := make([]float32, m.Rows*(2*m.Cols+3))
			for i := range m.Rows {
				for j := range m.Cols {
					data[i*(2*m.Cols+3)+2*j] = m.Data[i*m.Cols+j]
				}
			}
			return Matrix{data, m.Rows, m.Cols, 2*m.Cols + 3, 2}
		},
	}
	on(t, func(t *testing.T, arch *arch) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			for la, fa := range layouts {
				for lb, fb := range layouts {
					a, b := fa(Dense(random(r, m*k), m, k)), fb(Dense(random(r, k*n), k, n))
					bias, old := random(r, n), random(r, m*n)
					packed := arch.pack(spread, b, nil)
					for _, mode := range []string{"set", "bias", "add"} {
						ld := n + 5
						out := make([]float32, m*ld+5)
						for i := range out {
							out[i] = guard
						}
						c := Matrix{out, m, n, ld, 1}
						opt, init := Options{}, func(i, j int) float64 { return 0 }
						switch mode {
						case "bias":
							opt.Bias = bias
							init = func(_, j int) float64 { return float64(bias[j]) }
						case "add":
							opt.Add = true
							init = func(i, j int) float64 { return float64(old[i*n+j]) }
							for i := range m {
								copy(c.Row(i), old[i*n:])
							}
						}
						Mul(spread, c, a, packed, opt)
						name := fmt.Sprintf("%v %s x %s %s", s, la, lb, mode)
						for i := range m {
							for j := range ld {
								got := out[i*ld+j]
								if j >= n {
									if got != guard {
										t.Fatalf("%s: wrote beside row %d", name, i)
									}
									continue
								}
								if w, size := want(a, b, init, i, j); math.Abs(float64(got)-w) > 1e-6*size {
									t.Fatalf("%s: c[%d,%d] = %v, want %v", name, i, j, got, w)
								}
							}
						}
					}
				}
			}
		}
	})
}

func TestSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, s := range [][3]int{{1, 1, 1}, {5, 7, 3}, {25, 25, 32}, {31, 64, 45}, {3, 0, 2}, {3, 40, 0}} {
		m, n, k := s[0], s[1], s[2]
		a, b := Dense(random(r, m*k), k, m).T(), Dense(random(r, k*n), n, k).T()
		got, want := Dense(random(r, m*n), m, n), Dense(make([]float32, m*n), m, n)
		copy(want.Data, got.Data)
		Small(got, a, b, make([]float32, PackedLen(k, n)), true)
		Mul(nil, want, a, Pack(nil, b, nil), Options{Add: true})
		if !slices.Equal(got.Data, want.Data) {
			t.Errorf("%v: other numbers than Mul", s)
		}
	}
}

// The bits of an element depend on its row and column alone.
func TestSameBitsInAnyCompany(t *testing.T) {
	on(t, func(t *testing.T, arch *arch) {
		r := rand.New(rand.NewPCG(3, 4))
		a, b := Dense(random(r, 101*300), 101, 300), Dense(random(r, 300*70), 300, 70)
		packed := arch.pack(nil, b, nil)
		all := Dense(make([]float32, 101*70), 101, 70)
		Mul(spread, all, a, packed, Options{})
		for i := range 101 {
			for _, rows := range []int{1, 4} {
				if i+rows > 101 {
					continue
				}
				one := Dense(make([]float32, rows*70), rows, 70)
				Mul(nil, one, a.Slice(i, i+rows, 0, 300), packed, Options{})
				for j, x := range one.Data {
					if x != all.Data[i*70+j] {
						t.Fatalf("row %d of %d: element %d is %v, in the whole product %v", i, rows, j, x, all.Data[i*70+j])
					}
				}
			}
		}
	})
}

func TestDoneSeesCompleteRows(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	a, b := Dense(random(r, 130*40), 130, 40), Dense(random(r, 40*200), 40, 200)
	packed := Pack(nil, b, nil)
	plain, squared := Dense(make([]float32, 130*200), 130, 200), Dense(make([]float32, 130*200), 130, 200)
	Mul(nil, plain, a, packed, Options{})
	Mul(spread, squared, a, packed, Options{Done: func(i0, i1, j0, j1 int) {
		for i := i0; i < i1; i++ {
			for j, x := range squared.Row(i)[j0:j1] {
				squared.Row(i)[j0+j] = x * x
			}
		}
	}})
	for i, x := range plain.Data {
		if squared.Data[i] != x*x {
			t.Fatalf("element %d is %v, want %v", i, squared.Data[i], x*x)
		}
	}
}

func TestPackColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	a, w := Dense(random(r, 20*300), 20, 300), random(r, 300*45)
	for i := range w { // numbers that all storages hold exactly
		w[i] = float32(int(w[i]*8)) / 4
	}
	columns := Dense(w, 45, 300)
	want := Dense(make([]float32, 20*45), 20, 45)
	Mul(nil, want, a, Pack(nil, columns.T(), nil), Options{})
	for name, s := range map[string]Storage{"f32": F32, "bf16": BF16, "f16": F16} {
		p, err := PackColumns(spread, 300, 45, s, func(dst []float32, j int) error {
			copy(dst, w[j*300:])
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got := Dense(make([]float32, 20*45), 20, 45)
		Mul(spread, got, a, p, Options{})
		turned := p.PackT(spread, make([]float32, PackedLen(45, 300)))
		direct := Pack(nil, columns, nil)
		if !slices.Equal(turned.data, direct.data) {
			t.Errorf("%s: the transpose differs", name)
		}
		if !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s: other numbers", name)
		}
	}
	bad := errors.New("bad")
	if _, err := PackColumns(spread, 300, 45, F32, func([]float32, int) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("error %v", err)
	}
}

func TestMulPanicsOnWrongSizes(t *testing.T) {
	b := Pack(nil, Dense(make([]float32, 12), 3, 4), nil)
	for name, f := range map[string]func(){
		"inner size": func() { Mul(nil, Dense(make([]float32, 8), 2, 4), Dense(make([]float32, 4), 2, 2), b, Options{}) },
		"short a":    func() { Mul(nil, Dense(make([]float32, 8), 2, 4), Dense(make([]float32, 5), 2, 3), b, Options{}) },
		"short c":    func() { Mul(nil, Dense(make([]float32, 7), 2, 4), Dense(make([]float32, 6), 2, 3), b, Options{}) },
		"short bias": func() {
			Mul(nil, Dense(make([]float32, 8), 2, 4), Dense(make([]float32, 6), 2, 3), b, Options{Bias: make([]float32, 3)})
		},
		"short b":     func() { Pack(nil, Dense(make([]float32, 11), 3, 4), nil) },
		"short space": func() { Pack(nil, Dense(make([]float32, 12), 3, 4), make([]float32, 3)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// The shapes of MiniLM and BERT-base for a batch of 32 sentences.
var benchShapes = [][3]int{{800, 1536, 384}, {800, 384, 1536}, {800, 384, 384}, {800, 3072, 768}, {24, 1536, 384}, {1, 1536, 384}}

func flops(b *testing.B, s [3]int) {
	b.ReportMetric(2*float64(s[0])*float64(s[1])*float64(s[2])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkMul(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, arch := range archs {
		for _, s := range benchShapes {
			m, n, k := s[0], s[1], s[2]
			x, w, dy := random(r, m*k), random(r, n*k), random(r, m*n)
			c := Dense(make([]float32, m*n), m, n)
			b.Run(fmt.Sprintf("%s/packed/%dx%dx%d", arch.name, m, n, k), func(b *testing.B) {
				p := arch.pack(nil, Dense(w, n, k).T(), nil)
				for b.Loop() {
					Mul(nil, c, Dense(x, m, k), p, Options{})
				}
				flops(b, s)
			})
			b.Run(fmt.Sprintf("%s/A*Bt/%dx%dx%d", arch.name, m, n, k), func(b *testing.B) {
				buf := make([]float32, PackedLen(k, n))
				for b.Loop() {
					Mul(nil, c, Dense(x, m, k), arch.pack(nil, Dense(w, n, k).T(), buf), Options{})
				}
				flops(b, s)
			})
			b.Run(fmt.Sprintf("%s/A*B/%dx%dx%d", arch.name, m, n, k), func(b *testing.B) {
				buf := make([]float32, PackedLen(k, n))
				for b.Loop() {
					Mul(nil, c, Dense(x, m, k), arch.pack(nil, Dense(w, k, n), buf), Options{})
				}
				flops(b, s)
			})
			b.Run(fmt.Sprintf("%s/At*B/%dx%dx%d", arch.name, n, k, m), func(b *testing.B) {
				buf := make([]float32, PackedLen(m, k))
				dw := Dense(make([]float32, n*k), n, k)
				for b.Loop() {
					Mul(nil, dw, Dense(dy, m, n).T(), arch.pack(nil, Dense(x, m, k), buf), Options{})
				}
				flops(b, s)
			})
		}
	}
}

// The libraries that the tiles are measured against.
func BenchmarkOthers(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range benchShapes[:4] {
		m, n, k := s[0], s[1], s[2]
		x, w, c := random(r, m*k), random(r, n*k), make([]float32, m*n)
		b.Run(fmt.Sprintf("vek/A*B/%dx%dx%d", m, n, k), func(b *testing.B) {
			for b.Loop() {
				vek32.MatMul_Into(c, x, w, k)
			}
			flops(b, s)
		})
		b.Run(fmt.Sprintf("gonum/A*B/%dx%dx%d", m, n, k), func(b *testing.B) {
			for b.Loop() {
				gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, x, k, w, n, 0, c, n)
			}
			flops(b, s)
		})
	}
}

// The products agree with those of vek and gonum.
func TestMulAgreesWithOthers(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	m, n, k := 57, 83, 301
	a, b := random(r, m*k), random(r, k*n)
	fromVek, fromGonum := make([]float32, m*n), make([]float32, m*n)
	vek32.MatMul_Into(fromVek, a, b, k)
	gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, a, k, b, n, 0, fromGonum, n)
	on(t, func(t *testing.T, arch *arch) {
		c := Dense(make([]float32, m*n), m, n)
		Mul(nil, c, Dense(a, m, k), arch.pack(nil, Dense(b, k, n), nil), Options{})
		for i, x := range c.Data {
			_, size := want(Dense(a, m, k), Dense(b, k, n), func(int, int) float64 { return 0 }, i/n, i%n)
			for name, y := range map[string]float32{"vek": fromVek[i], "gonum": fromGonum[i]} {
				if math.Abs(float64(x-y)) > 2e-6*size {
					t.Fatalf("element %d is %v, %s has %v", i, x, name, y)
				}
			}
		}
	})
}
