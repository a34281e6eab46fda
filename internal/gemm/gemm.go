// Package gemm multiplies float32 matrices: the inner loop of running and
// training a transformer.
//
// C = init + A·B is computed tile by tile. B is packed once into panels as wide
// as a tile (Pack), so that a tile reads it in order; A is read where it lies,
// in whatever order its strides say. A tile is computed by assembly that the
// generator in internal/asm/gemm wrote, for AVX-512 or AVX2 with FMA, or by
// plain Go.
//
// Every element of C is its initial value plus the products in the order of k,
// each added with one rounding where the processor has FMA. So its bits do not
// depend on the number of workers, nor on the other rows and columns.
//
// Slices shorter than a matrix needs are a bug of the caller and panic before
// any assembly runs.
package gemm

import (
	"cmp"
	"fmt"
	"math/bits"

	"github.com/btu-scan/btu-scan/internal/kernel"
	"github.com/btu-scan/btu-scan/internal/scratch"
)

// A Matrix is a view of a slice: element (i, j) is Data[i*RS+j*CS].
type Matrix struct {
	Data       []float32
	Rows, Cols int
	RS, CS     int
}

// Dense is a row-major matrix without gaps.
func Dense(data []float32, rows, cols int) Matrix { return Matrix{data, rows, cols, cols, 1} }

// T is the transpose of m.
func (m Matrix) T() Matrix { return Matrix{m.Data, m.Cols, m.Rows, m.CS, m.RS} }

// Row returns row i of a matrix whose rows are contiguous.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.RS : i*m.RS+m.Cols] }

// Slice is rows i to j and columns k to l.
func (m Matrix) Slice(i, j, k, l int) Matrix {
	return Matrix{m.Data[i*m.RS+k*m.CS:], j - i, l - k, m.RS, m.CS}
}

func (m Matrix) check() {
	if m.Rows < 0 || m.Cols < 0 || m.RS < 0 || m.CS < 0 {
		panic(fmt.Sprintf("gemm: matrix %d x %d with strides %d, %d", m.Rows, m.Cols, m.RS, m.CS))
	}
	if m.Rows > 0 && m.Cols > 0 && !m.fits() {
		panic(fmt.Sprintf("gemm: matrix %d x %d with strides %d, %d over %d elements", m.Rows, m.Cols, m.RS, m.CS, len(m.Data)))
	}
}

// fits reports whether the last element lies in Data.
func (m Matrix) fits() bool {
	hi1, lo1 := bits.Mul64(uint64(m.Rows-1), uint64(m.RS))
	hi2, lo2 := bits.Mul64(uint64(m.Cols-1), uint64(m.CS))
	last, carry := bits.Add64(lo1, lo2, 0)
	return hi1|hi2|carry == 0 && last < uint64(len(m.Data))
}

// A tileFunc computes a tile of C: for each of its rows r and columns j,
//
//	c[r*lc+j] = from[r*lf+j] + sum over i<k of a[r*rs+i*cs] * b[i*width+j]
//
// The number of rows belongs to the function, the width to the processor.
type tileFunc func(k int, a *float32, rs, cs int, b, from *float32, lf int, c *float32, lc int)

// An arch is one way to compute tiles.
type arch struct {
	name  string
	width int        // columns of a tile
	tiles []tileFunc // by rows less one
}

// Instructions names the instructions that tiles are computed with: avx512, avx2,
// or go for plain Go.
func Instructions() string { return best.name }

// A Parallel runs task(0) ... task(n-1), in any order, on any number of
// goroutines, and returns when all are done. nil runs them one by one.
type Parallel func(n int, task func(i int))

func (p Parallel) do(n int, task func(i int)) {
	if p == nil || n == 1 {
		for i := range n {
			task(i)
		}
		return
	}
	p(n, task)
}

const (
	// blockK is how many products are added to a tile at a time: a panel of B of
	// that height (16 kB with AVX2) and three rows of A stay in a 32 kB cache.
	blockK = 256
	// blockRows is how many rows of C one task computes at most with each panel
	// while it is in that cache; blockK columns of so many rows of A (196 kB) stay
	// in a second-level cache.
	blockRows = 192
	// blockPanels is how many panels a task takes.
	blockPanels = 8
)

// Options say what Mul does beside multiplying. The zero value is the useful
// one.
type Options struct {
	// Bias is added to each row of C. Optional.
	Bias []float32
	// Add adds to what C holds. Bias must be nil.
	Add bool
	// Done is called when rows i0 to i1 and columns j0 to j1 of C are complete,
	// by the worker that computed them and while they are in its cache. It may
	// change them. Optional.
	Done func(i0, i1, j0, j1 int)
}

