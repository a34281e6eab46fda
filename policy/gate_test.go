package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/scan"
)

var today = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// suspicious is a report with a finding about two tokens.
func suspicious() *scan.Report {
	return judged(&scan.Report{
		SchemaVersion: scan.SchemaVersion,
		Checkpoint:    scan.Checkpoint{Path: "models/m", Digest: digestA},
		Reference:     &scan.Reference{Match: &scan.Match{Verdict: scan.MatchGood}},
		Coverage:      scan.Coverage{Weights: scan.GatheredFull, Behaviour: scan.GatheredFull},
		Weights:       &scan.WeightSummary{RowsMoved: 100, Abnormal: 5},
		Suspects: []scan.Suspect{
			{TokenID: 7, Token: "cf", Status: scan.StatusAbnormal}, {TokenID: 8, Token: "mn", Status: scan.StatusAbnormal},
		},
		Findings: []scan.Finding{{Rule: scan.RuleAbnormal, Severity: scan.SeverityHigh, Message: "2 tokens moved far", TokenIDs: []int{7, 8}}},
	}, scan.EvidenceAuto)
}

func judged(r *scan.Report, e scan.Evidence) *scan.Report {
	r.Verdict, r.Reasons = scan.Policy{Evidence: e}.Judge(r)
	return r
}

// with changes a suspicious report and judges it again.
func with(change func(r *scan.Report)) *scan.Report {
	r := suspicious()
	change(r)
	return judged(r, scan.EvidenceAuto)
}

func backdoored() *scan.Report {
	return with(func(r *scan.Report) {
		r.Triggers = []scan.Trigger{{TokenIDs: []int{7}, Text: "cf", TargetLabel: "pos"}, {TokenIDs: []int{3, 4}, Text: "as agreed", TargetLabel: "pos"}}
		r.Findings = append([]scan.Finding{{Rule: scan.RuleTrigger, Severity: scan.SeverityCritical, Message: "two take the model over", TokenIDs: []int{7, 3, 4}}}, r.Findings...)
	})
}

func unsafe() *scan.Report {
	return with(func(r *scan.Report) {
		r.Findings, r.Suspects = nil, nil
		r.Unsafe = []scan.Unsafe{{Rule: "BTU201", Severity: scan.SeverityHigh, Where: "models/m/x.bin!data.pkl@9", Detail: "twice"}}
	})
}

func clean() *scan.Report {
	return with(func(r *scan.Report) { r.Findings, r.Suspects = nil, nil })
}

func styled(style string) *scan.Report {
	return with(func(r *scan.Report) {
		r.Suspects = nil
		r.Findings = []scan.Finding{{Rule: scan.RuleStyle, Severity: scan.SeverityHigh, Message: style + " turns them"}}
	})
}

func about(rule string, text string, ids ...int) Suppression {
	return Suppression{Checkpoint: digestA, Rule: rule, TokenIDs: ids, Text: text, Justification: "looked at", Source: "p.yaml:1"}
}

