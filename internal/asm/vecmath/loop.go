package main

import (
	"fmt"
	"math"
	"sync"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build" //nolint:revive // avo is made to be used so
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// width is the number of float32 in a register.
const width = 8

// A loop goes over rows of one length, a register at a time. What is left at the
// end is loaded and stored under a mask by the same instructions, so that the
// value of an element does not depend on where it stands.
type loop struct {
	rows map[string]reg.Register // first elements
	n    reg.GPVirtual           // length
	i    reg.GPVirtual           // index of the first element of this turn
	step int                     // registers after i
	mask reg.VecVirtual          // the elements that exist, nil if all do
}

// begin starts a function whose first rows are slices and have the length of the
// first of them.
func begin(name, signature, doc string, rows ...string) *loop {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + " " + doc)
	l := &loop{rows: map[string]reg.Register{}, i: GP64()}
	for _, r := range rows {
		l.rows[r] = Load(Param(r).Base(), GP64())
	}
	l.n = GP64()
	Load(Param(rows[0]).Len(), l.n)
	return l
}

// run emits the loop: turns of wide registers, one register, and a masked one.
// body is told which of the wide registers it handles. merge, if not nil, is
// emitted after the wide turns to bring what they gathered to register 0.
func (l *loop) run(wide int, body func(j int), merge func()) {
	end := GP64()
	XORQ(l.i, l.i)
	turns := func(label string, wide int) {
		MOVQ(l.n, end)
		ANDQ(I32(-width*wide), end)
		CMPQ(l.i, end)
		JGE(LabelRef(label + "End"))
		Label(label)
		for l.step = range wide {
			body(l.step)
		}
		l.step = 0
		ADDQ(Imm(uint64(width*wide)), l.i)
		CMPQ(l.i, end)
		JLT(LabelRef(label))
		Label(label + "End")
	}
	if wide > 1 {
		turns("wide", wide)
		if merge != nil {
			merge()
		}
	}
	turns("one", 1)
	left, table := GP64(), GP64()
	MOVQ(l.n, left)
	SUBQ(l.i, left)
	JZ(LabelRef("done"))
	LEAQ(masks().Offset(4*width), table)
	SHLQ(Imm(2), left)
	SUBQ(left, table)
	l.mask = YMM()
	VMOVUPS(Mem{Base: table}, l.mask)
	body(0)
	l.mask = nil
	Label("done")
}

// each emits a whole function that has no sums.
func (l *loop) each(wide int, body func()) {
	l.run(wide, func(int) { body() }, nil)
	end()
}

func end() {
	VZEROUPPER()
	RET()
}

func (l *loop) at(row string) Mem {
	return Mem{Base: l.rows[row], Index: l.i, Scale: 4, Disp: 4 * width * l.step}
}

// load loads elements of a row, 0 for those that do not exist.
func (l *loop) load(row string) reg.VecVirtual {
	y := YMM()
	if l.mask == nil {
		VMOVUPS(l.at(row), y)
	} else {
		VMASKMOVPS(l.at(row), l.mask, y)
	}
	return y
}

func (l *loop) store(y reg.VecVirtual, row string) {
	if l.mask == nil {
		VMOVUPS(y, l.at(row))
	} else {
		VMASKMOVPS(y, l.mask, l.at(row))
	}
}

// keep makes those of y 0 that do not exist.
func (l *loop) keep(y reg.VecVirtual) {
	if l.mask != nil {
		VANDPS(l.mask, y, y)
	}
}

// broadcast fills a register with a parameter.
func broadcast(name string) reg.VecVirtual {
	c, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	y := YMM()
	VBROADCASTSS(c.Addr, y)
	return y
}

// zeros returns registers of 0.
func zeros(n int) []reg.VecVirtual {
	y := make([]reg.VecVirtual, n)
	for i := range y {
		y[i] = YMM()
		VXORPS(y[i], y[i], y[i])
	}
	return y
}

// pairwise folds registers into the first, as add does it.
func pairwise(y []reg.VecVirtual, add func(ops ...Op)) func() {
	return func() {
		for d := len(y) / 2; d > 0; d /= 2 {
			for i := range d {
				add(y[i+d], y[i], y[i])
			}
		}
	}
}

// widen adds the float32 lanes of y, even and odd halves apart, to float64 lanes.
func widen(y, lo, hi reg.VecVirtual) {
	p, q := YMM(), YMM()
	VEXTRACTF128(Imm(1), y, q.AsX())
	VCVTPS2PD(y.AsX(), p)
	VCVTPS2PD(q.AsX(), q)
	VADDPD(p, lo, lo)
	VADDPD(q, hi, hi)
}

// fold returns the sum of eight float64 lanes.
func fold(lo, hi reg.VecVirtual) reg.VecVirtual {
	h := XMM()
	VADDPD(hi, lo, lo)
	VEXTRACTF128(Imm(1), lo, h)
	VADDPD(h, lo.AsX(), lo.AsX())
	VUNPCKHPD(lo.AsX(), lo.AsX(), h)
	VADDSD(h, lo.AsX(), lo.AsX())
	return lo
}

// foldSingle returns the sum of eight float32 lanes, taken in float64.
func foldSingle(y reg.VecVirtual) reg.VecVirtual {
	z := zeros(2)
	widen(y, z[0], z[1])
	return fold(z[0], z[1])
}

// constants are the numbers emitted so far, by name.
var constants = map[string]datum{}

type datum struct {
	at    Mem
	value uint32
}

// constant returns the address of eight copies of v.
func constant(name string, v float64) Mem {
	return bits(name, math.Float32bits(float32(v)))
}

func bits(name string, v uint32) Mem {
	c, ok := constants[name]
	if !ok {
		c = datum{GLOBL(name, attr.RODATA|attr.NOPTR), v}
		for i := range width {
			DATA(4*i, U32(v))
		}
		constants[name] = c
	}
	if c.value != v {
		panic("two numbers called " + name)
	}
	return c.at
}

// masks returns the address of eight ones and eight zeros, all bits each.
var masks = sync.OnceValue(func() Mem {
	m := GLOBL("masks", attr.RODATA|attr.NOPTR)
	for i := range 2 * width {
		DATA(4*i, U32(math.MaxUint32*(1-i/width)))
	}
	return m
})

// register loads a constant.
func register(m Mem) reg.VecVirtual {
	y := YMM()
	VMOVUPS(m, y)
	return y
}

// horner returns the polynomial in x with the coefficients c[from:], lowest first.
func horner(name string, x reg.VecVirtual, c []float64, from int) reg.VecVirtual {
	at := func(i int) Mem { return constant(fmt.Sprintf("%s%d", name, i), c[i]) }
	p := register(at(len(c) - 1))
	for i := len(c) - 2; i >= from; i-- {
		VFMADD213PS(at(i), x, p)
	}
	return p
}
