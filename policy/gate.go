package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// A Policy is what a gate goes by. The zero value fails from suspicious on, and
// requires weights and behaviour.
type Policy struct {
	FailOn   string        // suspicious, backdoored or never
	Evidence scan.Evidence // that the scan was asked for
	// Require is the evidence without which nothing passes. Optional: what
	// Evidence asks for.
	Require      []string
	Severities   map[string]Severity // by rule
	Suppressions []Suppression
	Triage       *Triage
	Baseline     *Baseline
	Files        []scan.PolicyFile
	// Notes are kept in the report.
	Notes []string
	Now   time.Time
}

// NeedsDigest reports whether the policy may say something about a checkpoint of
// that many tensor files, which only its digest can tell.
func (p *Policy) NeedsDigest(files int) bool {
	prefix := "sha256:"
	if files > 1 {
		prefix = "shards-" + prefix
	}
	for i := range p.Suppressions {
		if strings.HasPrefix(p.Suppressions[i].Checkpoint, prefix) {
			return true
		}
	}
	if p.Triage != nil {
		for digest := range p.Triage.Checkpoints {
			if strings.HasPrefix(digest, prefix) {
				return true
			}
		}
	}
	return false
}

// Apply marks what does not count in r and sets its gate. unfinished says that
// the scan failed, which is never a pass. It returns what of the policy is over:
// suppressions of this checkpoint that expired.
func (p *Policy) Apply(r *scan.Report, unfinished bool) (over []string) {
	g := &gate{Policy: p, Report: r, names: report.TokenNames(r), out: &scan.Gate{FailOn: p.FailOn, Require: p.required(), Policy: p.Files, Notes: slices.Clone(p.Notes)}}
	if g.out.FailOn == "" {
		g.out.FailOn = string(scan.Suspicious)
	}
	g.active()
	g.severities()
	g.suppress()
	g.unused()
	marked := g.marked()
	g.decide(unfinished, marked)
	r.Gate = g.out
	return g.over
}

// required is the evidence that a pass needs.
func (p *Policy) required() []string {
	switch {
	case len(p.Require) > 0:
		return p.Require
	case p.Evidence == scan.EvidenceWeights:
		return []string{Weights}
	}
	return []string{Weights, Behaviour}
}

// A gate is one application of a policy to a report.
type gate struct {
	*Policy
	*scan.Report
	names map[int]string
	valid []*Suppression // for these bytes, today
	out   *scan.Gate
	over  []string
}

func (g *gate) note(format string, args ...any) {
	g.out.Notes = append(g.out.Notes, fmt.Sprintf(format, args...))
}

// expired notes what is over.
func (g *gate) expired(format string, args ...any) {
	g.over = append(g.over, fmt.Sprintf(format, args...))
	g.note(format, args...)
}

// active picks the suppressions of this checkpoint that are not expired.
func (g *gate) active() {
	if g.Checkpoint.Digest == "" {
		if g.NeedsDigest(1) || g.NeedsDigest(2) {
			g.note("no suppression or decision is about these files")
		}
		return
	}
	for i := range g.Suppressions {
		s := g.Suppressions[i]
		s.by = scan.ByPolicy
		g.admit(&s)
	}
	for _, d := range g.Triage.of(g.Checkpoint.Digest) {
		switch {
		case d.Mark != triagefile.MarkBenign:
		case strings.TrimSpace(d.Note) == "":
			g.note("%s: the mark benign of %q (token %d) has no note, so it does not count", g.Triage.Path, d.Token, d.TokenID)
		default:
			g.admit(suppression(d, g.Checkpoint.Digest, g.Triage.Path))
		}
	}
}

func (g *gate) admit(s *Suppression) {
	switch {
	case s.Checkpoint != g.Checkpoint.Digest:
	case s.expired(g.Now):
		g.expired("%s: the suppression of %s expired after %s and does not count", s.Source, s.about(), s.Expires.Format(time.DateOnly))
	default:
		g.valid = append(g.valid, s)
	}
}

func (g *gate) unused() {
	for _, s := range g.valid {
		if !s.used {
			g.note("%s: the suppression of %s matches nothing", s.Source, s.about())
		}
	}
}

// severities gives findings the severities of the policy.
func (g *gate) severities() {
	change := func(rule string, severity, was *scan.Severity) {
		if o, ok := g.Severities[rule]; ok && o.Severity != "" && o.Severity != *severity && !(o.AtLeast && rank(o.Severity) < rank(*severity)) {
			*was, *severity = *severity, o.Severity
		}
	}
	for i := range g.Findings {
		f := &g.Findings[i]
		change(f.Rule, &f.Severity, &f.SeverityWas)
	}
	for i := range g.Unsafe {
		u := &g.Unsafe[i]
		change(u.Rule, &u.Severity, &u.SeverityWas)
	}
}

