package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

// MaxTriage caps the bytes of a triage file.
const MaxTriage = 64 << 20

// triageVersion is the version of the file that is read.
const triageVersion = 1

// A Triage is what a reviewer decided in btu-scan triage.
type Triage struct {
	Path      string
	Decisions map[string][]Decision // by digest of the checkpoint
}

// The marks that a gate acts upon.
const (
	MarkTrigger = "trigger"
	MarkBenign  = "benign"
)

// A Decision is what a reviewer says of one token.
type Decision struct {
	Rule    string `json:"rule"` // of the finding that it was about; may be ""
	TokenID int    `json:"token_id"`
	Token   string `json:"token"`
	Mark    string `json:"mark"`
	Note    string `json:"note"`
	// Expires is the last day on which a mark of benign counts, in UTC.
	// Optional.
	Expires string `json:"expires"`
}

// ReadTriage reads a file of decisions.
func ReadTriage(path string, data []byte) (*Triage, error) {
	if len(data) > MaxTriage {
		return nil, fmt.Errorf("%s: larger than %d MB", path, MaxTriage>>20)
	}
	var file struct {
		SchemaVersion *int                  `json:"schema_version"`
		Checkpoints   map[string][]Decision `json:"checkpoints"`
	}
	if err := json.Unmarshal(data, &file); err != nil || file.SchemaVersion == nil {
		return nil, fmt.Errorf("%s: no file of decisions", path)
	}
	if *file.SchemaVersion != triageVersion {
		return nil, fmt.Errorf("%s: a file of decisions of schema version %d; this program reads %d", path, *file.SchemaVersion, triageVersion)
	}
	for _, all := range file.Checkpoints {
		for _, d := range all {
			if _, err := d.expires(); err != nil {
				return nil, fmt.Errorf("%s: expires of token %d: %q is no day such as 2026-12-31", path, d.TokenID, d.Expires)
			}
		}
	}
	return &Triage{Path: path, Decisions: file.Checkpoints}, nil
}

// expires is the last day on which the decision counts; zero for none.
func (d *Decision) expires() (time.Time, error) {
	if d.Expires == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, d.Expires)
}

// of lists the decisions about a checkpoint. t may be nil.
func (t *Triage) of(digest string) []Decision {
	if t == nil {
		return nil
	}
	return t.Decisions[digest]
}

// suppression is what a mark of benign amounts to. It covers all findings about
// the token; a proved trigger only if the mark was about that: a proof that came
// later is news.
func (d *Decision) suppression(digest, path string) *Suppression {
	until, _ := d.expires() // it was checked
	return &Suppression{
		Checkpoint: digest, Rule: d.Rule, TokenIDs: []int{d.TokenID}, Text: d.Token, Justification: strings.TrimSpace(d.Note),
		Expires: until, Source: path, by: scan.ByTriage, weak: true,
	}
}
