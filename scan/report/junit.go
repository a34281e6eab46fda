package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// Bounds of what a report says in JUnit's form.
const (
	junitLines   = 200 // of one failure
	junitText    = 4000
	junitMessage = 500 // of an attribute
)

// junitEncoder writes JUnit XML: a suite for the checkpoint, and a test for
// each check. A check that could not be made is skipped, one that is unfinished
// is an error, and only a finding is a failure. Characters that XML cannot hold
// are escaped as in the text report, so every token gives a valid document.
type junitEncoder struct{}

func newJUnit(Options) Encoder { return junitEncoder{} }

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	junitCounts
	Suite junitSuite `xml:"testsuite"`
}

type junitCounts struct {
	Name     string `xml:"name,attr"`
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
	Time     string `xml:"time,attr"` // seconds
}

type junitSuite struct {
	junitCounts
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *junitOutcome `xml:"skipped"`
	Error   *junitOutcome `xml:"error"`
	Failure *junitOutcome `xml:"failure"`
	Out     *junitLog     `xml:"system-out"`
}

type junitOutcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",innerxml"`
}

type junitLog struct {
	Text string `xml:",innerxml"`
}

func (junitEncoder) Encode(w io.Writer, r *scan.Report) error {
	if r == nil {
		return errNil
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	enc := xml.NewEncoder(&b)
	enc.Indent("", "  ")
	if err := enc.Encode(junitOf(r)); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

func junitOf(r *scan.Report) junitSuites {
	suite := junitSuite{
		junitCounts: junitCounts{Name: junitAttr(orElse(r.Checkpoint.Path, "checkpoint")), Time: seconds(r.TimingsMS["total"])},
		Properties: []junitProperty{
			{"tool", junitAttr(join(r.Tool.Name + " " + r.Tool.Version))},
			{"verdict", junitAttr(headline(r.Verdict))},
			{"evidence.weights", junitAttr(orElse(string(r.Coverage.Weights), "unknown"))},
			{"evidence.behaviour", junitAttr(orElse(string(r.Coverage.Behaviour), "unknown"))},
		},
	}
	if r.Gate != nil {
		decision, _ := gateHead(r.Gate)
		suite.Properties = append(suite.Properties, junitProperty{"gate", junitAttr(decision)})
	}
	if ref := r.Reference; ref != nil {
		suite.Properties = append(suite.Properties, junitProperty{"reference", junitAttr(orElse(ref.ID, ref.Path))})
	}
	all := issues(r)
	for _, k := range []struct {
		check check
		stage string // of the timings
		gap   func(*scan.Report) (skipped, unfinished string)
	}{
		{checkFiles, "checkpoint", filesGap},
		{checkReference, "reference", referenceGap},
		{checkWeights, "weights", func(r *scan.Report) (string, string) { return evidenceGap(r.Coverage.Weights, r.Weights != nil) }},
		{checkBehaviour, "behaviour", func(r *scan.Report) (string, string) {
			return evidenceGap(r.Coverage.Behaviour, r.Coverage.Behaviour == scan.GatheredFull)
		}},
		{checkVerdict, "", verdictGap},
	} {
		c := junitCase{Class: "btu-scan", Name: string(k.check), Time: "0.000"}
		if ms, ok := r.TimingsMS[k.stage]; ok && k.stage != "" {
			c.Time = seconds(ms)
		}
		skipped, unfinished := k.gap(r)
		c.decide(r, k.check, all, skipped, unfinished)
		suite.Tests++
		suite.Failures += bit(c.Failure != nil)
		suite.Errors += bit(c.Error != nil)
		suite.Skipped += bit(c.Skipped != nil)
		suite.Cases = append(suite.Cases, c)
	}
	top := suite.junitCounts
	top.Name = "btu-scan"
	return junitSuites{junitCounts: top, Suite: suite}
}

// decide fills in the outcome of a check: findings fail it, whatever else is
// missing, and what did not fail it but was found is printed.
func (c *junitCase) decide(r *scan.Report, k check, all []issue, skipped, unfinished string) {
	var failed, noted []string
	first := issue{}
	for _, i := range all {
		if checkOf(i.rule, i.unsafe) != k || k == checkVerdict {
			continue
		}
		line := junitLine(i)
		switch {
		case i.rule == ruleIncomplete:
			unfinished = orElse(unfinished, i.message)
			noted = append(noted, line)
		case i.suppressed, weight(i.severity) == 0, i.unsafe && !i.severity.Serious():
			noted = append(noted, line)
		default:
			if len(failed) == 0 || weight(i.severity) > weight(first.severity) {
				first = i
			}
			failed = append(failed, line)
		}
	}
	switch {
	case k == checkVerdict && accepted(r) && r.Gate.Suppressed > 0:
		// What was found stands in the other checks, and here why it does not count.
		skipped, unfinished = headline(r.Verdict)+", and the policy accepts it: "+orNone(r.Gate.Reasons)[0], ""
	case k == checkVerdict && accepted(r) && r.Verdict == scan.Inconclusive:
		skipped, unfinished = headline(r.Verdict)+", and the policy asks for no more: "+orNone(r.Gate.Reasons)[0], ""
	case k == checkVerdict && r.Gate != nil && r.Gate.Decision == scan.Fail && (r.Verdict == scan.Clean || r.Verdict == scan.Inconclusive):
		first = issue{rule: "gate", message: "the policy fails it: " + orNone(r.Gate.Reasons)[0]}
		failed = orNone(r.Gate.Reasons)
	case k == checkVerdict && r.Gate != nil && r.Gate.Decision == scan.Undecided && r.Gate.Suppressed > 0:
		unfinished = headline(r.Verdict) + ", and what does not count leaves it undecided: " + strings.Join(orNone(r.Gate.Reasons), "; ")
	case k == checkVerdict && (r.Verdict == scan.Suspicious || r.Verdict == scan.Backdoored):
		first = issue{rule: string(r.Verdict), message: string(r.Verdict) + ": " + orNone(r.Reasons)[0]}
		failed = orNone(r.Reasons)
	}
	if k == checkVerdict && r.Gate != nil && gateSays(r) {
		noted = append(noted, gateNotes(r)...)
	}
	if k == checkVerdict && unfinished != "" || skipped != "" {
		noted = append(noted, r.Coverage.Reasons...)
	}
	switch {
	case len(failed) > 0:
		message := first.message
		if k != checkVerdict {
			message = join(first.rule, string(first.severity)) + ": " + message
		}
		c.Failure = &junitOutcome{Message: junitAttr(message), Type: junitAttr(first.rule), Text: junitBody(failed)}
	case unfinished != "":
		c.Error = &junitOutcome{Message: junitAttr(unfinished), Type: ruleIncomplete, Text: junitBody([]string{unfinished})}
	case skipped != "":
		c.Skipped = &junitOutcome{Message: junitAttr(skipped)}
	}
	if len(noted) > 0 {
		c.Out = &junitLog{junitBody(noted)}
	}
}

func filesGap(r *scan.Report) (skipped, unfinished string) {
	if r.Checkpoint.Format == "" && len(r.Unsafe) == 0 {
		return "", "the files were not read"
	}
	return "", ""
}

func referenceGap(r *scan.Report) (skipped, unfinished string) {
	switch {
	case r.Reference == nil:
		return "no reference: there was nothing to compare with", ""
	case r.Reference.Match == nil:
		return "the reference was not compared", ""
	case r.Reference.Match.Verdict != scan.MatchGood && r.Reference.Match.Verdict != scan.MatchMismatch:
		return "", "the match with the reference is unknown"
	}
	return "", ""
}

func evidenceGap(g scan.Gathered, there bool) (skipped, unfinished string) {
	switch {
	case g == scan.GatheredPartial:
		return "", "this evidence was gathered in part"
	case g == scan.GatheredNotRequested:
		return "this evidence was not asked for", ""
	case g == scan.GatheredNone:
		return "this evidence was not gathered", ""
	case g != scan.GatheredFull || !there:
		return "", "whether this evidence was gathered is unknown"
	}
	return "", ""
}

func verdictGap(r *scan.Report) (skipped, unfinished string) {
	if answered(r.Verdict) {
		return "", ""
	}
	return "", headline(r.Verdict) + ": " + strings.Join(orNone(r.Reasons), "; ")
}

func junitLine(i issue) string {
	s := join(i.rule, string(i.severity)) + ": "
	if i.where != "" {
		s += clip(i.where, junitMessage) + ": "
	}
	s += clip(i.message, junitText)
	s += i.marks()
	if n := len(i.tokens); n > 0 {
		var ids []string
		for _, id := range i.tokens[:min(n, maxList)] {
			ids = append(ids, strconv.Itoa(id))
		}
		if n > maxList {
			ids = append(ids, fmt.Sprintf("%d more", n-maxList))
		}
		s += " (token ids " + strings.Join(ids, ", ") + ")"
	}
	return s
}

// junitAttr makes text safe for an attribute; encoding/xml escapes the rest.
func junitAttr(s string) string { return Plain(clip(s, junitMessage)) }

// junitBody makes lines safe for an element.
func junitBody(lines []string) string {
	var b bytes.Buffer
	for i, line := range lines[:min(len(lines), junitLines)] {
		if i > 0 {
			b.WriteByte('\n')
		}
		_ = xml.EscapeText(&b, []byte(Plain(clip(line, junitText)))) // a buffer takes everything
	}
	if more := len(lines) - junitLines; more > 0 {
		fmt.Fprintf(&b, "\nand %d more", more)
	}
	return b.String()
}

// seconds writes milliseconds as JUnit has times; what is no time is 0.
func seconds(ms float64) string {
	if !(ms > 0 && ms < 1e12) {
		ms = 0
	}
	return strconv.FormatFloat(ms/1000, 'f', 3, 64)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
