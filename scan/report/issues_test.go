package report

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/btu-scan/btu-scan/scan"
)

// TestRules: the table holds every rule that the project has, each once, and
// says of each what a reader and code scanning need.
func TestRules(t *testing.T) {
	declared := map[string]bool{}
	for _, name := range []string{"../report.go", "../../loader/finding.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if ok && strings.HasPrefix(spec.Names[0].Name, "Rule") {
				id, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				declared[id] = true
			}
			return true
		})
	}
	if len(declared) < 11 {
		t.Fatalf("only %d rules were found in the sources", len(declared))
	}
	listed := map[string]bool{}
	names := map[string]bool{}
	for i, r := range rules {
		if listed[r.id] || names[r.name] {
			t.Errorf("%s %s is listed twice", r.id, r.name)
		}
		listed[r.id], names[r.name] = true, true
		if ruleIndex(r.id) != i {
			t.Errorf("%s: index %d", r.id, ruleIndex(r.id))
		}
		score, err := strconv.ParseFloat(r.score, 64)
		if err != nil || score <= 0 || score > 10 {
			t.Errorf("%s: severity %q", r.id, r.score)
		}
		if want := map[string]bool{"error": score >= 7, "warning": score >= 4 && score < 7}; !want[r.level] {
			t.Errorf("%s: level %s with severity %s", r.id, r.level, r.score)
		}
		if !regexp.MustCompile(`^([A-Z][a-z]+)+$`).MatchString(r.name) {
			t.Errorf("%s: name %q", r.id, r.name)
		}
		if r.short == "" || strings.HasSuffix(r.short, ".") || !strings.HasSuffix(r.full, ".") || !strings.HasSuffix(r.meaning, ".") || len(r.advice) < 2 {
			t.Errorf("%s: its texts are incomplete", r.id)
		}
		if len(r.short) > 1024 || len(r.full) > 1024 || len(r.tags) > 9 { // what GitHub takes, with the tag security
			t.Errorf("%s: too long, or too many tags", r.id)
		}
		if strings.ContainsAny(r.short+r.meaning+strings.Join(r.advice, ""), "|<>*_[]`&@#~{}\\") {
			t.Errorf("%s: its texts hold marks that Markdown would read", r.id)
		}
		for _, text := range []string{r.helpText(), r.helpMarkdown()} {
			if !strings.Contains(text, r.meaning) || !strings.Contains(text, r.advice[0]) {
				t.Errorf("%s: help %q", r.id, text)
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(declared)); !slices.Equal(got, want) {
		t.Errorf("rules %v, the project has %v", got, want)
	}
}

// TestIssues: no verdict but clean goes without an alert.
func TestIssues(t *testing.T) {
	suspect := scan.Suspect{TokenID: 7, Status: scan.StatusBorderline, Behaviour: &scan.Behaviour{FlipRate: 0.6}}
	info := scan.Finding{Rule: scan.RuleReplaced, Severity: scan.SeverityInfo, Message: "neutral rows"}
	pickle := scan.Unsafe{Rule: "BTU100", Severity: scan.SeverityCritical}
	for _, tc := range []struct {
		name string
		r    scan.Report
		want string // rules and severities
	}{
		{"clean", scan.Report{Verdict: scan.Clean}, ""},
		{"clean after a repair", scan.Report{Verdict: scan.Clean, Findings: []scan.Finding{info}}, "BTU004 info"},
		{"inconclusive", scan.Report{Verdict: scan.Inconclusive}, "BTU900 warning"},
		{"no verdict", scan.Report{}, "BTU900 warning"},
		{"an unknown verdict", scan.Report{Verdict: "fine"}, "BTU900 warning"},
		{"inconclusive, unsafe", scan.Report{Verdict: scan.Inconclusive, Unsafe: []scan.Unsafe{pickle}}, "BTU100 critical"},
		{"inconclusive with a note", scan.Report{Verdict: scan.Inconclusive, Findings: []scan.Finding{info}}, "BTU004 info, BTU900 warning"},
		{"suspicious by behaviour short of proof", scan.Report{Verdict: scan.Suspicious, Suspects: []scan.Suspect{suspect}}, "BTU002 high [7]"},
		{"the same in an unsafe file", scan.Report{Verdict: scan.Suspicious, Unsafe: []scan.Unsafe{pickle}}, "BTU100 critical, BTU002 high"},
		{"backdoored without a finding", scan.Report{Verdict: scan.Backdoored}, "BTU001 critical"},
		{"suspicious", *suspicious(), "BTU002 high [12160 15488 22861 24098 29001]"},
		{"mismatch", *mismatch(), "BTU010 warning"},
	} {
		var got []string
		for _, i := range issues(&tc.r) {
			s := i.rule + " " + string(i.severity)
			if len(i.tokens) > 0 {
				s += " [" + strings.Trim(strings.Join(strings.Fields(strings.Trim(strings.ReplaceAll(strconvInts(i.tokens), ",", " "), "[]")), " "), " ") + "]"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, ", "); s != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, s, tc.want)
		}
	}
}

