// Package cpu runs and differentiates transformers on the processor, in Go and
// generated assembly.
//
// Layers have an explicit forward and backward pass; there is no general
// automatic differentiation. Sequences lie end to end, so nothing is computed
// for padding. A result has the same bits for any number of workers, and that
// of a sequence has the same bits in any batch.
//
// Parameters are read from the checkpoint when a pass first needs them: of the
// token embedding only the rows of the batch. Matrices that are not trained are
// kept packed, in the type they are stored in.
//
// A head often sees one token of a sequence. From the queries of the last attention
// on, only the tokens that it sees are computed.
package cpu

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
)

// An Engine runs one network. It is not safe for concurrent use.
type Engine struct {
	net    *arch.Network
	params map[string]*param
	par    gemm.Parallel   // runs no more tasks once ctx is done
	ctx    context.Context // of the current pass
	turns  map[*arch.Rotary]*turns
	arena  arena
	packs  []float32 // for the right-hand side of one product at a time
	train  bool      // parameters change: keep no packed copies
	want   arch.Grads

	embedding embedding
	layers    []layer
	norm      *norm
	head      head
	// narrow is the last layer with attention, from which on only the tokens are
	// computed that the head sees; -1 where all are to the end.
	narrow int

	// The current pass.
	batch     *arch.Batch
	positions []int32 // of the tokens in their sequences
	longest   int     // sequence
	seen      []int   // tokens that the head sees; nil for all
	keep      bool    // for a backward pass
	tape      tape
}

// A layer is a residual step.
type layer struct {
	in, out, sum *norm
	attention    *attention
	mlp          *mlp
}

// tape is what a forward pass keeps for a backward pass.
type tape struct {
	embedding embeddingState
	layers    []layerState
	last      gemm.Matrix // what the last layer gave
	lastNorm  moments
	head      headState
}

type layerState struct {
	x, in, f, sum            gemm.Matrix // f is what Out sees, sum what Sum sees
	rows                     []int       // of x that y has; nil for all
	inNorm, outNorm, sumNorm moments
	attention                *attentionState
	mlp                      *mlpState
}

// Options adjust New. The zero value is the useful one.
type Options struct {
	// Workers is the number of goroutines. Optional: one per processor.
	Workers int
	// Train says that Update will be called: no packed copies are made.
	Train bool
	// AllHidden says that Hidden will be called.
	AllHidden bool
}

// New returns an engine for a network whose parameters tensor gives; they must
// have the shapes that the network states, and live as long as the engine.
func New(net *arch.Network, tensor func(name string) *loader.Tensor, opt Options) *Engine {
	n := opt.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	e := &Engine{net: net, params: map[string]*param{}, turns: map[*arch.Rotary]*turns{}, train: opt.Train, ctx: context.Background()}
	all := workers(n)
	e.par = func(n int, task func(i int)) {
		all(n, func(i int) {
			if e.ctx.Err() == nil { // else the pass ends in an error
				task(i)
			}
		})
	}
	for _, p := range net.Params {
		e.params[p.Name] = &param{Param: p, tensor: tensor(p.Name), fresh: true}
	}
	e.embedding, e.narrow = e.newEmbedding(&net.Embedding), -1
	for i := range net.Layers {
		l := &net.Layers[i]
		one := layer{in: e.newNorm(l.In), out: e.newNorm(l.Out), sum: e.newNorm(l.Sum)}
		if l.Attention != nil {
			one.attention, e.narrow = e.attention(l.Attention), i
		} else {
			one.mlp = e.mlp(l.MLP)
		}
		e.layers = append(e.layers, one)
	}
	if opt.AllHidden {
		e.narrow = -1
	}
	e.norm = e.newNorm(net.Norm)
	e.head = head{Head: net.Head, dense: e.linear(net.Head.Dense), out: e.linear(net.Head.Out)}
	return e
}

