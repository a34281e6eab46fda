package arch

import "fmt"

// A Batch is sequences of token ids laid end to end, without padding: an engine
// spends nothing on the difference between short and long ones, and what it
// computes for one does not depend on the others.
type Batch struct {
	IDs    []int32
	Starts []int // where each sequence begins, and len(IDs) at the end

	// Inputs stand in place of the token embedding's rows of IDs: len(IDs) rows
	// of Embedding.Dim. Optional.
	Inputs []float32
	// Positions are the tokens, as increasing indices of IDs, whose next token's
	// logits a Generate network computes. Optional: nil for all.
	Positions []int
}

// NewBatch lays sequences end to end.
func NewBatch(sequences ...[]int32) *Batch {
	b := &Batch{Starts: make([]int, 1, len(sequences)+1)}
	for _, s := range sequences {
		b.IDs = append(b.IDs, s...)
		b.Starts = append(b.Starts, len(b.IDs))
	}
	return b
}

// AskLast makes b ask a Generate network for the logits after each sequence
// alone, not after each token.
func (b *Batch) AskLast() {
	b.Positions = make([]int, 0, b.Len())
	for _, start := range b.Starts[1:] {
		b.Positions = append(b.Positions, start-1)
	}
}

// Len is the number of sequences.
func (b *Batch) Len() int { return len(b.Starts) - 1 }

// Check reports what of b the network cannot take.
func (n *Network) Check(b *Batch) error {
	if len(b.Starts) < 2 || b.Starts[0] != 0 || b.Starts[b.Len()] != len(b.IDs) {
		return fmt.Errorf("a batch of %d tokens begins or ends elsewhere: %d sequences", len(b.IDs), b.Len())
	}
	for i := range b.Len() {
		switch length := b.Starts[i+1] - b.Starts[i]; {
		case length < 1:
			return fmt.Errorf("sequence %d has no tokens", i)
		case length > n.MaxTokens:
			return fmt.Errorf("sequence %d has %d tokens, the model takes %d", i, length, n.MaxTokens)
		}
	}
	vocab := n.Embedding.Tokens.Shape[0]
	for i, id := range b.IDs {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("token %d is id %d, the model has %d", i, id, vocab)
		}
	}
	if b.Inputs != nil && len(b.Inputs) != len(b.IDs)*n.Embedding.Dim {
		return fmt.Errorf("%d numbers in place of %d rows of %d", len(b.Inputs), len(b.IDs), n.Embedding.Dim)
	}
	for i, p := range b.Positions {
		if p < 0 || p >= len(b.IDs) || i > 0 && p <= b.Positions[i-1] {
			return fmt.Errorf("position %d is token %d of %d", i, p, len(b.IDs))
		}
	}
	return nil
}

// Cost is about how many bytes an engine needs, beside the parameters, for a pass
// over so many tokens that gives so many rows of output: for the widest layer, or
// for all of them where they are kept for a backward pass.
func (n *Network) Cost(tokens, rows int, keep bool) int64 {
	var widest, all int64 // numbers per token
	for _, l := range n.Layers {
		width := int64(2 * n.Hidden)
		if a := l.Attention; a != nil {
			width += int64(2 * (a.Heads + a.KVHeads) * a.HeadDim)
			if a.QNorm != nil {
				width += int64((a.Heads + a.KVHeads) * a.HeadDim)
			}
		} else {
			width += int64(2 * l.MLP.Up.Out)
			if l.MLP.Gate != nil {
				width += int64(l.MLP.Up.Out)
			}
		}
		widest, all = max(widest, width), all+width
	}
	perToken := widest + int64(3*n.Hidden+2*n.Embedding.Dim)
	if keep {
		perToken += all + widest
	}
	return 4 * (int64(tokens)*perToken + int64(rows)*int64(2*n.Width()+4*n.Hidden))
}

// Rows is the number of output rows for b: one per sequence or per position.
func (n *Network) Rows(b *Batch) int {
	switch {
	case n.Task != Generate:
		return b.Len()
	case b.Positions != nil:
		return len(b.Positions)
	}
	return len(b.IDs)
}

// Grads says which gradients a backward pass computes; each level includes
// those before.
type Grads int

// The levels.
const (
	NoGrads        Grads = iota
	InputGrads           // of the token embedding's rows, per token of the batch
	EmbeddingGrads       // of the token embedding
	AllGrads             // of all parameters
)

// An Update is a step of AdamW (arXiv:1711.05101).
type Update struct {
	Step  int // counted from 1
	Beta1 float64
	Beta2 float64
	Eps   float64
	// MaxNorm scales the gradients of all parameters that are updated down to
	// that norm together. Optional: 0 for no limit.
	MaxNorm float64
	// Param says how a parameter is updated.
	Param func(name string) ParamUpdate
}

// A ParamUpdate is the part of an Update that is a parameter's own.
type ParamUpdate struct {
	Frozen bool    // leaves the parameter alone
	LR     float64 // learning rate
	Decay  float64 // decoupled weight decay
	// Rows says which rows of a matrix are updated; the others are left alone,
	// and their gradients do not count. Optional: nil for all.
	Rows []bool
}
