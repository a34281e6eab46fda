package cpu

import (
	"context"
	"fmt"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/scratch"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/model/arch"
)

// act sets dst to an activation of x.
func act(a arch.Activation, dst, x []float32) {
	switch a {
	case arch.GELU:
		vecmath.GELU(dst, x)
	case arch.GELUTanh:
		vecmath.GELUTanh(dst, x)
	case arch.SiLU:
		vecmath.SiLU(dst, x)
	case arch.ReLU:
		vecmath.ReLU(dst, x)
	case arch.Tanh:
		vecmath.Tanh(dst, x)
	case arch.Identity:
		copy(dst, x)
	default:
		panic(fmt.Sprintf("activation %q", a))
	}
}

// actGrad sets dst to dy times the derivative of an activation at x.
func actGrad(a arch.Activation, dst, x, dy []float32) {
	switch a {
	case arch.GELU:
		vecmath.GELUGrad(dst, x, dy)
	case arch.GELUTanh:
		vecmath.GELUTanhGrad(dst, x, dy)
	case arch.SiLU:
		vecmath.SiLUGrad(dst, x, dy)
	case arch.ReLU:
		vecmath.ReLUGrad(dst, x, dy)
	case arch.Tanh:
		y, back := scratch.Get(len(x))
		defer scratch.Put(back)
		vecmath.Tanh(y, x)
		vecmath.TanhGrad(dst, y, dy)
	case arch.Identity:
		copy(dst, dy)
	default:
		panic(fmt.Sprintf("activation %q", a))
	}
}

// An mlp is the other kind of layer.
type mlp struct {
	act            arch.Activation
	up, gate, down *linear
}

// mlpState is what the backward pass needs. Without a gate, only up and mid are.
type mlpState struct{ up, gate, mid gemm.Matrix }

func (e *Engine) mlp(m *arch.MLP) *mlp {
	return &mlp{act: m.Act, up: e.linear(m.Up), gate: e.linear(m.Gate), down: e.linear(m.Down)}
}

func (l *mlp) ready(ctx context.Context, e *Engine) error {
	for _, m := range []*linear{l.up, l.gate, l.down} {
		if err := m.ready(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (l *mlp) forward(e *Engine, y, x gemm.Matrix) *mlpState {
	s := &mlpState{up: e.arena.matrix(x.Rows, l.up.out)}
	s.mid = s.up
	if e.keep {
		s.mid = e.arena.matrix(x.Rows, l.up.out)
	}
	if l.gate == nil {
		l.up.forward(e, s.up, x, func(i0, i1, j0, j1 int) {
			for i := i0; i < i1; i++ {
				act(l.act, s.mid.Row(i)[j0:j1], s.up.Row(i)[j0:j1])
			}
		})
	} else {
		s.gate = e.arena.matrix(x.Rows, l.up.out)
		l.up.forward(e, s.up, x, nil)
		l.gate.forward(e, s.gate, x, func(i0, i1, j0, j1 int) {
			g, back := scratch.Get(j1 - j0)
			defer scratch.Put(back)
			for i := i0; i < i1; i++ {
				act(l.act, g, s.gate.Row(i)[j0:j1])
				vecmath.Mul(s.mid.Row(i)[j0:j1], g, s.up.Row(i)[j0:j1])
			}
		})
	}
	l.down.forward(e, y, s.mid, nil)
	return s
}

func (l *mlp) backward(e *Engine, dx, dy, x gemm.Matrix, s *mlpState) {
	dup := e.arena.matrix(x.Rows, l.up.out)
	if l.gate == nil {
		l.down.backward(e, dup, dy, s.mid, false, func(i0, i1, j0, j1 int) {
			for i := i0; i < i1; i++ {
				d := dup.Row(i)[j0:j1]
				actGrad(l.act, d, s.up.Row(i)[j0:j1], d)
			}
		})
		l.up.backward(e, dx, dup, x, false, nil)
		return
	}
	dgate := e.arena.matrix(x.Rows, l.up.out)
	l.down.backward(e, dup, dy, s.mid, false, func(i0, i1, j0, j1 int) {
		g, back := scratch.Get(j1 - j0)
		defer scratch.Put(back)
		for i := i0; i < i1; i++ {
			d, gate := dup.Row(i)[j0:j1], s.gate.Row(i)[j0:j1]
			act(l.act, g, gate)
			dg := dgate.Row(i)[j0:j1]
			vecmath.Mul(dg, d, s.up.Row(i)[j0:j1])
			actGrad(l.act, dg, gate, dg)
			vecmath.Mul(d, d, g)
		}
	})
	l.up.backward(e, dx, dup, x, false, nil)
	l.gate.backward(e, dx, dgate, x, true, nil)
}
