package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// A Summary is what the scans of several models came to.
type Summary struct {
	SchemaVersion int            `json:"schema_version"`
	Tool          scan.Tool      `json:"tool"`
	ExitCode      int            `json:"exit_code"` // the program's
	Outcomes      map[string]int `json:"outcomes"`  // how many models came to each
	Models        []Scanned      `json:"models"`    // in the order in which they were given
}

// SummarySchemaVersion is the version of the JSON of a Summary.
const SummarySchemaVersion = 1

// Scanned is what the scan of one model came to.
type Scanned struct {
	Path     string       `json:"path"`
	Outcome  Outcome      `json:"outcome"`
	ExitCode int          `json:"exit_code"` // as if it had been scanned alone
	Verdict  scan.Verdict `json:"verdict,omitempty"`
	Reasons  []string     `json:"reasons"`         // of the verdict
	Error    string       `json:"error,omitempty"` // what kept the scan from being finished
	Reports  []string     `json:"reports"`         // files written
	Seconds  float64      `json:"seconds"`
}

// An Outcome is a verdict, or why there is none.
type Outcome string

// The outcomes, the worst first.
const (
	OutcomeBackdoored   Outcome = "backdoored"
	OutcomeSuspicious   Outcome = "suspicious"
	OutcomeUnsafe       Outcome = "unsafe"       // files that run code or are ambiguous
	OutcomeUnfinished   Outcome = "unfinished"   // the scan failed or was ended
	OutcomeNotScanned   Outcome = "not scanned"  // interrupted before
	OutcomeInconclusive Outcome = "inconclusive" // no verdict is possible
	OutcomeClean        Outcome = "clean"
)

var outcomes = []Outcome{OutcomeBackdoored, OutcomeSuspicious, OutcomeUnsafe, OutcomeUnfinished, OutcomeNotScanned, OutcomeInconclusive, OutcomeClean}

// why is what a summary says beside an outcome.
func (s *Scanned) why() string {
	if s.Error != "" {
		return s.Error
	}
	return strings.Join(s.Reasons, "; ")
}

// paint is the colour of an outcome.
func (o Outcome) paint() paint {
	switch o {
	case OutcomeBackdoored, OutcomeUnsafe:
		return style.red
	case OutcomeClean:
		return style.green
	}
	return style.yellow
}

// Summaries lists the formats of a summary, the default first.
func Summaries() []string { return []string{"text", "json", "markdown"} }

// Encode writes s in one of the formats of [Summaries], in one call of Write.
func (s *Summary) Encode(w io.Writer, format string, opt Options) error {
	var text []byte
	switch format {
	case "text":
		text = s.text(opt)
	case "markdown":
		text = s.markdown()
	case "json":
		var err error
		if text, err = JSON(s, "  "); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a summary of several models is %s, not %q", strings.Join(Summaries(), ", "), format)
	}
	_, err := w.Write(text)
	return err
}

// headline is how many models came to what, the worst first.
func (s *Summary) headline() string {
	var parts []string
	for _, o := range outcomes {
		if n := s.Outcomes[string(o)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", integer(n), o))
		}
	}
	return count(len(s.Models), "model") + ": " + strings.Join(parts, ", ")
}

// worstFirst is the models in the order in which they want to be looked at.
func (s *Summary) worstFirst() []Scanned {
	sorted := slices.Clone(s.Models)
	slices.SortStableFunc(sorted, func(a, b Scanned) int {
		return cmp.Compare(slices.Index(outcomes, a.Outcome), slices.Index(outcomes, b.Outcome))
	})
	return sorted
}

func (s *Summary) text(opt Options) []byte {
	sorted := s.worstFirst()
	outcome := &column{title: "OUTCOME", paint: func(row int) paint { return sorted[row].Outcome.paint() }}
	model := &column{title: "MODEL", flex: 24}
	took := &column{title: "TIME", right: true, keep: 1}
	for i := range sorted {
		m := &sorted[i]
		outcome.cells = append(outcome.cells, string(m.Outcome))
		model.cells = append(model.cells, Plain(clip(m.Path, maxText)))
		took.cells = append(took.cells, duration(m.Seconds))
	}
	width := max(opt.Width, minWidth)
	if opt.Width <= 0 {
		width = 80
	}
	st := style(opt.Color)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", st.bold(s.headline()))
	for i, line := range (table{outcome, model, took}).render(width-2, st) {
		fmt.Fprintf(&b, "  %s\n", strings.TrimRight(line, " "))
		if i == 0 || sorted[i-1].Outcome == OutcomeClean || sorted[i-1].why() == "" {
			continue
		}
		room := min(width, maxProse) - len(reasonIndent)
		for _, line := range wrap(Plain(clip(sorted[i-1].why(), maxText)), room, room) {
			fmt.Fprintf(&b, "%s\n", strings.TrimRight(reasonIndent+line, " "))
		}
	}
	return []byte(b.String())
}

// reasonIndent is how far the reason below a model is indented.
const reasonIndent = "      "

// duration is a time in seconds, as people say it.
func duration(seconds float64) string {
	if seconds < 10 {
		return decimal(seconds, 1) + " s"
	}
	return decimal(seconds, 0) + " s"
}

func (s *Summary) markdown() []byte {
	m := &markdown{Report: &scan.Report{}}
	icon := "✅"
	if s.ExitCode != 0 {
		icon = "⛔"
	}
	m.printf("## %s btu-scan: %s\n\n", icon, prose(s.headline()))
	sorted := s.worstFirst()
	shown := sorted[:min(len(sorted), markdownModels)]
	m.table([]string{"outcome", "model", "why", "time:"}, len(shown), func(i int) []string {
		m := &shown[i]
		return []string{prose(string(m.Outcome)), code(clip(m.Path, 4*markdownCell)), prose(clip(m.why(), 5*markdownCell)), prose(duration(m.Seconds))}
	})
	m.more(len(sorted) - len(shown))
	return []byte(m.b.String())
}

// markdownModels bounds a summary to less than GitHub cuts off.
const markdownModels = 500
