package expose

import (
	"math/rand/v2"
	"slices"

	"github.com/btu-scan/btu-scan/internal/vecmath"
)

// A linear is a layer of logits: y = W h + b.
type linear struct {
	w, b   []float32 // [out x in], [out]
	gw, gb []float32
	in     int
}

// newLinear returns a layer with numbers of draw for weights and biases.
func newLinear(in, out int, draw func() float64) *linear {
	l := &linear{w: make([]float32, in*out), b: make([]float32, out), gw: make([]float32, in*out), gb: make([]float32, out), in: in}
	for _, x := range [][]float32{l.w, l.b} {
		for i := range x {
			x[i] = float32(draw())
		}
	}
	return l
}

// row is row i of an [out x in] matrix.
func (l *linear) row(x []float32, i int) []float32 { return x[i*l.in : (i+1)*l.in] }

// forward sets y.
func (l *linear) forward(y, h []float32) {
	for i := range l.b {
		var sum float64
		for j, w := range l.row(l.w, i) {
			sum += float64(w) * float64(h[j])
		}
		y[i] = float32(sum) + l.b[i]
	}
}

// backward sets dh. tmp has the length of dh.
func (l *linear) backward(dh, dy, tmp []float32) {
	clear(dh)
	for i, d := range dy {
		vecmath.Scale(tmp, d, l.row(l.w, i))
		vecmath.AddTo(dh, tmp)
	}
}

// params adds to the gradients of the layer's own numbers.
func (l *linear) params(dy, h, tmp []float32) {
	for i, d := range dy {
		vecmath.Scale(tmp, d, h)
		vecmath.AddTo(l.row(l.gw, i), tmp)
		l.gb[i] += d
	}
}

// crossEntropy returns -log softmax(y)[label] and sets dy to its gradient times
// weight.
func crossEntropy(dy, y []float32, label int, weight float32) float64 {
	loss := vecmath.LogSumExp(y) - float64(y[label])
	vecmath.Softmax(dy, y, 1)
	dy[label]--
	vecmath.Scale(dy, weight, dy)
	return loss
}

// Streams of the seed.
const (
	streamOrder = iota + 1
	streamHead
)

func (r *run) rand(round, stream int) *rand.Rand {
	return rand.New(rand.NewPCG(r.opt.Seed, uint64(round)<<8|uint64(stream)))
}

// batches calls f with the steps' examples, epoch by epoch, in an order of the
// seed's, and sets what the round says of them.
func (r *run) batches(out *Round, examples []example, size int, f func(batch []example) (loss float64, err error)) error {
	draw := r.rand(out.Number, streamOrder)
	examples = slices.Clone(examples)
	perEpoch := (len(examples) + size - 1) / size
	for range r.opt.Epochs {
		draw.Shuffle(len(examples), func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
		out.Loss = 0
		for batch := range slices.Chunk(examples, size) {
			loss, err := f(batch)
			if err == nil && loss-loss != 0 {
				err = ErrDiverged
			}
			if err != nil {
				return err
			}
			out.Loss += loss / float64(perEpoch)
			out.Steps++
			r.opt.Progress(out.Number, out.Steps, perEpoch*r.opt.Epochs)
		}
	}
	return nil
}
