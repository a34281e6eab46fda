package report

import (
	"slices"
	"strings"
)

// gap separates the columns of a table.
const gap = 2

// A column is one column of a table with all its cells.
type column struct {
	title string
	cells []string
	right bool // aligned
	flex  int  // the cells may be shortened to this many columns; 0: never
	// keep orders the columns by importance: where the table is too wide the
	// one that is least goes first. Zero stays.
	keep  int
	paint func(row int) paint // optional
}

func (c *column) width() int {
	w := displayWidth(c.title)
	for _, cell := range c.cells {
		w = max(w, displayWidth(cell))
	}
	return w
}

// A table is columns of equal length.
type table []*column

// fit drops columns and shortens flexible ones until the rows take no more
// than width cells. It returns the columns that are left and their widths.
func (t table) fit(width int) (table, []int) {
	t = slices.Clone(t)
	for {
		widths := make([]int, len(t))
		least, sum, slack := -1, gap*(len(t)-1), 0
		for i, c := range t {
			widths[i] = c.width()
			sum += widths[i]
			if c.flex > 0 {
				slack += max(0, widths[i]-max(c.flex, displayWidth(c.title)))
			}
			if c.keep > 0 && (least < 0 || c.keep < t[least].keep) {
				least = i
			}
		}
		if over := sum - width; over <= slack || least < 0 {
			for i, c := range t {
				if c.flex > 0 && over > 0 {
					floor := c.flex
					if over > slack { // there is nothing left to drop
						floor = 1
					}
					cut := min(over, max(0, widths[i]-floor))
					widths[i], over = widths[i]-cut, over-cut
				}
			}
			return t, widths
		}
		t = slices.Delete(t, least, least+1)
	}
}

// render gives the lines of the table, the titles first, none wider than
// width and none with blanks at its end.
func (t table) render(width int, st style) []string {
	t, widths := t.fit(width)
	lines := make([]string, 0, 1+len(t[0].cells))
	for row := -1; row < len(t[0].cells); row++ {
		var b strings.Builder
		blanks := 0
		for i, c := range t {
			text, p := c.title, style.dim
			if row >= 0 {
				text, p = c.cells[row], style.none
				if c.paint != nil {
					p = c.paint(row)
				}
			}
			cell := pad(shorten(text, widths[i]), widths[i], c.right)
			body := strings.Trim(cell, " ")
			lead := len(cell) - len(strings.TrimLeft(cell, " "))
			if body != "" {
				b.WriteString(strings.Repeat(" ", blanks+lead))
				b.WriteString(p(st, body))
				blanks = len(cell) - lead - len(body)
			} else {
				blanks += len(cell)
			}
			blanks += gap
		}
		lines = append(lines, b.String())
	}
	return lines
}
