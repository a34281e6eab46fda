package tui

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"

	"github.com/btu-scan/btu-scan/scan"
)

// overview says what the report says.
type overview struct{ from int }

const wide = 116 // from here on two columns

// Render draws the report r, which is unfinished while stage is not "".
func (o *overview) Render(r *scan.Report, x *index, stage, failed string, w, h int) string {
	if r == nil {
		lines := []string{"", heading("Nothing is known yet")}
		if failed != "" {
			lines = append(lines, field("failed", plain(failed), w, bad)...)
		} else if stage == "" {
			lines = append(lines, "The scan was stopped; r starts it again.")
		} else {
			lines = append(lines, wrap("The weights come first, usually within a second; then the model is run.", w)...)
		}
		return block(lines, w, h, &o.from)
	}
	verdict := verdictLines(r, stage, failed, w)
	if w >= wide {
		half := (w - 2) / 2
		left := append(evidenceLines(r, half), timeLines(r, stage, half)...)
		rest := append(histogramLines(r, x, half, max(4, min(10, h-len(verdict)-12))), findingLines(r, half)...)
		return block(append(verdict, columns(left, half, rest, half)...), w, h, &o.from)
	}
	lines := slices.Concat(verdict, histogramLines(r, x, w, max(3, min(8, h/2-7))), findingLines(r, w), evidenceLines(r, w), timeLines(r, stage, w))
	return block(lines, w, h, &o.from)
}

func verdictLines(r *scan.Report, stage, failed string, w int) []string {
	lines := []string{""}
	reasons := r.Reasons
	if r.Verdict == "" {
		reasons = []string{"the scan is not finished; what it has found so far is below"}
		if stage == "" {
			reasons = []string{"the scan was stopped before its end; r starts it again"}
		}
	}
	if failed != "" {
		reasons = append(slices.Clone(reasons), "failed: "+failed)
	}
	name := verdictName(r.Verdict)
	lead := verdictStyle(r.Verdict).Render(name) + "  "
	for i, reason := range reasons[:min(len(reasons), 6)] {
		indent := len(name) + 2
		for k, line := range wrap(plain(reason), w-indent) {
			if i == 0 && k == 0 {
				lines = append(lines, lead+line)
			} else {
				lines = append(lines, strings.Repeat(" ", indent)+line)
			}
		}
	}
	if len(reasons) == 0 {
		lines = append(lines, lead+"no reason was given")
	}
	return append(lines, "")
}

// gathered is how much there is of a kind of evidence.
func gathered(r *scan.Report, g scan.Gathered) string {
	if g == "" || g == scan.GatheredNone && r.Verdict == "" {
		return "not yet"
	}
	return plain(string(g))
}

func evidenceLines(r *scan.Report, w int) (lines []string) {
	lines = append(lines, heading("What was looked at"))
	c := r.Checkpoint
	lines = append(lines, field("checkpoint", plain(c.Path), w, none)...)
	about := []string{plain(c.Format), plain(c.Architecture), plain(c.DType)}
	if e := c.Embedding; e != nil {
		about = append(about, fmt.Sprintf("%s rows × %s", integer(e.Rows), integer(e.Dim)))
		if e.Tied {
			about = append(about, "tied to the output")
		}
	}
	about = slices.DeleteFunc(about, func(s string) bool { return s == "" })
	lines = append(lines, field("", strings.Join(about, ", "), w, none)...)
	switch ref := r.Reference; {
	case ref == nil:
		lines = append(lines, field("reference", "none: there is nothing to compare with", w, warn)...)
	default:
		name := ref.ID
		if name == "" {
			name = ref.Path
		}
		lines = append(lines, field("reference", plain(name), w, none)...)
		if m := ref.Match; m != nil {
			style := good
			if m.Verdict != scan.MatchGood {
				style = bad
			}
			lines = append(lines, field("", fmt.Sprintf("%s: median row cosine %.4f over %s rows", plain(string(m.Verdict)), m.RowCosineMedian, integer(m.RowsCompared)), w, style)...)
		}
		pinned := "not pinned: its files were not checked against a digest"
		if ref.Verified {
			pinned = "pinned: its files have the recorded digest"
		}
		lines = append(lines, field("", pinned, w, none)...)
	}
	lines = append(lines, field("evidence", "weights "+gathered(r, r.Coverage.Weights)+", behaviour "+gathered(r, r.Coverage.Behaviour), w, none)...)
	for _, reason := range r.Coverage.Reasons[:min(len(r.Coverage.Reasons), 6)] {
		lines = append(lines, field("", plain(reason), w, none)...)
	}
	if b := r.Behaviour; b != nil {
		probes := b.Contested
		if b.Free() {
			probes = b.Probes
		}
		lines = append(lines, field("model run", fmt.Sprintf("%s candidates on %s probes; random tokens flip up to %s", integer(b.Tried), integer(probes), percent(b.ControlRate)), w, none)...)
		for _, l := range b.Labels[:min(len(b.Labels), 6)] {
			lines = append(lines, field("", fmt.Sprintf("%q: honest words flip up to %s", plain(l.Label), percent(l.Honest)), w, none)...)
		}
	}
	return append(lines, "")
}

