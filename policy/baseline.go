package policy

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// MaxBaseline caps the bytes of a baseline.
const MaxBaseline = 64 << 20

// A Baseline is what an earlier report found.
type Baseline struct {
	Path  string
	known map[string]bool
}

// ReadBaseline reads a report in JSON. What a policy suppressed in it is not
// part of it: once the suppression ends, the finding counts again.
func ReadBaseline(path string, data []byte) (*Baseline, error) {
	if len(data) > MaxBaseline {
		return nil, fmt.Errorf("%s: larger than %d MB", path, MaxBaseline>>20)
	}
	var head struct {
		SchemaVersion *int         `json:"schema_version"`
		Verdict       scan.Verdict `json:"verdict"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.SchemaVersion == nil || head.Verdict == "" {
		return nil, fmt.Errorf("%s: no report of a scan in JSON", path)
	}
	if *head.SchemaVersion != scan.SchemaVersion {
		return nil, fmt.Errorf("%s: a report of schema version %d; this program reads %d", path, *head.SchemaVersion, scan.SchemaVersion)
	}
	var r scan.Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: no report of a scan in JSON: %w", path, err)
	}
	b := &Baseline{Path: path, known: map[string]bool{}}
	names := report.TokenNames(&r)
	for i := range r.Triggers {
		if t := &r.Triggers[i]; !excused(t.Suppressions, nil) {
			b.known[triggerKey(t)] = true
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		if aboutModel(f.Rule) && !excused(f.Suppressions, nil) {
			b.known[modelKey(f)] = true
		}
		for _, id := range f.TokenIDs {
			if !excused(f.Suppressions, &id) {
				b.known[tokenKey(f.Rule, id, names[id])] = true
			}
		}
	}
	for i := range r.Suspects {
		if s := &r.Suspects[i]; questioned(&r, s) && !excused(s.Suppressions, nil) {
			b.known[suspectKey(&r, s)] = true
		}
	}
	for i := range r.Unsafe {
		if u := &r.Unsafe[i]; !excused(u.Suppressions, nil) {
			b.known[unsafeKey(&r, u)] = true
		}
	}
	return b, nil
}

// excused reports whether a policy, not a baseline, took a finding out, or one
// token of it.
func excused(all []scan.Suppression, id *int) bool {
	return slices.ContainsFunc(all, func(s scan.Suppression) bool {
		return s.By != scan.ByBaseline && (id == nil || len(s.TokenIDs) == 0 || slices.Contains(s.TokenIDs, *id))
	})
}

// Keys of what is the same in two reports. A trigger that forces another answer
// is another one, and so is a file whose flaw reads differently.

func triggerKey(t *scan.Trigger) string {
	return fmt.Sprintf("trigger %d %q %q", t.TokenIDs, t.Text, t.TargetLabel)
}

func tokenKey(rule string, id int, text string) string {
	return fmt.Sprintf("token %q %d %q", rule, id, text)
}

func modelKey(f *scan.Finding) string {
	return fmt.Sprintf("model %q %q", f.Rule, f.Message)
}

func suspectKey(r *scan.Report, s *scan.Suspect) string {
	if !r.Suspected(s) {
		return fmt.Sprintf("suspect %d %q", s.TokenID, s.Token)
	}
	return fmt.Sprintf("suspect %d %q %q", s.TokenID, s.Token, s.Behaviour.TargetLabel)
}

func unsafeKey(r *scan.Report, u *scan.Unsafe) string {
	severity := u.Severity
	if u.SeverityWas != "" {
		severity = u.SeverityWas
	}
	return fmt.Sprintf("file %q %q %q %q", u.Rule, severity, report.Place(r, u.Where), u.Detail)
}

func (b *Baseline) has(key string) bool { return b != nil && b.known[key] }

func (b *Baseline) mark(ids ...int) scan.Suppression {
	return scan.Suppression{By: scan.ByBaseline, TokenIDs: ids, Justification: "it is in the baseline", Source: b.Path}
}
