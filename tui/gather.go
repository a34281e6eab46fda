package tui

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/btu-scan/btu-scan/scan"
)

// work starts ticking beside a command.
func (m *model) work(cmds ...tea.Cmd) tea.Cmd {
	if !m.ticking {
		m.ticking = true
		cmds = append(cmds, m.tickLater())
	}
	return tea.Batch(cmds...)
}

func (m *model) startScan() tea.Cmd {
	run, ctx := m.scanning.start(m.ctx)
	m.scanFailed, m.stage, m.rows, m.tried, m.triedMore = "", "starting", nil, nil, false
	m.repair.plan, m.repair.result = nil, nil // they are about what an earlier scan found
	box := &mailbox{}
	m.box = box
	return m.work(m.crew.cmd(func() tea.Msg {
		r, err := m.b.Scan(ctx, func(p Progress) {
			if ctx.Err() == nil {
				box.put(p)
			}
		})
		return scanMsg{run, r, err}
	}), m.readDecisions())
}

func (m *model) scanned(msg scanMsg) tea.Cmd {
	if !m.scanning.end(msg.run) {
		return nil
	}
	m.stage = ""
	last, _ := m.box.take()
	m.sawTried(last.Tried)
	switch {
	case errors.Is(msg.err, context.Canceled):
		m.say(false, "the scan was stopped: no verdict; r starts it again")
		return m.reflip() // what it had told so far stays
	case msg.err != nil:
		m.scanFailed = msg.err.Error()
	}
	cmds := []tea.Cmd{m.adopt(msg.r), m.reflip()}
	if m.screen == screenRepair {
		cmds = append(cmds, m.startPlan())
	}
	return tea.Batch(cmds...)
}

// adopt takes a report over, and makes an index of it.
func (m *model) adopt(r *scan.Report) tea.Cmd {
	if r == nil {
		return nil
	}
	m.report = r
	cmds := []tea.Cmd{m.reindex()}
	if m.rows == nil && !m.listing.busy && r.Weights != nil && m.b.Lacks(FeatureRows) == "" {
		run, ctx := m.listing.start(m.ctx)
		cmds = append(cmds, m.crew.cmd(func() tea.Msg {
			rows, err := m.b.Rows(ctx)
			return rowsMsg{run, rows, err}
		}))
	}
	return tea.Batch(cmds...)
}

func (m *model) reindex() tea.Cmd {
	run, _ := m.indexing.start(m.ctx)
	rows, suspects, tried := m.rows, m.report.Suspects, maps.Clone(m.tried)
	m.triedMore = false
	return m.crew.cmd(func() tea.Msg {
		base := newIndex(rows, suspects)
		return indexMsg{run, base, base.with(tried)}
	})
}

// sawTried takes note of what tokens do to the model.
func (m *model) sawTried(tokens map[int]scan.Behaviour) {
	if len(tokens) == 0 {
		return
	}
	if m.tried == nil {
		m.tried = map[int]scan.Behaviour{}
	}
	maps.Copy(m.tried, tokens)
	m.triedMore = true
}

// reflip adds to the index what tokens were seen to do since it was made. An
// index that is on its way is waited for.
func (m *model) reflip() tea.Cmd {
	if !m.triedMore || m.base == nil || m.indexing.busy {
		return nil
	}
	run, _ := m.indexing.start(m.ctx)
	base, tried := m.base, maps.Clone(m.tried)
	m.triedMore = false
	return m.crew.cmd(func() tea.Msg { return indexMsg{run, base, base.with(tried)} })
}

// scanStage is what the scan does now, "" if none runs.
func (m *model) scanStage() string {
	if !m.scanning.busy {
		return ""
	}
	return m.stage
}

// look starts reading what there is to know about a token.
func (m *model) look(id int) tea.Cmd {
	if m.detail.id == id && (m.detail.token != nil || m.looking.busy) {
		return nil
	}
	m.detail = detail{id: id}
	var cmds []tea.Cmd
	if m.b.Lacks(FeatureToken) == "" {
		run, ctx := m.looking.start(m.ctx)
		cmds = append(cmds, m.crew.cmd(func() tea.Msg {
			t, err := m.b.Token(ctx, id)
			return tokenMsg{run, t, err}
		}))
	}
	if m.b.Lacks(FeatureTry) == "" {
		run, ctx := m.examining.start(m.ctx)
		cmds = append(cmds, m.crew.cmd(func() tea.Msg {
			e, err := m.b.Examples(ctx, id)
			return examplesMsg{run, e, err}
		}))
	}
	if len(cmds) == 0 {
		return nil
	}
	return m.work(cmds...)
}

// startTry asks the model about the text.
func (m *model) startTry() tea.Cmd {
	text, id := m.try.input.String(), m.try.id
	if strings.TrimSpace(text) == "" || m.b.Lacks(FeatureTry) != "" {
		m.trying.stop()
		m.trying.run++ // what still comes is stale
		m.trying.busy = false
		m.try.plain, m.try.with, m.try.failed = nil, nil, ""
		return nil
	}
	run, ctx := m.trying.start(m.ctx)
	return m.work(m.crew.cmd(func() tea.Msg {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(m.typingPause):
		}
		msg := triedMsg{run: run}
		if msg.plain, msg.err = m.b.Try(ctx, text, nil); msg.err == nil && id >= 0 {
			msg.with, msg.err = m.b.Try(ctx, text, []int{id})
		}
		return msg
	}))
}
