//go:build man

package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// The manual pages are written by a build of their own (make man): what turns
// Markdown into roff has no place in the program.
func init() {
	manCommand = func(a *app) *cobra.Command {
		return &cobra.Command{
			Use: "man DIR", Short: "Write the manual pages to a folder", Hidden: true, Args: oneArg("folder"),
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := os.MkdirAll(args[0], 0o755); err != nil {
					return err
				}
				cmd.Root().DisableAutoGenTag = true
				created, err := a.created()
				if err != nil {
					return err
				}
				if created.IsZero() {
					created = time.Unix(0, 0)
				}
				return doc.GenManTree(cmd.Root(), &doc.GenManHeader{Section: "1", Date: &created, Source: "btu-scan " + version()}, args[0])
			},
		}
	}
}