// param returns the parameter, or nil if there is none.
func (e *Engine) param(p arch.Param) *param { return e.params[p.Name] }

// wants reports whether the gradient of p is wanted.
func (e *Engine) wants(p *param) bool {
	return p != nil && (e.want >= arch.AllGrads || e.want == arch.EmbeddingGrads && p == e.embedding.tokens)
}

// rows runs task over ranges of n rows.
func (e *Engine) rows(n int, task func(i0, i1 int)) {
	const rows = 16
	e.par((n+rows-1)/rows, func(i int) { task(i*rows, min((i+1)*rows, n)) })
}

// panels returns memory for a packed k x n matrix, until the next call.
func (e *Engine) panels(k, n int) []float32 {
	size := gemm.PackedLen(k, n)
	if len(e.packs) < size {
		e.packs = make([]float32, size)
	}
	return e.packs[:size]
}

// maxPass caps the bytes of what a pass keeps: a config may make a small file
// need more than any machine has.
const maxPass = 8 << 30

// Forward returns the network's output for the batch, one row of
// Network.Width numbers per sequence or position (Network.Rows). keep
// says that Backward will follow. The result is the engine's until its next
// pass.
func (e *Engine) Forward(ctx context.Context, b *arch.Batch, keep bool) (out []float32, err error) {
	if err := e.net.Check(b); err != nil {
		return nil, err
	}
	if cost := e.net.Cost(len(b.IDs), e.net.Rows(b), keep); cost > maxPass {
		return nil, fmt.Errorf("a pass over %d tokens needs %d MB, the limit is %d", len(b.IDs), cost>>20, maxPass>>20)
	}
	e.batch, e.ctx, e.keep = b, ctx, keep
	defer func() {
		if e.ctx = context.Background(); err != nil {
			e.keep, e.tape.head = false, headState{} // there is nothing to go back from
		}
	}()
	e.arena.reset()
	e.positions, e.longest = e.positions[:0], 0
	for i := range b.Len() {
		n := b.Starts[i+1] - b.Starts[i]
		e.longest = max(e.longest, n)
		for p := range n {
			e.positions = append(e.positions, int32(p))
		}
	}
	e.seen = e.head.Tokens(b)
	rows, hidden := len(b.IDs), e.net.Hidden
	// Without a backward pass, two matrices change places.
	var space [2]gemm.Matrix
	if !keep {
		space = [2]gemm.Matrix{e.arena.matrix(rows, hidden), e.arena.matrix(rows, hidden)}
	}
	next := func(i int) gemm.Matrix {
		if keep {
			return e.arena.matrix(rows, hidden)
		}
		return gemm.Dense(space[i%2].Data, rows, hidden)
	}
	x := next(0)
	m := e.arena.mark()
	if e.tape.embedding, err = e.embedding.forward(ctx, e, x); err != nil {
		return nil, err
	}
	e.tape.layers = e.tape.layers[:0]
	for i := range e.layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l := &e.layers[i]
		if err := l.ready(ctx, e); err != nil {
			return nil, err
		}
		if !keep {
			e.arena.release(m)
		}
		var seen []int
		if i == e.narrow && e.seen != nil {
			seen, rows = e.seen, len(e.seen)
		}
		y := next(i + 1)
		e.tape.layers = append(e.tape.layers, l.forward(e, y, x, seen))
		x = y
	}
	if e.norm != nil {
		if err := e.norm.ready(ctx); err != nil {
			return nil, err
		}
		e.tape.last, e.tape.lastNorm = x, e.norm.moments(e, rows)
		y := next(len(e.layers) + 1)
		e.norm.forward(e, y, x, e.tape.lastNorm)
		x = y
	}
	if err := e.head.ready(ctx, e); err != nil {
		return nil, err
	}
	out = e.head.forward(e, x).Data
	return out, ctx.Err()
}

// Hidden is the last hidden states of the last forward pass, one row of
// Network.Hidden numbers per token, the engine's until its next pass. It needs
// Options.AllHidden.
func (e *Engine) Hidden() []float32 { return e.tape.head.x.Data }

