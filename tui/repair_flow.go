package tui

import (
	"context"
	"errors"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"github.com/btu-scan/btu-scan/internal/triagefile"
)

// wait says why there can be no repair yet.
func (m *model) wait() string {
	switch {
	case m.report == nil:
		return "nothing is known yet"
	case m.scanning.busy:
		return "the scan is not finished; a repair follows its findings"
	}
	return ""
}

// startPlan makes a plan of what is known and marked.
func (m *model) startPlan() tea.Cmd {
	m.repair.result, m.repair.plan = nil, nil
	if m.b.Lacks(FeatureRepair) != "" || m.wait() != "" {
		return nil
	}
	order := Order{Report: m.report, Tokens: m.decided.marked(triagefile.MarkTrigger), Benign: m.decided.marked(triagefile.MarkBenign), Out: m.repair.out}
	run, ctx := m.planning.start(m.ctx)
	return m.work(m.crew.cmd(func() tea.Msg {
		p, err := m.b.Plan(ctx, order)
		return planMsg{run, order, p, err}
	}))
}

func (m *model) repairKey(k tea.KeyPressMsg) tea.Cmd {
	p := &m.repair
	why := m.b.Lacks(FeatureRepair)
	ready := why == "" && m.wait() == "" && !m.repairJob.busy
	switch {
	case key.Matches(k, m.keys.Yes):
		switch {
		case m.repairJob.busy:
			m.say(true, "a repair is running: esc cancels it")
		case why != "":
			m.say(true, "no repair: %s", why)
		case m.wait() != "":
			m.say(true, "no repair yet: %s", m.wait())
		case p.plan == nil || len(p.plan.Rows) == 0 || m.planning.busy:
			m.say(true, "there is no plan to carry out")
		default:
			return m.startRepair()
		}
	case key.Matches(k, m.keys.Plan):
		if ready {
			p.cancelled = false
			return m.startPlan()
		}
		m.say(true, "no plan: %s", orElse(why, orElse(m.wait(), "a repair is running")))
	case key.Matches(k, m.keys.Output):
		if ready {
			p.editing, p.result = true, nil
			p.input.set(p.out)
			if p.plan == nil {
				return m.startPlan()
			}
			return nil
		}
		m.say(true, "no output: %s", orElse(why, orElse(m.wait(), "a repair is running")))
	default:
		m.scroll(k, &p.from)
	}
	return nil
}

func (m *model) startRepair() tea.Cmd {
	order := m.repair.planned
	m.repair.stages, m.repair.cancelled, m.repair.failed, m.repair.from = nil, false, "", 0
	box := &mailbox{}
	m.repairBox = box
	run, ctx := m.repairJob.start(m.ctx)
	return m.work(m.crew.cmd(func() tea.Msg {
		res, err := m.b.Repair(ctx, order, func(stage string) { box.put(Progress{Stage: stage}) })
		return repairMsg{run, res, err}
	}))
}

func (m *model) cancelRepair() {
	m.repair.cancelled = true
	m.repairJob.stop()
}

func (m *model) repaired(msg repairMsg) {
	if !m.repairJob.end(msg.run) {
		return
	}
	p := &m.repair
	switch {
	case errors.Is(msg.err, context.Canceled):
		p.cancelled = true
		m.say(false, "the repair was cancelled; nothing was written")
	case msg.err != nil:
		p.cancelled, p.failed = false, msg.err.Error()
		m.say(true, "the repair failed; nothing was written")
	default:
		p.cancelled, p.result, p.from = false, msg.res, 0
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
