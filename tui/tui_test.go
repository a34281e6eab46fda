package tui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var sizes = []struct{ w, h int }{{60, 20}, {80, 24}, {140, 40}}

// TestGolden compares every screen at three sizes.
func TestGolden(t *testing.T) {
	saved := &fake{report: testReport(), lacks: "this is a saved report; open the model itself"}
	for _, x := range []struct {
		name string
		b    func() *fake
		keys []string
		then []string // keys a year later
	}{
		{"overview", full, nil, nil},
		{"overview-end", full, []string{"G"}, nil},
		{"suspects", full, []string{"2", "j", "t", "j", "b"}, nil},
		{"filtered", full, []string{"2", "/", "w", "o", "r", "d", "1", "enter", "s", "s", "s"}, nil},
		{"token", full, []string{"2", "j", "enter"}, nil},
		{"token-end", full, []string{"2", "j", "enter", "G"}, nil},
		{"map", full, []string{"2", "4", "]"}, nil},
		{"map-closer", full, []string{"2", "4", "]", "+", "+", "+", "right"}, nil},
		{"try", full, []string{"5", "i", "a", " ", "f", "i", "l", "m"}, nil},
		{"plan", full, []string{"6"}, nil},
		{"result", full, []string{"6", "y"}, nil},
		{"help", full, []string{"?"}, nil},
		{"saved-token", func() *fake { return saved }, []string{"2", "enter"}, nil},
		{"saved-repair", func() *fake { return saved }, []string{"6"}, nil},
		{"saved-help", func() *fake { return saved }, []string{"?", "G"}, nil},
		{"note", full, []string{"2", "j", "t", "n", "s", "e", "e", "n", "tab", "9", "0", "d"}, nil},
		{"note-failed", full, []string{"2", "n", "tab", "s", "o", "o", "n", "enter"}, nil},
		{"expired", full, []string{"2", "t", "j", "b", "n", "o", "k", "tab", "9", "0", "d", "enter"}, []string{"d", "d"}},
		{"palette", full, []string{":", "pgdown"}, nil},
		{"palette-filtered", full, []string{":", "m", "a", "r", "k", "down"}, nil},
		{"expired-token", full, []string{"2", "j", "b", "n", "o", "k", "tab", "9", "0", "d", "enter"}, []string{"enter"}},
	} {
		for _, s := range sizes {
			t.Run(fmt.Sprintf("%s-%d", x.name, s.w), func(t *testing.T) {
				d := drive(t, x.b(), s.w, s.h)
				d.m.opt.Triage = "btu-scan.triage.json" // for the eye; decisions go to the test's own
				d.keys(x.keys...)
				if x.then != nil {
					d.later(1)
					d.keys(x.then...)
				}
				got := d.screen()
				path := filepath.Join("testdata", t.Name()[len("TestGolden/"):]+".txt")
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("is\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

func full() *fake { return &fake{report: testReport(), rows: vocabulary()} }

func TestFilterAndSort(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys("2")
	d.has("400 of 400 rows", `"cf"`)
	d.keys("/", "W", "O", "r", "d", "1", "2")
	d.has("10 of 400 rows", `only text "WOrd12"`, `"word120"`, `"word129"`)
	d.hasNot(`"cf"`)
	d.keys("backspace", "enter")
	d.has("100 of 400")
	d.keys("0")
	d.has("400 of 400")
	d.keys("f")
	d.has("2 of 400", "only abnormal")
	d.keys("0", "v", "v")
	d.has("unseen")
	for _, i := range d.m.table.view {
		if d.m.x.rows[i].Weights.Seen {
			t.Fatalf("%v is seen", d.m.x.rows[i])
		}
	}
	d.keys("0")
	for d.m.table.filter.class != classMixed {
		before := d.m.table.filter.class
		d.keys("c")
		if d.m.table.filter.class <= before {
			t.Fatal("no token of mixed scripts")
		}
	}
	d.has("1 of 400", "mixed", "аpple")
	d.keys("0", "s", "s", "s") // by movement
	rows := d.m.x.rows
	for k := 1; k < len(d.m.table.view); k++ {
		if rows[d.m.table.view[k-1]].Weights.Movement < rows[d.m.table.view[k]].Weights.Movement {
			t.Fatalf("row %d moved less than the next", k-1)
		}
	}
	top := d.m.table.view[0]
	d.keys("S")
	if d.m.table.view[len(d.m.table.view)-1] != top {
		t.Error("the reverse order does not end with what was first")
	}
	d.keys("/", "x", "y", "z", "z", "y")
	d.has("0 of 400", "no row passes")
	d.keys("enter", "t") // nothing to mark
	d.has("choose a token")
	d.keys("enter") // nothing to open
	d.has("No token is chosen")
}

// The cursor stays at its token when rows come and go.
func TestCursorStays(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys("2", "j", "j", "j", "j", "j") // great
	d.keys("s", "S", "f", "f", "f")
	if s := d.m.table.at(d.m.x); s == nil || s.Token != "great" {
		t.Errorf("at %v", s)
	}
}

func TestDecisionsAreSavedAndUndone(t *testing.T) {
	d := drive(t, full(), 80, 24)
	path := d.m.opt.Triage
	other := &triagefile.File{SchemaVersion: triagefile.Version, Checkpoints: map[string][]decision{"sha256:other": {{TokenID: 1, Mark: triagefile.MarkBenign}}}}
	od := newDecisions(path)
	od.adopt("sha256:other", other)
	if err := od.save()(); err != nil {
		t.Fatal(err)
	}
	read := func() []decision {
		t.Helper()
		tr, err := triagefile.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(tr.Checkpoints["sha256:other"]) != 1 {
			t.Error("the decision about another checkpoint is gone")
		}
		return tr.Checkpoints["sha256:00ff"]
	}
	d.keys("2", "t")
	d.has(`"cf": trigger`)
	if got := read(); len(got) != 1 || got[0].Mark != triagefile.MarkTrigger || got[0].TokenID != 7 || got[0].Rule != scan.RuleTrigger {
		t.Fatalf("saved %+v", got)
	}
	d.keys("n", "s", "e", "e", " ", "#", "1", "enter")
	if got := read(); got[0].Note != "see #1" || got[0].Mark != triagefile.MarkTrigger {
		t.Fatalf("saved %+v", got)
	}
	d.keys("j", "b", "j", "m")
	if got := read(); len(got) != 3 || got[1].Rule != scan.RuleAbnormal || got[2].Rule != "" {
		t.Fatalf("saved %+v", got)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(string(data), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("the file holds %q", data[i:min(len(data), i+8)])
	}
	d.keys("d")
	d.has("3 of 400 rows")
	d.keys("0", "u", "u", "u", "u")
	if got := read(); len(got) != 0 {
		t.Fatalf("after undo %+v", got)
	}
	d.keys("u")
	d.has("nothing to undo")

	// Another session finds them.
	d.keys("g", "t")
	again := newModel(t.Context(), d.b, d.m.opt)
	e := &driver{t, again, d.b}
	e.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	e.run(again.Init())
	e.keys("2")
	e.has("T     1 !")
	e.keys("x")
	if got := read(); len(got) != 0 {
		t.Errorf("after taking the mark off %+v", got)
	}
}

// A decision that has expired is shown and does not count, until it is decided
// anew.
func TestExpiry(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys("2", "j", "t", "n", "w", "h", "y", "tab", "s", "o", "o", "n", "enter")
	d.has(`no days such as 90d: "soon"`)
	d.keys("backspace", "backspace", "backspace", "backspace")
	for _, k := range "2025-01-01" {
		d.keys(string(k))
	}
	d.keys("enter")
	d.has("2025-01-01 is over")
	for range 10 {
		d.keys("backspace")
	}
	d.keys("3", "0", "d", "tab", "!", "enter")
	d.has("trigger until 2026-02-01, with a note")
	tr, err := triagefile.Read(d.m.opt.Triage)
	if err != nil {
		t.Fatal(err)
	}
	if got := tr.Checkpoints["sha256:00ff"]; len(got) != 1 || got[0].Expires != "2026-02-01" || got[0].Note != "why!" {
		t.Fatalf("saved %+v", got)
	}
	d.keys("enter")
	d.has("you say trigger, until 2026-02-01", "note: why!")
	d.keys("6")
	if o := d.b.order; len(o.Tokens) != 1 || o.Tokens[0] != 42 {
		t.Errorf("before it expires: order %+v", o)
	}
	d.later(1)
	d.keys("6")
	if o := d.b.order; len(o.Tokens) != 0 {
		t.Errorf("after it has expired: order %+v", o)
	}
	d.keys("2")
	d.has("e     2 !")
	for _, x := range []struct{ filter, say string }{{"decided", "0 of 400"}, {"expired", "1 of 400"}, {"undecided", "400 of 400"}} {
		d.keys("d")
		d.has(x.say, "only "+x.filter)
	}
	d.keys("d", "enter")
	d.has("you said trigger, which expired on 2026-02-01")
	d.keys("t")
	d.has("you say trigger\n")
	d.keys("u")
	d.has("you said trigger")
}

// A file that is no triage file is not overwritten.
func TestForeignTriageFileStays(t *testing.T) {
	b := full()
	d := drive(t, b, 80, 24)
	if err := os.WriteFile(d.m.opt.Triage, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := newModel(t.Context(), b, d.m.opt)
	e := &driver{t, m, b}
	e.run(m.Init())
	e.keys("2", "t")
	e.has("nothing can be decided", "invalid character")
	if data, _ := os.ReadFile(d.m.opt.Triage); string(data) != "precious" {
		t.Errorf("the file is now %q", data)
	}
}

// Decisions that cannot be written are said not to be.
func TestUnwritableTriage(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.m.decided.path = filepath.Join(t.TempDir(), "no", "such", "folder.json")
	d.keys("2", "t")
	d.has("NOT SAVED")
}

func TestRepair(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys("2", "j", "t", "j", "b", "6")
	d.has("model-clean", `"cf"`, "you call it a trigger")
	d.keys("enter") // is not y
	if d.m.repair.result != nil || d.m.repairJob.run != 0 {
		t.Fatal("enter started a repair")
	}
	d.keys("o", "2", "enter")
	d.has("model-clean2")
	d.keys("y")
	if o := d.b.order; o.Out != "model-clean2" || len(o.Tokens) != 1 || o.Tokens[0] != 42 || len(o.Benign) != 1 || o.Benign[0] != 43 {
		t.Errorf("order %+v", o)
	}
	d.has("CLEAN", "100 %", "12 %", "btu-scan.sanitize.json")
}

func TestRepairOfNothing(t *testing.T) {
	r := testReport()
	r.Triggers, r.Verdict = nil, scan.Clean
	d := drive(t, &fake{report: r}, 80, 24)
	d.keys("6", "y")
	d.has("Nothing: no trigger is proved", "no plan to carry out")
}

// background runs a command while the test goes on.
func (d *driver) background(cmd tea.Cmd) chan tea.Msg {
	out := make(chan tea.Msg, 8)
	var run func(tea.Cmd)
	run = func(c tea.Cmd) {
		if c == nil {
			return
		}
		switch msg := c().(type) {
		case nil, tickMsg:
		case tea.BatchMsg:
			for _, c := range msg {
				go run(c)
			}
		default:
			out <- msg
		}
	}
	go run(cmd)
	return out
}

func TestRepairIsCancelled(t *testing.T) {
	for _, k := range []string{"esc", "ctrl+c"} {
		t.Run(k, func(t *testing.T) {
			b := full()
			undone, started := false, make(chan struct{})
			b.repair = func(ctx context.Context, _ Order, tell func(string)) (*sanitize.Result, error) {
				tell("overwriting rows")
				close(started)
				<-ctx.Done()
				undone = true
				return nil, ctx.Err()
			}
			d := drive(t, b, 80, 24)
			d.keys("6")
			_, cmd := d.m.Update(press("y"))
			end := d.background(cmd)
			<-started
			d.m.Update(tickMsg{})
			d.has("Repairing", "overwriting rows", "stage 3 of 7", "esc cancels")
			if _, cmd := d.m.Update(press("q")); cmd != nil {
				t.Error("q leaves while a repair runs")
			}
			if _, cmd := d.m.Update(press("y")); cmd != nil {
				t.Error("y starts a second repair")
			}
			if _, cmd := d.m.Update(press(k)); cmd != nil {
				t.Errorf("%s does more than cancel", k)
			}
			d.has("cancelling")
			d.send(<-end)
			d.has("cancelled. Nothing was written")
			if !undone {
				t.Error("the worker did not end")
			}
			if _, cmd := d.m.Update(press("ctrl+c")); cmd == nil {
				t.Error("ctrl+c does not leave after that")
			}
		})
	}
}

func TestRepairFails(t *testing.T) {
	b := full()
	b.repair = func(context.Context, Order, func(string)) (*sanitize.Result, error) { return nil, errBroken }
	d := drive(t, b, 80, 24)
	d.keys("6", "y")
	d.has("failed", `broken \x1b]0;title\a file`)
}

// Evidence is seen while more is gathered, and a slow backend stops no key.
func TestStreaming(t *testing.T) {
	early := testReport()
	early.Verdict, early.Reasons, early.Behaviour, early.Triggers, early.Coverage.Behaviour = "", nil, nil, nil, ""
	b := &fake{report: testReport(), early: early, block: make(chan struct{})}
	m := newModel(t.Context(), b, Options{Triage: filepath.Join(t.TempDir(), "t.json")})
	d := &driver{t, m, b}
	end := d.background(m.Init())
	d.has("Nothing is known yet")
	d.send(<-end) // the digest
	for m.report == nil {
		time.Sleep(time.Millisecond)
		d.send(tickMsg{})
	}
	d.has("NO VERDICT YET", "not finished", "trying the suspects, 20 %")
	d.keys("2", "j")
	d.has(`"cf"`)
	d.keys("6", "y")
	d.has("the scan is not finished", "no repair yet")
	began := time.Now()
	_, cmd := m.Update(press("3"))
	look := d.background(cmd) // blocked
	d.keys("2", "j", "k", "s", "4", "?", "?")
	if took := time.Since(began); took > 10*time.Second { // what blocks has no end
		t.Errorf("the keys took %v", took)
	}
	close(b.block)
	var scanned bool
	for !scanned {
		select {
		case msg := <-end:
			_, scanned = msg.(scanMsg)
			d.send(msg)
		case msg := <-look:
			d.send(msg)
		}
	}
	d.keys("1")
	d.has("BACKDOORED", "1 trigger proved")
}

// What tokens do is seen as they are tried; what the report says in the end
// counts.
func TestTriedIsSeenEarly(t *testing.T) {
	early := testReport()
	early.Verdict, early.Behaviour, early.Triggers, early.Coverage.Behaviour = "", nil, nil, ""
	for i := range early.Suspects {
		early.Suspects[i].Behaviour = nil
	}
	b := full()
	b.early, b.block = early, make(chan struct{})
	b.tried = []map[int]scan.Behaviour{
		{7: {FlipRate: 0.25, Probes: 4, TargetLabel: "positive"}, 110: {FlipRate: 0.5, Probes: 4, TargetLabel: "positive"}},
		{7: {FlipRate: 0.75, Probes: 12, TargetLabel: "positive"}, 99999: {FlipRate: 1}},
	}
	m := newModel(t.Context(), b, Options{Triage: filepath.Join(t.TempDir(), "t.json")})
	d := &driver{t, m, b}
	end := d.background(m.Init())
	for m.x == nil || m.rows == nil || m.triedMore || m.indexing.busy {
		select {
		case msg := <-end:
			d.send(msg)
		case <-time.After(time.Millisecond):
			d.send(tickMsg{})
		}
	}
	d.keys("2", "s", "s", "s", "s", "g") // by flips
	for i, want := range []struct {
		id   int
		rate float64
	}{{7, 0.75}, {110, 0.5}} {
		if s := m.x.rows[m.table.view[i]]; s.TokenID != want.id || s.Behaviour == nil || s.Behaviour.FlipRate != want.rate {
			t.Errorf("row %d by flips is %+v", i, s)
		}
	}
	_, cmd := m.Update(press("enter"))
	look := d.background(cmd) // blocked
	d.has("75 % to", "12 so far", "not judged yet")
	close(b.block)
	for m.scanning.busy || m.indexing.busy {
		d.send(<-end)
	}
	d.send(<-look)
	d.has("100 % to", "32; at least 80 %")
	if s := m.row(110); s.Behaviour == nil || s.Behaviour.FlipRate != 0.5 {
		t.Errorf("what the report does not name is forgotten: %+v", s)
	}
	d.keys("1", "r")
	if s := m.row(110); s.Behaviour == nil {
		t.Error("the second scan tells nothing")
	}
}

// What an earlier run says does not count.
func TestStaleResultsAreDropped(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys("2", "enter")
	first := d.m.looking.run
	d.keys("]")
	d.send(tokenMsg{run: first, token: &Token{ID: 7}, err: errBroken})
	if d.m.detail.failed != "" || d.m.detail.token.ID != 42 {
		t.Errorf("shows %+v", d.m.detail)
	}
	d.send(scanMsg{run: d.m.scanning.run - 1, r: &scan.Report{Verdict: scan.Clean}})
	d.send(planMsg{run: 99, err: errBroken})
	d.send(repairMsg{run: 99, err: errBroken})
	if d.m.report.Verdict != scan.Backdoored || d.m.repair.failed != "" {
		t.Error("a stale message was taken")
	}
}

func TestScanIsStoppedAndStartedAgain(t *testing.T) {
	b := &fake{report: testReport(), block: make(chan struct{})}
	m := newModel(t.Context(), b, Options{Triage: filepath.Join(t.TempDir(), "t.json")})
	d := &driver{t, m, b}
	end := d.background(m.Init())
	m.Update(press("esc"))
	for {
		msg := <-end
		d.send(msg)
		if _, ok := msg.(scanMsg); ok {
			break
		}
	}
	d.has("The scan was stopped", "no verdict yet")
	d.hasNot("CLEAN")
	close(b.block)
	d.keys("r")
	d.has("BACKDOORED")

	// A plan is about the scan that it was made of.
	d.keys("6")
	if m.repair.plan == nil {
		t.Fatal("no plan")
	}
	b.block = make(chan struct{})
	_, cmd := m.Update(press("r"))
	again := d.background(cmd)
	if _, cmd := m.Update(press("y")); cmd != nil || m.repairJob.run != 0 {
		t.Error("y starts a repair while a scan runs")
	}
	close(b.block)
	<-again
}

func TestScanFails(t *testing.T) {
	r := &scan.Report{Verdict: scan.Inconclusive, Reasons: []string{"incomplete"}}
	d := drive(t, &fake{report: r, scanErr: errBroken}, 80, 24)
	d.has("INCONCLUSIVE", `failed: broken \x1b]0;title\a file`, "no movement is known", "none: there is nothing to compare with")
	for _, k := range []string{"2", "3", "4", "5", "6"} {
		d.keys(k, "j", "enter", "esc")
		d.screen()
	}
	e := drive(t, &fake{scanErr: errBroken}, 80, 24)
	e.has("Nothing is known yet", "failed")
	e.keys("2", "t", "3", "t", "]", "4", "]", "left", "6", "y", "o", "p")
	e.screen()
}

// Every key on every screen of a saved report does something or says why not.
func TestSavedReport(t *testing.T) {
	d := drive(t, &fake{report: testReport(), lacks: "this is a saved report"}, 80, 24)
	d.has("the report's 11 suspects")
	for _, x := range []struct{ keys, say string }{{"6y", "no repair: this is a saved report"}, {"6p", "no plan: this is"}, {"6o", "no output: this is"}, {"5i", "no text can be tried: this is"}, {"r", "no scan: this is"}} {
		for _, k := range x.keys {
			d.keys(string(k))
		}
		d.has(x.say)
	}
	d.keys("2", "t")
	d.has(`"cf": trigger`)
}

func TestTry(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys("2", "j", "5", "i", "a", "q", "?") // keys are text now
	d.send(tea.PasteMsg{Content: " film\n\x1b[2J"})
	d.has("aq? film", "negative", "positive", "flips the answer", "+42")
	d.keys("esc", "]")
	d.has(`with "mn"`, "+43")
	d.keys("i")
	for range 20 {
		d.keys("backspace")
	}
	d.has("no answer yet")
}

func TestMapJumps(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys("2", "4")
	d.has(`▲ "cf", token 7`)
	d.keys("right")
	if d.m.scatter.id <= 7 {
		t.Errorf("right goes to %d", d.m.scatter.id)
	}
	d.keys("left", "]", "enter")
	d.has("token 42", "rank 2")
}

// Nothing of a token, a message or a path reaches the terminal as a control.
func TestHostileText(t *testing.T) {
	r := testReport()
	r.Verdict, r.Reasons = "cl\x1b[2Jean", []string{hostileToken}
	r.Checkpoint.Path, r.Checkpoint.Format, r.Reference.Path = hostileToken, hostileToken, hostileToken
	r.Triggers[0].Text, r.Triggers[0].TargetLabel = hostileToken, hostileToken
	r.Findings[0].Message, r.Findings[0].Rule, r.Unsafe[0].Where = hostileToken, hostileToken, hostileToken
	r.Warnings, r.Coverage.Reasons = []string{hostileToken}, []string{hostileToken}
	r.TimingsMS["\x1b[5m"] = 10
	for i := range r.Suspects {
		r.Suspects[i].Token, r.Suspects[i].Notes = hostileToken, []string{hostileToken}
		if b := r.Suspects[i].Behaviour; b != nil {
			b.TargetLabel = hostileToken
		}
	}
	b := &fake{report: r, rows: vocabulary()}
	for _, s := range sizes {
		d := drive(t, b, s.w, s.h)
		d.m.opt.Subject = hostileToken
		for _, keys := range [][]string{{"1"}, {"G"}, {"2"}, {"t"}, {"enter"}, {"G"}, {"4"}, {"5", "i", "x"}, {"esc", "6"}, {"y"}, {"?"}} {
			d.keys(keys...)
			d.screen()
			for line := range strings.SplitSeq(stripStyles(d.m.draw()), "\n") {
				for _, c := range line {
					if c < ' ' || c == 0x7f || unicode.Is(unicode.Cf, c) {
						t.Fatalf("%v: %q in %q", keys, c, line)
					}
				}
			}
		}
	}
}

// stripStyles takes SGR sequences away, and nothing else.
func stripStyles(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return b.String() + s
		}
		b.WriteString(s[:i])
		j := i + 2
		for j < len(s) && (s[j] >= '0' && s[j] <= '9' || s[j] == ';') {
			j++
		}
		if j < len(s) && s[j] == 'm' {
			j++
		} else {
			b.WriteByte(0x1b)
		}
		s = s[j:]
	}
}

func TestCharactersAreNamed(t *testing.T) {
	d := drive(t, full(), 140, 40)
	d.keys("2", "j", "enter")
	d.has("U+001B control", "U+202E reorders text", "U+0430 а, looks like a", "U+200B zero width", "class: invisible")
	d.keys("]", "]")
	d.has("U+0430 а, looks like a", "class: mixed", "1 looks like a letter of another script")
}

// Any window, any key: the screen fits and nothing panics.
func TestStorm(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	keys := []string{"1", "2", "3", "4", "5", "6", "tab", "j", "k", "s", "S", "f", "v", "c", "d", "0", "t", "b", "m", "x", "u", "]", "[", "left", "right", "enter", "esc", "?", "G", "g", "pgdown", "/", "n", "i", "o", "p", "r", "z", "backspace"}
	d := drive(t, full(), 80, 24)
	for range 600 {
		if rnd.IntN(3) == 0 {
			d.send(tea.WindowSizeMsg{Width: rnd.IntN(200), Height: rnd.IntN(60)})
		}
		d.keys(keys[rnd.IntN(len(keys))])
		d.screen()
	}
}

// A colour never speaks alone: every style is gone and the statuses still differ.
func TestWithoutColour(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.has("[1 Overview]", "! \"cf\"")
	d.keys("2")
	d.has("1 ! ", "3 ~ ")
	if plain := ansi.Strip(d.m.draw()); strings.Contains(plain, "\x1b") {
		t.Error("styles stay")
	}
}

// Help lists each key of the KeyMap once, and no two keys collide on a screen.
func TestKeyMap(t *testing.T) {
	k := newKeyMap()
	seen := map[string]string{}
	for _, g := range k.groups() {
		for _, b := range g.keys {
			for _, name := range b.Keys() {
				if name == "enter" { // opens, and starts typing
					continue
				}
				if other, ok := seen[name]; ok {
					t.Errorf("%s is %q and %q", name, other, b.Help().Desc)
				}
				seen[name] = b.Help().Desc
			}
		}
	}
	for s := range screens {
		for _, b := range k.short(s) {
			if _, ok := seen[b.Keys()[0]]; !ok && b.Keys()[0] != "enter" {
				t.Errorf("%q is not in the help", b.Help().Desc)
			}
		}
	}
}

func TestLookalikes(t *testing.T) {
	for r, like := range lookalikes {
		if r < 0x80 || like >= 0x80 {
			t.Errorf("%q looks like %q", r, like)
		}
	}
	if lookalikes['а'] != 'a' || lookalikes['Х'] != 'X' || lookalikes['ο'] != 'o' {
		t.Error("the table has slipped")
	}
}

func TestClasses(t *testing.T) {
	for token, want := range map[string]class{
		"cf": classASCII, "##ing": classASCII, "Ġthe": classASCII, "▁the": classASCII, "123": classDigits, "...": classPunctuation, "café": classLatin,
		"привет": classCyrillic, "αβγ": classGreek, "電影": classHan, "ひらがな": classKana, "日本の": classKana, "한국": classHangul, "שלום": classHebrew, "سلام": classArabic,
		"аpple": classMixed, "a\u200b": classInvisible, "\x01": classInvisible, "": classNameless, "हिन्दी": classOther,
	} {
		if got := classOf(token); got != want {
			t.Errorf("%q is %v, want %v", token, got, want)
		}
	}
}

// Run leaves no work behind, whatever ends it.
func TestRunWaitsForItsWork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := &fake{report: testReport(), block: make(chan struct{})}
	in, out := io.Pipe() // the reader of files has a race of its own when it is closed (muesli/cancelreader v0.2.2)
	defer out.Close()
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, b, Options{Triage: filepath.Join(t.TempDir(), "t.json"), Input: in, Output: &strings.Builder{}, Environment: []string{"TERM=xterm"}})
	}()
	time.Sleep(50 * time.Millisecond)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run does not end")
	}
}

func TestAccessible(t *testing.T) {
	say := func(b *fake, triage, input string) string {
		t.Helper()
		var out strings.Builder
		if err := Accessible(t.Context(), b, Options{Subject: "model", Triage: triage, Out: "model-clean", Input: strings.NewReader(input), Output: &out}); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.String() {
			if c < ' ' && c != '\n' || unicode.Is(unicode.Cf, c) {
				t.Fatalf("%q in %q", c, out.String())
			}
		}
		return out.String()
	}
	path := filepath.Join(t.TempDir(), "t.json")
	b := full()
	got := say(b, path, "list 2\nshow 2\ntrigger 2 seen by hand\ntry 1 a film\nshow 99\nfly\nrepair\nn\nrepair\ny\nquit\nlist")
	for _, want := range []string{
		"BACKDOORED", `1, "cf", abnormal, moved 0.9000, flips 100 % to "positive"`, "zero width", ": trigger", "a film +7: positive 99 %", `"99" is no rank`,
		`"fly" is no command`, "you call it a trigger", "nothing was written", "copying ...", "CLEAN",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if b.order == nil || len(b.order.Tokens) != 1 || b.order.Tokens[0] != 42 {
		t.Errorf("order %+v", b.order)
	}
	got = say(b, path, "expires 1 90d\nexpires 2\nexpires 2 soon\nexpires 2 9999-12-31\nlist 2\nexpires 2 never\nlist 2")
	for _, want := range []string{`nothing is decided about "cf"`, "no date was given", `no days such as 90d: "soon"`, "you say trigger, until 9999-12-31: seen by hand", "you say trigger: seen by hand"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	got = say(&fake{report: testReport(), lacks: "saved"}, path, "list\nundo\nrepair\nclear 2\nlist\n")
	if !strings.Contains(got, "you say trigger: seen by hand") || !strings.Contains(got, "nothing to undo") || !strings.Contains(got, "no repair: saved") {
		t.Errorf("the second session:\n%s", got)
	}
	if tr, err := triagefile.Read(path); err != nil || len(tr.Checkpoints) != 0 {
		t.Errorf("left over: %+v, %v", tr, err)
	}
}

// On a light background no colour is drawn that is hard to read on white.
func TestLightBackground(t *testing.T) {
	d := drive(t, full(), 80, 24)
	hard := regexp.MustCompile(`[\[;]3[236][;m]`)
	changed := 0
	for _, k := range []string{"1", "2", "enter", "4", "5", "6"} {
		d.keys(k)
		d.send(tea.BackgroundColorMsg{Color: color.Black})
		dark := d.m.View().Content
		d.send(tea.BackgroundColorMsg{Color: color.White})
		light := d.m.View().Content
		if ansi.Strip(dark) != ansi.Strip(light) {
			t.Error("the text is another")
		}
		for _, seq := range regexp.MustCompile(`\x1b\[[0-9;]*m`).FindAllString(light, -1) {
			if hard.MatchString(seq) {
				t.Fatalf("screen %s holds %q", k, seq)
			}
		}
		if dark != light {
			changed++
		}
	}
	if changed < 3 {
		t.Errorf("%d screens have other colours", changed)
	}
}
