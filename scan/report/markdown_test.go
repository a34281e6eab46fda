package report

import (
	"fmt"
	"html"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	gfm "github.com/yuin/goldmark/text"

	"github.com/btu-scan/btu-scan/scan"
)

func TestMarkdown(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got := encode(t, "markdown", Options{}, s.report)
			checkMarkdown(t, got)
			golden(t, s.name+".md", got)
		})
	}
}

// checkMarkdown reads the text as GitHub does and fails where it has anything
// but the markup that the encoder writes itself. It returns the structure: the
// kinds of all nodes but those that hold text.
func checkMarkdown(t *testing.T, got string) string {
	t.Helper()
	plain(t, strings.ReplaceAll(got, "\ufe0f", "")) // ⚠️ is an emoji with it
	src := []byte(got)
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(gfm.NewReader(src))
	var kinds strings.Builder
	err := ast.Walk(doc, func(n ast.Node, enter bool) (ast.WalkStatus, error) {
		if !enter {
			return ast.WalkContinue, nil
		}
		switch n.Kind() {
		case ast.KindLink, ast.KindAutoLink, ast.KindImage, ast.KindFencedCodeBlock, ast.KindCodeBlock, ast.KindBlockquote, ast.KindThematicBreak:
			t.Errorf("holds a %s", n.Kind())
		case ast.KindRawHTML:
			if s := string(n.(*ast.RawHTML).Segments.Value(src)); s != "<br>" {
				t.Errorf("holds HTML %q", s)
			}
		case ast.KindHTMLBlock:
			s := strings.TrimSpace(string(n.Lines().Value(src)))
			if s != "<details><summary>What this means and what to do</summary>" && s != "</details>" {
				t.Errorf("holds HTML %q", s)
			}
		case ast.KindText, ast.KindString, ast.KindCodeSpan:
			return ast.WalkContinue, nil
		}
		fmt.Fprintf(&kinds, "%s ", n.Kind())
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// No cell has a bar: rows have as many cells as their head.
	bars := 0
	for i, line := range strings.Split(got, "\n") {
		if !strings.HasPrefix(line, "|") {
			bars = 0
			continue
		}
		n := strings.Count(line, "|")
		if bars == 0 {
			bars = n
		}
		if n != bars {
			t.Errorf("line %d has %d bars, its head %d: %s", i+1, n, bars, line)
		}
	}
	return kinds.String()
}

// TestMarkdownHostile: whatever the texts are, the document has the structure
// that it has with harmless ones.
func TestMarkdownHostile(t *testing.T) {
	want := checkMarkdown(t, encode(t, "markdown", Options{}, attacked("word")))
	for _, kind := range []string{"Table", "List", "Heading", "HTMLBlock", "Emphasis"} {
		if !strings.Contains(want, kind) {
			t.Errorf("a harmless report has no %s", kind)
		}
	}
	for _, s := range attacks {
		if got := checkMarkdown(t, encode(t, "markdown", Options{}, attacked(s))); got != want {
			t.Errorf("%q changes the structure to\n%s\nwant\n%s", s, got, want)
		}
	}
}

// TestMarkdownText: what is escaped reads as it was.
func TestMarkdownText(t *testing.T) {
	md := goldmark.New(goldmark.WithExtensions(extension.GFM))
	for _, s := range attacks {
		var b strings.Builder
		if err := md.Convert([]byte("- "+prose(s)+"\n"), &b); err != nil {
			t.Fatal(err)
		}
		got := strings.NewReplacer("<code>", "", "</code>", "").Replace(b.String())
		got = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(got), "<ul>\n<li>"), "</li>\n</ul>")
		if want := strings.TrimSpace(Plain(clip(s, markdownText))); html.UnescapeString(got) != want {
			t.Errorf("%q reads %q, want %q", s, html.UnescapeString(got), want)
		}
	}
	for s, want := range map[string]string{
		"5 tokens, 0.885 of them: re-read it. Then": "5 tokens, 0.885 of them: re-read it. Then",
		"a|b":             "a&#124;b",
		"www.evil.com":    "www&#46;evil&#46;com",
		"1. item":         "1&#46; item",
		"x@y.z":           "x`@`y&#46;z",
		"- a":             "&#45; a",
		"<b>":             "&#60;b&#62;",
		"  \n":            "&#92;n",
		"http://evil.com": "http&#58;&#47;&#47;evil&#46;com",
	} {
		if got := prose(s); got != want {
			t.Errorf("prose(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestMarkdownSays(t *testing.T) {
	for _, tc := range []struct {
		report *scan.Report
		want   []string
	}{
		{backdoored(), []string{"## ⛔ btu-scan: backdoored", "| `\"cf\"` | `\"negative\"` | 32 of 32 texts | 89% | anywhere | weights |", "BTU001<br>A trigger takes the model over", "do not deploy", "13,411 of 30,522 rows moved"}},
		{suspicious(), []string{"suspicious", "| 1 | &#33; | `\"cf\"` | 12160 | 9.84 | 0.413 |", "the first 20 of 100"}},
		{clean(), []string{"✅", "nothing to review"}},
		{noReference(), []string{"❔ btu-scan: inconclusive", "no reference was found", "| weights | none |"}},
		{unsafePickle(), []string{"BTU100<br>", "`\"downloads/pytorch_model.bin!archive/data.pkl@1042\"`", "do not load"}},
		{&scan.Report{}, []string{"❔ btu-scan: no verdict", "no reason was given"}},
	} {
		got := encode(t, "markdown", Options{}, tc.report)
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", tc.report.Verdict, want, got)
			}
		}
	}
	if got := encode(t, "markdown", Options{Top: 3}, suspicious()); strings.Count(got, "\n| ") > 14 {
		t.Errorf("more than 3 suspects:\n%s", got)
	}
	r := attacked(strings.Repeat("<long>|", 10_000))
	for range 5000 {
		r.Warnings = append(r.Warnings, r.Warnings[0])
		r.Unsafe = append(r.Unsafe, r.Unsafe[0])
	}
	if got := encode(t, "markdown", Options{}, r); len(got) > 1<<20 {
		t.Errorf("%d bytes, GitHub shows 1 MiB", len(got))
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		r := backdoored()
		r.Suspects[0].Score, r.Suspects[0].Weights.Movement, r.Triggers[0].FlipRate, r.Triggers[0].FlipRateLow = x, x, x, x
		checkMarkdown(t, encode(t, "markdown", Options{}, r))
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, s := range attacks {
		f.Add(s)
	}
	var once sync.Once
	var want string
	f.Fuzz(func(t *testing.T, s string) {
		once.Do(func() { want = checkMarkdown(t, encode(t, "markdown", Options{}, attackedBriefly("word"))) })
		if got := checkMarkdown(t, encode(t, "markdown", Options{}, attackedBriefly(s))); got != want {
			t.Errorf("the structure is\n%s\nwant\n%s", got, want)
		}
	})
}