// Mul sets c = a·b (+ bias). The rows of c must be contiguous and c must not
// overlap a.
func Mul(p Parallel, c, a Matrix, b *Packed, opt Options) {
	if c.Rows != a.Rows || c.Cols != b.n || a.Cols != b.k || c.CS != 1 && c.Cols > 1 {
		panic(fmt.Sprintf("gemm: %d x %d = %d x %d times %d x %d", c.Rows, c.Cols, a.Rows, a.Cols, b.k, b.n))
	}
	if opt.Bias != nil && (len(opt.Bias) != b.n || opt.Add) {
		panic("gemm: bias of another length, or with Add")
	}
	a.check()
	c.check()
	if c.Rows == 0 || c.Cols == 0 {
		return
	}
	rows := split(c.Rows, blockRows, len(b.arch.tiles))
	group := split(b.panels(), blockPanels, 1)
	left := operand{Matrix: a}
	if a.CS > 1 {
		// Walking along a row touches a page an element.
		mem, back := scratch.Get(a.Rows * a.Cols)
		defer scratch.Put(back)
		left.pack(p, len(b.arch.tiles), mem)
	}
	groups := (b.panels() + group - 1) / group
	p.do((c.Rows+rows-1)/rows*groups, func(task int) {
		i0, p0 := task/groups*rows, task%groups*group
		i1, p1 := min(i0+rows, c.Rows), min(p0+group, b.panels())
		mulBlock(c, left, b, opt, i0, i1, p0, p1)
		if opt.Done != nil {
			opt.Done(i0, i1, p0*b.arch.width, min(p1*b.arch.width, c.Cols))
		}
	})
}

// split returns how large to make equal parts of n: of at most size, rounded up
// to a multiple of unit. The last part may be smaller.
func split(n, size, unit int) int {
	parts := (n + size - 1) / size
	each := (n + parts - 1) / parts
	return (each + unit - 1) / unit * unit
}

// zeros is what a tile starts from: enough for the widest.
var zeros [maxWidth]float32

const maxWidth = 32

// mulBlock computes rows i0 to i1, the first of which begins a group of rows of
// a tile, of c in panels p0 to p1.
func mulBlock(c Matrix, a operand, b *Packed, opt Options, i0, i1, p0, p1 int) {
	w, mr := b.arch.width, len(b.arch.tiles)
	if a.Cols == 0 {
		fill(c, opt, i0, i1, p0*w, min(p1*w, c.Cols))
		return
	}
	// The last panel may be wider than what is left of C and of the bias.
	var edge, edgeBias []float32
	if p1*w > c.Cols {
		mem, back := scratch.Get((mr + 1) * w)
		defer scratch.Put(back)
		edge, edgeBias = mem[:mr*w], mem[mr*w:]
	}
	height := blockHeight(b.k)
	var decoded []float32
	if b.half != nil {
		mem, back := scratch.Get(height * w)
		defer scratch.Put(back)
		decoded = mem
	}
	for k0 := 0; k0 < b.k; k0 += height {
		k := min(height, b.k-k0)
		for panel := p0; panel < p1; panel++ {
			j := panel * w
			cols := min(w, c.Cols-j)
			bp := b.panel(panel, k0, k, decoded)
			bias := opt.Bias
			if bias != nil {
				bias = bias[j:]
				if cols < w {
					copy(edgeBias, bias)
					bias = edgeBias
				}
			}
			for i := i0; i < i1; i += mr {
				rows := min(mr, i1-i)
				ap, rs, cs := a.tile(i, k0, rows)
				cp, lc := c.Data[i*c.RS+j:], c.RS
				if cols < w {
					for r := range rows {
						copy(edge[r*w:r*w+cols], cp[r*lc:])
					}
					cp, lc = edge, w
				}
				from, lf := zeros[:], 0
				switch {
				case k0 > 0 || opt.Add:
					from, lf = cp, lc
				case bias != nil:
					from = bias
				}
				b.arch.tiles[rows-1](k, &ap[0], rs, cs, &bp[0], &from[0], lf, &cp[0], lc)
				if cols < w {
					for r := range rows {
						copy(c.Data[(i+r)*c.RS+j:][:cols], edge[r*w:])
					}
				}
			}
		}
	}
}

// An operand is the left-hand side of a product: as it lies, or packed.
type operand struct {
	Matrix
	packed []float32 // groups of mr rows, each column by column; nil if as it lies
	mr     int
}

