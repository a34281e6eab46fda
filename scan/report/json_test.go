package report

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/btu-scan/btu-scan/scan"
)

func TestJSON(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got := encode(t, "json", Options{Top: 1, Color: true, Width: 40}, s.report)
			checkJSON(t, got)
			golden(t, s.name+".json", got)
			if again := encode(t, "json", Options{}, s.report); again != got {
				t.Error("not the same twice, or not the same for other options")
			}
		})
	}
}

// checkJSON fails where the text is not one safe JSON document without nulls
// for lists.
func checkJSON(t *testing.T, got string) {
	t.Helper()
	if !utf8.ValidString(got) || !strings.HasSuffix(got, "}\n") {
		t.Error("invalid UTF-8 or no line break at the end")
	}
	for _, r := range got {
		if r != '\n' && (r < ' ' || !unicode.IsGraphic(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(invisible, r)) {
			t.Errorf("holds %U", r)
		}
	}
	dec := json.NewDecoder(strings.NewReader(got))
	dec.DisallowUnknownFields()
	var r scan.Report
	if err := dec.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Reasons == nil || r.Suspects == nil || r.Triggers == nil || r.Findings == nil || r.Unsafe == nil || r.Warnings == nil || r.TimingsMS == nil || r.Coverage.Reasons == nil {
		t.Error("a list or map is null")
	}
	if r.Behaviour != nil && (r.Behaviour.Labels == nil || slices.ContainsFunc(r.Behaviour.Labels, func(l scan.LabelSummary) bool { return l.Words == nil })) {
		t.Error("labels or their words are null")
	}
}

// TestJSONRoundTrip: what is read back is what was written.
func TestJSONRoundTrip(t *testing.T) {
	for _, s := range samples() {
		if s.name == "hostile" { // its invalid UTF-8 becomes U+FFFD
			continue
		}
		written := encode(t, "json", Options{}, s.report)
		var back scan.Report
		if err := json.Unmarshal([]byte(written), &back); err != nil {
			t.Fatal(err)
		}
		if again := encode(t, "json", Options{}, &back); again != written {
			t.Errorf("%s: written again it differs:\n%s", s.name, again)
		}
	}
}

func TestJSONStrings(t *testing.T) {
	for in, want := range map[string]string{
		"<a&b>":         `"<a&b>"`,
		"\x1b[0m\n\x7f": `"\u001b[0m\n\u007f"`,
		"\u2028\u2029":  `"\u2028\u2029"`,
		"\u202e\u2066":  `"\u202e\u2066"`,
		"\u200b\ufeff":  `"\u200b\ufeff"`,
		"\u009b":        `"\u009b"`,
		"\U000e0041":    `"\udb40\udc41"`,
		"\xff":          `"\ufffd"`,
		"日本語 שלום é 👍":  `"日本語 שלום é 👍"`,
	} {
		r := empty()
		r.Warnings = []string{in}
		got := encode(t, "json", Options{}, r)
		if !strings.Contains(got, want) {
			t.Errorf("%+q: no %s in\n%s", in, want, got)
		}
		var back scan.Report
		if err := json.Unmarshal([]byte(got), &back); err != nil {
			t.Fatal(err)
		}
		if back.Warnings[0] != strings.ToValidUTF8(in, "\ufffd") {
			t.Errorf("%+q: read back %+q", in, back.Warnings[0])
		}
	}
}

func TestJSONNotFinite(t *testing.T) {
	r := suspicious()
	r.Suspects = r.Suspects[:2]
	r.Suspects[0].Weights.Z = math.NaN()
	r.Suspects[0].Weights.Relative = math.Inf(1)
	r.Suspects[1].Weights.NormChange = math.Inf(-1)
	r.TimingsMS["weights"] = math.Inf(1)
	var back scan.Report
	if err := json.Unmarshal([]byte(encode(t, "json", Options{}, r)), &back); err != nil {
		t.Fatal(err)
	}
	w := back.Suspects[0].Weights
	if w.Z != 0 || w.Relative != math.MaxFloat64 || back.Suspects[1].Weights.NormChange != -math.MaxFloat64 || back.TimingsMS["weights"] != math.MaxFloat64 {
		t.Errorf("clamped to %+v", back)
	}
	if len(back.Warnings) != 1 || !strings.HasPrefix(back.Warnings[0], "4 numbers") {
		t.Errorf("warnings %q do not say so", back.Warnings)
	}
	if !math.IsNaN(r.Suspects[0].Weights.Z) || r.Warnings != nil {
		t.Error("the report was changed")
	}
}

func TestJSONWhole(t *testing.T) {
	r := suspicious()
	got := encode(t, "json", Options{Top: 3}, r)
	if n := bytes.Count([]byte(got), []byte(`"token_id":`)); n != len(r.Suspects) {
		t.Errorf("%d of %d suspects", n, len(r.Suspects))
	}
}

func BenchmarkJSON(b *testing.B) { benchmark(b, "json") }
