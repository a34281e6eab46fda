package tui

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"github.com/btu-scan/btu-scan/scan/report"
)

// A noteForm is the line in which a note is typed, and until when the decision
// counts. It is about one token, wherever the cursor goes.
type noteForm struct {
	id       int
	note     lineInput
	expires  lineInput
	onExpiry bool // the cursor is there
	failed   string
}

func newNoteForm(id int, d decision) *noteForm {
	f := &noteForm{id: id}
	f.note.set(d.Note)
	f.expires.set(string(d.Expires))
	return f
}

func (f *noteForm) input() *lineInput {
	if f.onExpiry {
		return &f.expires
	}
	return &f.note
}

// Render is one line of w columns.
func (f *noteForm) Render(w int) string {
	const date = 13 // and what is seen behind it
	until := "expires "
	expires := f.expires.Render(date, f.onExpiry)
	if !f.onExpiry && len(f.expires.value) == 0 {
		expires = dim.Render(fit("never", date))
	}
	n := w - len("note ") - len(until) - date - 2
	return fit(bold.Render("note ")+fit(f.note.Render(n, !f.onExpiry), n)+"  "+bold.Render(until)+expires, w)
}

func (f *noteForm) keys() []key.Binding {
	if f.onExpiry {
		return []key.Binding{bind("enter", "save"), bind("esc", "leave"), bind("tab", "the note"), bind("2026-12-31", "or 90d")}
	}
	return []key.Binding{bind("enter", "save"), bind("esc", "leave"), bind("tab", "when it expires")}
}

// formDone takes over what was typed; a date that is none is typed again.
func (m *model) formDone() tea.Cmd {
	f := m.form
	expires, err := expiry(f.expires.String(), m.now())
	if err != nil {
		f.onExpiry, f.failed = true, err.Error()
		return nil
	}
	m.form = nil
	s := m.row(f.id)
	if s == nil {
		m.say(true, "token %d is not there any more", f.id)
		return nil
	}
	d := m.decided.byID[f.id]
	d.Note, d.Expires = report.Plain(strings.TrimSpace(f.note.String())), expires
	return m.record(s, d)
}
