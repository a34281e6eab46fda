package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
	"github.com/btu-scan/btu-scan/reference"
	"github.com/btu-scan/btu-scan/scan/report"
)

func (a *app) exportCommand() *cobra.Command {
	var f storeFlags
	var output string
	var opt reference.ExportOptions
	cmd := &cobra.Command{
		Use:   "export ID[@REVISION] --output FILE",
		Short: "Write a reference to one file, for a machine without network",
		Long: `Write the files of a reference (configuration, tokenizer, one form of the weights)
and their digests to one file, a reference pack, which "btu-scan reference import"
takes. If the reference is pinned, its files must be those pinned. The pack's
SHA-256 is printed as sha256sum does: tell it over another channel.`,
		Example: "  btu-scan reference export bert-base-uncased --output base.pack",
		Args:    oneArg("hub id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return usagef("name the file with --output FILE", "%s has nowhere to write to", cmd.CommandPath())
			}
			if err := f.checkLock(); err != nil {
				return err
			}
			id, revision, named := strings.Cut(args[0], "@")
			if named && revision == "" {
				return usagef("", "no revision after the @ of %q", args[0])
			}
			var pack reference.Pack
			if err := a.withProgress(false, func(p *progress) error {
				opt.Progress = p.bytes
				return atomicfile.WriteFunc(output, 0o644, func(w io.Writer) (err error) {
					pack, err = f.store(a.getenv).Export(cmd.Context(), id, revision, w, opt)
					return err
				})
			}); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "packed %s\n", packed(pack))
			_, err := fmt.Fprintf(a.stdout, "%s  %s\n", pack.SHA256, report.Plain(output))
			return err
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "write the pack to `FILE`")
	cmd.Flags().StringVar(&opt.Commit, "commit", "", "the hub's commit `HEX` that a plain folder of --reference-dir holds")
	return cmd
}

func (a *app) importCommand() *cobra.Command {
	f := storeFlags{}
	var opt reference.ImportOptions
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take a reference out of a pack into the Hugging Face cache",
		Long: `Take a reference out of a pack that "btu-scan reference export" wrote, into the
Hugging Face cache. All of the pack is verified before anything of it can be used;
a failure leaves nothing. A digest in the pack guards against damage: who made it
only --sha256 or a pin can say.`,
		Example: "  btu-scan reference import base.pack --sha256 HEX --pin",
		Args:    oneArg("pack"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.SHA256 = strings.ToLower(opt.SHA256)
			if cmd.Flags().Changed("sha256") && !isDigest(opt.SHA256) {
				return usagef("it is the first word that btu-scan reference export prints", "--sha256 %q: 64 hex digits", opt.SHA256)
			}
			if !opt.Pin {
				if err := f.checkLock(); err != nil {
					return err
				}
			}
			pack, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer pack.Close()
			var got reference.Imported
			if err := a.withProgress(false, func(p *progress) error {
				opt.Progress = p.bytes
				got, err = f.store(a.getenv).Import(cmd.Context(), pack, opt)
				return err
			}); err != nil {
				return err
			}
			did := "imported"
			if got.There {
				did = "in the cache already, the same files:"
			}
			fmt.Fprintf(a.stderr, "%s %s\n", did, packed(got.Pack))
			if opt.Pin {
				fmt.Fprintf(a.stderr, "pinned in %s\n", report.Plain(f.lock))
			}
			if opt.SHA256 == "" {
				fmt.Fprintf(a.stderr, "the pack's SHA-256 is %s: compare it with what its maker says\n", got.Pack.SHA256)
			}
			_, err = fmt.Fprintln(a.stdout, report.Plain(got.Found.Path))
			return err
		},
	}
	cmd.Flags().StringVar(&f.lock, "lock", defaultLock, "`FILE` with the pinned digests of references")
	cmd.Flags().StringVar(&opt.SHA256, "sha256", "", "refuse a pack whose SHA-256 is not `HEX`")
	cmd.Flags().BoolVar(&opt.Pin, "pin", false, "also note the digests of the files in the lock file")
	cmd.Flags().BoolVar(&opt.Replace, "replace", false, "move a revision that stands for another commit; with --pin, replace a pin that says something else")
	return cmd
}

// packed says what a pack holds.
func packed(p reference.Pack) string {
	return fmt.Sprintf("%s at commit %s: %d files, %.1f MB", report.Plain(p.ID), p.Commit, len(p.Files), float64(p.Size)/1e6)
}

// isDigest says whether s is a SHA-256 digest in lower-case hex.
func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
