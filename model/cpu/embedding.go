package cpu

import (
	"context"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/model/arch"
)

// An embedding makes rows of tokens.
type embedding struct {
	arch.Embedding
	tokens, positions, types *param
	norm                     *norm
	project                  *linear
}

type embeddingState struct {
	sum, normed gemm.Matrix // before and after the norm
	norm        moments
	rows        []int32 // of positions
}

func (e *Engine) newEmbedding(m *arch.Embedding) embedding {
	return embedding{
		Embedding: *m, tokens: e.param(m.Tokens), positions: e.param(m.Positions), types: e.param(m.Types),
		norm: e.newNorm(m.Norm), project: e.linear(m.Project),
	}
}

// forward sets x.
func (l *embedding) forward(ctx context.Context, e *Engine, x gemm.Matrix) (s embeddingState, err error) {
	if err := l.norm.ready(ctx); err != nil {
		return s, err
	}
	if err := l.project.ready(ctx, e); err != nil {
		return s, err
	}
	for _, p := range []*param{l.positions, l.types} {
		if p != nil {
			if _, err := p.values(ctx); err != nil {
				return s, err
			}
		}
	}
	if e.train {
		if _, err := l.tokens.values(ctx); err != nil {
			return s, err
		}
	}
	n := len(e.batch.IDs)
	s.sum = x
	if l.norm != nil || l.project != nil {
		s.sum = e.arena.matrix(n, l.Dim)
	}
	for i, id := range e.batch.IDs {
		if e.batch.Inputs != nil {
			copy(s.sum.Row(i), e.batch.Inputs[i*l.Dim:])
		} else if err := l.tokens.row(ctx, s.sum.Row(i), int(id)); err != nil {
			return s, err
		}
	}
	if l.positions != nil {
		s.rows = l.PositionRows(e.batch)
	}
	s.normed = s.sum
	if l.norm != nil {
		s.norm = l.norm.moments(e, n)
		s.normed = x
		if l.project != nil {
			s.normed = e.arena.matrix(n, l.Dim)
		}
	}
	e.rows(n, func(i0, i1 int) {
		for i := i0; i < i1; i++ {
			row := s.sum.Row(i)
			if l.Scale != 1 {
				vecmath.Scale(row, l.Scale, row)
			}
			if l.positions != nil {
				vecmath.AddTo(row, l.positions.w[int(s.rows[i])*l.Dim:][:l.Dim])
			}
			if l.types != nil {
				vecmath.AddTo(row, l.types.w[:l.Dim])
			}
			if l.norm != nil {
				l.norm.row(s.normed.Row(i), row, s.norm, i)
			}
		}
	})
	if l.project != nil {
		l.project.forward(e, x, s.normed, nil)
	}
	return s, nil
}

// backward returns the gradients with regard to the token rows. It may change
// dx.
func (l *embedding) backward(e *Engine, dx gemm.Matrix) []float32 {
	s := &e.tape.embedding
	n := dx.Rows
	if l.project != nil {
		d := e.arena.matrix(n, l.Dim)
		l.project.backward(e, d, dx, s.normed, false, nil)
		dx = d
	}
	if l.norm != nil {
		l.norm.backward(e, dx, dx, s.sum, s.norm)
	}
	if e.wants(l.positions) {
		for i, r := range s.rows {
			vecmath.AddTo(l.positions.rowGradient(int(r)), dx.Row(i))
		}
	}
	if e.wants(l.types) {
		for i := range n {
			vecmath.AddTo(l.types.rowGradient(0), dx.Row(i))
		}
	}
	if l.Scale != 1 {
		vecmath.Scale(dx.Data, l.Scale, dx.Data)
	}
	if e.wants(l.tokens) && e.batch.Inputs == nil {
		for i, id := range e.batch.IDs {
			vecmath.AddTo(l.tokens.rowGradient(int(id)), dx.Row(i))
		}
	}
	return dx.Data
}
