package tui

import (
	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
)

// The messages of commands.
type (
	scanMsg struct {
		run int
		r   *scan.Report
		err error
	}
	rowsMsg struct {
		run  int
		rows []scan.Suspect
		err  error
	}
	indexMsg struct {
		run     int
		base, x *index
	}
	digestMsg struct {
		digest string
		t      *triagefile.File
		err    error
	}
	savedMsg struct {
		err error
	}
	tokenMsg struct {
		run   int
		token *Token
		err   error
	}
	examplesMsg struct {
		run      int
		examples []Example
		err      error
	}
	triedMsg struct {
		run         int
		plain, with *Tried
		err         error
	}
	planMsg struct {
		run   int
		order Order
		plan  *sanitize.Plan
		err   error
	}
	repairMsg struct {
		run int
		res *sanitize.Result
		err error
	}
)

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
