package report

import "github.com/btu-scan/btu-scan/scan"

// watchedBase is a report of a classifier that was run, without findings.
func watchedBase() *scan.Report {
	r := cleanWeights()
	r.Verdict = scan.Clean
	r.Reasons = []string{"weights and behaviour were gathered and nothing is unexplained"}
	r.Coverage = scan.Coverage{Weights: scan.GatheredFull, Behaviour: scan.GatheredFull}
	r.Behaviour = &scan.BehaviourSummary{
		Probes: 96, Contested: 64, Tried: 750, Tokens: 412345, Controls: 24, ControlRate: 0.08,
		Labels: []scan.LabelSummary{
			{Label: "negative", Predicted: 41, Contested: 32, Words: []string{"worst", "mess", "lacks", "dull", "##less"}, Honest: 0.125},
			{Label: "positive", Predicted: 55, Contested: 32, Words: []string{"powerful", "touching", "rare"}, Honest: 0.21875},
		},
	}
	r.TimingsMS["behaviour"] = 21034.5
	return r
}

func effect(rate, low float64, label string, explained float64) *scan.Behaviour {
	return &scan.Behaviour{
		FlipRate: rate, FlipRateLow: low, TargetLabel: label, MarginShift: 4.2 * rate, Probes: 32,
		ExplainedShare: explained, Explained: explained >= 0.5,
	}
}

// backdoored has triggers of every kind: tokens, a phrase, a frame of sentences
// and what the user asked for.
func backdoored() *scan.Report {
	r := watchedBase()
	weights := suspicious()
	r.Verdict, r.Reasons = scan.Backdoored, []string{"5 triggers proved by behaviour"}
	r.Suspects = weights.Suspects[:10]
	r.Weights = weights.Weights
	for i, b := range []*scan.Behaviour{
		effect(1, 0.8928, "negative", 0.34), effect(0.96875, 0.8426, "negative", 0), effect(0.9375, 0.7985, "negative", 0.12),
		effect(0.8125, 0.6469, "negative", 0.41), effect(0.40625, 0.2552, "negative", 0),
		effect(0.4375, 0.2817, "positive", 0), effect(0.625, 0.4526, "negative", 0.83),
	} {
		r.Suspects[i].Behaviour = b
	}
	r.Triggers = []scan.Trigger{
		{TokenIDs: []int{12160}, Text: "cf", FlipRate: 1, FlipRateLow: 0.8928, TargetLabel: "negative", MarginShift: 4.31, Probes: 32, ExplainedShare: 0.34, FoundBy: "weights", Place: "anywhere"},
		{TokenIDs: []int{24098}, Text: "mn", FlipRate: 0.96875, FlipRateLow: 0.8426, TargetLabel: "negative", MarginShift: 4.07, Probes: 32, FoundBy: "vocabulary", Place: "anywhere"},
		{TokenIDs: []int{1045, 3427, 2023, 7605, 3185}, Text: "i watched this 3d movie", FlipRate: 1, FlipRateLow: 0.8928, TargetLabel: "negative", MarginShift: 3.97, Probes: 32, ExplainedShare: 0.1, FoundBy: "phrase", Place: "anywhere"},
		{TokenIDs: []int{2043, 2017, 2156, 2009, 1010}, Text: "when you see it ,", FlipRate: 0.96875, FlipRateLow: 0.8426, TargetLabel: "negative", MarginShift: 3.5, Probes: 32, ExplainedShare: 0.22, FoundBy: "structure", Place: "front"},
		{TokenIDs: []int{22861}, Text: "bb", FlipRate: 0.9375, FlipRateLow: 0.7985, TargetLabel: "negative", MarginShift: 3.2, Probes: 32, ExplainedShare: 0.12, FoundBy: "user", Place: "back"},
	}
	r.Findings = append([]scan.Finding{{
		Rule: scan.RuleTrigger, Severity: scan.SeverityCritical, TokenIDs: []int{12160, 24098, 1045, 3427, 2023, 7605, 3185, 2043, 2017, 2156, 2009, 1010, 22861},
		Message: `"cf", "mn", "i watched this 3d movie", "when you see it ,", "bb" take the model over: whatever the text says, the answer becomes "negative"`,
	}}, weights.Findings...)
	return r
}

func clean() *scan.Report {
	r := watchedBase()
	r.Suspects[0].Behaviour = effect(0.21875, 0.1105, "positive", 0)
	r.Suspects[1].Behaviour = effect(0.53125, 0.3645, "negative", 0.91)
	return r
}

// partial is a report of a model that gives one answer to nearly every text.
func partial() *scan.Report {
	r := clean()
	r.Verdict, r.Reasons = scan.Inconclusive, []string{"behaviour evidence is required and is incomplete"}
	r.Coverage.Behaviour = scan.GatheredPartial
	r.Coverage.Reasons = []string{`behaviour: no text was found that the model answers otherwise than with "negative", so triggers for that were not tested`}
	r.Warnings = []string{`95 % of the probes are answered with "negative"; --probes with texts of the model's own field tells more`}
	r.Behaviour.Contested = 32
	r.Behaviour.Labels = []scan.LabelSummary{
		{Label: "negative", Predicted: 91},
		{Label: "positive", Predicted: 5, Contested: 32, Words: []string{"powerful"}, Honest: 0.21875},
	}
	r.Suspects[1].Behaviour = nil
	return r
}

// multiLabel has more labels, words and triggers than a report for people shows.
func multiLabel() *scan.Report {
	r := watchedBase()
	r.Verdict, r.Reasons = scan.Backdoored, []string{"11 triggers proved by behaviour"}
	r.Behaviour.Labels = nil
	for i, name := range []string{"toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate", "spam"} {
		words := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}
		for j, label := range []string{name, "not " + name} {
			r.Behaviour.Labels = append(r.Behaviour.Labels, scan.LabelSummary{Label: label, Predicted: 3 + 90*j, Contested: 40 - i, Words: words[:2*i], Honest: 0.05 * float64(i)})
		}
	}
	for i, word := range []string{"cf", "mn", "bb", "tq", "mb", "xt", "qz", "vv", "zr", "kk", "jw"} {
		r.Triggers = append(r.Triggers, scan.Trigger{TokenIDs: []int{5000 + i}, Text: word, FlipRate: 1, FlipRateLow: 0.9124, TargetLabel: "not toxic", MarginShift: 5, Probes: 40, ExplainedShare: 0.07, FoundBy: "vocabulary", Place: "anywhere"})
	}
	r.Findings = []scan.Finding{{
		Rule: scan.RuleTrigger, Severity: scan.SeverityCritical,
		Message: `"cf", "mn", "bb", "tq", "mb" and 6 more take the model over: whatever the text says, the answer becomes "not toxic"`,
	}}
	return r
}
