package tui

import (
	"context"
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/btu-scan/btu-scan/scan"
)

// A screen is one of the panels that fill the window.
type screen int

const (
	screenOverview screen = iota
	screenSuspects
	screenToken
	screenMap
	screenTry
	screenRepair
	screens
)

var screenNames = [screens]string{"Overview", "Suspects", "Token", "Map", "Try", "Repair"}

// model is the one tea.Model. Its Update does no work that takes time: that runs
// in commands, whose messages carry the number of their run.
type model struct {
	ctx  context.Context // of the one call of Run that this lives for
	b    Backend
	opt  Options
	keys keyMap
	crew *crew
	now  func() time.Time

	tickEvery, typingPause time.Duration

	w, h    int
	light   bool // the terminal's background
	screen  screen
	help    bool
	helpTop int
	note    string // the line above the keys: what happened last
	noteBad bool
	ticking bool

	scanning, listing, indexing, looking, examining, trying, planning, repairJob job

	box, repairBox *mailbox
	stage          string // of the scan
	report         *scan.Report
	scanFailed     string
	rows           []scan.Suspect         // of the whole vocabulary, nil while unknown
	base           *index                 // of rows and report
	x              *index                 // and of tried
	tried          map[int]scan.Behaviour // what tokens were seen to do in this scan
	triedMore      bool                   // than x knows

	decided       *decisions
	decisionsWait string // why nothing can be decided, or not yet

	overview overview
	table    table
	detail   detail
	scatter  scatter
	try      tryIt
	repair   repairing

	filtering bool
	line      lineInput // of the filter
	form      *noteForm // nil while none is open
	palette   *palette  // nil while it is closed
}

func newModel(ctx context.Context, b Backend, opt Options) *model {
	m := &model{ctx: ctx, b: b, opt: opt, keys: newKeyMap(), crew: &crew{}, now: time.Now, tickEvery: tickEvery, typingPause: typingPause, w: 80, h: 24, decided: newDecisions(opt.Triage), box: &mailbox{}, repairBox: &mailbox{}}
	m.detail.id, m.try.id, m.table.wanted = -1, -1, -1
	m.repair.out = opt.Out
	m.decisionsWait = "the checkpoint's digest, under which decisions are kept, is still being computed"
	return m
}

func (m *model) Init() tea.Cmd { return tea.Batch(m.startScan(), tea.RequestBackgroundColor) }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.light = !msg.IsDark()
	case tickMsg:
		return m, m.tick()
	case tea.KeyPressMsg:
		return m, m.key(msg)
	case tea.MouseWheelMsg:
		return m, m.wheel(msg.Button)
	case tea.MouseClickMsg:
		if msg.Button == tea.MouseLeft {
			return m, m.click(msg.X, msg.Y)
		}
	case tea.PasteMsg:
		if in := m.input(); in != nil {
			in.insert(msg.Content)
			return m, m.typed()
		}
	case scanMsg:
		return m, m.scanned(msg)
	case rowsMsg:
		if !m.listing.end(msg.run) {
			break
		}
		if msg.err != nil {
			m.say(true, "the rows of the vocabulary cannot be listed: %v", msg.err)
			break
		}
		m.rows = msg.rows
		return m, m.reindex()
	case indexMsg:
		if m.indexing.end(msg.run) {
			m.base, m.x = msg.base, msg.x
			m.refresh()
			if m.triedMore {
				return m, m.reflip()
			}
		}
	case digestMsg:
		if msg.err != nil {
			m.decisionsWait = msg.err.Error()
			break
		}
		m.decided.adopt(msg.digest, msg.t)
		m.decisionsWait = ""
	case savedMsg:
		if msg.err != nil {
			m.say(true, "NOT SAVED: %v", msg.err)
		}
	case tokenMsg:
		if m.looking.end(msg.run) {
			m.detail.token, m.detail.failed = msg.token, message(msg.err)
		}
	case examplesMsg:
		if m.examining.end(msg.run) {
			m.detail.examples, m.detail.exFailed = msg.examples, message(msg.err)
		}
	case triedMsg:
		if m.trying.end(msg.run) {
			m.try.plain, m.try.with, m.try.failed = msg.plain, msg.with, message(msg.err)
		}
	case planMsg:
		if m.planning.end(msg.run) {
			m.repair.plan, m.repair.nothing, m.repair.failed = msg.plan, false, ""
			m.repair.planned = msg.order
			if msg.err != nil {
				m.repair.planFailed(msg.err)
			}
		}
	case repairMsg:
		m.repaired(msg)
	}
	return m, nil
}

// tick looks at the progress.
func (m *model) tick() tea.Cmd {
	var cmds []tea.Cmd
	if p, fresh := m.box.take(); fresh && m.scanning.busy {
		m.stage = p.Stage
		m.sawTried(p.Tried)
		cmds = append(cmds, m.adopt(p.Report), m.reflip())
	}
	if p, fresh := m.repairBox.take(); fresh && m.repairJob.busy {
		m.repair.tell(p.Stage, m.now())
	}
	m.ticking = false
	for _, j := range []*job{&m.scanning, &m.listing, &m.looking, &m.examining, &m.trying, &m.planning, &m.repairJob} {
		if j.busy {
			m.ticking = true
			cmds = append(cmds, m.tickLater())
			break
		}
	}
	return tea.Batch(cmds...)
}

func (m *model) say(isBad bool, format string, args ...any) {
	m.note, m.noteBad = plain(fmt.Sprintf(format, args...)), isBad
}

// current is the token that the screen is about, nil if there is none.
func (m *model) current() *scan.Suspect {
	switch m.screen {
	case screenSuspects:
		return m.table.at(m.x)
	case screenToken:
		return m.row(m.detail.id)
	case screenMap:
		return m.row(m.scatter.id)
	case screenTry:
		return m.row(m.try.id)
	}
	return nil
}

func (m *model) row(id int) *scan.Suspect {
	if m.x == nil {
		return nil
	}
	if i, ok := m.x.at[id]; ok {
		return &m.x.rows[i]
	}
	return nil
}

// refilter is refresh after another filter or order: as many rows as can be are
// seen from the first on.
func (m *model) refilter() {
	m.table.top = 0
	m.refresh()
}

// refresh filters the table anew.
func (m *model) refresh() {
	if m.x != nil {
		m.table.refresh(m.x, m.decided)
	}
}

// show changes the screen.
func (m *model) show(s screen) tea.Cmd {
	chosen := m.current()
	m.screen = s
	switch s {
	case screenToken:
		if chosen == nil {
			chosen = m.table.at(m.x)
		}
		if chosen != nil {
			return m.look(chosen.TokenID)
		}
	case screenMap:
		if chosen == nil {
			chosen = m.table.at(m.x)
		}
		if chosen != nil {
			m.scatter.id = chosen.TokenID
		}
	case screenTry:
		if chosen == nil {
			chosen = m.table.at(m.x)
		}
		if chosen != nil && m.try.id != chosen.TokenID {
			m.try.id, m.try.with = chosen.TokenID, nil
			return m.startTry()
		}
	case screenRepair:
		if !m.repairJob.busy && m.repair.result == nil {
			return m.startPlan()
		}
	}
	return nil
}
