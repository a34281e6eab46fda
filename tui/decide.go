package tui

import (
	"fmt"
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// readDecisions names what is looked at, and reads what was decided about it.
func (m *model) readDecisions() tea.Cmd {
	return m.crew.cmd(func() tea.Msg {
		d, err := m.b.Digest(m.ctx)
		if err != nil {
			return digestMsg{err: err}
		}
		t, err := triagefile.Read(m.opt.Triage)
		return digestMsg{digest: d, t: t, err: err}
	})
}

// decide records what the user says of a token.
func (m *model) decide(k tea.KeyPressMsg) (tea.Cmd, bool) {
	var mark triagefile.Mark
	switch {
	case key.Matches(k, m.keys.Undo):
		if m.decisionsWait != "" {
			m.say(true, "nothing can be decided: %s", m.decisionsWait)
			return nil, true
		}
		id, ok := m.decided.back()
		if !ok {
			m.say(true, "nothing to undo")
			return nil, true
		}
		name := fmt.Sprintf("token %d", id)
		if s := m.row(id); s != nil {
			name = tokenName(s.Token, id)
		}
		m.say(false, "undone: %s", name)
		m.refresh()
		return m.save(), true
	case key.Matches(k, m.keys.Trigger):
		mark = triagefile.MarkTrigger
	case key.Matches(k, m.keys.Benign):
		mark = triagefile.MarkBenign
	case key.Matches(k, m.keys.Unsure):
		mark = triagefile.MarkUnsure
	case key.Matches(k, m.keys.Unmark), key.Matches(k, m.keys.Note):
	default:
		return nil, false
	}
	s := m.current()
	switch {
	case s == nil:
		m.say(true, "choose a token first: 2 lists the suspects")
		return nil, true
	case m.decisionsWait != "":
		m.say(true, "nothing can be decided: %s", m.decisionsWait)
		return nil, true
	}
	d := m.decided.byID[s.TokenID]
	if key.Matches(k, m.keys.Note) {
		m.form = newNoteForm(s.TokenID, d)
		return nil, true
	}
	if d.Expired(m.now()) {
		d.Expires = "" // it is decided anew
	}
	d.Mark = mark
	if key.Matches(k, m.keys.Unmark) {
		d = decision{}
	}
	return m.record(s, d), true
}

// record keeps a decision and saves it.
func (m *model) record(s *scan.Suspect, d decision) tea.Cmd {
	d.TokenID, d.Token, d.Rule = s.TokenID, report.Plain(s.Token), m.rule(s.TokenID)
	m.decided.put(d)
	what := string(d.Mark)
	if what == "" {
		what = "no mark"
	}
	if d.Expires != "" {
		what += " until " + string(d.Expires)
	}
	if d.Note != "" {
		what += ", with a note"
	}
	m.say(false, "%s: %s; u takes it back", tokenName(s.Token, s.TokenID), what)
	if m.table.filter.marked > 0 {
		m.refresh()
	}
	return m.save()
}

// rule is the finding that a token is in: a proved trigger before others.
func (m *model) rule(id int) string {
	if m.report == nil {
		return ""
	}
	for _, t := range m.report.Triggers {
		if slices.Contains(t.TokenIDs, id) {
			return scan.RuleTrigger
		}
	}
	for _, f := range m.report.Findings {
		if slices.Contains(f.TokenIDs, id) {
			return report.Plain(f.Rule)
		}
	}
	return ""
}

func (m *model) save() tea.Cmd {
	save := m.decided.save()
	return m.crew.cmd(func() tea.Msg { return savedMsg{save()} })
}
