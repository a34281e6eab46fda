package tui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/internal/triagefile"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

const plainWidth = 80

const plainHelp = `commands:
  report               the report again
  list [N]             the first N suspects (20), with what you decided
  show RANK            look closely at a suspect; #ID for a token by its id
  trigger RANK [NOTE]  decide; also benign and unsure, and clear to take it off
  expires RANK DATE    the decision counts until then: 2026-12-31, 90d or never
  undo                 take the last decision back
  try RANK TEXT        the model's answer to a text, without and with a suspect
  repair               what a repair would change; it asks before it writes
  help, quit
`

// Accessible asks and answers in plain lines, for screen readers and terminals
// that cannot draw. It ends with the input.
//
// Errors: context.Canceled; those of the scan, if there is no report, and of the
// output.
func Accessible(ctx context.Context, b Backend, opt Options) error {
	m := newModel(ctx, b, opt) // for its state; nothing is drawn
	p := &plainly{m: m, w: opt.Output}
	p.line("btu-scan triage, %s", plain(opt.Subject))
	stage := ""
	r, err := b.Scan(ctx, func(x Progress) {
		if head, _, _ := strings.Cut(x.Stage, ","); head != stage {
			stage = head
			p.line("%s ...", plain(head))
		}
	})
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case err != nil && r == nil:
		return err
	case err != nil:
		p.line("failed: %s", plain(err.Error()))
	}
	m.report = r
	if b.Lacks(FeatureRows) == "" && r.Weights != nil {
		if m.rows, err = b.Rows(ctx); err != nil {
			p.line("the rows of the vocabulary cannot be listed: %s", plain(err.Error()))
		}
	}
	m.x = newIndex(m.rows, r.Suspects)
	if digest, err := b.Digest(ctx); err != nil {
		m.decisionsWait = err.Error()
	} else if t, err := triagefile.Read(opt.Triage); err != nil {
		m.decisionsWait = err.Error()
	} else {
		m.decided.adopt(digest, t)
		m.decisionsWait = ""
	}
	p.report()
	p.line("help lists the commands")
	return p.loop(ctx, opt.Input)
}

// plainly is a session in plain lines.
type plainly struct {
	m   *model
	w   io.Writer
	err error // of the output
}

func (p *plainly) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *plainly) lines(lines []string) {
	for _, l := range lines {
		p.line("%s", strings.TrimRight(ansi.Strip(l), " "))
	}
}

func (p *plainly) report() {
	enc, err := report.New("text", report.Options{Width: plainWidth})
	if err == nil && p.err == nil {
		p.err = enc.Encode(p.w, p.m.report)
	}
}

// loop reads commands until the input ends. A line is waited for beside the
// context.
func (p *plainly) loop(ctx context.Context, in io.Reader) error {
	lines := make(chan string)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(in)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-stop:
				return
			}
		}
	}()
	read := func() (string, bool) {
		if p.err == nil {
			_, p.err = io.WriteString(p.w, "> ")
		}
		select {
		case l, ok := <-lines:
			return strings.TrimSpace(l), ok
		case <-ctx.Done():
			return "", false
		}
	}
	for p.err == nil {
		l, ok := read()
		if !ok || l == "quit" || l == "q" {
			break
		}
		p.command(ctx, l, read)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.err
}

func (p *plainly) command(ctx context.Context, l string, read func() (string, bool)) {
	name, rest, _ := strings.Cut(l, " ")
	which, text, _ := strings.Cut(strings.TrimSpace(rest), " ")
	switch name {
	case "":
	case "help", "?":
		if p.err == nil {
			_, p.err = io.WriteString(p.w, plainHelp)
		}
	case "report":
		p.report()
	case "list":
		p.list(which)
	case "undo":
		if id, ok := p.m.decided.back(); ok {
			p.line("undone: token %d", id)
			p.save()
		} else {
			p.line("nothing to undo")
		}
	case "repair":
		p.repair(ctx, read)
	case "show", "trigger", "benign", "unsure", "clear", "expires", "try":
		s := p.find(which)
		switch {
		case s == nil:
			p.line("%q is no rank of a suspect and no #ID of a token; list shows them", plain(which))
		case name == "show":
			p.show(ctx, s)
		case name == "try":
			p.try(ctx, s, text)
		case name == "expires":
			p.expires(s, text)
		default:
			p.decide(s, name, text)
		}
	default:
		p.line("%q is no command; help lists them", plain(name))
	}
}

// find is the row of a rank, or of an id with # before it.
func (p *plainly) find(which string) *scan.Suspect {
	if id, ok := strings.CutPrefix(which, "#"); ok {
		if n, err := strconv.Atoi(id); err == nil {
			return p.m.row(n)
		}
		return nil
	}
	n, err := strconv.Atoi(which)
	if err != nil || n < 1 {
		return nil
	}
	for i := range p.m.x.rows {
		if p.m.x.rows[i].Rank == n {
			return &p.m.x.rows[i]
		}
	}
	return nil
}

