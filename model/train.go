package model

import (
	"context"
	"errors"
	"fmt"

	"github.com/btu-scan/btu-scan/model/arch"
)

// A Schedule is the factor of the learning rate at a step counted from 0.
type Schedule func(step int) float64

// Linear rises from 0 over the warm-up steps and falls to 0 at the last of
// total, as transformers' get_linear_schedule_with_warmup does.
func Linear(warmUp, total int) Schedule {
	return func(step int) float64 {
		if step < warmUp {
			return float64(step) / float64(max(1, warmUp))
		}
		return max(0, float64(total-step)/float64(max(1, total-warmUp)))
	}
}

// A Group says how some parameters are trained.
type Group struct {
	// Match picks the parameters. The first group that matches counts, and a
	// parameter that none matches is left alone.
	Match func(name string) bool
	// LR is the learning rate, before the schedule.
	LR float64
	// Decay is the decoupled weight decay.
	Decay float64
	// Rows says which rows of a matrix are trained. Optional: nil for all.
	Rows []bool
}

// TrainOptions adjust a Trainer.
type TrainOptions struct {
	// LR is the learning rate of all parameters, and Decay their decay, unless
	// there are Groups.
	LR, Decay float64
	Groups    []Group
	// Beta1, Beta2 and Eps are AdamW's. Optional: 0.9, 0.999 and 1e-8.
	Beta1, Beta2, Eps float64
	// MaxNorm limits the norm of the gradients. Optional: 0 for no limit.
	MaxNorm float64
	// Schedule is the factor of the learning rates. Optional: 1.
	Schedule Schedule
}

// A Trainer fine-tunes a model with AdamW on the cross-entropy.
type Trainer struct {
	m    *Model
	opt  TrainOptions
	step int
}

// Trainer returns a trainer of the model, which must have been opened with
// Options.Train.
func (m *Model) Trainer(opt TrainOptions) *Trainer {
	if opt.Beta1 == 0 {
		opt.Beta1 = 0.9
	}
	if opt.Beta2 == 0 {
		opt.Beta2 = 0.999
	}
	if opt.Eps == 0 {
		opt.Eps = 1e-8
	}
	if opt.Schedule == nil {
		opt.Schedule = func(int) float64 { return 1 }
	}
	if opt.Groups == nil {
		opt.Groups = []Group{{Match: func(string) bool { return true }, LR: opt.LR, Decay: opt.Decay}}
	}
	return &Trainer{m: m, opt: opt}
}

// ErrDiverged says that a loss was NaN or infinite. The step was not made.
var ErrDiverged = errors.New("the loss is not a number")

// Step runs the batch and updates the parameters. It returns the loss before the
// update.
func (t *Trainer) Step(ctx context.Context, b *arch.Batch, targets []int) (float64, error) {
	e := t.m.engine
	e.ZeroGrads()
	loss, _, err := t.m.Backward(ctx, b, targets, arch.AllGrads)
	if err != nil {
		return loss, err
	}
	if loss-loss != 0 {
		return loss, fmt.Errorf("step %d: %w: %v", t.step+1, ErrDiverged, loss)
	}
	return loss, t.update(ctx)
}

func (t *Trainer) update(ctx context.Context) error {
	factor := t.opt.Schedule(t.step)
	_, err := t.m.engine.Update(ctx, arch.Update{
		Step: t.step + 1, Beta1: t.opt.Beta1, Beta2: t.opt.Beta2, Eps: t.opt.Eps, MaxNorm: t.opt.MaxNorm,
		Param: func(name string) arch.ParamUpdate {
			for _, g := range t.opt.Groups {
				if g.Match(name) {
					return arch.ParamUpdate{LR: g.LR * factor, Decay: g.Decay, Rows: g.Rows}
				}
			}
			return arch.ParamUpdate{Frozen: true}
		},
	})
	if err == nil {
		t.step++
	}
	return err
}
