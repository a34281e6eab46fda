package tui

import (
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/scan"
)

// body is the height of the panels.
func (m *model) body() int { return max(1, m.h-4) }

// Least size of a window that is drawn in.
const leastWidth, leastHeight = 40, 10

func (m *model) View() tea.View {
	s := m.draw()
	if m.light {
		s = forLight(s)
	}
	v := tea.NewView(s)
	v.AltScreen = true
	v.MouseMode = tea.MouseModeCellMotion
	v.WindowTitle = "btu-scan triage"
	return v
}

// draw returns h lines of w columns.
func (m *model) draw() string {
	if m.w < leastWidth || m.h < leastHeight {
		return ansi.Truncate(fmt.Sprintf("%d×%d is too small: 60×20 or more", m.w, m.h), m.w, "…")
	}
	lines := []string{m.title(), m.tabs()}
	h := m.body()
	var body string
	switch {
	case m.help:
		body = m.renderHelp(m.w, h)
	case m.palette != nil:
		body = m.pad(m.palette.Render(m.w, h), h)
	default:
		body = m.panel(h)
	}
	lines = append(lines, strings.Split(body, "\n")...)
	note := fit(m.note, m.w)
	if m.noteBad {
		note = warn.Render(note)
	}
	switch {
	case m.filtering:
		note = fit(bold.Render("filter ")+m.line.Render(m.w-7, true), m.w)
	case m.form != nil:
		note = m.form.Render(m.w)
	}
	return strings.Join(append(lines, note, m.keyLine()), "\n")
}

// pad makes a panel of lines.
func (m *model) pad(lines []string, h int) string {
	top := 0
	return block(lines[:min(len(lines), h)], m.w, h, &top)
}

func (m *model) panel(h int) string {
	switch m.screen {
	case screenOverview:
		return m.overview.Render(m.report, m.x, m.scanStage(), m.scanFailed, m.w, h)
	case screenSuspects:
		return m.pad(m.renderSuspects(h), h)
	case screenToken:
		l := look{suspect: m.row(m.detail.id), report: m.report, decision: m.decided.byID[m.detail.id], said: m.decided.said(m.detail.id),
			loading: m.looking.busy, examining: m.examining.busy, lacks: m.b.Lacks(FeatureToken), lacksTry: m.b.Lacks(FeatureTry)}
		return m.detail.Render(l, m.w, h)
	case screenMap:
		return m.pad(m.scatter.Render(m.x, m.decided, m.w, h), h)
	case screenTry:
		return m.pad(m.try.Render(m.row(m.try.id), m.b.Lacks(FeatureTry), m.trying.busy, m.w, h), h)
	}
	s := state{lacks: m.b.Lacks(FeatureRepair), wait: m.wait(), planning: m.planning.busy, running: m.repairJob.busy, now: m.now()}
	if s.running {
		s.elapsed = s.now.Sub(m.repairJob.began)
	}
	return m.repair.Render(s, m.w, h)
}

// suspectsHead is what stands above the table.
func (m *model) suspectsHead() []string {
	return append([]string{""}, wrap(m.table.summary(m.x), m.w)...)
}

func (m *model) renderSuspects(h int) []string {
	if m.x == nil {
		return []string{"", "no suspects are known yet"}
	}
	lines := m.suspectsHead()
	return append(lines, m.table.Render(m.x, m.decided, m.w, h-len(lines))...)
}

func (m *model) title() string {
	left := bold.Render("btu-scan triage") + "  " + plain(m.opt.Subject)
	state := "no verdict yet"
	var v scan.Verdict
	if m.report != nil {
		v = m.report.Verdict
		state = verdictName(v)
	}
	style := verdictStyle(v)
	if s := m.scanStage(); s != "" {
		state, style = plain(s), accent
	}
	if m.repairJob.busy && m.screen != screenRepair {
		state, style = "repairing", accent
	}
	room := max(10, min(ansi.StringWidth(state), m.w-len("btu-scan triage  "))) // of a long stage the end says how far it is
	return fit(left, m.w-room-1) + " " + style.Render(fit(state, room))
}

func (m *model) tabName(s screen) string {
	switch {
	case m.w < 52 && s != m.screen:
		return fmt.Sprint(int(s) + 1)
	case m.w < 70:
		return fmt.Sprintf("%d%s", s+1, screenNames[s])
	}
	return fmt.Sprintf("%d %s", s+1, screenNames[s])
}

func (m *model) tabs() string {
	var parts []string
	for s := range screens {
		name := m.tabName(s)
		if s == m.screen && !m.help {
			parts = append(parts, bold.Render("["+name+"]"))
		} else {
			parts = append(parts, dim.Render(" "+name+" "))
		}
	}
	return fit(strings.Join(parts, ""), m.w)
}

// keyLine shows the keys that matter here, as many as fit.
func (m *model) keyLine() string {
	if m.form != nil && m.form.failed != "" {
		return warn.Render(fit(plain(m.form.failed), m.w))
	}
	keys := m.keys.short(m.screen)
	switch {
	case m.help:
		keys = []key.Binding{bind("esc", "leave the help"), m.keys.Up, m.keys.Down}
	case m.palette != nil:
		keys = []key.Binding{bind("enter", "do it"), bind("↑ ↓", "move"), bind("esc", "leave")}
	case m.filtering:
		keys = []key.Binding{bind("enter", "keep the filter"), bind("esc", "take it off"), bind("↑ ↓", "move")}
	case m.form != nil:
		keys = m.form.keys()
	case m.input() != nil:
		keys = []key.Binding{bind("enter", "done"), bind("esc", "leave")}
	}
	line, used := "", 0
	for _, k := range keys {
		h := k.Help()
		n := ansi.StringWidth(h.Key + " " + h.Desc)
		if used+n+3 > m.w {
			break
		}
		if line != "" {
			line += dim.Render(" · ")
			used += 3
		}
		line += bold.Render(h.Key) + " " + dim.Render(h.Desc)
		used += n
	}
	return fit(line, m.w)
}
