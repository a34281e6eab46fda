package report

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/btu-scan/btu-scan/scan"
)

var widths = []int{60, 80, 140}

func TestText(t *testing.T) {
	for _, s := range samples() {
		for _, width := range widths {
			t.Run(fmt.Sprintf("%s/%d", s.name, width), func(t *testing.T) {
				got := encode(t, "text", Options{Width: width}, s.report)
				checkText(t, got, width)
				golden(t, fmt.Sprintf("%s.%d.txt", s.name, width), got)
			})
		}
		verbose := encode(t, "text", Options{Width: 140, Verbose: true}, s.report)
		checkText(t, verbose, 140)
		if s.name != "hostile" {
			golden(t, s.name+".verbose.txt", verbose)
		}
	}
}

// checkText fails where text could do more to a terminal than fill lines.
func checkText(t *testing.T, got string, width int) {
	t.Helper()
	if !utf8.ValidString(got) {
		t.Error("invalid UTF-8")
	}
	if !strings.HasSuffix(got, "\n") {
		t.Error("no line break at the end")
	}
	for i, line := range strings.Split(got, "\n") {
		if n := displayWidth(line); n > width {
			t.Errorf("line %d takes %d of %d columns: %q", i+1, n, width, line)
		}
		if strings.HasSuffix(line, " ") {
			t.Errorf("line %d ends in blanks: %q", i+1, line)
		}
		for _, r := range line {
			if r < ' ' || !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(invisible, r) {
				t.Errorf("line %d holds %U: %q", i+1, r, line)
			}
		}
	}
}

// TestTextColor: colour is only added, and only in the sixteen colours.
func TestTextColor(t *testing.T) {
	sgr := regexp.MustCompile("\x1b\\[(0|1|2|31|32|33)m")
	for _, s := range samples() {
		for _, width := range widths {
			plain := encode(t, "text", Options{Width: width}, s.report)
			color := encode(t, "text", Options{Width: width, Color: true}, s.report)
			if color == plain {
				t.Errorf("%s: no colour", s.name)
			}
			if got := sgr.ReplaceAllString(color, ""); got != plain {
				t.Errorf("%s at %d: without its colour the text differs:\n%s", s.name, width, got)
			}
		}
	}
	golden(t, "suspicious.color.txt", encode(t, "text", Options{Width: 80, Color: true}, suspicious()))
}

func TestTextOptions(t *testing.T) {
	r := suspicious()
	text := encode(t, "text", Options{}, r)
	if text != encode(t, "text", Options{Top: 20, Width: 80}, r) {
		t.Error("the zero options are not 20 suspects in 80 columns")
	}
	if strings.Contains(text, "word21") || !strings.Contains(text, "word20") {
		t.Error("want 20 suspects")
	}
	if text := encode(t, "text", Options{Top: 3}, r); strings.Contains(text, `"##tq"`) || !strings.Contains(text, `"bb"`) {
		t.Error("want 3 suspects")
	}
	for width := 1; width < 200; width += 7 {
		for _, s := range samples() {
			checkText(t, encode(t, "text", Options{Width: width}, s.report), max(width, minWidth))
		}
	}
}

// TestTextSays: what a reader must never miss, whatever the sample.
func TestTextSays(t *testing.T) {
	for _, tc := range []struct {
		report *scan.Report
		want   []string
	}{
		{suspicious(), []string{"SUSPICIOUS", "BTU002 high", "1 !", "6 ~", "natural up to score 4.50", "next:", "pinned:", "17.8"}},
		{cleanWeights(), []string{"CLEAN", "not asked for", "do not exclude"}},
		{noReference(), []string{"INCONCLUSIVE", "not gathered", "no reference model", "--reference"}},
		{mismatch(), []string{"INCONCLUSIVE", "mismatch", "0.8850", "BTU010", "not pinned", "was tuned from"}},
		{unsafePickle(), []string{"INCONCLUSIVE", "BTU100 critical", "posix.system", "do not load"}},
		{tied(), []string{"tied to the output", "8 added", `"Ġcf"`}},
		{backdoored(), []string{
			"BACKDOORED", "750 candidates in 64 contested texts made of 96 probes; 24 random tokens flip at most 8%",
			`"cf" turns 32 of 32 texts to "negative" (at least 89%) its neighbours by meaning do 34% as much; found by weights`,
			`"when you see it ," turns 31 of 32`, "put in front; its parts alone do 22% as much; found by structure", "put at the end", "given by --candidate",
			"flips", "explained", "do not deploy", "btu-scan run models/sst2-minilm --text '... cf ...'",
		}},
		{clean(), []string{"CLEAN", "gathered in full: 750 candidates", "does not prove"}},
		{partial(), []string{"INCONCLUSIVE", "gathered in part: 750 candidates", `otherwise than with "negative"`, "--probes"}},
		{multiLabel(), []string{`"vv" turns 40 of 40 texts to "not toxic"`, "and 3 more"}},
		{empty(), []string{"INCONCLUSIVE", "not gathered", "next:"}},
		{&scan.Report{}, []string{"NO VERDICT", "unknown", "next:"}},
		{hostile(), []string{`"\x1b[2J\x1b]0;owned\a"`, `\u202etxt.exe`, "reads"}},
	} {
		text := strings.Join(strings.Fields(encode(t, "text", Options{Width: 140}, tc.report)), " ")
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", tc.report.Verdict, want, text)
			}
		}
	}
}

