// Package tui is the triage terminal UI: look at a scan, decide, repair.
//
// It shows a [scan.Report] and what a [Backend] tells about the model; it opens
// no model itself. Everything that comes from files is the attacker's: no token,
// path, label or message reaches the terminal but through [report.Plain] or
// [report.Token].
package tui

import (
	"context"
	"errors"
	"io"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
)

// A Feature is something that a Backend may lack.
type Feature int

// The features.
const (
	FeatureRows   Feature = iota // rows beyond the report's suspects
	FeatureToken                 // the numbers of a row and its neighbours
	FeatureTry                   // answers of the model
	FeatureRepair                // plans and repairs
	FeatureRescan                // another scan
)

// A Backend knows the model. Its methods are called from several goroutines at
// once, and end soon after their context does.
type Backend interface {
	// Lacks says why there is no such feature, or "" where there is.
	Lacks(Feature) string
	// Digest names the bytes that are looked at; decisions are kept under it.
	Digest(ctx context.Context) (string, error)
	// Scan makes the report, and tells how far it is. Reports that it tells or
	// returns are not changed any more. A report beside an error is unfinished.
	Scan(ctx context.Context, tell func(Progress)) (*scan.Report, error)
	// Rows returns a row per token of the vocabulary, ranked ones with the ranks of
	// the report, others with rank 0.
	Rows(ctx context.Context) ([]scan.Suspect, error)
	// Token looks closely at one token.
	Token(ctx context.Context, id int) (*Token, error)
	// Examples are a few texts with and without a token.
	Examples(ctx context.Context, id int) ([]Example, error)
	// Try answers a text with tokens put into it; none for the text as it is.
	Try(ctx context.Context, text string, ids []int) (*Tried, error)
	// Plan says what a repair would change. sanitize.ErrNothing: nothing.
	Plan(ctx context.Context, o Order) (*sanitize.Plan, error)
	// Repair writes a repaired copy to o.Out, or nothing if it fails.
	Repair(ctx context.Context, o Order, tell func(stage string)) (*sanitize.Result, error)
}

// A Progress is how far a scan is.
type Progress struct {
	Stage  string
	Report *scan.Report // what is known so far; nil for nothing new
	// Tried is what more is known of what tokens do to the model, by token id. It
	// is the receiver's.
	Tried map[int]scan.Behaviour
}

// A Token is what there is to know about one row.
type Token struct {
	ID       int
	Movement []float64 // by dimension, checkpoint less reference; nil without a reference row
	// Checkpoint and Reference are the nearest rows in each, nearest first.
	Checkpoint, Reference []Neighbour
}

// A Neighbour is a token whose row points the same way.
type Neighbour struct {
	ID     int
	Token  string
	Cosine float64 // of the rows without the mean row
}

// An Answer is one thing that a model says.
type Answer struct {
	Label       string
	Probability float64
}

// An Example is a text with and without a token.
type Example struct {
	Text          string // with the token put in
	Before, After Answer
}

// A Tried is the answer to a text.
type Tried struct {
	Text    string   // as the model read it
	Answers []Answer // likeliest first
}

// An Order says what to repair.
type Order struct {
	Report *scan.Report
	// Tokens are those that the user calls triggers, Benign those that are none:
	// triggers of the report that hold one of these are left alone.
	Tokens, Benign []int
	Out            string // the folder to be written
}

// Options adjust Run.
type Options struct {
	Subject string // what is looked at, for the title
	Triage  string // the file of decisions
	Out     string // where a repair is written to, unless the user says otherwise

	Input       io.Reader
	Output      io.Writer
	Environment []string // as os.Environ
	NoColor     bool
}

// Run shows the screens until the user leaves. Work that it started has ended
// when it returns.
//
// Errors: context.Canceled; those of the terminal.
func Run(ctx context.Context, b Backend, opt Options) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m := newModel(ctx, b, opt)
	options := []tea.ProgramOption{
		tea.WithContext(ctx), tea.WithInput(opt.Input), tea.WithOutput(opt.Output), tea.WithEnvironment(opt.Environment),
		tea.WithoutSignalHandler(), // the caller's context ends the program
	}
	if opt.NoColor {
		options = append(options, tea.WithColorProfile(colorprofile.ASCII))
	}
	_, err := tea.NewProgram(m, options...).Run()
	cause := ctx.Err()
	stop()
	m.crew.close() // a repair takes back what it wrote
	if cause != nil {
		return cause
	}
	if errors.Is(err, tea.ErrInterrupted) {
		return context.Canceled
	}
	return err
}
