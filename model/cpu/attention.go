package cpu

import (
	"context"
	"iter"
	"slices"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/scratch"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/model/arch"
)

// An attention layer. Its products are small, so each sequence and head is one
// task, which takes blockQueries tokens at a time: memory is in proportion to the
// length of the longest sequence, not to its square. The weights of the heads
// are not kept for the backward pass: computing them again costs less than the
// memory.
type attention struct {
	arch.Attention
	qkv, q, k, v, o *linear
	qNorm, kNorm    *norm
	bias            *param // [buckets x heads]; nil for none
	buckets         []int  // rows of bias, by distance + MaxDistance
	turns           *turns // nil for none
}

// turns are the cosines and sines of a rotary embedding, [positions x half a
// head]. The layers share them.
type turns struct{ cos, sin []float32 }

// grow computes them for so many positions.
func (t *turns) grow(ctx context.Context, r *arch.Rotary, positions int) error {
	for p := len(t.cos) / len(r.Frequencies); p < positions; p++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.cos, t.sin = r.Turn(t.cos, t.sin, p)
	}
	return nil
}

// attentionState is what the backward pass needs.
type attentionState struct {
	q, k, v gemm.Matrix // as the heads see them
	ctx     gemm.Matrix // what the heads give, side by side
	seen    []int       // tokens that are rows of q and ctx; nil for all
	x       gemm.Matrix // that q is made of

	rawQ, rawK   gemm.Matrix // before QNorm and KNorm
	normQ, normK moments
}

func (e *Engine) attention(a *arch.Attention) *attention {
	l := &attention{
		Attention: *a, qkv: e.linear(a.QKV), q: e.linear(a.Q), k: e.linear(a.K), v: e.linear(a.V), o: e.linear(a.O),
		qNorm: e.newNorm(a.QNorm), kNorm: e.newNorm(a.KNorm),
	}
	if a.Bias != nil {
		l.bias = e.param(a.Bias.Weight)
		for d := -a.Bias.MaxDistance; d <= a.Bias.MaxDistance; d++ {
			l.buckets = append(l.buckets, a.Bias.Bucket(d))
		}
	}
	if a.Rotary != nil {
		if e.turns[a.Rotary] == nil {
			e.turns[a.Rotary] = &turns{}
		}
		l.turns = e.turns[a.Rotary]
	}
	return l
}

func (l *attention) ready(ctx context.Context, e *Engine) error {
	for _, m := range []*linear{l.qkv, l.q, l.k, l.v, l.o} {
		if err := m.ready(ctx, e); err != nil {
			return err
		}
	}
	for _, n := range []*norm{l.qNorm, l.kNorm} {
		if err := n.ready(ctx); err != nil {
			return err
		}
	}
	if l.bias != nil {
		if _, err := l.bias.values(ctx); err != nil {
			return err
		}
	}
	if l.turns != nil {
		return l.turns.grow(ctx, l.Rotary, e.longest)
	}
	return nil
}