func strconvInts(ids []int) string {
	var parts []string
	for _, id := range ids {
		parts = append(parts, strconv.Itoa(id))
	}
	return strings.Join(parts, " ")
}

// TestArtifact: where a finding points, from what the user and the loader call
// the files.
func TestArtifact(t *testing.T) {
	for _, tc := range []struct{ checkpoint, where, artifact, within, member string }{
		{"models/x", "", "models/x", ".", ""},
		{"models/x", "model.safetensors", "models/x/model.safetensors", "model.safetensors", ""},
		{"models/x", "models/x/pytorch_model.bin!archive/data.pkl@12", "models/x/pytorch_model.bin", "pytorch_model.bin", "archive/data.pkl"},
		{"models/x/", "models/x/pytorch_model.bin@12", "models/x/pytorch_model.bin", "pytorch_model.bin", ""},
		{"models/x/a.bin", "models/x/a.bin!b", "models/x/a.bin", "a.bin", "b"},
		{"models/x/a.bin", "a.bin", "models/x/a.bin", "a.bin", ""},
		{"models/x/m.safetensors.index.json", "models/x/m-1.safetensors@8", "models/x/m-1.safetensors", "m-1.safetensors", ""},
		{"m.safetensors", "m.safetensors@8", "m.safetensors", "m.safetensors", ""},
		{"/home/ana/x", "/home/ana/x/a.bin", "x/a.bin", "a.bin", ""},
		{"/home/ana/a.bin", "/home/ana/a.bin@3", "a.bin", "a.bin", ""},
		{"/home/ana/x", "/etc/passwd", "x/passwd", "passwd", ""},
		{"../x", "../x/a.bin", "x/a.bin", "a.bin", ""},
		{"..", "", "checkpoint", ".", ""},
		{".", "model.safetensors", "model.safetensors", "model.safetensors", ""},
		{"", "", "checkpoint", ".", ""},
		{"/", "/a.bin", "a.bin", "a.bin", ""},
		{`C:\models\x`, `C:\models\x\a.bin@9`, "x/a.bin", "a.bin", ""},
		{`C:`, "", "checkpoint", ".", ""},
		{`models\x`, `models\x\a.bin`, "models/x/a.bin", "a.bin", ""},
		{"models/x", `..\..\..\etc\passwd`, "models/x/passwd", "passwd", ""},
		{"models/x", "models/x/../../../etc/passwd", "models/x/passwd", "passwd", ""},
		{"my!models@3/x", "my!models@3/x/a.bin!b@4", "my!models@3/x/a.bin", "a.bin", "b"},
		{"models/x", "a.bin!b!c@@5", "models/x/a.bin", "a.bin", "b!c@"},
		{"models/x", "a.bin@-1", "models/x/a.bin@-1", "a.bin@-1", ""},
		{"models/x", "a.bin@99999999999999999999", "models/x/a.bin@99999999999999999999", "a.bin@99999999999999999999", ""},
	} {
		r := &scan.Report{Checkpoint: scan.Checkpoint{Path: tc.checkpoint}}
		at := parseSite(tc.where, tc.checkpoint)
		if got := artifact(r, at.file); got != tc.artifact {
			t.Errorf("%s, %s: artifact %q, want %q", tc.checkpoint, tc.where, got, tc.artifact)
		}
		if got := within(r, at.file); got != tc.within {
			t.Errorf("%s, %s: within %q, want %q", tc.checkpoint, tc.where, got, tc.within)
		}
		if at.member != tc.member {
			t.Errorf("%s, %s: member %q, want %q", tc.checkpoint, tc.where, at.member, tc.member)
		}
	}
}

