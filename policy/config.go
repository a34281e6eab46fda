package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// FileName is what a configuration is called where it is searched for.
const FileName = ".btu-scan.yaml"

// A Config is what a configuration says. Its texts are checked, its files are
// not looked at.
type Config struct {
	Path   string // as it was read
	SHA256 string // of its bytes

	// Settings are the values that flags have, too, by the flag's name and in the
	// order of the file.
	Settings     []Setting
	Pins         []Pin
	Severities   map[string]Severity // by rule
	Suppressions []Suppression
}

// A Setting is a value for a flag; lists have several.
type Setting struct {
	Flag   string
	Key    string // in the file, such as reference.model
	Values []string
	Line   int
	// File says that the values are files which the scan reads: a relative one
	// lies in the configuration's folder.
	File bool
}

// A Severity replaces that of a rule.
type Severity struct {
	Severity scan.Severity // "" where the rule is off
	// AtLeast says that it only raises.
	AtLeast bool
	Source  string
}

// A Pin names the reference of some checkpoints.
type Pin struct {
	Match  string // a pattern as path.Match has it
	Model  string // "" for what the checkpoint names
	Lock   string // a lock file; optional
	Digest string // of the reference's tensor files; optional
	Line   int
}

// Matches reports whether the pin is for the checkpoint at a path. A pattern
// without a slash is matched with the last part of the path.
func (p Pin) Matches(checkpoint string) bool {
	name := path.Clean(strings.ReplaceAll(checkpoint, `\`, "/"))
	if !strings.Contains(p.Match, "/") {
		name = path.Base(name)
	}
	ok, _ := path.Match(path.Clean(p.Match), name) // the pattern was checked
	return ok
}

// Parse reads a configuration. The error is an [*Error].
func Parse(name string, data []byte) (*Config, error) {
	r := &reader{path: name}
	root, err := r.read(data)
	if err != nil {
		return nil, err
	}
	if root.kind != mapping {
		return nil, r.errorf(root, "the file is %s; settings such as fail-on: suspicious are expected", root.kind)
	}
	sum := sha256.Sum256(data)
	c := &configReader{reader: r, Config: &Config{Path: name, SHA256: hex.EncodeToString(sum[:])}}
	err = c.fields(root, "", map[string]func(field) error{
		"fail-on":      c.oneOf("fail-on", "suspicious", "backdoored", "never"),
		"evidence":     c.oneOf("evidence", string(scan.EvidenceWeights), string(scan.EvidenceAuto), string(scan.EvidenceFull)),
		"require":      c.require,
		"budget":       c.duration("budget"),
		"seed":         c.seed,
		"prompt":       c.any("prompt"),
		"answers":      c.answers,
		"timeout":      c.duration("timeout"),
		"max-memory":   c.any("max-memory"),
		"sandbox":      c.oneOf("sandbox", "auto", "off", "require"),
		"probes":       c.file("probes"),
		"reference":    c.reference,
		"severity":     c.severity,
		"suppressions": c.suppressions,
		"triage":       c.file("triage"),
		"baseline":     c.file("baseline"),
		"reports":      c.reports,
	})
	if err != nil {
		return nil, err
	}
	return c.Config, nil
}

// Setting is the value for a flag; ok says whether there is one.
func (c *Config) Setting(flag string) (s Setting, ok bool) {
	for _, s := range c.Settings {
		if s.Flag == flag {
			return s, true
		}
	}
	return Setting{}, false
}

type configReader struct {
	*reader
	*Config
}

// fields calls the function of each field of a map; a key without one is a
// mistake.
func (c *configReader) fields(n *node, of string, known map[string]func(field) error) error {
	if n.kind != mapping {
		return c.errorf(n, "%s is %s, want a map", orFile(of), n.kind)
	}
	for _, f := range n.fields {
		read, ok := known[f.key]
		if !ok {
			var names []string
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			err := &Error{Path: c.reader.path, Line: f.line, Col: f.col, Msg: fmt.Sprintf("unknown key %s", quote(f.key))}
			if of != "" {
				err.Msg += " in " + of
			}
			if near := Nearest(f.key, names); near != "" {
				err.Hint = "did you mean " + near + "?"
			} else {
				err.Hint = "one of " + strings.Join(names, ", ")
			}
			return err
		}
		if err := read(f); err != nil {
			return err
		}
	}
	return nil
}

func orFile(of string) string {
	if of == "" {
		return "the file"
	}
	return of
}

// text is a scalar that is not blank.
func (c *configReader) text(f field) (string, error) {
	if f.value.kind != scalar {
		return "", c.errorf(f.value, "%s is %s, want a single value", f.key, f.value.kind)
	}
	if strings.TrimSpace(f.value.text) == "" {
		return "", c.errorf(f.value, "%s is blank", f.key)
	}
	return f.value.text, nil
}

// texts are the scalars of a list; one alone does as well.
func (c *configReader) texts(f field) (all []string, err error) {
	items := f.value.items
	if f.value.kind == scalar {
		items = []*node{f.value}
	} else if f.value.kind != list {
		return nil, c.errorf(f.value, "%s is %s, want a list", f.key, f.value.kind)
	}
	for _, n := range items {
		s, err := c.text(field{key: f.key, value: n})
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (c *configReader) set(f field, flag, key string, file bool, values ...string) {
	c.Settings = append(c.Settings, Setting{Flag: flag, Key: key, Values: values, Line: f.line, File: file})
}

func (c *configReader) oneOf(name string, allowed ...string) func(field) error {
	return func(f field) error {
		s, err := c.text(f)
		if err != nil {
			return err
		}
		if !slices.Contains(allowed, s) {
			return c.wrong(f.value, name, s, allowed)
		}
		c.set(f, name, name, false, s)
		return nil
	}
}

// wrong is the error of a value that is not among those allowed.
func (c *configReader) wrong(n *node, key, value string, allowed []string) error {
	err := c.errorf(n, "%s: %s is none of %s", key, quote(value), strings.Join(allowed, ", "))
	if near := Nearest(value, allowed); near != "" {
		err.Hint = "did you mean " + near + "?"
	}
	return err
}

func (c *configReader) file(name string) func(field) error {
	return func(f field) error {
		s, err := c.text(f)
		if err == nil {
			c.set(f, name, name, true, s)
		}
		return err
	}
}

func (c *configReader) require(f field) error {
	all, err := c.texts(f)
	if err != nil {
		return err
	}
	if err := CheckRequire(all); err != nil {
		return c.errorf(f.value, "%v", err)
	}
	c.set(f, "require", "require", false, all...)
	return nil
}

// CheckRequire refuses lists of required evidence that mean nothing.
func CheckRequire(all []string) error {
	for _, s := range all {
		if s != Weights && s != Behaviour {
			return fmt.Errorf("require: %s is none of %s, %s", quote(s), Weights, Behaviour)
		}
	}
	if !slices.Contains(all, Weights) {
		return fmt.Errorf("require: no verdict is possible without %s", Weights)
	}
	return nil
}

// The kinds of evidence that can be required.
const (
	Weights   = "weights"
	Behaviour = "behaviour"
)

func (c *configReader) duration(name string) func(field) error {
	return func(f field) error {
		s, err := c.text(f)
		if err != nil {
			return err
		}
		if d, err := time.ParseDuration(s); err != nil || d <= 0 {
			return c.errorf(f.value, "%s: %s is no time such as 30s", name, quote(s))
		}
		c.set(f, name, name, false, s)
		return nil
	}
}

// any takes a text that its flag checks.
func (c *configReader) any(name string) func(field) error {
	return func(f field) error {
		s, err := c.text(f)
		if err != nil {
			return err
		}
		c.set(f, name, name, false, s)
		return nil
	}
}

func (c *configReader) answers(f field) error {
	all, err := c.texts(f)
	if err != nil {
		return err
	}
	if len(all) < 2 {
		return c.errorf(f.value, "answers: at least two")
	}
	c.set(f, "answer", "answers", false, all...)
	return nil
}

func (c *configReader) seed(f field) error {
	s, err := c.text(f)
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(s, 10, 64); err != nil {
		return c.errorf(f.value, "seed: %s is no whole number from 0", quote(s))
	}
	c.set(f, "seed", "seed", false, s)
	return nil
}

func (c *configReader) reports(f field) error {
	all, err := c.texts(f)
	if err != nil {
		return err
	}
	for _, s := range all {
		format, file, ok := strings.Cut(s, "=")
		if !ok || file == "" {
			return c.errorf(f.value, "reports: %s is not FORMAT=FILE, as in sarif=btu.sarif", quote(s))
		}
		if !slices.Contains(report.Formats(), format) {
			return c.wrong(f.value, "reports", format, report.Formats())
		}
	}
	c.set(f, "report", "reports", false, all...)
	return nil
}

// reference is the name of a model, or a map.
func (c *configReader) reference(f field) error {
	model := func(f field) error {
		s, err := c.text(f)
		if err == nil {
			c.set(f, "reference", "reference.model", strings.HasPrefix(s, "."), s)
		}
		return err
	}
	if f.value.kind == scalar {
		return model(f)
	}
	return c.fields(f.value, "reference", map[string]func(field) error{
		"model": model,
		"dirs": func(f field) error {
			all, err := c.texts(f)
			if err == nil && len(all) > 0 {
				c.set(f, "reference-dir", "reference.dirs", true, all...)
			}
			return err
		},
		"lock": func(f field) error {
			s, err := c.text(f)
			if err == nil {
				c.set(f, "lock", "reference.lock", true, s)
			}
			return err
		},
		"pins": c.pins,
	})
}

var digestForm = regexp.MustCompile(`^(shards-)?sha256:[0-9a-f]{64}$`)

func (c *configReader) digest(f field) (string, error) {
	s, err := c.text(f)
	if err == nil && !digestForm.MatchString(s) {
		e := c.errorf(f.value, "%s: %s is no digest", f.key, quote(s))
		e.Hint = "btu-scan config digest MODEL prints it: sha256: or shards-sha256: and 64 digits"
		err = e
	}
	return s, err
}

func (c *configReader) pins(f field) error {
	return c.each(f, func(n *node) error {
		p := Pin{Line: n.line}
		put := func(to *string) func(field) error {
			return func(f field) (err error) {
				*to, err = c.text(f)
				return err
			}
		}
		err := c.fields(n, "pins", map[string]func(field) error{
			"match": put(&p.Match), "model": put(&p.Model), "lock": put(&p.Lock),
			"digest": func(f field) (err error) {
				p.Digest, err = c.digest(f)
				return err
			},
		})
		if err != nil {
			return err
		}
		if _, err := path.Match(p.Match, ""); err != nil || p.Match == "" {
			return c.errorf(n, "pins: match is no pattern such as models/sst2-*: %s", quote(p.Match))
		}
		if p.Model == "" && p.Digest == "" && p.Lock == "" {
			return c.errorf(n, "pins: the pin of %s says nothing: it wants a model, a digest or a lock", quote(p.Match))
		}
		c.Pins = append(c.Pins, p)
		return nil
	})
}

// each reads the maps of a list.
func (c *configReader) each(f field, read func(*node) error) error {
	if f.value.kind != list && f.value.kind != null {
		return c.errorf(f.value, "%s is %s, want a list", f.key, f.value.kind)
	}
	for _, n := range f.value.items {
		if n.kind != mapping {
			return c.errorf(n, "%s: an entry is %s, want a map", f.key, n.kind)
		}
		if err := read(n); err != nil {
			return err
		}
	}
	return nil
}

// fixedRules are not up to a policy: a proof, a reviewer's mark, and a scan that
// is not finished.
var fixedRules = map[string]string{
	scan.RuleTrigger: "a proved trigger counts; one of a certain checkpoint can be suppressed",
	scan.RuleMarked:  "a token that was marked as a trigger counts; change the mark",
	"BTU900":         "an unfinished scan is no pass; require says which evidence is needed",
}

// off is the severity of a rule that does not count.
const off = "off"

func (c *configReader) severity(f field) error {
	if f.value.kind != mapping {
		return c.errorf(f.value, "severity is %s, want a map such as BTU002: warning", f.value.kind)
	}
	c.Severities = map[string]Severity{}
	for _, x := range f.value.fields {
		if !slices.Contains(report.Rules(), x.key) {
			return c.wrong(&node{line: x.line, col: x.col}, "severity", x.key, report.Rules())
		}
		if why := fixedRules[x.key]; why != "" {
			return c.errorf(x.value, "severity: %s cannot be changed: %s", x.key, why)
		}
		s, err := c.text(x)
		if err != nil {
			return err
		}
		if !slices.Contains(severities, s) {
			return c.wrong(x.value, "severity of "+x.key, s, severities)
		}
		o := Severity{Severity: scan.Severity(s), Source: fmt.Sprintf("%s:%d", c.Path, x.line)}
		if s == off {
			o.Severity = ""
		}
		c.Severities[x.key] = o
	}
	return nil
}

// severities are those that a rule can be given, least first.
var severities = []string{off, string(scan.SeverityInfo), string(scan.SeverityWarning), string(scan.SeverityHigh), string(scan.SeverityCritical)}

func (c *configReader) suppressions(f field) error {
	return c.each(f, func(n *node) error {
		s := Suppression{Source: fmt.Sprintf("%s:%d", c.Path, n.line)}
		put := func(to *string) func(field) error {
			return func(f field) (err error) {
				*to, err = c.text(f)
				return err
			}
		}
		err := c.fields(n, "suppressions", map[string]func(field) error{
			"checkpoint": func(f field) (err error) {
				s.Checkpoint, err = c.digest(f)
				return err
			},
			"rule": put(&s.Rule), "where": put(&s.Where), "justification": put(&s.Justification),
			"text": func(f field) error {
				if f.value.kind != scalar {
					return c.errorf(f.value, "text is %s, want a single value", f.value.kind)
				}
				s.Text = f.value.text // of a token, which may be a blank
				return nil
			},
			"token-ids": func(f field) error {
				all, err := c.texts(f)
				for _, id := range all {
					n, bad := strconv.Atoi(id)
					if bad != nil || n < 0 {
						return c.errorf(f.value, "token-ids: %s is no token id", quote(id))
					}
					s.TokenIDs = append(s.TokenIDs, n)
				}
				return err
			},
			"expires": func(f field) error {
				text, err := c.text(f)
				if err != nil {
					return err
				}
				if s.Expires, err = time.Parse(time.DateOnly, text); err != nil {
					return c.errorf(f.value, "expires: %s is no day such as 2026-12-31", quote(text))
				}
				return nil
			},
		})
		if err != nil {
			return err
		}
		if err := s.check(); err != nil {
			e := c.errorf(n, "suppressions: %v", err)
			return e
		}
		c.Suppressions = append(c.Suppressions, s)
		return nil
	})
}

// String is the severity as a configuration has it.
func (s Severity) String() string {
	switch {
	case s.Severity == "":
		return off
	case s.AtLeast:
		return "at least " + string(s.Severity)
	}
	return string(s.Severity)
}

// String is the pin on one line.
func (p Pin) String() string {
	s := p.Match + " to " + cmp.Or(p.Model, "the model that it names")
	if p.Lock != "" {
		s += ", lock " + p.Lock
	}
	if p.Digest != "" {
		s += ", " + p.Digest
	}
	return s
}
