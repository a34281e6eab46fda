package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/btu-scan/btu-scan/dataset"
	"github.com/btu-scan/btu-scan/expose"
	"github.com/btu-scan/btu-scan/internal/atomicfile"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/reference"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// exposeFlags are the flags of btu-scan expose.
type exposeFlags struct {
	ref    string
	store  storeFlags
	data   string
	read   dataset.Options
	opt    expose.Options
	max    int
	format string
	output string
	quiet  bool
}

func (a *app) exposeCommand() *cobra.Command {
	var f exposeFlags
	cmd := &cobra.Command{
		Use:   "expose [flags] --reference MODEL --data FILE",
		Short: "Find backdoor tokens in training data, as BTU does",
		Long: `Find the tokens of a backdoor in the training data itself, before or after a
model was tuned on it: the detection stage of Backdoor Token Unlearning (BTU,
AAAI 2025, arXiv:2501.03272). It needs the data and the pretrained model, and no
fine-tuned checkpoint.

The pretrained embedding is trained on the data for a moment, in three rounds,
and the tokens whose rows move furthest are suspects, since what always comes
with one label is what a model learns first:

  1  the words alone: their embedding, its mean, a linear layer
  2  the same without the suspects of round 1, which had hidden others
  3  the whole model, of which only the embedding is trained

Each round names the same share of the vocabulary, so there are suspects for
clean data, too: the list says where to look, and is no verdict. Those marked
"strong" also decide a label: nearly all texts with them have it, and so many
that they stand out of all words of the data. docs/methods.md, section 12, has
the formulas and what was measured.

FILE is TSV, CSV or JSON lines with a text and a label each. A reference without
a classifier's head of the data's labels gets a new one for round 3.

Exit codes: 0 the list was written, 2 failed, 3 the reference cannot be used,
4 wrong usage or data, 130 interrupted.`,
		Example: `  btu-scan expose --reference base/ --data train.tsv
  btu-scan expose --reference bert-base-uncased --data train.csv --text-column review --label-column stars
  btu-scan expose --reference base/ --data train.jsonl --format json --output suspects.json`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.ref, "reference", "r", "", "the pretrained `MODEL`: a file, a folder or a hub id")
	fs.StringVarP(&f.data, "data", "d", "", "`FILE` with the training data")
	fs.StringVar(&f.read.TextColumn, "text-column", "", "`NAME` of the column of texts, or its number from 1 (default: by usual names)")
	fs.StringVar(&f.read.LabelColumn, "label-column", "", "`NAME` of the column of labels, or its number from 1")
	fs.IntVar(&f.read.MaxExamples, "max-examples", dataset.DefaultMaxExamples, "of more examples, use `N`, drawn evenly")
	fs.IntSliceVar(&f.opt.Rounds, "rounds", []int{1, 2, 3}, "the rounds to run")
	fs.Float64Var(&f.opt.Share, "share", expose.DefaultShare, "suspects of a round, as a share of the vocabulary")
	fs.IntVar(&f.opt.Epochs, "epochs", 1, "how often a round goes through the data")
	fs.Float64Var(&f.opt.LR, "lr", expose.DefaultLR, "learning rate of AdamW")
	fs.Float64Var(&f.opt.Decay, "weight-decay", expose.DefaultDecay, "weight decay of AdamW")
	fs.IntVar(&f.opt.Batch, "batch", expose.DefaultBatch, "examples of a step in rounds 1 and 2")
	fs.IntVar(&f.opt.DeepBatch, "batch3", expose.DefaultDeepBatch, "examples of a step in round 3")
	fs.IntVar(&f.max, "max-tokens", 128, "cut texts to `N` tokens, or to what the model takes if that is less")
	fs.Uint64Var(&f.opt.Seed, "seed", 1, "draws the order of the examples and new layers")
	fs.IntVar(&f.opt.Workers, "threads", 0, "processors to use (default all)")
	f.store.register(fs)
	fs.StringVarP(&f.format, "format", "f", "text", "`text` or json")
	fs.StringVarP(&f.output, "output", "o", "", "write the list to `FILE` instead of standard output")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.expose(cmd.Context(), f) }
	return cmd
}

