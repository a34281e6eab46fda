package tui

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/scan"
)

// A column of the table of suspects.
type column int

const (
	columnRank column = iota
	columnToken
	columnScore
	columnMovement
	columnFlip
	columnRotation
	columnCoherence
	columnID
	columnCount
)

var columnTitles = [columnCount]string{"rank", "token", "score", "moved", "flips", "rotation", "coherence", "id"}

// ascending reports whether small values come first.
func (c column) ascending() bool { return c == columnRank || c == columnID }

func (c column) value(s *scan.Suspect) float64 {
	switch c {
	case columnRank:
		if s.Rank == 0 {
			return math.Inf(1)
		}
		return float64(s.Rank)
	case columnScore:
		if s.Rank == 0 {
			return math.Inf(-1)
		}
		return s.Score
	case columnMovement:
		return s.Weights.Movement
	case columnFlip:
		if s.Behaviour == nil {
			return math.Inf(-1)
		}
		return s.Behaviour.FlipRate
	case columnRotation:
		return s.Weights.Rotation
	case columnCoherence:
		return s.Weights.Coherence
	}
	return float64(s.TokenID)
}

// table is the list of suspects: which rows are shown, and which one is meant.
type table struct {
	sort    column
	reverse bool
	filter  filter
	view    []int32
	cursor  int // in view
	wanted  int // token that the user went to: filters that let it through come back to it
	top     int // first row on the screen
	height  int // rows on the screen, of the last Render
}

// refresh filters anew and stays at the wanted token if it is there.
func (t *table) refresh(x *index, decided *decisions) {
	t.view = x.view(t.view[:0], t.sort, t.reverse, t.filter, decided)
	if i, ok := x.at[t.wanted]; ok {
		for k, row := range t.view {
			if row == i {
				t.cursor = k
				return
			}
		}
	}
	t.cursor = max(0, min(t.cursor, len(t.view)-1))
}

func (t *table) move(x *index, by int) {
	t.cursor = max(0, min(t.cursor+by, len(t.view)-1))
	if s := t.at(x); s != nil {
		t.wanted = s.TokenID
	}
}

// at is the row under the cursor, nil if there is none.
func (t *table) at(x *index) *scan.Suspect {
	if x == nil || t.cursor >= len(t.view) {
		return nil
	}
	return &x.rows[t.view[t.cursor]]
}

// summary says in words what the table shows.
func (t *table) summary(x *index) string {
	arrow := "largest first"
	if t.sort == columnToken {
		arrow = "a to z"
	} else if t.sort.ascending() {
		arrow = "lowest first"
	}
	if t.reverse {
		arrow = "reversed"
	}
	what := "suspects of the report"
	if x.all {
		what = "rows"
	}
	s := fmt.Sprintf("%s of %s %s, by %s, %s", integer(len(t.view)), integer(len(x.rows)), what, columnTitles[t.sort], arrow)
	var only []string
	if f := t.filter; !f.any() {
		if f.text != "" {
			only = append(only, "text "+plain(strconv.Quote(f.text)))
		}
		if f.status != "" {
			only = append(only, string(f.status))
		}
		only = append(only, []string{"", "seen in tuning", "unseen"}[f.seen])
		if f.class != classAny {
			only = append(only, f.class.String())
		}
		only = append(only, []string{"", "decided", "expired", "undecided"}[f.marked])
	}
	var kept []string
	for _, o := range only {
		if o != "" {
			kept = append(kept, o)
		}
	}
	if len(kept) > 0 {
		s += "; only " + strings.Join(kept, ", ")
	}
	return s
}

// A cell of the table: a title, a width and a text per row.
type cell struct {
	title string
	col   column // sorted by it; -1 for none
	width int
	left  bool
	text  func(s *scan.Suspect) string
}

const leastToken = 14

