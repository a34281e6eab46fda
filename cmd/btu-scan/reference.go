package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/reference"
	"github.com/btu-scan/btu-scan/scan/report"
)

// storeFlags say where references are looked for.
type storeFlags struct {
	dirs   []string
	lock   string
	online bool
}

// defaultLock is the lock file in the working folder.
const defaultLock = "btu-scan.lock"

func (f *storeFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.dirs, "reference-dir", nil, "look for references in `DIR` before the hub cache; may be repeated")
	fs.StringVar(&f.lock, "lock", defaultLock, "`FILE` with the pinned digests of references")
	fs.BoolVar(&f.online, "online", false, "allow downloading the reference from the hub")
}

func (f *storeFlags) store(getenv func(string) string) *reference.Store {
	s := reference.FromEnv(getenv)
	s.Dirs, s.LockFile, s.Online, s.UserAgent = f.dirs, f.lock, f.online, "btu-scan/"+version()
	return &s
}

// checkLock refuses a lock file that was named and is not there: a mistyped
// name must not mean that nothing is pinned.
func (f *storeFlags) checkLock() error {
	if f.lock == defaultLock {
		return nil
	}
	_, err := os.Stat(f.lock)
	return err
}

func (a *app) referenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reference",
		Short: "Fetch, pin and verify the pretrained models to compare with",
		Long: `A scan is only as good as its reference. These commands fetch a pretrained model
into the Hugging Face cache and pin the digests of its files, so that a gate
compares with exactly the base that was reviewed.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(cmd.CommandPath()+" --help lists the commands", "no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.pullCommand(), a.pinCommand(), a.listCommand(), a.verifyCommand(), a.exportCommand(), a.importCommand())
	return cmd
}

func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("", "%s takes one %s, %d given", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

func (a *app) pullCommand() *cobra.Command {
	var f storeFlags
	cmd := &cobra.Command{
		Use:     "pull ID[@REVISION]",
		Short:   "Download a model into the Hugging Face cache",
		Example: "  btu-scan reference pull bert-base-uncased",
		Args:    oneArg("hub id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.lock, f.online = defaultLock, true // whoever says pull means the network
			id, revision, _ := strings.Cut(args[0], "@")
			var found reference.Found
			if err := a.withProgress(false, func(p *progress) (err error) {
				found, err = f.store(a.getenv).Pull(cmd.Context(), id, revision, p.bytes)
				return err
			}); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.stdout, report.Plain(found.Path))
			return err
		},
	}
	return cmd
}

func (a *app) pinCommand() *cobra.Command {
	var f storeFlags
	var replace bool
	cmd := &cobra.Command{
		Use:   "pin MODEL",
		Short: "Note the digests of a reference in the lock file",
		Long: `Note the digests of a reference's files in the lock file. A later scan that names
the same MODEL, a hub id or a path as written here, verifies them first.`,
		Args: oneArg("model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store := f.store(a.getenv)
			var entry reference.Entry
			if err := a.withProgress(false, func(p *progress) error {
				found, err := store.Resolve(cmd.Context(), args[0], p.bytes)
				if err != nil {
					return err
				}
				if found.ID == "" {
					found.ID = args[0]
				}
				entry, err = store.Pin(cmd.Context(), found, reference.PinOptions{Replace: replace, Progress: p.bytes})
				return err
			}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "pinned %s: %d files in %s\n", report.Plain(entry.ID), len(entry.Files), report.Plain(f.lock))
			return err
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&replace, "replace", false, "replace a pin that says something else")
	return cmd
}

func (a *app) listCommand() *cobra.Command {
	f := storeFlags{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the pinned references",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := f.checkLock(); err != nil {
				return err
			}
			pins, err := f.store(a.getenv).Pins()
			if err != nil {
				return err
			}
			if len(pins) == 0 {
				fmt.Fprintf(a.stderr, "no pins in %s\n", report.Plain(f.lock))
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "REFERENCE\tCOMMIT\tFILES\tMB")
			for _, e := range pins {
				var size int64
				for _, file := range e.Files {
					size += file.Size
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\n", report.Plain(e.ID), report.Plain(e.Commit), len(e.Files), float64(size)/1e6)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&f.lock, "lock", defaultLock, "`FILE` with the pinned digests of references")
	return cmd
}

func (a *app) verifyCommand() *cobra.Command {
	f := storeFlags{}
	cmd := &cobra.Command{
		Use:   "verify [MODEL]",
		Short: "Compare the files of pinned references with the lock file",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("", "%s takes at most one model", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.checkLock(); err != nil {
				return err
			}
			store := f.store(a.getenv)
			pins, err := store.Pins()
			if err != nil {
				return err
			}
			checked := 0
			var failed []error
			for _, e := range pins {
				if len(args) == 1 && e.ID != args[0] {
					continue
				}
				checked++
				if err := a.withProgress(false, func(p *progress) error {
					found, err := store.Resolve(cmd.Context(), e.ID, p.bytes)
					if err != nil {
						return err
					}
					return reference.Verify(cmd.Context(), e, found.Path, p.bytes)
				}); err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", e.ID, err))
					continue
				}
				fmt.Fprintf(a.stdout, "ok %s\n", report.Plain(e.ID))
			}
			if checked == 0 {
				return usagef("btu-scan reference pin MODEL adds a pin", "nothing to verify in %s", f.lock)
			}
			return errors.Join(failed...)
		},
	}
	f.register(cmd.Flags())
	return cmd
}
