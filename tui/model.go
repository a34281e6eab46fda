package tui

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
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
	rows           []scan.Suspect // of the whole vocabulary, nil while unknown
	x              *index

	decided       *decisions
	decisionsWait string // why nothing can be decided, or not yet

	overview overview
	table    table
	detail   detail
	scatter  scatter
	try      tryIt
	repair   repairing

	filtering bool
	noting    bool
	line      lineInput // of filter and note
}

func newModel(ctx context.Context, b Backend, opt Options) *model {
	m := &model{ctx: ctx, b: b, opt: opt, keys: newKeyMap(), crew: &crew{}, now: time.Now, tickEvery: tickEvery, typingPause: typingPause, w: 80, h: 24, decided: newDecisions(opt.Triage), box: &mailbox{}, repairBox: &mailbox{}}
	m.detail.id, m.try.id, m.table.wanted = -1, -1, -1
	m.repair.out = opt.Out
	m.decisionsWait = "the checkpoint's digest, under which decisions are kept, is still being computed"
	return m
}

// The messages of commands.
type (
	scanMsg struct {
		run int
		r   *scan.Report
		err error
	}
	rowsMsg struct {
		run  int
		rows []scan.Suspect
		err  error
	}
	indexMsg struct {
		run int
		x   *index
	}
	digestMsg struct {
		digest string
		t      *triagefile.File
		err    error
	}
	savedMsg struct {
		err error
	}
	tokenMsg struct {
		run   int
		token *Token
		err   error
	}
	examplesMsg struct {
		run      int
		examples []Example
		err      error
	}
	triedMsg struct {
		run         int
		plain, with *Tried
		err         error
	}
	planMsg struct {
		run   int
		order Order
		plan  *sanitize.Plan
		err   error
	}
	repairMsg struct {
		run int
		res *sanitize.Result
		err error
	}
)

