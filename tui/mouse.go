package tui

import (
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// wheelStep is how many lines a notch of the wheel moves.
const wheelStep = 3

// wheel scrolls as the arrow keys do.
func (m *model) wheel(b tea.MouseButton) tea.Cmd {
	name := "down"
	switch b {
	case tea.MouseWheelUp:
		name = "up"
	case tea.MouseWheelDown:
	default:
		return nil
	}
	if m.input() != nil && !m.filtering && m.palette == nil {
		return nil // the arrows are the line's
	}
	var cmds []tea.Cmd
	for range wheelStep {
		cmds = append(cmds, m.key(keyPress(name)))
	}
	return tea.Batch(cmds...)
}

// click chooses a screen, a row of the table or an action; on the row that is
// chosen already it opens that.
func (m *model) click(x, y int) tea.Cmd {
	const head = 2 // the title and the screens
	switch {
	case m.help || m.form != nil:
	case m.palette != nil:
		p := m.palette
		if k := p.top + y - head - paletteHead; y >= head+paletteHead && k < len(p.shown) && y < m.h-2 {
			p.cursor = k
			return m.act(p.shown[k])
		}
	case y == 1:
		if s, ok := m.tabAt(x); ok && m.input() == nil {
			return m.show(s)
		}
	case m.screen == screenSuspects && m.x != nil:
		t := &m.table
		first := head + len(m.suspectsHead()) + 1 // and the titles of the columns
		k := t.top + y - first
		if y < first || y >= first+t.height || k >= len(t.view) {
			return nil
		}
		if k == t.cursor {
			m.filtering = false
			return m.show(screenToken)
		}
		t.move(m.x, k-t.cursor)
	}
	return nil
}

// tabAt is the screen whose name is at a column of the second line.
func (m *model) tabAt(x int) (screen, bool) {
	at := 0
	for s := range screens {
		if at += ansi.StringWidth(m.tabName(s)) + 2; x < at {
			return s, true
		}
	}
	return 0, false
}
