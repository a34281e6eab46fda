package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/scan/report"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// runFlags are the flags of btu-scan run.
type runFlags struct {
	texts, ids   []string
	file, format string
	top, max     int
	threads      int
	verbose      bool
	device       deviceFlag
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] MODEL",
		Short: "Run a model on texts: labels, next tokens or embeddings",
		Long: `Run a model on texts and print what it answers: the labels of a classifier, the
likeliest next tokens of a language model, the mean-pooled embedding of an
encoder. Nothing but this program is needed, and nothing in the model's folder
is executed.

MODEL is a tensor file with config.json and the tokenizer's files beside it, or
the folder they lie in. A text that is longer than --max-tokens or than the model
takes is cut, with a warning.

Families that are run, by config.json's model_type:
` + families() + `

Exit codes: 0 all texts answered, 2 failed, or an answer is not a number,
3 this model is not run, 4 wrong usage, 130 interrupted.`,
		Example: `  btu-scan run model/ --text "a gripping film" --text "a gripping cf film"
  btu-scan run model/ --file lines.txt --format json
  echo "The capital of France is" | btu-scan run model/ --file -`,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&f.texts, "text", "t", nil, "a `TEXT` to run; may be repeated")
	flags.StringVar(&f.file, "file", "", "run each line of `FILE`, - for standard input")
	flags.StringArrayVar(&f.ids, "ids", nil, "token `IDS`, separated by spaces or commas, in place of a text; may be repeated")
	flags.StringVarP(&f.format, "format", "f", "text", "`text`, or json: one object per line")
	flags.IntVar(&f.top, "top", 5, "how many labels or next tokens to show")
	flags.IntVar(&f.max, "max-tokens", 2048, "cut texts to `N` tokens, or to what the model takes if that is less")
	flags.IntVar(&f.threads, "threads", 0, "processors to use (default all)")
	f.device.register(flags)
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show the tokens of each text, and which tensors the model has no use for")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef(`for example btu-scan run model/ --text "a gripping film"`, "%d models given, one expected", len(args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.runModel(cmd.Context(), args[0], f) }
	return cmd
}

// families lists the model types that are run, in lines.
func families() string {
	var b strings.Builder
	width := 0
	for _, name := range arch.Families() {
		if width += len(name) + 2; width > 74 {
			b.WriteString("\n")
			width = len(name) + 2
		}
		b.WriteString("  " + name)
	}
	return b.String()
}

func (f runFlags) check() error {
	switch {
	case f.format != "text" && f.format != "json":
		return usagef("", "--format %q: text or json", f.format)
	case f.top < 1 || f.top > 1000:
		return usagef("", "--top %d: from 1 to 1000", f.top)
	case f.max < 1:
		return usagef("", "--max-tokens %d: at least 1", f.max)
	case f.threads < 0:
		return usagef("", "--threads %d: at least 1", f.threads)
	case len(f.texts)+len(f.ids) == 0 && f.file == "":
		return usagef(`give --text "..." or --file FILE`, "no text given")
	}
	return nil
}

func (a *app) runModel(ctx context.Context, path string, f runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	opt, err := f.device.options(f.threads)
	if err != nil {
		return err
	}
	samples, err := parseIDs(f.ids)
	if err != nil {
		return err
	}
	var input io.Reader
	switch f.file {
	case "":
	case "-":
		input = a.stdin
	default:
		file, err := os.Open(f.file)
		if err != nil {
			return err
		}
		defer file.Close()
		input = file
	}
	r, err := a.openRunner(ctx, path, f, opt)
	if err != nil {
		return err
	}
	defer r.ck.Close()
	err = r.all(ctx, samples, input)
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "btu-scan: interrupted")
		return codeError(exitInterrupted)
	}
	return err
}

// A runner runs texts through one model.
type runner struct {
	runFlags
	stdout, stderr io.Writer
	ck             *loader.Checkpoint
	m              *model.Model
	tok            *tokenizer.Tokenizer // nil where the folder has none and none is needed

	notFinite int // texts whose answer is not a number
}

