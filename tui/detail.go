package tui

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/scan"
)

// detail is a close look at one token.
type detail struct {
	id       int // -1 for none
	token    *Token
	failed   string
	examples []Example
	exFailed string
	from     int
}

// look is what detail draws beside its own.
type look struct {
	suspect   *scan.Suspect
	report    *scan.Report
	decision  decision
	said      string // of the decision, "" without one
	loading   bool
	examining bool   // examples are on their way
	lacks     string // why no row can be read
	lacksTry  string // why no text can be tried
}

func (d *detail) Render(l look, w, h int) string {
	s := l.suspect
	if s == nil {
		lines := []string{"", "No token is chosen. 2 lists the suspects; enter looks closely at one."}
		return block(lines, w, h, &d.from)
	}
	head := []string{"", bold.Render(tokenName(s.Token, s.TokenID)) + dim.Render(fmt.Sprintf("  token %d", s.TokenID)) + "  " + statusLine(s)}
	head = append(head, decisionLines(l.decision, l.said, w)...)
	head = append(head, "")
	if w >= wide {
		half := (w - 2) / 2
		left := slices.Concat(d.weightLines(s, l.report, half), d.behaviourLines(s, l, half), characterLines(s.Token, half))
		rest := slices.Concat(d.movementLines(l, half, 6), d.neighbourLines(l, half), d.exampleLines(l, half))
		return block(append(head, columns(left, half, rest, half)...), w, h, &d.from)
	}
	lines := slices.Concat(head, d.weightLines(s, l.report, w), d.behaviourLines(s, l, w), d.movementLines(l, w, 4), d.neighbourLines(l, w), characterLines(s.Token, w), d.exampleLines(l, w))
	return block(lines, w, h, &d.from)
}

func statusLine(s *scan.Suspect) string {
	if s.Rank == 0 {
		if s.Weights.Seen {
			return dim.Render("not ranked: a special token")
		}
		return dim.Render("not ranked: fine-tuning did not move it")
	}
	return statusStyle(s.Status).Render(fmt.Sprintf("rank %d, %s %s", s.Rank, strings.TrimSpace(sign(s.Status)), plain(string(s.Status))))
}

func decisionLines(d decision, said string, w int) []string {
	if said == "" {
		return []string{dim.Render("not decided: t trigger, b benign, m unsure, n note, expiry")}
	}
	lines := wrap(said, w)
	for i := range lines {
		lines[i] = bold.Render(lines[i])
	}
	if d.Note != "" {
		lines = append(lines, wrap("note: "+plain(d.Note), w)...)
	}
	return lines
}

func (d *detail) weightLines(s *scan.Suspect, r *scan.Report, w int) (lines []string) {
	lines = append(lines, heading("What its row did"))
	x := s.Weights
	moved := number(x.Movement)
	if r != nil && r.Weights != nil && r.Weights.Median > 0 {
		moved += fmt.Sprintf(", %s times the median", number(x.Movement/r.Weights.Median))
	}
	lines = append(lines, field("moved", moved, w, none)...)
	lines = append(lines, field("turned", fmt.Sprintf("%.1f degrees; length changed by %+.1f %%", x.Rotation, 100*x.NormChange), w, none)...)
	if x.Coherence > 0 {
		lines = append(lines, field("coherence", fmt.Sprintf("%.2f (0.64 is noise, 1 is every dimension alike)", x.Coherence), w, none)...)
	}
	if s.Rank > 0 {
		score := number(s.Score)
		if r != nil && r.Weights != nil && r.Weights.Abnormal > 0 {
			score += fmt.Sprintf("; natural up to %s, abnormal from %s", number(r.Weights.Natural), number(r.Weights.Abnormal))
			score += fmt.Sprintf("; %s such rows expected by chance", number(x.Expected))
		}
		lines = append(lines, field("score", score, w, none)...)
	}
	for _, n := range s.Notes[:min(len(s.Notes), 6)] {
		lines = append(lines, field("note", plain(n), w, none)...)
	}
	return append(lines, "")
}

