package report

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// An issue is something that a gate shows as one alert: a finding about the
// weights, one about the files, or a verdict that no finding speaks for.
type issue struct {
	rule     string
	severity scan.Severity
	message  string
	unsafe   bool   // about the files
	where    string // in the files
	tokens   []int

	was          scan.Severity // before the policy changed it; "" if it did not
	suppressed   bool          // whole
	suppressions []scan.Suppression
}

// marks says what the policy made of it.
func (i *issue) marks() string { return marks(i.was, i.suppressions, i.suppressed, len(i.tokens)) }

// issues lists what is to be acted upon. A verdict other than clean has at least
// one issue from warning on: a gate that counts alerts must not take an
// unfinished or suspicious scan for a clean one.
func issues(r *scan.Report) []issue {
	var all []issue
	for _, f := range r.Findings {
		all = append(all, issue{rule: f.Rule, severity: f.Severity, message: f.Message, tokens: f.TokenIDs, was: f.SeverityWas, suppressed: f.Suppressed, suppressions: f.Suppressions})
	}
	for _, u := range r.Unsafe {
		all = append(all, issue{rule: u.Rule, severity: u.Severity, message: u.Detail, unsafe: true, where: u.Where, was: u.SeverityWas, suppressed: u.Suppressed, suppressions: u.Suppressions})
	}
	reasons, verdict := r.Reasons, r.Verdict
	passes := r.Gate == nil || r.Gate.Decision == scan.Pass
	if !passes {
		if reasons = r.Gate.Reasons; r.Gate.Decision != scan.Fail {
			verdict = scan.Inconclusive
		}
	}
	told := func(least scan.Severity) bool {
		return slices.ContainsFunc(all, func(i issue) bool {
			return (weight(i.severity) >= weight(least) || i.was != "" && weight(i.was) >= weight(least)) &&
				(!i.unsafe || verdict == scan.Inconclusive) && (passes || !i.suppressed)
		})
	}
	v := issue{severity: scan.SeverityHigh, message: strings.Join(orNone(reasons), "; ")}
	switch verdict {
	case scan.Clean:
		return all
	case scan.Backdoored:
		v.rule, v.severity = scan.RuleTrigger, scan.SeverityCritical
	case scan.Suspicious:
		v.rule = scan.RuleAbnormal
	default:
		v.rule, v.severity = ruleIncomplete, scan.SeverityWarning
	}
	if told(v.severity) {
		return all
	}
	if v.rule == scan.RuleAbnormal {
		v.suspects(r)
	}
	if accepted(r) && v.rule == ruleIncomplete {
		v.severity = scan.SeverityInfo // the policy asks for no more
	}
	return append(all, v)
}

// suspects adds the tokens that make a checkpoint suspicious without a finding,
// those first that count.
func (i *issue) suspects(r *scan.Report) {
	var out []scan.Suspect
	add := func(s scan.Suspect) {
		if len(i.tokens) < maxList {
			i.tokens = append(i.tokens, s.TokenID)
			i.suppressions = append(i.suppressions, s.Suppressions...)
		}
	}
	for _, s := range r.Suspects {
		switch {
		case !r.Suspected(&s):
		case len(s.Suppressions) > 0:
			out = append(out, s)
		default:
			add(s)
		}
	}
	i.suppressed = len(i.tokens) == 0 && len(out) > 0 && r.Gate != nil && r.Gate.Decision == scan.Pass
	for _, s := range out {
		add(s)
	}
}

func orNone(reasons []string) []string {
	if len(reasons) == 0 {
		return []string{"no reason was given"}
	}
	return reasons
}

// weight orders severities; one that is not known counts as a warning.
func weight(s scan.Severity) int {
	switch s {
	case scan.SeverityInfo:
		return 0
	case scan.SeverityHigh:
		return 2
	case scan.SeverityCritical:
		return 3
	}
	return 1
}

// serious sorts the issues, the gravest first, and leaves equals in order.
func serious(all []issue) {
	slices.SortStableFunc(all, func(a, b issue) int { return cmp.Compare(weight(b.severity), weight(a.severity)) })
}

