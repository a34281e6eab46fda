package cpu

import (
	"context"
	"fmt"
	"slices"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
)

// A param is a parameter: lazily read, then perhaps changed and trained.
type param struct {
	arch.Param
	tensor *loader.Tensor

	w       []float32 // all of it; nil until it is needed whole
	version int       // counts the changes of w

	g     []float32 // the gradient; nil until there was one
	fresh bool      // g holds nothing of the current step

	// sparse says that only some rows of g were written since it was cleared, in
	// hit, and of all steps in ever: rows outside have no gradient and no moments.
	sparse bool
	hit    []int32
	isHit  []bool
	ever   []bool

	m, v []float32
}

// values reads the parameter whole.
func (p *param) values(ctx context.Context) ([]float32, error) {
	if p.w != nil || p.Len() == 0 {
		return p.w, nil
	}
	w := make([]float32, p.Len())
	if err := p.tensor.ReadRows(ctx, w, 0); err != nil {
		return nil, err
	}
	p.w = w
	p.tensor.Forget()
	return w, nil
}

// rows is the number of rows, and width their length.
func (p *param) rows() int  { return p.Shape[0] }
func (p *param) width() int { return p.Len() / max(1, p.Shape[0]) }

// row copies row i into dst.
func (p *param) row(ctx context.Context, dst []float32, i int) error {
	if p.w != nil {
		copy(dst, p.w[i*len(dst):])
		return nil
	}
	return p.tensor.ReadRows(ctx, dst, i)
}

// storage is how a packed copy keeps the parameter: in its stored type, while
// it is unchanged.
func (p *param) storage() gemm.Storage {
	switch {
	case p.w != nil:
		return gemm.F32
	case p.tensor.DType == loader.BF16:
		return gemm.BF16
	case p.tensor.DType == loader.F16:
		return gemm.F16
	}
	return gemm.F32
}

// gradient returns where a gradient is written, and whether it is to be added
// to what is there.
func (p *param) gradient() (g []float32, add bool) {
	if p.g == nil {
		p.g = make([]float32, p.Len())
	}
	if p.sparse { // the whole matrix gets one after all
		for _, i := range p.hit {
			p.isHit[i] = false
		}
		p.hit, p.sparse, p.fresh = p.hit[:0], false, false
	}
	add = !p.fresh
	p.fresh = false
	return p.g, add
}

// zeroed returns the gradient to add to.
func (p *param) zeroed() []float32 {
	g, add := p.gradient()
	if !add {
		clear(g)
	}
	return g
}

// rowGradient returns the gradient of one row to add to.
func (p *param) rowGradient(i int) []float32 {
	width := p.width()
	if p.g == nil {
		p.g = make([]float32, p.Len())
		p.fresh = true
	}
	if p.fresh {
		if !p.sparse {
			clear(p.g)
		}
		if p.isHit == nil {
			p.isHit = make([]bool, p.rows())
		}
		p.sparse, p.fresh = true, false
		p.hit = p.hit[:0]
	}
	row := p.g[i*width : (i+1)*width]
	if p.sparse && !p.isHit[i] {
		p.isHit[i] = true
		p.hit = append(p.hit, int32(i))
	}
	return row
}

// zeroGradient forgets the gradient.
func (p *param) zeroGradient() {
	if p.sparse {
		width := p.width()
		for _, i := range p.hit {
			clear(p.g[int(i)*width:][:width])
			p.isHit[i] = false
		}
		p.hit = p.hit[:0]
	}
	p.fresh = true
}

// chunk is how many elements one task of an update takes.
const chunk = 1 << 15

// parts cuts a parameter into ranges of whole rows, in a fixed way.
func (p *param) parts() [][2]int {
	rows := max(1, chunk/max(1, p.width()))
	var parts [][2]int
	for i := 0; i < p.rows(); i += rows {
		parts = append(parts, [2]int{i, min(i+rows, p.rows())})
	}
	return parts
}

// hasGradient reports whether row i may have a gradient other than zero.
func (p *param) hasGradient(i int) bool { return !p.sparse || p.isHit[i] }

// norm2 is the sum of the squares of the gradient of rows i to j.
func (p *param) norm2(i, j int, mask []bool) float64 {
	width := p.width()
	if !p.sparse && mask == nil {
		return vecmath.SumSquares(p.g[i*width : j*width])
	}
	var sum float64
	for ; i < j; i++ {
		if p.hasGradient(i) && (mask == nil || mask[i]) {
			sum += vecmath.SumSquares(p.g[i*width : (i+1)*width])
		}
	}
	return sum
}

// update steps rows i to j.
func (p *param) update(i, j int, u vecmath.AdamWStep, mask []bool) {
	width := p.width()
	step := func(i, j int) {
		vecmath.AdamW(p.w[i*width:j*width], p.g[i*width:j*width], p.m[i*width:j*width], p.v[i*width:j*width], u)
	}
	if !p.sparse && p.ever == nil && mask == nil {
		step(i, j)
		return
	}
	keep := float32(1 - u.LR*u.Decay)
	for ; i < j; i++ {
		switch {
		case mask != nil && !mask[i]:
		case p.ever == nil || p.ever[i]:
			step(i, i+1)
		case keep != 1: // no gradient yet, so no moments: decay is all there is
			row := p.w[i*width : (i+1)*width]
			vecmath.Scale(row, keep, row)
		}
	}
}

// prepare makes what an update needs.
func (p *param) prepare(ctx context.Context) error {
	if _, err := p.values(ctx); err != nil {
		return err
	}
	if p.m == nil {
		p.m, p.v = make([]float32, p.Len()), make([]float32, p.Len())
		if p.sparse {
			p.ever = make([]bool, p.rows())
		}
	}
	if p.ever != nil {
		if p.sparse {
			for _, i := range p.hit {
				p.ever[i] = true
			}
		} else {
			p.ever = nil // all rows
		}
	}
	return nil
}

// edit replaces the parameter's values.
func (p *param) edit(ctx context.Context, change func(w []float32)) error {
	w, err := p.values(ctx)
	if err != nil {
		return err
	}
	change(w)
	p.version++
	return nil
}

// Values returns a copy of a parameter.
func (e *Engine) Values(ctx context.Context, name string) ([]float32, error) {
	p, ok := e.params[name]
	if !ok {
		return nil, fmt.Errorf("no parameter %q", name)
	}
	w := make([]float32, p.Len())
	if p.w != nil {
		copy(w, p.w)
		return w, nil
	}
	return w, p.tensor.ReadRows(ctx, w, 0)
}

// Edit lets change set a parameter's values, row by row without gaps.
func (e *Engine) Edit(ctx context.Context, name string, change func(w []float32)) error {
	p, ok := e.params[name]
	if !ok {
		return fmt.Errorf("no parameter %q", name)
	}
	return p.edit(ctx, change)
}

// Gradient returns a copy of the gradient of a parameter, zeros where the passes
// since the last ZeroGrads gave it none.
func (e *Engine) Gradient(name string) ([]float32, error) {
	p, ok := e.params[name]
	if !ok {
		return nil, fmt.Errorf("no parameter %q", name)
	}
	if p.g == nil || p.fresh && !p.sparse {
		return make([]float32, p.Len()), nil
	}
	return slices.Clone(p.g), nil
}
