package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/tui"
)

// triageFlags are the flags of triage, beside those of its scan.
type triageFlags struct {
	scan       scanFlags
	file       string
	out        string
	color      string
	accessible bool
}

func (a *app) triageCommand() *cobra.Command {
	f := triageFlags{scan: defaultScan()}
	cmd := &cobra.Command{
		Use:   "triage [flags] MODEL | REPORT.json",
		Short: "Look at a model's suspects, decide, and repair, in the terminal",
		Long: `Scan a model and look at what was found while it is found: the verdict and its
reasons, every row of the vocabulary, each token closely, and what the model
answers with it. Mark tokens as triggers or as benign. Then have a copy written
without them.

  1 Overview  the verdict, the evidence, how far the rows moved, unsafe files
  2 Suspects  all rows: / filters by text, s sorts, f v c d narrow it down
  3 Token     its row by dimension, its neighbours before and after, what it does
              to texts, its characters (lookalikes and invisible ones named)
  4 Map       movement against token id
  5 Try       any text, answered as you type, with and without a token
  6 Repair    what would change, where it is written; y starts it, esc cancels

? shows all keys, and : finds an action by its name. t marks a trigger, b benign,
m unsure, n adds a note and until when the decision counts, u undoes. Decisions
are saved at once to btu-scan.triage.json in the current folder, under the digest
of the model's files, so they are there the next time. One that has expired is
shown, but does not count for a repair or for sanitize --triage. A repair
overwrites the rows of the triggers that the scan proved and of the tokens that
you marked; what you marked as benign stays.

A report that was written with --format json is shown without its model; what
needs the model says so. --accessible asks and answers in plain lines, for screen
readers and for terminals that cannot draw.

Exit codes: 0 you left, 2 failed, 4 wrong usage or no terminal, 130 interrupted.`,
		Example: `  btu-scan triage model/
  btu-scan triage model/ --reference base/ --evidence weights
  btu-scan triage model/ --out repaired/ --triage decisions.json
  btu-scan triage report.json`,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.scan.ref, "reference", "r", "", "the pretrained `MODEL`: a file, a folder or a hub id (default: what the checkpoint names)")
	f.scan.store.register(fs)
	fs.StringVar(&f.scan.evidence, "evidence", "auto", "`weights` alone; auto: behaviour, too; or full: searched more thoroughly")
	f.scan.behaviour.register(fs)
	fs.StringVar(&f.scan.score, "score", string(scan.ScoreZ), "rank by `z` (ours), or a baseline: z-plain, l2, e-pur")
	fs.StringVar(&f.scan.tensor, "tensor", "", "`NAME` of the input embedding, where it cannot be told")
	fs.StringVar(&f.file, "triage", "btu-scan.triage.json", "keep decisions in `FILE`")
	fs.StringVar(&f.out, "out", "", "write a repaired copy to the new folder `DIR` (default: MODEL-clean)")
	fs.StringVar(&f.color, "color", "auto", "`auto`, always or never")
	fs.BoolVar(&f.accessible, "accessible", false, "plain lines instead of screens")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("for example btu-scan triage model/", "%d models given, one expected", len(args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.triage(cmd.Context(), args[0], f) }
	return cmd
}

// savedReport reads a file that is a report of a scan; nil if it is none, such as
// a model or an index of shards.
func savedReport(path string) *scan.Report {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxReport || !strings.HasSuffix(path, ".json") {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	r := &scan.Report{}
	if json.Unmarshal(data, r) != nil || r.SchemaVersion != scan.SchemaVersion || r.Verdict == "" {
		return nil
	}
	return r
}

func (a *app) triage(ctx context.Context, path string, f triageFlags) error {
	if err := f.scan.check(); err != nil {
		return err
	}
	colour, err := a.colour(f.color, a.stdout)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	in, isFile := a.stdin.(*os.File)
	switch {
	case f.accessible:
	case !terminal(a.stdout) || !isFile || !terminal(in):
		return usagef("btu-scan "+path+" prints the report; --accessible works without a terminal", "triage draws in a terminal, and this is none")
	case a.getenv("TERM") == "dumb":
		return usagef("btu-scan "+path+" prints the report; --accessible needs no drawing", "triage draws in a terminal, and TERM is dumb")
	}
	file, err := filepath.Abs(f.file)
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = defaultOut(path)
	} else if err := sanitize.CheckOut(path, f.out); err != nil {
		return usagef("name a folder that does not exist, outside the model's", "--out: %v", err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	b := &triaging{app: a, path: path, f: f.scan, saved: savedReport(path)}
	defer b.close()
	opt := tui.Options{Subject: path, Triage: file, Out: f.out, Input: a.stdin, Output: a.stdout, NoColor: !colour, Environment: a.environment()}
	if f.accessible {
		err = tui.Accessible(ctx, b, opt)
	} else {
		err = tui.Run(ctx, b, opt)
	}
	if errors.Is(err, context.Canceled) {
		return codeError(exitInterrupted)
	}
	return err
}

// environment is what drawing depends on.
func (a *app) environment() (env []string) {
	for _, name := range []string{
		"TERM", "COLORTERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM_PROGRAM", "TERM_PROGRAM_VERSION",
		"TMUX", "STY", "SSH_TTY", "WT_SESSION", "LANG", "LC_ALL", "LC_CTYPE",
	} {
		if v := a.getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// defaultOut is a folder beside the model's that does not exist.
func defaultOut(path string) string {
	base := filepath.Clean(path)
	if info, err := os.Stat(base); err == nil && !info.IsDir() {
		base = filepath.Dir(base) // the folder is copied
	}
	if abs, err := filepath.Abs(base); err == nil && (base == "." || base == ".." || strings.HasSuffix(base, string(filepath.Separator)+"..")) {
		base = abs
	}
	for _, suffix := range slices.Concat([]string{""}, strings.Split("-2 -3 -4 -5 -6 -7 -8 -9", " ")) {
		out := base + "-clean" + suffix
		if _, err := os.Lstat(out); errors.Is(err, os.ErrNotExist) {
			return out
		}
	}
	return base + "-clean"
}