func rank(s scan.Severity) int { return slices.Index(severities, string(s)) }

// suppress marks the findings, and their tokens, that do not count.
func (g *gate) suppress() {
	for i := range g.Triggers {
		t := &g.Triggers[i]
		for _, s := range g.valid {
			if s.coversTrigger(t) {
				t.Suppressions = append(t.Suppressions, s.mark(t.TokenIDs...))
			}
		}
		if g.Baseline.has(triggerKey(t)) {
			t.Suppressions = append(t.Suppressions, g.Baseline.mark(t.TokenIDs...))
		}
		t.Suppressed = len(t.Suppressions) > 0
	}
	for i := range g.Findings {
		g.finding(&g.Findings[i])
	}
	for i := range g.Suspects {
		s := &g.Suspects[i]
		if !questioned(g.Report, s) {
			continue
		}
		s.Suppressions = g.ofToken(scan.RuleAbnormal, s.TokenID, s.Token)
		if g.Suspected(s) { // that weights cannot tell is no finding, so no rule is off
			s.Suppressions = append(s.Suppressions, g.ruleOff(scan.RuleAbnormal)...)
		}
		if g.Baseline.has(suspectKey(g.Report, s)) {
			s.Suppressions = append(s.Suppressions, g.Baseline.mark(s.TokenID))
		}
	}
	for i := range g.Unsafe {
		u := &g.Unsafe[i]
		u.Suppressions = g.ruleOff(u.Rule)
		place := report.Place(g.Report, u.Where)
		for _, s := range g.valid {
			if s.Rule == u.Rule && s.Where != "" && s.Where == place {
				u.Suppressions = append(u.Suppressions, s.mark())
			}
		}
		if g.Baseline.has(unsafeKey(g.Report, u)) {
			u.Suppressions = append(u.Suppressions, g.Baseline.mark())
		}
		u.Suppressed = len(u.Suppressions) > 0
	}
}

// questioned reports whether a suspect keeps a checkpoint from being clean
// without being a finding: it makes it suspicious, or stands out so far that
// weights alone cannot tell.
func questioned(r *scan.Report, s *scan.Suspect) bool {
	return r.Suspected(s) || s.Status == scan.StatusBorderline
}

// finding marks a finding about tokens or about the whole model. That of the
// proved triggers counts while one of them does.
func (g *gate) finding(f *scan.Finding) {
	if f.Rule == scan.RuleTrigger {
		f.Suppressed = len(g.Triggers) > 0
		for _, t := range g.Triggers {
			f.Suppressions = append(f.Suppressions, t.Suppressions...)
			f.Suppressed = f.Suppressed && t.Suppressed
		}
		return
	}
	f.Suppressions = g.ruleOff(f.Rule)
	if aboutModel(f.Rule) {
		for _, s := range g.valid {
			if s.Rule == f.Rule {
				f.Suppressions = append(f.Suppressions, s.mark())
			}
		}
		if g.Baseline.has(modelKey(f)) {
			f.Suppressions = append(f.Suppressions, g.Baseline.mark())
		}
	}
	f.Suppressed = len(f.Suppressions) > 0
	covered := 0
	for _, id := range f.TokenIDs {
		marks := g.ofToken(f.Rule, id, g.names[id])
		if g.Baseline.has(tokenKey(f.Rule, id, g.names[id])) {
			marks = append(marks, g.Baseline.mark(id))
		}
		if len(marks) > 0 {
			covered++
		}
		f.Suppressions = append(f.Suppressions, marks...)
	}
	f.Suppressed = f.Suppressed || covered > 0 && covered == len(f.TokenIDs)
}

func (g *gate) ofToken(rule string, id int, text string) (marks []scan.Suppression) {
	for _, s := range g.valid {
		if s.covers(rule, id, text) {
			marks = append(marks, s.mark(id))
		}
	}
	return marks
}

func (g *gate) ruleOff(rule string) []scan.Suppression {
	if o, ok := g.Severities[rule]; ok && o.Severity == "" {
		return []scan.Suppression{{By: scan.ByRule, Justification: "the rule is off", Source: o.Source}}
	}
	return nil
}