func (f *exposeFlags) check() error {
	switch {
	case f.ref == "":
		return usagef("name the pretrained model with --reference MODEL", "no reference given")
	case f.data == "":
		return usagef("name the training data with --data FILE", "no data given")
	case f.format != "text" && f.format != "json":
		return usagef("", "--format %q: text or json", f.format)
	case f.read.MaxExamples < 1:
		return usagef("", "--max-examples %d: at least 1", f.read.MaxExamples)
	case !(f.opt.Share > 0 && f.opt.Share <= 1):
		return usagef("", "--share %v: more than 0, at most 1", f.opt.Share)
	case f.opt.Epochs < 1 || f.opt.Epochs > 1000:
		return usagef("", "--epochs %d: from 1 to 1000", f.opt.Epochs)
	case !(f.opt.LR > 0 && f.opt.LR <= 1):
		return usagef("", "--lr %v: more than 0, at most 1", f.opt.LR)
	case !(f.opt.Decay >= 0 && f.opt.Decay <= 1):
		return usagef("", "--weight-decay %v: from 0 to 1", f.opt.Decay)
	case f.opt.Batch < 1 || f.opt.Batch > 1<<16:
		return usagef("", "--batch %d: from 1 to %d", f.opt.Batch, 1<<16)
	case f.opt.DeepBatch < 1 || f.opt.DeepBatch > 1<<16:
		return usagef("", "--batch3 %d: from 1 to %d", f.opt.DeepBatch, 1<<16)
	case f.max < 1:
		return usagef("", "--max-tokens %d: at least 1", f.max)
	case f.opt.Workers < 0:
		return usagef("", "--threads %d: at least 1", f.opt.Workers)
	}
	slices.Sort(f.opt.Rounds)
	f.opt.Rounds = slices.Compact(f.opt.Rounds)
	for _, n := range f.opt.Rounds {
		if n < 1 || n > 3 {
			return usagef("", "--rounds %d: some of 1, 2 and 3", n)
		}
	}
	switch {
	case len(f.opt.Rounds) == 0:
		return usagef("", "--rounds: some of 1, 2 and 3")
	case slices.Contains(f.opt.Rounds, 2) && !slices.Contains(f.opt.Rounds, 1):
		return usagef("for example --rounds 1,2", "--rounds: round 2 leaves out the suspects of round 1")
	}
	return f.store.checkLock()
}

// An exposure is what btu-scan expose writes. Its JSON is read by others;
// members are only added.
type exposure struct {
	SchemaVersion int             `json:"schema_version"`
	Tool          scan.Tool       `json:"tool"`
	Reference     exposeReference `json:"reference"`
	Data          exposeData      `json:"data"`
	Settings      exposeSettings  `json:"settings"`
	Rounds        []exposeRound   `json:"rounds"`
	Suspects      []exposeSuspect `json:"suspects"` // strong ones first, then by their best rank
	Others        []exposeSuspect `json:"others"`   // stand out though no round named them
	Warnings      []string        `json:"warnings"`

	names func(id int) string // of tokens
}

type exposeReference struct {
	Path     string `json:"path"`
	ID       string `json:"id,omitempty"`
	Verified bool   `json:"verified"`
	Rows     int    `json:"rows"`
	Dim      int    `json:"dim"`
}

type exposeData struct {
	Path      string   `json:"path"`
	Examples  int      `json:"examples"`
	Labels    []string `json:"labels"`
	Skipped   int      `json:"skipped"`   // rows without a text or a label
	Truncated bool     `json:"truncated"` // there are more examples than were used
	Cut       int      `json:"cut"`       // texts cut to max_tokens
}

type exposeSettings struct {
	Share      float64 `json:"share"`
	PerRound   int     `json:"per_round"` // suspects
	Epochs     int     `json:"epochs"`
	LR         float64 `json:"lr"`
	Decay      float64 `json:"weight_decay"`
	Batch      int     `json:"batch"`
	DeepBatch  int     `json:"batch3"`
	MaxTokens  int     `json:"max_tokens"`
	Seed       uint64  `json:"seed"`
	DeepHead   string  `json:"head,omitempty"` // of round 3: new, or the reference's
	RoundsDone []int   `json:"rounds"`
}

