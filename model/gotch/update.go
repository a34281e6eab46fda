//go:build gotch

package gotch

import (
	"context"
	"fmt"
	"math"

	"github.com/btu-scan/btu-scan/model/arch"
)

// Update steps the parameters by their gradients and returns the norm of the
// gradients before it was limited; 0 where it is not limited. A parameter
// without a gradient has one of zeros.
func (e *Engine) Update(ctx context.Context, u arch.Update) (norm float64, err error) {
	type job struct {
		p   *param
		opt arch.ParamUpdate
	}
	var jobs []job
	for _, known := range e.net.Params {
		p, opt := e.store.params[known.Name], u.Param(known.Name)
		if opt.Rows != nil && len(opt.Rows) != p.Shape[0] {
			return 0, fmt.Errorf("%s: a mask of %d rows for %d", p.Name, len(opt.Rows), p.Shape[0])
		}
		if !opt.Frozen && p.Len() > 0 {
			jobs = append(jobs, job{p, opt})
		}
	}
	err = do(func() error {
		for _, j := range jobs { // nothing is changed if something cannot be read
			if err := j.p.load(ctx, e.device); err != nil {
				return err
			}
		}
		scale := 1.0
		if u.MaxNorm > 0 {
			for _, j := range jobs {
				norm += e.norm2(j.p, j.opt.Rows)
			}
			norm = math.Sqrt(norm)
			// As torch.nn.utils.clip_grad_norm_ has it.
			scale = min(1, u.MaxNorm/(norm+1e-6))
		}
		for _, j := range jobs {
			e.step(j.p, u, j.opt, scale)
		}
		return nil
	})
	return norm, err
}

// trained is the index of the rows that a mask leaves in; none for all.
func (e *Engine) trained(s *scope, mask []bool) tensor {
	if mask == nil {
		return nil
	}
	rows := []int{}
	for i, in := range mask {
		if in {
			rows = append(rows, i)
		}
	}
	return places(e, s, rows)
}

// norm2 is the sum of the squares of a gradient.
func (e *Engine) norm2(p *param, mask []bool) float64 {
	if p.g == nil {
		return 0
	}
	var s scope
	defer s.drop()
	g := p.g
	if rows := e.trained(&s, mask); rows != nil {
		g = s.rows(g, rows)
	}
	return numbers[float64](s.sum(s.square(g), typeFloat64), 1)[0]
}

// step is vecmath.AdamW, operation by operation; what is left out of it by a mask
// keeps its bits, and its moments.
func (e *Engine) step(p *param, u arch.Update, opt arch.ParamUpdate, scale float64) {
	var s scope
	defer s.drop()
	for _, t := range []*tensor{&p.m, &p.v} {
		if *t == nil {
			*t = s.take(s.zeros(e.device, p.Shape...))
		}
	}
	rows := e.trained(&s, opt.Rows)
	some := func(x tensor) tensor {
		if rows == nil {
			return x
		}
		return s.rows(x, rows)
	}
	w, m, v := some(p.w), s.scaled(some(p.m), u.Beta1), s.scaled(some(p.v), u.Beta2)
	if p.g != nil {
		g := s.scaled(some(p.g), scale)
		m = s.add(m, s.scaled(g, 1-u.Beta1))
		v = s.add(v, s.mul(s.scaled(g, 1-u.Beta2), g))
	}
	t := float64(u.Step)
	denominator := s.plus(s.scaled(s.sqrt(v), 1/math.Sqrt(1-math.Pow(u.Beta2, t))), u.Eps)
	w = s.sub(s.scaled(w, 1-opt.LR*opt.Decay), s.div(s.scaled(m, opt.LR/(1-math.Pow(u.Beta1, t))), denominator))
	for _, change := range []struct {
		old *tensor
		now tensor
	}{{&p.w, w}, {&p.m, m}, {&p.v, v}} {
		if rows == nil {
			replace(change.old, &s, change.now)
		} else {
			setRows(*change.old, rows, change.now)
		}
	}
}
