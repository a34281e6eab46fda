//go:build gotch

package gotch

import (
	"math"

	"github.com/btu-scan/btu-scan/model/arch"
)

// A chunk is sequences that attend together, as a block that is padded to the
// longest: the only place where there is padding, and never of more than
// maxPadding of the block.
type chunk struct {
	first, n int // sequences
	from, to int // tokens
	longest  int
}

// area is how many products of queries and keys a head computes.
func (c chunk) area() int { return c.n * c.longest * c.longest }

func (c chunk) padded() bool { return c.n*c.longest != c.to-c.from }

// maxPadding is the share of a block.
const maxPadding = 0.5

// maxScores caps the products of queries and keys that are computed at once,
// unless those of one token are more.
var maxScores = 1 << 24

// plan cuts the batch into chunks.
func (e *Engine) plan(b *arch.Batch) {
	heads := 1
	for _, l := range e.net.Layers {
		if l.Attention != nil {
			heads = max(heads, l.Attention.Heads)
		}
	}
	e.chunks = e.chunks[:0]
	for i := range b.Len() {
		from, to := b.Starts[i], b.Starts[i+1]
		if k := len(e.chunks); k > 0 {
			c := e.chunks[k-1]
			c.n, c.to, c.longest = c.n+1, to, max(c.longest, to-from)
			if c.area()*heads <= maxScores && float64(c.to-c.from) >= (1-maxPadding)*float64(c.n*c.longest) {
				e.chunks[k-1] = c
				continue
			}
		}
		e.chunks = append(e.chunks, chunk{first: i, n: 1, from: from, to: to, longest: to - from})
	}
}

// cost is about how many bytes a pass needs.
func (e *Engine) cost(b *arch.Batch, keep bool) int64 {
	area := 0.0
	for _, c := range e.chunks {
		area += float64(c.area())
	}
	numbers := area / 4 // the masks
	for _, l := range e.net.Layers {
		if keep && l.Attention != nil {
			kept := 1.0 // the weights; and the caps, before and after
			if l.Attention.SoftCap > 0 {
				kept = 3
			}
			numbers += kept * area * float64(l.Attention.Heads)
		}
	}
	cost := float64(e.net.Cost(len(b.IDs), e.net.Rows(b), keep)) + 4*numbers
	return int64(min(cost, math.MaxInt64/2))
}

// attention gives the rows for the rows x.
func (e *Engine) attention(s *scope, a *arch.Attention, x tensor) tensor {
	rows, nq, nk := len(e.batch.IDs), a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	var q, k, v tensor
	if a.QKV != nil {
		all := e.linear(s, a.QKV, x)
		q, k, v = s.part(all, 1, 0, nq), s.part(all, 1, nq, nk), s.part(all, 1, nq+nk, nk)
	} else {
		q, k, v = e.linear(s, a.Q, x), e.linear(s, a.K, x), e.linear(s, a.V, x)
	}
	q, k, v = s.reshape(q, rows, a.Heads, a.HeadDim), s.reshape(k, rows, a.KVHeads, a.HeadDim), s.reshape(v, rows, a.KVHeads, a.HeadDim)
	if a.QNorm != nil {
		q, k = e.norm(s, a.QNorm, q, a.HeadDim), e.norm(s, a.KNorm, k, a.HeadDim)
	}
	if a.Rotary != nil {
		cos, sin := e.turns(a.Rotary)
		q, k = s.rotated(q, cos, sin, a.HeadDim), s.rotated(k, cos, sin, a.HeadDim)
	}
	var parts []tensor
	for _, c := range e.chunks {
		parts = append(parts, s.within(func(s *scope) tensor {
			return e.attend(s, a, c, e.block(s, c, q, a.Heads, a.Heads, a.HeadDim),
				e.block(s, c, k, a.KVHeads, a.Heads, a.HeadDim), e.block(s, c, v, a.KVHeads, a.Heads, a.HeadDim))
		}))
	}
	return e.linear(s, a.O, s.cat(0, parts...))
}

// turns are the cosines and sines of the tokens, [tokens x 1 x half a head].
func (e *Engine) turns(r *arch.Rotary) (cos, sin tensor) {
	type key struct {
		r    *arch.Rotary
		sine bool
	}
	var cs, ss []float32
	compute := func() {
		if cs != nil {
			return
		}
		for i := range e.batch.Len() {
			for p := range e.batch.Starts[i+1] - e.batch.Starts[i] {
				cs, ss = r.Turn(cs, ss, p)
			}
		}
	}
	n, half := len(e.batch.IDs), len(r.Frequencies)
	cos = e.list(key{r, false}, func(s *scope) tensor { compute(); return of(s, e.device, cs, n, 1, half) })
	sin = e.list(key{r, true}, func(s *scope) tensor { compute(); return of(s, e.device, ss, n, 1, half) })
	return cos, sin
}