// Backward adds the gradients of a loss whose gradient with regard to the output
// of the last Forward, which must have kept, is dout; the batch must not have
// changed since. It returns the gradients with regard to the rows of the token
// embedding, one per token, which are the engine's until its next pass. After an
// error the gradients of the parameters are of no use.
func (e *Engine) Backward(ctx context.Context, dout []float32, want arch.Grads) ([]float32, error) {
	if !e.keep || len(dout) != e.net.Rows(e.batch)*e.net.Width() {
		panic("cpu: Backward without a Forward that kept, or with gradients of another length")
	}
	e.keep, e.want, e.ctx = false, want, ctx
	defer func() { e.ctx = context.Background() }()
	// Two matrices change places, of as many rows as the forward pass had there.
	space := [2]gemm.Matrix{e.arena.matrix(len(e.batch.IDs), e.net.Hidden), e.arena.matrix(len(e.batch.IDs), e.net.Hidden)}
	next := func(i, rows int) gemm.Matrix { return gemm.Dense(space[i%2].Data, rows, e.net.Hidden) }
	m := e.arena.mark()
	dy := next(len(e.layers), e.tape.head.x.Rows)
	e.head.backward(e, dy, gemm.Dense(dout, e.net.Rows(e.batch), e.net.Width()))
	if e.norm != nil {
		e.norm.backward(e, dy, dy, e.tape.last, e.tape.lastNorm)
	}
	for i := len(e.layers) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e.arena.release(m)
		dx := next(i, e.tape.layers[i].x.Rows)
		e.layers[i].backward(e, dx, dy, &e.tape.layers[i])
		dy = dx
	}
	e.arena.release(m)
	inputs := e.embedding.backward(e, dy)
	return inputs, ctx.Err()
}

func (l *layer) ready(ctx context.Context, e *Engine) error {
	for _, n := range []*norm{l.in, l.out, l.sum} {
		if err := n.ready(ctx); err != nil {
			return err
		}
	}
	if l.attention != nil {
		return l.attention.ready(ctx, e)
	}
	return l.mlp.ready(ctx, e)
}

// forward sets y, of all tokens or of those seen.
func (l *layer) forward(e *Engine, y, x gemm.Matrix, seen []int) layerState {
	rows := y.Rows
	s := layerState{x: x, in: x, rows: seen}
	if l.in != nil {
		s.in, s.inNorm = e.arena.matrix(x.Rows, x.Cols), l.in.moments(e, x.Rows)
		l.in.forward(e, s.in, x, s.inNorm)
	}
	f := y
	if l.out != nil || l.sum != nil {
		f = e.arena.matrix(rows, x.Cols)
	}
	if l.attention != nil {
		s.attention = l.attention.forward(e, f, s.in, seen)
	} else {
		s.mlp = l.mlp.forward(e, f, s.in)
	}
	if l.out != nil {
		s.outNorm = l.out.moments(e, rows)
	}
	if l.sum != nil {
		s.sumNorm = l.sum.moments(e, rows)
	}
	s.f, s.sum = f, f
	normed := y
	if l.out != nil && l.sum != nil {
		normed = e.arena.matrix(rows, x.Cols)
		s.sum = normed
	}
	e.rows(rows, func(i0, i1 int) {
		for i := i0; i < i1; i++ {
			row := f.Row(i)
			if l.out != nil {
				l.out.row(normed.Row(i), row, s.outNorm, i)
				row = normed.Row(i)
			}
			vecmath.AddTo(row, x.Row(at(seen, i)))
			if l.sum != nil {
				l.sum.row(y.Row(i), row, s.sumNorm, i)
			}
		}
	})
	return s
}

// at is the token of row i, where the rows are of those seen.
func at(seen []int, i int) int {
	if seen == nil {
		return i
	}
	return seen[i]
}