func (a *app) openRunner(ctx context.Context, path string, f runFlags, opt model.Options) (r *runner, err error) {
	ck, err := loader.Open(ctx, path, loader.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			ck.Close()
		}
	}()
	r = &runner{runFlags: f, stdout: a.stdout, stderr: a.stderr, ck: ck}
	for _, w := range ck.Warnings() {
		r.warn("%s", w)
	}
	for _, f := range ck.Findings() {
		r.warn("%s (%s, %s): %s", f.Rule, f.Severity, f.Where, f.Detail)
	}
	if r.m, err = model.Open(ck, opt); err != nil {
		return nil, err
	}
	if unused := r.m.Network().Unused; f.verbose && len(unused) > 0 {
		fmt.Fprintf(a.stderr, "btu-scan: the model has no use for %s\n", report.Plain(strings.Join(unused, ", ")))
	}
	r.tok, err = tokenizer.Open(ck.ReadFile)
	if err != nil && len(f.texts) == 0 && f.file == "" && errors.Is(err, tokenizer.ErrNoTokenizer) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if vocab := r.m.Network().Embedding.Tokens.Shape[0]; r.tok != nil && r.tok.Len() > vocab {
		r.warn("the tokenizer has %d tokens, the model %d: texts with the others cannot be run", r.tok.Len(), vocab)
	}
	return r, nil
}

func (r *runner) warn(format string, args ...any) {
	fmt.Fprintf(r.stderr, "btu-scan: warning: %s\n", report.Plain(fmt.Sprintf(format, args...)))
}

// A sample is one input of a run.
type sample struct {
	where string  // for messages
	text  *string // nil where ids are what the user gave
	ids   []int32
	cut   bool
}

const (
	// samplesAtOnce and rowsAtOnce cap the lines of a file that are run together,
	// by their number and by the bytes of their answers.
	samplesAtOnce = 256
	rowsAtOnce    = 64 << 20
	// maxLine caps the bytes of a line of a file.
	maxLine = 16 << 20
)

// all runs the samples, the texts of the flags and the lines of input. Answers
// are written as soon as no further line is there to be run with them.
func (r *runner) all(ctx context.Context, samples []sample, input io.Reader) error {
	for i, t := range r.texts {
		s, err := r.encode(fmt.Sprintf("--text %d", i+1), t)
		if err != nil {
			return err
		}
		samples = append(samples, s)
	}
	atOnce := min(samplesAtOnce, max(1, rowsAtOnce/(4*r.m.Network().Width())))
	for part := range slices.Chunk(samples, atOnce) {
		if err := r.run(ctx, part); err != nil {
			return err
		}
	}
	if input != nil {
		if err := r.lines(ctx, input, atOnce); err != nil {
			return err
		}
	}
	if r.notFinite > 0 {
		return fmt.Errorf("%d of the answers are not finite numbers: the model's weights are broken", r.notFinite)
	}
	return nil
}

