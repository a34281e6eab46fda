package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

func TestHTML(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got := encode(t, "html", Options{Top: 1, Color: true, Width: 40}, s.report)
			checkHTML(t, got)
			golden(t, s.name+".html", got)
		})
	}
}

// htmlElements are those of the template, none of which loads or runs anything.
var htmlElements = strings.Fields("html head style body main header section figure figcaption svg rect line circle text title h1 h2 h3 " +
	"p ul ol li strong div span bdi br code details summary dl dt dd table tr th td")

// checkHTML reads the page strictly, as XML but for its void elements, and
// fails where it has an element, an attribute or a nesting that the template
// does not. It returns the tags.
func checkHTML(t *testing.T, got string) string {
	t.Helper()
	plain(t, got)
	if len(got) > 1_000_000 {
		t.Errorf("%d bytes", len(got))
	}
	head, body, ok := strings.Cut(got, "</style>")
	if !ok || !strings.Contains(head, `content="default-src 'none'; style-src 'unsafe-inline'`) {
		t.Fatal("no policy")
	}
	if strings.Contains(head[strings.Index(head, "<style>"):], "url(") {
		t.Error("the style loads something")
	}
	dec := xml.NewDecoder(strings.NewReader("<html><head><style>" + "</style>" + body))
	dec.Entity = xml.HTMLEntity
	var tags strings.Builder
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			if !slices.Contains(htmlElements, e.Name.Local) {
				t.Errorf("element %s", e.Name.Local)
			}
			tags.WriteString(e.Name.Local)
			for _, a := range e.Attr {
				if a.Name.Local == "class" {
					tags.WriteString("." + a.Value)
				}
				switch a.Name.Local {
				case "x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy", "r":
					if x, err := strconv.ParseFloat(a.Value, 64); err != nil || x < -1 || x > 2000 {
						t.Errorf("%s %s = %q", e.Name.Local, a.Name.Local, a.Value)
					}
				case "class", "viewBox", "role", "aria-label", "text-anchor", "title":
				default:
					t.Errorf("attribute %s of %s", a.Name.Local, e.Name.Local)
				}
			}
			tags.WriteByte(' ')
		case xml.Comment, xml.Directive, xml.ProcInst:
			t.Errorf("a comment or directive: %v", e)
		}
	}
	return tags.String()
}

// TestHTMLHostile: whatever the texts are, the page has the elements that it
// has with a harmless one.
func TestHTMLHostile(t *testing.T) {
	// Where there are names, and how many there is room for, depends on their
	// length: texts of pictures do not count.
	names := regexp.MustCompile(`text\.name [a-z]+ `)
	tags := func(s string) string {
		return names.ReplaceAllString(checkHTML(t, encode(t, "html", Options{}, attacked(s))), "")
	}
	want := tags("word")
	for _, tag := range []string{"svg ", "circle.bad", "rect.bar", "rect.fill", "line.control", "details ", "td.n "} {
		if !strings.Contains(want, tag) {
			t.Errorf("a harmless page has no %s", tag)
		}
	}
	for _, s := range attacks {
		got := tags(s)
		if s == "" { // without a place there is no line for it, without a format no fact
			continue
		}
		if got != want {
			t.Errorf("%q changes the elements to\n%s\nwant\n%s", s, got, want)
		}
	}
}

func TestHTMLSays(t *testing.T) {
	for _, tc := range []struct {
		report *scan.Report
		want   []string
		not    []string
	}{
		{backdoored(), []string{`<header class="bad">`, "<h1>backdoored</h1>", "&#34;when you see it ,&#34;", "random tokens: at most 8%", "How far rows moved", "32 of 32 texts", "What this means", "5 proved trigger"}, nil},
		{suspicious(), []string{`<header class="warn">`, "the 5 abnormal and 1 borderline tokens", "13,411 of 30,522 rows moved", "now a copy of token 12160", "word100"}, []string{"Texts that each token"}},
		{clean(), []string{`<header class="good">`, "nothing to review"}, []string{"<h2>Findings"}},
		{noReference(), []string{"inconclusive", "BTU900", "none: there was nothing to compare with"}, []string{"<svg"}},
		{unsafePickle(), []string{"BTU100 critical", "downloads/pytorch_model.bin!archive/data.pkl@1042"}, nil},
		{&scan.Report{}, []string{"no verdict", "BTU900"}, []string{"<svg", "NaN"}},
	} {
		got := encode(t, "html", Options{}, tc.report)
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q", tc.report.Verdict, want)
			}
		}
		for _, not := range tc.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: holds %q", tc.report.Verdict, not)
			}
		}
	}
}