// pick returns the rows of the tokens seen.
func (e *Engine) pick(x gemm.Matrix, seen []int) gemm.Matrix {
	if seen == nil {
		return x
	}
	y := e.arena.matrix(len(seen), x.Cols)
	for i, r := range seen {
		copy(y.Row(i), x.Row(r))
	}
	return y
}

// spread sets the rows of the tokens seen, and those of the others to 0.
func spread(dst, x gemm.Matrix, seen []int) {
	for i := range dst.Rows {
		clear(dst.Row(i))
	}
	for i, r := range seen {
		copy(dst.Row(r), x.Row(i))
	}
}

// backward sets dx; it may change dy.
func (l *layer) backward(e *Engine, dx, dy gemm.Matrix, s *layerState) {
	rows := dy.Rows
	if l.sum != nil {
		l.sum.backward(e, dy, dy, s.sum, s.sumNorm)
	}
	df := dy
	if l.out != nil {
		df = e.arena.matrix(rows, dy.Cols)
		l.out.backward(e, df, dy, s.f, s.outNorm)
	}
	if l.attention != nil {
		l.attention.backward(e, dx, df, s.in, s.attention)
	} else {
		l.mlp.backward(e, dx, df, s.in, s.mlp)
	}
	if l.in != nil {
		l.in.backward(e, dx, dx, s.x, s.inNorm)
	}
	e.rows(rows, func(i0, i1 int) {
		for i := i0; i < i1; i++ {
			vecmath.AddTo(dx.Row(at(s.rows, i)), dy.Row(i))
		}
	})
}

// ZeroGrads forgets the gradients of all parameters.
func (e *Engine) ZeroGrads() {
	for _, p := range e.params {
		p.zeroGradient()
	}
}

// Update steps the parameters by their gradients and returns the norm of the
// gradients before it was limited; 0 where it is not limited. A parameter
// without a gradient has one of zeros.
func (e *Engine) Update(ctx context.Context, u arch.Update) (norm float64, err error) {
	type job struct {
		p    *param
		opt  arch.ParamUpdate
		part [2]int
	}
	var jobs []job
	var changed []*param
	for _, known := range e.net.Params {
		p := e.params[known.Name]
		opt := u.Param(p.Name)
		if opt.Rows != nil && len(opt.Rows) != p.rows() {
			return 0, fmt.Errorf("%s: a mask of %d rows for %d", p.Name, len(opt.Rows), p.rows())
		}
		if opt.Frozen || p.Len() == 0 {
			continue
		}
		if p.g == nil || p.fresh {
			p.zeroed()
		}
		if err := p.prepare(ctx); err != nil {
			return 0, err
		}
		changed = append(changed, p)
		for _, part := range p.parts() {
			jobs = append(jobs, job{p, opt, part})
		}
	}
	scale := 1.0
	if sums := make([]float64, len(jobs)); u.MaxNorm > 0 {
		e.par(len(jobs), func(i int) {
			j := jobs[i]
			sums[i] = j.p.norm2(j.part[0], j.part[1], j.opt.Rows)
		})
		for _, s := range sums {
			norm += s
		}
		norm = math.Sqrt(norm)
		// As torch.nn.utils.clip_grad_norm_ has it.
		scale = min(1, u.MaxNorm/(norm+1e-6))
	}
	t := float64(u.Step)
	step := vecmath.AdamWStep{
		Beta1: u.Beta1, Beta2: u.Beta2, Eps: u.Eps, GradScale: scale,
		Bias1: 1 - math.Pow(u.Beta1, t), Bias2: 1 - math.Pow(u.Beta2, t),
	}
	e.par(len(jobs), func(i int) {
		j, s := jobs[i], step
		s.LR, s.Decay = j.opt.LR, j.opt.Decay
		j.p.update(j.part[0], j.part[1], s, j.opt.Rows)
	})
	for _, p := range changed {
		p.version++
	}
	return norm, nil
}
