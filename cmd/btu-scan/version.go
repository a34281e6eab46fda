package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/btu-scan/btu-scan/scan"
)

// A buildInfo is what btu-scan version --format json prints: what the Go
// toolchain recorded, so that no build needs flags for it. Members are only
// added.
type buildInfo struct {
	SchemaVersion int      `json:"schema_version"`
	Version       string   `json:"version"`            // of the module; "(devel)" where it was built without one
	Commit        string   `json:"commit,omitempty"`   // where it was built in a checkout
	Date          string   `json:"date,omitempty"`     // of the commit, RFC 3339
	Modified      bool     `json:"modified,omitempty"` // the checkout had changes beside the commit
	Go            string   `json:"go"`
	OS            string   `json:"os"`
	Arch          string   `json:"arch"`
	Engines       []string `json:"engines"` // that can run models
}

func (a *app) versionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.show(format, build(), func(w io.Writer) { fmt.Fprintf(w, "btu-scan %s\n", version()) })
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "text", "`text` or json")
	return cmd
}

// version is the module's version as the Go toolchain recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// thisTool is what reports say of the program.
func thisTool() scan.Tool { return scan.Tool{Name: "btu-scan", Version: version()} }

func build() buildInfo {
	b := buildInfo{SchemaVersion: 1, Version: version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Engines: []string{"go"}}
	if libtorchEngine() != nil {
		b.Engines = append(b.Engines, "gotch")
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Date = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	return b
}
