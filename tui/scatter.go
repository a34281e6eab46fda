package tui

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/scan"
)

// scatter is the map: movement against token id, a dot per row.
type scatter struct {
	id   int // of the token under the cursor
	zoom int // how often the ids that are shown were halved
	from int // the first of them; window puts it right

	canvas []string // drawn for
	drawn  struct {
		x              *index
		w, h, from, of int
	}
}

// leastShown is how many ids the map shows at least.
const leastShown = 64

// window is which ids are shown: those around the cursor, where it has left
// those that were.
func (m *scatter) window(x *index) (from, n int) {
	all := x.vocabulary()
	n = min(all, max(all>>m.zoom, leastShown))
	if m.id < m.from || m.id >= m.from+n {
		m.from = m.id - n/2
	}
	m.from = max(0, min(m.from, all-n))
	return m.from, n
}

// magnify zooms in or out around the cursor.
func (m *scatter) magnify(x *index, by int) {
	zoom := max(0, m.zoom+by)
	if zoom > m.zoom && x.vocabulary()>>zoom < leastShown {
		return
	}
	m.zoom = zoom
	m.from = -1 << 30 // the cursor is outside of that
}

// dots are the bits of a braille character by column and row.
var dots = [2][4]rune{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}

func (m *scatter) draw(x *index, w, h int) {
	from, n := m.window(x)
	before := m.drawn
	m.drawn.x, m.drawn.w, m.drawn.h, m.drawn.from, m.drawn.of = x, w, h, from, n
	if m.drawn == before {
		return
	}
	cells := make([][]rune, h)
	marks := make([][]rune, h)
	for i := range cells {
		cells[i], marks[i] = make([]rune, w), make([]rune, w)
	}
	for i, l := range x.logs {
		if id := x.rows[i].TokenID; math.IsNaN(l) || id < from || id >= from+n {
			continue
		}
		px, py := m.place(x, i, 2*w, 4*h)
		cells[py/4][px/2] |= dots[px%2][py%4]
		switch x.rows[i].Status {
		case scan.StatusAbnormal:
			marks[py/4][px/2] = '!'
		case scan.StatusBorderline:
			if marks[py/4][px/2] == 0 {
				marks[py/4][px/2] = '~'
			}
		}
	}
	m.canvas = m.canvas[:0]
	for y := range cells {
		var b strings.Builder
		for c := range cells[y] {
			switch {
			case marks[y][c] == '!':
				b.WriteString(bad.Render("!"))
			case marks[y][c] == '~':
				b.WriteString(warn.Render("~"))
			case cells[y][c] == 0:
				b.WriteByte(' ')
			default:
				b.WriteRune(0x2800 + cells[y][c])
			}
		}
		m.canvas = append(m.canvas, b.String())
	}
}

// place is where a row of the window is drawn, in a grid of w by h.
func (m *scatter) place(x *index, i int, w, h int) (px, py int) {
	from, n := m.window(x)
	px = max(0, min(w-1, (x.rows[i].TokenID-from)*w/max(1, n)))
	share := x.rows[i].Weights.Movement / math.Pow(10, x.widest)
	return px, max(0, min(h-1, int((1-share)*float64(h))))
}

// vocabulary is one more than the largest token id.
func (x *index) vocabulary() int {
	most := 0
	if o := x.orders[columnID]; len(o) > 0 {
		most = x.rows[o[len(o)-1]].TokenID
	}
	return most + 1
}

// step moves the cursor by columns, to the token there that moved most, and the
// window where it ends.
func (m *scatter) step(x *index, by, w int) {
	from, n := m.window(x)
	order := x.orders[columnID] // ascending
	column := func(id int) int { return floorDiv((id-from)*w, n) }
	for c := column(m.id) + by; ; c += sign1(by) {
		if c < 0 || c >= w {
			last := from
			m.from = from + sign1(by)*max(1, n/2)
			if from = max(0, min(m.from, x.vocabulary()-n)); from == last {
				m.from = from
				return
			}
			m.from = from
			c = column(m.id) + by
		}
		best, at := math.Inf(-1), -1
		first, _ := slices.BinarySearchFunc(order, c, func(i int32, c int) int { return column(x.ids[i]) - c })
		for _, i := range order[first:] {
			if column(x.ids[i]) != c {
				break
			}
			if l := x.logs[i]; l > best {
				best, at = l, x.ids[i]
			}
		}
		if at >= 0 {
			m.id = at
			return
		}
	}
}

// floorDiv rounds down, where / rounds to 0: ids left of the window are in
// columns below 0.
func floorDiv(a, b int) int {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

func sign1(x int) int {
	if x < 0 {
		return -1
	}
	return 1
}

const axis = 9 // columns of the numbers beside the map

func (m *scatter) Render(x *index, decided *decisions, w, h int) []string {
	lines := []string{"", heading("Movement by token id") + dim.Render("  low ids are frequent tokens in most vocabularies")}
	if x == nil || x.lowest > x.widest {
		return append(lines, "no movement is known")
	}
	from, n := m.window(x)
	if m.zoom > 0 {
		lines[1] = heading("Movement by token id") + dim.Render(fmt.Sprintf("  %s of %s ids, - shows more", integer(n), integer(x.vocabulary())))
	}
	cw, ch := max(10, w-axis-1), max(3, h-8)
	m.draw(x, cw, ch)
	cx, cy := -1, -1
	var s *scan.Suspect
	if i, ok := x.at[m.id]; ok {
		s = &x.rows[i]
		if l := x.logs[i]; !math.IsNaN(l) {
			cx, cy = m.place(x, int(i), cw, ch)
		}
	}
	for y, line := range m.canvas {
		label := ""
		switch y {
		case 0:
			label = number(math.Pow(10, x.widest))
		case ch / 2:
			label = number(math.Pow(10, x.widest) / 2)
		case ch - 1:
			label = "0"
		}
		if y == cy {
			line = cutCell(line, cx, cw)
		}
		lines = append(lines, dim.Render(right(label, axis))+" "+line)
	}
	under := []rune(strings.Repeat(" ", cw))
	if cx >= 0 {
		under[cx] = '▲'
	}
	lines = append(lines, strings.Repeat(" ", axis+1)+bold.Render(string(under)))
	begin, end := integer(from), integer(from+n-1)
	lines = append(lines, dim.Render(strings.Repeat(" ", axis+1)+begin+strings.Repeat(" ", max(1, cw-len(begin)-len(end)))+end))
	lines = append(lines, m.say(x, s, decided, w)...)
	return lines
}

// say says the same in words.
func (m *scatter) say(x *index, s *scan.Suspect, decided *decisions, w int) []string {
	if s == nil {
		return wrap("the cursor is at no token; ] goes to the next suspect, ← and → go by columns", w)
	}
	rank := "not ranked"
	if s.Rank > 0 {
		rank = fmt.Sprintf("rank %d, %s", s.Rank, plain(string(s.Status)))
	}
	t := fmt.Sprintf("▲ %s, token %d: moved %s, %s", tokenName(s.Token, s.TokenID), s.TokenID, number(s.Weights.Movement), rank)
	if said := decided.said(s.TokenID); said != "" {
		t += "; " + said
	}
	return wrap(t+fmt.Sprintf(". %s on the map, %s abnormal (!)", count(len(x.rows), "row", "rows"), integer(x.abnormal)), w)
}

// cutCell shows one cell of a line in reverse.
func cutCell(line string, at, w int) string {
	return ansi.Cut(line, 0, at) + selected.Render(ansi.Strip(ansi.Cut(line, at, at+1))) + ansi.Cut(line, at+1, w)
}
