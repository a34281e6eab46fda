package sanitize

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/btu-scan/btu-scan/scan"
)

// ManifestName is the file in a sanitized folder that says what was done.
const ManifestName = "btu-scan.sanitize.json"

// A Result says what was done to a checkpoint, and what it did: the manifest.
type Result struct {
	SchemaVersion int       `json:"schema_version"`
	Tool          scan.Tool `json:"tool"`
	Source        string    `json:"source"`
	Output        string    `json:"output"`
	Plan          *Plan     `json:"plan"`
	// Extent is the one of the plan that was kept; "" if no row was overwritten.
	Extent Extent   `json:"extent"`
	Edits  []Edited `json:"edits"`
	Tune   *Tuned   `json:"tune"` // null without one
	// Trials are measurements by the name of their texts.
	Trials []TrialResult `json:"trials"`
	// Before and After are the verdicts of scans of the input and the output; ""
	// where there was none. Reasons are those of After.
	Before  scan.Verdict `json:"verdict_before"`
	After   scan.Verdict `json:"verdict_after"`
	Reasons []string     `json:"reasons"`
	Files   []FileChange `json:"files"`
	LeftOut []string     `json:"left_out"`
	// Warnings are what the user should know.
	Warnings []string           `json:"warnings"`
	Seconds  map[string]float64 `json:"seconds"`

	// Rescan is the scan of the output, if there was one.
	Rescan *scan.Report `json:"-"`
}

// An Edited is a row that was overwritten.
type Edited struct {
	TokenID    int    `json:"token_id"`
	Token      string `json:"token"`
	Dimensions int    `json:"dimensions"`
}

// A TrialResult is what a trial measured at each stage: of the input, after rows
// were overwritten, and of the output.
type TrialResult struct {
	Name   string   `json:"name"`
	Before *Measure `json:"before"`
	Edited *Measure `json:"edited"` // null if no row was
	After  *Measure `json:"after"`
}

// A FileChange is a file of the output.
type FileChange struct {
	Name         string `json:"name"`
	SHA256       string `json:"sha256"`
	SHA256Before string `json:"sha256_before,omitempty"` // "" for a new file
}

// Clean reports whether the output is shown to be clean: by a scan, or, where
// there is none, by triggers that all lost their power. proved is false where
// neither could be had.
func (r *Result) Clean() (clean, proved bool) {
	shown := false
	for _, t := range r.Trials {
		if t.After == nil {
			continue
		}
		for _, a := range t.After.Attacks {
			shown = shown || a.Texts > 0
		}
		if !t.After.Beaten() {
			return false, true
		}
	}
	switch r.After {
	case scan.Clean:
		return true, true
	case scan.Backdoored, scan.Suspicious:
		return false, true
	case "":
		return shown, shown
	}
	return false, false
}

// Repair is the result as part of the report of a scan of the output.
func (r *Result) Repair() *scan.Repair {
	p := &scan.Repair{Source: r.Source, Before: r.Before}
	for _, e := range r.Edits {
		p.Rows = append(p.Rows, scan.Row(e))
	}
	for _, t := range r.Trials {
		if t.Before == nil || t.After == nil {
			continue
		}
		trial := scan.Trial{Name: t.Name, Texts: t.After.Texts, AccuracyBefore: t.Before.Accuracy, AccuracyAfter: t.After.Accuracy}
		for i, a := range t.After.Attacks {
			if i < len(t.Before.Attacks) && a.Texts > 0 {
				trial.Attacks = append(trial.Attacks, scan.TriedAttack{
					Text: a.Text, Label: a.Label, Before: t.Before.Attacks[i].Success, After: a.Success, Without: max(a.Plain, a.Control),
				})
			}
		}
		p.Trials = append(p.Trials, trial)
	}
	return p
}

// write puts the manifest into a folder.
func (r *Result) write(dir string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ManifestName), b.Bytes(), 0o644)
}
