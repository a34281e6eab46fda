package policy

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "shards-sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	c := parse(t, `
fail-on: backdoored
evidence: "full"
require: [weights, behaviour]
budget: 90s
seed: 7
probes: texts.tsv
reference:
  model: ./base
  dirs: [a, b]
  lock: my.lock
  pins:
    - match: models/sst2-*
      model: org/base
      digest: `+digestA+`
    - {match: tiny, lock: tiny.lock}
severity:
  BTU002: warning
  BTU201: off
suppressions:
  - checkpoint: `+digestB+`
    rule: BTU002
    token-ids: [1927]
    text: "c\u0066"
    justification: >
      looked at it
    expires: 2026-12-31
  - checkpoint: `+digestA+`
    rule: BTU201
    where: model.safetensors@8
    justification: our exporter
triage: t.json
prompt: "Review: {}\nSentiment:"
answers: [" positive", " negative"]
timeout: 10m
max-memory: 4GB
sandbox: require
baseline: b.json
reports:
  - sarif=btu.sarif
  - html=a=b.html
`)
	want := map[string][]string{
		"fail-on": {"backdoored"}, "evidence": {"full"}, "require": {"weights", "behaviour"}, "budget": {"90s"}, "seed": {"7"},
		"probes": {"texts.tsv"}, "reference": {"./base"}, "reference-dir": {"a", "b"}, "lock": {"my.lock"},
		"prompt": {"Review: {}\nSentiment:"}, "answer": {" positive", " negative"}, "timeout": {"10m"}, "max-memory": {"4GB"}, "sandbox": {"require"},
		"triage": {"t.json"}, "baseline": {"b.json"}, "report": {"sarif=btu.sarif", "html=a=b.html"},
	}
	files := []string{"probes", "reference", "reference-dir", "lock", "triage", "baseline"}
	for flag, values := range want {
		if s, ok := c.Setting(flag); !ok || !slices.Equal(s.Values, values) || s.File != slices.Contains(files, flag) || s.Line == 0 {
			t.Errorf("%s: %+v", flag, s)
		}
	}
	if len(c.Settings) != len(want) {
		t.Errorf("%d settings", len(c.Settings))
	}
	if want := []Pin{{"models/sst2-*", "org/base", "", digestA, 13}, {"tiny", "", "tiny.lock", "", 16}}; !reflect.DeepEqual(c.Pins, want) {
		t.Errorf("pins %+v", c.Pins)
	}
	if c.Severities["BTU002"].Severity != scan.SeverityWarning || c.Severities["BTU201"].String() != "off" || len(c.Severities) != 2 {
		t.Errorf("severities %+v", c.Severities)
	}
	s := c.Suppressions
	if len(s) != 2 || s[0].Text != "cf" || s[0].Justification != "looked at it" || !s[0].Expires.Equal(time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)) || s[0].Source != "p.yaml:21" ||
		s[1].Where != "model.safetensors@8" || !s[1].Expires.IsZero() {
		t.Errorf("suppressions %+v", s)
	}
	if len(c.SHA256) != 64 {
		t.Errorf("digest %q", c.SHA256)
	}
}

func TestParseNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# all of it is commented out\n", "---\n", "suppressions:\n", "reference: {}\n"} {
		if c := parse(t, text); len(c.Settings)+len(c.Suppressions)+len(c.Pins) != 0 {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestParseErrors(t *testing.T) {
	suppression := func(lines ...string) string {
		return "suppressions:\n  - " + strings.Join(lines, "\n    ") + "\n"
	}
	good := []string{"checkpoint: " + digestA, "rule: BTU002", "token-ids: [1]", "text: cf", "justification: why"}
	without := func(n int, more ...string) string {
		return suppression(append(slices.Delete(slices.Clone(good), n, n+1), more...)...)
	}
	parse(t, suppression(good...))
	for _, tc := range []struct{ text, where, want, hint string }{
		{"fail_on: never", "1:1", `unknown key "fail_on"`, "did you mean fail-on?"},
		{"\n  colour: red", "2:3", `unknown key "colour"`, "one of answers, baseline, budget"},
		{"reference:\n  modell: x", "2:3", `unknown key "modell" in reference`, "did you mean model?"},
		{"fail-on: suspicous", "1:10", `fail-on: "suspicous" is none of suspicious, backdoored, never`, "did you mean suspicious?"},
		{"fail-on: [never]", "1:10", "fail-on is a list, want a single value", ""},
		{"fail-on: never\nfail-on: suspicious", "2:1", "", ""},
		{"evidence:", "1:11", "evidence is nothing", ""},
		{"require: [behaviour]", "1:10", "no verdict is possible without weights", ""},
		{"require: []", "1:10", "no verdict is possible without weights", ""},
		{"require: [weights, luck]", "1:10", `"luck" is none of`, ""},
		{"budget: -3s", "1:9", "is no time such as 30s", ""},
		{"seed: 1.5", "1:7", "is no whole number", ""},
		{"probes: ''", "1:9", "probes is blank", ""},
		{"reports: [btu.sarif]", "1:10", "is not FORMAT=FILE", ""},
		{"reports: [sarf=btu.sarif]", "1:10", `"sarf" is none of text, json`, "did you mean sarif?"},
		{"severity: {BTU999: off}", "1:12", `"BTU999" is none of`, ""},
		{"severity: {BTU002: of}", "1:20", `"of" is none of off, info`, "did you mean off?"},
		{"severity: {BTU001: off}", "1:20", "a proved trigger counts", ""},
		{"severity: {BTU900: info}", "1:20", "an unfinished scan is no pass", ""},
		{"severity: [BTU002]", "1:11", "severity is a list", ""},
		{"reference: {pins: [{match: '[', model: x}]}", "1:21", "no pattern", ""},
		{"reference: {pins: [{match: a}]}", "1:21", "says nothing", ""},
		{"reference: {pins: [{match: a, digest: sha256:12}]}", "1:39", "is no digest", "config digest"},
		{"suppressions: {a: b}", "1:16", "suppressions is a map, want a list", ""},
		{"suppressions: [a]", "1:16", "an entry is a single value", ""},
		{without(0), "2:5", "checkpoint is missing", ""},
		{without(1), "2:5", "rule is missing", ""},
		{without(2), "2:5", "it wants token-ids and text", ""},
		{without(4), "2:5", "justification is missing", ""},
		{without(4, `justification: "  "`), "6:20", "justification is blank", ""},
		{without(1, "rule: BTU900"), "2:5", "BTU900 cannot be suppressed", ""},
		{without(1, "rule: BTU010"), "2:5", "BTU010 cannot be suppressed", ""},
		{without(1, "rule: BTU005"), "2:5", "BTU005 cannot be suppressed", ""},
		{without(1, "rule: BTU998"), "2:5", `no rule "BTU998"`, ""},
		{without(1, "rule: BTU201"), "2:5", "BTU201 is about a file", ""},
		{without(2, "token-ids: [1, 2]"), "2:5", "one token each", ""},
		{without(1, "rule: BTU007"), "2:5", "BTU007 is about the whole model", ""},
		{without(2, "token-ids: [-1]"), "6:16", "is no token id", ""},
		{suppression(append(good, "expires: 31.12.2026")...), "7:14", "is no day such as 2026-12-31", ""},
		{suppression(append(good, "expires: 2026-02-30")...), "7:14", "is no day", ""},
		{suppression(append(good, "reason: x")...), "7:5", `unknown key "reason"`, ""},
		{"- a", "1:1", "the file is a list", ""},
		{"a: &x 1", "1:4", "anchors and aliases are not read", ""},
		{"a: *x", "1:4", "anchors and aliases are not read", ""},
		{"a: &a [x]\nb: &b [*a, *a, *a]", "1:4", "anchors and aliases are not read", ""},
		{"<<: {a: b}", "1:1", "anchors and aliases are not read", ""},
		{"seed: !!int 1", "1:7", "is not read", ""},
		{"? a\n: b", "1:1", "is not read", ""},
		{"%YAML 1.2\n---\nseed: 1", "", "", ""},
		{"seed: 1\n---\nseed: 2", "2:1", "a second document", ""},
		{"a: " + strings.Repeat("[", 100_000), "", "nested too deeply", ""},
		{strings.Repeat("- ", 100_000), "", "nested too deeply", ""},
		{"a: " + strings.Repeat("{a: ", 100) + strings.Repeat("}", 100), "", "nested too deeply", ""},
		{"#" + strings.Repeat("x", MaxConfig), "", "larger than 256 kB", ""},
		{"reports: [" + strings.Repeat("a,", 20_000) + "]", "", "more than 10000 values", ""},
		{"a: [", "", "", ""},
		{"\tseed: 1", "", "", ""},
		{"seed: \"1", "", "", ""},
	} {
		_, err := Parse("p.yaml", []byte(tc.text))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.60q: %v", tc.text, err)
			continue
		}
		if where := fmt.Sprintf("%d:%d", e.Line, e.Col); tc.where != "" && where != tc.where {
			t.Errorf("%.60q: at %s, want %s: %v", tc.text, where, tc.where, err)
		}
		if !strings.Contains(e.Msg, tc.want) || !strings.Contains(e.Hint, tc.hint) {
			t.Errorf("%.60q: %v (hint %q), want %q (%q)", tc.text, err, e.Hint, tc.want, tc.hint)
		}
	}
}

func TestPinMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"sst2-*", "models/sst2-mini", true},
		{"sst2-*", "models/sst2-mini/", true},
		{"sst2-*", "models/sst2-mini/model.safetensors", false},
		{"models/*", "models/sst2", true},
		{"./models/*", "models/sst2", true},
		{"models/*", "models/a/b", false},
		{"models/*", "other/models/a", false},
		{"*", ".", true},
	} {
		if got := (Pin{Match: tc.pattern}).Matches(tc.path); got != tc.want {
			t.Errorf("%s with %s: %t", tc.pattern, tc.path, got)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"fail-on", "evidence", "require", "reports"}
	for name, want := range map[string]string{
		"fail_on": "fail-on", "FAIL-ON": "fail-on", "evidnce": "evidence", "report": "reports", "xyz": "", "": "", strings.Repeat("x", 1<<16): "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", name, got, want)
		}
	}
}

// TestTighten: a configuration beside the checkpoint can make the gate stricter
// and nothing else.
func TestTighten(t *testing.T) {
	usual := Strictness{FailOn: "suspicious", Evidence: "auto"}
	for _, tc := range []struct {
		name, text       string
		now, want        Strictness
		fixed            []string
		changes, ignored string
	}{
		{name: "weaker", text: "fail-on: never\nevidence: weights\nrequire: [weights]", now: usual, want: usual},
		{name: "stricter", text: "fail-on: suspicious\nevidence: full", now: Strictness{FailOn: "never", Evidence: "auto"},
			want: Strictness{FailOn: "suspicious", Evidence: "full"}, changes: "fail-on: suspicious; evidence: full"},
		{name: "fixed", text: "fail-on: suspicious", now: Strictness{FailOn: "backdoored", Evidence: "auto"}, fixed: []string{"fail-on"},
			want: Strictness{FailOn: "backdoored", Evidence: "auto"}, ignored: "fail-on"},
		{name: "require", text: "require: [weights, behaviour]", now: Strictness{Evidence: "auto", Require: []string{Weights}},
			want: Strictness{Evidence: "auto", Require: []string{Weights, Behaviour}}, changes: "require: weights, behaviour"},
		{name: "require less", text: "require: [weights]", now: Strictness{Evidence: "auto", Require: []string{Weights, Behaviour}},
			want: Strictness{Evidence: "auto", Require: []string{Weights, Behaviour}}},
		{name: "require what is not gathered", text: "require: [weights, behaviour]", now: Strictness{Evidence: "weights"}, fixed: []string{"evidence"},
			want: Strictness{Evidence: "weights"}, ignored: "require: behaviour"},
		{name: "require and gather", text: "require: [weights, behaviour]\nevidence: auto", now: Strictness{Evidence: "weights", Require: []string{Weights}},
			want: Strictness{Evidence: "auto", Require: []string{Weights, Behaviour}}, changes: "evidence: auto; require: weights, behaviour"},
		{name: "the rest", now: usual, want: usual,
			text: "seed: 3\nbudget: 1s\nprobes: x\ntriage: t\nbaseline: b\nreports: [json=x]\nreference: {model: m, lock: l, dirs: [d], pins: [{match: a, model: b}]}\nsuppressions:\n  - {checkpoint: '" +
				digestA + "', rule: BTU002, token-ids: [1], text: cf, justification: trust me}\nseverity: {BTU100: off}",
			ignored: "seed; budget; probes; triage; baseline; reports; reference.model; reference.lock; reference.dirs; severity of BTU100; reference.pins; suppressions"},
		{name: "severities", text: "severity: {BTU100: info, BTU201: critical, BTU002: high, BTU003: critical}",
			now: Strictness{Severities: map[string]Severity{"BTU002": {Severity: "critical"}, "BTU003": {}, "BTU201": {Severity: "info"}}},
			want: Strictness{Severities: map[string]Severity{"BTU002": {Severity: "critical"}, "BTU003": {}, "BTU201": {Severity: "critical", Source: "p.yaml:1"},
				"BTU100": {Severity: "info", AtLeast: true, Source: "p.yaml:1"}}},
			changes: "severity of BTU100: at least info; severity of BTU201: at least critical", ignored: "severity of BTU002; severity of BTU003"},
	} {
		s := tc.now
		changes, ignored := parse(t, tc.text).Tighten(&s, func(flag string) bool { return slices.Contains(tc.fixed, flag) })
		if !reflect.DeepEqual(s, tc.want) || strings.Join(changes, "; ") != tc.changes || strings.Join(ignored, "; ") != tc.ignored {
			t.Errorf("%s: %+v\nchanges %q\nignored %q", tc.name, s, changes, ignored)
		}
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../cmd/btu-scan/btu-scan.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(strings.ReplaceAll(string(example), "\n# ", "\n")))
	for _, s := range []string{
		"", "fail-on: never", "suppressions:\n  - {checkpoint: '" + digestA + "', rule: BTU002, token-ids: [1], text: cf, justification: x, expires: 2026-12-31}",
		"reference:\n  pins:\n    - match: a*\n      model: b", "severity: {BTU002: off}", "a: &a [*a]", "<<: *x", "? - a", "{[}]", "- - - -", "a: |\n b\n c", "a: >-\n b", "\x00", "\xff\xfe", "a: \"\\u0000\\x1b\"",
		"reports:\n- json=x\n- sarif=y\n", "# c\n---\nseed: 1\n...\n", "require: [weights", "k: 'it''s'", "a:\r\n  - b\r\n", "!!binary x", "%TAG ! x", "\ufeffseed: 1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("p.yaml", data)
		var e *Error
		switch {
		case err == nil && c == nil, err != nil && c != nil, err != nil && !errors.As(err, &e):
			t.Fatalf("%v, %v", c, err)
		case err != nil:
			if e.Line < 0 || e.Msg == "" {
				t.Fatalf("%+v", e)
			}
			return
		}
		again, err := Parse("p.yaml", data)
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("read again: %v", err)
		}
		for _, s := range c.Suppressions {
			if s.Justification == "" || s.Checkpoint == "" || s.Rule == "" {
				t.Fatalf("%+v", s)
			}
		}
		// Beside a checkpoint it never makes the gate less strict.
		for _, failOn := range failOns {
			s := Strictness{FailOn: failOn, Evidence: "auto", Require: []string{Weights, Behaviour}}
			c.Tighten(&s, func(string) bool { return false })
			if stricter(failOns, s.FailOn, failOn) || s.Evidence == "weights" || !slices.Contains(s.Require, Behaviour) {
				t.Fatalf("%+v", s)
			}
			for _, o := range s.Severities {
				if o.Severity == "" || !o.AtLeast {
					t.Fatalf("%+v", s)
				}
			}
		}
	})
}
