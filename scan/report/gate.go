package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// gateSays reports whether the gate tells more than the verdict does.
func gateSays(r *scan.Report) bool {
	g := r.Gate
	if g == nil {
		return false
	}
	plain := scan.Undecided
	switch {
	case r.Verdict == scan.Suspicious, r.Verdict == scan.Backdoored, (&text{Report: r}).unsafe():
		plain = scan.Fail
	case r.Verdict == scan.Clean:
		plain = scan.Pass
	}
	return g.Decision != plain || g.Suppressed > 0 || len(g.Policy)+len(g.Notes) > 0
}

// accepted reports whether the policy lets a report pass whose verdict alone
// would not.
func accepted(r *scan.Report) bool {
	return r.Gate != nil && r.Gate.Decision == scan.Pass && r.Verdict != scan.Clean
}

// gateHead is the decision and its reasons, as people read them.
func gateHead(g *scan.Gate) (decision string, reasons []string) {
	decision = string(g.Decision)
	if !slices.Contains([]scan.Decision{scan.Pass, scan.Fail, scan.Undecided}, g.Decision) {
		decision = "no decision"
	}
	return decision, orNone(g.Reasons)
}

// gateNotes says what the decision rests on, and what of the policy has no
// effect.
func gateNotes(r *scan.Report) (lines []string) {
	for _, f := range r.Gate.Policy {
		lines = append(lines, fmt.Sprintf("%s: %s", f.Kind, f.Path))
	}
	lines = append(lines, r.Gate.Notes...)
	for _, s := range r.Suspects {
		if len(s.Suppressions) > 0 {
			lines = append(lines, fmt.Sprintf("%s (token %d) %s", quote(clip(s.Token, 80)), s.TokenID, suppressedNote(s.Suppressions, true, 0)))
		}
	}
	return lines
}

// suppressedNote says what takes a finding out, or how many of its tokens; "" if
// nothing does.
func suppressedNote(all []scan.Suppression, whole bool, tokens int) string {
	if len(all) == 0 {
		return ""
	}
	var s string
	if whole {
		s = "suppressed"
	} else {
		known := map[int]bool{}
		for _, x := range all {
			for _, id := range x.TokenIDs {
				known[id] = true
			}
		}
		s = fmt.Sprintf("%d of %d tokens suppressed", len(known), tokens)
	}
	var why []string
	for _, x := range all {
		line := clip(x.Justification, maxText/2)
		if x.Expires != "" {
			line += ", until " + x.Expires
		}
		line += " (" + orElse(clip(x.Source, maxText/4), string(x.By)) + ")"
		if !slices.Contains(why, line) {
			why = append(why, line)
		}
	}
	if more := len(why) - 3; more > 0 {
		why = append(why[:3], fmt.Sprintf("and %d more", more))
	}
	return s + ": " + strings.Join(why, "; ")
}

// changed says what severity a finding had before the policy; "" if the same.
func changed(was scan.Severity) string {
	if was == "" {
		return ""
	}
	return "severity was " + clip(string(was), 24)
}

// marks are both notes, in brackets.
func marks(was scan.Severity, all []scan.Suppression, whole bool, tokens int) string {
	s := strings.Join(slices.DeleteFunc([]string{changed(was), suppressedNote(all, whole, tokens)}, func(s string) bool { return s == "" }), "; ")
	if s != "" {
		s = " [" + s + "]"
	}
	return s
}

// noted is a message with the marks of a policy, which a long message must not
// push out of sight.
func noted(message, marks string, limit int) string {
	if marks == "" {
		return message
	}
	return clip(message, limit/2) + marks
}

// gate writes the decision of the policy where it says more than the verdict.
func (t *text) gate() {
	if !gateSays(t.Report) {
		return
	}
	decision, reasons := gateHead(t.Gate)
	p := paint(style.yellow)
	switch t.Gate.Decision {
	case scan.Pass:
		p = style.green
	case scan.Fail:
		p = style.red
	}
	t.list("gate", len(reasons), func(i int) field {
		f := field{text: reasons[i]}
		if i == 0 {
			f.lead, f.leadPaint = strings.ToUpper(decision), p
		}
		return f
	})
	notes := gateNotes(t.Report)
	t.list("", len(notes), func(i int) field { return field{text: "- " + notes[i], hang: 2} })
	t.blank()
}

func (m *markdown) gate() {
	if !gateSays(m.Report) {
		return
	}
	decision, reasons := gateHead(m.Gate)
	m.printf("### Gate: %s\n\n", prose(decision))
	m.list(reasons)
	if notes := gateNotes(m.Report); len(notes) > 0 {
		m.list(notes)
	}
}
