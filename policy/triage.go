package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/scan"
)

// MaxTriage caps the bytes of a triage file.
const MaxTriage = 64 << 20

// A Triage is what a reviewer decided in btu-scan triage.
type Triage struct {
	Path string
	*triagefile.File
}

// ReadTriage reads a file of decisions.
func ReadTriage(path string, data []byte) (*Triage, error) {
	f, err := triagefile.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: no file of decisions that can be used: %w", path, err)
	}
	return &Triage{path, f}, nil
}

// of lists the decisions about a checkpoint. t may be nil.
func (t *Triage) of(digest string) []triagefile.Decision {
	if t == nil {
		return nil
	}
	return t.Checkpoints[digest]
}

// suppression is what a mark of benign amounts to. It covers all findings about
// the token; a proved trigger only if the mark was about that: a proof that came
// later is news.
func suppression(d triagefile.Decision, digest, path string) *Suppression {
	until, _ := time.Parse(time.DateOnly, string(d.Expires)) // "" for none; the file is checked when it is read
	return &Suppression{
		Checkpoint: digest, Rule: d.Rule, TokenIDs: []int{d.TokenID}, Text: d.Token, Justification: strings.TrimSpace(d.Note),
		Expires: until, Source: path, by: scan.ByTriage, weak: true,
	}
}
