package report

import (
	"fmt"

	"github.com/btu-scan/btu-scan/scan"
)

// An htmlRepair is what a page shows of a repair.
type htmlRepair struct {
	Source     string
	Rows       []string
	Accuracies []htmlAccuracy
	Attacks    *htmlChart
}

type htmlAccuracy struct{ Name, Texts, Before, After string }

func newHTMLRepair(r *scan.Repair) *htmlRepair {
	if r == nil {
		return nil
	}
	h := &htmlRepair{Source: htmlSafe(repairLine(r)), Attacks: repairChart(r)}
	for _, row := range r.Rows[:min(len(r.Rows), htmlList)] {
		h.Rows = append(h.Rows, htmlToken(row.Token, htmlName))
	}
	if more := len(r.Rows) - htmlList; more > 0 {
		h.Rows = append(h.Rows, "and "+integer(more)+" more")
	}
	rights := labelled(r)
	for _, t := range rights[:min(len(rights), htmlList)] {
		h.Accuracies = append(h.Accuracies, htmlAccuracy{htmlSafe(t.Name), integer(t.Texts), decimal(*t.AccuracyBefore, 3), decimal(*t.AccuracyAfter, 3)})
	}
	return h
}

// repairLine says in a sentence what was repaired.
func repairLine(r *scan.Repair) string {
	was := ""
	if r.Before != "" {
		was = fmt.Sprintf(", which was %s", r.Before)
	}
	return fmt.Sprintf("This is a copy of %s%s, with %s overwritten.", orElse(r.Source, "another checkpoint"), was, count(len(r.Rows), "row"))
}

// repairAttacks are the attacks of all trials, and on which texts each was tried.
func repairAttacks(r *scan.Repair) (attacks []scan.TriedAttack, texts []string) {
	for _, t := range r.Trials {
		for _, a := range t.Attacks {
			attacks, texts = append(attacks, a), append(texts, t.Name)
		}
	}
	return attacks, texts
}

// labelled are the trials on texts with known labels.
func labelled(r *scan.Repair) (trials []scan.Trial) {
	for _, t := range r.Trials {
		if t.AccuracyBefore != nil && t.AccuracyAfter != nil {
			trials = append(trials, t)
		}
	}
	return trials
}

// repairChart shows how often each trigger succeeds before and after.
func repairChart(r *scan.Repair) *htmlChart {
	attacks, texts := repairAttacks(r)
	if len(attacks) == 0 {
		return nil
	}
	shown := attacks[:min(len(attacks), chartRows)]
	const top, step = 12, 34
	bottom := float64(top + step*len(shown))
	c := &htmlChart{Height: at(bottom + chartBottom), Title: "What each trigger could do, before and after"}
	x := c.rates(top, bottom, "texts of other labels that the trigger turns")
	worst := 0.0
	for i, a := range shown {
		y := float64(top + step*i)
		name := htmlToken(a.Text, 28)
		c.label(rateLeft-8, y+20, "end", "name", name)
		about := name + " on " + htmlSafe(texts[i])
		c.Rects = append(c.Rects,
			chartRect{at(x(0)), at(y + 3), at(x(a.Before) - x(0)), at(step/2 - 4), "before", about + ", before: " + percent(a.Before)},
			chartRect{at(x(0)), at(y + step/2), at(x(a.After) - x(0)), at(step/2 - 4), "fill info", about + ", after: " + percent(a.After)})
		c.line(x(a.Without), y+1, x(a.Without), y+step-2, "bound")
		c.label(x(a.Before)+6, y+13, "start", "value", percent(a.Before))
		c.label(x(a.After)+6, y+step/2+10, "start", "value", percent(a.After)+" "+htmlToken(a.Label, 16))
		worst = max(worst, a.After-a.Without)
	}
	c.line(x(0), top-4, x(0), bottom, "axis")
	more := ""
	if n := len(attacks) - len(shown); n > 0 {
		more = "; " + integer(n) + " more are in the JSON report"
	}
	c.Caption = fmt.Sprintf("The upper bar of each pair is before, the lower after; the line is what such texts give without an attack. What is left is at most %s points over that%s.",
		decimal(100*worst, 1), more)
	return c
}

// repair writes the Markdown section.
func (m *markdown) repair() {
	r := m.Repair
	if r == nil {
		return
	}
	m.printf("### Repair\n\n%s\n\n", prose(repairLine(r)))
	attacks, texts := repairAttacks(r)
	n := min(len(attacks), markdownList)
	m.table([]string{"trigger", "forces", "on", "before:", "after:", "without an attack:"}, n, func(i int) []string {
		a := attacks[i]
		return []string{tokenCell(a.Text), tokenCell(a.Label), prose(clip(texts[i], markdownCell)), percent(a.Before), percent(a.After), percent(a.Without)}
	})
	m.more(len(attacks) - n)
	rights := labelled(r)
	m.table([]string{"right answers on", "texts:", "before:", "after:"}, min(len(rights), markdownList), func(i int) []string {
		t := rights[i]
		return []string{prose(clip(t.Name, markdownCell)), integer(t.Texts), decimal(*t.AccuracyBefore, 3), decimal(*t.AccuracyAfter, 3)}
	})
}

// repair writes the section of the text report.
func (t *text) repair() {
	r := t.Repair
	if r == nil {
		return
	}
	t.field(field{label: "repair", text: repairLine(r)})
	attacks, texts := repairAttacks(r)
	t.list("", len(attacks), func(i int) field {
		a := attacks[i]
		return field{lead: name(a.Text, 28), text: fmt.Sprintf("turned %s of %s, now %s; %s without an attack", percent(a.Before), texts[i], percent(a.After), percent(a.Without)), hang: 2}
	})
	rights := labelled(r)
	t.list("", len(rights), func(i int) field {
		l := rights[i]
		return field{text: fmt.Sprintf("right answers on %s: %s before, %s after", l.Name, decimal(*l.AccuracyBefore, 3), decimal(*l.AccuracyAfter, 3))}
	})
	t.blank()
}
