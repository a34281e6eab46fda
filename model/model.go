// Package model runs and differentiates the transformer in a checkpoint, and
// fine-tunes it.
//
//	m, err := model.Open(checkpoint, model.Options{})
//	logits, err := m.Predict(ctx, sequences)
//
// What a model computes is described by model/arch and computed by an [Engine];
// the default one, model/cpu, needs nothing but Go.
//
// # Hostile input
//
// Open fails unless config.json and the tensors describe a network completely
// and without contradiction. It runs no code of the checkpoint. Memory is in
// proportion to the files, and to the tokens of a pass, which has a limit.
// Numbers are the attacker's: NaN and infinities in weights come out as logits
// that are no numbers, which the caller must expect.
package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/model/cpu"
)

// An Engine runs one network. It is not safe for concurrent use, and the slices
// that it returns are its own until its next pass.
type Engine interface {
	// Forward returns the output for the batch: Network.Rows rows of
	// Network.Width numbers. keep says that Backward will follow.
	Forward(ctx context.Context, b *arch.Batch, keep bool) ([]float32, error)
	// Hidden is the last hidden states of that pass, one row per token. It needs
	// Options.AllHidden.
	Hidden() []float32
	// Backward adds to the gradients of the parameters, given the gradient with
	// regard to the output of the last Forward, and returns those with regard to
	// the rows of the token embedding, one per token.
	Backward(ctx context.Context, dout []float32, want arch.Grads) ([]float32, error)
	// ZeroGrads forgets the gradients of the parameters.
	ZeroGrads()
	// Update makes a step and returns the norm of the gradients before it was
	// limited; 0 where it is not limited.
	Update(ctx context.Context, u arch.Update) (norm float64, err error)
	// Values and Gradient return copies of a parameter and its gradient.
	Values(ctx context.Context, name string) ([]float32, error)
	Gradient(name string) ([]float32, error)
	// Edit lets change set the values of a parameter.
	Edit(ctx context.Context, name string, change func(w []float32)) error
}

// Options adjust Open. The zero value is the useful one.
type Options struct {
	// Workers is the number of goroutines. Optional: one per processor.
	Workers int
	// Train says that the model will be fine-tuned.
	Train bool
	// Encode leaves the head out, if there is one: see arch.Network.Encoder.
	Encode bool
	// AllHidden says that the last hidden states of all tokens are wanted, not only
	// what the head makes of those that it sees.
	AllHidden bool
	// Engine makes the engine. Optional: model/cpu's.
	Engine func(net *arch.Network, tensor func(name string) *loader.Tensor) (Engine, error)
}

// A Model is a checkpoint that can be run. It refers to the checkpoint, which
// must stay open, and is not safe for concurrent use.
type Model struct {
	net    *arch.Network
	engine Engine
}

// Open returns the model of a checkpoint.
//
// Errors: *arch.ConfigError, matching arch.ErrUnsupported where the model may be
// sound but is not run.
func Open(ck *loader.Checkpoint, opt Options) (*Model, error) {
	config, err := ck.ReadFile("config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &arch.ConfigError{Msg: "there is none beside the tensors, so the model cannot be run", Err: arch.ErrUnsupported}
	}
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	net, err := arch.Read(config, tensors{ck})
	if err != nil {
		return nil, err
	}
	if err := checkStorage(ck, net); err != nil {
		return nil, err
	}
	if opt.Encode {
		net = net.Encoder()
	}
	if opt.Engine == nil {
		return &Model{net, cpu.New(net, ck.Tensor, cpu.Options{Workers: opt.Workers, Train: opt.Train, AllHidden: opt.AllHidden})}, nil
	}
	engine, err := opt.Engine(net, ck.Tensor)
	if err != nil {
		return nil, err
	}
	return &Model{net, engine}, nil
}

// checkStorage refuses parameters that are no floating-point numbers, and those
// that share their bytes with each other or with themselves: a small file could
// else ask for any amount of memory.
func checkStorage(ck *loader.Checkpoint, net *arch.Network) error {
	var elements, bytes float64
	for _, p := range net.Params {
		switch t := ck.Tensor(p.Name).DType; t {
		case loader.F64, loader.F32, loader.F16, loader.BF16, loader.F8E4M3, loader.F8E5M2, loader.F8E4M3FNUZ, loader.F8E5M2FNUZ:
		default:
			return &arch.ConfigError{Tensor: p.Name, Msg: fmt.Sprintf("elements of type %s are not run", t), Err: arch.ErrUnsupported}
		}
		elements += float64(p.Len())
	}
	for _, f := range ck.Files() {
		bytes += float64(f.Size)
	}
	if elements > 2*bytes+1024 { // one to a byte, and one copy of the embedding as the head
		return &arch.ConfigError{Msg: fmt.Sprintf("the parameters have %.0f elements, the files %.0f bytes: they share them", elements, bytes)}
	}
	return nil
}

