package cpu

import (
	"cmp"
	"context"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/scratch"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/model/arch"
)

// A linear is y = x·Wᵀ + b.
type linear struct {
	in, out    int
	transposed bool // the weight is stored [in x out]
	w, b       *param

	packed  *gemm.Packed // Wᵀ, unless it is trained
	version int          // of w in packed
}

func (e *Engine) linear(l *arch.Linear) *linear {
	if l == nil {
		return nil
	}
	return &linear{in: l.In, out: l.Out, transposed: l.Transposed, w: e.param(l.Weight), b: e.param(l.Bias)}
}

// ready reads what the layer needs.
func (l *linear) ready(ctx context.Context, e *Engine) error {
	if l == nil {
		return nil
	}
	if l.b != nil {
		if _, err := l.b.values(ctx); err != nil {
			return err
		}
	}
	if e.train {
		l.packed = nil
		_, err := l.w.values(ctx)
		return err
	}
	if l.packed != nil && l.version == l.w.version {
		return nil
	}
	err := l.pack(ctx, e)
	l.w.tensor.Forget()
	return err
}

// pack makes the packed copy.
func (l *linear) pack(ctx context.Context, e *Engine) error {
	read := func(dst []float32, j int) error { return l.w.tensor.ReadRows(ctx, dst, j) }
	if l.w.w != nil || l.transposed {
		whole := l.w.w
		if whole == nil { // read for the packing alone
			mem, back := scratch.Get(l.w.Len())
			defer scratch.Put(back)
			whole = mem
			if err := l.w.tensor.ReadRows(ctx, whole, 0); err != nil {
				return err
			}
		}
		w := l.stored(whole)
		read = func(dst []float32, j int) error {
			for ; len(dst) > 0; j, dst = j+1, dst[l.in:] {
				for i := range l.in {
					dst[i] = w.Data[j*w.RS+i*w.CS]
				}
			}
			return nil
		}
	}
	packed, err := gemm.PackColumns(e.par, l.in, l.out, l.w.storage(), read)
	if err = cmp.Or(err, ctx.Err()); err != nil { // half a copy is not to be taken for one
		return err
	}
	l.packed, l.version = packed, l.w.version
	return nil
}

// stored is the weight [out x in], whichever way it lies in data.
func (l *linear) stored(data []float32) gemm.Matrix {
	if l.transposed {
		return gemm.Dense(data, l.in, l.out).T()
	}
	return gemm.Dense(data, l.out, l.in)
}

// forward sets y; done is called for parts of it that are complete, in the
// worker's cache.
func (l *linear) forward(e *Engine, y, x gemm.Matrix, done func(i0, i1, j0, j1 int)) {
	opt := gemm.Options{Done: done}
	if l.b != nil {
		opt.Bias = l.b.w
	}
	packed := l.packed
	if packed == nil {
		packed = gemm.Pack(e.par, l.stored(l.w.w).T(), e.panels(l.in, l.out))
	}
	gemm.Mul(e.par, y, x, packed, opt)
}

// backward adds the gradients of the layer's parameters if they are wanted, and
// sets dx, or adds to it. A dx without elements is not wanted.
func (l *linear) backward(e *Engine, dx, dy, x gemm.Matrix, add bool, done func(i0, i1, j0, j1 int)) {
	l.params(e, dy, x)
	if dx.Data == nil {
		return
	}
	var packed *gemm.Packed
	if l.packed != nil {
		packed = l.packed.PackT(e.par, e.panels(l.out, l.in))
	} else {
		packed = gemm.Pack(e.par, l.stored(l.w.w), e.panels(l.out, l.in))
	}
	gemm.Mul(e.par, dx, dy, packed, gemm.Options{Add: add, Done: done})
}

// params adds the gradients of the weight and the bias.
func (l *linear) params(e *Engine, dy, x gemm.Matrix) {
	if e.wants(l.w) {
		g, add := l.w.gradient()
		if l.transposed {
			gemm.Mul(e.par, gemm.Dense(g, l.in, l.out), x.T(), gemm.Pack(e.par, dy, e.panels(dy.Rows, l.out)), gemm.Options{Add: add})
		} else {
			gemm.Mul(e.par, gemm.Dense(g, l.out, l.in), dy.T(), gemm.Pack(e.par, x, e.panels(x.Rows, l.in)), gemm.Options{Add: add})
		}
	}
	if e.wants(l.b) {
		e.addColumns(l.b.zeroed(), dy)
	}
}

// addColumns adds the rows of m to sum, column by column in their order.
func (e *Engine) addColumns(sum []float32, m gemm.Matrix) {
	const width = 64
	e.par((m.Cols+width-1)/width, func(task int) {
		j0, j1 := task*width, min((task+1)*width, m.Cols)
		for i := range m.Rows {
			vecmath.AddTo(sum[j0:j1], m.Row(i)[j0:j1])
		}
	})
}
