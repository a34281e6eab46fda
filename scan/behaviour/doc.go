// Package behaviour runs a fine-tuned model to see whether a token or a phrase
// takes it over, and what the model's pretrained vocabulary explains of that.
//
// A classifier is asked about contested probes: neutral sentences into which
// words are put that speak, to this very model, for one label. A candidate is
// put into them as well. Words that honestly speak for another label lose such
// a contest; a trigger wins it, whatever else the text says. How the contest is
// made, and every constant, is in docs/methods.md.
//
// The package sees a model and a tokenizer through small interfaces, reads no
// file and prints nothing. The same input and seed give the same evidence, for
// any number of workers of the model.
package behaviour

import (
	"context"
	"errors"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

// A Model answers sequences of token ids. It need not be safe for concurrent
// use.
type Model interface {
	// Predict returns the outputs of each sequence. The caller owns them.
	Predict(ctx context.Context, sequences [][]int32) ([][]float32, error)
	// Gradients returns, for each sequence, the gradient of the weighted sum of
	// its outputs with regard to the embedding row of its token at[i]. weigh
	// sets the weights of sequence i's outputs.
	Gradients(ctx context.Context, sequences [][]int32, at []int, weigh func(weights, outputs []float32)) ([][]float32, error)
}

// A Tokenizer splits texts for the model.
type Tokenizer interface {
	// Split returns the tokens of a text, at most limit, with those that every
	// text has, and the indices between words where others may be put in,
	// ascending: the first is before the first word, the last after the last.
	Split(text string, limit int) (ids []int32, cuts []int)
	// Inner returns the tokens of words in the midst of a text.
	Inner(text string) []int32
	// Text is what a reader would write for tokens.
	Text(ids []int32) string
	// Skip reports tokens that cannot come from a text, such as [CLS].
	Skip(id int) bool
	// Mask is the token that stands for any, or -1.
	Mask() int32
}

// A Problem is what the outputs of a classifier mean.
type Problem int

// The problems.
const (
	SingleLabel Problem = iota // the largest is the answer
	MultiLabel                 // each label has an answer of its own: yes above 0
)

// Options are what a run needs beside the model. Those that are not said to be
// optional are required.
type Options struct {
	Labels  []string // by index of the outputs
	Problem Problem
	// Rows is the checkpoint's token embedding, Reference the pretrained
	// model's. Optional: without a reference the checkpoint's own rows say what
	// a token means, which a trigger's cannot.
	Rows, Reference scan.Rows
	MaxTokens       int // the longest sequence that the model takes

	Probes []string
	// Rewrites show what the style of a text does. Optional.
	Rewrites []Rewrite
	// Suspects are token ids ranked by weight, first the most abnormal.
	// Optional.
	Suspects []int
	// Abnormal are those whose rows stand out. Optional.
	Abnormal []int
	// Findings are those of them that are a finding by weight alone. Optional.
	Findings []int
	// Also are further token ids to try, such as neighbours of known triggers.
	// Optional.
	Also []int
	// Candidates are texts that the user wants to have tried. Optional.
	Candidates []string
	// Thorough searches more of the vocabulary and longer phrases.
	Thorough bool
	// Seed draws probes, positions and control tokens.
	Seed uint64
	// Budget ends the run early; what was left out is said. Optional: none.
	Budget time.Duration
	// Progress is told how many of the planned tokens have been run. Optional.
	Progress func(stage string, done, total int)
	// Tried is told what the single tokens do that were tried so far, whenever
	// some were tried further: a first look at what Evidence.Tokens will say, not
	// explained yet. The map is the receiver's. Optional.
	Tried func(tokens map[int]scan.Behaviour)

	now func() time.Time // for tests
}

// Evidence is what a run found.
type Evidence struct {
	Summary  scan.BehaviourSummary
	Tokens   map[int]scan.Behaviour // by token id: every single token that was tried to the end
	Triggers []scan.Trigger         // proved, the strongest first
	Findings []scan.Finding
	Warnings []string
	Complete bool // all that was planned was run, and every label could be tested
	Reasons  []string
}

// Errors of Classifier.
var (
	// ErrOneLabel: there is nothing that a trigger could change.
	ErrOneLabel = errors.New("a model of one label gives the same answer to every text")
	// ErrNotFinite: the model's answers are not numbers.
	ErrNotFinite = errors.New("the model's answers are not finite numbers: its weights are broken")
	// ErrFewProbes: there are too few probes to test with.
	ErrFewProbes = errors.New("too few usable probes")
)
