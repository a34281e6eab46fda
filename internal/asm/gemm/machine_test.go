package main

import (
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The tests interpret what the generator writes, so that they cover the
// functions for processors that the machine they run on is not. The interpreter
// knows the instructions that the generator uses, each in the forms that it
// uses, and takes everything else for a mistake: an access outside the memory
// that a function is given, a register that was never set, a write to what is
// only to be read, registers that only more of AVX-512 than AVX512F can name.

// A program is a function of an assembly file.
type program struct {
	name     string
	params   []string // 8 bytes each
	requires string
	code     []instruction
}

type instruction struct {
	text string
	key  string // the opcode and a letter for each operand: i, r, v, m, p or l
	args []arg
	to   int  // of a jump
	ran  bool // at least once
}

// An arg is an operand.
type arg struct {
	kind  byte   // i(mmediate), r(egister), v(ector), m(emory), p(arameter), l(abel)
	n     int64  // the immediate, register, displacement or offset
	size  int    // bytes of a vector
	base  int    // register
	index int    // register or -1
	scale uint64 // of the index
	name  string // of a parameter or label
}

var (
	gp = []string{"AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI",
		"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}

	signatureRE = regexp.MustCompile(`^// func (\w+)\((.*)\)$`)
	textRE      = regexp.MustCompile(`^TEXT ·(\w+)\(SB\), NOSPLIT, \$0-(\d+)$`)
	labelRE     = regexp.MustCompile(`^(\w+):$`)
	vectorRE    = regexp.MustCompile(`^([XYZ])(\d+)$`)
	memoryRE    = regexp.MustCompile(`^(-?\d+)?\((\w+)\)(?:\((\w+)\*([1248])\))?$`)
	paramRE     = regexp.MustCompile(`^(\w+)\+(\d+)\(FP\)$`)
)

// parse reads a file as the generator writes it.
func parse(src string) ([]*program, error) {
	var programs []*program
	var p *program
	var signature, requires string
	labels := map[string]int{}
	resolve := func() error {
		for i := range labels {
			if labels[i] == len(p.code) {
				return fmt.Errorf("%s: nothing at label %s", p.name, i)
			}
		}
		if p != nil {
			for i := range p.code {
				in := &p.code[i]
				if len(in.args) != 1 || in.args[0].kind != 'l' {
					continue
				}
				to, ok := labels[in.args[0].name]
				if !ok {
					return fmt.Errorf("%s: no label for %s", p.name, in.text)
				}
				in.to = to
			}
		}
		clear(labels)
		return nil
	}
	for line := range strings.Lines(src) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#include") || strings.HasPrefix(line, "//go:build") ||
			strings.HasPrefix(line, "// Code generated"):
		case signatureRE.MatchString(line):
			signature, requires = line, ""
		case strings.HasPrefix(line, "// Requires: "):
			requires = strings.TrimPrefix(line, "// Requires: ")
		case strings.HasPrefix(line, "TEXT"):
			if err := resolve(); err != nil {
				return nil, err
			}
			m, s := textRE.FindStringSubmatch(line), signatureRE.FindStringSubmatch(signature)
			if m == nil || s == nil || s[1] != m[1] {
				return nil, fmt.Errorf("%q after %q", line, signature)
			}
			p = &program{name: m[1], requires: requires}
			for param := range strings.SplitSeq(s[2], ", ") {
				name, kind, _ := strings.Cut(param, " ")
				if kind != "int" && kind != "*float32" {
					return nil, fmt.Errorf("parameter %q", param)
				}
				p.params = append(p.params, name)
			}
			if m[2] != strconv.Itoa(8*len(p.params)) {
				return nil, fmt.Errorf("%q for %d parameters", line, len(p.params))
			}
			programs = append(programs, p)
		case p == nil:
			return nil, fmt.Errorf("%q outside a function", line)
		case labelRE.MatchString(line):
			name := strings.TrimSuffix(line, ":")
			if _, ok := labels[name]; ok {
				return nil, fmt.Errorf("%s: label %s twice", p.name, name)
			}
			labels[name] = len(p.code)
		default:
			in, err := parseInstruction(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			p.code = append(p.code, in)
		}
	}
	return programs, resolve()
}

func parseInstruction(line string) (instruction, error) {
	op, rest, _ := strings.Cut(line, " ")
	in := instruction{text: line, key: op}
	if rest == "" {
		return in, nil
	}
	in.key += " "
	for s := range strings.SplitSeq(rest, ",") {
		a, err := parseArg(strings.TrimSpace(s))
		if err != nil {
			return in, fmt.Errorf("%s: %w", line, err)
		}
		in.args = append(in.args, a)
		in.key += string(a.kind)
	}
	return in, nil
}

func parseArg(s string) (arg, error) {
	if imm, ok := strings.CutPrefix(s, "$"); ok {
		n, err := strconv.ParseInt(imm, 0, 32) // what is added is 32 bits, extended with its sign
		return arg{kind: 'i', n: n}, err
	}
	if r := slices.Index(gp, s); r >= 0 {
		return arg{kind: 'r', n: int64(r)}, nil
	}
	if m := vectorRE.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseInt(m[2], 10, 8)
		size := map[string]int{"X": 16, "Y": 32, "Z": 64}[m[1]]
		if err == nil && (n > 31 || n > 15 && size < 64) {
			err = fmt.Errorf("%s takes AVX512VL or is no register", s)
		}
		return arg{kind: 'v', n: n, size: size}, err
	}
	if m := paramRE.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseInt(m[2], 10, 32)
		return arg{kind: 'p', name: m[1], n: n}, err
	}
	if m := memoryRE.FindStringSubmatch(s); m != nil {
		a := arg{kind: 'm', base: slices.Index(gp, m[2]), index: -1}
		if m[1] != "" {
			var err error
			if a.n, err = strconv.ParseInt(m[1], 10, 32); err != nil {
				return a, err
			}
		}
		if m[3] != "" {
			a.index = slices.Index(gp, m[3])
			a.scale = uint64(m[4][0] - '0')
			if a.index < 0 || m[3] == "SP" {
				return a, fmt.Errorf("no index: %s", s)
			}
		}
		if a.base < 0 {
			return a, fmt.Errorf("no base: %s", s)
		}
		return a, nil
	}
	if labelRE.MatchString(s + ":") {
		return arg{kind: 'l', name: s}, nil
	}
	return arg{}, fmt.Errorf("operand %q", s)
}

