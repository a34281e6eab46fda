package tui

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/btu-scan/btu-scan/scan"
)

// BenchmarkKey is one key press with its screen, over 150,000 rows.
func BenchmarkKey(b *testing.B) {
	const n = 150_000
	rows := make([]scan.Suspect, n)
	for i := range rows {
		rows[i] = scan.Suspect{TokenID: i, Token: fmt.Sprintf("Tok%dен%d", i*7919%n, i%10), Rank: i*31%n + 1, Score: math.Sin(float64(i)), Status: scan.StatusNatural,
			Weights: scan.WeightStats{Movement: math.Abs(math.Cos(float64(i))), Rotation: float64(i % 90), Seen: i%3 == 0}}
	}
	m := newModel(b.Context(), &fake{report: testReport()}, Options{Triage: filepath.Join(b.TempDir(), "t.json")})
	m.Update(tea.WindowSizeMsg{Width: 140, Height: 50})
	m.report = testReport()
	run, _ := m.indexing.start(b.Context())
	x := newIndex(rows, nil)
	m.Update(indexMsg{run, x, x})
	for _, x := range []struct {
		name string
		keys []string
	}{
		{"down", []string{"2", "j"}}, {"page", []string{"2", "pgdown"}}, {"end", []string{"2", "G", "g"}}, {"sort", []string{"2", "s"}}, {"reverse", []string{"2", "S"}},
		{"seen", []string{"2", "v"}}, {"class", []string{"2", "c"}}, {"status", []string{"2", "f"}},
		{"filter-one-letter", []string{"/", "t", "backspace"}}, {"filter-longer", []string{"/", "t", "o", "k", "9", "9", "backspace", "backspace", "backspace", "backspace", "backspace"}},
		{"map", []string{"4", "right"}},
	} {
		b.Run(x.name, func(b *testing.B) {
			m.filtering = false
			m.table.filter, m.table.sort, m.table.reverse = filter{}, 0, false
			m.Update(press("2"))
			m.Update(press("0"))
			took := make([][]float64, len(x.keys))
			for b.Loop() {
				for i, k := range x.keys {
					began := time.Now()
					m.Update(press(k))
					m.draw()
					took[i] = append(took[i], float64(time.Since(began).Microseconds())/1000)
				}
				m.filtering = false
			}
			var least, median float64 // of the slowest key; the least is that of a machine with nothing else to do
			for _, t := range took {
				slices.Sort(t)
				least, median = max(least, t[0]), max(median, t[len(t)/2])
			}
			b.ReportMetric(least, "least-ms/key")
			b.ReportMetric(median, "median-ms/key")
		})
	}
}

// BenchmarkIndex is the work in the background before rows can be sorted.
func BenchmarkIndex(b *testing.B) {
	rows := make([]scan.Suspect, 150_000)
	for i := range rows {
		rows[i] = scan.Suspect{TokenID: i, Token: fmt.Sprintf("tok%d", i*7919%len(rows)), Score: math.Sin(float64(i)), Weights: scan.WeightStats{Movement: math.Abs(math.Cos(float64(i)))}}
	}
	for b.Loop() {
		newIndex(rows, nil)
	}
}

// BenchmarkTried is the work in the background when tokens were tried further.
func BenchmarkTried(b *testing.B) {
	rows := make([]scan.Suspect, 150_000)
	for i := range rows {
		rows[i] = scan.Suspect{TokenID: i, Token: fmt.Sprintf("tok%d", i), Weights: scan.WeightStats{Movement: math.Abs(math.Cos(float64(i)))}}
	}
	x := newIndex(rows, nil)
	tried := map[int]scan.Behaviour{}
	for i := range 300 {
		tried[i*411] = scan.Behaviour{FlipRate: math.Abs(math.Sin(float64(i)))}
	}
	for b.Loop() {
		x.with(tried)
	}
}
