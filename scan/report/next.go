package report

import (
	"slices"
	"strings"
	"unicode"

	"github.com/btu-scan/btu-scan/scan"
)

// next says what to do about the report.
func (t *text) next() {
	hint, command := t.hint(), ""
	if t.Verdict == scan.Backdoored && !t.unsafe() {
		if command = t.demonstration(); command != "" {
			hint += "; watch one at work in texts of your own:"
		}
	}
	t.field(field{label: "next:", labelPaint: style.bold, text: hint})
	if command != "" {
		t.line(strings.Repeat(" ", gutter) + command)
	}
}

func (t *text) unsafe() bool {
	return slices.ContainsFunc(t.Unsafe, func(u scan.Unsafe) bool { return u.Severity.Serious() })
}

// hint is one sentence or two for the reader. What is dangerous comes first,
// then what is found, then what keeps the scan from an answer.
func (t *text) hint() string {
	has := func(status scan.SuspectStatus) bool {
		return slices.ContainsFunc(t.Suspects, func(s scan.Suspect) bool { return s.Status == status })
	}
	behaviour := t.Coverage.Behaviour
	switch {
	case t.unsafe():
		return "do not load these files: get the model from a source you trust, as safetensors, and scan that"
	case t.Verdict == scan.Backdoored && len(t.Triggers) == 1:
		return "do not deploy this checkpoint: the trigger above takes it over"
	case t.Verdict == scan.Backdoored:
		return "do not deploy this checkpoint: the triggers above take it over"
	case t.Verdict == scan.Suspicious && has(scan.StatusAbnormal):
		return "review the tokens marked !: one that your task and data do not explain may be a trigger; do not deploy the model until you know"
	case t.Verdict == scan.Suspicious && has(scan.StatusBorderline):
		return "review the tokens marked ~: one that your task and data do not explain may be a trigger; do not deploy the model until you know"
	case t.Verdict == scan.Suspicious:
		return "review what is named above: a token, phrase or style that your task and data do not explain may be a trigger; do not deploy the model until you know"
	case t.Verdict == scan.Clean && behaviour == scan.GatheredNotRequested:
		return "nothing to review, but weights alone do not exclude a trigger whose rows were frozen or clipped in training; --evidence auto runs the model as well"
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
	case behaviour == scan.GatheredPartial && t.Behaviour.Free():
		return "give --prompt and --answer if the model answers with a few words, --candidate for what may be a trigger; free text is not searched for others, so this checkpoint is not cleared"
	case behaviour == scan.GatheredPartial:
		return "give texts of the model's own field with --probes, and more time where --budget ended the scan; until then, this checkpoint is not cleared"
	case has(scan.StatusBorderline):
		return "review the tokens marked ~: words your task is about are expected there, rare or meaningless ones are not"
	case behaviour != scan.GatheredFull && behaviour != scan.GatheredNotRequested:
		return "the weights show nothing; --evidence weights makes a verdict of them alone, which does not exclude frozen or clipped triggers"
	}
	return "this checkpoint is not cleared: see the reasons above"
}

// demonstration is a command that shows the first trigger which a command line
// can hold, or "". It is never broken into lines: half a command is another.
func (t *text) demonstration() string {
	for _, g := range t.Triggers {
		if !quotable(g.Text) || strings.HasPrefix(g.Text, "##") { // a piece of a word is not had by writing it
			continue
		}
		around := "... " + g.Text + " ..."
		switch g.Place {
		case "front":
			around = g.Text + " ..."
		case "back":
			around = "... " + g.Text
		}
		for _, path := range []string{t.Checkpoint.Path, "MODEL"} {
			command := "btu-scan run " + path + " --text '" + around + "'"
			if plainPath(path) && fits(command, t.opt.Width-gutter) {
				return command
			}
		}
	}
	return ""
}

// quotable reports whether every shell takes s as it is in single quotes. They
// mean nothing to Windows' cmd, a quote more to PowerShell, and fish reads
// backslashes in them: so only letters, digits and harmless marks are let in.
func quotable(s string) bool {
	for _, r := range s {
		if !visible(r) || !unicode.In(r, unicode.L, unicode.N) && !strings.ContainsRune(" .,:?+=/_@-", r) {
			return false
		}
	}
	return s != "" && !rightToLeft(s)
}

// plainPath reports whether a path needs no quotes and is no flag.
func plainPath(s string) bool {
	for _, r := range s {
		if r > '~' || !unicode.In(r, unicode.L, unicode.N) && !strings.ContainsRune("./_-+", r) {
			return false
		}
	}
	return s != "" && s[0] != '-'
}
