// Package arch describes transformers as data: which parameters there are, what
// shapes they have, and how they are put together. An engine runs and
// differentiates any Network; a family is one small file that reads a config
// and names the tensors.
//
// # Hostile input
//
// A config and the shapes of tensors are an attacker's. Read accepts a network
// only if every parameter that it describes exists with the shape that the
// config implies, so that an engine may take the description at its word; it
// allocates in proportion to the number of tensors that exist, whatever the
// config claims.
package arch

import "slices"

// A Task is what the last layers of a network compute.
type Task string

// The tasks.
const (
	Classify Task = "classify" // logits of labels, per sequence
	Generate Task = "generate" // logits of the next token, per position
	Encode   Task = "encode"   // the mean of the last hidden states, per sequence
)

// A Problem is what the logits of a classifier mean.
type Problem string

// The problems.
const (
	SingleLabel Problem = "single_label_classification" // softmax gives the probabilities of the labels
	MultiLabel  Problem = "multi_label_classification"  // each label has its own: the logistic function
	Regression  Problem = "regression"                  // they are the answer
)

// A Network is the description of a model.
type Network struct {
	Family string // config.json's model_type
	Task   Task

	Hidden    int      // width of the hidden states
	Labels    []string // a classifier's, by index of its logits
	Problem   Problem  // what a classifier's logits mean
	MaxTokens int      // the longest sequence it takes

	Embedding Embedding
	Layers    []Layer
	Norm      *Norm // after the last layer
	Head      Head

	// Params lists every parameter once, in the order they are used first.
	Params []Param
	// Unused lists the tensors of the checkpoint that the network has no use
	// for, such as a pretraining head.
	Unused []string
}

// A Param is a parameter, by the name of its tensor in the checkpoint. The zero
// value is no parameter.
type Param struct {
	Name  string
	Shape []int
}

// Len is the number of elements.
func (p Param) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// An Embedding makes hidden states of token ids.
type Embedding struct {
	Tokens    Param   // [vocabulary x Dim]
	Dim       int     // width of a row; Hidden unless there is Project
	Scale     float32 // what a token's row is multiplied with
	Positions Param   // learned positions; none with Rotary
	// FirstPosition is the row of Positions of the first token. With PadAware,
	// tokens with id PadID have row PadID and are not counted, as in RoBERTa.
	FirstPosition int
	PadAware      bool
	PadID         int
	Types         Param // token types, of which only row 0 is used
	Norm          *Norm
	Project       *Linear // to Hidden
}

// A Linear is y = x·Wᵀ + b.
type Linear struct {
	Weight Param // [Out x In], or [In x Out] if Transposed
	Bias   Param // [Out]; may be none
	// In and Out are the sizes of x and y.
	In, Out    int
	Transposed bool
}

// A Norm is a layer normalisation, or an RMS normalisation.
type Norm struct {
	Weight, Bias Param // [n]; Bias may be none
	RMS          bool
	PlusOne      bool // the factor is 1 + Weight
	Eps          float32
}

// A Layer is a residual step. With f the Attention or the MLP:
//
//	y = Sum(x + Out(f(In(x))))
//
// where a norm that is nil changes nothing.
type Layer struct {
	In, Out, Sum *Norm
	Attention    *Attention // either this
	MLP          *MLP       // or this
}

// Attention is multi-head attention. Heads share the keys and values of
// Heads/KVHeads of them.
type Attention struct {
	// QKV gives queries, keys and values side by side, where the checkpoint
	// stores them so; else Q, K and V do.
	QKV     *Linear
	Q, K, V *Linear
	O       *Linear

	Heads, KVHeads, HeadDim int
	Scale                   float32 // of the products of queries and keys
	SoftCap                 float32 // c: products become c*tanh(products/c); 0 for none
	Causal                  bool
	Window                  int   // how many tokens back a token sees, itself included; 0 for all
	QNorm, KNorm            *Norm // of each head
	Rotary                  *Rotary
	Bias                    *RelativeBias
}

// Rotary is the rotary embedding of Su et al. (arXiv:2104.09864) in the order
// of Llama: element i of a head pairs with element i+HeadDim/2.
type Rotary struct {
	// Frequencies are the angles, per position, of the pairs of a head.
	Frequencies []float64
	// Factor multiplies cosines and sines; 1 but for some scalings.
	Factor float32
}

// A RelativeBias is added to the scaled products of queries and keys by the
// bucket of their distance, as in T5 (arXiv:1910.10683); the layers share it.
type RelativeBias struct {
	Weight      Param // [buckets x heads]
	MaxDistance int
}

// An MLP is y = Down(act(Up(x))), or y = Down(act(Gate(x)) * Up(x)) if there is
// a Gate.
type MLP struct {
	Up, Gate, Down *Linear
	Act            Activation
}

// An Activation is an elementwise function.
type Activation string

// The activations.
const (
	Identity Activation = ""
	GELU     Activation = "gelu"      // x*Phi(x)
	GELUTanh Activation = "gelu_tanh" // its approximation by tanh
	SiLU     Activation = "silu"
	ReLU     Activation = "relu"
	Tanh     Activation = "tanh"
)

// A Pool picks the hidden state of a sequence that its head sees.
type Pool string

// The pools.
const (
	PoolFirst Pool = "first"
	PoolLast  Pool = "last"
	PoolMean  Pool = "mean"
	PoolNone  Pool = "none" // every position has its own
)

// A Head is y = Out(act(Dense(pooled))), where a layer that is nil changes
// nothing.
type Head struct {
	Pool    Pool
	PadID   int // that PoolLast passes over; -1 for none
	Dense   *Linear
	Act     Activation
	Out     *Linear
	Tied    bool    // Out.Weight is Embedding.Tokens
	SoftCap float32 // of the logits; 0 for none
}

// Width is the number of elements of an output row: labels, tokens, or Hidden.
func (n *Network) Width() int {
	if n.Head.Out != nil {
		return n.Head.Out.Out
	}
	return n.Hidden
}

// Encoder returns the network without its head. Its output is what a new head
// would see: of a sequence the mean of the last hidden states, or the last one
// where no token sees those after it. It shares all but the head with n.
func (n *Network) Encoder() *Network {
	if n.Task == Encode {
		return n
	}
	e := *n
	e.Task, e.Labels, e.Problem = Encode, nil, ""
	e.Head = Head{Pool: PoolMean, PadID: -1}
	for _, l := range n.Layers {
		if l.Attention != nil && l.Attention.Causal {
			e.Head.Pool = PoolLast
		}
	}
	own := map[string]bool{} // parameters of the head
	for _, l := range []*Linear{n.Head.Dense, n.Head.Out} {
		if l != nil {
			own[l.Weight.Name], own[l.Bias.Name] = true, true
		}
	}
	delete(own, n.Embedding.Tokens.Name) // tied
	e.Params, e.Unused = nil, slices.Clone(n.Unused)
	for _, p := range n.Params {
		if own[p.Name] {
			e.Unused = append(e.Unused, p.Name)
		} else {
			e.Params = append(e.Params, p)
		}
	}
	slices.Sort(e.Unused)
	return &e
}
