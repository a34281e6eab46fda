package report

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"

	"github.com/btu-scan/btu-scan/scan"
)

// Bounds of the page, so that it stays under a megabyte whatever a report holds.
const (
	htmlSuspects = 300 // rows of the table
	htmlList     = 100
	htmlText     = 2000
	htmlName     = 60 // columns of a token
)

//go:embed html.tmpl
var htmlSource string

// htmlTemplate is parsed where it is first used: no other format needs it.
var htmlTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("report").Parse(htmlSource))
})

// htmlEncoder writes one page that needs nothing else: no network, which its
// own policy forbids, and no script. Charts are inline SVG, each with a line
// that says the same. Texts from files are escaped as in the text report, and
// then by html/template for the place where they stand.
type htmlEncoder struct{}

func newHTML(Options) Encoder { return htmlEncoder{} }

func (htmlEncoder) Encode(w io.Writer, r *scan.Report) error {
	if r == nil {
		return errNil
	}
	var b bytes.Buffer
	if err := htmlTemplate().Execute(&b, newHTMLPage(r)); err != nil {
		return fmt.Errorf("html: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// An htmlPage is what the template shows. All texts in it are safe for a
// terminal; the template escapes them for HTML.
type htmlPage struct {
	Title, Verdict, Class, Hint string
	Tool                        string
	Reasons                     []string
	Gate                        *htmlGate
	Facts                       []htmlFact
	Evidence                    []htmlEvidence
	CoverageReasons             []string
	Findings                    []htmlFinding
	More                        string // findings that were left out
	Triggers                    []htmlTrigger
	Histogram, Scatter, Flips   *htmlChart
	Repair                      *htmlRepair
	Suspects                    []htmlSuspect
	Behaviour                   bool // the suspects have columns of it
	Free                        bool // what is forced are texts, no labels
	Legend, Limits              string
	Warnings                    []string
}

type htmlGate struct {
	Decision, Class string
	Reasons, Notes  []string
}

type htmlFact struct{ Name, Value string }

type htmlEvidence struct{ Name, Gathered, Class, Done string }

type htmlFinding struct {
	Rule, Severity, Class, Short, Message, Where string
	Policy                                       string // what it made of it
	Tokens                                       []string
	Help                                         *htmlHelp
}

type htmlHelp struct {
	Full, Meaning string
	Advice        []string
}

type htmlTrigger struct{ Text, Label, Share, AtLeast, About string }

type htmlSuspect struct {
	Rank, Mark, Class, Status, Token, ID, Score, Moved, Times, Expected, Rotation string
	Flips, Label, Explained                                                       string
	Notes                                                                         string
}

// htmlToken is the name of a token in a table or a chart.
func htmlToken(s string, width int) string { return shorten(cell(s), width) }

func htmlSafe(s string) string { return Plain(clip(s, htmlText)) }

func htmlTexts(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), htmlList)] {
		out = append(out, htmlSafe(s))
	}
	if more := len(list) - htmlList; more > 0 {
		out = append(out, fmt.Sprintf("and %s more, all of them in the JSON report", integer(more)))
	}
	return out
}

func newHTMLPage(r *scan.Report) *htmlPage {
	t := &text{Report: r}
	p := &htmlPage{
		Verdict: htmlSafe(headline(r.Verdict)), Class: htmlVerdictClass(r.Verdict), Hint: htmlSafe(t.hint()),
		Tool:    htmlSafe(orElse(r.Tool.Name, "btu-scan") + " " + r.Tool.Version),
		Reasons: htmlTexts(orNone(r.Reasons)), CoverageReasons: htmlTexts(r.Coverage.Reasons), Warnings: htmlTexts(r.Warnings),
		Behaviour: watched(r.Suspects), Free: r.Behaviour.Free(),
	}
	p.Title = p.Verdict + ": " + shorten(htmlSafe(orElse(r.Checkpoint.Path, "checkpoint")), htmlName)
	if gateSays(r) {
		decision, reasons := gateHead(r.Gate)
		class := map[scan.Decision]string{scan.Pass: "good", scan.Fail: "bad"}[r.Gate.Decision]
		p.Gate = &htmlGate{Decision: decision, Class: orElse(class, "warn"), Reasons: htmlTexts(reasons), Notes: htmlTexts(gateNotes(r))}
	}
	p.Facts = htmlFacts(r)
	p.Evidence = []htmlEvidence{htmlEvidenceOf("weights", r.Coverage.Weights, ""), htmlEvidenceOf("behaviour", r.Coverage.Behaviour, t.watching())}
	if w := r.Weights; w != nil {
		p.Evidence[0].Done = fmt.Sprintf("%s of %s rows moved", integer(w.RowsMoved), integer(w.RowsMoved+w.RowsSame))
	}
	p.findings(r)
	for _, g := range r.Triggers[:min(len(r.Triggers), htmlList)] {
		p.Triggers = append(p.Triggers, htmlTrigger{
			Text: htmlToken(g.Text, widestTrigger), Label: htmlToken(g.TargetLabel, widestLabel),
			Share: share(g.FlipRate, g.Probes), AtLeast: percent(g.FlipRateLow), About: htmlSafe(t.aboutTrigger(g)),
		})
	}
	p.suspects(r)
	p.Histogram, p.Scatter, p.Flips = histogramChart(r), scatterChart(r), flipChart(r)
	p.Repair = newHTMLRepair(r.Repair)
	return p
}

