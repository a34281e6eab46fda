package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/btu-scan/btu-scan/scan"
)

// Bounds of a summary: GitHub cuts a step's at 1 MiB.
const (
	markdownList = 20
	markdownText = 1000
	markdownCell = 60 // columns of a name in a table
)

// markdownEncoder writes GitHub Flavored Markdown for a job summary.
//
// A token may be any text, so it must not be able to become markup. Texts of
// the model stand in code spans, quoted as in the text report, in which even
// the two characters that matter there are escapes: no backquote ends the span
// and no bar the cell. Sentences are escaped with character references.
type markdownEncoder struct{ top int }

func newMarkdown(opt Options) Encoder {
	if opt.Top <= 0 {
		opt.Top = 20
	}
	return markdownEncoder{opt.Top}
}

func (e markdownEncoder) Encode(w io.Writer, r *scan.Report) error {
	if r == nil {
		return errNil
	}
	m := &markdown{Report: r, top: e.top}
	for _, section := range []func(){m.verdict, m.gate, m.repair, m.findings, m.triggers, m.suspects, m.coverage, m.warnings, m.footer} {
		section()
	}
	_, err := io.WriteString(w, m.b.String())
	return err
}

type markdown struct {
	*scan.Report
	top int
	b   strings.Builder
}

func (m *markdown) printf(format string, args ...any) { fmt.Fprintf(&m.b, format, args...) }

// list writes an item for each text, and how many more there are.
func (m *markdown) list(texts []string) {
	for _, text := range texts[:min(len(texts), markdownList)] {
		m.printf("- %s\n", orElse(prose(text), "(empty)"))
	}
	if more := len(texts) - markdownList; more > 0 {
		m.printf("- and %s more, all of them in the JSON report\n", integer(more))
	}
	m.printf("\n")
}

