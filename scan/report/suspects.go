package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/btu-scan/btu-scan/scan"
)

const (
	maxToken   = 1024 // bytes of a token that are looked at
	widestCell = 40   // columns of a token
	barCells   = 8
)

// suspects writes the ranked tokens.
func (t *text) suspects() {
	if w := t.Weights; w != nil {
		t.field(field{label: "movement", text: fmt.Sprintf("%s of %s rows moved, median %s, largest %s", integer(w.RowsMoved), integer(w.RowsMoved+w.RowsSame),
			decimal(w.Median, decimals([]float64{w.Median})), decimal(w.Max, decimals([]float64{w.Max})))})
		if w.Drift {
			t.field(field{text: "all rows drifted with the output projection: movement ranks, its scale says little"})
		}
		by := "too few rows moved to say what is unusual among them"
		if w.Abnormal > 0 {
			by = fmt.Sprintf("one token alone is natural up to score %s and abnormal from %s; several are judged together", decimal(w.Natural, 2), decimal(w.Abnormal, 2))
		}
		if w.Score != scan.ScoreZ {
			by = fmt.Sprintf("ranked by %s; marked by z: %s", w.Score, by)
		}
		t.field(field{label: "limits", text: by})
	}
	if len(t.Suspects) == 0 {
		if t.Weights != nil {
			t.field(field{label: "suspects", text: "none"})
			t.blank()
		}
		return
	}
	shown := t.Suspects[:min(t.opt.Top, len(t.Suspects))]
	t.field(field{label: "suspects", text: t.legend(len(shown))})
	table, width := t.table(shown), t.opt.Width-2
	if s := t.meanings(table.fit(width)); s != "" {
		t.field(field{text: s})
	}
	t.blank()
	for _, line := range table.render(width, t.style) {
		t.line("  " + line)
	}
	t.notes(shown)
	t.blank()
}

// legend explains the marks and says how many of each there are.
func (t *text) legend(shown int) string {
	n := map[scan.SuspectStatus]int{}
	for _, s := range t.Suspects {
		n[s.Status]++
	}
	s := fmt.Sprintf("! %s abnormal, ~ %s borderline, %s natural", integer(n[scan.StatusAbnormal]), integer(n[scan.StatusBorderline]), integer(n[scan.StatusNatural]))
	if k := n[scan.StatusNeutral]; k > 0 {
		s += fmt.Sprintf(", = %s overwritten", integer(k))
	}
	if shown < len(t.Suspects) {
		s += fmt.Sprintf("; the first %s of %s", integer(shown), integer(len(t.Suspects)))
	}
	return s
}

// mark is the symbol of a status, so that colour never says anything alone.
func mark(s scan.SuspectStatus) (string, paint) {
	switch s {
	case scan.StatusAbnormal:
		return "!", style.red
	case scan.StatusBorderline:
		return "~", style.yellow
	case scan.StatusNatural:
		return " ", style.none
	case scan.StatusNeutral:
		return "=", style.none
	}
	return "?", style.none
}

// table has the columns that the report has numbers for.
func (t *text) table(suspects []scan.Suspect) table {
	var limit float64 // of the bars
	for _, s := range suspects {
		if !math.IsInf(s.Score, 0) {
			limit = math.Max(limit, s.Score)
		}
	}
	status := func(row int) paint { _, p := mark(suspects[row].Status); return p }
	strings := func(title string, keep int, f func(s scan.Suspect) string) *column {
		c := &column{title: title, keep: keep}
		for _, s := range suspects {
			c.cells = append(c.cells, f(s))
		}
		return c
	}
	numbers := func(title string, keep, most int, f func(s scan.Suspect) float64) *column {
		var xs []float64
		for _, s := range suspects {
			xs = append(xs, f(s))
		}
		c, d := &column{title: title, keep: keep, right: true}, min(decimals(xs), most)
		for _, x := range xs {
			c.cells = append(c.cells, decimal(x, d))
		}
		return c
	}

	rank := strings("#", 0, func(s scan.Suspect) string { m, _ := mark(s.Status); return strconv.Itoa(s.Rank) + " " + m })
	token := strings("token", 0, func(s scan.Suspect) string { return shorten(cell(s.Token), widestCell) })
	id := strings("id", 90, func(s scan.Suspect) string { return strconv.Itoa(s.TokenID) })
	score := strings("score", 0, func(s scan.Suspect) string { return decimal(s.Score, 2) })
	bars := strings("", 30, func(s scan.Suspect) string { return bar(s.Score, limit, barCells) })
	rank.title, rank.right, id.right, score.right = "# ", true, true, true
	rank.paint, bars.paint, token.flex = status, status, 16
	cols := table{rank, token, id, score, bars}

	if watched(suspects) {
		cols = append(cols, t.behaviourColumns(strings)...)
	}
	cols = append(cols, numbers("moved", 40, 6, func(s scan.Suspect) float64 { return s.Weights.Movement }))
	if w := t.Weights; w != nil && w.Median > 0 {
		cols = append(cols, numbers("×median", 60, 1, func(s scan.Suspect) float64 { return s.Weights.Movement / w.Median }))
	}
	if w := t.Weights; w != nil && w.Abnormal > 0 {
		expected := strings("expected", 50, func(s scan.Suspect) string { return strconv.FormatFloat(s.Weights.Expected, 'g', 2, 64) })
		expected.right = true
		cols = append(cols, expected)
	}
	cols = append(cols, numbers("rot°", 20, 1, func(s scan.Suspect) float64 { return s.Weights.Rotation }))
	if t.opt.Verbose {
		cols = append(cols,
			numbers("z like", 9, 2, func(s scan.Suspect) float64 { return s.Weights.ZLike }),
			numbers("z", 9, 2, func(s scan.Suspect) float64 { return s.Weights.Z }),
			numbers("relative", 8, 4, func(s scan.Suspect) float64 { return s.Weights.Relative }),
			numbers("length±", 7, 4, func(s scan.Suspect) float64 { return s.Weights.NormChange }),
			numbers("coherence", 6, 3, func(s scan.Suspect) float64 { return s.Weights.Coherence }))
	}
	seen := strings("seen", 10, func(s scan.Suspect) string { return yesNo(s.Weights.Seen) })
	seen.right = true
	return append(cols, seen)
}

// cell is a token in a table. Letters written from right to left would let a
// terminal reorder the numbers beside them, so they are escaped here; notes
// shows them.
func cell(token string) string {
	switch token = clip(token, maxToken); {
	case token == "":
		return "(no name)"
	case rightToLeft(token):
		return strconv.QuoteToASCII(token)
	}
	return quote(token)
}

// notes writes what is known about the abnormal tokens, and right-to-left
// tokens as they look, at the ends of lines.
func (t *text) notes(suspects []scan.Suspect) {
	var lines []string
	for _, s := range suspects {
		name := fmt.Sprintf("%d %s: ", s.Rank, shorten(cell(s.Token), 24))
		if s.Status == scan.StatusAbnormal {
			for _, note := range s.Notes {
				lines = append(lines, name+note)
			}
		}
		if token := clip(s.Token, maxToken); rightToLeft(token) {
			lines = append(lines, name+"reads "+quote(token))
		}
	}
	if len(lines) > 0 {
		t.blank()
		t.list("notes", len(lines), func(i int) field { return field{text: lines[i], hang: 2} })
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
