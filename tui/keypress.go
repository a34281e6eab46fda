package tui

import (
	"path/filepath"
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// key handles a key press.
func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	if key.Matches(k, m.keys.Interrupt) {
		if m.repairJob.busy {
			m.cancelRepair()
			return nil
		}
		return tea.Quit
	}
	m.note = ""
	if m.palette != nil {
		return m.paletteKey(k)
	}
	if in := m.input(); in != nil && !m.help {
		return m.typing(in, k)
	}
	if m.help {
		return m.helpKey(k)
	}
	switch {
	case key.Matches(k, m.keys.Quit):
		if m.repairJob.busy {
			m.say(true, "a repair is running: esc cancels it")
			return nil
		}
		return tea.Quit
	case key.Matches(k, m.keys.Help):
		m.help, m.helpTop = true, 0
		return nil
	case key.Matches(k, m.keys.Palette):
		m.palette = newPalette(&m.keys)
		return nil
	case key.Matches(k, m.keys.Escape):
		return m.escape()
	case key.Matches(k, m.keys.Next):
		return m.show((m.screen + 1) % screens)
	case key.Matches(k, m.keys.Previous):
		return m.show((m.screen + screens - 1) % screens)
	case key.Matches(k, m.keys.Rescan):
		switch {
		case m.b.Lacks(FeatureRescan) != "":
			m.say(true, "no scan: %s", m.b.Lacks(FeatureRescan))
		case m.scanning.busy:
			m.say(true, "a scan is running: esc on the overview stops it")
		case m.repairJob.busy:
			m.say(true, "a repair is running: esc cancels it")
		default:
			return m.startScan()
		}
		return nil
	}
	for s, b := range []key.Binding{m.keys.Overview, m.keys.Suspects, m.keys.Token, m.keys.Map, m.keys.Try, m.keys.Repair} {
		if key.Matches(k, b) {
			return m.show(screen(s))
		}
	}
	if cmd, done := m.decide(k); done {
		return cmd
	}
	switch m.screen {
	case screenOverview:
		m.scroll(k, &m.overview.from)
	case screenSuspects:
		return m.suspectsKey(k)
	case screenToken:
		if cmd, done := m.neighbour(k); done {
			return cmd
		}
		m.scroll(k, &m.detail.from)
	case screenMap:
		return m.mapKey(k)
	case screenTry:
		if cmd, done := m.neighbour(k); done {
			return cmd
		}
		if key.Matches(k, m.keys.Edit) {
			if why := m.b.Lacks(FeatureTry); why != "" {
				m.say(true, "no text can be tried: %s", why)
				return nil
			}
			m.try.editing = true
		}
	case screenRepair:
		return m.repairKey(k)
	}
	return nil
}

// input is the line that is typed in, nil if none is.
func (m *model) input() *lineInput {
	switch {
	case m.palette != nil:
		return &m.palette.input
	case m.filtering:
		return &m.line
	case m.form != nil:
		return m.form.input()
	case m.screen == screenTry && m.try.editing:
		return &m.try.input
	case m.screen == screenRepair && m.repair.editing:
		return &m.repair.input
	}
	return nil
}

// typing edits a line.
func (m *model) typing(in *lineInput, k tea.KeyPressMsg) tea.Cmd {
	if m.form != nil {
		m.form.failed = ""
	}
	switch k.String() {
	case "esc":
		switch {
		case m.filtering:
			m.table.filter.text = ""
			m.refilter()
		case m.screen == screenRepair:
			m.say(false, "the output stays")
		}
		m.filtering, m.form, m.try.editing, m.repair.editing = false, nil, false, false
		return nil
	case "enter":
		switch {
		case m.filtering:
			m.filtering = false
		case m.form != nil:
			return m.formDone()
		case m.screen == screenTry:
			m.try.editing = false
		case m.screen == screenRepair:
			m.repair.editing = false
			if out := strings.TrimSpace(in.String()); out != "" {
				m.repair.out = filepath.Clean(out)
				return m.startPlan()
			}
		}
		return nil
	case "tab", "shift+tab":
		if m.form != nil {
			m.form.onExpiry = !m.form.onExpiry
		}
		return nil
	case "up", "down", "pgup", "pgdown":
		if m.filtering {
			return m.suspectsKey(k)
		}
		return nil
	}
	if in.key(k) {
		return m.typed()
	}
	return nil
}

// typed reacts to a change of the line that is typed in.
func (m *model) typed() tea.Cmd {
	switch {
	case m.palette != nil:
		m.palette.refresh()
	case m.filtering:
		m.table.filter.text = m.line.String()
		m.refilter()
	case m.screen == screenTry && m.try.editing:
		return m.startTry()
	}
	return nil
}

