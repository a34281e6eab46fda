package cpu

import (
	"context"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/model/arch"
)

// A norm normalises the rows of a matrix.
type norm struct {
	arch.Norm
	w, b    *param
	factor  []float32 // w, or 1 + w
	version int
}

// moments are what a norm's backward pass needs of its forward pass: the mean
// (not of an RMS norm) and the inverse deviation of each row.
type moments struct{ mean, rstd []float32 }

func (e *Engine) newNorm(n *arch.Norm) *norm {
	if n == nil {
		return nil
	}
	return &norm{Norm: *n, w: e.param(n.Weight), b: e.param(n.Bias)}
}

func (n *norm) ready(ctx context.Context) error {
	if n == nil {
		return nil
	}
	w, err := n.w.values(ctx)
	if err != nil {
		return err
	}
	if n.b != nil {
		if _, err := n.b.values(ctx); err != nil {
			return err
		}
	}
	switch {
	case !n.PlusOne:
		n.factor = w
	case n.factor == nil || n.version != n.w.version:
		n.factor = make([]float32, len(w))
		for i, x := range w {
			n.factor[i] = 1 + x
		}
		n.version = n.w.version
	}
	return nil
}

func (n *norm) moments(e *Engine, rows int) moments {
	return moments{e.arena.get(rows), e.arena.get(rows)}
}

// row normalises row i of many.
func (n *norm) row(dst, x []float32, m moments, i int) {
	if n.RMS {
		m.rstd[i] = vecmath.RMSNorm(dst, x, n.factor, n.Eps)
		return
	}
	var b []float32
	if n.b != nil {
		b = n.b.w
	}
	m.mean[i], m.rstd[i] = vecmath.LayerNorm(dst, x, n.factor, b, n.Eps)
}

// forward sets y to the normalised rows of x.
func (n *norm) forward(e *Engine, y, x gemm.Matrix, m moments) {
	e.rows(x.Rows, func(i0, i1 int) {
		for i := i0; i < i1; i++ {
			n.row(y.Row(i), x.Row(i), m, i)
		}
	})
}

// normRows is how many rows share a partial sum of a norm's gradients: fixed,
// so that the sums are the same for any number of workers.
const normRows = 32

// backward sets dx, which may be dy, and adds the parameters' gradients if they
// are wanted.
func (n *norm) backward(e *Engine, dx, dy, x gemm.Matrix, m moments) {
	wantW, wantB := e.wants(n.w), e.wants(n.b)
	tasks := (x.Rows + normRows - 1) / normRows
	var partW, partB gemm.Matrix
	if wantW {
		partW = e.arena.matrix(tasks, x.Cols)
	}
	if wantB {
		partB = e.arena.matrix(tasks, x.Cols)
	}
	e.par(tasks, func(task int) {
		var dw, db []float32
		if wantW {
			dw = partW.Row(task)
			clear(dw)
		}
		if wantB {
			db = partB.Row(task)
			clear(db)
		}
		for i := task * normRows; i < min((task+1)*normRows, x.Rows); i++ {
			if n.RMS {
				vecmath.RMSNormGrad(dx.Row(i), dw, dy.Row(i), x.Row(i), n.factor, m.rstd[i])
			} else {
				vecmath.LayerNormGrad(dx.Row(i), dw, db, dy.Row(i), x.Row(i), n.factor, m.mean[i], m.rstd[i])
			}
		}
	})
	if wantW {
		e.addColumns(n.w.zeroed(), partW)
	}
	if wantB {
		e.addColumns(n.b.zeroed(), partB)
	}
}
