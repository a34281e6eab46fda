// Command gemm writes the amd64 assembly of package gemm.
//
//	go generate ./internal/gemm
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // avo is made to be used so
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A unit is a vector register file: how it is named, how wide it is, and how
// tall a tile of two vectors a row may be before the registers run out.
type unit struct {
	name string
	vec  func() reg.VecVirtual
	size int // bytes of a vector
	rows int
}

var (
	avx2   = unit{"AVX2", YMM, 32, 6}    // 12 of 16 registers are sums
	avx512 = unit{"AVX512", ZMM, 64, 12} // 24 of 32
)

func main() {
	ConstraintExpr("amd64")
	for _, u := range []unit{avx2, avx512} {
		for rows := 1; rows <= u.rows; rows++ {
			tile(u, rows)
		}
	}
	transpose8()
	Generate()
}

// tile writes the function that adds k products to a tile of C.
func tile(u unit, rows int) {
	name := fmt.Sprintf("tile%d%s", rows, u.name)
	TEXT(name, NOSPLIT, "func(k int, a *float32, rs, cs int, b, from *float32, lf int, c *float32, lc int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes %d rows and %d columns of C; see tileFunc.", name, rows, u.size/2))
	k := Load(Param("k"), GP64())
	rs := stride("rs")
	cs := stride("cs")
	b := Mem{Base: Load(Param("b"), GP64())}

	// Row r is reached as bases[r/3] + (r%3)*rs.
	var bases []reg.GPVirtual
	for r := 0; r < rows; r += 3 {
		p := GP64()
		if r == 0 {
			Load(Param("a"), p)
		} else {
			LEAQ(Mem{Base: bases[r/3-1], Index: rs, Scale: 2}, p)
			ADDQ(rs, p)
		}
		bases = append(bases, p)
	}
	row := func(r int) Mem {
		m := Mem{Base: bases[r/3]}
		if r%3 > 0 {
			m.Index, m.Scale = rs, uint8(r%3)
		}
		return m
	}

	from := Mem{Base: Load(Param("from"), GP64())}
	lf := stride("lf")
	sums := make([][2]reg.VecVirtual, rows)
	for r := range sums {
		for v := range sums[r] {
			sums[r][v] = u.vec()
			VMOVUPS(from.Offset(v*u.size), sums[r][v])
		}
		ADDQ(lf, from.Base)
	}

	step := func(i int) {
		b0, b1 := u.vec(), u.vec()
		VMOVUPS(b.Offset(2*u.size*i), b0)
		VMOVUPS(b.Offset(2*u.size*i+u.size), b1)
		for r := range sums {
			x := u.vec()
			VBROADCASTSS(row(r), x)
			VFMADD231PS(b0, x, sums[r][0])
			VFMADD231PS(b1, x, sums[r][1])
		}
		for _, p := range bases {
			ADDQ(cs, p)
		}
	}
	const unroll = 4
	turns := GP64()
	MOVQ(k, turns)
	SHRQ(Imm(2), turns)
	JZ(LabelRef("rest"))
	Label("loop")
	for i := range unroll {
		step(i)
	}
	ADDQ(U32(unroll*2*u.size), b.Base)
	DECQ(turns)
	JNZ(LabelRef("loop"))
	Label("rest")
	ANDQ(Imm(unroll-1), k)
	JZ(LabelRef("store"))
	Label("one")
	step(0)
	ADDQ(U32(2*u.size), b.Base)
	DECQ(k)
	JNZ(LabelRef("one"))

	Label("store")
	c := Mem{Base: Load(Param("c"), GP64())}
	lc := stride("lc")
	for r := range sums {
		for v := range sums[r] {
			VMOVUPS(sums[r][v], c.Offset(v*u.size))
		}
		ADDQ(lc, c.Base)
	}
	VZEROUPPER()
	RET()
}

// stride loads a distance in elements as a distance in bytes.
func stride(name string) reg.GPVirtual {
	r := GP64()
	Load(Param(name), r)
	SHLQ(Imm(2), r)
	return r
}

// transpose8 writes the function that packs eight rows of a matrix as eight
// columns of a panel, eight elements of each row a turn.
func transpose8() {
	TEXT("transpose8AVX2", NOSPLIT, "func(dst *float32, width int, src *float32, ld, k int)")
	Pragma("noescape")
	Doc("transpose8AVX2 sets dst[i*width+r] = src[r*ld+i] for r < 8 and i < k, a positive multiple of 8.")
	dst := Mem{Base: Load(Param("dst"), GP64())}
	width := stride("width")
	src := Mem{Base: Load(Param("src"), GP64())}
	ld := stride("ld")
	k := Load(Param("k"), GP64())
	src3, src6 := GP64(), GP64()
	LEAQ(Mem{Base: src.Base, Index: ld, Scale: 2}, src3)
	ADDQ(ld, src3)
	LEAQ(Mem{Base: src3, Index: ld, Scale: 2}, src6)
	ADDQ(ld, src6)
	bases := []reg.Register{src.Base, src3, src6}
	row := func(r int) Mem {
		m := Mem{Base: bases[r/3]}
		if r%3 > 0 {
			m.Index, m.Scale = ld, uint8(r%3)
		}
		return m
	}

	Label("loop")
	var x [8]reg.VecVirtual // rows r and r+4 side by side, half a row each
	for half := range 2 {
		for r := range 4 {
			y := YMM()
			VMOVUPS(row(r).Offset(16*half), y.AsX())
			VINSERTF128(Imm(1), row(r+4).Offset(16*half), y, y)
			x[4*half+r] = y
		}
	}
	for half := range 2 {
		r := x[4*half:]
		t0, t1, t2, t3 := YMM(), YMM(), YMM(), YMM()
		VUNPCKLPS(r[1], r[0], t0) // a0 b0 a1 b1
		VUNPCKHPS(r[1], r[0], t1)
		VUNPCKLPS(r[3], r[2], t2) // c0 d0 c1 d1
		VUNPCKHPS(r[3], r[2], t3)
		for i, p := range [][3]reg.VecVirtual{{t0, t2}, {t0, t2}, {t1, t3}, {t1, t3}} {
			sel := U8(0x44) // the low pairs of both
			if i%2 == 1 {
				sel = 0xee
			}
			out := YMM()
			VSHUFPS(sel, p[1], p[0], out)
			VMOVUPS(out, dst)
			ADDQ(width, dst.Base)
		}
	}
	for _, p := range bases {
		ADDQ(Imm(32), p)
	}
	SUBQ(Imm(8), k)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
