package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

const (
	gutter   = 14  // of the labels; the longest verdict is 12
	minWidth = 40  // below it there is no room beside the gutter
	maxProse = 100 // longer lines are hard to read; tables may be wider

	// Bounds of what a file can make the report say, without and with Verbose.
	// The JSON holds everything.
	maxText, maxTextVerbose = 600, 16 << 10 // bytes
	maxList, maxListVerbose = 12, 1000
)

// textEncoder writes for people at a terminal.
type textEncoder struct{ opt Options }

func newText(opt Options) Encoder {
	if opt.Top <= 0 {
		opt.Top = 20
	}
	if opt.Width <= 0 {
		opt.Width = 80
	}
	opt.Width = max(opt.Width, minWidth)
	return textEncoder{opt}
}

func (e textEncoder) Encode(w io.Writer, r *scan.Report) error {
	if r == nil {
		return errNil
	}
	t := &text{Report: r, opt: e.opt, style: style(e.opt.Color)}
	for _, section := range []func(){
		t.verdict, t.gate, t.subject, t.coverage, t.repair, t.triggers, t.findings, t.suspects, t.warnings, t.details, t.next,
	} {
		section()
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// text is one report on its way to a terminal.
type text struct {
	*scan.Report
	opt   Options
	style style
	b     strings.Builder
}

// A field is a paragraph with a label in the gutter. Its texts are made safe
// when it is written; label and lead are the program's own words.
type field struct {
	label      string
	labelPaint paint // optional
	lead       string
	leadPaint  paint // optional
	text       string
	indent     int // how much further the first line is indented
	hang       int // the same for all others
}

func (t *text) field(f field) {
	if f.labelPaint == nil {
		f.labelPaint = style.dim
	}
	if f.leadPaint == nil {
		f.leadPaint = style.none
	}
	room := t.room()
	first := room - f.indent
	if f.lead != "" {
		first -= displayWidth(f.lead) + 2
	}
	label := pad(f.label, gutter, false)
	if f.label != "" {
		label = f.labelPaint(t.style, label)
	}
	label += strings.Repeat(" ", f.indent)
	for i, line := range wrap(t.safe(f.text), first, room-f.hang) {
		switch {
		case i > 0:
			line = strings.Repeat(" ", gutter+f.hang) + line
		case f.lead != "":
			line = label + f.leadPaint(t.style, f.lead) + "  " + line
		default:
			line = label + line
		}
		t.line(line)
	}
}

// room is the width of texts beside the gutter.
func (t *text) room() int { return min(t.opt.Width, maxProse) - gutter }

// line writes one line that is safe and fits.
func (t *text) line(s string) {
	t.b.WriteString(strings.TrimRight(s, " "))
	t.b.WriteByte('\n')
}

func (t *text) blank() { t.b.WriteByte('\n') }

// list writes fields below one label, and how many there are more.
func (t *text) list(label string, n int, at func(i int) field) {
	limit := maxList
	if t.opt.Verbose {
		limit = maxListVerbose
	}
	t.listUpTo(limit, label, n, at)
}

func (t *text) listUpTo(limit int, label string, n int, at func(i int) field) {
	for i := range min(n, limit) {
		f := at(i)
		if i == 0 {
			f.label = label
		}
		t.field(f)
	}
	t.more(n - limit)
}

// more says that n items of a list were left out.
func (t *text) more(n int) {
	if n > 0 {
		t.field(field{text: fmt.Sprintf("and %s more, all of them in the JSON report", integer(n))})
	}
}

// safe makes text from files safe for a line and bounds its length.
func (t *text) safe(s string) string {
	limit := maxText
	if t.opt.Verbose {
		limit = maxTextVerbose
	}
	return Plain(clip(s, limit))
}

func (t *text) verdict() {
	label, p := string(t.Verdict), paint(style.bold)
	switch t.Verdict {
	case scan.Clean:
		p = style.green
	case scan.Backdoored:
		p = style.red
	case scan.Suspicious, scan.Inconclusive:
		p = style.yellow
	default:
		label = "no verdict" // an unfinished report, never clean
	}
	reasons := t.Reasons
	if len(reasons) == 0 {
		reasons = []string{"no reason was given"}
	}
	t.list(strings.ToUpper(label), len(reasons), func(i int) field {
		return field{text: reasons[i], labelPaint: func(s style, text string) string { return s.bold(p(s, text)) }}
	})
	t.blank()
}

func (t *text) subject() {
	c := t.Checkpoint
	t.field(field{label: "checkpoint", text: orElse(c.Path, "(no path)")})
	if about := join(c.Format, c.Architecture); about != "" {
		t.field(field{text: about})
	}
	about := "no embedding was found"
	if e := c.Embedding; e != nil {
		about = fmt.Sprintf("%s rows × %s", integer(e.Rows), integer(e.Dim))
		if e.Tied {
			about += ", tied to the output"
		} else {
			about += ", not tied"
		}
	}
	t.field(field{text: join(c.DType, about)})

	ref := t.Reference
	if ref == nil {
		t.field(field{label: "reference", text: "none: there was nothing to compare with"})
		return
	}
	t.field(field{label: "reference", text: orElse(ref.ID, orElse(ref.Path, "(no path)"))})
	if ref.ID != "" && ref.Path != "" {
		t.field(field{text: ref.Path})
	}
	pinned := "not pinned: its files were not checked against a digest"
	if ref.Verified {
		pinned = "pinned: its files have the recorded digest"
	}
	if ref.HowFound != "" {
		t.field(field{text: "found by: " + ref.HowFound})
	}
	t.field(field{text: pinned})
	m := ref.Match
	if m == nil {
		t.field(field{text: "not compared"})
		return
	}
	f := field{lead: string(m.Verdict), leadPaint: style.green, hang: 2,
		text: fmt.Sprintf("median row cosine %s over %s rows", decimal(m.RowCosineMedian, 4), integer(m.RowsCompared))}
	switch m.Verdict {
	case scan.MatchGood:
	case scan.MatchMismatch:
		f.leadPaint = style.red
	default:
		f.lead, f.leadPaint = "match unknown", style.yellow
	}
	if m.RowsAdded > 0 {
		f.text += ", " + integer(m.RowsAdded) + " added"
	}
	if m.RowsRemoved > 0 {
		f.text += ", " + integer(m.RowsRemoved) + " removed"
	}
	t.field(f)
}

func (t *text) findings() {
	if len(t.Findings)+len(t.Unsafe) == 0 {
		return
	}
	leads := 0 // their width, so that the messages are aligned
	for _, f := range t.Findings {
		leads = max(leads, displayWidth(lead(f.Rule, f.Severity)))
	}
	for _, u := range t.Unsafe {
		leads = max(leads, displayWidth(lead(u.Rule, u.Severity)))
	}
	finding := func(rule string, severity scan.Severity, message string) field {
		p := paint(style.none)
		switch severity {
		case scan.SeverityCritical, scan.SeverityHigh:
			p = style.red
		case scan.SeverityWarning:
			p = style.yellow
		}
		return field{lead: pad(lead(rule, severity), leads, false), leadPaint: p, text: message, hang: 2}
	}
	t.list("findings", len(t.Findings), func(i int) field {
		f := t.Findings[i]
		return finding(f.Rule, f.Severity, noted(f.Message, marks(f.SeverityWas, f.Suppressions, f.Suppressed, len(f.TokenIDs)), maxText))
	})
	t.list("unsafe files", len(t.Unsafe), func(i int) field {
		u := t.Unsafe[i]
		detail := u.Detail
		if u.Where != "" {
			detail = clip(u.Where, maxText/2) + ": " + detail
		}
		return finding(u.Rule, u.Severity, noted(detail, marks(u.SeverityWas, u.Suppressions, u.Suppressed, 0), maxText))
	})
	t.blank()
}

// lead starts the line of a finding. It bounds what should be short anyway.
func lead(rule string, severity scan.Severity) string {
	return strings.TrimRight(head(Plain(clip(rule+" "+string(severity), 24)), 20), " ")
}

func (t *text) warnings() {
	if len(t.Warnings) == 0 {
		return
	}
	t.list("warnings", len(t.Warnings), func(i int) field { return field{text: "- " + t.Warnings[i], hang: 2} })
	t.blank()
}

// details are what only Verbose shows.
func (t *text) details() {
	if !t.opt.Verbose {
		return
	}
	t.labels()
	var lines []string
	if e := t.Checkpoint.Embedding; e != nil {
		lines = append(lines, "embedding tensor "+e.Tensor)
	}
	if t.Checkpoint.SHA256 != "" {
		lines = append(lines, "sha256 "+t.Checkpoint.SHA256)
	} else if t.Checkpoint.Digest != "" {
		lines = append(lines, "digest "+t.Checkpoint.Digest)
	}
	if w := t.Weights; w != nil {
		lines = append(lines, fmt.Sprintf("weight decay took %s of every row; %s taken out; unmoved rows moved by up to %.3g",
			percentFine(w.Decay), count(w.SharedDirections, "shared direction"), w.Floor))
	}
	if b := t.Behaviour; b != nil {
		lines = append(lines, "the model read "+count(b.Tokens, "token"))
	}
	if s := t.timings(); s != "" {
		lines = append(lines, "milliseconds: "+s)
	}
	lines = append(lines, "written by "+join(t.Tool.Name+" "+t.Tool.Version, fmt.Sprintf("schema version %d", t.SchemaVersion)))
	t.list("details", len(lines), func(i int) field { return field{text: lines[i], hang: 2} })
	t.blank()
}
