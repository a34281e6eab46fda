package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/btu-scan/btu-scan/scan"
)

// Strictness is what the configuration in a checkpoint's own folder can change.
type Strictness struct {
	FailOn, Evidence string
	Require          []string // nil: what Evidence asks for
	Severities       map[string]Severity
}

// Tighten applies to s what of c makes it stricter, and says what that was and
// what else of c has no effect.
//
// c was found in the folder of the checkpoint, so whoever made the checkpoint
// may have written it. It can lower fail-on, ask for more evidence and raise
// severities. It cannot suppress, pin, name files, or turn a rule off. What the
// user fixed by a flag or the environment stays.
func (c *Config) Tighten(s *Strictness, fixed func(flag string) bool) (changes, ignored []string) {
	change := func(format string, args ...any) { changes = append(changes, fmt.Sprintf(format, args...)) }
	ignore := func(what string) { ignored = append(ignored, what) }
	for _, x := range c.Settings {
		value := x.Values[0]
		switch {
		case fixed(x.Flag):
			ignore(x.Key)
		case x.Flag == "fail-on":
			if stricter(failOns, s.FailOn, value) {
				s.FailOn = value
				change("fail-on: %s", value)
			}
		case x.Flag == "evidence":
			if stricter(evidences, s.Evidence, value) {
				s.Evidence = value
				change("evidence: %s", value)
			}
		case x.Flag == "require": // in the end, since evidence matters to it
		default:
			ignore(x.Key)
		}
	}
	if x, ok := c.Setting("require"); ok && !fixed("require") {
		now := (&Policy{Evidence: scan.Evidence(s.Evidence), Require: s.Require}).required()
		switch {
		case !slices.Contains(x.Values, Behaviour) || slices.Contains(now, Behaviour): // no stricter
		case s.Evidence == string(scan.EvidenceWeights):
			ignore("require: " + Behaviour)
		default:
			s.Require = []string{Weights, Behaviour}
			change("require: %s, %s", Weights, Behaviour)
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(c.Severities)) {
		to, own := c.Severities[rule], s.Severities[rule]
		_, set := s.Severities[rule]
		if to.Severity == "" || set && (own.Severity == "" || rank(own.Severity) >= rank(to.Severity)) {
			ignore("severity of " + rule)
			continue
		}
		to.AtLeast = !set
		s.Severities = maps.Clone(s.Severities)
		if s.Severities == nil {
			s.Severities = map[string]Severity{}
		}
		s.Severities[rule] = to
		change("severity of %s: at least %s", rule, to.Severity)
	}
	if len(c.Pins) > 0 {
		ignore("reference.pins")
	}
	if len(c.Suppressions) > 0 {
		ignore("suppressions")
	}
	return changes, ignored
}

// From the least strict.
var (
	failOns   = []string{"never", "backdoored", "suspicious"}
	evidences = []string{"weights", "auto", "full"}
)

func stricter(order []string, now, then string) bool {
	return slices.Index(order, then) > slices.Index(order, now)
}
