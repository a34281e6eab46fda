package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/btu-scan/btu-scan/scan/report"
)

// An app is what a command may touch of the outside world.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string // as os.Environ lists it
	// command is this program with other arguments.
	command func(ctx context.Context, args ...string) (*exec.Cmd, error)
}

// run runs the program with args, without the program's name, and returns its
// exit code. environ lists the variables of the environment, for warnings about
// those that have no meaning; getenv is asked for all others.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string, environ ...string) (code int) {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, environ: environ, command: itself}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	defer func() { // a bug must not read as a verdict, nor as a wall of text
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "btu-scan: error: internal error: %s\nbtu-scan: hint: this is a bug; please report it with the file that caused it\n", report.Plain(fmt.Sprint(r)))
			code = exitFailed
		}
	}()
	err := root.ExecuteContext(ctx)
	if err != nil {
		complain(stderr, err)
	}
	return exitCode(err)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "btu-scan [flags] MODEL...",
		Short: "Find backdoor tokens in a fine-tuned language model",
		Long: `btu-scan compares a fine-tuned checkpoint with the pretrained model it was tuned
from and names the tokens whose embedding rows moved in a way that clean
fine-tuning does not explain. Then it gives a classifier sentences to see which
token, phrase or frame of a sentence wins against all else that a text says. It
reads safetensors and PyTorch files, executes no code of theirs, and uses no
network unless asked.

MODEL is a tensor file, a shard index, or a model folder. A folder with models
below it, a pattern such as 'models/*' or several MODELs give a summary; each is
scanned by a process of its own, so that none can hide another.

Exit codes: 0 clean, 1 findings, 2 failed or incomplete, 3 no verdict,
4 wrong usage, 130 interrupted.`,
		Example: `  btu-scan demo                                   see a finding, nothing needed
  btu-scan model/ --reference base/               compare two folders
  btu-scan model.safetensors --reference bert-base-uncased
  btu-scan model/ --probes texts.tsv --budget 30s
  btu-scan models/ --report json=reports/{model}.json --timeout 10m --jobs 2
  btu-scan triage model/                          look, decide, repair
  btu-scan model/ --evidence weights --format json --output report.json`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	var f scanFlags
	f.register(root.Flags())
	f.gate.register(root.Flags())
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("btu-scan demo shows what a scan looks like; btu-scan --help lists the flags", "no model given")
		}
		return nil
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		models := args
		if !f.supervised {
			var err error
			if models, err = targets(cmd.Context(), args); err != nil {
				return err
			}
		}
		if err := a.configure(cmd.Flags(), &f, models...); err != nil {
			return err
		}
		f.args = f.evidenceArgs(cmd.Flags())
		if len(models) == 1 {
			return a.scan(cmd.Context(), models[0], f)
		}
		return a.scanAll(cmd.Context(), models, f)
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef(cmd.CommandPath()+" --help lists the flags", "%s", err)
	})
	root.AddCommand(a.runCommand(), a.triageCommand(), a.sanitizeCommand(), a.exposeCommand(), a.demoCommand(), a.referenceCommand(), a.configCommand(), a.doctorCommand(), a.versionCommand())
	if manCommand != nil {
		root.AddCommand(manCommand(a))
	}
	// Without it a shell would complete commands alone, and no models.
	root.ValidArgsFunction = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	completeFlags(root)
	return root
}

// manCommand writes the manual pages, in a build with the tag man; see man.go.
var manCommand func(*app) *cobra.Command

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("", "%s takes no arguments, %q given", cmd.CommandPath(), args[0])
	}
	return nil
}

// terminal reports whether w is a terminal.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour decides whether to colour what is written to w.
func (a *app) colour(mode string, w io.Writer) (bool, error) {
	switch mode {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		return terminal(w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb", nil
	}
	return false, usagef("", "--color %q: auto, always or never", mode)
}

// width is the width of the terminal w is, or 80.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}
