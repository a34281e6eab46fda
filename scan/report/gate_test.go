package report

import (
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

// TestAlerts: a gate that counts the alerts which are not suppressed decides as
// the policy does, whatever mixture of verdict and decision there is.
func TestAlerts(t *testing.T) {
	suppressed := func(r *scan.Report) *scan.Report {
		for i := range r.Findings {
			r.Findings[i].Suppressed = true
			r.Findings[i].Suppressions = []scan.Suppression{{By: scan.ByPolicy, Justification: "why", Source: "p.yaml:1"}}
		}
		return r
	}
	gated := func(r *scan.Report, d scan.Decision) *scan.Report {
		r.Gate = &scan.Gate{Decision: d, Reasons: []string{"the policy's reason"}}
		return r
	}
	shortOfProof := func(excused bool) *scan.Report {
		r := suspicious()
		r.Findings = nil
		for i := range r.Suspects {
			s := &r.Suspects[i]
			if s.Behaviour = nil; s.Status != scan.StatusNatural {
				s.Behaviour = &scan.Behaviour{FlipRate: 0.7, TargetLabel: "x"}
				if excused {
					s.Suppressions = []scan.Suppression{{By: scan.ByTriage, Justification: "why", Source: "t.json"}}
				}
			}
		}
		return r
	}
	for _, tc := range []struct {
		name   string
		report *scan.Report
		rule   string // of the gravest alert that counts; "" for none from warning on
	}{
		{"no gate", suspicious(), scan.RuleAbnormal},
		{"fails", gated(suspicious(), scan.Fail), scan.RuleAbnormal},
		{"passes, all suppressed", gated(suppressed(suspicious()), scan.Pass), ""},
		{"a proof, all suppressed", gated(suppressed(backdoored()), scan.Pass), ""},
		{"all suppressed, and evidence is missing", gated(suppressed(suspicious()), scan.Undecided), ruleIncomplete},
		{"all suppressed, and it fails yet", gated(suppressed(suspicious()), scan.Fail), scan.RuleAbnormal},
		{"no decision", gated(suppressed(suspicious()), ""), ruleIncomplete},
		{"short of proof", gated(shortOfProof(false), scan.Fail), scan.RuleAbnormal},
		{"short of proof, suppressed", gated(shortOfProof(true), scan.Pass), ""},
		{"short of proof, suppressed, undecided", gated(shortOfProof(true), scan.Undecided), ruleIncomplete},
		{"inconclusive", gated(noReference(), scan.Undecided), ruleIncomplete},
		{"inconclusive, and no more is required", gated(noReference(), scan.Pass), ""},
		{"clean", gated(clean(), scan.Pass), ""},
		{"clean, but not by the policy", gated(clean(), scan.Undecided), ruleIncomplete},
	} {
		all, got := issues(tc.report), ""
		serious(all)
		for _, i := range all {
			if got == "" && !i.suppressed && weight(i.severity) > 0 {
				got = i.rule
			}
		}
		if got != tc.rule {
			t.Errorf("%s: %q, want %q: %+v", tc.name, got, tc.rule, all)
		}
	}
}

// TestGateIsShown: where the policy changes what a verdict means, every format
// for people says so, with the reason and the files; and none calls it clean.
func TestGateIsShown(t *testing.T) {
	r := looked()
	for _, format := range Formats() {
		got := encode(t, format, Options{Width: 400}, r)
		text := strings.NewReplacer("&#46;", ".", "&#58;", ":", "&#45;", "-", "&#95;", "_", `\"`, `"`).Replace(got)
		text = strings.Join(strings.Fields(text), " ")
		for _, want := range []string{"an airport code; our data is about flights (ML-142)", ".btu-scan.yaml", "btu-scan.triage.json", "matches nothing", "reviews say so", "the verdict stays suspicious"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q", format, want)
			}
		}
		if strings.Contains(strings.ToLower(got), "clean ") && !strings.Contains(strings.ToLower(encode(t, format, Options{Width: 400}, suspicious())), "clean ") {
			t.Errorf("%s calls it clean", format)
		}
	}
}

// TestGateIsQuiet: without a policy, text says no more than the verdict.
func TestGateIsQuiet(t *testing.T) {
	for _, tc := range []struct {
		report *scan.Report
		d      scan.Decision
	}{{suspicious(), scan.Fail}, {backdoored(), scan.Fail}, {clean(), scan.Pass}, {noReference(), scan.Undecided}, {unsafePickle(), scan.Fail}} {
		before := encode(t, "text", Options{}, tc.report)
		tc.report.Gate = &scan.Gate{Decision: tc.d, Reasons: []string{"a reason"}, FailOn: "suspicious"}
		if got := encode(t, "text", Options{}, tc.report); got != before {
			t.Errorf("%s: %s", tc.report.Verdict, got)
		}
		tc.report.Gate.Decision = scan.Undecided
		if tc.d != scan.Undecided && !strings.Contains(encode(t, "text", Options{}, tc.report), "UNDECIDED") {
			t.Errorf("%s: another decision is not shown", tc.report.Verdict)
		}
	}
}