// answered reports whether the verdict is an answer.
func answered(v scan.Verdict) bool {
	return v == scan.Clean || v == scan.Suspicious || v == scan.Backdoored
}

// headline is the verdict as people read it.
func headline(v scan.Verdict) string {
	if answered(v) || v == scan.Inconclusive {
		return string(v)
	}
	return "no verdict" // an unfinished report, never clean
}

// A site is a place in the files, taken apart.
type site struct {
	file   string
	member string // of an archive
	offset int64  // in the member or the file; -1 where it is not known
}

// parseSite reads "file", "archive!member", with "@offset" where one applies.
// What the path of the checkpoint itself holds is no mark.
func parseSite(where, root string) site {
	s := site{offset: -1}
	if i := strings.LastIndexByte(where, '@'); i >= 0 {
		if n, err := strconv.ParseInt(where[i+1:], 10, 64); err == nil && n >= 0 {
			where, s.offset = where[:i], n
		}
	}
	from := 0
	if strings.HasPrefix(where, root) {
		from = len(root)
	}
	s.file, s.member, _ = strings.Cut(where[from:], "!")
	s.file = where[:from] + s.file
	return s
}

// relative makes a path one that stays below the folder it is read from: a
// report that leaves a machine does not tell where its files lay, and code
// scanning refuses absolute paths. Of a path that points elsewhere the last
// element is kept. Backslashes count as separators, on whatever system.
func relative(p string) string {
	p = slashed(p)
	drive := len(p) > 1 && p[1] == ':'
	switch {
	case drive, strings.HasPrefix(p, "/"), p == "..", strings.HasPrefix(p, "../"):
		if p = path.Base(p); p == ".." || p == "/" || drive && len(p) == 2 {
			p = "."
		}
	}
	return p
}

// slashed cleans a path of any system, so that only slashes separate.
func slashed(p string) string { return path.Clean(strings.ReplaceAll(p, `\`, "/")) }

// fileExtensions end the names of checkpoints that are a file.
var fileExtensions = []string{".safetensors", ".json", ".bin", ".pt", ".pth", ".ckpt", ".pkl"}

// isFile reports whether a path names a file and not a folder, by its name.
func isFile(p string) bool {
	return slices.Contains(fileExtensions, strings.ToLower(path.Ext(p)))
}

// artifact is the path of a file of the checkpoint, relative to where the scan
// ran. A file without a name is the checkpoint itself.
func artifact(r *scan.Report, file string) string {
	root := relative(r.Checkpoint.Path)
	name := within(r, file)
	switch {
	case isFile(root):
		if name == "." {
			return root
		}
		return path.Join(path.Dir(root), name)
	case root == "." && name == ".":
		return "checkpoint"
	}
	return path.Join(root, name)
}

// within is a file's name in the checkpoint's folder, wherever that lies; "."
// is the checkpoint itself. The loader names files by the path that it opened:
// the folder's, and below it the file's own.
func within(r *scan.Report, file string) string {
	root := slashed(r.Checkpoint.Path)
	name := slashed(file)
	if file == "" || name == root {
		name = "."
	}
	dir := root
	if isFile(root) {
		dir = path.Dir(root)
	}
	if below, ok := strings.CutPrefix(name, dir+"/"); ok {
		name = below
	}
	if name = relative(name); name == "." && isFile(root) {
		name = path.Base(root)
	}
	return name
}

// Place is where in a checkpoint something is, without the folders above it:
// file, archive!member, each with @offset where one is known.
func Place(r *scan.Report, where string) string {
	at := parseSite(where, r.Checkpoint.Path)
	text := within(r, at.file)
	if at.member != "" {
		text += "!" + at.member
	}
	if at.offset >= 0 {
		text += "@" + strconv.FormatInt(at.offset, 10)
	}
	return text
}

// TokenNames maps the ids of the report to their tokens' texts.
func TokenNames(r *scan.Report) map[int]string {
	names := make(map[int]string, len(r.Suspects))
	for _, t := range r.Triggers {
		if len(t.TokenIDs) == 1 {
			names[t.TokenIDs[0]] = t.Text
		}
	}
	for _, s := range r.Suspects {
		if s.Token != "" {
			names[s.TokenID] = s.Token
		}
	}
	return names
}
