package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/sanitize"
)

// repairing is the plan of a repair, the repair, and its proof.
type repairing struct {
	out     string
	input   lineInput
	editing bool // of out
	plan    *sanitize.Plan
	nothing bool // there is nothing to do
	failed  string
	planned Order // what the plan is for

	stages    []stageTime
	cancelled bool
	result    *sanitize.Result
	from      int
}

// A stageTime is a stage of a repair that was begun.
type stageTime struct {
	name  string
	began time.Time
}

// tell takes note of a stage. What follows a comma changes within a stage.
func (p *repairing) tell(name string, now time.Time) {
	head, _, _ := strings.Cut(name, ",")
	if n := len(p.stages); n > 0 {
		if last, _, _ := strings.Cut(p.stages[n-1].name, ","); last == head {
			p.stages[n-1].name = name
			return
		}
	}
	p.stages = append(p.stages, stageTime{name, now})
	if n := len(p.stages); n > 200 { // a worker that tells nonsense
		p.stages = p.stages[n-200:]
	}
}

// state is what Render needs beside the repair's own.
type state struct {
	lacks, wait       string // why there can be no plan, ever or yet
	planning, running bool
	elapsed           time.Duration
	now               time.Time
}

func (p *repairing) Render(s state, w, h int) string {
	lines := []string{""}
	add := func(more ...string) { lines = append(lines, more...) }
	switch {
	case s.lacks != "":
		add(heading("Repair"))
		add(wrap("not available: "+plain(s.lacks), w)...)
	case s.running:
		add(p.progressLines(s, w)...)
	case p.result != nil:
		add(resultLines(p.result, w)...)
	default:
		if p.cancelled {
			add(warn.Render("The repair was cancelled. Nothing was written."), "")
		}
		if p.failed != "" {
			add(field("failed", plain(p.failed), w, bad)...)
			add("")
		}
		add(heading("What a repair would do"))
		switch {
		case s.wait != "":
			add(wrap(plain(s.wait), w)...)
		case s.planning:
			add("making a plan …")
		case p.nothing:
			add(wrap("Nothing: no trigger is proved and none is marked. Mark tokens with t, on the suspects or the token, to have their rows overwritten in a copy.", w)...)
		case p.plan != nil:
			if len(p.plan.Rows) > 0 {
				add(accent.Render("y writes the copy, o changes the output"))
			}
			add(p.planLines(w)...)
		}
	}
	return block(lines, w, h, &p.from)
}

// outputLine names the folder, and is a line to type in while it is edited.
func (p *repairing) outputLine(w int) string {
	label := dim.Render(fit("output", gutter))
	if p.editing {
		return label + p.input.Render(w-gutter, true)
	}
	return label + bold.Render(fit(plain(p.out), w-gutter))
}

// donorName says why the padding row is taken, too.
func donorName(p *sanitize.Plan) string {
	if p.Donor == sanitize.DonorPad {
		return p.DonorName() + ", which means nothing"
	}
	return p.DonorName()
}

func (p *repairing) planLines(w int) (lines []string) {
	plan := p.plan
	lines = append(lines, p.outputLine(w))
	lines = append(lines, field("source", plain(plan.Checkpoint)+", which is only read", w, none)...)
	if len(plan.Rows) == 0 {
		lines = append(lines, wrap("No row would be overwritten: the triggers are made of ordinary words, which only a fine-tune on labelled texts unlearns. btu-scan sanitize --data does that.", w)...)
		return append(lines, warningLines(plan.Warnings, w)...)
	}
	lines = append(lines, "")
	for _, line := range wrap(count(len(plan.Rows), "row", "rows")+" of "+plain(plan.Tensor)+" would be overwritten", w) {
		lines = append(lines, heading(line))
	}
	const most = 40
	for _, r := range plan.Rows[:min(len(plan.Rows), most)] {
		moved := ""
		if r.Moved >= 0 {
			moved = fmt.Sprintf(" (%s moved)", count(r.Moved, "dimension", "dimensions"))
		}
		for i, line := range wrap(fmt.Sprintf("%s  token %d%s: %s", tokenName(r.Token, r.TokenID), r.TokenID, moved, plain(r.Why)), w-2) {
			lines = append(lines, []string{"- ", "  "}[min(i, 1)]+line)
		}
	}
	if n := len(plan.Rows) - most; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", n))
	}
	var extents []string
	for _, e := range plan.Extents {
		extents = append(extents, e.Name())
	}
	lines = append(lines, "")
	lines = append(lines, field("with", donorName(plan), w, none)...)
	lines = append(lines, field("how much", strings.Join(extents, "; if that is not enough, "), w, none)...)
	lines = append(lines, field("then", "the copy is measured and scanned: what is still found is overwritten, too", w, none)...)
	return append(lines, warningLines(plan.Warnings, w)...)
}

func warningLines(ws []string, w int) (lines []string) {
	const most = 12
	for _, s := range ws[:min(len(ws), most)] {
		lines = append(lines, field("warning", plain(s), w, warn)...)
	}
	return lines
}