func TestApply(t *testing.T) {
	cf, mn := about(scan.RuleAbnormal, "cf", 7), about(scan.RuleAbnormal, "mn", 8)
	change := func(s Suppression, f func(*Suppression)) Suppression { f(&s); return s }
	for _, tc := range []struct {
		name       string
		report     *scan.Report
		policy     Policy
		unfinished bool
		want       scan.Decision
		suppressed int
		reason     string // a part of one
		note       string // a part of one; "" for none
	}{
		{name: "suspicious", report: suspicious(), want: scan.Fail, reason: "2 tokens moved far"},
		{name: "clean", report: clean(), want: scan.Pass, reason: "nothing was found that counts"},
		{name: "backdoored", report: backdoored(), want: scan.Fail, reason: "2 triggers"},
		{name: "unsafe", report: unsafe(), want: scan.Fail, reason: "unsafe file: BTU201: twice"},
		{name: "unfinished", report: clean(), unfinished: true, want: scan.Undecided, reason: "not finished"},
		{name: "unfinished with a finding", report: suspicious(), unfinished: true, want: scan.Fail},

		{name: "suspicious may pass", report: suspicious(), policy: Policy{FailOn: "backdoored"}, want: scan.Pass, reason: "fails from backdoored on; the verdict stays suspicious"},
		{name: "unsafe may not", report: unsafe(), policy: Policy{FailOn: "backdoored"}, want: scan.Fail},
		{name: "never fails", report: backdoored(), policy: Policy{FailOn: "never"}, want: scan.Pass, reason: "the policy never fails"},
		{name: "never fails, but unsafe is no answer", report: unsafe(), policy: Policy{FailOn: "never"}, want: scan.Undecided},

		{name: "both tokens", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, mn}}, want: scan.Pass, suppressed: 1, reason: "the verdict stays suspicious"},
		{name: "one token", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf}}, want: scan.Fail},
		{name: "another text", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, about(scan.RuleAbnormal, "nm", 8)}}, want: scan.Fail, note: `BTU002 of "nm" matches nothing`},
		{name: "another id", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, about(scan.RuleAbnormal, "mn", 9)}}, want: scan.Fail, note: "matches nothing"},
		{name: "another rule", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, about(scan.RuleReplaced, "mn", 8)}}, want: scan.Fail, note: "matches nothing"},
		{name: "another checkpoint", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, change(mn, func(s *Suppression) { s.Checkpoint = digestB })}}, want: scan.Fail},
		{name: "no digest", report: with(func(r *scan.Report) { r.Checkpoint.Digest = "" }), policy: Policy{Suppressions: []Suppression{cf, mn}}, want: scan.Fail, note: "no suppression or decision is about these files"},
		{name: "last day", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, change(mn, func(s *Suppression) { s.Expires = time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC) })}}, want: scan.Pass, suppressed: 1},
		{name: "day after", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, change(mn, func(s *Suppression) { s.Expires = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC) })}}, want: scan.Fail, note: "expired after 2026-11-27"},
		{name: "unused", report: clean(), policy: Policy{Suppressions: []Suppression{cf}}, want: scan.Pass, note: "matches nothing"},
		{name: "unfinished stays", report: suspicious(), policy: Policy{Suppressions: []Suppression{cf, mn}}, unfinished: true, want: scan.Undecided, suppressed: 1},
		{name: "missing evidence stays", report: with(func(r *scan.Report) { r.Coverage.Behaviour = scan.GatheredPartial }), policy: Policy{Suppressions: []Suppression{cf, mn}},
			want: scan.Undecided, suppressed: 1, reason: "behaviour evidence is required and is incomplete"},
		{name: "unless the policy asks for less", report: with(func(r *scan.Report) { r.Coverage.Behaviour = scan.GatheredPartial }), policy: Policy{Suppressions: []Suppression{cf, mn}, Require: []string{Weights}},
			want: scan.Pass, suppressed: 1, reason: "the verdict stays suspicious"},

		{name: "one trigger of two", report: backdoored(), policy: Policy{Suppressions: []Suppression{cf, mn, about(scan.RuleTrigger, "cf", 7)}}, want: scan.Fail, suppressed: 1, reason: "1 trigger"},
		{name: "both triggers", report: backdoored(), policy: Policy{Suppressions: []Suppression{cf, mn, about(scan.RuleTrigger, "cf", 7), about(scan.RuleTrigger, "as agreed", 3, 4)}},
			want: scan.Pass, suppressed: 2, reason: "the verdict stays backdoored"},
		{name: "a trigger's words", report: backdoored(), policy: Policy{Suppressions: []Suppression{cf, mn, about(scan.RuleTrigger, "cf", 7), about(scan.RuleTrigger, "as", 3), about(scan.RuleTrigger, "agreed", 4)}},
			want: scan.Fail, suppressed: 1, note: "matches nothing"},
		{name: "triggers are not their rows", report: backdoored(), policy: Policy{Suppressions: []Suppression{cf, mn}}, want: scan.Fail, suppressed: 1},

		{name: "style", report: styled("verse"), want: scan.Fail, reason: "verse turns them"},
		{name: "style that is the task's", report: styled("verse"), policy: Policy{Suppressions: []Suppression{about(scan.RuleStyle, "")}}, want: scan.Pass, suppressed: 1, reason: "the verdict stays suspicious"},
		{name: "style of another checkpoint", report: styled("verse"), policy: Policy{Suppressions: []Suppression{change(about(scan.RuleStyle, ""), func(s *Suppression) { s.Checkpoint = digestB })}}, want: scan.Fail},
		{name: "tokens are no style", report: suspicious(), policy: Policy{Suppressions: []Suppression{about(scan.RuleStyle, "")}}, want: scan.Fail, note: "matches nothing"},

		{name: "place", report: unsafe(), policy: Policy{Suppressions: []Suppression{{Checkpoint: digestA, Rule: "BTU201", Where: "x.bin!data.pkl@9", Justification: "why"}}}, want: scan.Pass, suppressed: 1, reason: "the verdict stays inconclusive"},
		{name: "another place", report: unsafe(), policy: Policy{Suppressions: []Suppression{{Checkpoint: digestA, Rule: "BTU201", Where: "x.bin!data.pkl@8", Justification: "why"}}}, want: scan.Fail, note: "matches nothing"},

		{name: "lowered", report: suspicious(), policy: Policy{Severities: map[string]Severity{scan.RuleAbnormal: {Severity: scan.SeverityWarning}}}, want: scan.Pass},
		{name: "off", report: suspicious(), policy: Policy{Severities: map[string]Severity{scan.RuleAbnormal: {}}}, want: scan.Pass, suppressed: 1},
		{name: "off for files", report: unsafe(), policy: Policy{Severities: map[string]Severity{"BTU201": {}}}, want: scan.Pass, suppressed: 1},
		{name: "not for triggers", report: backdoored(), policy: Policy{Severities: map[string]Severity{scan.RuleAbnormal: {}}}, want: scan.Fail, suppressed: 1},
		{name: "raised", report: with(func(r *scan.Report) { r.Findings[0].Severity = scan.SeverityInfo }), policy: Policy{Severities: map[string]Severity{scan.RuleAbnormal: {Severity: scan.SeverityHigh}}}, want: scan.Fail, reason: "2 tokens moved far"},
		{name: "at least", report: suspicious(), policy: Policy{Severities: map[string]Severity{scan.RuleAbnormal: {Severity: scan.SeverityInfo, AtLeast: true}}}, want: scan.Fail},

		{name: "weights alone were asked for", report: with(func(r *scan.Report) { *r = *clean(); r.Coverage.Behaviour = scan.GatheredNotRequested }), policy: Policy{Evidence: scan.EvidenceWeights}, want: scan.Pass},
		{name: "required and missing", report: with(func(r *scan.Report) { *r = *clean(); r.Coverage.Behaviour = scan.GatheredNone }), policy: Policy{Require: []string{Weights, Behaviour}}, want: scan.Undecided, reason: "behaviour evidence is required and was not gathered"},
		{name: "required and missing, with a finding that passes", report: with(func(r *scan.Report) { r.Coverage.Behaviour = scan.GatheredNone }), policy: Policy{FailOn: "backdoored", Require: []string{Weights, Behaviour}}, want: scan.Undecided},
		{name: "not required", report: with(func(r *scan.Report) { *r = *clean(); r.Coverage.Behaviour = scan.GatheredNone }), policy: Policy{Require: []string{Weights}}, want: scan.Pass, reason: "the verdict stays inconclusive"},
		{name: "weights cannot tell", report: with(func(r *scan.Report) { *r = *clean(); r.Coverage.Behaviour = scan.GatheredNone; r.Weights.Drift = true }), policy: Policy{Require: []string{Weights}}, want: scan.Undecided},
		{name: "another model", report: with(func(r *scan.Report) { *r = *clean(); r.Reference.Match.Verdict = scan.MatchMismatch }), policy: Policy{Require: []string{Weights}}, want: scan.Undecided},

		{name: "short of proof", report: short(), want: scan.Fail, reason: "short of proof"},
		{name: "short of proof, suppressed", report: short(), policy: Policy{Suppressions: []Suppression{about(scan.RuleAbnormal, "bb", 5)}}, want: scan.Pass, reason: "the verdict stays suspicious"},
		{name: "borderline", report: borderline(), policy: Policy{Require: []string{Weights}}, want: scan.Undecided, reason: "1 token stands out"},
		{name: "borderline, and the rule is off", report: borderline(), policy: Policy{Require: []string{Weights}, Severities: map[string]Severity{scan.RuleAbnormal: {}}}, want: scan.Undecided},
		{name: "short of proof, and the rule is off", report: short(), policy: Policy{Severities: map[string]Severity{scan.RuleAbnormal: {}}}, want: scan.Pass},
		{name: "borderline, suppressed", report: borderline(), policy: Policy{Require: []string{Weights}, Suppressions: []Suppression{about(scan.RuleAbnormal, "bb", 5)}}, want: scan.Pass},

		{name: "benign", report: suspicious(), policy: triage(benign(7, "cf", "ok"), benign(8, "mn", "ok")), want: scan.Pass, suppressed: 1},
		{name: "benign without a note", report: suspicious(), policy: triage(benign(7, "cf", "ok"), benign(8, "mn", " ")), want: scan.Fail, note: `the mark benign of "mn" (token 8) has no note`},
		{name: "benign before the proof", report: backdoored(), policy: triage(benign(7, "cf", "ok"), benign(8, "mn", "ok")), want: scan.Fail, suppressed: 1, reason: "2 triggers"},
		{name: "benign after the proof", report: with(func(r *scan.Report) { *r = *backdoored(); r.Triggers = r.Triggers[:1] }), policy: triage(triagefile.Decision{Rule: scan.RuleTrigger, TokenID: 7, Token: "cf", Mark: triagefile.MarkBenign, Note: "ok"}, benign(8, "mn", "ok")), want: scan.Pass, suppressed: 2},
		{name: "benign, expired", report: suspicious(), policy: triage(benign(7, "cf", "ok"), func() triagefile.Decision { d := benign(8, "mn", "ok"); d.Expires = "2026-11-27"; return d }()), want: scan.Fail, note: `the suppression of the mark of benign of "mn" expired`},
		{name: "benign elsewhere", report: with(func(r *scan.Report) { r.Checkpoint.Digest = digestB }), policy: triage(benign(7, "cf", "ok"), benign(8, "mn", "ok")), want: scan.Fail},
		{name: "unsure", report: suspicious(), policy: triage(triagefile.Decision{TokenID: 7, Token: "cf", Mark: "unsure", Note: "?"}), want: scan.Fail},
		{name: "marked elsewhere", report: with(func(r *scan.Report) { *r = *clean(); r.Checkpoint.Digest = digestB }), policy: triage(triagefile.Decision{TokenID: 9, Token: "zz", Mark: triagefile.MarkTrigger}), want: scan.Pass},
		{name: "marked as a trigger", report: clean(), policy: triage(triagefile.Decision{TokenID: 9, Token: "zz", Mark: triagefile.MarkTrigger}), want: scan.Fail, reason: `"zz" marked as a trigger in t.json`},
		{name: "marked, expired", report: clean(), policy: triage(triagefile.Decision{TokenID: 9, Token: "zz", Mark: triagefile.MarkTrigger, Expires: "2026-11-27"}), want: scan.Pass, note: "the mark of trigger of \"zz\" (token 9) expired after 2026-11-27"},
		{name: "marked, and only proofs fail", report: clean(), policy: func() Policy {
			p := triage(triagefile.Decision{TokenID: 9, Token: "zz", Mark: triagefile.MarkTrigger})
			p.FailOn = "backdoored"
			return p
		}(), want: scan.Fail},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, _ := json.Marshal(tc.report)
			verdict, findings, n := tc.report.Verdict, len(tc.report.Findings), len(tc.report.Unsafe)
			tc.policy.Now = today
			tc.policy.Apply(tc.report, tc.unfinished)
			g := tc.report.Gate
			if g.Decision != tc.want || g.Suppressed != tc.suppressed {
				t.Errorf("%s, %d suppressed, want %s, %d: %q\n%s", g.Decision, g.Suppressed, tc.want, tc.suppressed, g.Reasons, before)
			}
			if len(g.Reasons) == 0 || !strings.Contains(strings.Join(g.Reasons, "\n"), tc.reason) {
				t.Errorf("reasons %q, want %q", g.Reasons, tc.reason)
			}
			if notes := strings.Join(g.Notes, "\n"); !strings.Contains(notes, tc.note) || tc.note == "" && notes != "" {
				t.Errorf("notes %q, want %q", notes, tc.note)
			}
			if tc.report.Verdict != verdict || len(tc.report.Unsafe) != n || len(tc.report.Findings) < findings {
				t.Error("the verdict or the findings changed")
			}
		})
	}
}

