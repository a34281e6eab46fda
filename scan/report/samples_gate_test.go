package report

import (
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// looked is a suspicious checkpoint whose findings a team has looked at.
func looked() *scan.Report {
	r := suspicious()
	f := &r.Findings[0]
	r.Checkpoint.SHA256 = strings.Repeat("5e", 32)
	r.Checkpoint.Digest = "sha256:" + r.Checkpoint.SHA256
	for _, id := range f.TokenIDs[:4] {
		f.Suppressions = append(f.Suppressions, scan.Suppression{
			By: scan.ByPolicy, TokenIDs: []int{id}, Justification: "an airport code; our data is about flights (ML-142)", Expires: "2027-06-30", Source: ".btu-scan.yaml:12",
		})
	}
	f.Suppressions = append(f.Suppressions, scan.Suppression{By: scan.ByTriage, TokenIDs: f.TokenIDs[4:], Justification: "a unit", Source: "btu-scan.triage.json"})
	f.Suppressed = true
	r.Suspects[5].Suppressions = []scan.Suppression{{By: scan.ByTriage, TokenIDs: []int{r.Suspects[5].TokenID}, Justification: "reviews say so", Source: "btu-scan.triage.json"}}
	sha := strings.Repeat("0f", 32)
	r.Gate = &scan.Gate{
		Decision: scan.Pass, FailOn: "suspicious", Require: []string{"weights"}, Suppressed: 1,
		Reasons: []string{"nothing that counts is left; suppressed or in the baseline: 1; the verdict stays suspicious"},
		Policy:  []scan.PolicyFile{{Kind: scan.PolicyConfig, Path: ".btu-scan.yaml", SHA256: sha}, {Kind: scan.PolicyTriage, Path: "btu-scan.triage.json", SHA256: sha}},
		Notes:   []string{`.btu-scan.yaml:30: the suppression of BTU003 of "tq" matches nothing`},
	}
	return r
}

// partly is a backdoored checkpoint of whose findings some do not count.
func partly() *scan.Report {
	r := backdoored()
	known := func(ids ...int) scan.Suppression {
		return scan.Suppression{By: scan.ByBaseline, TokenIDs: ids, Justification: "it is in the baseline", Source: "old.json"}
	}
	t := &r.Triggers[0]
	t.Suppressed, t.Suppressions = true, []scan.Suppression{known(t.TokenIDs...)}
	r.Findings[0].Suppressions = t.Suppressions
	last := &r.Findings[len(r.Findings)-1]
	last.SeverityWas, last.Severity = last.Severity, scan.SeverityInfo
	last.Suppressed, last.Suppressions = true, []scan.Suppression{{By: scan.ByRule, Justification: "the rule is off", Source: "ci/policy.yaml:3"}}
	r.Unsafe = []scan.Unsafe{{
		Rule: "BTU201", Severity: scan.SeverityHigh, SeverityWas: scan.SeverityWarning, Where: r.Checkpoint.Path + "/model.safetensors@8", Detail: "spaces after the header",
		Suppressed: true, Suppressions: []scan.Suppression{known()},
	}}
	r.Gate = &scan.Gate{
		Decision: scan.Fail, FailOn: "backdoored", Require: []string{"weights", "behaviour"}, Counted: 1, Suppressed: 2, Reasons: []string{"4 triggers proved by behaviour"},
		Policy: []scan.PolicyFile{
			{Kind: scan.PolicyConfig, Path: "ci/policy.yaml", SHA256: strings.Repeat("0f", 32)},
			{Kind: scan.PolicyTarget, Path: r.Checkpoint.Path + "/.btu-scan.yaml", SHA256: strings.Repeat("0e", 32)},
			{Kind: scan.PolicyBaseline, Path: "old.json", SHA256: strings.Repeat("0d", 32)},
		},
		Notes: []string{"ci/policy.yaml:9: the suppression of BTU002 of \"cf\" expired after 2026-01-31 and does not count"},
	}
	return r
}