func findingLines(r *scan.Report, w int) (lines []string) {
	severity := func(s scan.Severity) lipgloss.Style {
		switch s {
		case scan.SeverityCritical, scan.SeverityHigh:
			return bad
		case scan.SeverityWarning:
			return warn
		}
		return none
	}
	const most = 12
	if len(r.Triggers) > 0 {
		lines = append(lines, heading("Triggers, proved by running the model"))
		texts := "contested texts"
		if r.Behaviour.Free() {
			texts = "texts"
		}
		for _, t := range r.Triggers[:min(len(r.Triggers), most)] {
			for i, line := range wrap(fmt.Sprintf("! %s forces %q in %s of %s %s (at least %s)", tokenName(t.Text, 0), plain(t.TargetLabel), percent(t.FlipRate), integer(t.Probes), texts, percent(t.FlipRateLow)), w-4) {
				if i > 0 {
					line = "  " + line
				}
				lines = append(lines, bad.Render(line))
			}
		}
		lines = append(lines, "")
	}
	if len(r.Findings) > 0 {
		lines = append(lines, heading("Findings"))
		for _, f := range r.Findings[:min(len(r.Findings), most)] {
			lines = append(lines, field(plain(f.Rule), plain(string(f.Severity))+": "+plain(f.Message), w, severity(f.Severity))...)
		}
		lines = append(lines, "")
	}
	lines = append(lines, heading("Unsafe files"))
	if len(r.Unsafe) == 0 {
		lines = append(lines, "none were found")
	}
	for _, u := range r.Unsafe[:min(len(r.Unsafe), most)] {
		lines = append(lines, field(plain(u.Rule), plain(string(u.Severity))+": "+plain(u.Where)+": "+plain(u.Detail), w, severity(u.Severity))...)
	}
	lines = append(lines, "")
	if len(r.Warnings) > 0 {
		lines = append(lines, heading("Warnings"))
		for _, s := range r.Warnings[:min(len(r.Warnings), most)] {
			for i, line := range wrap(plain(s), w-2) {
				lines = append(lines, []string{"- ", "  "}[min(i, 1)]+line)
			}
		}
		lines = append(lines, "")
	}
	return lines
}

// histogramLines draw how far the rows moved, and where the suspects are.
func histogramLines(r *scan.Report, x *index, w, h int) []string {
	lines := []string{heading("How far the rows moved")}
	if x == nil || x.lowest > x.widest {
		return append(lines, "no movement is known", "")
	}
	n := max(10, min(w-2, 100))
	counts := make([]float64, n)
	marks := make([]rune, n)
	for i := range marks {
		marks[i] = ' '
	}
	span := x.widest - x.lowest
	if span == 0 {
		span = 1
	}
	var names []string
	standing := 0
	for i, l := range x.logs {
		if math.IsNaN(l) {
			continue
		}
		b := min(n-1, int((l-x.lowest)/span*float64(n)))
		counts[b]++
		switch status := statuses[int(x.status[i])%len(statuses)]; {
		case status == scan.StatusAbnormal:
			marks[b] = '!'
		case status == scan.StatusBorderline && marks[b] != '!':
			marks[b] = '~'
		}
	}
	for _, s := range r.Suspects {
		if s.Status == scan.StatusAbnormal {
			if standing++; standing <= 5 {
				names = append(names, tokenName(s.Token, s.TokenID))
			}
		}
	}
	top := slices.Max(counts)
	for i := range counts {
		counts[i] = math.Log1p(counts[i]) / math.Log1p(max(top, 1))
	}
	for _, line := range upright(counts, h) {
		lines = append(lines, accent.Render(line))
	}
	lines = append(lines, bad.Render(string(marks)))
	left, end := number(math.Pow(10, x.lowest)), number(math.Pow(10, x.widest))
	lines = append(lines, dim.Render(left+strings.Repeat(" ", max(1, n-len(left)-len(end)))+end))
	what := "the report's " + count(len(x.rows), "suspect", "suspects")
	if x.all {
		what = count(len(x.rows), "row", "rows")
	}
	s := what + " by movement, both on a log scale"
	if m := r.Weights; m != nil {
		s += fmt.Sprintf("; %s moved, median %s, largest %s", integer(m.RowsMoved), number(m.Median), number(m.Max))
	}
	if standing > 0 {
		s += fmt.Sprintf("; ! %s abnormal: %s", integer(standing), strings.Join(names, " "))
		if standing > len(names) {
			s += " and more"
		}
	} else {
		s += "; none is abnormal"
	}
	return append(append(lines, wrap(s, w)...), "")
}

// timeLines draw where the time went.
func timeLines(r *scan.Report, stage string, w int) []string {
	lines := []string{heading("Where the time went")}
	order := []string{"checkpoint", "reference", "weights", "behaviour"}
	for _, name := range slices.Sorted(maps.Keys(r.TimingsMS)) {
		if name != "total" && !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	var sum float64
	for _, name := range order {
		sum += max(0, r.TimingsMS[name])
	}
	width := max(5, min(40, w-24))
	at := 0.0
	for _, name := range order {
		ms, ok := r.TimingsMS[name]
		if !ok || !(sum > 0) {
			continue
		}
		from := int(at / sum * float64(width))
		cells := max(1, int(math.Round(ms/sum*float64(width))))
		at += max(0, ms)
		from = min(from, width-1)
		cells = min(cells, width-from)
		lines = append(lines, dim.Render(fit(plain(name), gutter))+strings.Repeat(" ", from)+accent.Render(strings.Repeat("━", cells))+strings.Repeat(" ", width-from-cells)+" "+duration(ms))
	}
	if stage != "" {
		lines = append(lines, field("now", plain(stage), w, accent)...)
	} else if total, ok := r.TimingsMS["total"]; ok {
		lines = append(lines, dim.Render(fit("total", gutter))+duration(total))
	}
	return append(lines, "")
}

func duration(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}
