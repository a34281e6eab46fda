package tui

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// The styles use the terminal's own 16 colours and no background, so they suit
// light and dark ones. What a colour says is said by a word or a sign, too.
var (
	bold     = lipgloss.NewStyle().Bold(true)
	dim      = lipgloss.NewStyle().Faint(true)
	accent   = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
	good     = lipgloss.NewStyle().Foreground(lipgloss.Green)
	warn     = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	bad      = lipgloss.NewStyle().Foreground(lipgloss.Red)
	selected = lipgloss.NewStyle().Reverse(true)
)

// fit makes s exactly w columns wide.
func fit(s string, w int) string {
	if w <= 0 {
		return ""
	}
	if n := ansi.StringWidth(s); n < w {
		return s + strings.Repeat(" ", w-n)
	} else if n > w {
		s = ansi.Truncate(s, w, "…")
		return s + strings.Repeat(" ", max(0, w-ansi.StringWidth(s)))
	}
	return s
}

// right is fit with the text at the right end.
func right(s string, w int) string {
	if n := ansi.StringWidth(s); n < w {
		return strings.Repeat(" ", w-n) + s
	}
	return fit(s, w)
}

// wrap breaks safe text into lines.
func wrap(s string, w int) []string {
	return strings.Split(ansi.Wrap(s, max(1, w), ""), "\n")
}

// plain makes text of files safe, and not endless.
func plain(s string) string {
	const limit = 600
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return report.Plain(s)
}

// tokenName is a token for a reader, by its id where it has no name.
func tokenName(token string, id int) string {
	if token == "" {
		return fmt.Sprintf("#%d", id)
	}
	return ansi.Truncate(report.Token(token), 60, "…")
}

// block windows lines: a panel of w by h from line *from on, which is kept
// within bounds.
func block(lines []string, w, h int, from *int) string {
	*from = max(0, min(*from, len(lines)-h))
	out := make([]string, h)
	for i := range out {
		if k := *from + i; k < len(lines) {
			out[i] = fit(lines[k], w)
		} else {
			out[i] = strings.Repeat(" ", max(0, w))
		}
	}
	if more := len(lines) - *from - h; more > 0 && h > 1 {
		out[h-1] = fit(dim.Render(fmt.Sprintf("↓ %d more lines", more+1)), w)
	}
	return strings.Join(out, "\n")
}

// columns puts blocks of lines beside each other.
func columns(a []string, wa int, b []string, wb int) (lines []string) {
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		lines = append(lines, fit(x, wa)+"  "+fit(y, wb))
	}
	return lines
}

const gutter = 11

// field is a labelled paragraph.
func field(label, text string, w int, style lipgloss.Style) (lines []string) {
	for i, line := range wrap(text, w-gutter) {
		head := ""
		if i == 0 {
			head = label
		}
		lines = append(lines, dim.Render(fit(head, gutter))+style.Render(line))
	}
	return lines
}

var none = lipgloss.NewStyle()

// heading is a line above a part of a panel.
func heading(s string) string { return bold.Render(s) }

// integer writes n with commas.
func integer(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return integer(n) + " " + many
}

// number writes x in three digits.
func number(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 0):
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a == 0:
		return "0"
	case a >= 1e5 || a < 1e-3:
		return strconv.FormatFloat(x, 'e', 1, 64)
	case a >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

func percent(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "-"
	}
	return strconv.FormatFloat(100*x, 'f', 0, 64) + " %"
}

// sign is the symbol of a status.
func sign(s scan.SuspectStatus) string {
	switch s {
	case scan.StatusAbnormal:
		return "!"
	case scan.StatusBorderline:
		return "~"
	case scan.StatusNeutral:
		return "="
	}
	return " "
}

func statusStyle(s scan.SuspectStatus) lipgloss.Style {
	switch s {
	case scan.StatusAbnormal:
		return bad
	case scan.StatusBorderline:
		return warn
	}
	return none
}

func verdictName(v scan.Verdict) string {
	if v == "" {
		return "NO VERDICT YET"
	}
	return strings.ToUpper(plain(string(v)))
}

func verdictStyle(v scan.Verdict) lipgloss.Style {
	switch v {
	case scan.Clean:
		return good.Bold(true)
	case scan.Backdoored:
		return bad.Bold(true)
	case scan.Suspicious, scan.Inconclusive:
		return warn.Bold(true)
	}
	return bold
}

// bar shows a share from 0 to 1 in n cells, to an eighth of one.
func bar(x float64, n int) string {
	if !(x > 0) {
		return ""
	}
	eighths := int(math.Round(math.Min(x, 1) * float64(8*n)))
	s := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return s
}

// progressBar shows a share of what there is to do in n cells.
func progressBar(x float64, n int) string {
	done := bar(x, n)
	return accent.Render(done) + dim.Render(strings.Repeat("░", max(0, n-ansi.StringWidth(done))))
}

var ramp = []rune(" ▁▂▃▄▅▆▇█")

// upright shows values from 0 to 1 as bars of h rows, top row first. What is
// above 0 is seen.
func upright(values []float64, h int) []string {
	rows := make([][]rune, h)
	for i := range rows {
		rows[i] = make([]rune, len(values))
	}
	for x, v := range values {
		eighths := 0
		if v > 0 {
			eighths = max(1, min(8*h, int(math.Round(v*float64(8*h)))))
		}
		for i := range h {
			rows[h-1-i][x] = ramp[max(0, min(8, eighths-8*i))]
		}
	}
	lines := make([]string, h)
	for i, r := range rows {
		lines[i] = string(r)
	}
	return lines
}