// tensors shows arch a checkpoint.
type tensors struct{ ck *loader.Checkpoint }

func (t tensors) Shape(name string) ([]int, bool) {
	if x := t.ck.Tensor(name); x != nil {
		return x.Shape, true
	}
	return nil, false
}

func (t tensors) Names() []string {
	var names []string
	for x := range t.ck.Tensors() {
		names = append(names, x.Name)
	}
	return names
}

// Network describes the model.
func (m *Model) Network() *arch.Network { return m.net }

// Engine is what runs the model.
func (m *Model) Engine() Engine { return m.engine }

// The limits of one pass of Predict, unless a sequence alone is over them:
// enough tokens that matrix products run at full speed, few enough that what the
// layers exchange stays in a cache.
const (
	maxPassTokens = 1024
	maxPassBytes  = 256 << 20
)

// Predict returns the output of each sequence: logits per label, or of the next
// token after the last, or the mean hidden state. It runs sequences of like
// length together, and the result for one does not depend on the others. The
// caller owns the result.
func (m *Model) Predict(ctx context.Context, sequences [][]int32) ([][]float32, error) {
	order := make([]int, len(sequences))
	for i, s := range sequences {
		if err := m.net.Check(arch.NewBatch(s)); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(sequences[a]), len(sequences[b])) })
	out := make([][]float32, len(sequences))
	width := m.net.Width()
	for len(order) > 0 {
		n, tokens := 0, 0
		for ; n < len(order); n++ {
			tokens += len(sequences[order[n]])
			if n > 0 && (tokens > maxPassTokens || m.net.Cost(tokens, n+1, false) > maxPassBytes) {
				break
			}
		}
		var part [][]int32
		for _, i := range order[:n] {
			part = append(part, sequences[i])
		}
		b := arch.NewBatch(part...)
		if m.net.Task == arch.Generate {
			b.AskLast()
		}
		rows, err := m.engine.Forward(ctx, b, false)
		if err != nil {
			return nil, err
		}
		for k, i := range order[:n] {
			out[i] = slices.Clone(rows[k*width : (k+1)*width])
		}
		order = order[n:]
	}
	return out, nil
}

// Backward runs the batch, adds the gradients of the mean cross-entropy of its
// outputs against targets to those of the parameters, and returns the loss and
// the gradients with regard to the rows of the token embedding, one per token,
// which are the engine's until its next pass. targets has a label per output
// row; a row with a negative one does not count.
func (m *Model) Backward(ctx context.Context, b *arch.Batch, targets []int, want arch.Grads) (loss float64, inputs []float32, err error) {
	out, err := m.engine.Forward(ctx, b, want > arch.NoGrads)
	if err != nil {
		return 0, nil, err
	}
	if rows := m.net.Rows(b); len(targets) != rows {
		return 0, nil, fmt.Errorf("%d targets for %d outputs", len(targets), rows)
	}
	dout := make([]float32, len(out))
	if loss, err = CrossEntropy(dout, out, targets); err != nil || want == arch.NoGrads {
		return loss, nil, err
	}
	inputs, err = m.engine.Backward(ctx, dout, want)
	return loss, inputs, err
}

// NextTokens returns the targets of a language model for all positions of a
// batch: the token that follows, none for the last of a sequence.
func NextTokens(b *arch.Batch) []int {
	targets := make([]int, len(b.IDs))
	for i := range b.Len() {
		for t := b.Starts[i]; t < b.Starts[i+1]-1; t++ {
			targets[t] = int(b.IDs[t+1])
		}
		targets[b.Starts[i+1]-1] = -1
	}
	return targets
}

// CrossEntropy returns the mean over the rows of logits, one per target, of
// -log softmax(row)[target], and sets grad to its gradient. Rows with a negative
// target do not count; that none does is an error.
func CrossEntropy(grad, logits []float32, targets []int) (float64, error) {
	if len(targets) == 0 || len(logits)%len(targets) != 0 || len(grad) != len(logits) {
		return 0, fmt.Errorf("%d targets for %d logits", len(targets), len(logits))
	}
	width := len(logits) / len(targets)
	n := 0
	for _, y := range targets {
		if y >= width {
			return 0, fmt.Errorf("target %d of %d", y, width)
		}
		if y >= 0 {
			n++
		}
	}
	if n == 0 {
		return 0, errors.New("no row has a target")
	}
	var loss float64
	for i, y := range targets {
		g, row := grad[i*width:(i+1)*width], logits[i*width:(i+1)*width]
		if y < 0 {
			clear(g)
			continue
		}
		loss += vecmath.LogSumExp(row) - float64(row[y])
		vecmath.Softmax(g, row, 1)
		g[y]--
		vecmath.Scale(g, 1/float32(n), g)
	}
	return loss / float64(n), nil
}