// A region is memory that a function is given: 32-bit words.
type region struct {
	data        []uint32
	read, write bool
	base        uint64
}

// place gives each region an address far from the others, so that nothing
// beside one is in another, and aligned to 4 bytes only, as a slice's is.
func place(regions ...*region) []*region {
	for i, r := range regions {
		r.base = uint64(i+1)<<40 + uint64(4*(2*i+1))
	}
	return regions
}

type vector struct {
	lanes [16]uint32
	set   bool
}

type machine struct {
	p       *program
	params  []uint64
	regions []*region
	gp      [16]uint64
	gpSet   [16]bool
	vec     [32]vector
	dirty   bool // upper halves that slow down SSE code are in use
	zero    bool // the flag
	flags   bool // set
}

// fault ends a run.
type fault string

func fail(format string, a ...any) { panic(fault(fmt.Sprintf(format, a...))) }

// run calls a function with its parameters, integers and addresses.
func (p *program) run(regions []*region, params ...uint64) (err error) {
	if len(params) != len(p.params) {
		return fmt.Errorf("%s has %d parameters", p.name, len(p.params))
	}
	m := &machine{p: p, params: params, regions: regions}
	var in *instruction
	defer func() {
		switch f := recover().(type) {
		case nil:
		case fault:
			err = fmt.Errorf("%s: %s: %s", p.name, in.text, f)
		default:
			panic(f)
		}
	}()
	pc := 0
	for range 1 << 20 {
		in = &p.code[pc]
		in.ran = true
		pc++
		switch {
		case in.key == "RET":
			if m.dirty {
				fail("without VZEROUPPER")
			}
			return nil
		case m.step(in):
			pc = in.to
		}
		if pc == len(p.code) {
			fail("the end without RET")
		}
	}
	return fmt.Errorf("%s does not end", p.name)
}

// step runs an instruction and reports whether it jumps. Operands are in the
// order of Go's assembler: Intel's, reversed.
func (m *machine) step(in *instruction) bool {
	a := in.args
	switch in.key {
	case "MOVQ rr", "MOVQ pr":
		m.set(a[1], m.get(a[0]))
	case "LEAQ mr":
		m.set(a[1], m.address(a[0]))
	case "ADDQ rr", "ADDQ ir":
		m.result(a[1], m.get(a[1])+m.get(a[0]))
	case "SUBQ ir":
		m.result(a[1], m.get(a[1])-m.get(a[0]))
	case "ANDQ ir":
		m.result(a[1], m.get(a[1])&m.get(a[0]))
	case "SHLQ ir":
		m.result(a[1], m.get(a[1])<<count(a[0]))
	case "SHRQ ir":
		m.result(a[1], m.get(a[1])>>count(a[0]))
	case "DECQ r":
		m.result(a[0], m.get(a[0])-1)
	case "JZ l", "JNZ l":
		if !m.flags {
			fail("flags that were not set")
		}
		return m.zero == (in.key == "JZ l")

	case "VMOVUPS mv":
		var x [16]uint32
		copy(x[:], m.memory(a[0], a[1].size, false))
		m.setVec(a[1], x)
	case "VMOVUPS vm":
		x := m.getVec(a[0], a[0].size)
		copy(m.memory(a[1], a[0].size, true), x[:])
	case "VBROADCASTSS mv":
		var x [16]uint32
		word := m.memory(a[0], 4, false)[0]
		for i := range x {
			x[i] = word
		}
		m.setVec(a[1], x)
	case "VFMADD231PS vvv": // dst += a1 * a0
		x, y, dst := m.getVec(a[0], a[2].size), m.getVec(a[1], a[2].size), m.getVec(a[2], a[2].size)
		for i := range a[2].size / 4 {
			dst[i] = math.Float32bits(fma(math.Float32frombits(y[i]), math.Float32frombits(x[i]), math.Float32frombits(dst[i])))
		}
		m.setVec(a[2], dst)
	case "VINSERTF128 imvv":
		x := m.getVec(a[2], 32)
		copy(x[4*byteOf(a[0])&4:][:4], m.memory(a[1], 16, false))
		m.wide(a[3])
		m.setVec(a[3], x)
	case "VUNPCKLPS vvv", "VUNPCKHPS vvv":
		m.wide(a[2])
		x, y := m.getVec(a[1], 32), m.getVec(a[0], 32)
		from := 0
		if in.key == "VUNPCKHPS vvv" {
			from = 2
		}
		var out [16]uint32
		for half := 0; half < 8; half += 4 {
			for i := range 2 {
				out[half+2*i] = x[half+from+i]
				out[half+2*i+1] = y[half+from+i]
			}
		}
		m.setVec(a[2], out)
	case "VSHUFPS ivvv":
		m.wide(a[3])
		sel, x, y := byteOf(a[0]), m.getVec(a[2], 32), m.getVec(a[1], 32)
		var out [16]uint32
		for half := 0; half < 8; half += 4 {
			out[half] = x[half+sel&3]
			out[half+1] = x[half+sel>>2&3]
			out[half+2] = y[half+sel>>4&3]
			out[half+3] = y[half+sel>>6]
		}
		m.setVec(a[3], out)
	case "VZEROUPPER":
		for i := range 16 {
			clear(m.vec[i].lanes[4:])
		}
		m.dirty = false
	default:
		fail("unknown instruction")
	}
	return false
}

