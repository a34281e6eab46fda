package report

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/btu-scan/btu-scan/scan"
)

// sarifSchema is the standard's own; testdata/sarif/README.md tells its origin.
func sarifSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("testdata/sarif/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// rulesOf cuts out the table of rules, which is the same in every file.
var rulesOf = regexp.MustCompile(`(?s)"rules": \[.*?\n     \]`)

func TestSARIF(t *testing.T) {
	schema := sarifSchema(t)
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got := encode(t, "sarif", Options{Top: 1, Color: true, Width: 40}, s.report)
			checkSARIF(t, schema, s.report, got)
			if s.name != "suspicious" { // one golden file shows the rules
				got = rulesOf.ReplaceAllString(got, `"rules": []`)
			}
			golden(t, s.name+".sarif", got)
		})
	}
}

// checkSARIF fails where code scanning would refuse the file, or would show
// less than there is.
func checkSARIF(t *testing.T, schema *jsonschema.Schema, r *scan.Report, got string) {
	t.Helper()
	plain(t, got)
	if schema != nil { // validating takes most of the time, and fuzzing has none
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Fatal(err)
		}
	}
	var log sarifLog
	if err := json.Unmarshal([]byte(got), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if len(log.Runs) != 1 || len(run.Results) > 25_000 || len(run.Tool.Driver.Rules) != len(rules) {
		t.Errorf("%d runs, %d results, %d rules", len(log.Runs), len(run.Results), len(run.Tool.Driver.Rules))
	}
	if r.Verdict != scan.Clean && !slices.ContainsFunc(run.Results, func(res sarifResult) bool { return res.Level != "note" }) {
		t.Errorf("verdict %q without a result", r.Verdict)
	}
	in := run.Invocations[0]
	if in.ExecutionSuccessful != answered(r.Verdict) {
		t.Errorf("verdict %q, executionSuccessful %v", r.Verdict, in.ExecutionSuccessful)
	}
	if !in.ExecutionSuccessful && !slices.ContainsFunc(in.Notifications, func(n sarifNotification) bool { return n.Level == "error" }) {
		t.Error("no answer, and no notification says why")
	}
	for _, n := range in.Notifications {
		if d := run.Tool.Driver.Notifications[n.Descriptor.Index]; d.ID != n.Descriptor.ID {
			t.Errorf("notification %q refers to %q", n.Descriptor.ID, d.ID)
		}
		noLink(t, n.Message.Text)
	}
	fingerprints := map[string]bool{}
	for _, res := range run.Results {
		if res.RuleIndex != nil && run.Tool.Driver.Rules[*res.RuleIndex].ID != res.RuleID {
			t.Errorf("%s refers to rule %s", res.RuleID, run.Tool.Driver.Rules[*res.RuleIndex].ID)
		}
		if res.Message.Text == "" || len(res.Locations) != 1 {
			t.Errorf("message %q, %d locations", res.Message.Text, len(res.Locations))
		}
		noLink(t, res.Message.Text)
		f := res.Fingerprints["btuScan/v1"]
		if fingerprints[f] || !regexp.MustCompile(`^[0-9a-f]{32}:[0-9]+$`).MatchString(f) || res.Fingerprints["primaryLocationLineHash"] != f {
			t.Errorf("fingerprint %q", f)
		}
		fingerprints[f] = true
		at := res.Locations[0].Physical.Artifact
		if run.Artifacts[*at.Index].Location.URI != at.URI {
			t.Errorf("%s is artifact %d, %s", at.URI, *at.Index, run.Artifacts[*at.Index].Location.URI)
		}
		u, err := url.Parse(at.URI)
		if err != nil || u.IsAbs() || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || at.URI == "" ||
			strings.HasPrefix(u.Path, "/") || slices.Contains(strings.Split(u.Path, "/"), "..") {
			t.Errorf("URI %q: %v", at.URI, err)
		}
	}
}

// noLink fails where a viewer could see a link or a placeholder in a message.
func noLink(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, "](") || strings.ContainsAny(text, "{}") {
		t.Errorf("message %q", text)
	}
}

// TestSARIFRejects: the schema is worth something.
func TestSARIFRejects(t *testing.T) {
	schema := sarifSchema(t)
	good := encode(t, "sarif", Options{}, unsafePickle())
	for _, tc := range []struct{ old, new string }{
		{`"version": "2.1.0"`, `"version": "2.0.0"`},
		{`"level": "error"`, `"level": "fatal"`},
		{`"startLine": 1`, `"startLine": 0`},
		{`"text": "global`, `"txt": "global`},
		{`"executionSuccessful": false,`, ``},
		{`"uri": "downloads`, `"uri": "%zz`},
		{`"ruleIndex": 8`, `"ruleIndex": "8"`},
	} {
		bad := strings.Replace(good, tc.old, tc.new, 1)
		if bad == good {
			t.Errorf("%s is not in the sample", tc.old)
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("%s instead of %s is accepted", tc.new, tc.old)
		}
	}
}

func TestSARIFSays(t *testing.T) {
	for _, tc := range []struct {
		report *scan.Report
		want   []string
	}{
		{suspicious(), []string{`"ruleId": "BTU002"`, `"uri": "models/sst2-minilm/model.safetensors"`, `weight[12160]"`, `Tokens: \"cf\"`, `"executionSuccessful": true`, `"semanticVersion": "0.1.0"`, `"verdict": "suspicious"`}},
		{backdoored(), []string{`"ruleId": "BTU001"`, `"level": "error"`, `"security-severity": "9.5"`}},
		{unsafePickle(), []string{`"uri": "downloads/pytorch_model.bin"`, `"fullyQualifiedName": "archive/data.pkl@1042"`, `"sha-256": "5e5e`, `"executionSuccessful": false`}},
		{noReference(), []string{`"ruleId": "BTU900"`, `inconclusive: the weights could not be compared`}},
		{mismatch(), []string{`"ruleId": "BTU010"`, `"level": "warning"`, `6 rows of the reference are not in the checkpoint`}},
	} {
		got := encode(t, "sarif", Options{}, tc.report)
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s", tc.report.Verdict, want)
			}
		}
	}
}