func (m *model) Init() tea.Cmd { return m.startScan() }

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
	m.scanFailed, m.stage, m.rows = "", "starting", nil
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
	rows, suspects := m.rows, m.report.Suspects
	return m.crew.cmd(func() tea.Msg { return indexMsg{run, newIndex(rows, suspects)} })
}

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tickMsg:
		return m, m.tick()
	case tea.KeyPressMsg:
		return m, m.key(msg)
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
			m.x = msg.x
			m.refresh()
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

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// tick looks at the progress.
func (m *model) tick() tea.Cmd {
	var cmds []tea.Cmd
	if stage, r, fresh := m.box.take(); fresh && m.scanning.busy {
		m.stage = stage
		cmds = append(cmds, m.adopt(r))
	}
	if stage, _, fresh := m.repairBox.take(); fresh && m.repairJob.busy {
		m.repair.tell(stage, m.now())
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

func (m *model) scanned(msg scanMsg) tea.Cmd {
	if !m.scanning.end(msg.run) {
		return nil
	}
	m.stage = ""
	switch {
	case errors.Is(msg.err, context.Canceled):
		m.say(false, "the scan was stopped: no verdict; r starts it again")
		return nil // what it had told so far stays
	case msg.err != nil:
		m.scanFailed = msg.err.Error()
	}
	cmd := m.adopt(msg.r)
	if m.screen == screenRepair {
		return tea.Batch(cmd, m.startPlan())
	}
	return cmd
}

func (m *model) say(isBad bool, format string, args ...any) {
	m.note, m.noteBad = plain(fmt.Sprintf(format, args...)), isBad
}

// input is the line that is typed in, nil if none is.
func (m *model) input() *lineInput {
	switch {
	case m.filtering || m.noting:
		return &m.line
	case m.screen == screenTry && m.try.editing:
		return &m.try.input
	case m.screen == screenRepair && m.repair.editing:
		return &m.repair.input
	}
	return nil
}

// typed reacts to a change of the line that is typed in.
func (m *model) typed() tea.Cmd {
	switch {
	case m.filtering:
		m.table.filter.text = m.line.String()
		m.refresh()
	case m.screen == screenTry && m.try.editing:
		return m.startTry()
	}
	return nil
}

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

// typing edits a line.
func (m *model) typing(in *lineInput, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		switch {
		case m.filtering:
			m.table.filter.text = ""
			m.refresh()
		case m.screen == screenRepair:
			m.say(false, "the output stays")
		}
		m.filtering, m.noting, m.try.editing, m.repair.editing = false, false, false, false
		return nil
	case "enter":
		switch {
		case m.filtering:
			m.filtering = false
		case m.noting:
			m.noting = false
			if s := m.current(); s != nil {
				d := m.decided.byID[s.TokenID]
				d.Note = report.Plain(strings.TrimSpace(m.line.String()))
				return m.record(s, d)
			}
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

func (m *model) helpKey(k tea.KeyPressMsg) tea.Cmd {
	switch {
	case key.Matches(k, m.keys.Help, m.keys.Escape, m.keys.Quit):
		m.help = false
	default:
		m.scroll(k, &m.helpTop)
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

func (m *model) cancelRepair() {
	m.repair.cancelled = true
	m.repairJob.stop()
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

// refresh filters the table anew.
func (m *model) refresh() {
	if m.x != nil {
		m.table.refresh(m.x, m.decided.byID)
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
		m.refresh()
	case key.Matches(k, m.keys.Reverse):
		t.reverse = !t.reverse
		m.refresh()
	case key.Matches(k, m.keys.Status):
		t.filter.status = statuses[(slices.Index(statuses, t.filter.status)+1)%len(statuses)]
		m.refresh()
	case key.Matches(k, m.keys.Seen):
		t.filter.seen = (t.filter.seen + 1) % 3
		m.refresh()
	case key.Matches(k, m.keys.Marked):
		t.filter.marked = (t.filter.marked + 1) % 3
		m.refresh()
	case key.Matches(k, m.keys.Class):
		if m.x != nil {
			for range classes { // the next that there is
				t.filter.class = (t.filter.class + 1) % classes
				if t.filter.class == classAny || m.x.present[t.filter.class] {
					break
				}
			}
		}
		m.refresh()
	case key.Matches(k, m.keys.Clear):
		t.filter = filter{}
		m.refresh()
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
	case key.Matches(k, m.keys.Open):
		return m.show(screenToken)
	}
	return nil
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
		m.noting = true
		m.line.set(d.Note)
		return nil, true
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

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
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

// body is the height of the panels.
func (m *model) body() int { return max(1, m.h-4) }

// Least size of a window that is drawn in.
const leastWidth, leastHeight = 40, 10

func (m *model) View() tea.View {
	v := tea.NewView(m.draw())
	v.AltScreen = true
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
	case m.noting:
		note = fit(bold.Render("note ")+m.line.Render(m.w-5, true), m.w)
	}
	return strings.Join(append(lines, note, m.keyLine()), "\n")
}

func (m *model) panel(h int) string {
	pad := func(lines []string) string {
		top := 0
		return block(lines[:min(len(lines), h)], m.w, h, &top)
	}
	switch m.screen {
	case screenOverview:
		return m.overview.Render(m.report, m.x, m.scanStage(), m.scanFailed, m.w, h)
	case screenSuspects:
		return pad(m.renderSuspects(h))
	case screenToken:
		l := look{suspect: m.row(m.detail.id), report: m.report, decision: m.decided.byID[m.detail.id],
			loading: m.looking.busy, examining: m.examining.busy, lacks: m.b.Lacks(FeatureToken), lacksTry: m.b.Lacks(FeatureTry)}
		return m.detail.Render(l, m.w, h)
	case screenMap:
		return pad(m.scatter.Render(m.x, m.decided.byID, m.w, h))
	case screenTry:
		return pad(m.try.Render(m.row(m.try.id), m.b.Lacks(FeatureTry), m.trying.busy, m.w, h))
	}
	s := state{lacks: m.b.Lacks(FeatureRepair), wait: m.wait(), planning: m.planning.busy, running: m.repairJob.busy, now: m.now()}
	if s.running {
		s.elapsed = s.now.Sub(m.repairJob.began)
	}
	return m.repair.Render(s, m.w, h)
}

func (m *model) renderSuspects(h int) []string {
	if m.x == nil {
		return []string{"", "no suspects are known yet"}
	}
	lines := []string{""}
	lines = append(lines, wrap(m.table.summary(m.x), m.w)...)
	return append(lines, m.table.Render(m.x, m.decided.byID, m.w, h-len(lines))...)
}

// scanStage is what the scan does now, "" if none runs.
func (m *model) scanStage() string {
	if !m.scanning.busy {
		return ""
	}
	return m.stage
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
	room := max(10, min(ansi.StringWidth(state), m.w*6/10))
	return fit(left, m.w-room-1) + " " + style.Render(fit(state, room))
}

func (m *model) tabs() string {
	var parts []string
	for s := range screens {
		name := fmt.Sprintf("%d %s", s+1, screenNames[s])
		if m.w < 70 {
			name = fmt.Sprintf("%d%s", s+1, screenNames[s])
		}
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
	keys := m.keys.short(m.screen)
	switch {
	case m.help:
		keys = []key.Binding{bind("esc", "leave the help"), m.keys.Up, m.keys.Down}
	case m.filtering:
		keys = []key.Binding{bind("enter", "keep the filter"), bind("esc", "take it off"), bind("↑ ↓", "move")}
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

// renderHelp lists all keys; what cannot be done says why.
func (m *model) renderHelp(w, h int) string {
	var blocks [][]string
	for _, g := range m.keys.groups() {
		b := []string{heading(g.title)}
		for _, k := range g.keys {
			b = append(b, bold.Render(fit(k.Help().Key, 10))+" "+k.Help().Desc)
		}
		blocks = append(blocks, append(b, ""))
	}
	lines := []string{""}
	if w < 76 {
		lines = append(lines, slices.Concat(blocks...)...)
	} else {
		n := 2
		if w >= wide {
			n = 3
		}
		cols := make([][]string, n)
		for _, b := range blocks { // into the shortest column
			least := 0
			for i := range cols {
				if len(cols[i]) < len(cols[least]) {
					least = i
				}
			}
			cols[least] = append(cols[least], b...)
		}
		each := (w - 2*(n-1)) / n
		all := cols[0]
		width := each
		for _, c := range cols[1:] {
			all = columns(all, width, c, each)
			width += each + 2
		}
		lines = append(lines, all...)
	}
	for _, f := range []struct {
		what string
		why  string
	}{
		{"all rows", m.b.Lacks(FeatureRows)}, {"rows and neighbours", m.b.Lacks(FeatureToken)}, {"try it", m.b.Lacks(FeatureTry)},
		{"repair", m.b.Lacks(FeatureRepair)}, {"scan again", m.b.Lacks(FeatureRescan)}, {"deciding", m.decisionsWait},
	} {
		if f.why != "" {
			lines = append(lines, field("not here", f.what+": "+plain(f.why), w, warn)...)
		}
	}
	lines = append(lines, field("signs", "! abnormal, ~ borderline, = overwritten; T trigger, b benign, ? unsure (you say)", w, none)...)
	lines = append(lines, field("decisions", plain(m.opt.Triage), w, none)...)
	return block(lines, w, h, &m.helpTop)
}
