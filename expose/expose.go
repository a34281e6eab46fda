// Package expose finds the tokens of a backdoor in training data, as the first
// stage of Backdoor Token Unlearning does (BTU, AAAI 2025, arXiv:2501.03272):
// it trains the embedding of the pretrained model on the data, in three ways,
// and names the tokens whose rows moved furthest. docs/methods.md has the
// formulas and what they find.
//
// Everything random comes of a seed, and a result has the same bits for any
// number of workers.
//
// # Hostile input
//
// Data and model are strangers'. Ids are checked against the rows before they
// are used; rows that are no numbers end in [ErrDiverged], not in a ranking.
// Memory is in proportion to the rows of the tokens that the data holds, and in
// round 3 to the model.
package expose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/btu-scan/btu-scan/internal/kernel"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/scan"
)

// The rounds.
const (
	RoundBag     = 1 // the embedding, the mean over positions and a linear layer
	RoundRemoved = 2 // the same without the suspects of RoundBag in the texts
	RoundModel   = 3 // the whole model, of which only the embedding is trained
)

// RoundName is what a round is called.
func RoundName(round int) string {
	switch round {
	case RoundBag:
		return "words alone"
	case RoundRemoved:
		return "words alone, without the suspects of round 1"
	}
	return "whole model"
}

// MaxClasses is how many labels data may have: more are no classes.
const MaxClasses = 1000

// The values that BTU has.
const (
	DefaultShare     = 0.0005
	DefaultLR        = 2e-5
	DefaultDecay     = 0.01 // PyTorch's
	DefaultBatch     = 256
	DefaultDeepBatch = 32
)

// Options adjust Run. The zero value is BTU.
type Options struct {
	// Rounds are the rounds to run, ascending. RoundRemoved needs RoundBag.
	// Optional: all three.
	Rounds []int
	// Share of the vocabulary is how many suspects a round has, rounded down, and
	// one at least. Optional: DefaultShare.
	Share float64
	// Epochs is how often a round goes through the data. Optional: 1.
	Epochs int
	// LR is AdamW's learning rate. Optional: DefaultLR.
	LR float64
	// Decay is its weight decay. Optional: DefaultDecay; negative for none.
	Decay float64
	// Batch is the examples of a step of the first two rounds, DeepBatch of the
	// third. Optional: DefaultBatch and DefaultDeepBatch.
	Batch, DeepBatch int
	// Seed draws the order of the examples and the linear layers.
	Seed uint64
	// Workers is the number of goroutines. Optional: one per processor.
	Workers int
	// Special reports tokens that are never suspects. Optional.
	Special func(id int) bool
	// Progress is called after each step of a round. Optional.
	Progress func(round, done, total int)
}

// Data is training data. Sequences are as the model reads them, with its special
// tokens.
type Data struct {
	Sequences [][]int32
	Labels    []int // from 0, one per sequence
	Classes   int   // one more than the largest label that is possible
}

// A Deep model is what round 3 trains.
type Deep struct {
	Model *model.Model
	// Head says that the model's own head is used, for Data's labels; without it
	// the model must be an encoder, and gets a new head.
	Head bool
}

// A Result is what the rounds found.
type Result struct {
	Rounds []Round
	// Suspects are those of all rounds, and nothing else. Those that stand out
	// come first, then those of better rank.
	Suspects []Suspect
	// Others are tokens that stand out though no round named them.
	Others []Suspect
}

// A Round is one round's outcome.
type Round struct {
	Number   int
	Suspects []Moved // furthest first
	Steps    int
	Loss     float64 // mean of the last epoch's steps
	Took     time.Duration
}

// A Moved token is one suspect of a round.
type Moved struct {
	TokenID  int
	Movement float64 // ||E0[i]-E[i]||
	Count    int     // how often the round's texts hold it
}

// A Suspect is a token with what is known of it.
type Suspect struct {
	TokenID  int
	Rounds   []int   // that named it
	Rank     int     // the best in any round, from 1; 0 without one
	Movement float64 // in the round where that is
	Count    int     // how often the data holds it
	Association
	// Strong says that Z stands out of those of all tokens of the data, and that
	// nearly all texts with the token have the label.
	Strong bool
}