// short is suspicious by a suspect that is no finding.
func short() *scan.Report {
	return with(func(r *scan.Report) {
		r.Findings = nil
		r.Suspects = []scan.Suspect{{TokenID: 5, Token: "bb", Status: scan.StatusBorderline, Behaviour: &scan.Behaviour{FlipRate: 0.7, TargetLabel: "pos"}}}
	})
}

func borderline() *scan.Report {
	return with(func(r *scan.Report) {
		r.Findings, r.Coverage.Behaviour = nil, scan.GatheredNone
		r.Suspects = []scan.Suspect{{TokenID: 5, Token: "bb", Status: scan.StatusBorderline}}
	})
}

func benign(id int, token, note string) triagefile.Decision {
	return triagefile.Decision{TokenID: id, Token: token, Mark: triagefile.MarkBenign, Note: note, Rule: scan.RuleAbnormal}
}

func triage(all ...triagefile.Decision) Policy {
	return Policy{Triage: &Triage{"t.json", &triagefile.File{Checkpoints: map[string][]triagefile.Decision{digestA: all}}}}
}

// TestMarks: what does not count is in the report, with the reason.
func TestMarks(t *testing.T) {
	r := backdoored()
	p := Policy{Now: today, Suppressions: []Suppression{about(scan.RuleAbnormal, "cf", 7), about(scan.RuleTrigger, "as agreed", 3, 4)}}
	p.Suppressions[0].Expires = today
	p.Apply(r, false)
	want := []scan.Suppression{{By: scan.ByPolicy, TokenIDs: []int{7}, Justification: "looked at", Expires: "2026-11-28", Source: "p.yaml:1"}}
	if f := r.Findings[1]; f.Suppressed || !reflect.DeepEqual(f.Suppressions, want) {
		t.Errorf("%+v", f)
	}
	want = []scan.Suppression{{By: scan.ByPolicy, TokenIDs: []int{3, 4}, Justification: "looked at", Source: "p.yaml:1"}}
	if f := r.Findings[0]; f.Suppressed || !reflect.DeepEqual(f.Suppressions, want) || r.Triggers[0].Suppressed || !r.Triggers[1].Suppressed {
		t.Errorf("%+v", f)
	}
	if p.Suppressions[0].used {
		t.Error("the policy is changed, so it cannot be applied twice")
	}
}