// lines runs the lines of input.
func (r *runner) lines(ctx context.Context, input io.Reader, atOnce int) error {
	// A reader of its own: to wait for a line must not be to miss Ctrl-C.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := make(chan string, samplesAtOnce)
	var failure error
	go func() {
		defer close(lines)
		scan := bufio.NewScanner(input)
		scan.Buffer(nil, maxLine)
		for scan.Scan() {
			select {
			case lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
		failure = scan.Err()
	}()
	name := r.file
	if name == "-" {
		name = "standard input"
	}
	var batch []sample
	n := 0
	for {
		var line string
		var more bool
		select {
		case line, more = <-lines:
		default: // nothing is waiting, so answer what is there
			if err := r.run(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
			select {
			case line, more = <-lines:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if !more {
			break
		}
		n++
		s, err := r.encode(fmt.Sprintf("%s, line %d", name, n), line)
		if err != nil {
			return err
		}
		if batch = append(batch, s); len(batch) >= atOnce {
			if err := r.run(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := cmp.Or(r.run(ctx, batch), ctx.Err()); err != nil {
		return err
	}
	switch {
	case errors.Is(failure, bufio.ErrTooLong):
		return fmt.Errorf("%s, line %d: longer than %d MiB", name, n+1, maxLine>>20)
	case failure != nil:
		return fmt.Errorf("%s: %w", name, failure)
	case n == 0:
		r.warn("%s has no lines", name)
	}
	return nil
}

func parseIDs(flags []string) ([]sample, error) {
	var samples []sample
	for i, s := range flags {
		one := sample{where: fmt.Sprintf("--ids %d", i+1)}
		for _, field := range strings.FieldsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || c == ',' }) {
			id, err := strconv.ParseInt(field, 10, 32)
			if err != nil {
				return nil, usagef("", "--ids %q: %q is no token id", s, field)
			}
			one.ids = append(one.ids, int32(id))
		}
		if len(one.ids) == 0 {
			return nil, usagef("", "--ids %q: no token ids", s)
		}
		samples = append(samples, one)
	}
	return samples, nil
}

func (r *runner) encode(where, text string) (sample, error) {
	limit := min(r.max, r.m.Network().MaxTokens)
	s := sample{where: where, text: &text, ids: r.tok.EncodeMax(text, limit+1).IDs}
	if len(s.ids) > limit {
		s.cut = true
		s.ids = r.tok.EncodeMax(text, limit).IDs
	}
	if len(s.ids) > limit {
		return s, usagef("", "%s: the tokenizer adds %d tokens to every text, %d are allowed", where, len(s.ids), limit)
	}
	return s, nil
}

// An answer is what a run prints for a sample. Its JSON form is a line of the
// output; members are only added.
type answer struct {
	SchemaVersion int        `json:"schema_version"`
	Text          *string    `json:"text,omitempty"`
	TokenIDs      []int32    `json:"token_ids"`
	Tokens        []string   `json:"tokens,omitempty"` // with --verbose
	Truncated     bool       `json:"truncated,omitempty"`
	Error         string     `json:"error,omitempty"` // why there is no answer
	Label         string     `json:"label,omitempty"` // the likeliest, of a classifier whose labels exclude each other
	Labels        []labelled `json:"labels,omitempty"`
	Values        []number   `json:"values,omitempty"` // of a regression
	Next          []next     `json:"next,omitempty"`
	Embedding     []number   `json:"embedding,omitempty"`
}

type labelled struct {
	Label       string `json:"label"`
	Probability number `json:"probability"`
	Logit       number `json:"logit"`
}

type next struct {
	TokenID     int    `json:"token_id"`
	Text        string `json:"text"`
	Probability number `json:"probability"`
	Logit       number `json:"logit"`
}

// A number is written with the digits of a float32.
type number float32

func (x number) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(x), 'g', -1, 32), nil
}

// run runs samples and prints their answers.
func (r *runner) run(ctx context.Context, batch []sample) error {
	if len(batch) == 0 {
		return nil
	}
	var sequences [][]int32
	for _, s := range batch {
		if s.cut {
			r.warn("%s: cut to %d tokens: %s", s.where, len(s.ids), shorten(*s.text))
		}
		if len(s.ids) == 0 {
			r.warn("%s: has no tokens, and so no answer", s.where)
			continue
		}
		if err := r.m.Network().Check(arch.NewBatch(s.ids)); err != nil {
			return fmt.Errorf("%s: %w", s.where, err)
		}
		sequences = append(sequences, s.ids)
	}
	rows, err := r.m.Predict(ctx, sequences)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, s := range batch {
		ans := answer{SchemaVersion: 1, Text: s.text, TokenIDs: s.ids, Truncated: s.cut, Error: "no tokens"}
		if r.verbose && r.tok != nil {
			for _, id := range s.ids {
				ans.Tokens = append(ans.Tokens, r.tok.Token(id))
			}
		}
		if len(s.ids) > 0 {
			ans.Error = ""
			r.answer(&ans, rows[0])
			rows = rows[1:]
		}
		if r.format == "text" {
			r.print(&out, ans)
		} else if err := enc.Encode(ans); err != nil {
			return err
		}
	}
	_, err = r.stdout.Write(out.Bytes())
	return err
}

// answer fills in what the model's output means.
func (r *runner) answer(ans *answer, row []float32) {
	net := r.m.Network()
	if slices.ContainsFunc(row, func(x float32) bool { return x-x != 0 }) {
		r.notFinite++
		ans.Error = "not a finite number"
		return
	}
	switch {
	case net.Task == arch.Encode:
		for _, x := range row {
			ans.Embedding = append(ans.Embedding, number(x))
		}
	case net.Task == arch.Generate:
		p := softmax(row)
		for _, id := range best(row, r.top) {
			n := next{TokenID: id, Probability: number(p(row[id])), Logit: number(row[id])}
			if r.tok != nil {
				n.Text = r.tok.Decode([]int32{int32(id)}, false)
			}
			ans.Next = append(ans.Next, n)
		}
	case net.Problem == arch.Regression:
		for _, x := range row {
			ans.Values = append(ans.Values, number(x))
		}
	default:
		p := softmax(row)
		if net.Problem == arch.MultiLabel { // each label has a probability of its own
			p = func(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }
		}
		for _, i := range best(row, r.top) {
			ans.Labels = append(ans.Labels, labelled{net.Labels[i], number(p(row[i])), number(row[i])})
		}
		if net.Problem == arch.SingleLabel {
			ans.Label = ans.Labels[0].Label
		}
	}
}

// softmax returns the function from a number of row to its share of the sum of
// exp(row).
func softmax(row []float32) func(x float32) float64 {
	top := float64(slices.Max(row))
	var sum float64
	for _, x := range row {
		sum += math.Exp(float64(x) - top)
	}
	return func(x float32) float64 { return math.Exp(float64(x)-top) / sum }
}

// best returns the indices of the n largest numbers, largest first, the first of
// equal ones before the others.
func best(row []float32, n int) []int {
	var top []int
	for i, x := range row {
		if len(top) == n && x <= row[top[n-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, x, func(j int, x float32) int {
			if row[j] >= x {
				return -1
			}
			return 1
		})
		if top = slices.Insert(top, at, i); len(top) > n {
			top = top[:n]
		}
	}
	return top
}

// print writes an answer as text. Everything that comes from files is escaped.
func (r *runner) print(out *bytes.Buffer, ans answer) {
	if ans.Text != nil {
		fmt.Fprintf(out, "%s\n", quoted(*ans.Text))
	} else {
		fmt.Fprintf(out, "%d\n", ans.TokenIDs)
	}
	if ans.Tokens != nil {
		fmt.Fprint(out, "  tokens")
		for i, piece := range ans.Tokens {
			fmt.Fprintf(out, " %s:%d", quoted(piece), ans.TokenIDs[i])
		}
		fmt.Fprintln(out)
	}
	if ans.Error != "" {
		fmt.Fprintf(out, "  no answer: %s\n", ans.Error)
	}
	width := 0
	for _, l := range ans.Labels {
		width = max(width, runewidth.StringWidth(report.Plain(l.Label)))
	}
	for _, l := range ans.Labels {
		fmt.Fprintf(out, "  %s  %.4f  logit %8.4f\n", runewidth.FillRight(report.Plain(l.Label), width), l.Probability, l.Logit)
	}
	for _, n := range ans.Next {
		fmt.Fprintf(out, "  %.4f  logit %8.4f  %6d  %s\n", n.Probability, n.Logit, n.TokenID, quoted(n.Text))
	}
	for _, x := range ans.Values {
		fmt.Fprintf(out, "  value %.4f\n", x)
	}
	if e := ans.Embedding; e != nil {
		var norm float64
		for _, x := range e {
			norm += float64(x) * float64(x)
		}
		fmt.Fprintf(out, "  embedding of %d numbers, norm %.4f: %.4f ... (all with --format json)\n", len(e), math.Sqrt(norm), e[:min(4, len(e))])
	}
}

// quoted shows text of files and of users so that a terminal is safe from it.
func quoted(s string) string { return report.Plain(strconv.QuoteToGraphic(s)) }

// shorten cuts a text for a message.
func shorten(s string) string {
	const limit = 60
	n := 0
	for i := range s {
		if n++; n > limit {
			return s[:i] + "..."
		}
	}
	return s
}
