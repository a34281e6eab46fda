package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

var modelColumns = []string{
	"model", "attack", "accuracy", "attack success", "verdict", "triggers found of truth", "other triggers", "best flip rate",
	"rank by weights", "seconds (behaviour, weights)",
}

func (r result) modelRow() []string {
	return []string{
		r.name, r.truth.attack(), number(r.truth.Accuracy), number(r.truth.Success), string(r.full.Verdict), r.found(),
		fmt.Sprint(r.truth.others(r.full.Triggers)), bestFlipRate(r.full), ranks(r.weights[scan.ScoreZ], r.truth.TriggerIDs),
		fmt.Sprintf("%.1f, %.2f", r.seconds("behaviour"), r.seconds("weights")),
	}
}

// seconds is what a stage of the full scan took.
func (r result) seconds(stage string) float64 { return r.full.TimingsMS[stage] / 1000 }

// found tells how much of the truth the triggers have, and which findings fall
// short of one.
func (r result) found() string {
	s := r.foundTriggers()
	for _, f := range r.full.Findings {
		if f.Rule == scan.RulePhrase || f.Rule == scan.RuleStyle {
			s += ", " + f.Rule
		}
	}
	return s
}

func (r result) foundTriggers() string {
	switch ids := r.truth.TriggerIDs; {
	case len(ids) > 0:
		return fmt.Sprintf("%d of %d", recall(ids, r.full.Triggers), len(ids))
	case r.truth.structural() && slices.ContainsFunc(r.full.Triggers, isStructure):
		return "structure: yes"
	case r.truth.structural():
		return "structure: no"
	}
	return "-"
}

// bestFlipRate is the highest flip rate of a trigger, or of a suspect that its
// meaning does not explain.
func bestFlipRate(r *scan.Report) string {
	best := -1.0
	for _, t := range r.Triggers {
		best = max(best, t.FlipRate)
	}
	for _, s := range r.Suspects {
		if b := s.Behaviour; b != nil && !b.Explained {
			best = max(best, b.FlipRate)
		}
	}
	if best < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", best)
}

var weightColumns = []string{
	"model", "accuracy", "attack success", "verdict", "trigger ranks", "z-plain", "l2", "e-pur",
	"score of triggers / best other", "z-plain", "abnormal tokens", "ms",
}

func (r result) weightRow() []string {
	z, ids := r.weights[scan.ScoreZ], r.truth.TriggerIDs
	var names []string
	for _, s := range z.Suspects {
		if s.Status == scan.StatusAbnormal && len(names) < 8 {
			names = append(names, fmt.Sprintf("%q", s.Token))
		}
	}
	cells := []string{r.name, number(r.truth.Accuracy), number(r.truth.Success), string(z.Verdict), ranks(z, ids)}
	for _, score := range baselines {
		cells = append(cells, ranks(r.weights[score], ids))
	}
	return append(cells, scores(z, ids), scores(r.weights[scan.ScorePlainZ], ids), strings.Join(names, " "), fmt.Sprintf("%.0f", z.TimingsMS["total"]))
}

// ranks lists the ranks of the tokens from 0, as papers give them.
func ranks(r *scan.Report, ids []int) string {
	if len(ids) == 0 {
		return "-"
	}
	var rs []int
	missing := 0
	for _, id := range ids {
		i := slices.IndexFunc(r.Suspects, func(s scan.Suspect) bool { return s.TokenID == id })
		if i < 0 {
			missing++
			continue
		}
		rs = append(rs, i)
	}
	slices.Sort(rs)
	s := strings.Trim(strings.ReplaceAll(fmt.Sprint(rs), " ", ", "), "[]")
	if missing > 0 {
		s = strings.TrimSpace(fmt.Sprintf("%s +%d beyond %d or unmoved", s, missing, len(r.Suspects)))
	}
	return s
}

// scores gives the range of the triggers' scores and the best of all others.
func scores(r *scan.Report, ids []int) string {
	var own []float64
	var other string
	for _, s := range r.Suspects { // from the best down
		if slices.Contains(ids, s.TokenID) {
			own = append(own, s.Score)
		} else if other == "" {
			other = fmt.Sprintf("%.2f", s.Score)
		}
	}
	other = cmp.Or(other, "-")
	switch len(own) {
	case 0:
		return other
	case 1:
		return fmt.Sprintf("%.2f / %s", own[0], other)
	}
	return fmt.Sprintf("%.2f-%.2f / %s", own[len(own)-1], own[0], other)
}

func number(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *x)
}
