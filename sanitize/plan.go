package sanitize

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/btu-scan/btu-scan/scan"
)

// SchemaVersion is the version of the JSON forms of this package. Fields are
// only ever added to a version.
const SchemaVersion = 1

// A Donor is where the values come from that overwrite a row.
type Donor string

// The donors.
const (
	// DonorPad is the padding token's row, as the reference has it: what BTU
	// takes. Padding is never attended to, so its row means nothing.
	DonorPad Donor = "pad"
	// DonorMean is the mean row of the vocabulary, for models without padding.
	DonorMean Donor = "mean"
	// DonorReference is the reference's own row of the token. It undoes what the
	// embedding learnt, but not what the layers above learnt of the pretrained row.
	DonorReference Donor = "reference"
)

// An Extent is how much of a row is overwritten.
type Extent string

// The extents, from the least.
const (
	// ExtentDimensions are the dimensions that moved further than Plan.Threshold.
	ExtentDimensions Extent = "dimensions"
	ExtentRows       Extent = "rows"
)

// Name is the extent for a reader.
func (e Extent) Name() string {
	if e == ExtentDimensions {
		return "the dimensions that moved"
	}
	return "whole rows"
}

// A Plan says what is going to be overwritten, and why.
type Plan struct {
	SchemaVersion int       `json:"schema_version"`
	Checkpoint    string    `json:"checkpoint"`
	Tensor        string    `json:"tensor"` // the token embedding
	Triggers      []Trigger `json:"triggers"`
	Rows          []Row     `json:"rows"`
	Donor         Donor     `json:"donor"`
	PadID         int       `json:"pad_id"` // of DonorPad; -1 else
	// Threshold is BTU's: Multiplier times the Frobenius norm of the embedding's
	// movement over the number of rows. 0 without a reference.
	Threshold  float64 `json:"threshold"`
	Multiplier float64 `json:"multiplier"`
	// Extents are tried in this order until one works.
	Extents  []Extent `json:"extents"`
	Warnings []string `json:"warnings"`

	keep  func(id int) bool
	token func(id int) string
}

// DonorName is the donor for a reader.
func (p *Plan) DonorName() string {
	switch p.Donor {
	case DonorPad:
		return fmt.Sprintf("the padding token's row (token %d)", p.PadID)
	case DonorMean:
		return "the mean row of the vocabulary"
	}
	return "the reference's own rows"
}

// A Trigger is a sequence of tokens that has to lose its power.
type Trigger struct {
	TokenIDs []int  `json:"token_ids"`
	Text     string `json:"text"`
	// Label is the answer that it forces; "" where that is not known.
	Label string `json:"target_label"`
	Place string `json:"place"` // anywhere, front or back
	Why   string `json:"why"`   // who says so
	// Ordinary says that its tokens are words that the model needs, so that their
	// rows stay: only a fine-tune can take its power.
	Ordinary bool `json:"ordinary_words"`
}

// A Row is a row of the token embedding.
type Row struct {
	TokenID int    `json:"token_id"`
	Token   string `json:"token"` // as the tokenizer writes it; "" where unknown
	// Moved is how many of its dimensions moved further than the threshold, -1
	// without a reference.
	Moved int    `json:"dimensions_moved"`
	Why   string `json:"why"`
}

// ErrNothing says that there is nothing to sanitize.
var ErrNothing = errors.New("no trigger is known")

// PlanOptions are what NewPlan needs. Those that are not said to be optional are
// required.
type PlanOptions struct {
	Checkpoint string // its path
	Tensor     string // the name of Embedding
	Embedding  scan.Rows
	Reference  scan.Rows // Optional.

	Triggers []Trigger
	Rows     []Row // beside those of the triggers; Moved is filled in. Optional.
	// Keep are rows that are never overwritten, such as special tokens. Optional.
	Keep func(id int) bool
	// Token is the piece of a token. Optional.
	Token func(id int) string

	Donor Donor // Optional: DonorPad, or DonorMean without a padding token.
	// PadID is the padding token, -1 if there is none.
	PadID      int
	Multiplier float64  // of BTU's threshold. Optional: 1.
	Extents    []Extent // Optional: dimensions, then rows; rows alone without a reference.
}

// NewPlan makes a plan. It reads both matrices once, and overwrites nothing.
//
// Errors: ErrNothing, and those of the matrices.
func NewPlan(ctx context.Context, opt PlanOptions) (*Plan, error) {
	p := &Plan{
		SchemaVersion: SchemaVersion, Checkpoint: opt.Checkpoint, Tensor: opt.Tensor, Donor: opt.Donor, PadID: -1,
		Triggers: append([]Trigger{}, opt.Triggers...), Multiplier: opt.Multiplier, Extents: slices.Clone(opt.Extents), Warnings: []string{},
		keep: opt.Keep, token: opt.Token,
	}
	if p.Multiplier == 0 {
		p.Multiplier = 1
	}
	if p.Donor == "" {
		p.Donor = DonorPad
		if opt.PadID < 0 {
			p.Donor = DonorMean
			p.Warnings = append(p.Warnings, "the model has no token that is for padding alone, so rows become the mean row")
		}
	}
	rows := opt.Reference
	switch {
	case p.Donor == DonorReference && rows == nil:
		return nil, errors.New("rows of the reference need a reference")
	case p.Donor == DonorPad && (opt.PadID < 0 || opt.PadID >= opt.Embedding.Len()):
		return nil, errors.New("the model has no padding token")
	case p.Donor == DonorPad:
		p.PadID = opt.PadID
	}
	if len(p.Extents) == 0 {
		p.Extents = []Extent{ExtentDimensions, ExtentRows}
		if rows == nil || p.Donor == DonorReference { // its other dimensions are the row's own, but for what moved little
			p.Extents = []Extent{ExtentRows}
		}
	}
	if rows == nil && slices.Contains(p.Extents, ExtentDimensions) {
		return nil, errors.New("dimensions that moved need a reference")
	}
	if rows != nil {
		moved, err := scan.Distance(ctx, rows, opt.Embedding)
		if err != nil {
			return nil, err
		}
		p.Threshold = p.Multiplier * moved / float64(opt.Embedding.Len())
	}
	p.Rows = []Row{}
	if err := p.addRows(ctx, opt); err != nil {
		return nil, err
	}
	return p, nil
}

