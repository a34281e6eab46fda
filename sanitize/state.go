package sanitize

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/btu-scan/btu-scan/loader"
)

// The files of a state.
const (
	stateName      = "state.json"
	parametersName = "parameters.safetensors"
)

// A state is where an interrupted tune got to.
type state struct {
	SchemaVersion int     `json:"schema_version"`
	Job           string  `json:"job"` // digest of all that the tune depends on
	Step          int     `json:"step"`
	HeldBefore    float64 `json:"held_out_loss_before"`
}

// An InterruptedError is a tune that was interrupted. It is context.Canceled.
type InterruptedError struct {
	State    string // the folder to go on from; "" where nothing was worth it
	Step, Of int
}

func (e *InterruptedError) Error() string {
	if e.State == "" {
		return fmt.Sprintf("interrupted in step %d of %d of the fine-tune: nothing was written", e.Step, e.Of)
	}
	return fmt.Sprintf("interrupted: the best state of the fine-tune so far, of step %d of %d, is kept in %s", e.Step, e.Of, e.State)
}

func (e *InterruptedError) Unwrap() error { return context.Canceled }

// ErrOtherState says that a kept state belongs to another job.
var ErrOtherState = errors.New("is the state of another run")

// digest identifies the job's tune.
func (r *run) digest(opt *TuneOptions) (string, error) {
	sum := sha256.New()
	enc := json.NewEncoder(sum)
	for _, v := range []any{
		r.copied.Files, r.Plan, r.res.Edits, opt.Train, opt.Held, opt.Epochs, opt.Steps, opt.Batch, opt.LR, opt.Decay, opt.Seed, opt.Frozen,
	} {
		if err := enc.Encode(v); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// resume puts a kept state into the copy, if there is one.
func (r *run) resume(opt *TuneOptions) error {
	if r.State == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(r.State, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	job, err := r.digest(opt)
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil || s.Job != job || s.Step < 0 {
		return fmt.Errorf("%s %w", r.State, ErrOtherState)
	}
	ck, err := loader.Open(r.ctx, filepath.Join(r.State, parametersName), loader.Options{})
	if err != nil {
		return err
	}
	defer ck.Close()
	for from := range ck.Tensors() {
		to := r.ck.Tensor(from.Name)
		if to == nil || from.Len() != to.Len() || from.Dim() != to.Dim() {
			return fmt.Errorf("%s %w", r.State, ErrOtherState)
		}
		w := make([]float32, from.Len()*from.Dim())
		if err := from.ReadRows(r.ctx, w, 0); err != nil {
			return err
		}
		if err := to.WriteRows(r.ctx, w, 0); err != nil {
			return err
		}
	}
	opt.Start, opt.HeldBefore = s.Step, s.HeldBefore
	r.stage(fmt.Sprintf("going on from step %d", s.Step))
	return nil
}

// suspend keeps the copy's state, the best so far.
func (r *run) suspend(ctx context.Context) error {
	t := r.res.Tune
	if r.State == "" || t.Best == 0 {
		return &InterruptedError{Step: t.Steps, Of: t.Planned}
	}
	job, err := r.digest(r.Tune)
	if err != nil {
		return err
	}
	temp := r.State + "." + rand.Text()[:8]
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	err = r.writeState(ctx, temp, state{SchemaVersion: SchemaVersion, Job: job, Step: t.Best, HeldBefore: t.HeldBefore})
	if err == nil {
		err = errors.Join(os.RemoveAll(r.State), os.Rename(temp, r.State))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return &InterruptedError{State: r.State, Step: t.Best, Of: t.Planned}
}

func (r *run) writeState(ctx context.Context, dir string, s state) (err error) {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, stateName), data, 0o644); err != nil {
		return err
	}
	var params []*loader.Tensor
	for t := range r.ck.Tensors() {
		if t.DType.Epsilon() > 0 { // what a tune changes
			params = append(params, t)
		}
	}
	f, err := os.Create(filepath.Join(dir, parametersName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return loader.WriteSafetensors(ctx, f, nil, params)
}
