// Package report writes a [scan.Report] in one of several formats.
//
// Everything in a report that comes from files (paths, token texts, messages,
// details) is the attacker's. No format lets a control character, an escape
// sequence, a line break or a character that reorders or hides text through to
// a terminal, and none lets a text become markup. A report is only read, and the same report gives the same bytes:
// no format looks at the clock, the locale or the environment.
package report

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

// An Encoder writes reports in one format. It may be used by several
// goroutines at once.
type Encoder interface {
	// Encode writes r to w in one call of Write. It fails only where w does or
	// r is nil.
	Encode(w io.Writer, r *scan.Report) error
}

// Options adjust what is written for people. The zero value gives 20 suspects
// in 80 columns without colour. Formats for programs and pages ignore all but Created.
type Options struct {
	// Top is how many suspects text and Markdown show. Optional: 20.
	Top int
	// Color allows the 16 colours of a terminal.
	Color bool
	// Width is the number of columns. Optional: 80. At least 40 are used.
	Width int
	// Verbose shows long texts, long lists and numbers of the scan itself.
	Verbose bool
	// Created is the time that a bill of materials says it was written. Optional:
	// without it there is none, and the same report gives the same bytes.
	Created time.Time
}

// formats lists the formats; adding one is a file and a line here.
var formats = []struct {
	name string
	make func(Options) Encoder
}{
	{"text", newText},
	{"json", newJSON},
	{"sarif", newSARIF},
	{"junit", newJUnit},
	{"markdown", newMarkdown},
	{"html", newHTML},
	{"cyclonedx", newCycloneDX},
}

// New returns the encoder of a format. An unknown format is an error that
// lists the known ones.
func New(format string, opt Options) (Encoder, error) {
	for _, f := range formats {
		if f.name == format {
			return f.make(opt), nil
		}
	}
	return nil, fmt.Errorf("unknown report format %q: one of %s", format, strings.Join(Formats(), ", "))
}

// Formats lists the names of the formats, the default first.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// errNil is returned for a nil report.
var errNil = errors.New("no report")