// addRows lists each row once: those of the triggers, then the others.
func (p *Plan) addRows(ctx context.Context, opt PlanOptions) error {
	rows := slices.Clone(opt.Rows)
	for i := len(p.Triggers) - 1; i >= 0; i-- {
		t := p.Triggers[i]
		if t.Ordinary {
			continue
		}
		for j := len(t.TokenIDs) - 1; j >= 0; j-- {
			rows = slices.Insert(rows, 0, Row{TokenID: t.TokenIDs[j], Why: t.Why})
		}
	}
	seen := map[int]bool{}
	for _, r := range rows {
		switch {
		case seen[r.TokenID]:
			continue
		case r.TokenID < 0 || r.TokenID >= opt.Embedding.Len():
			return fmt.Errorf("token %d: the embedding has %d rows", r.TokenID, opt.Embedding.Len())
		case r.TokenID == p.PadID || opt.Keep != nil && opt.Keep(r.TokenID):
			p.Warnings = append(p.Warnings, fmt.Sprintf("token %d is a special token of the model, so its row stays", r.TokenID))
			seen[r.TokenID] = true
			continue
		}
		seen[r.TokenID] = true
		if opt.Token != nil {
			r.Token = opt.Token(r.TokenID)
		}
		r.Moved = -1
		if opt.Reference != nil && r.TokenID < opt.Reference.Len() {
			a, err := readRow(ctx, opt.Reference, r.TokenID)
			if err != nil {
				return err
			}
			b, err := readRow(ctx, opt.Embedding, r.TokenID)
			if err != nil {
				return err
			}
			r.Moved = 0
			for d := range b {
				if p.moved(a[d], b[d]) {
					r.Moved++
				}
			}
		}
		p.Rows = append(p.Rows, r)
	}
	if len(p.Rows) == 0 && !p.ordinary() {
		return ErrNothing
	}
	return nil
}

// ordinary reports whether a trigger is made of ordinary words.
func (p *Plan) ordinary() bool {
	return slices.ContainsFunc(p.Triggers, func(t Trigger) bool { return t.Ordinary })
}

// moved reports whether a dimension moved further than the threshold.
func (p *Plan) moved(a, b float32) bool { return math.Abs(float64(b)-float64(a)) > p.Threshold }

func readRow(ctx context.Context, r scan.Rows, i int) ([]float32, error) {
	row := make([]float32, r.Dim())
	return row, r.ReadRows(ctx, row, i)
}

// An Edit is a row with its new values.
type Edit struct {
	TokenID int
	Values  []float32
	Changed int // dimensions
}

// Edits computes the rows' new values. The matrices are those that the plan was
// made of; reference may be nil if it was.
func (p *Plan) Edits(ctx context.Context, embedding, reference scan.Rows, extent Extent) ([]Edit, error) {
	donor, err := p.donor(ctx, embedding, reference)
	if err != nil {
		return nil, err
	}
	var edits []Edit
	for _, r := range p.Rows {
		old, err := readRow(ctx, embedding, r.TokenID)
		if err != nil {
			return nil, err
		}
		var base []float32
		if reference != nil && r.TokenID < reference.Len() {
			if base, err = readRow(ctx, reference, r.TokenID); err != nil {
				return nil, err
			}
		}
		from := donor
		if p.Donor == DonorReference {
			if from = base; from == nil {
				return nil, fmt.Errorf("token %d: the reference has no such row", r.TokenID)
			}
		}
		e := Edit{TokenID: r.TokenID, Values: slices.Clone(from)}
		for d := range e.Values {
			if extent == ExtentDimensions && base != nil && !p.moved(base[d], old[d]) {
				e.Values[d] = old[d]
			}
			if e.Values[d] != old[d] {
				e.Changed++
			}
		}
		edits = append(edits, e)
	}
	return edits, nil
}

// donor is the row that overwrites others, nil for DonorReference.
func (p *Plan) donor(ctx context.Context, embedding, reference scan.Rows) ([]float32, error) {
	rows := embedding
	if reference != nil {
		rows = reference // what fine-tuning did to the donor is no part of it
	}
	switch p.Donor {
	case DonorReference:
		return nil, nil
	case DonorPad:
		if p.PadID >= rows.Len() {
			rows = embedding
		}
		return readRow(ctx, rows, p.PadID)
	}
	sum, err := scan.MeanRow(ctx, rows)
	mean := make([]float32, len(sum))
	for d, x := range sum {
		mean[d] = float32(x)
	}
	return mean, err
}

// unknown are those of triggers whose rows the plan does not overwrite.
func (p *Plan) unknown(triggers []Trigger) (more []Trigger) {
	for _, t := range triggers {
		known := slices.ContainsFunc(p.Triggers, func(o Trigger) bool { return slices.Equal(o.TokenIDs, t.TokenIDs) })
		rows := !slices.ContainsFunc(t.TokenIDs, func(id int) bool {
			return !slices.ContainsFunc(p.Rows, func(r Row) bool { return r.TokenID == id })
		})
		if !known && (t.Ordinary || !rows) {
			more = append(more, t)
		}
	}
	return more
}
