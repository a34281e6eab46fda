//go:build gotch

package gotch

import (
	"context"
	"fmt"

	"github.com/btu-scan/btu-scan/model/arch"
)

// tokens sets e.inputs to the rows of the token embedding.
func (e *Engine) tokens(ctx context.Context, s *scope) error {
	emb, b := &e.net.Embedding, e.batch
	p := e.store.params[emb.Tokens.Name]
	e.ids = places(e, s, b.IDs)
	switch {
	case b.Inputs != nil:
		e.inputs = of(s, e.device, b.Inputs, len(b.IDs), emb.Dim)
	case p.w != nil:
		e.inputs = s.rows(p.w, e.ids)
	default:
		rows := make([]float32, len(b.IDs)*emb.Dim)
		for i, id := range b.IDs {
			if err := p.source.ReadRows(ctx, rows[i*emb.Dim:(i+1)*emb.Dim], int(id)); err != nil {
				return err
			}
		}
		e.inputs = of(s, e.device, rows, len(b.IDs), emb.Dim)
	}
	if e.keep {
		e.inputs = s.leaf(e.inputs)
	}
	return nil
}

// embed makes hidden states of them.
func (e *Engine) embed(s *scope) tensor {
	emb := &e.net.Embedding
	// A new tensor in any case, so that the caller can drop it.
	x := s.scaled(e.inputs, float64(emb.Scale))
	if w := e.use(emb.Positions); w != nil {
		x = s.add(x, s.rows(w, places(e, s, emb.PositionRows(e.batch))))
	}
	if w := e.use(emb.Types); w != nil {
		x = s.add(x, s.part(w, 0, 0, 1))
	}
	if emb.Norm != nil {
		x = e.norm(s, emb.Norm, x, emb.Dim)
	}
	if emb.Project != nil {
		x = e.linear(s, emb.Project, x)
	}
	return x
}

func (e *Engine) linear(s *scope, l *arch.Linear, x tensor) tensor {
	w, b := e.use(l.Weight), e.use(l.Bias)
	switch {
	case !l.Transposed:
		return s.linear(x, w, b)
	case b != nil:
		return s.addmm(b, x, w)
	}
	return s.matmul(x, w)
}

// norm normalises the last dimension, of that width.
func (e *Engine) norm(s *scope, n *arch.Norm, x tensor, width int) tensor {
	w := e.use(n.Weight)
	if n.PlusOne {
		w = s.plus(w, 1)
	}
	if !n.RMS {
		return s.layerNorm(x, w, e.use(n.Bias), width, n.Eps)
	}
	return s.mul(s.mul(x, s.rsqrt(s.plus(s.rowMeans(s.square(x)), float64(n.Eps)))), w)
}

func (s *scope) activation(a arch.Activation, x tensor) tensor {
	switch a {
	case arch.GELU:
		return s.gelu(x, "none")
	case arch.GELUTanh:
		return s.gelu(x, "tanh")
	case arch.SiLU:
		return s.silu(x)
	case arch.ReLU:
		return s.relu(x)
	case arch.Tanh:
		return s.tanh(x)
	case arch.Identity:
		return x
	}
	panic(fmt.Sprintf("activation %q", a))
}

func (s *scope) softCap(x tensor, c float32) tensor {
	return s.scaled(s.tanh(s.scaled(x, 1/float64(c))), float64(c))
}

// layer is a residual step.
func (e *Engine) layer(s *scope, l *arch.Layer, x tensor) tensor {
	f := x
	if l.In != nil {
		f = e.norm(s, l.In, f, e.net.Hidden)
	}
	if l.Attention != nil {
		f = e.attention(s, l.Attention, f)
	} else {
		f = e.mlp(s, l.MLP, f)
	}
	if l.Out != nil {
		f = e.norm(s, l.Out, f, e.net.Hidden)
	}
	y := s.add(f, x)
	if l.Sum != nil {
		y = e.norm(s, l.Sum, y, e.net.Hidden)
	}
	return y
}

func (e *Engine) mlp(s *scope, m *arch.MLP, x tensor) tensor {
	up := e.linear(s, m.Up, x)
	if m.Gate == nil {
		return e.linear(s, m.Down, s.activation(m.Act, up))
	}
	return e.linear(s, m.Down, s.mul(s.activation(m.Act, e.linear(s, m.Gate, x)), up))
}

// head makes the output of the last hidden states.
func (e *Engine) head(s *scope, x tensor) tensor {
	h, b := &e.net.Head, e.batch
	if h.Pool == arch.PoolMean {
		sequence, share := make([]int, len(b.IDs)), make([]float32, b.Len())
		for i := range b.Len() {
			for t := b.Starts[i]; t < b.Starts[i+1]; t++ {
				sequence[t] = i
			}
			share[i] = 1 / float32(b.Starts[i+1]-b.Starts[i])
		}
		sums := s.addRows(s.zeros(e.device, b.Len(), e.net.Hidden), places(e, s, sequence), x)
		x = s.mul(sums, of(s, e.device, share, b.Len(), 1))
	} else if tokens := h.Tokens(b); tokens != nil {
		x = s.rows(x, places(e, s, tokens))
	}
	if h.Dense != nil {
		x = s.activation(h.Act, e.linear(s, h.Dense, x))
	}
	if h.Out != nil {
		x = e.linear(s, h.Out, x)
	}
	if h.SoftCap > 0 {
		x = s.softCap(x, h.SoftCap)
	}
	return x
}