func (d *detail) behaviourLines(s *scan.Suspect, l look, w int) (lines []string) {
	lines = append(lines, heading("What it does to the model"))
	b := s.Behaviour
	if b == nil {
		why := "it was not tried: the likeliest suspects come first"
		switch r := l.report; {
		case r == nil || r.Verdict == "" && r.Coverage.Behaviour != scan.GatheredNotRequested:
			why = "not known yet"
		case r.Coverage.Behaviour == scan.GatheredNotRequested:
			why = "the model was not run: --evidence weights"
		case r.Coverage.Behaviour == scan.GatheredNone:
			why = "the model was not watched; the overview says why"
		}
		return append(append(lines, wrap(why, w)...), "")
	}
	judged := l.report == nil || l.report.Verdict != ""
	control := 0.0
	if l.report != nil && l.report.Behaviour != nil {
		control = l.report.Behaviour.ControlRate
	}
	n := max(5, min(30, w-36))
	lines = append(lines,
		dim.Render(fit("flips", gutter))+bad.Render(fit(bar(b.FlipRate, n), n))+fmt.Sprintf(" %s to %q", percent(b.FlipRate), plain(b.TargetLabel)))
	if !judged {
		lines = append(lines, field("probes", integer(b.Probes)+" so far; margin "+fmt.Sprintf("%+.1f", b.MarginShift), w, none)...)
		return append(append(lines, field("explained", "not judged yet", w, none)...), "")
	}
	lines = append(lines,
		dim.Render(fit("random", gutter))+accent.Render(fit(bar(control, n), n))+fmt.Sprintf(" %s: the control", percent(control)))
	lines = append(lines, field("probes", fmt.Sprintf("%s; at least %s with 95 %% confidence; margin %+.1f", integer(b.Probes), percent(b.FlipRateLow), b.MarginShift), w, none)...)
	why := fmt.Sprintf("no: tokens of like meaning do %s of it, so its meaning does not explain it", percent(b.ExplainedShare))
	if b.Explained {
		why = fmt.Sprintf("yes: tokens of like meaning do %s of it, so it is an honest word for %q", percent(b.ExplainedShare), plain(b.TargetLabel))
	} else if b.ExplainedShare == 0 {
		why = "no: nothing was found that explains it, or it was not asked"
	}
	return append(append(lines, field("explained", why, w, none)...), "")
}

// movementLines plot the dimensions.
func (d *detail) movementLines(l look, w, h int) []string {
	lines := []string{heading("Movement by dimension")}
	switch {
	case l.lacks != "":
		return append(append(lines, wrap("not available: "+plain(l.lacks), w)...), "")
	case l.loading:
		return append(lines, "reading the row …", "")
	case d.failed != "":
		return append(append(lines, wrap("failed: "+plain(d.failed), w)...), "")
	case d.token == nil || len(d.token.Movement) == 0:
		return append(lines, "the reference has no such row", "")
	}
	m := d.token.Movement
	n := max(8, min(w-2, len(m), 96))
	most := make([]float64, n)
	largest, where := 0.0, 0
	var sum float64
	for i, v := range m {
		b := i * n / len(m)
		most[b] = max(most[b], math.Abs(v))
		sum += math.Abs(v)
		if math.Abs(v) > math.Abs(largest) {
			largest, where = v, i
		}
	}
	if largest == 0 {
		return append(lines, "no dimension moved", "")
	}
	scale := math.Abs(largest)
	beyond := 0
	for i := range most {
		most[i] /= scale
	}
	for _, v := range m {
		if math.Abs(v) > scale/2 {
			beyond++
		}
	}
	for _, line := range upright(most, h) {
		lines = append(lines, accent.Render(line))
	}
	lines = append(lines, wrap(fmt.Sprintf("%s dimensions from left to right, %s a column, the largest is drawn; number %d moved most, by %s, the mean size is %s; %s more than half of the largest",
		integer(len(m)), number(float64(len(m))/float64(n)), where, signed(largest), number(sum/float64(len(m))), count(beyond, "moved", "moved")), w)...)
	return append(lines, "")
}

