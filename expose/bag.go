package expose

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/scan"
)

// PyTorch's AdamW, but for the learning rate and the decay.
const (
	beta1 = 0.9
	beta2 = 0.999
	eps   = 1e-8
)

// A bag is the model of rounds 1 and 2, logits = W mean(E[ids]) + b, with AdamW
// over all of E, W and b as PyTorch has it: rows without a gradient in a step
// move on by their moments and decay. Only the rows of tokens that the texts hold
// are kept, as nothing depends on the others.
type bag struct {
	ref     scan.Rows
	dim     int
	slot    []int32 // of each token among the rows that are trained, -1 without one
	w, g    []float32
	m, v    []float32
	head    *linear
	moments [2][2][]float32 // of the head's weights and biases
	step    int
	opt     Options
}

func (r *run) bag(ctx context.Context, out *Round, examples []example) (rowOf, error) {
	dim := r.ref.Dim()
	draw := r.rand(out.Number, streamHead)
	bound := 1 / math.Sqrt(float64(dim)) // torch.nn.Linear's
	head := newLinear(dim, r.data.Classes, func() float64 { return bound * (2*draw.Float64() - 1) })
	b, err := newBag(ctx, r.ref, head, examples, r.opt)
	if err != nil {
		return nil, err
	}
	return b.trained, r.batches(out, examples, r.opt.Batch, func(batch []example) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return b.train(batch), nil
	})
}

func newBag(ctx context.Context, ref scan.Rows, head *linear, examples []example, opt Options) (*bag, error) {
	b := &bag{ref: ref, dim: ref.Dim(), slot: make([]int32, ref.Len()), head: head, opt: opt}
	for i, x := range [][]float32{head.w, head.b} {
		b.moments[i] = [2][]float32{make([]float32, len(x)), make([]float32, len(x))}
	}
	return b, b.read(ctx, examples)
}

// train makes a step and returns the loss before it.
func (b *bag) train(batch []example) float64 {
	loss := b.gradients(batch)
	b.update()
	return loss
}

// read reads the rows that will be trained.
func (b *bag) read(ctx context.Context, examples []example) error {
	n := int32(0)
	for _, e := range examples {
		for _, id := range e.ids {
			b.slot[id] = 1
		}
	}
	for id, used := range b.slot {
		b.slot[id] = -1
		if used > 0 {
			b.slot[id] = n
			n++
		}
	}
	size := int(n) * b.dim
	b.w, b.g, b.m, b.v = make([]float32, size), make([]float32, size), make([]float32, size), make([]float32, size)
	for id, s := range b.slot {
		if s < 0 {
			continue
		}
		if err := b.ref.ReadRows(ctx, b.row(b.w, s), id); err != nil {
			return err
		}
	}
	return nil
}

func (b *bag) row(x []float32, slot int32) []float32 {
	return x[int(slot)*b.dim:][:b.dim]
}

// gradients sets the gradients of the batch's mean cross-entropy, which it
// returns. What examples add is added in their order.
func (b *bag) gradients(batch []example) (loss float64) {
	clear(b.g)
	clear(b.head.gw)
	clear(b.head.gb)
	classes := len(b.head.b)
	h, dh := make([]float32, len(batch)*b.dim), make([]float32, len(batch)*b.dim)
	dy := make([]float32, len(batch)*classes)
	losses := make([]float64, len(batch))
	const task = 16
	parallel((len(batch)+task-1)/task, b.opt.Workers, func(t int) {
		y, tmp := make([]float32, classes), make([]float32, b.dim)
		for i := t * task; i < min((t+1)*task, len(batch)); i++ {
			e := batch[i]
			h, dh, dy := h[i*b.dim:][:b.dim], dh[i*b.dim:][:b.dim], dy[i*classes:][:classes]
			for _, id := range e.ids {
				vecmath.AddTo(h, b.row(b.w, b.slot[id]))
			}
			vecmath.Scale(h, 1/float32(len(e.ids)), h)
			b.head.forward(y, h)
			losses[i] = crossEntropy(dy, y, e.label, 1/float32(len(batch)))
			b.head.backward(dh, dy, tmp)
			vecmath.Scale(dh, 1/float32(len(e.ids)), dh)
		}
	})
	tmp := make([]float32, b.dim)
	for i, e := range batch {
		loss += losses[i] / float64(len(batch))
		b.head.params(dy[i*classes:][:classes], h[i*b.dim:][:b.dim], tmp)
		for _, id := range e.ids {
			vecmath.AddTo(b.row(b.g, b.slot[id]), dh[i*b.dim:][:b.dim])
		}
	}
	return loss
}

// update makes a step of AdamW.
func (b *bag) update() {
	b.step++
	t := float64(b.step)
	s := vecmath.AdamWStep{
		LR: b.opt.LR, Decay: b.opt.Decay, Beta1: beta1, Beta2: beta2, Eps: eps, GradScale: 1,
		Bias1: 1 - math.Pow(beta1, t), Bias2: 1 - math.Pow(beta2, t),
	}
	const rows = 64
	size := rows * b.dim
	parallel((len(b.w)+size-1)/size, b.opt.Workers, func(i int) {
		from, to := i*size, min((i+1)*size, len(b.w))
		vecmath.AdamW(b.w[from:to], b.g[from:to], b.m[from:to], b.v[from:to], s)
	})
	vecmath.AdamW(b.head.w, b.head.gw, b.moments[0][0], b.moments[0][1], s)
	vecmath.AdamW(b.head.b, b.head.gb, b.moments[1][0], b.moments[1][1], s)
}

// trained is the row of a token that the texts hold.
func (b *bag) trained(id int) []float32 { return b.row(b.w, b.slot[id]) }

// parallel calls f for 0 to n-1 on up to workers goroutines (0: one per
// processor) and returns when all are done.
func parallel(n, workers int, f func(i int)) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if min(workers, n) <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
