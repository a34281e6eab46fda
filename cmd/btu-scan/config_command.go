package main

import (
	_ "embed" // the example
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/policy"
	"github.com/btu-scan/btu-scan/scan/report"
)

// exampleConfig is what config init writes.
//
//go:embed btu-scan.example.yaml
var exampleConfig []byte

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Write, check and show the policy of a gate",
		Long: `A policy says what a gate fails on, which evidence it needs, and which findings a
team has looked at and accepts. It is a file, ` + policy.FileName + `, that is read from the
working folder or where --config says. A flag beats a variable such as
BTU_SCAN_FAIL_ON, and that the file.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(cmd.CommandPath()+" --help lists the commands", "no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.configInitCommand(), a.configCheckCommand(), a.configShowCommand(), a.configDigestCommand())
	return cmd
}

func (a *app) configInitCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write an example with every setting explained",
		Args:  atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			path := policy.FileName
			if len(args) > 0 {
				path = args[0]
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !force {
				return usagef("--force replaces it", "%s is there already", path)
			}
			if err := atomicfile.Write(path, exampleConfig, 0o644); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "wrote %s; all of it is commented out, so it changes nothing yet\n", report.Plain(path))
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("", "%s takes one argument at most, %d given", cmd.CommandPath(), len(args))
	}
	return nil
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration and print the policy that it makes",
		Long: `Check a configuration, by default the one that a scan in this folder would use,
and print the policy that it makes, with where each value comes from. Files that
it names must be there.

Exit codes: 0 it can be used, 4 it cannot.`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			var f scanFlags
			flags := pflag.NewFlagSet("scan", pflag.ContinueOnError)
			f.register(flags)
			f.gate.register(flags)
			if len(args) > 0 {
				if err := flags.Set("config", args[0]); err != nil {
					return err
				}
			}
			return a.showPolicy(flags, &f, "")
		},
	}
}

func (a *app) configShowCommand() *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{
		Use:   "show [flags of a scan] [MODEL]",
		Short: "Print what a scan would go by, and where each value comes from",
		Long: `Print the settings that a scan with the same flags would have, and where each
comes from: a flag, a variable, a file and its line, or the program's default.
With MODEL, pins and the configuration in its folder count, too.`,
		Args: atMostOne,
	}
	f.register(cmd.Flags())
	f.gate.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		target := ""
		if len(args) > 0 {
			target = args[0]
		}
		return a.showPolicy(cmd.Flags(), &f, target)
	}
	return cmd
}

// showPolicy prints the policy of a scan of target, or of no certain one.
func (a *app) showPolicy(flags *pflag.FlagSet, set *scanFlags, target string) error {
	var targets []string
	if target != "" {
		targets = []string{target}
	}
	if err := a.configure(flags, set, targets...); err != nil {
		return err
	}
	before, f := *set, *set
	if target != "" {
		f = a.forTarget(f, target)
	}
	if err := f.check(); err != nil {
		return err
	}
	g, err := a.gate(&f)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "help" || flag.Hidden {
			return
		}
		value, source := flag.Value.String(), f.gate.sources[flag.Name]
		switch flag.Name { // those that the checkpoint changes
		case "reference":
			value = f.ref
		case "lock":
			value = f.store.lock
		case "fail-on":
			value = f.failOn
			source = orTarget(source, f.failOn != before.failOn)
		case "evidence":
			value = f.evidence
			source = orTarget(source, f.evidence != before.evidence)
		case "require":
			value = strings.Join(f.gate.require, ", ")
			source = orTarget(source, !slices.Equal(f.gate.require, before.gate.require))
		}
		if value == "" || value == "[]" {
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", flag.Name, report.Plain(value), report.Plain(source))
	})
	if d := f.gate.pin.Digest; d != "" {
		fmt.Fprintf(w, "reference digest\t%s\t%s:%d\n", d, report.Plain(f.gate.found.Path), f.gate.pin.Line)
	}
	for _, rule := range report.Rules() {
		if s, ok := f.gate.severities[rule]; ok {
			fmt.Fprintf(w, "severity of %s\t%s\t%s\n", rule, s, report.Plain(s.Source))
		}
	}
	for _, s := range g.Suppressions {
		fmt.Fprintf(w, "suppression\t%s\t%s\n", report.Plain(s.Describe(time.Now())), report.Plain(s.Source))
	}
	if target == "" && f.gate.found != nil {
		for _, p := range f.gate.found.Pins {
			fmt.Fprintf(w, "pin\t%s\t%s:%d\n", report.Plain(p.String()), report.Plain(f.gate.found.Path), p.Line)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range f.gate.notes {
		fmt.Fprintf(a.stderr, "btu-scan: warning: %s\n", report.Plain(note))
	}
	return nil
}

func orTarget(source string, changed bool) string {
	if changed {
		return "the checkpoint's folder, which asked for more"
	}
	return source
}

func (a *app) configDigestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "digest MODEL",
		Short: "Print the digest of a model's tensor files, as suppressions and pins name it",
		Args:  oneArg("model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ck, err := loader.Open(cmd.Context(), args[0], loader.Options{})
			if err != nil {
				return err
			}
			defer ck.Close()
			digest, err := ck.Digest(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, digest)
			return err
		},
	}
}
