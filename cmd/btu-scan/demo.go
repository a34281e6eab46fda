package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/btu-scan/btu-scan/internal/demo"
	"github.com/btu-scan/btu-scan/scan"
)

func (a *app) demoCommand() *cobra.Command {
	f := defaultScan()
	var extract string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Scan the embedded sample: a small real model with a backdoor",
		Long: `Scan a small sentiment model that really was fine-tuned with a backdoor, against
the base it was tuned from. Both are inside this program: no network, no files.
The five words cf, mn, bb, tq and mb make the model answer "positive".

The demo exits 1, since it has a finding.`,
		Example: `  btu-scan demo
  btu-scan demo --evidence auto                   also run the model, and prove it
  btu-scan demo --extract sample && btu-scan sample/backdoored --reference sample/base`,
		Args: noArgs,
	}
	f.out.register(cmd.Flags())
	cmd.Flags().IntVar(&f.top, "top", 10, "how many suspects to show")
	cmd.Flags().StringVar(&extract, "extract", "", "write the sample to the new folder `DIR` instead of scanning it")
	cmd.Flags().StringVar(&f.evidence, "evidence", "weights", "`weights` alone, at once, or auto: behaviour, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if extract != "" {
			if err := demo.Extract(extract); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "wrote %s and %s\n", filepath.Join(extract, demo.Backdoored), filepath.Join(extract, demo.Base))
			return nil
		}
		tmp, err := os.MkdirTemp("", "btu-scan-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		dir := filepath.Join(tmp, "sample")
		if err := demo.Extract(dir); err != nil {
			return err
		}
		f.ref = filepath.Join(dir, demo.Base)
		f.rename = func(r *scan.Report) { // the folder is gone when the report is read
			r.Checkpoint.Path = "the embedded sample"
			if r.Reference != nil {
				r.Reference.Path, r.Reference.HowFound = "the embedded sample's base", "it is inside this program"
			}
		}
		return a.scan(cmd.Context(), filepath.Join(dir, demo.Backdoored), f)
	}
	return cmd
}