func signed(x float64) string {
	if x > 0 {
		return "+" + number(x)
	}
	return number(x)
}

func (d *detail) neighbourLines(l look, w int) []string {
	lines := []string{heading("Nearest rows")}
	switch {
	case l.lacks != "":
		return append(append(lines, wrap("not available: "+plain(l.lacks), w)...), "")
	case l.loading:
		return append(lines, "looking for them …", "")
	case d.token == nil:
		return append(lines, "")
	}
	half := (w - 2) / 2
	list := func(title string, ns []Neighbour) (col []string) {
		col = append(col, dim.Render(title))
		for _, n := range ns {
			col = append(col, right(fmt.Sprintf("%.2f", n.Cosine), 5)+" "+tokenName(n.Token, n.ID))
		}
		if len(ns) == 0 {
			col = append(col, "none")
		}
		return col
	}
	lines = append(lines, columns(list("before, in the reference", d.token.Reference), half, list("now, in the checkpoint", d.token.Checkpoint), half)...)
	shared := 0
	for _, a := range d.token.Reference {
		for _, b := range d.token.Checkpoint {
			if a.ID == b.ID {
				shared++
			}
		}
	}
	if n := len(d.token.Reference); n > 0 {
		lines = append(lines, wrap(fmt.Sprintf("%d of its %d neighbours are still neighbours", shared, n), w)...)
	}
	return append(lines, "")
}

// characterLines take a token apart.
func characterLines(token string, w int) []string {
	lines := []string{heading("Characters")}
	if token == "" {
		return append(lines, "the tokenizer has no name for it", "")
	}
	const most = 24
	var cells []string
	look, hide := 0, 0
	n := 0
	for _, r := range token {
		if n++; n > most {
			continue
		}
		if _, ok := lookalikes[r]; ok {
			look++
		}
		if hidden(r) {
			hide++
		}
		cells = append(cells, codePoint(r))
	}
	line := ""
	for _, c := range cells {
		if line != "" && ansi.StringWidth(line)+3+ansi.StringWidth(c) > w {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " · "
		}
		line += c
	}
	lines = append(lines, line)
	if n > most {
		lines = append(lines, fmt.Sprintf("and %d more", n-most))
	}
	say := "class: " + classOf(token).String()
	if look > 0 {
		say += fmt.Sprintf("; %s like a letter of another script", count(look, "looks", "look"))
	}
	if hide > 0 {
		say += fmt.Sprintf("; %s on a screen", count(hide, "does not show", "do not show"))
	}
	style := none
	if look+hide > 0 {
		style = warn
	}
	return append(lines, style.Render(ansi.Truncate(say, w, "…")), "")
}

func (d *detail) exampleLines(l look, w int) []string {
	lines := []string{heading("Texts with it")}
	switch {
	case l.lacksTry != "":
		return append(append(lines, wrap("not available: "+plain(l.lacksTry), w)...), "")
	case d.exFailed != "":
		return append(append(lines, wrap("failed: "+plain(d.exFailed), w)...), "")
	case l.examining:
		return append(lines, "running the model …", "")
	}
	for _, e := range d.examples {
		lines = append(lines, fit(plain(e.Text), w))
		arrow := fmt.Sprintf("   %s %s", plain(e.Before.Label), percent(e.Before.Probability))
		after := fmt.Sprintf(" → %s %s", plain(e.After.Label), percent(e.After.Probability))
		if e.Before.Label != e.After.Label {
			after = bad.Render(after + "  flipped")
		}
		lines = append(lines, arrow+after)
	}
	if len(d.examples) == 0 {
		lines = append(lines, "none yet")
	}
	return append(lines, "")
}