// forward sets y for the rows x, of all tokens or of those seen.
func (l *attention) forward(e *Engine, y, x gemm.Matrix, seen []int) *attentionState {
	rows := x.Rows
	nq, nk := l.Heads*l.HeadDim, l.KVHeads*l.HeadDim
	s := &attentionState{seen: seen}
	if l.qkv != nil {
		all := e.arena.matrix(rows, nq+2*nk)
		l.qkv.forward(e, all, x, nil)
		s.q = e.pick(all.Slice(0, rows, 0, nq), seen)
		s.k, s.v = all.Slice(0, rows, nq, nq+nk), all.Slice(0, rows, nq+nk, nq+2*nk)
	} else {
		s.x = e.pick(x, seen)
		s.q, s.k, s.v = e.arena.matrix(y.Rows, nq), e.arena.matrix(rows, nk), e.arena.matrix(rows, nk)
		l.q.forward(e, s.q, s.x, nil)
		l.k.forward(e, s.k, x, nil)
		l.v.forward(e, s.v, x, nil)
	}
	if l.qNorm != nil {
		s.rawQ, s.rawK = s.q, s.k
		s.q, s.k = e.arena.matrix(y.Rows, nq), e.arena.matrix(rows, nk)
		s.normQ, s.normK = l.qNorm.moments(e, y.Rows*l.Heads), l.kNorm.moments(e, rows*l.KVHeads)
		l.qNorm.forward(e, l.perHead(s.q), l.perHead(s.rawQ), s.normQ)
		l.kNorm.forward(e, l.perHead(s.k), l.perHead(s.rawK), s.normK)
	}
	l.rotate(e, s.q, seen, vecmath.Rotate)
	l.rotate(e, s.k, nil, vecmath.Rotate)
	s.ctx = e.arena.matrix(y.Rows, nq)
	group := l.Heads / l.KVHeads
	e.par(e.batch.Len()*l.Heads, func(task int) {
		seq, head := task/l.Heads, task%l.Heads
		from, to := e.batch.Starts[seq], e.batch.Starts[seq+1]
		n := to - from
		k, v := l.head(s.k, from, to, head/group), l.head(s.v, from, to, head/group)
		size := min(n, blockQueries) * n
		mem, back := scratch.Get(size + max(gemm.PackedLen(l.HeadDim, n), gemm.PackedLen(n, l.HeadDim)))
		defer scratch.Put(back)
		buf := mem[size:]
		for b := range l.blocks(from, to, seen) {
			p := gemm.Dense(mem[:b.rows()*b.cols()], b.rows(), b.cols())
			l.weights(p, l.queries(s.q, b, head), b.keys(k), buf, head, b, nil)
			gemm.Small(l.queries(s.ctx, b, head), p, b.keys(v), buf, false)
		}
	})
	l.o.forward(e, y, s.ctx, nil)
	return s
}

// perHead is a matrix without gaps with a row per head.
func (l *attention) perHead(m gemm.Matrix) gemm.Matrix {
	return gemm.Dense(m.Data, m.Rows*m.Cols/l.HeadDim, l.HeadDim)
}

// head is the part of m that belongs to one head of one sequence.
func (l *attention) head(m gemm.Matrix, from, to, head int) gemm.Matrix {
	return m.Slice(from, to, head*l.HeadDim, (head+1)*l.HeadDim)
}

// queries is the part of m that belongs to one head of the queries of a block.
func (l *attention) queries(m gemm.Matrix, b block, head int) gemm.Matrix {
	return l.head(m, b.row, b.row+b.rows(), head)
}

// rotate turns the heads of m, which are of all tokens or of those seen, by their
// positions.
func (l *attention) rotate(e *Engine, m gemm.Matrix, seen []int, turn func(x, cos, sin []float32)) {
	if l.Rotary == nil {
		return
	}
	half := l.HeadDim / 2
	e.rows(m.Rows, func(i0, i1 int) {
		for i := i0; i < i1; i++ {
			p := int(e.positions[at(seen, i)]) * half
			cos, sin := l.turns.cos[p:p+half], l.turns.sin[p:p+half]
			for h := 0; h < m.Cols; h += l.HeadDim {
				turn(m.Row(i)[h:h+l.HeadDim], cos, sin)
			}
		}
	})
}

// blockQueries is how many tokens' weights a task computes at a time.
const blockQueries = 256

// A block is tokens from to to of a sequence, which attend to tokens first to
// end of it at most. Their queries begin at row.
type block struct{ row, from, to, first, end int }

func (b block) rows() int                      { return b.to - b.from }
func (b block) cols() int                      { return b.end - b.first }
func (b block) keys(m gemm.Matrix) gemm.Matrix { return m.Slice(b.first, b.end, 0, m.Cols) }