// tile returns where the rows from i on, which begin a group, and the columns
// from k on lie, and their strides.
func (a *operand) tile(i, k, rows int) (data []float32, rs, cs int) {
	if a.packed == nil {
		return a.Data[i*a.RS+k*a.CS:], a.RS, a.CS
	}
	return a.packed[i*a.Cols+k*rows:], 1, rows
}

// pack packs all rows into mem.
func (a *operand) pack(p Parallel, mr int, mem []float32) {
	a.packed, a.mr = mem, mr
	const block = 32 // columns a task
	p.do((a.Cols+block-1)/block, func(task int) {
		for k := task * block; k < min((task+1)*block, a.Cols); k++ {
			a.packColumn(k)
		}
	})
}

func (a *operand) packColumn(k int) {
	col := a.Data[k*a.CS:]
	for i := 0; i < a.Rows; i += a.mr {
		rows := min(a.mr, a.Rows-i)
		out := a.packed[i*a.Cols+k*rows:][:rows]
		switch {
		case a.RS != 1:
			for r := range out {
				out[r] = col[(i+r)*a.RS]
			}
		case rows == 6:
			*(*[6]float32)(out) = [6]float32(col[i:])
		case rows == 12:
			*(*[12]float32)(out) = [12]float32(col[i:])
		default:
			copy(out, col[i:])
		}
	}
}

// Small sets c = a·b, or adds to it, on the calling goroutine and without
// packing a, which pays for the products of one head of attention. buf must have
// PackedLen elements of b's size.
func Small(c, a, b Matrix, buf []float32, add bool) {
	if c.Rows != a.Rows || c.Cols != b.Cols || a.Cols != b.Rows || c.CS != 1 && c.Cols > 1 {
		panic(fmt.Sprintf("gemm: %d x %d = %d x %d times %d x %d", c.Rows, c.Cols, a.Rows, a.Cols, b.Rows, b.Cols))
	}
	a.check()
	b.check()
	c.check()
	if c.Rows == 0 || c.Cols == 0 {
		return
	}
	if b.Rows == 0 {
		fill(c, Options{Add: add}, 0, c.Rows, 0, c.Cols)
		return
	}
	w := best.width
	packed := Packed{arch: best, k: b.Rows, n: b.Cols, data: buf[:PackedLen(b.Rows, b.Cols)]}
	for i := range packed.panels() {
		fillPanel(packed.data[i*b.Rows*w:][:b.Rows*w], w, b.Slice(0, b.Rows, i*w, min((i+1)*w, b.Cols)))
	}
	mulBlock(c, operand{Matrix: a}, &packed, Options{Add: add}, 0, c.Rows, 0, packed.panels())
}

// fill is a product of no terms.
func fill(c Matrix, opt Options, i0, i1, j0, j1 int) {
	for i := i0; i < i1 && !opt.Add; i++ {
		row := c.Row(i)[j0:j1]
		clear(row)
		if opt.Bias != nil {
			copy(row, opt.Bias[j0:j1])
		}
	}
}

// blockHeight splits k products into equal blocks of at most blockK.
func blockHeight(k int) int {
	n := max(1, (k+blockK-1)/blockK)
	return max(1, (k+n-1)/n)
}

// A Packed is the right-hand side of a product in panels as wide as a tile,
// each panel row by row. It is safe for concurrent use.
type Packed struct {
	arch *arch
	k, n int
	data []float32
	half []byte // 16-bit floats, in place of data
	bf16 bool
}

func (b *Packed) panels() int { return (b.n + b.arch.width - 1) / b.arch.width }

// panel returns k rows of a panel from row k0 on, decoded into buf if it must be.
func (b *Packed) panel(panel, k0, k int, buf []float32) []float32 {
	w := b.arch.width
	at := (panel*b.k + k0) * w
	if b.half == nil {
		return b.data[at : at+k*w]
	}
	buf = buf[:k*w]
	if src := b.half[2*at:]; b.bf16 {
		kernel.DecodeBF16(buf, src)
	} else {
		kernel.DecodeF16(buf, src)
	}
	return buf
}

// PackedLen is the number of elements that a packed k x n matrix takes.
func PackedLen(k, n int) int {
	w := best.width
	return (n + w - 1) / w * w * k
}

// Pack packs m into buf, which must have PackedLen elements or be nil to be
// allocated. The result refers to buf.
func Pack(p Parallel, m Matrix, buf []float32) *Packed { return best.pack(p, m, buf) }