// repairStages are those of sanitize.Run, in order.
var repairStages = []string{"measuring the model as it is", "copying", "overwriting rows", "fine-tuning", "scanning the copy", "measuring the result", "writing"}

func (p *repairing) progressLines(s state, w int) (lines []string) {
	lines = append(lines, heading("Repairing")+dim.Render(fmt.Sprintf("  %v so far; esc cancels, and nothing stays behind", s.elapsed.Round(time.Second))))
	lines = append(lines, p.outputLine(w))
	if p.cancelled {
		lines = append(lines, warn.Render("cancelling: taking back what was written …"))
	}
	done := 0
	for i, st := range p.stages {
		end := s.now
		if i+1 < len(p.stages) {
			end = p.stages[i+1].began
		}
		mark, style := "✓", good
		if i == len(p.stages)-1 {
			mark, style = "▸", accent
		}
		if head, _, _ := strings.Cut(st.name, ","); slices.Contains(repairStages, head) {
			done = slices.Index(repairStages, head)
		}
		lines = append(lines, style.Render(mark)+" "+fit(plain(st.name), w-11)+right(end.Sub(st.began).Round(100*time.Millisecond).String(), 8))
	}
	for _, name := range repairStages[min(len(repairStages), done+1):] {
		if name != "fine-tuning" {
			lines = append(lines, dim.Render("· "+name))
		}
	}
	n := max(10, min(40, w-20))
	return append(lines, "", progressBar(float64(done)/float64(len(repairStages)), n)+fmt.Sprintf(" stage %d of %d", done+1, len(repairStages)))
}

func resultLines(r *sanitize.Result, w int) (lines []string) {
	clean, proved := r.Clean()
	verdict, style := "NOT CLEAN", bad
	say := "the copy still has a trigger; do not use it"
	switch {
	case clean:
		verdict, style, say = "CLEAN", good, "the copy has lost its triggers"
		if r.After == "" {
			say += "; it was not scanned"
		}
	case !proved:
		verdict, style, say = "NOT PROVED", warn, "it could not be shown that the copy is clean"
	}
	lines = append(lines, style.Bold(true).Render(verdict)+"  "+say)
	lines = append(lines, field("output", plain(r.Output), w, bold)...)
	if r.Before != "" || r.After != "" {
		lines = append(lines, field("verdict", "before "+plain(string(r.Before))+", after "+plain(string(r.After)), w, none)...)
	}
	for _, reason := range r.Reasons[:min(len(r.Reasons), 4)] {
		lines = append(lines, field("", plain(reason), w, none)...)
	}
	dims := 0
	var names []string
	for i, e := range r.Edits {
		dims += e.Dimensions
		if i < 12 {
			names = append(names, tokenName(e.Token, e.TokenID))
		}
	}
	if len(r.Edits) > 0 {
		lines = append(lines, field("changed", fmt.Sprintf("%s, %s, %s numbers: %s", count(len(r.Edits), "row", "rows"), r.Extent.Name(), integer(dims), strings.Join(names, " ")), w, none)...)
	}
	for _, t := range r.Trials {
		if t.Before == nil || t.After == nil {
			continue
		}
		lines = append(lines, "", heading(fmt.Sprintf("Before and after, %s of %s", count(t.Before.Texts, "text", "texts"), plain(t.Name))))
		lines = append(lines, fit("", w-24)+dim.Render(right("before", 8)+right("after", 8)+right("none", 8)))
		if t.Before.Accuracy != nil && t.After.Accuracy != nil {
			lines = append(lines, fit("right answers", w-24)+right(percent(*t.Before.Accuracy), 8)+right(percent(*t.After.Accuracy), 8))
		}
		lines = append(lines, fit("same answers as before", w-24)+right(percent(t.Before.Agreement), 8)+right(percent(t.After.Agreement), 8))
		for i, a := range t.After.Attacks {
			before := "-"
			if i < len(t.Before.Attacks) {
				before = percent(t.Before.Attacks[i].Success)
			}
			lines = append(lines, fit(fmt.Sprintf("%s forces %q", tokenName(a.Text, 0), plain(a.Label)), w-24)+right(before, 8)+right(percent(a.Success), 8)+right(percent(max(a.Plain, a.Control)), 8))
		}
	}
	if len(r.Trials) > 0 {
		lines = append(lines, dim.Render(ansi.Truncate("none: how often without the trigger, or with a random word", w, "…")))
	}
	lines = append(lines, "")
	lines = append(lines, field("record", sanitize.ManifestName+" in the output says all of this", w, none)...)
	return append(lines, warningLines(r.Warnings, w)...)
}

// planFailed takes note of why there is no plan.
func (p *repairing) planFailed(err error) {
	p.plan, p.nothing, p.failed = nil, errors.Is(err, sanitize.ErrNothing), ""
	if !p.nothing {
		p.failed = err.Error()
	}
}
