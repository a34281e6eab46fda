package report

import (
	"fmt"

	"github.com/btu-scan/btu-scan/scan"
)

// coverage says which evidence there is, what was run for it, and why there is
// not more.
func (t *text) coverage() {
	for i, k := range []struct {
		name     string
		gathered scan.Gathered
		done     string
	}{{"weights", t.Coverage.Weights, ""}, {"behaviour", t.Coverage.Behaviour, t.watching()}} {
		f := field{lead: pad(k.name, 9, false), text: orElse(string(k.gathered), "unknown"), hang: 11}
		if i == 0 {
			f.label = "evidence"
		}
		switch k.gathered {
		case scan.GatheredFull:
			f.text = "gathered in full"
		case scan.GatheredPartial:
			f.text, f.leadPaint = "gathered in part", style.yellow
		case scan.GatheredNone:
			f.text, f.leadPaint = "not gathered", style.yellow
		case scan.GatheredNotRequested:
			f.text, f.leadPaint = "not asked for", style.yellow
		}
		if k.done != "" {
			f.text += ": " + k.done
		}
		t.field(f)
	}
	reasons := t.Coverage.Reasons
	if len(reasons) == 0 && !t.complete() {
		reasons = []string{"the scan gave no reason for what is missing"}
	}
	t.list("", len(reasons), func(i int) field { return field{text: "- " + reasons[i], hang: 2} })
	t.blank()
}

// watching says what was run for the behaviour evidence.
func (t *text) watching() string {
	b := t.Behaviour
	if b == nil {
		return ""
	}
	s := count(b.Tried, "candidate") + " in "
	switch {
	case b.Free():
		s += count(b.Probes, "text") + " that the model goes on with"
	case b.Contested > 0:
		s += fmt.Sprintf("%s made of %s", count(b.Contested, "contested text"), count(b.Probes, "probe"))
	default:
		s += count(b.Probes, "probe") + ", none of which could be contested"
	}
	if b.Controls > 0 {
		flip := "flip"
		if b.Controls == 1 {
			flip = "flips"
		}
		s += fmt.Sprintf("; %s %s at most %s", count(b.Controls, "random token"), flip, percent(b.ControlRate))
	}
	return s
}

// complete reports whether nothing that was asked for is missing.
func (t *text) complete() bool {
	done := func(g scan.Gathered) bool { return g == scan.GatheredFull || g == scan.GatheredNotRequested }
	return done(t.Coverage.Weights) && done(t.Coverage.Behaviour)
}