// rotated turns the heads of each token by its position.
func (s *scope) rotated(x, cos, sin tensor, dim int) tensor {
	a, b := s.part(x, 2, 0, dim/2), s.part(x, 2, dim/2, dim/2)
	return s.cat(2, s.sub(s.mul(a, cos), s.mul(b, sin)), s.add(s.mul(b, cos), s.mul(a, sin)))
}

// block is the rows of a chunk as [sequences x heads x tokens x dimensions], with
// zeros as padding, and each of few heads as often as heads share it.
func (e *Engine) block(s *scope, c chunk, x tensor, few, heads, dim int) tensor {
	if c.padded() {
		x = s.rows(s.cat(0, x, s.zeros(e.device, 1, few, dim)), e.padding(c))
	} else {
		x = s.part(x, 0, c.from, c.to-c.from)
	}
	x = s.permute(s.reshape(x, c.n, c.longest, few, dim), 0, 2, 1, 3)
	if few == heads {
		return x
	}
	x = s.expand(s.reshape(x, c.n, few, 1, c.longest, dim), c.n, few, heads/few, c.longest, dim)
	return s.reshape(x, c.n, heads, c.longest, dim)
}

// attend gives the rows of a chunk for blocks of queries, keys and values.
func (e *Engine) attend(s *scope, a *arch.Attention, c chunk, q, k, v tensor) tensor {
	k = s.transpose(k, 2, 3)
	bias, mask := e.bias(a, c.longest), e.mask(a, c)
	step := max(1, maxScores/(c.n*c.longest*a.Heads))
	var parts []tensor
	for from := 0; from < c.longest; from += step {
		n := min(step, c.longest-from)
		parts = append(parts, s.within(func(s *scope) tensor {
			p := s.scaled(s.matmul(s.part(q, 2, from, n), k), float64(a.Scale))
			if a.SoftCap > 0 {
				p = s.softCap(p, a.SoftCap)
			}
			if bias != nil {
				p = s.add(p, s.part(bias, 1, from, n))
			}
			if mask != nil {
				p = s.filled(p, s.part(mask, 2, from, n), math.Inf(-1))
			}
			return s.permute(s.matmul(s.softmax(p), v), 0, 2, 1, 3)
		}))
	}
	y := s.reshape(s.cat(1, parts...), c.n*c.longest, a.Heads*a.HeadDim)
	if c.padded() {
		y = s.rows(y, e.unpadding(c))
	}
	return y
}

// padding is the token of each place of a block, the one after the last for
// padding; unpadding the place of each token.
func (e *Engine) padding(c chunk) tensor {
	type key struct{ first int }
	return e.list(key{c.first}, func(s *scope) tensor {
		index := make([]int, c.n*c.longest)
		for i := range index {
			index[i] = len(e.batch.IDs)
			if t := e.batch.Starts[c.first+i/c.longest] + i%c.longest; t < e.batch.Starts[c.first+i/c.longest+1] {
				index[i] = t
			}
		}
		return places(e, s, index)
	})
}

func (e *Engine) unpadding(c chunk) tensor {
	type key struct{ first int }
	return e.list(key{c.first}, func(s *scope) tensor {
		var index []int
		for i := range c.n {
			for t := range e.batch.Starts[c.first+i+1] - e.batch.Starts[c.first+i] {
				index = append(index, i*c.longest+t)
			}
		}
		return places(e, s, index)
	})
}

// mask is true where a token does not see another, [sequences x 1 x tokens x
// tokens]; none where all see all. What stands for padding sees what is not, so
// that no softmax is over nothing.
func (e *Engine) mask(a *arch.Attention, c chunk) tensor {
	if !c.padded() && !a.Causal && (a.Window == 0 || a.Window >= c.longest) {
		return nil
	}
	type key struct {
		first  int
		causal bool
		window int
	}
	return e.list(key{c.first, a.Causal, a.Window}, func(s *scope) tensor {
		hidden := make([]bool, c.area())
		for i := range hidden {
			hidden[i] = true
		}
		for i := range c.n * c.longest {
			seq, t := c.first+i/c.longest, i%c.longest
			n := e.batch.Starts[seq+1] - e.batch.Starts[seq]
			from, to := 0, n
			if t < n {
				from, to = a.Sees(t, n)
			}
			clear(hidden[i*c.longest+from : i*c.longest+to])
		}
		return of(s, e.device, hidden, c.n, 1, c.longest, c.longest)
	})
}

// bias is that of distances, [heads x tokens x tokens]; none where there is none.
func (e *Engine) bias(a *arch.Attention, n int) tensor {
	if a.Bias == nil {
		return nil
	}
	type key struct {
		weight string
		n      int
	}
	return e.list(key{a.Bias.Weight.Name, n}, func(s *scope) tensor {
		buckets := make([]int, 0, n*n)
		for i := range n {
			for j := range n {
				buckets = append(buckets, a.Bias.Bucket(j-i))
			}
		}
		all := s.rows(e.use(a.Bias.Weight), places(e, s, buckets))
		return s.permute(s.reshape(all, n, n, a.Heads), 2, 0, 1)
	})
}