// blocks cuts the tokens start to stop, a sequence, of which there are queries of
// all or of those seen.
func (l *attention) blocks(start, stop int, seen []int) iter.Seq[block] {
	return func(yield func(block) bool) {
		row, end := start, stop
		if seen != nil {
			row, _ = slices.BinarySearch(seen, start)
			end, _ = slices.BinarySearch(seen, stop)
		}
		for n := stop - start; row < end; {
			b := block{row: row, from: at(seen, row) - start}
			for row < end && row-b.row < blockQueries && at(seen, row)-start == b.from+row-b.row {
				row++
			}
			b.to = b.from + row - b.row
			b.first, _ = l.Sees(b.from, n)
			_, b.end = l.Sees(b.to-1, n)
			if !yield(b) {
				return
			}
		}
	}
}

// seenBy is Sees within the columns of a block, of its row i.
func (l *attention) seenBy(b block, i int) (from, to int) {
	from, to = l.Sees(b.from+i, b.end)
	return from - b.first, to - b.first
}

// weights sets p to the softmax of a head's products. With caps, it also keeps
// the derivative of the soft cap.
func (l *attention) weights(p, q, k gemm.Matrix, buf []float32, head int, b block, caps []float32) {
	gemm.Small(p, q, k.T(), buf, false)
	for i := range p.Rows {
		row := p.Row(i)
		from, to := l.seenBy(b, i)
		seen, factor := row[from:to], l.Scale
		if l.bias != nil || l.SoftCap > 0 {
			vecmath.Scale(seen, l.Scale, seen)
			factor = 1
		}
		if l.SoftCap > 0 {
			vecmath.Scale(seen, 1/l.SoftCap, seen)
			vecmath.Tanh(seen, seen)
			if caps != nil {
				for j, t := range seen {
					caps[i*p.Cols+from+j] = 1 - t*t
				}
			}
			vecmath.Scale(seen, l.SoftCap, seen)
		}
		if l.bias != nil {
			for j := range seen {
				seen[j] += l.bias.w[l.bucket(b.first+from+j-b.from-i)*l.Heads+head]
			}
		}
		vecmath.Softmax(seen, seen, factor)
		clear(row[:from])
		clear(row[to:])
	}
}

// bucket is the row of the relative bias for a key at that distance from the
// query.
func (l *attention) bucket(distance int) int {
	most := l.Bias.MaxDistance
	return l.buckets[min(max(distance, -most), most)+most]
}

// weightsGrad turns dp, the gradient with regard to the weights p, into that
// with regard to the products of queries and keys. It adds the gradient of the
// relative bias to sums, by bucket, if that is wanted.
func (l *attention) weightsGrad(dp, p gemm.Matrix, b block, caps, sums []float32) {
	for r := range dp.Rows {
		from, to := l.seenBy(b, r)
		row := dp.Row(r)
		clear(row[:from])
		clear(row[to:])
		seen, factor := row[from:to], l.Scale
		if l.bias != nil { // the bias is added after the scale
			factor = 1
		}
		vecmath.SoftmaxGrad(seen, p.Row(r)[from:to], seen, factor)
		if caps != nil {
			vecmath.Mul(seen, seen, caps[r*p.Cols+from:r*p.Cols+to])
		}
		if l.bias == nil {
			continue
		}
		if sums != nil {
			for j, g := range seen {
				sums[l.bucket(b.first+from+j-b.from-r)] += g
			}
		}
		vecmath.Scale(seen, l.Scale, seen)
	}
}

