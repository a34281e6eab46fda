package report

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

func TestJUnit(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got := encode(t, "junit", Options{Top: 1, Color: true, Width: 40}, s.report)
			checkJUnit(t, s.report, got)
			golden(t, s.name+".junit.xml", got)
		})
	}
}

// A parsedSuite is what readers of JUnit's form look at.
type parsedSuite struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Cases    []struct {
		Name    string         `xml:"name,attr"`
		Class   string         `xml:"classname,attr"`
		Time    string         `xml:"time,attr"`
		Failure []junitOutcome `xml:"failure"`
		Error   []junitOutcome `xml:"error"`
		Skipped []junitOutcome `xml:"skipped"`
	} `xml:"testcase"`
}

// checkJUnit fails where the text is not one well-formed document with the
// expected elements alone, or where its counts and the verdict disagree with it.
func checkJUnit(t *testing.T, r *scan.Report, got string) map[string]string {
	t.Helper()
	plain(t, got)
	dec := xml.NewDecoder(strings.NewReader(got))
	depth := 0
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			depth++
			want := []string{"testsuites", "testsuite", "testcase properties", "failure error skipped system-out property"}
			if depth > len(want) || !strings.Contains(" "+want[depth-1]+" ", " "+e.Name.Local+" ") {
				t.Errorf("element %s at depth %d", e.Name.Local, depth)
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth < 4 && strings.TrimSpace(string(e)) != "" {
				t.Errorf("text %q at depth %d", e, depth)
			}
		case xml.Comment, xml.Directive:
			t.Errorf("a comment or directive: %v", e)
		}
	}
	var doc struct {
		Suites []parsedSuite `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatal(err)
	}
	s := doc.Suites[0]
	outcome := map[string]string{}
	failures, errs, skipped := 0, 0, 0
	for _, c := range s.Cases {
		failures, errs, skipped = failures+len(c.Failure), errs+len(c.Error), skipped+len(c.Skipped)
		if len(c.Failure)+len(c.Error)+len(c.Skipped) > 1 {
			t.Errorf("%s has several outcomes", c.Name)
		}
		switch {
		case len(c.Failure) > 0:
			outcome[c.Name] = "failure"
		case len(c.Error) > 0:
			outcome[c.Name] = "error"
		case len(c.Skipped) > 0:
			outcome[c.Name] = "skipped"
		default:
			outcome[c.Name] = "ok"
		}
		if x, err := strconv.ParseFloat(c.Time, 64); err != nil || !(x >= 0) || math.IsInf(x, 0) {
			t.Errorf("%s took %q", c.Name, c.Time)
		}
	}
	if len(doc.Suites) != 1 || s.Tests != 5 || len(s.Cases) != 5 || s.Failures != failures || s.Errors != errs || s.Skipped != skipped {
		t.Errorf("counts %d %d %d %d, found %d %d %d %d", s.Tests, s.Failures, s.Errors, s.Skipped, len(s.Cases), failures, errs, skipped)
	}
	want := map[scan.Verdict]string{scan.Clean: "ok", scan.Suspicious: "failure", scan.Backdoored: "failure"}[r.Verdict]
	if want == "" {
		want = "error"
	}
	if accepted(r) && r.Gate.Suppressed > 0 {
		want = "skipped"
	}
	if outcome["verdict"] != want {
		t.Errorf("verdict %q is %s, want %s", r.Verdict, outcome["verdict"], want)
	}
	return outcome
}

// TestJUnitOutcomes: a finding fails its check, missing evidence skips it, and
// what is unfinished is an error.
func TestJUnitOutcomes(t *testing.T) {
	missing := unsafePickle()
	missing.Unsafe = []scan.Unsafe{{Rule: "BTU900", Severity: scan.SeverityWarning, Where: "x", Detail: "shard is missing"}}
	odd := clean()
	odd.Unsafe = []scan.Unsafe{{Rule: "BTU201", Severity: scan.SeverityWarning, Where: "x", Detail: "odd"}}
	neutral := clean()
	neutral.Findings = []scan.Finding{{Rule: scan.RuleReplaced, Severity: scan.SeverityInfo, Message: "neutral"}}
	for _, tc := range []struct {
		name                                             string
		r                                                *scan.Report
		files, reference, weights, behaviour, theVerdict string
	}{
		{"clean", clean(), "ok", "ok", "ok", "ok", "ok"},
		{"clean weights", cleanWeights(), "ok", "ok", "ok", "skipped", "ok"},
		{"suspicious", suspicious(), "ok", "ok", "failure", "skipped", "failure"},
		{"backdoored", backdoored(), "ok", "ok", "failure", "failure", "failure"},
		{"partial", partial(), "ok", "ok", "ok", "error", "error"},
		{"mismatch", mismatch(), "ok", "failure", "skipped", "skipped", "error"},
		{"no reference", noReference(), "ok", "skipped", "skipped", "skipped", "error"},
		{"unsafe", unsafePickle(), "failure", "skipped", "skipped", "skipped", "error"},
		{"a missing shard", missing, "error", "skipped", "skipped", "skipped", "error"},
		{"odd files", odd, "ok", "ok", "ok", "ok", "ok"},
		{"after a repair", neutral, "ok", "ok", "ok", "ok", "ok"},
		{"empty", empty(), "error", "skipped", "skipped", "skipped", "error"},
		{"looked at", looked(), "ok", "ok", "ok", "skipped", "skipped"},
		{"partly", partly(), "ok", "ok", "ok", "failure", "failure"},
		{"the zero report", &scan.Report{}, "error", "skipped", "error", "error", "error"},
	} {
		got := checkJUnit(t, tc.r, encode(t, "junit", Options{}, tc.r))
		for check, want := range map[string]string{
			"file safety": tc.files, "reference match": tc.reference, "weights": tc.weights, "behaviour": tc.behaviour, "verdict": tc.theVerdict,
		} {
			if got[check] != want {
				t.Errorf("%s: %s is %s, want %s", tc.name, check, got[check], want)
			}
		}
	}
}

func TestJUnitHostile(t *testing.T) {
	for _, s := range attacks {
		r := attacked(s)
		checkJUnit(t, r, encode(t, "junit", Options{}, r))
	}
	r := backdoored()
	r.TimingsMS = map[string]float64{"total": math.Inf(1), "weights": math.NaN(), "behaviour": -1}
	for i := range 1000 {
		r.Findings = append(r.Findings, scan.Finding{Rule: scan.RuleAbnormal, Severity: scan.SeverityHigh, Message: strings.Repeat("x", i*10)})
	}
	got := encode(t, "junit", Options{}, r)
	checkJUnit(t, r, got)
	if !strings.Contains(got, "and 801 more") || len(got) > 1<<20 {
		t.Errorf("%d bytes of a long list", len(got))
	}
}

func FuzzJUnit(f *testing.F) {
	for _, s := range attacks {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := attackedBriefly(s)
		checkJUnit(t, r, encode(t, "junit", Options{}, r))
	})
}
