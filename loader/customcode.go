package loader

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A wanted is code that a settings file asks for.
type wanted struct {
	file string // the settings file
	key  string
	code string // "module.Class", or "owner/model--module.Class"
}

// A module is a Python file beside the tensors.
type module struct {
	name  string
	risky string // the first thing in it that no model needs, "" if none
	at    int
}

// risks are what the code of a model does not need. The list is for naming the
// obvious: code can hide what it does, so none of them is no all-clear.
var risks = regexp.MustCompile(`\bos\s*\.\s*(?:system|popen|exec\w*|spawn\w*|fork\w*|remove|unlink)\b` +
	`|\b(?:import|from)\s+(?:subprocess|socket|ctypes|pty|marshal|pickle|telnetlib|ftplib|smtplib)\b` +
	`|\bfrom\s+os\s+import\b|\bsubprocess\s*\.` +
	`|(?:^|[^\w.])(?:eval|exec|__import__)\s*\(` +
	`|\burllib\.request\b|\brequests\.post\b|\bimportlib\.import_module\b` +
	`|__builtins__|__subclasses__|__globals__|\bgetattr\s*\(\s*(?:os|builtins|sys)\b`)

// module looks through a Python file.
func (s *settings) module(name string, data []byte) {
	m := module{name: name}
	at := 0
	for line := range bytes.Lines(data) {
		if !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("#")) {
			if loc := risks.FindIndex(line); loc != nil {
				m.risky, m.at = strings.TrimSpace(string(line[loc[0]:loc[1]])), at+loc[0]
				break
			}
		}
		at += len(line)
	}
	s.modules = append(s.modules, m)
}

// served are modules that servers and libraries run without a word in the
// settings.
var served = []string{"handler.py", "custom_generate/generate.py", "pipeline.py"}

// want notes code that a settings file asks for, once.
func (s *settings) want(w wanted) {
	switch {
	case slices.Contains(s.wanted, w):
	case len(s.wanted) < maxWanted:
		s.wanted = append(s.wanted, w)
	default:
		s.dropped++
	}
}

// code says what the settings ask to run, and which of the folder's modules
// that is.
func (s *settings) code() {
	asked := map[string]bool{}
	for _, w := range s.wanted {
		where, module := w.file, moduleOf(w.code)
		switch {
		case strings.Contains(w.code, "--") || w.key == "custom_generate":
			s.add(RuleCustomCode, SeverityHigh, where, "%s asks for code of another model, %s, which can change after any review", w.key, quoted(clipped(w.code)))
		case strings.ContainsAny(w.code, `/\`) || strings.Contains(w.code, ".."):
			s.add(RuleCustomCode, SeverityHigh, where, "%s asks for code outside the folder, %s", w.key, quoted(clipped(w.code)))
		case asked[module]:
		case !slices.ContainsFunc(s.modules, isModule(module)):
			s.add(RuleCustomCode, SeverityWarning, where, "%s asks for code that is not in the folder, %s", w.key, quoted(clipped(w.code)))
		default:
			s.add(RuleCustomCode, SeverityWarning, where, "%s asks for code of the folder, %s: it runs where a library is told to trust it", w.key, quoted(module))
		}
		asked[module] = true
	}
	for _, m := range s.modules {
		runs := len(s.wanted) > 0 || slices.Contains(served, m.name) // modules import each other
		switch {
		case m.risky != "" && runs:
			s.add(RuleCustomCode, SeverityHigh, fmt.Sprintf("%s@%d", m.name, m.at), "code that runs with the model uses %s, which a model does not need", quoted(clipped(m.risky)))
		case runs && !asked[m.name]:
			s.add(RuleCustomCode, SeverityInfo, m.name, "code that can run with the model")
		case !runs:
			s.add(RuleCustomCode, SeverityInfo, m.name, "a Python file that no settings ask for")
		}
	}
}

// moduleOf is the file that "module.Class" lies in.
func moduleOf(code string) string {
	name, _, _ := strings.Cut(code, ".")
	return name + ".py"
}

func isModule(name string) func(module) bool {
	return func(m module) bool { return path.Clean(m.name) == name }
}