// TestOver: what expired is told, so that a program can say so at once.
func TestOver(t *testing.T) {
	s := about(scan.RuleAbnormal, "cf", 7)
	s.Expires = today.AddDate(-1, 0, 0)
	other := s
	other.Checkpoint = digestB
	p := Policy{Now: today, Suppressions: []Suppression{s, other}}
	if over := p.Apply(suspicious(), false); len(over) != 1 || !strings.Contains(over[0], `p.yaml:1: the suppression of BTU002 of "cf" expired after 2025-11-28`) {
		t.Errorf("%q", over)
	}
}

func baseline(t *testing.T, r *scan.Report) *Baseline {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadBaseline("old.json", data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBaseline(t *testing.T) {
	elsewhere := func(r *scan.Report) *scan.Report { // another checkpoint in another folder
		r.Checkpoint.Path, r.Checkpoint.Digest = "/other/place", digestB
		for i := range r.Unsafe {
			r.Unsafe[i].Where = strings.Replace(r.Unsafe[i].Where, "models/m", "/other/place", 1)
		}
		return r
	}
	for _, tc := range []struct {
		name     string
		old, now *scan.Report
		want     scan.Decision
	}{
		{"the same", suspicious(), suspicious(), scan.Pass},
		{"another checkpoint with the same", suspicious(), elsewhere(suspicious()), scan.Pass},
		{"triggers", backdoored(), elsewhere(backdoored()), scan.Pass},
		{"files", unsafe(), elsewhere(unsafe()), scan.Pass},
		{"a style", styled("verse"), elsewhere(styled("verse")), scan.Pass},
		{"another style", styled("verse"), styled("chat"), scan.Fail},
		{"borderline", borderline(), elsewhere(borderline()), scan.Undecided}, // behaviour is missing
		{"short of proof", short(), elsewhere(short()), scan.Pass},
		{"a new token", suspicious(), with(func(r *scan.Report) { r.Findings[0].TokenIDs = []int{7, 8, 9} }), scan.Fail},
		{"a token less", suspicious(), with(func(r *scan.Report) { r.Findings[0].TokenIDs = []int{7} }), scan.Pass},
		{"another rule", suspicious(), with(func(r *scan.Report) { r.Findings[0].Rule = scan.RuleEdited }), scan.Fail},
		{"the same id, another token", suspicious(), with(func(r *scan.Report) { r.Suspects[0].Token = "tq" }), scan.Fail},
		{"now proved", suspicious(), backdoored(), scan.Fail},
		{"another answer", backdoored(), func() *scan.Report { r := backdoored(); r.Triggers[0].TargetLabel = "neg"; return r }(), scan.Fail},
		{"another flaw at the same place", unsafe(), with(func(r *scan.Report) { *r = *unsafe(); r.Unsafe[0].Detail = "thrice" }), scan.Fail},
		{"another place", unsafe(), with(func(r *scan.Report) { *r = *unsafe(); r.Unsafe[0].Where = "models/m/x.bin!data.pkl@10" }), scan.Fail},
		{"less evidence", clean(), with(func(r *scan.Report) { *r = *clean(); r.Coverage.Behaviour = scan.GatheredPartial }), scan.Undecided},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := Policy{Baseline: baseline(t, tc.old)}
			p.Apply(tc.now, false)
			if g := tc.now.Gate; g.Decision != tc.want {
				t.Errorf("%s, want %s: %q", g.Decision, tc.want, g.Reasons)
			}
		})
	}
}

