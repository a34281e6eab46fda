// Command kernel writes the amd64 assembly of package kernel. It is a module of
// its own so that its dependency (avo) stays out of the program's.
//
//	go generate ./internal/kernel
package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // avo is made to be used so
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	rowSums()
	dot()
	decode("decodeBF16AVX2", "DecodeBF16: 16 numbers a turn.", func(src, dst Mem) {
		for k := range 2 {
			y := YMM()
			VPMOVZXWD(src.Offset(16*k), y)
			VPSLLD(U8(16), y, y)
			VMOVUPS(y, dst.Offset(32*k))
		}
	})
	decode("decodeF16AVX2", "DecodeF16: 16 numbers a turn.", func(src, dst Mem) {
		for k := range 2 {
			y := YMM()
			VCVTPH2PS(src.Offset(16*k), y)
			VMOVUPS(y, dst.Offset(32*k))
		}
	})
	cpuid()
	Generate()
}

// rowSums leaves the three sums of rowSumsGo in lanes, eight float64 lanes each.
func rowSums() {
	TEXT("rowSumsAVX2", NOSPLIT, "func(a, b []float32, lanes *[3][8]float64)")
	Pragma("noescape")
	Doc("rowSumsAVX2 adds up groups of eight elements; len(a) is a positive multiple of eight.")
	a, b := Mem{Base: Load(Param("a").Base(), GP64())}, Mem{Base: Load(Param("b").Base(), GP64())}
	n := Load(Param("a").Len(), GP64())
	out := Mem{Base: Load(Param("lanes"), GP64())}
	var sums [3][2]reg.VecVirtual
	for i := range sums {
		for h := range sums[i] {
			sums[i][h] = YMM()
			VXORPD(sums[i][h], sums[i][h], sums[i][h])
		}
	}
	Label("loop")
	for h := range 2 {
		p, q, d := YMM(), YMM(), YMM()
		VCVTPS2PD(a.Offset(16*h), p)
		VCVTPS2PD(b.Offset(16*h), q)
		VSUBPD(p, q, d)
		VFMADD231PD(p, p, sums[0][h])
		VFMADD231PD(d, d, sums[1][h])
		VFMADD231PD(p, d, sums[2][h])
	}
	ADDQ(Imm(32), a.Base)
	ADDQ(Imm(32), b.Base)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("loop"))
	for i := range sums {
		for h := range sums[i] {
			VMOVUPD(sums[i][h], out.Offset(64*i+32*h))
		}
	}
	VZEROUPPER()
	RET()
}

// dot leaves the sum of dotGo in lanes.
func dot() {
	TEXT("dotAVX2", NOSPLIT, "func(a, b []float32, lanes *[8]float64)")
	Pragma("noescape")
	Doc("dotAVX2 adds up groups of eight products; len(a) is a positive multiple of eight.")
	a, b := Mem{Base: Load(Param("a").Base(), GP64())}, Mem{Base: Load(Param("b").Base(), GP64())}
	n := Load(Param("a").Len(), GP64())
	out := Mem{Base: Load(Param("lanes"), GP64())}
	var sums [2]reg.VecVirtual
	for h := range sums {
		sums[h] = YMM()
		VXORPD(sums[h], sums[h], sums[h])
	}
	Label("loop")
	for h := range sums {
		p, q := YMM(), YMM()
		VCVTPS2PD(a.Offset(16*h), p)
		VCVTPS2PD(b.Offset(16*h), q)
		VFMADD231PD(p, q, sums[h])
	}
	ADDQ(Imm(32), a.Base)
	ADDQ(Imm(32), b.Base)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("loop"))
	for h := range sums {
		VMOVUPD(sums[h], out.Offset(32*h))
	}
	VZEROUPPER()
	RET()
}

func decode(name, doc string, turn func(src, dst Mem)) {
	TEXT(name, NOSPLIT, "func(dst []float32, src []byte)")
	Pragma("noescape")
	Doc(name + " is " + doc + " len(dst) is a positive multiple of sixteen.")
	dst, src := Mem{Base: Load(Param("dst").Base(), GP64())}, Mem{Base: Load(Param("src").Base(), GP64())}
	n := Load(Param("dst").Len(), GP64())
	Label("loop")
	turn(src, dst)
	ADDQ(Imm(32), src.Base)
	ADDQ(Imm(64), dst.Base)
	SUBQ(Imm(16), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// cpuid reports F16C, which golang.org/x/sys/cpu does not name.
func cpuid() {
	TEXT("hasF16C", NOSPLIT, "func() bool")
	Doc("hasF16C reports bit 29 of ECX of CPUID leaf 1.")
	MOVL(U32(1), reg.EAX)
	XORL(reg.ECX, reg.ECX)
	CPUID()
	SHRL(Imm(29), reg.ECX)
	ANDL(Imm(1), reg.ECX)
	r := GP8()
	MOVB(reg.CL, r)
	Store(r, ReturnIndex(0))
	RET()
}
