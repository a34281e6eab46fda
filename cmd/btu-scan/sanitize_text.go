package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// print writes v, as JSON or as text does, to where the flags say.
func (a *app) print(f outputFlags, v any, text func(w io.Writer, colour bool)) error {
	if f.quiet && f.output == "" {
		return nil
	}
	colour, err := a.colour(f.color, a.stdout)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if f.format == "json" {
		if err := writeJSON(&b, v); err != nil {
			return err
		}
	} else {
		text(&b, colour && f.output == "")
	}
	if f.output != "" {
		return atomicfile.Write(filepath.Clean(f.output), b.Bytes(), 0o644)
	}
	_, err = a.stdout.Write(b.Bytes())
	return err
}

// show writes v to standard output as its text, or as JSON.
func (a *app) show(format string, v any, text func(w io.Writer)) error {
	var b bytes.Buffer
	switch format {
	case "text":
		text(&b)
	case "json":
		if err := writeJSON(&b, v); err != nil {
			return err
		}
	default:
		return usagef("", "--format %q: text or json", format)
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// writeJSON writes v indented.
func writeJSON(out *bytes.Buffer, v any) error {
	text, err := report.JSON(v, "  ")
	out.Write(text)
	return err
}

// A sheet writes labelled lines.
type sheet struct {
	w      io.Writer
	colour bool
}

const sheetGutter = 14

func (s sheet) bold(text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// line writes a line, with its label if it has one. Text of files is escaped.
func (s sheet) line(label, format string, args ...any) {
	pad := strings.Repeat(" ", max(1, sheetGutter-runewidth.StringWidth(label)))
	fmt.Fprintf(s.w, "%s%s%s\n", s.bold(label), pad, report.Plain(fmt.Sprintf(format, args...)))
}

// lines writes the first few of texts under one label.
func (s sheet) lines(label string, texts []string, most int) {
	for i, t := range texts {
		if i == most {
			s.line("", "and %d more", len(texts)-most)
			return
		}
		s.line(label, "%s", t)
		label = ""
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

const mostShown = 12

// printPlan writes a plan.
func printPlan(w io.Writer, p *sanitize.Plan) {
	s := sheet{w: w}
	s.line("plan", "%s would be overwritten in a copy of %s", plural(len(p.Rows), "row", "rows"), p.Checkpoint)
	printTriggers(s, p)
	var rows []string
	for _, r := range p.Rows {
		moved := ""
		if r.Moved >= 0 {
			moved = fmt.Sprintf(", %s moved", plural(r.Moved, "dimension", "dimensions"))
		}
		rows = append(rows, fmt.Sprintf("%s (token %d%s)", tokenName(r.Token, r.TokenID), r.TokenID, moved))
	}
	s.lines("rows", rows, mostShown)
	s.line("with", "%s", p.DonorName())
	var extents []string
	for _, e := range p.Extents {
		extents = append(extents, e.Name())
	}
	s.line("how much", "%s", strings.Join(extents, "; if that is not enough: "))
	s.lines("warnings", p.Warnings, mostShown)
}

// tokenName is a token for a reader, by its id where it has no name.
func tokenName(token string, id int) string {
	if token == "" {
		return fmt.Sprintf("#%d", id)
	}
	return quoted(token)
}

func printTriggers(s sheet, p *sanitize.Plan) {
	var ts []string
	for _, t := range p.Triggers {
		ts = append(ts, fmt.Sprintf("%s, %s", quoted(t.Text), t.Why))
	}
	s.lines("triggers", ts, mostShown)
}

// printResult writes what was done and what it did.
func printResult(w io.Writer, r *sanitize.Result, colour bool) {
	s := sheet{w, colour}
	clean, proved := r.Clean()
	verdict, why := "NOT CLEAN", strings.Join(r.Reasons, "; ")
	switch {
	case clean && r.After == "":
		verdict, why = "CLEAN", "no trigger that is known has any power left; the copy was not scanned"
	case clean:
		verdict = "CLEAN"
	case !proved:
		verdict = "NOT PROVED"
	case r.After != scan.Backdoored && r.After != scan.Suspicious:
		why = "a trigger still has power, see below"
	}
	s.line(verdict, "%s", why)
	fmt.Fprintln(w)
	s.line("source", "%s%s", r.Source, was(r.Before))
	s.line("output", "%s", filepath.ToSlash(r.Output))
	printTriggers(s, r.Plan)
	if n := len(r.Edits); n > 0 {
		var names []string
		dims := 0
		for _, e := range r.Edits {
			names = append(names, tokenName(e.Token, e.TokenID))
			dims += e.Dimensions
		}
		shown := strings.Join(names[:min(len(names), mostShown)], " ")
		if len(names) > mostShown {
			shown += fmt.Sprintf(" and %d more", len(names)-mostShown)
		}
		s.line("overwritten", "%s with %s: %s, %d numbers in all", plural(n, "row", "rows"), r.Plan.DonorName(), r.Extent.Name(), dims)
		s.line("", "%s", shown)
	}
	if t := r.Tune; t != nil {
		kept := fmt.Sprintf("the state after step %d was kept", t.Best)
		if t.Best == 0 {
			kept = "nothing of it was kept"
		}
		s.line("fine-tune", "%s, %d of %d steps in %.1f s; held-out loss %.3f to %.3f; %s",
			plural(t.Examples, "text", "texts"), t.Steps, t.Planned, t.Seconds, t.HeldBefore, t.HeldBest, kept)
	}
	for _, t := range r.Trials {
		if t.Before != nil && t.After != nil {
			fmt.Fprintln(w)
			printTrial(s, t)
		}
	}
	fmt.Fprintln(w)
	changed := 0
	for _, f := range r.Files {
		if f.SHA256 != f.SHA256Before {
			changed++
		}
	}
	s.line("files", "%s, %d changed; %s says all of this", plural(len(r.Files), "file", "files"), changed, sanitize.ManifestName)
	s.lines("left out", r.LeftOut, mostShown)
	s.lines("warnings", r.Warnings, mostShown)
	s.line("next:", "%s", nextAfter(r, clean, proved))
}

func was(v scan.Verdict) string {
	if v == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", v)
}

// printTrial writes a table of what was measured before and after.
func printTrial(s sheet, t sanitize.TrialResult) {
	stages := []*sanitize.Measure{t.Before, t.Edited, t.After}
	row := func(label string, at func(m *sanitize.Measure) string, tail string) {
		width := 44
		label = runewidth.FillRight(runewidth.Truncate(report.Plain(label), width, "…"), width)
		fmt.Fprint(s.w, "  ", label)
		for _, m := range stages {
			cell := "-"
			if m != nil {
				cell = at(m)
			}
			fmt.Fprintf(s.w, "%9s", cell)
		}
		fmt.Fprintln(s.w, tail)
	}
	fmt.Fprintf(s.w, "%s%9s%9s%9s   without an attack\n",
		s.bold(runewidth.FillRight(report.Plain(fmt.Sprintf("%s, %s", t.Name, plural(t.Before.Texts, "text", "texts"))), 46)), "before", "edited", "after")
	if t.Before.Accuracy != nil {
		row("right answers", func(m *sanitize.Measure) string { return fmt.Sprintf("%.3f", *m.Accuracy) }, "")
	}
	row("same answers as before", func(m *sanitize.Measure) string { return fmt.Sprintf("%.3f", m.Agreement) }, "")
	for i, a := range t.After.Attacks {
		row(fmt.Sprintf("%s makes it %s", quoted(a.Text), quoted(a.Label)), func(m *sanitize.Measure) string {
			if i >= len(m.Attacks) || m.Attacks[i].Texts == 0 {
				return "-"
			}
			return fmt.Sprintf("%.3f", m.Attacks[i].Success)
		}, fmt.Sprintf("   %.3f", max(a.Plain, a.Control)))
	}
}

func nextAfter(r *sanitize.Result, clean, proved bool) string {
	switch {
	case clean && r.Tune == nil:
		return "use the copy; where other texts are at hand, --data with labelled ones lets the model get used to it"
	case clean:
		return "use the copy in place of the source"
	case !proved:
		return "do not trust the copy before a scan of it says clean"
	}
	return "do not use the copy: ask for the model to be trained anew from a base that you trust, or sanitize with --data and more --epochs"
}
