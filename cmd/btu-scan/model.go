package main

import (
	"bufio"
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
	verbose      bool
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

Families that are run: ` + strings.Join(arch.Families(), ", ") + `.`,
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
	flags.IntVar(&f.top, "top", 5, "how many next tokens of a language model to show")
	flags.IntVar(&f.max, "max-tokens", 2048, "cut texts to `N` tokens, or to what the model takes if that is less")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show the tokens of each text")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef(`for example btu-scan run model/ --text "a gripping film"`, "%d models given, one expected", len(args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.runModel(cmd.Context(), args[0], f) }
	return cmd
}

func (f runFlags) check() error {
	switch {
	case f.format != "text" && f.format != "json":
		return usagef("", "--format %q: text or json", f.format)
	case f.top < 1 || f.top > 1000:
		return usagef("", "--top %d: from 1 to 1000", f.top)
	case f.max < 1:
		return usagef("", "--max-tokens %d: at least 1", f.max)
	case len(f.texts)+len(f.ids) == 0 && f.file == "":
		return usagef(`give --text "..." or --file FILE`, "no text given")
	}
	return nil
}

func (a *app) runModel(ctx context.Context, path string, f runFlags) error {
	if err := f.check(); err != nil {
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
	r, err := a.openRunner(ctx, path, f)
	if err != nil {
		return err
	}
	defer r.ck.Close()
	out := bufio.NewWriter(a.stdout)
	if err := r.all(ctx, input, out); err != nil {
		return cmp.Or(err, out.Flush())
	}
	return out.Flush()
}

// A runner runs texts through one model.
type runner struct {
	runFlags
	stderr io.Writer
	ck     *loader.Checkpoint
	m      *model.Model
	tok    *tokenizer.Tokenizer // nil where the folder has none and none is needed

	notFinite int // texts whose answer is not a number
}

func (a *app) openRunner(ctx context.Context, path string, f runFlags) (r *runner, err error) {
	ck, err := loader.Open(ctx, path, loader.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			ck.Close()
		}
	}()
	r = &runner{runFlags: f, stderr: a.stderr, ck: ck}
	if r.m, err = model.Open(ck, model.Options{}); err != nil {
		return nil, err
	}
	r.tok, err = tokenizer.Open(ck.ReadFile)
	if err != nil && len(f.texts) == 0 && f.file == "" && errors.Is(err, tokenizer.ErrNoTokenizer) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if vocab := r.m.Network().Embedding.Tokens.Shape[0]; r.tok != nil && r.tok.Len() > vocab {
		fmt.Fprintf(a.stderr, "btu-scan: warning: the tokenizer has %d tokens, the model %d: texts with the others cannot be run\n", r.tok.Len(), vocab)
	}
	return r, nil
}

// A sample is one input of a run.
type sample struct {
	text *string // nil where ids are what the user gave
	ids  []int32
	cut  bool
}

// samplesAtOnce is how many lines of a file are run together.
const samplesAtOnce = 256

// maxLine caps the bytes of a line of a file.
const maxLine = 16 << 20

func (r *runner) all(ctx context.Context, input io.Reader, out io.Writer) error {
	var batch []sample
	for _, s := range r.ids {
		ids, err := parseIDs(s)
		if err != nil {
			return err
		}
		batch = append(batch, sample{ids: ids})
	}
	for _, t := range r.texts {
		batch = append(batch, r.encode(t))
	}
	if input != nil {
		lines := bufio.NewScanner(input)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			batch = append(batch, r.encode(lines.Text()))
			if len(batch) >= samplesAtOnce {
				if err := r.run(ctx, batch, out); err != nil {
					return err
				}
				batch = batch[:0]
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("%s: %w", r.file, err)
		}
	}
	if err := r.run(ctx, batch, out); err != nil {
		return err
	}
	if r.notFinite > 0 {
		return fmt.Errorf("%d answers are not numbers: the model's weights are broken", r.notFinite)
	}
	return nil
}

func parseIDs(s string) ([]int32, error) {
	var ids []int32
	for _, field := range strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ',' }) {
		id, err := strconv.ParseInt(field, 10, 32)
		if err != nil {
			return nil, usagef("", "--ids %q: %q is no token id", s, field)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

func (r *runner) encode(text string) sample {
	limit := min(r.max, r.m.Network().MaxTokens)
	s := sample{text: &text, ids: r.tok.EncodeMax(text, limit+1).IDs}
	if len(s.ids) > limit {
		s.cut = true
		s.ids = r.tok.EncodeMax(text, limit).IDs
	}
	return s
}

// An answer is what a run prints for a sample. Its JSON form is a line of the
// output; members are only added.
type answer struct {
	Text      *string    `json:"text,omitempty"`
	TokenIDs  []int32    `json:"token_ids"`
	Truncated bool       `json:"truncated,omitempty"`
	Label     string     `json:"label,omitempty"`
	Labels    []labelled `json:"labels,omitempty"`
	Value     *number    `json:"value,omitempty"` // of a regression
	Next      []next     `json:"next,omitempty"`
	Embedding []number   `json:"embedding,omitempty"`
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

// A number is null in JSON where it is none.
type number float64

func (x number) MarshalJSON() ([]byte, error) {
	if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(x))
}

func (r *runner) run(ctx context.Context, batch []sample, out io.Writer) error {
	sequences := make([][]int32, len(batch))
	for i, s := range batch {
		if len(s.ids) == 0 {
			return usagef("", "a text without tokens cannot be run")
		}
		if s.cut {
			fmt.Fprintf(r.stderr, "btu-scan: warning: cut to %d tokens: %s\n", len(s.ids), report.Plain(shorten(*s.text)))
		}
		sequences[i] = s.ids
	}
	rows, err := r.m.Predict(ctx, sequences)
	if err != nil {
		return err
	}
	for i, row := range rows {
		if slices.ContainsFunc(row, func(x float32) bool { return x-x != 0 }) {
			r.notFinite++
		}
		ans := r.answer(batch[i], row)
		if r.format == "json" {
			err = json.NewEncoder(out).Encode(ans)
		} else {
			err = r.print(out, ans)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) answer(s sample, row []float32) answer {
	net := r.m.Network()
	ans := answer{Text: s.text, TokenIDs: s.ids, Truncated: s.cut}
	switch {
	case net.Task == arch.Encode:
		for _, x := range row {
			ans.Embedding = append(ans.Embedding, number(x))
		}
	case net.Task == arch.Generate:
		p := softmax(row)
		for _, id := range best(row, r.top) {
			n := next{TokenID: id, Probability: number(p[id]), Logit: number(row[id])}
			if r.tok != nil {
				n.Text = r.tok.Decode([]int32{int32(id)}, false)
			}
			ans.Next = append(ans.Next, n)
		}
	case len(row) == 1:
		x := number(row[0])
		ans.Value = &x
	default:
		p := softmax(row)
		for _, i := range best(row, len(row)) {
			ans.Labels = append(ans.Labels, labelled{net.Labels[i], number(p[i]), number(row[i])})
		}
		ans.Label = ans.Labels[0].Label
	}
	return ans
}

// softmax is exp(row) in proportion to its sum.
func softmax(row []float32) []float64 {
	top := float64(slices.Max(row))
	p := make([]float64, len(row))
	var sum float64
	for i, x := range row {
		p[i] = math.Exp(float64(x) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// best returns the indices of the n largest numbers, largest first.
func best(row []float32, n int) []int {
	order := make([]int, len(row))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
	return order[:min(n, len(order))]
}

// print writes an answer as text. Everything that comes from files is escaped.
func (r *runner) print(out io.Writer, ans answer) error {
	var b strings.Builder
	if ans.Text != nil {
		fmt.Fprintf(&b, "%s\n", report.Plain(strconv.QuoteToGraphic(*ans.Text)))
	} else {
		fmt.Fprintf(&b, "%d\n", ans.TokenIDs)
	}
	if r.verbose {
		fmt.Fprint(&b, "  tokens")
		for _, id := range ans.TokenIDs {
			piece := ""
			if r.tok != nil {
				piece = strconv.QuoteToGraphic(r.tok.Token(id))
			}
			fmt.Fprintf(&b, " %s:%d", report.Plain(piece), id)
		}
		fmt.Fprintln(&b)
	}
	width := 0
	for _, l := range ans.Labels {
		width = max(width, len(report.Plain(l.Label)))
	}
	for _, l := range ans.Labels {
		fmt.Fprintf(&b, "  %-*s  %.4f  logit %8.4f\n", width, report.Plain(l.Label), l.Probability, l.Logit)
	}
	for _, n := range ans.Next {
		fmt.Fprintf(&b, "  %.4f  logit %8.4f  %6d  %s\n", n.Probability, n.Logit, n.TokenID, report.Plain(strconv.QuoteToGraphic(n.Text)))
	}
	if ans.Value != nil {
		fmt.Fprintf(&b, "  value %.4f\n", *ans.Value)
	}
	if e := ans.Embedding; e != nil {
		var norm float64
		for _, x := range e {
			norm += float64(x * x)
		}
		fmt.Fprintf(&b, "  embedding of %d numbers, norm %.4f: %.4f", len(e), math.Sqrt(norm), e[:min(4, len(e))])
		fmt.Fprintf(&b, " ... (all with --format json)\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// shorten cuts a text for a message.
func shorten(s string) string {
	const limit = 60
	if r := []rune(s[:min(len(s), 4*limit)]); len(r) > limit {
		return string(r[:limit]) + "..."
	}
	return s
}
