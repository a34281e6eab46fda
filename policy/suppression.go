package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// A Suppression takes one finding of one checkpoint out of what counts.
type Suppression struct {
	Checkpoint string // digest of its tensor files, as loader's Digest gives it
	Rule       string
	// TokenIDs is the token that the finding is about, or the tokens of a
	// trigger in their order. Empty for findings about files, and about the whole
	// model.
	TokenIDs []int
	Text     string // of the token or trigger, as reports show it
	Where    string // in the files: file, archive!member, with @offset

	Justification string
	Expires       time.Time // the last day on which it counts, in UTC; zero for none
	Source        string    // file and line

	by   scan.SuppressedBy
	weak bool // of all findings about the token, whatever the rule, but a proved trigger
	used bool
}

// check refuses a suppression that could match nothing, or too much.
func (s *Suppression) check() error {
	rules := report.Rules()
	switch {
	case s.Checkpoint == "":
		return errors.New("checkpoint is missing: a suppression holds for the bytes of one checkpoint; btu-scan config digest MODEL prints their digest")
	case s.Rule == "":
		return errors.New("rule is missing, as in rule: BTU002")
	case !slices.Contains(rules, s.Rule):
		return fmt.Errorf("no rule %s", quote(s.Rule))
	case s.Rule == scan.RuleReference || fixedRules[s.Rule] != "" && s.Rule != scan.RuleTrigger:
		return fmt.Errorf("%s cannot be suppressed: it says that the scan has no answer, or that a reviewer has one", s.Rule)
	case s.Justification == "":
		return errors.New("justification is missing: say why the finding does not count")
	case report.AboutFiles(s.Rule):
		if s.Where == "" || len(s.TokenIDs) > 0 || s.Text != "" {
			return fmt.Errorf("%s is about a file: it wants where, as the report shows it, and no token", s.Rule)
		}
	case aboutModel(s.Rule):
		if len(s.TokenIDs) > 0 || s.Text != "" || s.Where != "" {
			return fmt.Errorf("%s is about the whole model: it wants no token and no where", s.Rule)
		}
	case len(s.TokenIDs) == 0 || s.Where != "":
		return fmt.Errorf("%s is about tokens: it wants token-ids and text, as the report shows them, and no where", s.Rule)
	case len(s.TokenIDs) > 1 && s.Rule != scan.RuleTrigger:
		return fmt.Errorf("%s: one token each, so that every one has its justification", s.Rule)
	}
	return nil
}

// expired reports whether the last day is over.
func (s *Suppression) expired(now time.Time) bool {
	return !s.Expires.IsZero() && !now.Before(s.Expires.AddDate(0, 0, 1))
}

// about names what the suppression is about in a note.
func (s *Suppression) about() string {
	what := s.Rule
	if s.Where != "" {
		what += " at " + quote(s.Where)
	}
	if s.weak {
		what = "the mark of benign"
	}
	if len(s.TokenIDs) > 0 {
		what += fmt.Sprintf(" of %s", quote(s.Text))
	}
	return what
}

// mark is the entry of a report.
func (s *Suppression) mark(ids ...int) scan.Suppression {
	s.used = true
	m := scan.Suppression{By: s.by, TokenIDs: ids, Justification: s.Justification, Source: s.Source}
	if !s.Expires.IsZero() {
		m.Expires = s.Expires.Format(time.DateOnly)
	}
	return m
}

// covers reports whether it is about a rule and one token.
func (s *Suppression) covers(rule string, id int, text string) bool {
	return (s.Rule == rule || s.weak && rule != scan.RuleTrigger) && len(s.TokenIDs) == 1 && s.TokenIDs[0] == id && s.Text == text
}

// coversTrigger is the same for a trigger.
func (s *Suppression) coversTrigger(t *scan.Trigger) bool {
	return s.Rule == scan.RuleTrigger && slices.Equal(s.TokenIDs, t.TokenIDs) && s.Text == t.Text
}

// aboutModel reports whether a rule's findings are about the whole model, neither
// a token nor a file.
func aboutModel(rule string) bool { return rule == scan.RuleStyle }

// Describe says what the suppression is about and how long it holds.
func (s *Suppression) Describe(now time.Time) string {
	text := s.about() + " of " + s.Checkpoint
	switch {
	case s.Expires.IsZero():
	case s.expired(now):
		text += ", expired after " + s.Expires.Format(time.DateOnly)
	default:
		text += ", until " + s.Expires.Format(time.DateOnly)
	}
	return text + ": " + s.Justification
}
