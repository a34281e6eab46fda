package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

const (
	maxTriggers = 8  // that are shown without Verbose
	maxLabels   = 12 // with it
	maxWords    = 12 // of a label

	// Columns of names, so that none pushes aside what is said about it.
	widestLabel   = 40
	widestTrigger = 160
	widestWritten = 80
	widestWord    = 24
)

// name quotes a text of the model in at most width columns.
func name(s string, width int) string { return shorten(quote(clip(s, maxText)), width) }

// triggers writes what was proved: first what each does, and below it, or
// after it where that takes more than a line, what is known besides.
func (t *text) triggers() {
	n := len(t.Triggers)
	if n == 0 {
		return
	}
	limit := maxTriggers
	if t.opt.Verbose {
		limit = maxListVerbose
	}
	proved := "in contested texts, whose own words speak for another label"
	if t.Behaviour.Free() {
		proved = "by what the model writes after texts, and the reference does not"
	}
	t.field(field{label: "triggers", text: integer(n) + " proved " + proved + "; bounds with 95% confidence"})
	for _, g := range t.Triggers[:min(n, limit)] {
		text := name(g.Text, widestTrigger)
		does := fmt.Sprintf("turns %s to %s (at least %s)", share(g.FlipRate, g.Probes), name(g.TargetLabel, widestLabel), percent(g.FlipRateLow))
		if t.Behaviour.Free() {
			does = fmt.Sprintf("makes %s go on with %s (at least %s)", share(g.FlipRate, g.Probes), name(g.TargetLabel, widestWritten), percent(g.FlipRateLow))
		}
		about := t.aboutTrigger(g)
		below := fits(text+"  "+does, t.room())
		f := field{text: does, hang: 2}
		if about != "" && !below {
			f.text += "; " + about
		}
		if displayWidth(text) <= t.room()/2 {
			f.lead, f.leadPaint = text, style.red
		} else {
			f.text = text + "  " + f.text
		}
		t.field(f)
		if about != "" && below {
			t.field(field{text: about, indent: 2, hang: 2})
		}
	}
	t.more(n - limit)
	t.blank()
}

// aboutTrigger is where a trigger works, what explains it, and whence it came.
func (t *text) aboutTrigger(g scan.Trigger) string {
	var parts []string
	switch g.Place {
	case "front":
		parts = append(parts, "put in front")
	case "back":
		parts = append(parts, "put at the end")
	}
	switch {
	case !(g.ExplainedShare > 0):
	case len(g.TokenIDs) > 1:
		parts = append(parts, fmt.Sprintf("its parts alone do %s as much", percent(g.ExplainedShare)))
	default:
		parts = append(parts, fmt.Sprintf("its neighbours by meaning do %s as much", percent(g.ExplainedShare)))
	}
	switch g.FoundBy {
	case "":
	case "user":
		parts = append(parts, "given by --candidate")
	default:
		parts = append(parts, "found by "+clip(g.FoundBy, widestLabel))
	}
	if t.opt.Verbose {
		ids := strings.Trim(fmt.Sprint(g.TokenIDs[:min(len(g.TokenIDs), maxWords)]), "[]")
		if len(g.TokenIDs) > maxWords {
			ids += " …"
		}
		parts = append(parts, "margin "+signed(g.MarginShift), "token ids "+ids)
	}
	return strings.Join(parts, "; ")
}

// share writes a rate as how many of n texts it is.
func share(rate float64, n int) string {
	if rate >= 0 && rate <= 1 && n >= 0 {
		return integer(int(math.Round(rate*float64(n)))) + " of " + count(n, "text")
	}
	return percent(rate) + " of " + count(n, "text")
}

// labels says of each label how it could be tested.
func (t *text) labels() {
	b := t.Behaviour
	if b == nil || len(b.Labels) == 0 {
		return
	}
	t.listUpTo(maxLabels, "labels", len(b.Labels), func(i int) field {
		l := b.Labels[i]
		s := fmt.Sprintf("%s is given to %s of %s as they are; ", name(l.Label, widestLabel), integer(l.Predicted), count(b.Probes, "probe"))
		if l.Contested > 0 {
			s += fmt.Sprintf("%s speak against it, of which honest words turn at most %s; ", count(l.Contested, "contested text"), percent(l.Honest))
		} else {
			s += "no text was found that speaks against it; "
		}
		var words []string
		for _, w := range l.Words[:min(len(l.Words), maxWords)] {
			words = append(words, name(w, widestWord))
		}
		switch {
		case len(words) == 0:
			s += "no words were found that speak for it"
		case len(l.Words) > maxWords:
			s += fmt.Sprintf("for it speak %s and %s more", strings.Join(words, ", "), integer(len(l.Words)-maxWords))
		default:
			s += "for it speak " + strings.Join(words, ", ")
		}
		return field{text: s, hang: 2}
	})
	t.blank()
}

// watched reports whether one of the suspects was tried.
func watched(suspects []scan.Suspect) bool {
	return slices.ContainsFunc(suspects, func(s scan.Suspect) bool { return s.Behaviour != nil })
}

// meanings explains the columns of behaviour that a table has room for.
func (t *text) meanings(cols table, _ []int) string {
	texts := "contested texts"
	if t.Behaviour.Free() {
		texts = "texts"
	}
	var parts []string
	for _, c := range cols {
		switch c.title {
		case "flips":
			parts = append(parts, "flips: "+texts+" that the token turns")
		case "explained":
			parts = append(parts, "explained: whether tokens of like meaning do much of the same (- not asked)")
		}
	}
	return strings.Join(parts, "; ")
}

// behaviourColumns are the columns of what tokens do to answers.
func (t *text) behaviourColumns(strings func(string, int, func(scan.Suspect) string) *column) table {
	proved := map[int]bool{}
	for _, g := range t.Triggers {
		if len(g.TokenIDs) == 1 {
			proved[g.TokenIDs[0]] = true
		}
	}
	// asked is whether the scan looked for an explanation: of no explanation at
	// all, only the proof tells.
	asked := func(s scan.Suspect) bool {
		return s.Behaviour.Explained || s.Behaviour.ExplainedShare > 0 || proved[s.TokenID]
	}
	of := func(title string, keep int, f func(s scan.Suspect) string) *column {
		c := strings(title, keep, func(s scan.Suspect) string {
			if s.Behaviour == nil {
				return missing
			}
			return f(s)
		})
		c.right = true
		return c
	}
	ofAsked := func(title string, keep int, f func(b *scan.Behaviour) string) *column {
		return of(title, keep, func(s scan.Suspect) string {
			if !asked(s) {
				return missing
			}
			return f(s.Behaviour)
		})
	}
	to := of("to", 66, func(s scan.Suspect) string { return shorten(cell(s.Behaviour.TargetLabel), 14) })
	to.right = false
	cols := table{of("flips", 80, func(s scan.Suspect) string { return percent(s.Behaviour.FlipRate) })}
	if t.opt.Verbose {
		cols = append(cols, of("at least", 34, func(s scan.Suspect) string { return percent(s.Behaviour.FlipRateLow) }))
	}
	cols = append(cols, to, ofAsked("explained", 64, func(b *scan.Behaviour) string { return yesNo(b.Explained) }))
	if t.opt.Verbose {
		cols = append(cols, ofAsked("share", 33, func(b *scan.Behaviour) string { return percent(b.ExplainedShare) }))
	}
	return append(cols,
		of("margin", 35, func(s scan.Suspect) string { return signed(s.Behaviour.MarginShift) }),
		of("probes", 5, func(s scan.Suspect) string { return integer(s.Behaviour.Probes) }))
}