// large is a report on a vocabulary of 150,000 rows.
func large(suspects int) *scan.Report {
	r := backdoored()
	r.Checkpoint.Embedding.Rows, r.Reference.Match.RowsCompared = 150_000, 150_000
	r.Weights.RowsMoved, r.Weights.RowsSame = 90_000, 60_000
	r.Weights.Histogram = histogram(90_000, 0.0012, 0.4127, 0.02314, 0.5)
	for i := len(r.Suspects) + 1; i <= suspects; i++ {
		s := suspect(i, (i*7919)%150_000, fmt.Sprintf("Ġword%d", i), 4.4-float64(i)/1000, 0.14-float64(i)/20000, 6)
		s.Behaviour = effect(0.3, 0.2, "positive", 0.1)
		r.Suspects = append(r.Suspects, s)
	}
	return r
}

func TestHTMLSize(t *testing.T) {
	checkHTML(t, encode(t, "html", Options{}, large(2000)))
	worst := attacked(strings.Repeat("\u202e<&\"", 3000))
	for range 3000 {
		worst.Suspects = append(worst.Suspects, worst.Suspects[0])
		worst.Triggers = append(worst.Triggers, worst.Triggers[0])
	}
	// No token is that long in a vocabulary that works: a bound, not a promise.
	if n := len(encode(t, "html", Options{}, worst)); n > 8<<20 {
		t.Errorf("%d bytes", n)
	}
}

// TestHTMLOddNumbers: charts stay inside their frames whatever the numbers are.
func TestHTMLOddNumbers(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 0, math.SmallestNonzeroFloat64, 1e300} {
		for i := range 13 {
			r := backdoored()
			s := &r.Suspects[0]
			h := r.Weights.Histogram
			for j, f := range []*float64{
				&s.Weights.Movement, &s.Score, &s.Behaviour.FlipRate, &s.Behaviour.FlipRateLow, &h.Low, &h.High, &r.Weights.Median, &r.Weights.Max,
				&r.Behaviour.ControlRate, &r.Triggers[0].FlipRate, &r.Triggers[0].FlipRateLow, &r.Suspects[3].Weights.Movement,
			} {
				if i == j || i == 12 {
					*f = x
				}
			}
			checkHTML(t, encode(t, "html", Options{}, r))
		}
	}
	for _, n := range []int{math.MaxInt, math.MinInt, -1, 0} {
		r := backdoored()
		r.Suspects[0].TokenID, r.Suspects[0].Rank, r.Triggers[0].Probes = n, n, n
		r.Checkpoint.Embedding.Rows = n
		r.Weights.Histogram.Counts[3] = n
		checkHTML(t, encode(t, "html", Options{}, r))
	}
	r := suspicious()
	r.Weights.Histogram.Counts = nil
	if got := encode(t, "html", Options{}, r); strings.Contains(got, "How far rows moved") {
		t.Error("a histogram without counts is drawn")
	}
	r = suspicious()
	r.Suspects, r.Checkpoint.Embedding = r.Suspects[:1], nil
	checkHTML(t, encode(t, "html", Options{}, r))
}

func FuzzHTML(f *testing.F) {
	for _, s := range attacks {
		f.Add(s, 0.1, 100)
	}
	f.Fuzz(func(t *testing.T, s string, x float64, n int) {
		r := attackedBriefly(s)
		r.Suspects[0].Weights.Movement, r.Weights.Histogram.Low, r.Suspects[1].TokenID = x, x, n
		checkHTML(t, encode(t, "html", Options{}, r))
	})
}