// table writes a table of cells that are safe already. A column is aligned to
// the right where its title ends in a colon.
func (m *markdown) table(titles []string, rows int, row func(i int) []string) {
	if rows == 0 {
		return
	}
	var head, rule []string
	for _, t := range titles {
		name, right := strings.CutSuffix(t, ":")
		head = append(head, name)
		if right {
			rule = append(rule, "--:")
		} else {
			rule = append(rule, "---")
		}
	}
	line := func(cells []string) { m.printf("| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(rule)
	for i := range rows {
		line(row(i))
	}
	m.printf("\n")
}

func (m *markdown) verdict() {
	icon := map[scan.Verdict]string{scan.Clean: "✅", scan.Suspicious: "⚠️", scan.Backdoored: "⛔"}[m.Verdict]
	m.printf("## %s btu-scan: %s\n\n", orElse(icon, "❔"), prose(headline(m.Verdict)))
	m.printf("Checkpoint %s", code(orElse(m.Checkpoint.Path, "(no path)")))
	if about := join(m.Checkpoint.Format, m.Checkpoint.Architecture); about != "" {
		m.printf(" (%s)", prose(about))
	}
	if ref := m.Reference; ref != nil {
		m.printf(", compared with %s", code(orElse(orElse(ref.ID, ref.Path), "(no path)")))
		if !ref.Verified {
			m.printf(" (not pinned)")
		}
	} else {
		m.printf(", compared with nothing: no reference was found")
	}
	m.printf("\n\n")
	m.list(orNone(m.Reasons))
	hint := (&text{Report: m.Report}).hint()
	m.printf("**Next:** %s.\n\n", prose(hint))
}

func (m *markdown) findings() {
	if len(m.Findings)+len(m.Unsafe) == 0 {
		return
	}
	m.printf("### Findings\n\n")
	n := min(len(m.Findings), markdownList)
	m.table([]string{"rule", "severity", "what was found"}, n, func(i int) []string {
		f := m.Findings[i]
		return []string{ruleCell(f.Rule), prose(clip(string(f.Severity), markdownCell)), prose(noted(f.Message, marks(f.SeverityWas, f.Suppressions, f.Suppressed, len(f.TokenIDs)), markdownText))}
	})
	m.more(len(m.Findings) - n)
	n = min(len(m.Unsafe), markdownList)
	m.table([]string{"rule", "severity", "where", "what is wrong with the file"}, n, func(i int) []string {
		u := m.Unsafe[i]
		return []string{ruleCell(u.Rule), prose(clip(string(u.Severity), markdownCell)), code(clip(u.Where, 4*markdownCell)), prose(noted(u.Detail, marks(u.SeverityWas, u.Suppressions, u.Suppressed, 0), markdownText))}
	})
	m.more(len(m.Unsafe) - n)
	var known []string
	for i := range rules {
		r := &rules[i]
		if m.has(r.id) {
			known = append(known, "**"+r.id+"** "+r.meaning+" *What to do:* "+strings.Join(r.advice, " "))
		}
	}
	if len(known) > 0 {
		m.printf("<details><summary>What this means and what to do</summary>\n\n%s\n\n</details>\n\n", strings.Join(known, "\n\n"))
	}
}

func (m *markdown) has(id string) bool {
	for _, f := range m.Findings {
		if f.Rule == id {
			return true
		}
	}
	for _, u := range m.Unsafe {
		if u.Rule == id {
			return true
		}
	}
	return false
}

func ruleCell(id string) string {
	if i := ruleIndex(id); i >= 0 {
		return id + "<br>" + rules[i].short
	}
	return prose(clip(id, markdownCell))
}

func (m *markdown) more(n int) {
	if n > 0 {
		m.printf("and %s more, all of them in the JSON report\n\n", integer(n))
	}
}

func (m *markdown) triggers() {
	if len(m.Triggers) == 0 {
		return
	}
	what := "Each turns texts that say something else to its answer."
	if m.Behaviour.Free() {
		what = "Each makes the model go on with its text, whatever was said before."
	}
	m.printf("### Triggers\n\n%s\n\n", what)
	n := min(len(m.Triggers), markdownList)
	m.table([]string{"trigger", "forces", "turns:", "at least (95 %):", "place", "found by"}, n, func(i int) []string {
		t := m.Triggers[i]
		return []string{
			tokenCell(t.Text), tokenCell(t.TargetLabel), prose(share(t.FlipRate, t.Probes)), prose(percent(t.FlipRateLow)),
			prose(clip(t.Place, markdownCell)), prose(clip(t.FoundBy, markdownCell)),
		}
	})
	m.more(len(m.Triggers) - n)
}

func (m *markdown) suspects() {
	if len(m.Suspects) == 0 {
		return
	}
	n := min(len(m.Suspects), m.top)
	m.printf("### Suspects\n\n%s\n\n", prose((&text{Report: m.Report}).legend(n)))
	titles := []string{"#:", "", "token", "id:", "score:", "moved:"}
	behaviour := watched(m.Suspects[:n])
	if behaviour {
		titles = append(titles, "flips:", "to")
	}
	var moved []float64
	for _, s := range m.Suspects[:n] {
		moved = append(moved, s.Weights.Movement)
	}
	d := decimals(moved)
	m.table(titles, n, func(i int) []string {
		s := m.Suspects[i]
		mark, _ := mark(s.Status)
		cells := []string{integer(s.Rank), prose(mark), tokenCell(s.Token), fmt.Sprint(s.TokenID), prose(decimal(s.Score, 2)), prose(decimal(s.Weights.Movement, d))}
		switch {
		case behaviour && s.Behaviour != nil:
			cells = append(cells, prose(percent(s.Behaviour.FlipRate)), tokenCell(s.Behaviour.TargetLabel))
		case behaviour:
			cells = append(cells, "", "")
		}
		return cells
	})
}

func (m *markdown) coverage() {
	t := &text{Report: m.Report}
	m.printf("### Coverage\n\n")
	kinds := []struct {
		name, done string
		gathered   scan.Gathered
	}{{"weights", "", m.Coverage.Weights}, {"behaviour", t.watching(), m.Coverage.Behaviour}}
	if w := m.Weights; w != nil {
		kinds[0].done = integer(w.RowsMoved) + " of " + integer(w.RowsMoved+w.RowsSame) + " rows moved"
	}
	m.table([]string{"evidence", "gathered", "of what"}, len(kinds), func(i int) []string {
		return []string{kinds[i].name, prose(clip(orElse(string(kinds[i].gathered), "unknown"), markdownCell)), prose(kinds[i].done)}
	})
	if len(m.Coverage.Reasons) > 0 {
		m.list(m.Coverage.Reasons)
	}
}

func (m *markdown) warnings() {
	if len(m.Warnings) > 0 {
		m.printf("### Warnings\n\n")
		m.list(m.Warnings)
	}
}

func (m *markdown) footer() {
	m.printf("Written by %s\n", prose(strings.TrimSpace(clip(orElse(m.Tool.Name, "btu-scan")+" "+m.Tool.Version, markdownCell))))
}

// tokenCell is a text of the model in a cell.
func tokenCell(s string) string {
	if s == "" {
		return "(no name)"
	}
	return span(shorten(cell(s), markdownCell))
}

// code is a text from files in a sentence or a cell, as it is.
func code(s string) string {
	if s = clip(s, markdownText); rightToLeft(s) {
		return span(strconv.QuoteToASCII(s))
	}
	return span(quote(s))
}

// span puts a quoted text into a code span. Where it is not a quoted text the
// blanks at its ends would be lost, and nothing else would change.
func span(s string) string {
	return "`" + strings.NewReplacer("`", `\x60`, "|", `\x7c`).Replace(s) + "`"
}

// numbers reports whether a text is digits alone.
func numbers(runes []rune) bool {
	return len(runes) > 0 && !slices.ContainsFunc(runes, func(r rune) bool { return r < '0' || r > '9' })
}

// prose makes a sentence safe wherever it stands. Every mark that could begin
// markup, a link, a mention or a character reference is written as a reference;
// only marks that can do nothing where they stand are kept, so that the source
// stays readable. An at sign is a code span: some renderers look for addresses
// after they have resolved references.
func prose(s string) string {
	s = Plain(clip(s, markdownText))
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	var b strings.Builder
	runes := []rune(s)
	word := func(i int) bool {
		return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i]))
	}
	digit := func(i int) bool { return i >= 0 && i < len(runes) && unicode.IsDigit(runes[i]) }
	ends := func(i int) bool { return i+1 == len(runes) || runes[i+1] == ' ' }
	for i, r := range runes {
		switch {
		case r == ')' && numbers(runes[:i]): // "1)" begins a list
			fmt.Fprintf(&b, "&#%d;", r)
		case r > '~' || r == ' ' || word(i), strings.ContainsRune(`,;"'%()`, r),
			r == '-' && word(i-1) && word(i+1),
			r == '/' && word(i-1) && word(i+1),
			r == '.' && (digit(i-1) && digit(i+1) || word(i-1) && !digit(i-1) && ends(i)),
			r == ':' && word(i-1) && ends(i):
			b.WriteRune(r)
		case r == '@':
			b.WriteString("`@`")
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}