// Errors of Run.
var (
	// ErrNoData: there is no example.
	ErrNoData = errors.New("no examples to train on")
	// ErrOneClass: all examples have one label, which nothing can be learnt from.
	ErrOneClass = errors.New("all examples have the same label")
	// ErrDiverged: a loss was NaN or infinite.
	ErrDiverged = errors.New("the loss is not a number")
)

// Run runs the rounds. ref is the reference's embedding; deep is needed for
// RoundModel alone.
func Run(ctx context.Context, ref scan.Rows, data Data, deep *Deep, opt Options) (*Result, error) {
	opt.defaults()
	if err := check(ref, data, deep, opt); err != nil {
		return nil, err
	}
	r := &run{ref: ref, data: data, opt: opt, k: PerRound(opt.Share, ref.Len())}
	res := &Result{}
	for _, n := range opt.Rounds {
		one, err := r.round(ctx, n, deep)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", n, err)
		}
		res.Rounds = append(res.Rounds, *one)
		if n == RoundBag {
			r.first = one.Suspects
		}
	}
	known := associate(data, ref.Len(), opt.Special)
	res.Suspects, res.Others = union(res.Rounds, count(data.Sequences, ref.Len()), known)
	return res, nil
}

// PerRound is how many suspects a round has at most, of a vocabulary of n tokens.
func PerRound(share float64, n int) int { return max(1, int(share*float64(n))) }

func (o *Options) defaults() {
	if o.Rounds == nil {
		o.Rounds = []int{RoundBag, RoundRemoved, RoundModel}
	}
	o.Share, o.LR, o.Decay = cmp.Or(o.Share, DefaultShare), cmp.Or(o.LR, DefaultLR), cmp.Or(o.Decay, DefaultDecay)
	o.Epochs, o.Batch, o.DeepBatch = cmp.Or(o.Epochs, 1), cmp.Or(o.Batch, DefaultBatch), cmp.Or(o.DeepBatch, DefaultDeepBatch)
	if o.Decay < 0 {
		o.Decay = 0
	}
	if o.Special == nil {
		o.Special = func(int) bool { return false }
	}
	if o.Progress == nil {
		o.Progress = func(int, int, int) {}
	}
}

func check(ref scan.Rows, data Data, deep *Deep, opt Options) error {
	for i, n := range opt.Rounds {
		switch {
		case n < RoundBag || n > RoundModel || i > 0 && n <= opt.Rounds[i-1]:
			return fmt.Errorf("rounds %d: want some of 1, 2 and 3, ascending", opt.Rounds)
		case n == RoundRemoved && opt.Rounds[0] != RoundBag:
			return fmt.Errorf("rounds %d: round 2 needs the suspects of round 1", opt.Rounds)
		case n == RoundModel && deep == nil:
			return errors.New("round 3 needs a model")
		}
	}
	switch {
	case len(opt.Rounds) == 0:
		return errors.New("no rounds")
	case ref.Len() == 0 || ref.Dim() == 0:
		return scan.ErrNoRows
	case !(opt.Share > 0 && opt.Share <= 1), !(opt.LR > 0), !(opt.Decay >= 0), opt.Epochs < 1, opt.Batch < 1, opt.DeepBatch < 1:
		return fmt.Errorf("settings out of range: %+v", opt)
	case len(data.Sequences) == 0:
		return ErrNoData
	case data.Classes > MaxClasses:
		return fmt.Errorf("%d classes, at most %d are taken", data.Classes, MaxClasses)
	case len(data.Labels) != len(data.Sequences):
		return fmt.Errorf("%d labels for %d sequences", len(data.Labels), len(data.Sequences))
	}
	for i, s := range data.Sequences {
		if y := data.Labels[i]; y < 0 || y >= data.Classes {
			return fmt.Errorf("example %d has label %d of %d", i+1, y, data.Classes)
		}
		for _, id := range s {
			if id < 0 || int(id) >= ref.Len() {
				return fmt.Errorf("example %d has token %d, the reference has %d", i+1, id, ref.Len())
			}
		}
	}
	if !slices.ContainsFunc(data.Labels, func(y int) bool { return y != data.Labels[0] }) {
		return ErrOneClass
	}
	return nil
}

// A run is one call of Run.
type run struct {
	ref   scan.Rows
	data  Data
	opt   Options
	k     int     // suspects of a round
	first []Moved // of round 1
}