func (a *arch) pack(p Parallel, m Matrix, buf []float32) *Packed {
	m.check()
	b := &Packed{arch: a, k: m.Rows, n: m.Cols}
	size := b.panels() * a.width * b.k
	if buf == nil {
		buf = make([]float32, size)
	}
	b.data = buf[:size]
	if size == 0 {
		return b
	}
	const group = 4 // panels a task
	p.do((b.panels()+group-1)/group, func(task int) {
		for i := task * group; i < min((task+1)*group, b.panels()); i++ {
			dst := b.data[i*b.k*a.width:][:b.k*a.width]
			fillPanel(dst, a.width, m.Slice(0, m.Rows, i*a.width, min((i+1)*a.width, m.Cols)))
		}
	})
	return b
}

// A Storage says how a packed matrix keeps its elements.
type Storage int

// The storages. An element must be a number of that type, or it is rounded
// towards zero (BF16) or changed (F16).
const (
	F32 Storage = iota
	BF16
	F16
)

// PackColumns packs the k x n matrix whose columns read gives: n columns, each
// contiguous, from column j on. read is called by several workers at once; the
// first error, by column, ends the packing.
func PackColumns(p Parallel, k, n int, s Storage, read func(dst []float32, j int) error) (*Packed, error) {
	b := &Packed{arch: best, k: k, n: n}
	w := best.width
	size := b.panels() * w * k
	if s == F32 {
		b.data = make([]float32, size)
	} else {
		b.half, b.bf16 = make([]byte, 2*size), s == BF16
	}
	errs := make([]error, b.panels())
	p.do(b.panels(), func(i int) {
		cols := min(w, n-i*w)
		mem, back := scratch.Get(k * (cols + w))
		defer scratch.Put(back)
		m := Dense(mem[:k*cols], cols, k)
		if errs[i] = read(m.Data, i*w); errs[i] != nil {
			return
		}
		if s == F32 {
			fillPanel(b.data[i*k*w:][:k*w], w, m.T())
			return
		}
		dst := mem[k*cols:]
		fillPanel(dst, w, m.T())
		if out := b.half[2*i*k*w:]; s == BF16 {
			kernel.EncodeBF16(out, dst)
		} else {
			kernel.EncodeF16(out, dst)
		}
	})
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	return b, nil
}

// PackT packs the transpose of the matrix that was packed into buf, which must
// have PackedLen elements of its size.
func (b *Packed) PackT(p Parallel, buf []float32) *Packed {
	w := b.arch.width
	t := &Packed{arch: b.arch, k: b.n, n: b.k, data: buf[:(b.k+w-1)/w*w*b.n]}
	p.do(t.panels(), func(i int) {
		mem, back := scratch.Get(w * w)
		defer scratch.Put(back)
		dst := t.data[i*t.k*w:][:t.k*w]
		rows := min(w, b.k-i*w) // of b, columns of t
		if rows < w {
			clear(dst)
		}
		for panel := range b.panels() {
			cols := min(w, b.n-panel*w)
			src := b.panel(panel, i*w, rows, mem)
			transpose(dst[panel*w*w:], w, Matrix{src, cols, rows, 1, w})
		}
	})
	return t
}

// fillPanel copies the columns of m into a panel and zeros beyond them.
func fillPanel(dst []float32, w int, m Matrix) {
	if m.Cols < w {
		clear(dst)
	}
	switch {
	case m.CS == 1 || m.Cols == 1:
		for i := range m.Rows {
			row, src := dst[i*w:][:m.Cols], m.Data[i*m.RS:]
			switch len(row) {
			case 16:
				*(*[16]float32)(row) = [16]float32(src)
			case 32:
				*(*[32]float32)(row) = [32]float32(src)
			default:
				copy(row, src)
			}
		}
	case m.RS == 1:
		transpose(dst, w, m)
	default:
		for i := range m.Rows {
			for j := range m.Cols {
				dst[i*w+j] = m.Data[i*m.RS+j*m.CS]
			}
		}
	}
}

// transposeGo sets dst[i*w+j] = m(i, j) for columns j from j0 on and rows i from
// i0 on, where the columns of m are contiguous.
func transposeGo(dst []float32, w int, m Matrix, i0, j0 int) {
	for j := j0; j < m.Cols; j++ {
		for i, x := range m.Data[j*m.CS:][:m.Rows][i0:] {
			dst[(i0+i)*w+j] = x
		}
	}
}

// generic computes tiles in plain Go.
var generic = &arch{"go", 16, []tileFunc{tileGo(1, 16), tileGo(2, 16), tileGo(3, 16), tileGo(4, 16)}}
