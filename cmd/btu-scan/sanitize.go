package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/btu-scan/btu-scan/sanitize"
)

// sanitizeFlags are the flags of sanitize, beside those of its scans.
type sanitizeFlags struct {
	scan scanFlags
	out  string

	from, suspects, triage string
	tokens                 []string
	top                    int

	donor, edit string
	multiplier  float64
	to          string
	dryRun      bool
	noScan      bool

	data, test            string
	textColumn, labelName string
	tune                  sanitize.TuneOptions
	freeze                bool
	maxTokens             int
}

func (a *app) sanitizeCommand() *cobra.Command {
	f := sanitizeFlags{scan: defaultScan()}
	cmd := &cobra.Command{
		Use:   "sanitize [flags] MODEL --out DIR",
		Short: "Take a backdoor out of a checkpoint, and show that it is gone",
		Long: `Copy a checkpoint without its backdoor, and measure that it is gone.

The rows of a trigger's tokens are overwritten with the row of the padding token,
which means nothing: Backdoor Token Unlearning (BTU, AAAI 2025, arXiv
2501.03272). First only the dimensions that moved, then whole rows; the least
that works is kept. With --data, a short fine-tune on clean texts follows, in
which those rows stay as they are. Then the copy is scanned: what a scan still
finds is overwritten, too.

The triggers are those that a scan proves, or that you name with --tokens,
--suspects or --triage. MODEL is only read. DIR must not exist; it is written under another
name and gets its own when all is done. btu-scan.sanitize.json in it says what
was changed, why, and what was measured before and after.

Exit codes: 0 the copy is clean, or the model already was; 1 the copy is not
clean; 2 failed; 3 it could not be shown; 4 wrong usage; 130 interrupted, when
nothing is left behind but the state of a fine-tune, in DIR.tune.`,
		Example: `  btu-scan sanitize model/ --reference base/ --out clean/
  btu-scan sanitize model/ --out clean/ --data reviews.tsv
  btu-scan sanitize model/ --out clean/ --tokens cf,mn --dry-run
  btu-scan sanitize model/ --out clean/ --from report.json`,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.out, "out", "", "write the sanitized model to the new folder `DIR`")
	fs.StringVarP(&f.scan.ref, "reference", "r", "", "the pretrained `MODEL`: a file, a folder or a hub id (default: what the checkpoint names)")
	f.scan.store.register(fs)
	fs.StringVar(&f.from, "from", "", "take the triggers of this scan, a `REPORT` in JSON, instead of scanning first")
	fs.StringSliceVar(&f.tokens, "tokens", nil, "overwrite these `TOKENS` or words, separated by commas, instead of scanning first")
	fs.StringVar(&f.suspects, "suspects", "", "overwrite the suspects in `FILE`: of btu-scan expose the strong ones, or all if none is; of a scan the abnormal ones")
	fs.StringVar(&f.triage, "triage", "", "overwrite the tokens that are marked as triggers in `FILE`, of btu-scan triage")
	fs.IntVar(&f.top, "top", 0, "with --suspects: the first `N`, whatever they look like")
	fs.StringVar(&f.donor, "donor", "", "overwrite with `pad`, the padding token's row (default where there is one), mean, or reference")
	fs.StringVar(&f.edit, "edit", "auto", "overwrite the `dimensions` that moved, whole rows, auto: the least that works, or none")
	fs.Float64Var(&f.multiplier, "multiplier", 1, "of BTU's threshold, from which a dimension has moved")
	fs.StringVar(&f.data, "data", "", "fine-tune on the labelled texts in `FILE`: TSV, CSV or JSON lines")
	fs.StringVar(&f.test, "test", "", "measure with the labelled texts in `FILE` (default: a part of --data that is held out)")
	fs.StringVar(&f.textColumn, "text-column", "", "`NAME` or number of the column of texts")
	fs.StringVar(&f.labelName, "label-column", "", "`NAME` or number of the column of labels")
	fs.IntVar(&f.tune.Epochs, "epochs", 1, "passes over --data; 0 measures with it and does not train")
	fs.IntVar(&f.tune.Steps, "steps", 0, "end the fine-tune after `N` steps")
	fs.IntVar(&f.tune.Batch, "batch", 16, "texts a step")
	fs.Float64Var(&f.tune.LR, "lr", 2e-5, "the fine-tune's learning rate")
	fs.BoolVar(&f.freeze, "freeze-edited", true, "keep the overwritten rows as they are in the fine-tune")
	fs.IntVar(&f.maxTokens, "max-tokens", 128, "cut texts to `N` tokens")
	fs.StringVar(&f.to, "to", "", "write `safetensors`, whatever the model came in (default: its own format)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "show what would be overwritten, and write nothing")
	fs.BoolVar(&f.noScan, "no-scan", false, "do not scan the copy; only the triggers that are known are measured")
	f.scan.behaviour.register(fs)
	fs.StringVar(&f.scan.tensor, "tensor", "", "`NAME` of the input embedding, where it cannot be told")
	f.scan.out.register(fs)
	fs.Lookup("report").Usage = "write a report of the scan of the copy, `FORMAT=FILE`; may be repeated"
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("for example btu-scan sanitize model/ --out clean/", "%d models given, one expected", len(args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.sanitize(cmd.Context(), args[0], f) }
	return cmd
}

// check refuses values and combinations that make no sense, and an output that
// cannot be, before anything takes time.
func (f *sanitizeFlags) check(path string) error {
	oneOf := func(flag, value string, allowed ...string) error {
		if !slices.Contains(allowed, value) {
			return usagef("", "%s %q: one of %s", flag, value, strings.Trim(strings.Join(allowed, ", "), ", "))
		}
		return nil
	}
	named := 0
	for _, given := range []bool{f.from != "", f.suspects != "", f.triage != "", len(f.tokens) > 0} {
		if given {
			named++
		}
	}
	switch {
	case f.out == "" && !f.dryRun:
		return usagef("--out names a folder that does not exist yet; --dry-run needs none", "no --out given")
	case named > 1:
		return usagef("", "--from, --tokens, --suspects and --triage each say what is overwritten; give one of them")
	case f.top < 0 || f.top > 0 && f.suspects == "":
		return usagef("", "--top %d: a number of the suspects of --suspects", f.top)
	case f.multiplier <= 0:
		return usagef("", "--multiplier %v: more than 0", f.multiplier)
	case f.tune.Epochs < 0 || f.tune.Steps < 0 || f.tune.Batch < 1 || f.tune.LR <= 0 || f.maxTokens < 8:
		return usagef("", "--epochs, --steps, --batch, --lr and --max-tokens are positive numbers, --max-tokens at least 8")
	case f.edit == "none" && f.data == "":
		return usagef("", "--edit none leaves nothing to do without --data")
	}
	if err := cmp.Or(
		oneOf("--donor", f.donor, "", string(sanitize.DonorPad), string(sanitize.DonorMean), string(sanitize.DonorReference)),
		oneOf("--edit", f.edit, "auto", string(sanitize.ExtentDimensions), string(sanitize.ExtentRows), "none"),
		oneOf("--to", f.to, "", "safetensors"),
		oneOf("--format", f.scan.out.format, "text", "json"),
		f.scan.check(),
	); err != nil {
		return err
	}
	if f.out == "" {
		return nil
	}
	err := sanitize.CheckOut(path, f.out)
	if errors.Is(err, sanitize.ErrExists) || errors.Is(err, sanitize.ErrInside) {
		return usagef("name a folder that does not exist, outside the model's", "--out: %v", err)
	}
	return err
}

func (a *app) sanitize(ctx context.Context, path string, f sanitizeFlags) error {
	if err := f.check(path); err != nil {
		return err
	}
	further := f.scan // reports of the last scan, beside the result itself
	further.out.output, further.out.quiet, further.out.verbose = "", true, false
	out, err := a.outputs(further, "")
	if err != nil {
		return err
	}
	var s *sanitizing
	failure := a.withProgress(f.scan.out.quiet, func(p *progress) (err error) {
		s, err = a.prepare(ctx, path, f, p)
		defer s.close()
		if err != nil || s.idle() || f.dryRun {
			return err
		}
		return s.run(ctx)
	})
	if failure != nil {
		return failure
	}
	switch {
	case s.plan == nil, s.idle() && !f.dryRun:
		return s.nothing()
	case f.dryRun:
		return a.print(f.scan.out, s.plan, func(w io.Writer, _ bool) { printPlan(w, s.plan) })
	}
	if err := a.print(f.scan.out, s.result, func(w io.Writer, colour bool) { printResult(w, s.result, colour) }); err != nil {
		return err
	}
	if s.result.Rescan != nil {
		s.result.Rescan.Repair = s.result.Repair()
		if err := out.write(s.result.Rescan); err != nil {
			return err
		}
	}
	switch clean, proved := s.result.Clean(); {
	case clean:
		return nil
	case proved:
		return codeError(exitFindings)
	}
	return codeError(exitNoVerdict)
}