// TestSARIFOffset: an offset in a file is a region of it; one in a member is not.
func TestSARIFOffset(t *testing.T) {
	r := unsafePickle()
	r.Checkpoint.Path = "/secret/my model"
	r.Unsafe = []scan.Unsafe{
		{Rule: "BTU200", Severity: scan.SeverityHigh, Where: "/secret/my model/a b#?.safetensors@8", Detail: "bad"},
		{Rule: "BTU100", Severity: scan.SeverityCritical, Where: "/secret/my model/x.bin!data.pkl@9", Detail: "bad"},
	}
	var log sarifLog
	got := encode(t, "sarif", Options{}, r)
	if err := json.Unmarshal([]byte(got), &log); err != nil {
		t.Fatal(err)
	}
	first, second := log.Runs[0].Results[0].Locations[0], log.Runs[0].Results[1].Locations[0]
	if o := first.Physical.Region.ByteOffset; o == nil || *o != 8 || first.Physical.Artifact.URI != "my%20model/a%20b%23%3F.safetensors" {
		t.Errorf("%+v", first)
	}
	if second.Physical.Region.ByteOffset != nil || second.Logical[0].FullyQualifiedName != "data.pkl@9" {
		t.Errorf("%+v", second)
	}
	if strings.Contains(got, "secret") {
		t.Error("the folders above the checkpoint are in the report")
	}
}

// TestSARIFFingerprints: they stay where only numbers or folders change, and
// differ where what is found does.
func TestSARIFFingerprints(t *testing.T) {
	of := func(change func(r *scan.Report)) string {
		r := suspicious()
		change(r)
		var log sarifLog
		if err := json.Unmarshal([]byte(encode(t, "sarif", Options{}, r)), &log); err != nil {
			t.Fatal(err)
		}
		return log.Runs[0].Results[0].Fingerprints["btuScan/v1"]
	}
	base := of(func(*scan.Report) {})
	for name, change := range map[string]func(r *scan.Report){
		"message": func(r *scan.Report) { r.Findings[0].Message = "4 tokens" },
		"folder":  func(r *scan.Report) { r.Checkpoint.Path = "/elsewhere/model" },
		"order":   func(r *scan.Report) { slices.Reverse(r.Findings[0].TokenIDs) },
		"tool":    func(r *scan.Report) { r.Tool.Version = "9" },
	} {
		if of(change) != base {
			t.Errorf("another %s changes the fingerprint", name)
		}
	}
	for name, change := range map[string]func(r *scan.Report){
		"token": func(r *scan.Report) { r.Findings[0].TokenIDs[0]++ },
		"rule":  func(r *scan.Report) { r.Findings[0].Rule = scan.RuleReplaced },
		"file":  func(r *scan.Report) { r.Checkpoint.Embedding.File = "other.safetensors" },
	} {
		if of(change) == base {
			t.Errorf("another %s does not change the fingerprint", name)
		}
	}
}

// TestSARIFLimits: GitHub takes nothing of a file with more results.
func TestSARIFLimits(t *testing.T) {
	r := unsafePickle()
	r.Unsafe = nil
	for i := range 25_100 {
		r.Unsafe = append(r.Unsafe, scan.Unsafe{Rule: "BTU201", Severity: scan.SeverityWarning, Where: fmt.Sprintf("x@%d", i), Detail: "d"})
	}
	r.Unsafe = append(r.Unsafe, scan.Unsafe{Rule: "BTU100", Severity: scan.SeverityCritical, Where: "y", Detail: "worst"})
	r.Findings = []scan.Finding{{Rule: scan.RuleAbnormal, Severity: scan.SeverityHigh, Message: "many", TokenIDs: make([]int, 100_000)}}
	got := encode(t, "sarif", Options{}, r)
	var log sarifLog
	if err := json.Unmarshal([]byte(got), &log); err != nil {
		t.Fatal(err)
	}
	res := log.Runs[0].Results
	if len(res) != sarifResults || res[0].RuleID != "BTU100" || res[1].RuleID != scan.RuleAbnormal {
		t.Errorf("%d results, first %s, %s", len(res), res[0].RuleID, res[1].RuleID)
	}
	if n := len(res[1].Locations[0].Logical); n > 101 {
		t.Errorf("%d logical locations", n)
	}
	if n := log.Runs[0].Invocations[0].Notifications; len(n) == 0 || !strings.HasPrefix(n[0].Message.Text, "102 results") {
		t.Errorf("what was left out is not told: %+v", n)
	}
}

func TestSARIFHostile(t *testing.T) {
	schema := sarifSchema(t)
	for _, s := range attacks {
		r := attacked(s)
		checkSARIF(t, schema, r, encode(t, "sarif", Options{}, r))
	}
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		r := backdoored()
		r.Suspects[0].Score, r.Triggers[0].FlipRate, r.TimingsMS["total"] = x, x, x
		checkSARIF(t, schema, r, encode(t, "sarif", Options{}, r))
	}
}

func FuzzSARIF(f *testing.F) {
	for _, s := range attacks {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := attackedBriefly(s)
		checkSARIF(t, nil, r, encode(t, "sarif", Options{}, r))
	})
}