func (r *run) round(ctx context.Context, n int, deep *Deep) (*Round, error) {
	began := time.Now()
	out := &Round{Number: n}
	sequences := r.data.Sequences
	if n == RoundRemoved {
		gone := map[int32]bool{}
		for _, s := range r.first {
			gone[int32(s.TokenID)] = true
		}
		sequences = without(sequences, gone)
	}
	examples, err := r.examples(sequences)
	if err != nil {
		return nil, err
	}
	var trained rowOf
	if n == RoundModel {
		trained, err = r.deep(ctx, out, examples, deep)
	} else {
		trained, err = r.bag(ctx, out, examples)
	}
	if err != nil {
		return nil, err
	}
	counts := count(sequences, r.ref.Len())
	if out.Suspects, err = r.furthest(ctx, trained, counts); err != nil {
		return nil, err
	}
	out.Took = time.Since(began)
	return out, nil
}

// An example is a text with its label.
type example struct {
	ids   []int32
	label int
}

// examples leaves out the texts without tokens.
func (r *run) examples(sequences [][]int32) ([]example, error) {
	var out []example
	for i, s := range sequences {
		if len(s) > 0 {
			out = append(out, example{s, r.data.Labels[i]})
		}
	}
	if len(out) == 0 {
		return nil, ErrNoData
	}
	return out, nil
}

// without returns the sequences without some tokens.
func without(sequences [][]int32, gone map[int32]bool) [][]int32 {
	out := make([][]int32, len(sequences))
	for i, s := range sequences {
		out[i] = slices.DeleteFunc(slices.Clone(s), func(id int32) bool { return gone[id] })
	}
	return out
}

// count says how often each of n tokens occurs.
func count(sequences [][]int32, n int) []int {
	counts := make([]int, n)
	for _, s := range sequences {
		for _, id := range s {
			counts[id]++
		}
	}
	return counts
}

// A rowOf returns the trained row of a token that the texts hold.
type rowOf func(id int) []float32

// furthest returns the k tokens of the texts whose rows moved furthest. Others
// moved by weight decay alone, which says nothing.
func (r *run) furthest(ctx context.Context, trained rowOf, counts []int) ([]Moved, error) {
	a := make([]float32, r.ref.Dim())
	var all []Moved
	for id, n := range counts {
		if n == 0 || r.opt.Special(id) {
			continue
		}
		if err := r.ref.ReadRows(ctx, a, id); err != nil {
			return nil, err
		}
		d := math.Sqrt(kernel.RowSums(a, trained(id)).DD)
		if d-d != 0 {
			return nil, fmt.Errorf("%w: token %d has a row that is not finite", ErrDiverged, id)
		}
		all = append(all, Moved{TokenID: id, Movement: d, Count: n})
	}
	slices.SortFunc(all, func(x, y Moved) int {
		return cmp.Or(cmp.Compare(y.Movement, x.Movement), cmp.Compare(x.TokenID, y.TokenID))
	})
	return slices.Clip(all[:min(r.k, len(all))]), nil
}

// union joins the suspects of the rounds, and the tokens that stand out beside
// them.
func union(rounds []Round, counts []int, known *associations) (suspects, others []Suspect) {
	by := map[int]*Suspect{}
	suspect := func(id int) *Suspect {
		return &Suspect{TokenID: id, Count: counts[id], Association: known.of[id], Strong: slices.Contains(known.strong, id)}
	}
	for _, r := range rounds {
		for rank, m := range r.Suspects {
			s := by[m.TokenID]
			if s == nil {
				s = suspect(m.TokenID)
				by[m.TokenID] = s
			}
			if s.Rank == 0 || rank+1 < s.Rank {
				s.Rank, s.Movement = rank+1, m.Movement
			}
			s.Rounds = append(s.Rounds, r.Number)
		}
	}
	for _, s := range by {
		suspects = append(suspects, *s)
	}
	slices.SortFunc(suspects, func(a, b Suspect) int {
		if a.Strong != b.Strong {
			if a.Strong {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(b.Z, a.Z), cmp.Compare(a.TokenID, b.TokenID))
	})
	for _, id := range known.strong {
		if by[id] == nil {
			others = append(others, *suspect(id))
		}
	}
	return suspects, others
}