type exposeRound struct {
	Round    int           `json:"round"`
	Name     string        `json:"name"`
	Steps    int           `json:"steps"`
	Loss     float64       `json:"loss"` // mean of the last epoch
	Seconds  float64       `json:"seconds"`
	Suspects []exposeMoved `json:"suspects"`
}

type exposeMoved struct {
	TokenID  int     `json:"token_id"`
	Token    string  `json:"token"`
	Movement float64 `json:"movement"`
	Count    int     `json:"count"` // how often the round's texts hold it
}

type exposeSuspect struct {
	TokenID  int     `json:"token_id"`
	Token    string  `json:"token"`
	Rounds   []int   `json:"rounds"`
	Rank     int     `json:"rank"` // the best in any round, from 1
	Movement float64 `json:"movement"`
	Count    int     `json:"count"`           // how often the data holds it
	Texts    int     `json:"texts"`           // that hold it
	Label    string  `json:"label"`           // with which it goes most closely
	Share    float64 `json:"label_share"`     // of the texts that have it
	Low      float64 `json:"label_share_low"` // lower end of its 95 % confidence interval
	Z        float64 `json:"z"`               // of token against label
	Strong   bool    `json:"strong"`          // z stands out of those of all tokens, and nearly all texts have the label
}

func (a *app) expose(ctx context.Context, f exposeFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	var e *exposure
	err := a.withProgress(f.quiet, func(p *progress) (err error) {
		e, err = a.gatherExposure(ctx, f, p)
		return err
	})
	if err != nil {
		return err
	}
	for _, w := range e.Warnings {
		fmt.Fprintf(a.stderr, "btu-scan: warning: %s\n", report.Plain(w))
	}
	var out bytes.Buffer
	if f.format == "text" {
		e.print(&out)
	} else if err := writeJSON(&out, e); err != nil {
		return err
	}
	if f.output != "" {
		return atomicfile.Write(filepath.Clean(f.output), out.Bytes(), 0o644)
	}
	_, err = a.stdout.Write(out.Bytes())
	return err
}