// cells are the columns that fit, the most telling first to stay.
func (t *table) cells(x *index, decided *decisions, w int) []cell {
	flip := func(s *scan.Suspect) string {
		if s.Behaviour == nil {
			return "-"
		}
		return percent(s.Behaviour.FlipRate)
	}
	all := []struct {
		cell
		keep int // higher stays longer
	}{
		{cell{"", -1, 1, true, func(s *scan.Suspect) string { return decided.sign(s.TokenID) }}, 100},
		{cell{"rank", columnRank, 7, false, func(s *scan.Suspect) string {
			if s.Rank == 0 {
				return "- " + sign(s.Status)
			}
			return strconv.Itoa(s.Rank) + " " + sign(s.Status)
		}}, 100},
		{cell{"token", columnToken, leastToken, true, func(s *scan.Suspect) string { return tokenName(s.Token, s.TokenID) }}, 100},
		{cell{"score", columnScore, 7, false, func(s *scan.Suspect) string {
			if s.Rank == 0 {
				return "-"
			}
			return strconv.FormatFloat(s.Score, 'f', 2, 64)
		}}, 90},
		{cell{"moved", columnMovement, 8, false, func(s *scan.Suspect) string { return number(s.Weights.Movement) }}, 80},
		{cell{"flips", columnFlip, 6, false, flip}, 95},
		{cell{"to", -1, 12, true, func(s *scan.Suspect) string {
			if s.Behaviour == nil || s.Behaviour.FlipRate == 0 {
				return ""
			}
			return plain(s.Behaviour.TargetLabel)
		}}, 60},
		{cell{"rot °", columnRotation, 6, false, func(s *scan.Suspect) string { return strconv.FormatFloat(s.Weights.Rotation, 'f', 1, 64) }}, 50},
		{cell{"coher", columnCoherence, 6, false, func(s *scan.Suspect) string { return strconv.FormatFloat(s.Weights.Coherence, 'f', 2, 64) }}, 40},
		{cell{"id", columnID, 7, false, func(s *scan.Suspect) string { return strconv.Itoa(s.TokenID) }}, 70},
		{cell{"seen", -1, 4, true, func(s *scan.Suspect) string {
			if s.Weights.Seen {
				return "yes"
			}
			return "no"
		}}, 30},
		{cell{"class", -1, 9, true, func(s *scan.Suspect) string { return x.class[x.at[s.TokenID]].String() }}, 20},
		{cell{"status", -1, 10, true, func(s *scan.Suspect) string {
			if s.Rank == 0 && s.Status == "" {
				return "unranked"
			}
			return plain(string(s.Status))
		}}, 65},
	}
	var total, least int
	for least = 0; least <= 100; least += 5 {
		total = 0
		for _, c := range all {
			if c.keep >= least {
				total += c.width + 1
			}
		}
		if total-1 <= w {
			break
		}
	}
	var cells []cell
	for _, c := range all {
		if c.keep >= least {
			cells = append(cells, c.cell)
		}
	}
	for i := range cells {
		if cells[i].col == columnToken {
			cells[i].width = min(44, leastToken+max(0, w-total+1))
		}
	}
	return cells
}

// Render draws the rows on the screen, and no others.
func (t *table) Render(x *index, decided *decisions, w, h int) []string {
	lines := make([]string, 0, h)
	cells := t.cells(x, decided, w)
	var head strings.Builder
	for _, c := range cells {
		title := c.title
		if c.col == t.sort {
			arrow := "↓"
			if t.reverse != t.sort.ascending() {
				arrow = "↑"
			}
			title = title + arrow
		}
		head.WriteString(align(title, c) + " ")
	}
	lines = append(lines, bold.Render(fit(strings.TrimSuffix(head.String(), " "), w)))
	t.height = max(1, h-1)
	if t.cursor < t.top {
		t.top = t.cursor
	}
	if t.cursor >= t.top+t.height {
		t.top = t.cursor - t.height + 1
	}
	t.top = max(0, min(t.top, len(t.view)-t.height))
	for k := t.top; k < min(len(t.view), t.top+t.height); k++ {
		s := &x.rows[t.view[k]]
		var b strings.Builder
		for _, c := range cells {
			b.WriteString(align(c.text(s), c) + " ")
		}
		line := fit(strings.TrimSuffix(b.String(), " "), w)
		if k == t.cursor {
			line = selected.Render(line)
		} else if s.Status == scan.StatusAbnormal || s.Status == scan.StatusBorderline {
			line = statusStyle(s.Status).Render(line)
		}
		lines = append(lines, line)
	}
	if len(t.view) == 0 {
		lines = append(lines, "", "  "+dim.Render("no row passes the filters; 0 takes them off"))
	}
	return lines
}

func align(s string, c cell) string {
	if c.left {
		return fit(s, c.width)
	}
	if ansi.StringWidth(s) > c.width {
		return fit(s, c.width)
	}
	return right(s, c.width)
}
