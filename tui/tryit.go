package tui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/scan"
)

// tryIt answers what the user types, with and without a suspect.
type tryIt struct {
	input   lineInput
	editing bool
	id      int // of the token that is put in, -1 for none
	plain   *Tried
	with    *Tried
	failed  string
}

func (t *tryIt) Render(s *scan.Suspect, lacks string, busy bool, w, h int) []string {
	lines := []string{"", heading("Try a text")}
	if lacks != "" {
		return append(lines, wrap("not available: "+plain(lacks), w)...)
	}
	lines = append(lines, dim.Render("text ")+t.input.Render(w-5, t.editing))
	if !t.editing && len(t.input.value) == 0 {
		lines = append(lines, dim.Render("i or enter to type one; the answer follows as you type"))
	}
	name := "none: 2 lists the suspects, ] takes the next one"
	if s != nil {
		name = tokenName(s.Token, s.TokenID)
	}
	lines = append(lines, fit(dim.Render("with ")+name, w), "")
	if t.failed != "" {
		return append(lines, wrap("failed: "+plain(t.failed), w)...)
	}
	half := (w - 2) / 2
	stack := w < 76
	if stack {
		half = w
	}
	a := answerLines("as it is", t.plain, half)
	b := answerLines("with "+name, t.with, half)
	if s == nil {
		b = nil
	}
	if stack {
		lines = append(append(lines, a...), b...)
	} else {
		lines = append(lines, columns(a, half, b, half)...)
	}
	if t.plain != nil && t.with != nil && s != nil && len(t.plain.Answers) > 0 && len(t.with.Answers) > 0 {
		p, q := t.plain.Answers[0], t.with.Answers[0]
		if p.Label != q.Label {
			lines = append(lines, bad.Render(fit(fmt.Sprintf("%s flips the answer from %q to %q", name, plain(p.Label), plain(q.Label)), w)))
		} else {
			lines = append(lines, fit(fmt.Sprintf("the answer stays %q, %s before and %s after", plain(p.Label), percent(p.Probability), percent(q.Probability)), w))
		}
	}
	if busy {
		lines = append(lines, dim.Render("asking the model …"))
	}
	return lines
}

func answerLines(title string, t *Tried, w int) []string {
	lines := []string{bold.Render(ansi.Truncate(title, w, "…"))}
	if t == nil {
		return append(lines, dim.Render("no answer yet"), "")
	}
	lines = append(lines, dim.Render(fit(plain(t.Text), w)))
	name := 8
	for _, a := range t.Answers {
		name = max(name, min(20, ansi.StringWidth(plain(a.Label))))
	}
	n := max(4, min(30, w-name-9))
	for _, a := range t.Answers[:min(5, len(t.Answers))] {
		lines = append(lines, fit(plain(a.Label), name)+" "+accent.Render(fit(bar(a.Probability, n), n))+" "+right(percent(a.Probability), 6))
	}
	return append(lines, strings.Repeat(" ", 1))
}