func (p *plainly) list(which string) {
	n, err := strconv.Atoi(which)
	if err != nil || n < 1 {
		n = 20
	}
	for _, i := range p.m.x.orders[columnRank] {
		s := &p.m.x.rows[i]
		if n--; n < 0 || s.Rank == 0 {
			break
		}
		l := fmt.Sprintf("%d, %s, %s, moved %s", s.Rank, tokenName(s.Token, s.TokenID), plain(string(s.Status)), number(s.Weights.Movement))
		if b := s.Behaviour; b != nil {
			l += fmt.Sprintf(", flips %s to %q", percent(b.FlipRate), plain(b.TargetLabel))
		}
		if said := p.m.decided.said(s.TokenID); said != "" {
			l += ", " + said
			if d := p.m.decided.byID[s.TokenID]; d.Note != "" {
				l += ": " + plain(d.Note)
			}
		}
		p.line("%s", l)
	}
}

func (p *plainly) show(ctx context.Context, s *scan.Suspect) {
	d := &detail{id: s.TokenID}
	l := look{suspect: s, report: p.m.report, lacks: p.m.b.Lacks(FeatureToken), lacksTry: p.m.b.Lacks(FeatureTry)}
	if l.lacks == "" {
		t, err := p.m.b.Token(ctx, s.TokenID)
		d.token, d.failed = t, message(err)
	}
	if l.lacksTry == "" {
		e, err := p.m.b.Examples(ctx, s.TokenID)
		d.examples, d.exFailed = e, message(err)
	}
	p.line("%s, token %d, %s", tokenName(s.Token, s.TokenID), s.TokenID, ansi.Strip(statusLine(s)))
	p.lines(decisionLines(p.m.decided.byID[s.TokenID], p.m.decided.said(s.TokenID), plainWidth))
	p.lines(slices.Concat(d.weightLines(s, p.m.report, plainWidth), d.behaviourLines(s, l, plainWidth), d.neighbourLines(l, plainWidth), characterLines(s.Token, plainWidth), d.exampleLines(l, plainWidth)))
}

func (p *plainly) try(ctx context.Context, s *scan.Suspect, text string) {
	if why := p.m.b.Lacks(FeatureTry); why != "" || text == "" {
		p.line("%s", orElse(plain(why), "no text was given"))
		return
	}
	for _, ids := range [][]int{nil, {s.TokenID}} {
		t, err := p.m.b.Try(ctx, text, ids)
		if err != nil {
			p.line("failed: %s", plain(err.Error()))
			return
		}
		var answers []string
		for _, a := range t.Answers {
			if !math.IsNaN(a.Probability) {
				answers = append(answers, plain(a.Label)+" "+percent(a.Probability))
			}
		}
		p.line("%s: %s", plain(t.Text), strings.Join(answers, ", "))
	}
}

func (p *plainly) decide(s *scan.Suspect, name, note string) {
	if p.m.decisionsWait != "" {
		p.line("nothing can be decided: %s", plain(p.m.decisionsWait))
		return
	}
	d := decision{Mark: triagefile.Mark(name), Note: report.Plain(strings.TrimSpace(note))}
	if name == "clear" {
		d = decision{}
	}
	d.TokenID, d.Token, d.Rule = s.TokenID, report.Plain(s.Token), p.m.rule(s.TokenID)
	p.m.decided.put(d)
	p.line("%s: %s", tokenName(s.Token, s.TokenID), orElse(string(d.Mark), "no mark"))
	p.save()
}

// expires says until when a decision counts.
func (p *plainly) expires(s *scan.Suspect, until string) {
	d, ok := p.m.decided.byID[s.TokenID]
	date, err := expiry(until, p.m.now())
	switch {
	case !ok:
		p.line("nothing is decided about %s", tokenName(s.Token, s.TokenID))
		return
	case strings.TrimSpace(until) == "":
		p.line("no date was given, and never is said in words")
		return
	case err != nil:
		p.line("%s", plain(err.Error()))
		return
	}
	d.Expires = date
	p.m.decided.put(d)
	p.line("%s: %s", tokenName(s.Token, s.TokenID), p.m.decided.said(s.TokenID))
	p.save()
}

func (p *plainly) save() {
	if err := p.m.decided.save()(); err != nil {
		p.line("NOT SAVED: %s", plain(err.Error()))
	}
}

// repair shows the plan, and carries it out when it is told yes.
func (p *plainly) repair(ctx context.Context, read func() (string, bool)) {
	if why := p.m.b.Lacks(FeatureRepair); why != "" {
		p.line("no repair: %s", plain(why))
		return
	}
	rep := &p.m.repair
	order := Order{Report: p.m.report, Tokens: p.m.decided.marked(triagefile.MarkTrigger), Benign: p.m.decided.marked(triagefile.MarkBenign), Out: rep.out}
	plan, err := p.m.b.Plan(ctx, order)
	if rep.plan = plan; err != nil {
		rep.planFailed(err)
		p.line("%s", orElse(plain(rep.failed), "nothing to repair: no trigger is proved and none is marked"))
		return
	}
	p.lines(rep.planLines(plainWidth))
	if len(plan.Rows) == 0 {
		return
	}
	p.line("y writes the copy to %s, anything else does not", plain(rep.out))
	if answer, ok := read(); !ok || answer != "y" {
		p.line("nothing was written")
		return
	}
	stage := ""
	res, err := p.m.b.Repair(ctx, order, func(s string) {
		if head, _, _ := strings.Cut(s, ","); head != stage {
			stage = head
			p.line("%s ...", plain(head))
		}
	})
	if err != nil {
		p.line("failed, nothing was written: %s", plain(err.Error()))
		return
	}
	p.lines(resultLines(res, plainWidth))
}