// escape cancels what runs, or goes back.
func (m *model) escape() tea.Cmd {
	switch {
	case m.repairJob.busy:
		m.cancelRepair()
	case m.screen == screenOverview && m.scanning.busy:
		m.scanning.stop()
		m.say(false, "stopping the scan …")
	case m.screen == screenToken || m.screen == screenMap || m.screen == screenTry:
		return m.show(screenSuspects)
	case m.screen != screenOverview:
		return m.show(screenOverview)
	}
	return nil
}

// scroll moves a panel.
func (m *model) scroll(k tea.KeyPressMsg, from *int) {
	page := max(1, m.body()-2)
	switch {
	case key.Matches(k, m.keys.Up):
		*from = max(0, *from-1)
	case key.Matches(k, m.keys.Down):
		*from++
	case key.Matches(k, m.keys.PageUp):
		*from = max(0, *from-page)
	case key.Matches(k, m.keys.PageDown):
		*from += page
	case key.Matches(k, m.keys.Top):
		*from = 0
	case key.Matches(k, m.keys.Bottom):
		*from = 1 << 20
	}
}

func (m *model) suspectsKey(k tea.KeyPressMsg) tea.Cmd {
	t := &m.table
	switch {
	case key.Matches(k, m.keys.Up):
		t.move(m.x, -1)
	case key.Matches(k, m.keys.Down):
		t.move(m.x, 1)
	case key.Matches(k, m.keys.PageUp):
		t.move(m.x, -max(1, t.height))
	case key.Matches(k, m.keys.PageDown):
		t.move(m.x, max(1, t.height))
	case key.Matches(k, m.keys.Top):
		t.move(m.x, -1<<30)
	case key.Matches(k, m.keys.Bottom):
		t.move(m.x, 1<<30)
	case key.Matches(k, m.keys.Open):
		return m.show(screenToken)
	case key.Matches(k, m.keys.Filter):
		m.filtering = true
		m.line.set(t.filter.text)
	case key.Matches(k, m.keys.Sort):
		t.sort, t.reverse = (t.sort+1)%columnCount, false
		m.refilter()
	case key.Matches(k, m.keys.Reverse):
		t.reverse = !t.reverse
		m.refilter()
	case key.Matches(k, m.keys.Status):
		t.filter.status = statuses[(slices.Index(statuses, t.filter.status)+1)%len(statuses)]
		m.refilter()
	case key.Matches(k, m.keys.Seen):
		t.filter.seen = (t.filter.seen + 1) % 3
		m.refilter()
	case key.Matches(k, m.keys.Marked):
		t.filter.marked = (t.filter.marked + 1) % markedStates
		m.refilter()
	case key.Matches(k, m.keys.Class):
		if m.x != nil {
			for range classes { // the next that there is
				t.filter.class = (t.filter.class + 1) % classes
				if t.filter.class == classAny || m.x.present[t.filter.class] {
					break
				}
			}
		}
		m.refilter()
	case key.Matches(k, m.keys.Clear):
		t.filter = filter{}
		m.refilter()
	default:
		return nil
	}
	return nil
}

// neighbour goes to the suspect after or before, in the order of the table.
func (m *model) neighbour(k tea.KeyPressMsg) (tea.Cmd, bool) {
	by := 0
	switch {
	case key.Matches(k, m.keys.NextSuspect):
		by = 1
	case key.Matches(k, m.keys.PreviousSuspect):
		by = -1
	default:
		return nil, false
	}
	if m.x == nil || len(m.table.view) == 0 {
		m.say(true, "no row passes the filters of the suspects")
		return nil, true
	}
	if s := m.current(); s != nil {
		if at := m.table.at(m.x); at == nil || at.TokenID != s.TokenID {
			if k := slices.Index(m.table.view, m.x.at[s.TokenID]); k >= 0 {
				m.table.cursor = k
			}
		}
		m.table.move(m.x, by)
	}
	id := m.table.at(m.x).TokenID
	switch m.screen {
	case screenToken:
		return m.look(id), true
	case screenTry:
		m.try.id, m.try.with = id, nil
		return m.startTry(), true
	}
	m.scatter.id = id
	return nil, true
}

func (m *model) mapKey(k tea.KeyPressMsg) tea.Cmd {
	if m.x == nil {
		return nil
	}
	if cmd, done := m.neighbour(k); done {
		return cmd
	}
	switch {
	case key.Matches(k, m.keys.Left):
		m.scatter.step(m.x, -1, max(10, m.w-axis-1))
	case key.Matches(k, m.keys.Right):
		m.scatter.step(m.x, 1, max(10, m.w-axis-1))
	case key.Matches(k, m.keys.ZoomIn):
		m.scatter.magnify(m.x, 1)
	case key.Matches(k, m.keys.ZoomOut):
		m.scatter.magnify(m.x, -1)
	case key.Matches(k, m.keys.Open):
		return m.show(screenToken)
	}
	return nil
}