// backward sets dx, given dy and the x and state of the forward pass.
func (l *attention) backward(e *Engine, dx, dy, x gemm.Matrix, s *attentionState) {
	rows := x.Rows
	dctx := e.arena.matrix(dy.Rows, s.ctx.Cols)
	l.o.backward(e, dctx, dy, s.ctx, false, nil)

	var dq, dk, dv, all, allQ gemm.Matrix
	nq, nk := s.q.Cols, s.k.Cols
	if l.qkv != nil {
		all = e.arena.matrix(rows, nq+2*nk)
		allQ, dk, dv = all.Slice(0, rows, 0, nq), all.Slice(0, rows, nq, nq+nk), all.Slice(0, rows, nq+nk, nq+2*nk)
		dq = allQ
	} else {
		dk, dv = e.arena.matrix(rows, nk), e.arena.matrix(rows, nk)
	}
	if l.qkv == nil || s.seen != nil {
		dq = e.arena.matrix(dy.Rows, nq)
	}
	var dbias []float32 // [sequences x heads x buckets]
	wantBias := e.wants(l.bias)
	if wantBias {
		dbias = e.arena.get(e.batch.Len() * l.bias.Len())
		clear(dbias)
	}
	group := l.Heads / l.KVHeads
	e.par(e.batch.Len()*l.KVHeads, func(task int) {
		seq, kvHead := task/l.KVHeads, task%l.KVHeads
		from, to := e.batch.Starts[seq], e.batch.Starts[seq+1]
		n := to - from
		size := min(n, blockQueries) * n
		capSize := 0
		if l.SoftCap > 0 {
			capSize = size
		}
		mem, back := scratch.Get(2*size + capSize + max(gemm.PackedLen(l.HeadDim, n), gemm.PackedLen(n, l.HeadDim)))
		defer scratch.Put(back)
		buf := mem[2*size+capSize:]
		var caps []float32
		if capSize > 0 {
			caps = mem[2*size : 3*size]
		}
		k, v := l.head(s.k, from, to, kvHead), l.head(s.v, from, to, kvHead)
		dkh, dvh := l.head(dk, from, to, kvHead), l.head(dv, from, to, kvHead)
		for _, m := range []gemm.Matrix{dkh, dvh} {
			for i := range n {
				clear(m.Row(i))
			}
		}
		for i := range group {
			head := kvHead*group + i
			var sums []float32
			if wantBias {
				sums = dbias[(seq*l.Heads+head)*l.bias.rows():]
			}
			for b := range l.blocks(from, to, s.seen) {
				q, dout := l.queries(s.q, b, head), l.queries(dctx, b, head)
				p := gemm.Dense(mem[:b.rows()*b.cols()], b.rows(), b.cols())
				dp := gemm.Dense(mem[size:], b.rows(), b.cols())
				l.weights(p, q, b.keys(k), buf, head, b, caps)
				gemm.Small(b.keys(dvh), p.T(), dout, buf, true)
				gemm.Small(dp, dout, b.keys(v).T(), buf, false)
				l.weightsGrad(dp, p, b, caps, sums)
				gemm.Small(l.queries(dq, b, head), dp, b.keys(k), buf, false)
				gemm.Small(b.keys(dkh), dp.T(), q, buf, true)
			}
		}
	})
	if wantBias {
		g := l.bias.zeroed()
		for i, d := range dbias {
			bucket, head := i%l.bias.rows(), i/l.bias.rows()%l.Heads
			g[bucket*l.Heads+head] += d
		}
	}
	l.rotate(e, dq, s.seen, vecmath.RotateBack)
	l.rotate(e, dk, nil, vecmath.RotateBack)
	if l.qNorm != nil {
		l.qNorm.backward(e, l.perHead(dq), l.perHead(dq), l.perHead(s.rawQ), s.normQ)
		l.kNorm.backward(e, l.perHead(dk), l.perHead(dk), l.perHead(s.rawK), s.normK)
	}
	if l.qkv != nil {
		if s.seen != nil {
			spread(allQ, dq, s.seen)
		}
		l.qkv.backward(e, dx, all, x, false, nil)
		return
	}
	if s.seen == nil {
		l.q.backward(e, dx, dq, x, false, nil)
	} else {
		d := e.arena.matrix(dy.Rows, x.Cols)
		l.q.backward(e, d, dq, s.x, false, nil)
		spread(dx, d, s.seen)
	}
	l.k.backward(e, dx, dk, x, true, nil)
	l.v.backward(e, dx, dv, x, true, nil)
}