func htmlVerdictClass(v scan.Verdict) string {
	switch v {
	case scan.Clean:
		return "good"
	case scan.Backdoored:
		return "bad"
	}
	return "warn"
}

func htmlFacts(r *scan.Report) (facts []htmlFact) {
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, htmlFact{name, htmlSafe(value)})
		}
	}
	add("checkpoint", orElse(r.Checkpoint.Path, "(no path)"))
	add("format", join(r.Checkpoint.Format, r.Checkpoint.Architecture))
	add("sha256", r.Checkpoint.SHA256)
	if r.Checkpoint.SHA256 == "" {
		add("digest", r.Checkpoint.Digest)
	}
	if e := r.Checkpoint.Embedding; e != nil {
		tied := "not tied"
		if e.Tied {
			tied = "tied to the output"
		}
		add("embedding", join(clip(e.Tensor, htmlText/2), fmt.Sprintf("%s rows × %s", integer(e.Rows), integer(e.Dim)), r.Checkpoint.DType, tied))
	}
	ref := r.Reference
	if ref == nil {
		add("reference", "none: there was nothing to compare with")
		return facts
	}
	add("reference", orElse(ref.ID, orElse(ref.Path, "(no path)")))
	pinned := "not pinned"
	if ref.Verified {
		pinned = "pinned: its files have the recorded digest"
	}
	add("found by", join(clip(ref.HowFound, htmlText/2), pinned))
	if m := ref.Match; m != nil {
		add("match", join(orElse(clip(string(m.Verdict), htmlName), "unknown"), fmt.Sprintf("median row cosine %s over %s rows", decimal(m.RowCosineMedian, 4), integer(m.RowsCompared))))
	}
	return facts
}

func htmlEvidenceOf(name string, g scan.Gathered, done string) htmlEvidence {
	e := htmlEvidence{Name: name, Gathered: orElse(htmlSafe(string(g)), "unknown"), Class: "warn", Done: done}
	if g == scan.GatheredFull {
		e.Class = "good"
	}
	return e
}

func (p *htmlPage) findings(r *scan.Report) {
	all, names := issues(r), TokenNames(r)
	if len(all) > htmlList {
		serious(all)
		p.More = fmt.Sprintf("and %s more, all of them in the JSON report", integer(len(all)-htmlList))
		all = all[:htmlList]
	}
	for _, i := range all {
		f := htmlFinding{
			Rule: htmlSafe(clip(i.rule, htmlName)), Severity: htmlSafe(clip(string(i.severity), htmlName)), Class: []string{"info", "warn", "bad", "bad"}[weight(i.severity)],
			Message: htmlSafe(i.message), Where: htmlSafe(i.where), Policy: htmlSafe(strings.Trim(i.marks(), " []")),
		}
		for _, id := range i.tokens[:min(len(i.tokens), maxList)] {
			name := "token"
			if names[id] != "" {
				name = htmlToken(names[id], widestWord)
			}
			f.Tokens = append(f.Tokens, fmt.Sprintf("%s %d", name, id))
		}
		if more := len(i.tokens) - len(f.Tokens); more > 0 {
			f.Tokens = append(f.Tokens, fmt.Sprintf("and %s more", integer(more)))
		}
		if k := ruleIndex(i.rule); k >= 0 {
			f.Short, f.Help = rules[k].short, &htmlHelp{rules[k].full, rules[k].meaning, rules[k].advice}
		}
		p.Findings = append(p.Findings, f)
	}
}

func (p *htmlPage) suspects(r *scan.Report) {
	shown := r.Suspects[:min(len(r.Suspects), htmlSuspects)]
	if len(shown) == 0 {
		return
	}
	t := &text{Report: r}
	p.Legend = t.legend(len(shown))
	if w := r.Weights; w != nil && w.Abnormal > 0 {
		p.Limits = fmt.Sprintf("One token alone is natural up to score %s and abnormal from %s; several are judged together.", decimal(w.Natural, 2), decimal(w.Abnormal, 2))
	}
	var moved []float64
	for _, s := range shown {
		moved = append(moved, s.Weights.Movement)
	}
	d := decimals(moved)
	for _, s := range shown {
		mark, _ := mark(s.Status)
		row := htmlSuspect{
			Rank: integer(s.Rank), Mark: mark, Class: statusClass(s.Status), Status: htmlSafe(string(s.Status)), Token: htmlToken(s.Token, htmlName), ID: fmt.Sprint(s.TokenID),
			Score: decimal(s.Score, 2), Moved: decimal(s.Weights.Movement, d), Times: missing, Expected: fmt.Sprintf("%.2g", s.Weights.Expected), Rotation: decimal(s.Weights.Rotation, 1),
			Flips: missing, Explained: missing, Notes: htmlSafe(strings.Join(s.Notes, "; ")),
		}
		if w := r.Weights; w != nil && w.Median > 0 {
			row.Times = decimal(s.Weights.Movement/w.Median, 1)
		}
		if b := s.Behaviour; b != nil {
			row.Flips, row.Label = percent(b.FlipRate), htmlToken(b.TargetLabel, widestWord)
			if b.Explained {
				row.Explained = "yes"
			} else if b.ExplainedShare > 0 {
				row.Explained = "no"
			}
		}
		p.Suspects = append(p.Suspects, row)
	}
}

// statusClass is the style of a suspect: of what is known, and not the file's
// own word.
func statusClass(s scan.SuspectStatus) string {
	switch s {
	case scan.StatusAbnormal:
		return "bad"
	case scan.StatusBorderline:
		return "warn"
	}
	return "info"
}