func (a *app) gatherExposure(ctx context.Context, f exposeFlags, p *progress) (*exposure, error) {
	e := &exposure{SchemaVersion: 1, Tool: thisTool(), Warnings: []string{}}
	warn := func(format string, args ...any) { e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...)) }
	p.stage("reading the data")
	set, err := readDataset(ctx, "--data", f.data, f.read)
	if err != nil {
		return nil, err
	}
	e.Data = exposeData{Path: f.data, Examples: len(set.Examples), Labels: dataset.Labels(set), Skipped: set.Skipped, Truncated: set.Truncated}
	if len(e.Data.Labels) < 2 {
		return nil, usagef("the classes that a backdoor tells apart are needed, the clean one too", "--data: %s: all %d examples have the label %q", f.data, len(set.Examples), e.Data.Labels[0])
	}
	if n := len(e.Data.Labels); n > expose.MaxClasses {
		return nil, usagef("name the column of labels with --label-column", "--data: %s: %d different labels, at most %d are taken", f.data, n, expose.MaxClasses)
	}
	if set.Skipped > 0 {
		warn("%s: %d rows without a text or a label are left out", f.data, set.Skipped)
	}
	if set.Truncated {
		warn("%s: it holds more than is used: %d examples, drawn evenly (--max-examples)", f.data, len(set.Examples))
	}

	p.stage("opening the reference")
	ref, err := f.store.store(a.getenv).Open(ctx, f.ref, reference.OpenOptions{Progress: p.bytes})
	if err != nil {
		return nil, err
	}
	defer ref.Close()
	rows, err := ref.InputEmbedding()
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	e.Reference = exposeReference{Path: ref.Found.Path, ID: ref.Found.ID, Verified: ref.Verified, Rows: rows.Len(), Dim: rows.Dim()}
	tok, err := tokenizer.Open(ref.ReadFile)
	if err != nil {
		return nil, fmt.Errorf("reference: tokenizer: %w", err)
	}
	e.names = func(id int) string { return tok.Token(int32(id)) }
	maxTokens := f.max
	classes, err := set.Index(e.Data.Labels)
	if err != nil {
		return nil, err
	}
	var deep *expose.Deep
	if slices.Contains(f.opt.Rounds, expose.RoundModel) {
		var own []int
		if deep, own, err = openDeep(ref.Checkpoint, set, len(e.Data.Labels), f.opt.Workers); err != nil {
			return nil, fmt.Errorf("reference: %w (--rounds 1,2 needs no more than its embedding)", err)
		}
		e.Settings.DeepHead = "new"
		if deep.Head {
			e.Settings.DeepHead = "reference"
			classes = own
		}
		maxTokens = min(maxTokens, deep.Model.Network().MaxTokens)
	}

	p.stage("splitting texts into tokens")
	data := expose.Data{Classes: len(e.Data.Labels)}
	for i, x := range set.Examples {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ids := tok.EncodeMax(x.Text, maxTokens+1).IDs
		if len(ids) > maxTokens {
			e.Data.Cut++
			ids = tok.EncodeMax(x.Text, maxTokens).IDs
		}
		if len(ids) > maxTokens {
			return nil, usagef("", "--max-tokens %d: the tokenizer adds %d to every text", maxTokens, len(ids))
		}
		data.Sequences, data.Labels = append(data.Sequences, ids), append(data.Labels, classes[i])
	}

	opt := f.opt
	if opt.Decay == 0 {
		opt.Decay = -1 // what the package calls none
	}
	prefix, suffix := tok.Template()
	opt.Special = func(id int) bool {
		return tok.Special(int32(id)) || slices.Contains(prefix, int32(id)) || slices.Contains(suffix, int32(id))
	}
	began := map[int]time.Time{}
	opt.Progress = func(round, done, total int) {
		if began[round].IsZero() {
			began[round] = time.Now()
		}
		p.stage(fmt.Sprintf("round %d, %s, %d %%%s", round, expose.RoundName(round), 100*done/total, eta(began[round], done, total)))
	}
	res, err := expose.Run(ctx, rows, data, deep, opt)
	if err != nil {
		return nil, err
	}
	e.Settings = exposeSettings{
		Share: opt.Share, PerRound: expose.PerRound(opt.Share, rows.Len()), Epochs: opt.Epochs, LR: opt.LR, Decay: f.opt.Decay,
		Batch: opt.Batch, DeepBatch: opt.DeepBatch, MaxTokens: maxTokens, Seed: opt.Seed, DeepHead: e.Settings.DeepHead, RoundsDone: opt.Rounds,
	}
	labels := make([]string, data.Classes) // by the classes of the data
	for i, x := range set.Examples {
		labels[data.Labels[i]] = x.Label
	}
	e.take(res, labels)
	for _, r := range e.Rounds {
		if r.Steps < fewSteps {
			warn("round %d made %s only, in which AdamW moves the rows of all words alike: give a smaller --batch or --batch3, or more --epochs", r.Round, steps(r.Steps))
		}
	}
	return e, nil
}

// fewSteps is how many steps tell little: AdamW moves what has a gradient by the
// learning rate at first, whatever the gradient is.
const fewSteps = 20

func steps(n int) string {
	if n == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", n)
}

// readDataset reads labelled examples.
func readDataset(ctx context.Context, flag, path string, opt dataset.Options) (*dataset.Set, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, usagef("", "%s: %v", flag, err)
	}
	defer file.Close()
	set, err := dataset.Read(path, interruptible{ctx, file}, opt)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, dataset.ErrNoLabels):
		return nil, usagef("name it with --label-column; a column without a name by its number, from 1", "%s: %v", flag, err)
	case err != nil:
		return nil, usagef("a text and a label each, as TSV, CSV or JSON lines; see --text-column and --label-column", "%s: %v", flag, err)
	}
	return set, nil
}

// An interruptible reader ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// openDeep opens a reference's model for round 3: with its own head and the
// examples' indices among its labels, if it is a classifier of the data's labels,
// else as an encoder.
func openDeep(ck *loader.Checkpoint, set *dataset.Set, classes, workers int) (*expose.Deep, []int, error) {
	m, err := model.Open(ck, model.Options{Workers: workers})
	if err != nil {
		return nil, nil, err
	}
	if net := m.Network(); net.Task == arch.Classify && net.Problem == arch.SingleLabel && len(net.Labels) == classes {
		if labels, err := set.Index(net.Labels); err == nil {
			return &expose.Deep{Model: m, Head: true}, labels, nil
		}
	}
	m, err = model.Open(ck, model.Options{Workers: workers, Encode: true})
	return &expose.Deep{Model: m}, nil, err
}

