//go:build gotch

package gotch

import (
	"context"
	"fmt"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
)

// A param is a parameter: read when a pass first needs it, then perhaps changed
// and trained.
type param struct {
	arch.Param
	source *loader.Tensor

	w    tensor // on the device; nil until it is needed whole
	leaf tensor // w as the current pass has it, which the pass owns; nil until it is used
	g    tensor // the gradient; nil for zeros
	m, v tensor // the moments; nil for zeros
}

// A store holds what an engine has of libtorch's, apart from the engine, so that
// it can be dropped once nobody has the engine any more.
type store struct {
	params map[string]*param
	pass   scope
}

func (st *store) drop() {
	st.pass.drop()
	for _, p := range st.params {
		for _, t := range []*tensor{&p.w, &p.g, &p.m, &p.v} {
			drop(*t)
			*t = nil
		}
	}
}

// load reads the parameter whole.
func (p *param) load(ctx context.Context, device int32) error {
	if p.w != nil {
		return nil
	}
	var s scope
	defer s.drop()
	t := s.empty(onCPU, typeFloat, p.Shape...)
	if n := p.Len(); n > 0 {
		if err := p.source.ReadRows(ctx, view[float32](t, n), 0); err != nil {
			return err
		}
		p.source.Forget()
	}
	p.w = s.take(s.to(t, device))
	return nil
}

// replace sets one of a parameter's tensors to one that s owns.
func replace(old *tensor, s *scope, t tensor) {
	drop(*old)
	*old = s.take(t)
}

func (e *Engine) named(name string) (*param, error) {
	if p, ok := e.store.params[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("no parameter %q", name)
}

// Values returns a copy of a parameter.
func (e *Engine) Values(ctx context.Context, name string) (w []float32, err error) {
	p, err := e.named(name)
	if err != nil {
		return nil, err
	}
	err = do(func() error {
		if p.w == nil {
			w = make([]float32, p.Len())
			return p.source.ReadRows(ctx, w, 0)
		}
		w = numbers[float32](p.w, p.Len())
		return nil
	})
	return w, err
}

// Edit lets change set a parameter's values, row by row without gaps.
func (e *Engine) Edit(ctx context.Context, name string, change func(w []float32)) error {
	w, err := e.Values(ctx, name)
	if err != nil {
		return err
	}
	change(w)
	return do(func() error {
		var s scope
		defer s.drop()
		p := e.store.params[name]
		replace(&p.w, &s, of(&s, e.device, w, p.Shape...))
		return nil
	})
}

// Gradient returns a copy of the gradient of a parameter, zeros where the passes
// since the last ZeroGrads gave it none.
func (e *Engine) Gradient(name string) (g []float32, err error) {
	p, err := e.named(name)
	if err != nil {
		return nil, err
	}
	err = do(func() error {
		if g = make([]float32, p.Len()); p.g != nil {
			g = numbers[float32](p.g, p.Len())
		}
		return nil
	})
	return g, err
}

// ZeroGrads forgets the gradients of all parameters.
func (e *Engine) ZeroGrads() {
	_ = do(func() error { // to free memory does not fail
		for _, p := range e.store.params {
			drop(p.g)
			p.g = nil
		}
		return nil
	})
}
