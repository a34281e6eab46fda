package expose

import (
	"context"
	"errors"
	"fmt"

	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
)

// headDeviation is that of the numbers that transformers starts a new head with
// (initializer_range).
const headDeviation = 0.02

// passTokens is how many tokens are differentiated in one pass, unless a text
// alone has more: a step adds the gradients of as many passes as it needs.
const passTokens = 2048

// deep is round 3. Of all parameters only the token embedding is trained, so a
// new head stays as it was drawn.
func (r *run) deep(ctx context.Context, out *Round, examples []example, d *Deep) (rowOf, error) {
	net := d.Model.Network()
	tokens := net.Embedding.Tokens
	if tokens.Shape[0] != r.ref.Len() || net.Embedding.Dim != r.ref.Dim() {
		return nil, fmt.Errorf("the model's embedding is %d x %d, the reference's %d x %d", tokens.Shape[0], net.Embedding.Dim, r.ref.Len(), r.ref.Dim())
	}
	t := &tuner{engine: d.Model.Engine(), net: net, opt: r.opt}
	switch {
	case d.Head && (net.Task != arch.Classify || net.Width() != r.data.Classes):
		return nil, fmt.Errorf("the model's head gives %d numbers, the data has %d classes", net.Width(), r.data.Classes)
	case !d.Head && net.Task != arch.Encode:
		return nil, errors.New("a new head needs an encoder: open the model without its own")
	case !d.Head:
		draw := r.rand(out.Number, streamHead)
		t.head = newLinear(net.Width(), r.data.Classes, func() float64 { return headDeviation * draw.NormFloat64() })
		clear(t.head.b)
	}
	err := r.batches(out, examples, r.opt.DeepBatch, func(batch []example) (float64, error) { return t.step(ctx, batch) })
	if err != nil {
		return nil, err
	}
	values, err := t.engine.Values(ctx, tokens.Name)
	return func(id int) []float32 { return values[id*net.Embedding.Dim:][:net.Embedding.Dim] }, err
}

// A tuner trains the token embedding of a model.
type tuner struct {
	engine model.Engine
	net    *arch.Network
	head   *linear // nil for the model's own
	opt    Options
	steps  int
}

// step runs a batch, updates the embedding and returns the loss before.
func (t *tuner) step(ctx context.Context, batch []example) (loss float64, err error) {
	t.engine.ZeroGrads()
	weight := 1 / float32(len(batch))
	for rest := batch; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n].ids) <= passTokens) {
			size += len(rest[n].ids)
			n++
		}
		part, err := t.pass(ctx, rest[:n], weight)
		if err != nil {
			return 0, err
		}
		loss += part
		rest = rest[n:]
	}
	loss /= float64(len(batch))
	if loss-loss != 0 {
		return loss, ErrDiverged
	}
	t.steps++
	_, err = t.engine.Update(ctx, arch.Update{
		Step: t.steps, Beta1: beta1, Beta2: beta2, Eps: eps,
		Param: func(name string) arch.ParamUpdate {
			return arch.ParamUpdate{Frozen: name != t.net.Embedding.Tokens.Name, LR: t.opt.LR, Decay: t.opt.Decay}
		},
	})
	return loss, err
}

// pass adds the gradients of some examples and returns the sum of their losses.
func (t *tuner) pass(ctx context.Context, part []example, weight float32) (sum float64, err error) {
	sequences := make([][]int32, len(part))
	for i, e := range part {
		sequences[i] = e.ids
	}
	out, err := t.engine.Forward(ctx, arch.NewBatch(sequences...), true)
	if err != nil {
		return 0, err
	}
	width := t.net.Width()
	dout := make([]float32, len(out))
	if t.head == nil {
		for i, e := range part {
			sum += crossEntropy(dout[i*width:][:width], out[i*width:][:width], e.label, weight)
		}
	} else {
		y, dy, tmp := make([]float32, len(t.head.b)), make([]float32, len(t.head.b)), make([]float32, width)
		for i, e := range part {
			t.head.forward(y, out[i*width:][:width])
			sum += crossEntropy(dy, y, e.label, weight)
			t.head.backward(dout[i*width:][:width], dy, tmp)
		}
	}
	_, err = t.engine.Backward(ctx, dout, arch.EmbeddingGrads)
	return sum, err
}
