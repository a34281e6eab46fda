//go:build gotch

package gotch

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
)

// LibtorchVersion is the only version that the engine can be built with.
const LibtorchVersion = "2.1.0"

// onCPU is the processor, as gotch numbers devices; from 0 on they are CUDA's.
const onCPU = -1

// Options adjust New. The zero value is the useful one.
type Options struct {
	// CUDA says to compute on CUDA device number Device, not on the processor.
	CUDA   bool
	Device int
}

// An Engine runs one network. It is not safe for concurrent use.
//
// How many threads libtorch uses is for OMP_NUM_THREADS to say when the process
// starts. A pass that is cancelled ends after the layer it is in, and on its way
// back not before it is through.
type Engine struct {
	net    *arch.Network
	device int32
	store  *store
	lists  map[any]tensor // what the current pass computed of its batch

	batch  *arch.Batch
	chunks []chunk
	keep   bool   // for a backward pass
	inputs tensor // the rows of the token embedding
	ids    tensor // where they come from
	out    tensor // what Forward returned
	hidden []float32
}

// New returns an engine for a network whose parameters tensor gives; they must
// have the shapes that the network states, and live as long as the engine.
func New(net *arch.Network, tensor func(name string) *loader.Tensor, opt Options) (*Engine, error) {
	e := &Engine{net: net, device: onCPU, store: &store{params: map[string]*param{}}}
	if opt.CUDA {
		n, err := CUDADevices()
		if err != nil {
			return nil, fmt.Errorf("no CUDA device: %w", err)
		}
		if opt.Device < 0 || opt.Device >= n {
			return nil, fmt.Errorf("CUDA device %d of %d", opt.Device, n)
		}
		e.device = int32(opt.Device)
	}
	for _, p := range net.Params {
		e.store.params[p.Name] = &param{Param: p, source: tensor(p.Name)}
	}
	runtime.AddCleanup(e, func(st *store) {
		go func() { _ = do(func() error { st.drop(); return nil }) }() // to free memory does not fail
	}, e.store)
	return e, nil
}

// maxPass caps the bytes of what a pass keeps, as in model/cpu.
const maxPass = 8 << 30

// Forward returns the network's output for the batch, one row of Network.Width
// numbers per sequence or position (Network.Rows). keep says that Backward will
// follow. The result is the engine's until its next pass.
func (e *Engine) Forward(ctx context.Context, b *arch.Batch, keep bool) (out []float32, err error) {
	if err := e.net.Check(b); err != nil {
		return nil, err
	}
	e.plan(b)
	if cost := e.cost(b, keep); cost > maxPass {
		return nil, fmt.Errorf("a pass over %d tokens needs %d MB, the limit is %d", len(b.IDs), cost>>20, maxPass>>20)
	}
	err = do(func() error {
		e.forget()
		e.batch, e.keep = b, keep
		err := e.forward(ctx)
		if err == nil {
			out = numbers[float32](e.out, e.net.Rows(b)*e.net.Width())
		}
		return err
	})
	if err != nil || !keep {
		_ = do(func() error { e.forget(); return nil }) // to free memory does not fail
	}
	return out, err
}

// forget drops what the current pass keeps.
func (e *Engine) forget() {
	e.store.pass.drop()
	for _, p := range e.store.params {
		p.leaf = nil
	}
	e.keep, e.inputs, e.ids, e.out = false, nil, nil, nil
	e.lists = map[any]tensor{}
}

func (e *Engine) forward(ctx context.Context) error {
	// First everything is read, so that what follows cannot fail for the file's
	// sake.
	for _, p := range e.net.Params {
		if p.Name == e.net.Embedding.Tokens.Name && !e.net.Head.Tied {
			continue // of which the rows of the batch will do
		}
		if err := e.store.params[p.Name].load(ctx, e.device); err != nil {
			return err
		}
	}
	pass := &e.store.pass
	if err := e.tokens(ctx, pass); err != nil {
		return err
	}
	x := pass.within(func(s *scope) tensor { return e.embed(s) })
	for i := range e.net.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		y := pass.within(func(s *scope) tensor { return e.layer(s, &e.net.Layers[i], x) })
		drop(pass.take(x)) // what gradients need of it libtorch keeps
		x = y
	}
	if e.net.Norm != nil {
		x = pass.within(func(s *scope) tensor { return e.norm(s, e.net.Norm, x, e.net.Hidden) })
	}
	e.hidden = numbers[float32](x, len(e.batch.IDs)*e.net.Hidden)
	e.out = e.head(pass, x)
	return ctx.Err()
}

// Hidden is the last hidden states of the last forward pass, one row of
// Network.Hidden numbers per token, the engine's until its next pass.
func (e *Engine) Hidden() []float32 { return e.hidden }

// Backward adds the gradients of a loss whose gradient with regard to the output
// of the last Forward, which must have kept, is dout. It returns the gradients
// with regard to the rows of the token embedding, one per token.
func (e *Engine) Backward(ctx context.Context, dout []float32, want arch.Grads) (inputs []float32, err error) {
	if !e.keep || len(dout) != e.net.Rows(e.batch)*e.net.Width() {
		return nil, errors.New("Backward without a Forward that kept, or with gradients of another length")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = do(func() error {
		defer e.forget()
		var s scope
		defer s.drop()
		leaves, params := []tensor{e.inputs}, []*param{nil}
		for _, p := range e.net.Params {
			known := e.store.params[p.Name]
			if known.leaf != nil && (want >= arch.AllGrads || want == arch.EmbeddingGrads && p.Name == e.net.Embedding.Tokens.Name) {
				leaves, params = append(leaves, known.leaf), append(params, known)
			}
		}
		d := of(&s, e.device, dout, e.net.Rows(e.batch), e.net.Width())
		grads := s.gradients(s.sum(s.mul(e.out, d), asStored), leaves)
		n := len(e.batch.IDs) * e.net.Embedding.Dim
		if inputs = make([]float32, n); grads[0] != nil {
			inputs = numbers[float32](grads[0], n)
		}
		for i, g := range grads[1:] {
			if g != nil {
				params[i+1].addGradient(&s, g)
			}
		}
		if want >= arch.EmbeddingGrads && e.batch.Inputs == nil && grads[0] != nil {
			p := e.store.params[e.net.Embedding.Tokens.Name]
			p.addGradient(&s, s.addRows(s.zeros(e.device, p.Shape...), e.ids, grads[0]))
		}
		return ctx.Err()
	})
	return inputs, err
}

// addGradient adds g, which s owns. The sum is a new tensor: those of libtorch's
// backward pass may share their memory.
func (p *param) addGradient(s *scope, g tensor) {
	if p.g != nil {
		g = s.add(p.g, g)
	}
	replace(&p.g, s, g)
}

// use is a parameter as the current pass has it; none where there is none.
func (e *Engine) use(p arch.Param) tensor {
	known, ok := e.store.params[p.Name]
	if !ok {
		return nil
	}
	if !e.keep {
		return known.w
	}
	if known.leaf == nil {
		known.leaf = e.store.pass.leaf(known.w)
	}
	return known.leaf
}

// list is what make makes of the batch; once per pass and key.
func (e *Engine) list(key any, make func(s *scope) tensor) tensor {
	t, ok := e.lists[key]
	if !ok {
		t = make(&e.store.pass)
		e.lists[key] = t
	}
	return t
}

// places is an index.
func places[T int | int32](e *Engine, s *scope, index []T) tensor {
	wide := make([]int64, len(index))
	for i, x := range index {
		wide[i] = int64(x)
	}
	return of(s, e.device, wide, len(wide))
}
