package main

import (
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// generated is what the generator writes, by name of the function.
var generated = sync.OnceValues(func() (map[string]*program, error) {
	dir, err := os.MkdirTemp("", "gemm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "gemm_amd64.s")
	if err := flag.Set("out", out); err != nil {
		return nil, err
	}
	main()
	src, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	programs, err := parse(string(src))
	byName := map[string]*program{}
	for _, p := range programs {
		byName[p.name] = p
	}
	return byName, err
})

// function returns a function of the generator and checks, when the test is
// done, that all of its instructions ran.
func function(t *testing.T, name string) *program {
	programs, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	p := programs[name]
	if p == nil {
		t.Fatalf("no function %s", name)
	}
	t.Cleanup(func() {
		for _, in := range p.code {
			if !in.ran && !t.Failed() {
				t.Errorf("%s: %s did not run", name, in.text)
			}
		}
	})
	return p
}

func random(r *rand.Rand, n int) []uint32 {
	x := make([]uint32, n)
	for i := range x {
		x[i] = math.Float32bits(float32(r.NormFloat64()))
	}
	return x
}

// Each tile computes what package gemm says a tileFunc does, to the last bit,
// and touches nothing but the elements that this takes.
func TestTiles(t *testing.T) {
	for _, u := range []unit{avx2, avx512} {
		for rows := 1; rows <= u.rows; rows++ {
			name := fmt.Sprintf("tile%d%s", rows, u.name)
			t.Run(name, func(t *testing.T) {
				p := function(t, name)
				r := rand.New(rand.NewPCG(1, uint64(rows)))
				for _, k := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 20} {
					for _, s := range [][2]int{{1, rows}, {k, 1}, {k + 3, 1}, {2*k + 3, 2}, {1, rows + 4}, {0, 1}, {1, 0}} {
						testTile(t, r, p, u.size/2, rows, k, s[0], s[1])
					}
				}
			})
		}
	}
}

func testTile(t *testing.T, r *rand.Rand, p *program, width, rows, k, rs, cs int) {
	for _, lc := range []int{width, width + 5} {
		for _, init := range []struct {
			name string
			lf   int
		}{{"one row", 0}, {"rows", width}, {"rows with gaps", width + 3}, {"c", lc}} {
			a := &region{data: random(r, (rows-1)*rs+(k-1)*cs+1), read: true}
			b := &region{data: random(r, k*width), read: true}
			c := &region{data: random(r, (rows-1)*lc+width), write: true}
			from := &region{data: random(r, (rows-1)*init.lf+width), read: true}
			regions := place(a, b, c, from)
			if init.name == "c" {
				from, c.read = c, true
				regions = regions[:3]
			}
			want := slices.Clone(c.data)
			for i := range rows {
				for j := range width {
					sum := math.Float32frombits(from.data[i*init.lf+j])
					for l := range k {
						sum = fma(math.Float32frombits(a.data[i*rs+l*cs]), math.Float32frombits(b.data[l*width+j]), sum)
					}
					want[i*lc+j] = math.Float32bits(sum)
				}
			}
			what := fmt.Sprintf("k %d, strides of a %d and %d, from %s, row of c %d", k, rs, cs, init.name, lc)
			err := p.run(regions, uint64(k), a.base, uint64(rs), uint64(cs), b.base, from.base, uint64(init.lf), c.base, uint64(lc))
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for i := range want {
				if c.data[i] != want[i] {
					t.Fatalf("%s: element %d is %v, want %v", what, i, math.Float32frombits(c.data[i]), math.Float32frombits(want[i]))
				}
			}
		}
	}
}

func TestTranspose8(t *testing.T) {
	p := function(t, "transpose8AVX2")
	r := rand.New(rand.NewPCG(2, 3))
	for _, k := range []int{8, 16, 40} {
		for _, width := range []int{8, 13, 16, 32} {
			for _, ld := range []int{k, k + 1, 2*k + 5, 3, 0} {
				src := &region{data: make([]uint32, 7*ld+k), read: true}
				for i := range src.data {
					src.data[i] = r.Uint32()
				}
				dst := &region{data: random(r, (k-1)*width+8), write: true}
				want := slices.Clone(dst.data)
				for i := range k {
					for j := range 8 {
						want[i*width+j] = src.data[j*ld+i]
					}
				}
				regions := place(dst, src)
				if err := p.run(regions, dst.base, uint64(width), src.base, uint64(ld), uint64(k)); err != nil {
					t.Fatalf("k %d, width %d, ld %d: %v", k, width, ld, err)
				}
				if !slices.Equal(dst.data, want) {
					t.Fatalf("k %d, width %d, ld %d: other elements", k, width, ld)
				}
			}
		}
	}
}

// The file has no functions but those that are tested here, and they take no
// more of the processor than package gemm looks for.
func TestFunctions(t *testing.T) {
	programs, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	if want := avx2.rows + avx512.rows + 1; len(programs) != want {
		t.Errorf("%d functions, want %d", len(programs), want)
	}
	for name, p := range programs {
		has := []string{"AVX", "AVX2", "FMA3"}
		if strings.HasSuffix(name, avx512.name) {
			has = append(has, "AVX512F")
		}
		for isa := range strings.SplitSeq(p.requires, ", ") {
			if !slices.Contains(has, isa) {
				t.Errorf("%s requires %s", name, p.requires)
			}
		}
		for _, in := range p.code {
			for _, a := range in.args {
				if a.size == 64 && !strings.HasSuffix(name, avx512.name) {
					t.Errorf("%s: %s", name, in.text)
				}
			}
		}
	}
}

// The interpreter takes for a mistake what is one.
func TestMachine(t *testing.T) {
	const load = "MOVQ p+0(FP), AX\n"
	for _, c := range []struct{ code, want string }{
		{load + "VMOVUPS (AX), Y0\nVMOVUPS Y0, 32(AX)\nVZEROUPPER\nRET", ""},
		{load + "VMOVUPS (AX), X0\nRET", ""},
		{load + "VMOVUPS 36(AX), Y0", "32 bytes at 36 of 64"},
		{load + "VMOVUPS 4(AX), Z0", "64 bytes at 4 of 64"},
		{load + "VBROADCASTSS 64(AX), Z0", "outside all memory"},
		{load + "VMOVUPS -4(AX), Y0", "outside all memory"},
		{load + "VMOVUPS 2(AX), Y0", "2 bytes into a region"},
		{load + "VMOVUPS (AX)(CX*1), Y0", "CX was not set"},
		{load + "VMOVUPS Y3, (AX)", "vector 3 was not set"},
		{load + "VMOVUPS (AX), Y0\nVFMADD231PS Y0, Y0, Z0", "several sizes"},
		{load + "VMOVUPS (AX), Y0\nRET", "without VZEROUPPER"},
		{load + "VMOVUPS (AX), Y16", "AVX512VL"},
		{load + "VMOVUPS (AX), Z32", "no register"},
		{load + "VADDPS Y0, Y0, Y0", "unknown instruction"},
		{load + "ADDQ AX, (AX)", "unknown instruction"},
		{load + "ADDQ $8, SP", "SP"},
		{load + "MOVQ AX, BP", "BP is the caller's"},
		{load + "again:\nADDQ $1, AX\nJNZ again\nRET", "does not end"},
		{load + "JZ end\nend:\nRET", "flags that were not set"},
		{load + "JZ elsewhere", "no label"},
		{load + "end:", "nothing at label"},
		{load, "the end without RET"},
		{"MOVQ q+0(FP), AX", "no such parameter"},
		{"MOVQ p+8(FP), AX", "no such parameter"},
		{load + "VMOVUPS foo<>(SB), Y0", "operand"},
	} {
		programs, err := parse("// func f(p *float32)\nTEXT ·f(SB), NOSPLIT, $0-8\n" + c.code + "\n")
		if err == nil {
			regions := place(&region{data: make([]uint32, 16), read: true, write: true})
			err = programs[0].run(regions, regions[0].base)
		}
		switch {
		case err == nil && c.want != "", err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %q", c.code, err, c.want)
		}
	}
	for _, r := range []*region{{read: true}, {write: true}} {
		programs, err := parse("// func f(p *float32)\nTEXT ·f(SB), NOSPLIT, $0-8\n" + load + "VMOVUPS (AX), X0\nVMOVUPS X0, (AX)\nRET\n")
		if err != nil {
			t.Fatal(err)
		}
		r.data = make([]uint32, 4)
		if err := programs[0].run(place(r), r.base); err == nil {
			t.Errorf("read %v and write %v: both were done", r.read, r.write)
		}
	}
}

// fma rounds once, as exact arithmetic does.
func TestFMA(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	twice := 0
	for range 100_000 {
		// Products like 1 - 1/2^30 beside the middle between two numbers.
		near := func() float32 { return float32(1 + math.Ldexp(float64(r.IntN(3)-1), -r.IntN(24))) }
		x, y := near(), near()
		z := float32(math.Ldexp(float64(r.IntN(1<<25)-1<<24), r.IntN(50)-25))
		exact := new(big.Float).SetPrec(400)
		exact.Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
		exact.Add(exact, big.NewFloat(float64(z)))
		want, _ := exact.Float32()
		if got := fma(x, y, z); got != want {
			t.Fatalf("%v * %v + %v = %v, want %v", x, y, z, got, want)
		}
		if float32(math.FMA(float64(x), float64(y), float64(z))) != want {
			twice++
		}
	}
	if twice == 0 {
		t.Error("no case that rounding twice gets wrong")
	}
}