// attacks are texts that mean something to a format: markup, links, the ends of
// its quotes, and what no format may hold.
var attacks = append([]string{
	"a|b|c", "`code`", "``` \n| x |", "<script>alert(1)</script>", "]]>", "<!--", "-->", "]]><testcase/>", "&amp;&#10;&lt;",
	"[click](https://evil.example)", "![](https://evil.example/x.png)", "https://evil.example/a?b=c", "www.evil.example", "a@evil.example",
	"@octocat", "#1", "**bold** _em_ ~~no~~ $x^2$", "# title", "- item", "1. item", "> quote", "\\| \\` \\", "{0} {{x}} ${{ secrets.X }}",
	`" onmouseover="alert(1)`, "' onload='alert(1)", "</td></tr></table>", "</svg>", "</style><script>", "javascript:alert(1)", "::error::x", "\u0000", "\xc0\x80", "\ufffe\uffff", "a\\", "\\",
}, hostileTexts...)

// attacked is a report in which every text is s.
func attacked(s string) *scan.Report {
	r := backdoored()
	r.Tool = scan.Tool{Name: s, Version: s}
	r.Checkpoint = scan.Checkpoint{Path: s, Format: s, SHA256: s, Architecture: s, DType: s, Embedding: &scan.Embedding{Tensor: s, Rows: 1, Dim: 1, File: s}}
	r.Reference.Path, r.Reference.ID, r.Reference.HowFound, r.Reference.Match.Verdict = s, s, s, scan.MatchVerdict(s)
	r.Reasons, r.Warnings = []string{s}, []string{s}
	r.Coverage = scan.Coverage{Weights: scan.Gathered(s), Behaviour: scan.Gathered(s), Reasons: []string{s}}
	r.Weights.Score = scan.Score(s)
	r.TimingsMS = map[string]float64{s: 1}
	for i := range r.Suspects {
		r.Suspects[i].Token, r.Suspects[i].Status, r.Suspects[i].Notes = s, scan.SuspectStatus(s), []string{s}
		if b := r.Suspects[i].Behaviour; b != nil {
			b.TargetLabel = s
		}
	}
	r.Suspects[0].Status = scan.StatusAbnormal
	for i := range r.Triggers {
		t := &r.Triggers[i]
		t.Text, t.TargetLabel, t.FoundBy, t.Place = s, s, s, s
	}
	for i := range r.Behaviour.Labels {
		r.Behaviour.Labels[i].Label, r.Behaviour.Labels[i].Words = s, []string{s}
	}
	r.Findings = append(r.Findings, scan.Finding{Rule: s, Severity: scan.Severity(s), Message: s, TokenIDs: []int{12160, -1}})
	r.Findings[0].Message = s
	r.Unsafe = []scan.Unsafe{{Rule: "BTU100", Severity: scan.SeverityCritical, Where: s, Detail: s}, {Rule: s, Severity: scan.Severity(s), Where: s + "!" + s + "@7", Detail: s}}
	supp := []scan.Suppression{{By: scan.SuppressedBy(s), TokenIDs: []int{12160}, Justification: s, Expires: s, Source: s}}
	r.Checkpoint.Digest = s
	r.Suspects[0].Suppressions, r.Triggers[0].Suppressions, r.Findings[1].Suppressions, r.Unsafe[0].Suppressions = supp, supp, supp, supp
	r.Findings[0].SeverityWas, r.Findings[1].Suppressed = scan.Severity(s), true
	r.Gate = &scan.Gate{
		Decision: scan.Decision(s), Reasons: []string{s}, FailOn: s, Require: []string{s}, Notes: []string{s},
		Policy: []scan.PolicyFile{{Kind: scan.PolicyKind(s), Path: s, SHA256: s}, {Kind: scan.PolicyBaseline, Path: s, SHA256: s}},
	}
	return r
}

// attackedBriefly is the same with less of each, for fuzzing.
func attackedBriefly(s string) *scan.Report {
	r := attacked(s)
	r.Suspects, r.Triggers, r.Findings = r.Suspects[:3], r.Triggers[:2], r.Findings[1:]
	return r
}

// plain fails where a text holds what shows as nothing or reorders the rest.
func plain(t *testing.T, got string) {
	t.Helper()
	if !utf8.ValidString(got) {
		t.Errorf("invalid UTF-8")
	}
	for i, r := range got {
		if r != '\n' && !visible(r) {
			t.Errorf("holds %U after %q", r, got[max(0, i-40):i])
			return
		}
	}
}