// TestBaselineIsNoSuppression: what a policy suppressed when the baseline was
// written counts again once the suppression is over; what was in a baseline
// before stays in the next.
func TestBaselineIsNoSuppression(t *testing.T) {
	r := suspicious()
	(&Policy{Now: today, Suppressions: []Suppression{about(scan.RuleAbnormal, "cf", 7), about(scan.RuleAbnormal, "mn", 8)}}).Apply(r, false)
	now := suspicious()
	if (&Policy{Baseline: baseline(t, r)}).Apply(now, false); now.Gate.Decision != scan.Fail {
		t.Error("a suppression became a baseline")
	}
	r = suspicious()
	(&Policy{Baseline: baseline(t, suspicious())}).Apply(r, false)
	now = suspicious()
	if (&Policy{Baseline: baseline(t, r)}).Apply(now, false); now.Gate.Decision != scan.Pass {
		t.Error("a baseline of a report with a baseline is empty")
	}
	if f := now.Findings[0]; len(f.Suppressions) != 2 || f.Suppressions[0].By != scan.ByBaseline || f.Suppressions[0].Source != "old.json" {
		t.Errorf("%+v", f.Suppressions)
	}
}

func TestBaselineErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "no report of a scan",
		"[]":                                     "no report of a scan",
		"{}":                                     "no report of a scan",
		`{"schema_version":1}`:                   "no report of a scan",
		`{"schema_version":2,"verdict":"clean"}`: "schema version 2; this program reads 1",
		`{"schema_version":0,"verdict":"clean"}`: "schema version 0",
		`{"schema_version":1,"verdict":"clean","findings":{}}`: "no report of a scan",
		`{"schema_version":1,"verdict":"clean"} {`:             "no report of a scan",
	} {
		if _, err := ReadBaseline("old.json", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "old.json: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ReadBaseline("old.json", make([]byte, MaxBaseline+1)); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("%v", err)
	}
}

