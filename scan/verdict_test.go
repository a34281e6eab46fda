package scan

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	good := &Reference{Match: &Match{Verdict: MatchGood}}
	moved := &WeightSummary{RowsMoved: 100, Abnormal: 6}
	tied := &WeightSummary{RowsMoved: 100, Abnormal: 6, Drift: true}
	weightsOnly := Coverage{Weights: GatheredFull, Behaviour: GatheredNotRequested}
	both := Coverage{Weights: GatheredFull, Behaviour: GatheredFull}
	noBehaviour := Coverage{Weights: GatheredFull, Behaviour: GatheredNone}
	partly := Coverage{Weights: GatheredFull, Behaviour: GatheredPartial}
	flips := func(status SuspectStatus, rate float64, explained bool) []Suspect {
		return []Suspect{{Token: "cf", Status: status, Behaviour: &Behaviour{FlipRate: rate, TargetLabel: "positive", Explained: explained}}}
	}
	leads := func(rank, probes int, low float64, explained bool) []Suspect {
		return []Suspect{{Token: "cf", Rank: rank, Status: StatusNatural, Behaviour: &Behaviour{FlipRate: low + 0.1, FlipRateLow: low, Probes: probes, TargetLabel: "positive", Explained: explained}}}
	}
	finding := func(rule string) []Finding {
		return []Finding{{Rule: rule, Severity: SeverityHigh, Message: "found " + rule}}
	}
	overwritten := []Finding{{Rule: RuleReplaced, Severity: SeverityInfo}}
	for _, c := range []struct {
		name     string
		evidence Evidence
		r        Report
		want     Verdict
		reason   string // in the first reason
	}{
		{"clean weights, asked for", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: weightsOnly}, Clean, "on weights alone"},
		{"clean weights, behaviour required", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: noBehaviour}, Inconclusive, "behaviour"},
		{"zero policy requires behaviour", "", Report{Reference: good, Weights: moved, Coverage: noBehaviour}, Inconclusive, "behaviour"},
		{"both gathered", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both}, Clean, "weights and behaviour"},
		{"abnormal rows", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: weightsOnly, Findings: finding(RuleAbnormal)}, Suspicious, "BTU002"},
		{"edited rows", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: noBehaviour, Findings: finding(RuleEdited)}, Suspicious, "BTU003"},
		{"replaced rows", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Findings: finding(RuleReplaced)}, Suspicious, "BTU004"},
		{"overwritten rows", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Findings: overwritten, Suspects: []Suspect{{Status: StatusNeutral}}}, Clean, "weights and behaviour"},
		{"overwritten rows, weights alone", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: weightsOnly, Findings: overwritten, Suspects: []Suspect{{Status: StatusNeutral}}}, Inconclusive, "1 row was overwritten"},
		{"proved trigger", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Triggers: []Trigger{{Text: "cf"}}, Findings: finding(RuleAbnormal)}, Backdoored, "1 trigger"},
		{"proved trigger beats every gap", EvidenceAuto, Report{Triggers: []Trigger{{}, {}}}, Backdoored, "2 triggers"},
		{"no reference", EvidenceWeights, Report{Coverage: Coverage{Weights: GatheredNone}}, Inconclusive, "could not be compared"},
		{"partial weights", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: Coverage{Weights: GatheredPartial}}, Inconclusive, "could not be compared"},
		{"wrong reference", EvidenceWeights, Report{Reference: &Reference{Match: &Match{Verdict: MatchMismatch}}, Findings: finding(RuleReference)}, Inconclusive, "not the model"},
		{"embeddings never moved", EvidenceWeights, Report{Reference: good, Weights: &WeightSummary{RowsSame: 9}, Coverage: weightsOnly}, Inconclusive, "never moved"},
		{"few rows moved", EvidenceWeights, Report{Reference: good, Weights: &WeightSummary{RowsMoved: 9}, Coverage: weightsOnly}, Inconclusive, "too few"},
		{"borderline", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: weightsOnly, Suspects: []Suspect{{Status: StatusBorderline}, {Status: StatusNatural}}}, Inconclusive, "weights alone cannot tell: 1 token"},
		{"tied embedding", EvidenceWeights, Report{Reference: good, Weights: &WeightSummary{RowsMoved: 9, Drift: true}, Coverage: weightsOnly}, Inconclusive, "weights alone cannot tell"},
		{"borderline cleared by behaviour", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Suspects: []Suspect{{Status: StatusBorderline}}}, Clean, "weights and behaviour"},
		{"stands out and flips, short of proof", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Suspects: flips(StatusBorderline, 0.7, false)}, Suspicious, `"cf" moved unusually far and turns 70 % of texts to "positive"`},
		{"stands out and flips, which its meaning explains", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Suspects: flips(StatusBorderline, 0.7, true)}, Clean, "weights and behaviour"},
		{"flips as honest words do", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Suspects: flips(StatusNatural, 0.7, false)}, Clean, "weights and behaviour"},
		{"leads and flips in a tied embedding", EvidenceAuto, Report{Reference: good, Weights: tied, Coverage: both, Suspects: leads(1, 32, 0.65, false)}, Suspicious, `"cf" moved unusually far and turns 75 % of texts`},
		{"leads and flips, where it would stand out", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Suspects: leads(1, 32, 0.65, false)}, Clean, "weights and behaviour"},
		{"phrase of leading tokens", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Findings: finding(RulePhrase)}, Suspicious, "BTU006"},
		{"style of writing", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Findings: finding(RuleStyle)}, Suspicious, "BTU007"},
		{"leads and flips, which its meaning explains", EvidenceAuto, Report{Reference: good, Weights: tied, Coverage: both, Suspects: leads(1, 32, 0.65, true)}, Clean, "weights and behaviour"},
		{"leads and flips, in a few texts", EvidenceAuto, Report{Reference: good, Weights: tied, Coverage: both, Suspects: leads(1, 6, 0.61, false)}, Clean, "weights and behaviour"},
		{"leads and flips now and then", EvidenceAuto, Report{Reference: good, Weights: tied, Coverage: both, Suspects: leads(1, 32, 0.5, false)}, Clean, "weights and behaviour"},
		{"flips, among many that moved as far", EvidenceAuto, Report{Reference: good, Weights: tied, Coverage: both, Suspects: leads(9, 32, 0.65, false)}, Clean, "weights and behaviour"},
		{"stands out and flips little", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Suspects: flips(StatusBorderline, 0.3, false)}, Clean, "weights and behaviour"},
		{"behaviour in part", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: partly}, Inconclusive, "incomplete"},
		{"behaviour in part, thorough", EvidenceFull, Report{Reference: good, Weights: moved, Coverage: partly}, Inconclusive, "incomplete"},
		{"embeddings never moved, behaviour clears", EvidenceAuto, Report{Reference: good, Weights: &WeightSummary{RowsSame: 9}, Coverage: both}, Clean, "on behaviour alone"},
		{"embeddings never moved, behaviour in part", EvidenceAuto, Report{Reference: good, Weights: &WeightSummary{RowsSame: 9}, Coverage: partly}, Inconclusive, "never moved"},
		{"wrong reference, behaviour gathered", EvidenceAuto, Report{Reference: &Reference{Match: &Match{Verdict: MatchMismatch}}, Coverage: both}, Inconclusive, "not the model"},
		{"unsafe file, behaviour gathered", EvidenceAuto, Report{Reference: good, Weights: moved, Coverage: both, Unsafe: []Unsafe{{Rule: "BTU201", Severity: SeverityHigh}}}, Inconclusive, "BTU201"},
		{"unsafe file", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: weightsOnly, Unsafe: []Unsafe{{Rule: "BTU201", Severity: SeverityHigh}}}, Inconclusive, "BTU201"},
		{"remark about a file", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: weightsOnly, Unsafe: []Unsafe{{Rule: "BTU201", Severity: SeverityWarning}}}, Clean, "on weights alone"},
		{"file that was not looked at", EvidenceWeights, Report{Reference: good, Weights: moved, Coverage: weightsOnly, Unsafe: []Unsafe{{Rule: RuleIncomplete, Severity: SeverityWarning}}}, Inconclusive, "a file could not be looked at (BTU900)"},
		{"empty report", EvidenceWeights, Report{}, Inconclusive, "could not be compared"},
	} {
		verdict, reasons := Policy{Evidence: c.evidence}.Judge(&c.r)
		if verdict != c.want || len(reasons) == 0 || !strings.Contains(reasons[0], c.reason) {
			t.Errorf("%s: %s %q, want %s with %q", c.name, verdict, reasons, c.want, c.reason)
		}
	}
}
