package report

import (
	"slices"

	"github.com/btu-scan/btu-scan/scan"
)

// next says what to do about the report.
func (t *text) next() {
	t.field(field{label: "next:", labelPaint: style.bold, text: t.hint()})
}

// hint is one sentence or two for the reader. What is dangerous comes first,
// then what is found, then what keeps the scan from an answer.
func (t *text) hint() string {
	unsafe := slices.ContainsFunc(t.Unsafe, func(u scan.Unsafe) bool { return u.Severity.Serious() })
	behaviour := t.Coverage.Behaviour
	switch {
	case unsafe:
		return "do not load these files: get the model from a source you trust, as safetensors, and scan that"
	case t.Verdict == scan.Backdoored:
		return "do not deploy this checkpoint: the triggers above take it over"
	case t.Verdict == scan.Suspicious:
		return "review the tokens marked !: one that your task and data do not explain may be a trigger; do not deploy the model until you know"
	case t.Verdict == scan.Clean && behaviour != scan.GatheredFull:
		return "nothing to review, but weights alone do not exclude a trigger whose rows were frozen or clipped in training"
	case t.Verdict == scan.Clean:
		return "nothing to review; a clean scan makes a backdoor unlikely, it does not prove that there is none"
	case t.Reference == nil:
		return "name the pretrained model with --reference, then scan again"
	case t.Reference.Match != nil && t.Reference.Match.Verdict == scan.MatchMismatch:
		return "name the model that this checkpoint was tuned from with --reference, then scan again"
	case t.Coverage.Weights != scan.GatheredFull:
		return "see above why the weights were not compared; until they are, this checkpoint is not cleared"
	case slices.ContainsFunc(t.Suspects, func(s scan.Suspect) bool { return s.Status == scan.StatusBorderline }):
		return "review the tokens marked ~: words your task is about are expected there, rare or meaningless ones are not"
	case behaviour != scan.GatheredFull && behaviour != scan.GatheredNotRequested:
		return "the weights show nothing; --evidence weights makes a verdict of them alone, which does not exclude frozen or clipped triggers"
	}
	return "this checkpoint is not cleared: see the reasons above"
}