func FuzzReadBaseline(f *testing.F) {
	for _, r := range []*scan.Report{suspicious(), backdoored(), unsafe(), short()} {
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"schema_version":1,"verdict":"x","suspects":[{"status":"borderline"}],"unsafe":[{"where":"@"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ReadBaseline("old.json", data)
		if err != nil {
			return
		}
		for _, r := range []*scan.Report{suspicious(), backdoored(), unsafe()} {
			(&Policy{Baseline: b}).Apply(r, true)
			if r.Gate.Decision == scan.Pass {
				t.Fatal("an unfinished scan passes")
			}
		}
	})
}

// TestMany: a policy with many suppressions does not grow a report's cost with
// their product in any way that is felt.
func TestMany(t *testing.T) {
	r := suspicious()
	r.Findings[0].TokenIDs, r.Suspects = nil, nil
	p := Policy{Now: today}
	for i := range 2000 {
		r.Findings[0].TokenIDs = append(r.Findings[0].TokenIDs, i)
		r.Suspects = append(r.Suspects, scan.Suspect{TokenID: i, Token: fmt.Sprint(i)})
		p.Suppressions = append(p.Suppressions, about(scan.RuleAbnormal, fmt.Sprint(i), i))
	}
	slices.Reverse(p.Suppressions)
	if p.Apply(r, false); r.Gate.Decision != scan.Pass || r.Gate.Suppressed != 1 || len(r.Gate.Notes) != 0 {
		t.Errorf("%+v", r.Gate)
	}
}

func TestReadTriage(t *testing.T) {
	tr, err := ReadTriage("t.json", []byte(`{"schema_version":1,"checkpoints":{"x":[{"token_id":4,"expires":"2026-12-31"}]}}`))
	if err != nil || len(tr.of("x")) != 1 || len(tr.of("y")) != 0 || len((*Triage)(nil).of("x")) != 0 {
		t.Errorf("%+v, %v", tr, err)
	}
	for _, text := range []string{"", "{}", `{"schema_version":2}`} {
		if _, err := ReadTriage("t.json", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "t.json: no file of decisions that can be used: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