func (m *machine) get(a arg) uint64 {
	switch a.kind {
	case 'i':
		return uint64(a.n)
	case 'p':
		if i := a.n / 8; a.n%8 == 0 && i < int64(len(m.params)) && m.p.params[i] == a.name {
			return m.params[i]
		}
		fail("no such parameter")
	}
	return m.register(int(a.n))
}

func (m *machine) register(r int) uint64 {
	if !m.gpSet[r] {
		fail("%s was not set", gp[r])
	}
	return m.gp[r]
}

func (m *machine) set(a arg, x uint64) {
	if name := gp[a.n]; name == "SP" || name == "BP" {
		fail("%s is the caller's", name)
	}
	m.gp[a.n], m.gpSet[a.n] = x, true
}

// result sets a register and the flags.
func (m *machine) result(a arg, x uint64) {
	m.set(a, x)
	m.zero, m.flags = x == 0, true
}

// count is by how much to shift. A shift by 0 leaves the flags.
func count(a arg) int64 {
	if a.n < 1 || a.n > 63 {
		fail("a shift by %d", a.n)
	}
	return a.n
}

func byteOf(a arg) int {
	if a.n < 0 || a.n > 255 {
		fail("%d is no byte", a.n)
	}
	return int(a.n)
}

func (m *machine) address(a arg) uint64 {
	x := m.register(a.base) + uint64(a.n)
	if a.index >= 0 {
		x += m.register(a.index) * a.scale
	}
	return x
}

// memory returns the words at an operand.
func (m *machine) memory(a arg, size int, write bool) []uint32 {
	at := m.address(a)
	for _, r := range m.regions {
		off := at - r.base
		if off >= uint64(4*len(r.data)) {
			continue
		}
		switch {
		case off%4 != 0:
			fail("%d bytes into a region", off)
		case off+uint64(size) > uint64(4*len(r.data)):
			fail("%d bytes at %d of %d", size, off, 4*len(r.data))
		case write && !r.write, !write && !r.read:
			fail("memory that is not for that")
		}
		return r.data[off/4:][:size/4]
	}
	fail("outside all memory")
	return nil
}

func (m *machine) getVec(a arg, size int) [16]uint32 {
	v := &m.vec[a.n]
	if a.size != size {
		fail("registers of several sizes")
	}
	if !v.set {
		fail("vector %d was not set", a.n)
	}
	return v.lanes
}

// setVec sets a register, and all of it that x has not to zero.
func (m *machine) setVec(a arg, x [16]uint32) {
	clear(x[a.size/4:])
	m.vec[a.n] = vector{x, true}
	m.dirty = m.dirty || a.size > 16
}

// wide says that an instruction is known only for registers of 32 bytes.
func (m *machine) wide(a arg) {
	if a.size != 32 {
		fail("unknown instruction")
	}
}

// fma is x*y+z with one rounding.
func fma(x, y, z float32) float32 {
	p, w := float64(x)*float64(y), float64(z) // the product of 24 bits each is exact
	sum := p + w
	if math.IsInf(sum, 0) || math.IsNaN(sum) {
		return float32(sum)
	}
	// Round to odd, so that rounding again to 24 bits is rounding once.
	t := sum - p
	if rest := (p - (sum - t)) + (w - t); rest != 0 && bits.TrailingZeros64(math.Float64bits(sum)) > 0 {
		if (rest > 0) == (sum > 0) {
			sum = math.Float64frombits(math.Float64bits(sum) + 1)
		} else {
			sum = math.Float64frombits(math.Float64bits(sum) - 1)
		}
	}
	return float32(sum)
}