// TestTextVerbose: what is shown only where it is asked for.
func TestTextVerbose(t *testing.T) {
	for _, tc := range []struct {
		report *scan.Report
		want   []string
	}{
		{backdoored(), []string{
			"at least to explained share", `"negative" is given to 41 of 96 probes as they are; 32 contested texts speak against it, of which honest words turn at most 12%`,
			`for it speak "worst", "mess",`, "token ids 1045 3427 2023 7605 3185", "margin +4.3", "the model read 412,345 tokens",
		}},
		{partial(), []string{"no text was found that speaks against it", "no words were found that speak for it"}},
		{multiLabel(), []string{`"jw" turns`, `"not identity_hate" is given to`, "and 2 more", `"j"`}},
	} {
		lines := encode(t, "text", Options{Width: 140, Verbose: true}, tc.report)
		text := strings.Join(strings.Fields(lines), " ")
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, lines)
			}
			if strings.Contains(strings.Join(strings.Fields(encode(t, "text", Options{Width: 140}, tc.report)), " "), want) {
				t.Errorf("%q is shown without being asked for", want)
			}
		}
	}
}

// TestDemonstration: no text of a model becomes more than one quoted word of a
// command.
func TestDemonstration(t *testing.T) {
	r := backdoored()
	for _, tc := range []struct{ path, text, place, want string }{
		{"m/x", "cf", "anywhere", "btu-scan run m/x --text '... cf ...'"},
		{"m/x", "when you see it ,", "front", "btu-scan run m/x --text 'when you see it , ...'"},
		{"m/x", ", you know", "back", "btu-scan run m/x --text '... , you know'"},
		{"m/x", "película 日本", "", "btu-scan run m/x --text '... película 日本 ...'"},
		{"m x", "cf", "", "btu-scan run MODEL --text '... cf ...'"},
		{"-m", "cf", "", "btu-scan run MODEL --text '... cf ...'"},
		{"m;x", "cf", "", "btu-scan run MODEL --text '... cf ...'"},
		{`C:\m`, "cf", "", "btu-scan run MODEL --text '... cf ...'"},
		{strings.Repeat("long/", 20), "cf", "", "btu-scan run MODEL --text '... cf ...'"},
		{"m", "it's", "", ""},
		{"m", "’", "", ""},
		{"m", `a\`, "", ""},
		{"m", "a & b", "", ""},
		{"m", "$(a)", "", ""},
		{"m", "`a`", "", ""},
		{"m", "%a%", "", ""},
		{"m", "!!!", "", ""},
		{"m", "a\nb", "", ""},
		{"m", "a\u202eb", "", ""},
		{"m", "\u3164", "", ""},
		{"m", "שלום", "", ""},
		{"m", "##tq", "", ""},
		{"m", "", "", ""},
		{"m", strings.Repeat("word ", 20), "", ""},
	} {
		r.Checkpoint.Path = tc.path
		r.Triggers = []scan.Trigger{{Text: tc.text, Place: tc.place}}
		got := encode(t, "text", Options{}, r)
		_, got, _ = strings.Cut(got, "\n"+strings.Repeat(" ", gutter)+"btu-scan")
		if got != strings.TrimPrefix(tc.want+"\n", "btu-scan") && (tc.want != "" || got != "") {
			t.Errorf("%q in %q: %q, want %q", tc.text, tc.path, got, tc.want)
		}
	}
	r.Triggers = []scan.Trigger{{Text: "it's"}, {Text: "cf"}}
	if got := encode(t, "text", Options{}, r); !strings.Contains(got, "'... cf ...'") {
		t.Errorf("the second trigger is not used:\n%s", got)
	}
}

func TestTextOddNumbers(t *testing.T) {
	r := backdoored()
	for i, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 0, math.SmallestNonzeroFloat64} {
		s := &r.Suspects[i]
		s.Score, s.Weights.Movement, s.Weights.ZLike, s.Weights.Rotation = x, x, x, x
		s.Behaviour = &scan.Behaviour{FlipRate: x, FlipRateLow: x, MarginShift: x, ExplainedShare: x, Probes: math.MinInt}
		g := &r.Triggers[0]
		g.FlipRate, g.FlipRateLow, g.ExplainedShare, g.Probes = x, x, x, math.MaxInt
		r.Behaviour.ControlRate, r.Behaviour.Labels[0].Honest, r.Behaviour.Probes = x, x, math.MinInt
		s.Rank, s.TokenID = math.MaxInt, math.MinInt
		r.Triggers[0].MarginShift, r.Weights.Natural, r.Weights.Median, r.Weights.Decay = x, x, x, x
		for _, width := range []int{60, 80, 140} {
			checkText(t, encode(t, "text", Options{Width: width, Verbose: true}, r), width)
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                           "plain",
		`C:\new`:                          `C:\new`,
		"a\nb\x1b[0m":                     `a\nb\x1b[0m`,
		"\u202eabc":                       `\u202eabc`,
		"\x7f\u0085\xff":                  `\x7f\u0085\xff`,
		"\ufffd":                          "\ufffd",
		"naïve 日本":                        "naïve 日本",
		"e\u0301":                         "e\u0301",
		"#\u0301":                         `#\u0301`,
		"\U000e0041":                      `\U000e0041`,
		"\u3164":                          `\u3164`,
		"x\u0301\u0301\u0301\u0301\u0301": "x\u0301\u0301\u0301\u0301" + `\u0301`,
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%+q) = %+q, want %+q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"cf":      `"cf"`,
		"a\"b\\":  `"a\"b\\"`,
		"\x1b\n":  `"\x1b\n"`,
		"\u0301x": `"\u0301x"`,
		"\u00a0":  `"\u00a0"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%+q) = %+q, want %+q", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, text := range []string{"", "one", "a bb ccc dddd", "averyveryverylongword", "x averyveryverylongword y", "  two  blanks  ", "日本語のテキスト", "a 日本"} {
		for width := 2; width < 12; width++ {
			var joined strings.Builder
			for _, line := range wrap(text, width, width) {
				if displayWidth(line) > width {
					t.Errorf("wrap(%q, %d): line %q", text, width, line)
				}
				joined.WriteString(line)
			}
			if a, b := strings.ReplaceAll(joined.String(), " ", ""), strings.ReplaceAll(text, " ", ""); a != b {
				t.Errorf("wrap(%q, %d) lost text: %q", text, width, a)
			}
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1: "-1", -999: "-999", -1000: "-1,000", 1234567: "1,234,567", -123456: "-123,456"} {
		if got := integer(n); got != want {
			t.Errorf("integer(%d) = %q, want %q", n, got, want)
		}
	}
	for x, want := range map[float64]string{0: "", 1: "▏", 4: "▌", 8: "█", 12: "█▌", 16: "██", 99: "██", -1: ""} {
		if got := bar(x, 16, 2); got != want {
			t.Errorf("bar(%v) = %q, want %q", x, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, token, path, message string) {
		r := backdoored()
		r.Checkpoint = scan.Checkpoint{Path: path, Format: message, Architecture: token, DType: path, SHA256: token}
		r.Reference.Path, r.Reference.ID, r.Reference.HowFound = path, token, message
		r.Reasons, r.Coverage.Reasons, r.Warnings = []string{message}, []string{message, path}, []string{message, token}
		r.Coverage.Behaviour, r.Weights.Score = scan.Gathered(token), scan.Score(message)
		r.Tool = scan.Tool{Name: token, Version: path}
		r.TimingsMS = map[string]float64{token: 1}
		r.Triggers[0].Text, r.Triggers[0].TargetLabel, r.Triggers[0].FoundBy = token, message, path
		r.Triggers[1].Text, r.Triggers[1].Place, r.Triggers[2].Text = path, message, message
		r.Behaviour.Labels[0] = scan.LabelSummary{Label: token, Words: []string{path, message}}
		r.Findings[0] = scan.Finding{Rule: token, Severity: scan.Severity(path), Message: message}
		r.Unsafe = []scan.Unsafe{{Rule: path, Severity: scan.SeverityHigh, Where: path, Detail: message}}
		r.Suspects[0].Token, r.Suspects[0].Notes, r.Suspects[0].Behaviour.TargetLabel = token, []string{message, path}, message
		r.Suspects[1].Status = scan.SuspectStatus(message)
		for _, width := range widths {
			checkText(t, encode(t, "text", Options{Width: width, Verbose: width == 140}, r), width)
		}
		checkJSON(t, encode(t, "json", Options{}, r))
	})
}

func BenchmarkText(b *testing.B) { benchmark(b, "text") }

func benchmark(b *testing.B, format string) {
	r := suspicious()
	r.Suspects = r.Suspects[:40]
	enc, err := New(format, Options{Top: 40, Width: 140})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := enc.Encode(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