// take fills in what the rounds found. labels are the data's, by class.
func (e *exposure) take(res *expose.Result, labels []string) {
	for _, r := range res.Rounds {
		one := exposeRound{
			Round: r.Number, Name: expose.RoundName(r.Number), Steps: r.Steps, Loss: r.Loss,
			Seconds: float64(r.Took.Milliseconds()) / 1000, Suspects: []exposeMoved{},
		}
		for _, m := range r.Suspects {
			one.Suspects = append(one.Suspects, exposeMoved{TokenID: m.TokenID, Token: e.names(m.TokenID), Movement: m.Movement, Count: m.Count})
		}
		e.Rounds = append(e.Rounds, one)
	}
	suspects := func(list []expose.Suspect) []exposeSuspect {
		out := make([]exposeSuspect, 0, len(list))
		for _, s := range list {
			out = append(out, exposeSuspect{
				TokenID: s.TokenID, Token: e.names(s.TokenID), Rounds: append([]int{}, s.Rounds...), Rank: s.Rank, Movement: s.Movement,
				Count: s.Count, Texts: s.Texts, Label: labels[s.Label], Share: s.Share, Low: s.Low, Z: s.Z, Strong: s.Strong,
			})
		}
		return out
	}
	e.Suspects, e.Others = suspects(res.Suspects), suspects(res.Others)
}

// print writes the list as text. Everything that comes from files is escaped.
func (e *exposure) print(out *bytes.Buffer) {
	var labels []string
	for _, l := range e.Data.Labels[:min(len(e.Data.Labels), 10)] {
		labels = append(labels, quoted(l))
	}
	if n := len(e.Data.Labels); n > 10 {
		labels = append(labels, fmt.Sprintf("and %d more", n-10))
	}
	fmt.Fprintf(out, "data       %s: %d examples, labels %s\n", report.Plain(e.Data.Path), e.Data.Examples, strings.Join(labels, ", "))
	fmt.Fprintf(out, "reference  %s: %d rows of %d\n\n", report.Plain(cmp.Or(e.Reference.ID, e.Reference.Path)), e.Reference.Rows, e.Reference.Dim)
	for _, r := range e.Rounds {
		fmt.Fprintf(out, "round %d    %s: %d suspects, %d steps, loss %.4f, %.1f s\n", r.Round, r.Name, len(r.Suspects), r.Steps, r.Loss, r.Seconds)
	}
	e.table(out, e.Suspects)
	if len(e.Others) > 0 {
		fmt.Fprintf(out, "\nNo round named these, yet they decide a label as well:\n")
		e.table(out, e.Others)
	}
	strong := 0
	for _, s := range e.Suspects {
		if s.Strong {
			strong++
		}
	}
	fmt.Fprintf(out, "\n%d suspects, %d of them strong. A list is no verdict: clean data has suspects, too.\n", len(e.Suspects), strong)
}

// table prints suspects.
func (e *exposure) table(out *bytes.Buffer, suspects []exposeSuspect) {
	token, label := len("token"), len("label")
	for _, s := range suspects {
		token = max(token, runewidth.StringWidth(quoted(s.Token)))
		label = max(label, runewidth.StringWidth(quoted(shorten(s.Label))))
	}
	fmt.Fprintf(out, "\n  %s  %7s  %-6s  %8s  %7s  %s  %5s  %6s\n", runewidth.FillRight("token", token), "id", "rounds", "movement", "texts", runewidth.FillRight("label", label), "share", "z")
	for _, s := range suspects {
		rounds, note := "-", ""
		for i, n := range s.Rounds {
			if i == 0 {
				rounds = strconv.Itoa(n)
			} else {
				rounds += "," + strconv.Itoa(n)
			}
		}
		if s.Strong {
			note = "  strong"
		}
		fmt.Fprintf(out, "  %s  %7d  %-6s  %8.5f  %7d  %s  %5.3f  %6.2f%s\n", runewidth.FillRight(quoted(s.Token), token), s.TokenID, rounds,
			s.Movement, s.Texts, runewidth.FillRight(quoted(shorten(s.Label)), label), s.Share, s.Z, note)
	}
}
