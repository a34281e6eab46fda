package cpu

import (
	"context"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/model/arch"
)

// A head makes the output of the last hidden states.
type head struct {
	arch.Head
	dense, out *linear
}

type headState struct {
	x      gemm.Matrix // the last hidden states
	rows   []int       // of x, by row of pooled; nil for their mean, or all of them
	pooled gemm.Matrix
	mid    gemm.Matrix // what Dense gave
	act    gemm.Matrix
	logits gemm.Matrix
}

func (h *head) ready(ctx context.Context, e *Engine) error {
	if err := h.dense.ready(ctx, e); err != nil {
		return err
	}
	return h.out.ready(ctx, e)
}

func (h *head) forward(e *Engine, x gemm.Matrix) gemm.Matrix {
	s := headState{x: x}
	if e.narrow < 0 { // else x is of those alone
		s.rows = e.seen
	}
	n := e.net.Rows(e.batch)
	if h.Pool == arch.PoolMean {
		s.pooled = e.arena.matrix(n, x.Cols)
		for i := range n {
			from, to := e.batch.Starts[i], e.batch.Starts[i+1]
			row := s.pooled.Row(i)
			clear(row)
			for t := from; t < to; t++ {
				vecmath.AddTo(row, x.Row(t))
			}
			vecmath.Scale(row, 1/float32(to-from), row)
		}
	} else {
		s.pooled = e.pick(x, s.rows)
	}
	s.mid, s.act = s.pooled, s.pooled
	if h.dense != nil {
		s.mid, s.act = e.arena.matrix(n, h.dense.out), e.arena.matrix(n, h.dense.out)
		h.dense.forward(e, s.mid, s.pooled, nil)
		act(h.Act, s.act.Data, s.mid.Data)
	}
	s.logits = s.act
	if h.out != nil {
		s.logits = e.arena.matrix(n, h.out.out)
		h.out.forward(e, s.logits, s.act, nil)
	}
	if h.SoftCap > 0 {
		vecmath.Scale(s.logits.Data, 1/h.SoftCap, s.logits.Data)
		vecmath.Tanh(s.logits.Data, s.logits.Data)
		vecmath.Scale(s.logits.Data, h.SoftCap, s.logits.Data)
	}
	e.tape.head = s
	return s.logits
}

// backward sets dx, the gradient with regard to the last hidden states.
func (h *head) backward(e *Engine, dx, dout gemm.Matrix) {
	s := &e.tape.head
	n := dout.Rows
	if h.SoftCap > 0 { // the derivative of c*tanh(z/c) is 1-(y/c)^2
		d := e.arena.matrix(n, dout.Cols)
		for i, y := range s.logits.Data {
			t := y / h.SoftCap
			d.Data[i] = dout.Data[i] * (1 - t*t)
		}
		dout = d
	}
	d := dout
	if h.out != nil {
		d = e.arena.matrix(n, h.out.in)
		h.out.backward(e, d, dout, s.act, false, nil)
	}
	if h.dense != nil {
		actGrad(h.Act, d.Data, s.mid.Data, d.Data)
		dp := e.arena.matrix(n, h.dense.in)
		h.dense.backward(e, dp, d, s.pooled, false, nil)
		d = dp
	}
	switch {
	case h.Pool == arch.PoolMean:
		for i := range n {
			from, to := e.batch.Starts[i], e.batch.Starts[i+1]
			for t := from; t < to; t++ {
				vecmath.Scale(dx.Row(t), 1/float32(to-from), d.Row(i))
			}
		}
	case s.rows == nil:
		copy(dx.Data, d.Data)
	default:
		spread(dx, d, s.rows)
	}
}