// marked adds the finding of the tokens that a reviewer marked as triggers.
func (g *gate) marked() (reasons []string) {
	if g.Checkpoint.Digest == "" {
		return nil
	}
	var ids []int
	var names []string
	for _, d := range g.Triage.of(g.Checkpoint.Digest) {
		switch {
		case d.Mark != triagefile.MarkTrigger:
		case d.Expired(g.Now):
			g.expired("%s: the mark of trigger of %q (token %d) expired after %s and does not count", g.Triage.Path, d.Token, d.TokenID, d.Expires)
		default:
			ids = append(ids, d.TokenID)
			names = append(names, fmt.Sprintf("%q", d.Token))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if more := len(names) - 5; more > 0 {
		names = append(names[:5], fmt.Sprintf("%d more", more))
	}
	message := fmt.Sprintf("%s marked as a trigger in %s", strings.Join(names, ", "), g.Triage.Path)
	g.Findings = append(g.Findings, scan.Finding{Rule: scan.RuleMarked, Severity: scan.SeverityCritical, Message: message, TokenIDs: ids})
	return []string{message}
}

// counted is the report without what does not count. Evidence that is missing
// stays missing.
func (g *gate) counted() *scan.Report {
	c := *g.Report
	c.Triggers = slices.DeleteFunc(slices.Clone(c.Triggers), func(t scan.Trigger) bool { return t.Suppressed })
	c.Findings = slices.DeleteFunc(slices.Clone(c.Findings), func(f scan.Finding) bool { return f.Suppressed })
	c.Unsafe = slices.DeleteFunc(slices.Clone(c.Unsafe), func(u scan.Unsafe) bool { return u.Suppressed })
	c.Suspects = slices.Clone(c.Suspects)
	for i := range c.Suspects {
		if s := &c.Suspects[i]; len(s.Suppressions) > 0 {
			s.Behaviour = nil
			if s.Status == scan.StatusBorderline {
				s.Status = scan.StatusNatural // a reviewer explained it
			}
		}
	}
	return &c
}

func (g *gate) decide(unfinished bool, marked []string) {
	c := g.counted()
	g.out.Suppressed = len(g.Findings) + len(g.Unsafe) - len(c.Findings) - len(c.Unsafe)
	for _, f := range c.Findings {
		g.out.Counted += bit(f.Severity.Serious())
	}
	for _, u := range c.Unsafe {
		g.out.Counted += bit(u.Severity.Serious())
	}
	verdict, reasons := scan.Policy{Evidence: g.judgedBy()}.Judge(c)
	fails := marked
	if verdict == scan.Backdoored || verdict == scan.Suspicious && g.out.FailOn == string(scan.Suspicious) {
		fails = append(fails, reasons...)
	}
	for _, u := range c.Unsafe {
		if u.Severity.Serious() {
			fails = append(fails, "unsafe file: "+u.Rule+": "+u.Detail)
		}
	}
	if g.out.FailOn == string(scan.Suspicious) {
		for _, f := range c.Findings { // raised by the policy
			if f.Severity.Serious() && !slices.Contains(fails, f.Message) && verdict != scan.Backdoored && f.Rule != scan.RuleMarked {
				fails = append(fails, f.Message)
			}
		}
	}
	missing := g.missing()
	switch {
	case len(fails) > 0 && g.out.FailOn != "never":
		g.out.Decision, g.out.Reasons = scan.Fail, fails
	case unfinished:
		g.out.Decision, g.out.Reasons = scan.Undecided, append([]string{"the scan was not finished"}, missing...)
	case verdict == scan.Inconclusive:
		g.out.Decision, g.out.Reasons = scan.Undecided, reasons
	case len(g.Policy.Require) > 0 && len(missing) > 0:
		g.out.Decision, g.out.Reasons = scan.Undecided, missing
	default:
		g.out.Decision, g.out.Reasons = scan.Pass, []string{g.why(len(fails) > 0 || verdict == scan.Suspicious)}
	}
}

// judgedBy is the evidence that the required coverage amounts to.
func (g *gate) judgedBy() scan.Evidence {
	switch {
	case len(g.Policy.Require) == 0:
		return g.Evidence
	case slices.Contains(g.Policy.Require, Behaviour):
		return scan.EvidenceAuto
	}
	return scan.EvidenceWeights
}

// missing lists the required evidence that is not there in full.
func (g *gate) missing() (reasons []string) {
	for _, k := range g.out.Require {
		got := g.Coverage.Weights
		if k == Behaviour {
			got = g.Coverage.Behaviour
		}
		switch got {
		case scan.GatheredFull:
		case scan.GatheredPartial:
			reasons = append(reasons, k+" evidence is required and is incomplete")
		default:
			reasons = append(reasons, k+" evidence is required and was not gathered")
		}
	}
	return reasons
}

// why says why a report passes.
func (g *gate) why(findings bool) string {
	var s string
	switch {
	case findings && g.out.FailOn == "never":
		s = "the policy never fails"
	case findings:
		s = "the policy fails from " + g.out.FailOn + " on"
	case g.Verdict == scan.Clean:
		s = "nothing was found that counts"
	default:
		s = "nothing that counts is left"
	}
	if n := g.out.Suppressed; n > 0 {
		s += fmt.Sprintf("; suppressed or in the baseline: %d", n)
	}
	if g.Verdict != scan.Clean {
		s += "; the verdict stays " + string(g.Verdict)
	}
	return s
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
