package loader

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxSettings caps the bytes of a settings file that is looked through;
	// real ones stay under 2 MB.
	maxSettings = 8 << 20
	// maxLooked caps the settings files, templates and modules of a folder.
	maxLooked = 2000
	// maxWanted caps the distinct pieces of code that settings may ask for.
	maxWanted = 1000

	maxSettingsFindings = 200
)

// lookAtSettings looks through the files beside the tensors that can make a
// library run code: settings, chat templates and Python modules. What it cannot
// look at is a finding, too.
func lookAtSettings(f *folder) []Finding {
	names, err := f.list()
	if err != nil {
		return []Finding{unseen(f.dir, err.Error())}
	}
	for _, sub := range []string{"custom_generate", "additional_chat_templates"} {
		inside := folder{dir: f.dir, root: f.root, prefix: path.Join(f.prefix, sub)}
		more, err := inside.list()
		if err != nil {
			continue // most folders have neither
		}
		for _, name := range more {
			names = append(names, path.Join(sub, name))
		}
	}
	s := settings{folder: f, names: names}
	looked, over := 0, 0
	for _, name := range names {
		look := s.looker(name)
		if look == nil {
			continue
		}
		if looked == maxLooked {
			over++
			continue
		}
		looked++
		data, err := f.read(name)
		switch {
		case err != nil:
			s.findings = append(s.findings, unseen(name, err.Error()))
		case data == nil:
		case len(data) > maxSettings:
			s.findings = append(s.findings, unseen(name, fmt.Sprintf("%d bytes, the limit for settings is %d", len(data), maxSettings)))
		default:
			look(name, data)
		}
	}
	s.code()
	for i := range s.findings {
		s.findings[i].Where = filepath.Join(f.dir, filepath.FromSlash(s.findings[i].Where))
	}
	if over > 0 {
		s.findings = append(s.findings, unseen(f.dir, fmt.Sprintf("%d settings files, templates and modules over the limit of %d", over, maxLooked)))
	}
	if s.dropped > 0 {
		s.findings = append(s.findings, Finding{Rule: RuleIncomplete, Severity: SeverityHigh, Where: f.dir,
			Detail: fmt.Sprintf("%d more findings about settings, which are not listed", s.dropped)})
	}
	return s.findings
}

// settings are the files beside the tensors.
type settings struct {
	folder   *folder
	names    []string
	findings []Finding
	dropped  int
	wanted   []wanted
	modules  []module
}

// looker picks what looks at a file, or nil.
func (s *settings) looker(name string) func(name string, data []byte) {
	base := strings.ToLower(path.Base(name))
	switch path.Ext(base) {
	case ".json":
		if strings.Contains(base, "config") || strings.HasPrefix(base, "chat_template") || base == "modules.json" || base == "model_index.json" {
			return s.json
		}
	case ".jinja", ".jinja2", ".j2":
		return func(name string, data []byte) { s.template(name, string(data)) }
	case ".py":
		return s.module
	}
	return nil
}

func (s *settings) add(rule string, sev Severity, where, format string, args ...any) {
	if len(s.findings) >= maxSettingsFindings {
		s.dropped++
		return
	}
	s.findings = append(s.findings, Finding{Rule: rule, Severity: sev, Where: where, Detail: fmt.Sprintf(format, args...)})
}

// json goes through every value of a settings file, at any depth: the libraries
// look for some of the keys in several places.
func (s *settings) json(name string, data []byte) {
	data = pythonNumbers(data)
	strict := jsontext.NewDecoder(bytes.NewReader(data))
	if _, err := strict.ReadValue(); errors.Is(err, jsontext.ErrDuplicateName) {
		at := strict.InputOffset()
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			at = syntax.ByteOffset
		}
		s.add(RuleAmbiguous, SeverityHigh, where(name, at), "a name is stated twice; readers take the first or the last")
	}
	w := jsonWalk{dec: jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	err := w.walk(func(path []string, value jsontext.Token) { s.setting(name, path, value) })
	if err != nil {
		fe := &FormatError{}
		errors.As(jsonError(name, 0, err), &fe)
		s.add(RuleMalformed, SeverityHigh, where(name, fe.Off), "%s: what follows was not looked at", fe.Msg)
	}
}

// pythonNumbers replaces NaN and the infinities, which Python writes into JSON
// though it has none, by 0 and blanks.
func pythonNumbers(data []byte) []byte {
	words := []string{"-Infinity", "Infinity", "NaN"}
	if !slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(data, []byte(w)) }) {
		return data
	}
	out := bytes.Clone(data)
	quoted := false
	for i := 0; i < len(out); i++ {
		switch {
		case quoted && out[i] == '\\':
			i++
		case out[i] == '"':
			quoted = !quoted
		case !quoted:
			for _, w := range words {
				if bytes.HasPrefix(out[i:], []byte(w)) {
					copy(out[i:], "0"+strings.Repeat(" ", len(w)-1))
					break
				}
			}
		}
	}
	return out
}

// A jsonWalk hands out the values of a JSON text that are no containers, with
// the names that lead to them. The elements of an array have no name.
type jsonWalk struct {
	dec  *jsontext.Decoder
	path []string
}

func (w *jsonWalk) walk(visit func(path []string, value jsontext.Token)) error {
	var containers []bool // open ones; true for an object
	key := false          // the next string is a name
	for {
		tok, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		switch tok.Kind() {
		case '{', '[':
			containers = append(containers, tok.Kind() == '{')
			if tok.Kind() == '{' {
				key = true
				continue
			}
			w.path = append(w.path, "")
		case '}', ']':
			if !containers[len(containers)-1] {
				w.path = w.path[:len(w.path)-1]
			}
			containers = containers[:len(containers)-1]
			w.leave(containers)
		case '"':
			if key {
				w.path = append(w.path, tok.String())
				key = false
				continue
			}
			visit(w.path, tok)
			w.leave(containers)
		default:
			visit(w.path, tok)
			w.leave(containers)
		}
		if len(containers) == 0 {
			return nil
		}
		key = containers[len(containers)-1]
	}
}

// leave takes the name of the value that just ended off the path.
func (w *jsonWalk) leave(containers []bool) {
	if n := len(containers); n > 0 && containers[n-1] {
		w.path = w.path[:len(w.path)-1]
	}
}

// setting looks at one value of a settings file.
func (s *settings) setting(name string, keys []string, value jsontext.Token) {
	has := func(key string) bool { return slices.Contains(keys, key) }
	for _, key := range []string{"auto_map", "custom_pipelines", "custom_generate"} {
		if has(key) && value.Kind() == '"' && (key != "custom_pipelines" || has("impl")) {
			s.want(wanted{name, key, value.String()})
			return
		}
	}
	switch {
	case has("trust_remote_code"):
		if value.Kind() == 't' {
			s.add(RuleCustomCode, SeverityInfo, name, "trust_remote_code is set, which lets a library run the code of a model")
		}
	case has("_target_"):
		if target := value.String(); value.Kind() == '"' && reachesOut(target) {
			s.add(RuleCustomCode, SeverityHigh, name, "_target_ names %s, which a configuration library would call", quoted(clipped(target)))
		}
	case has("chat_template"), strings.HasPrefix(path.Base(name), "chat_template"):
		if value.Kind() == '"' {
			s.template(name, value.String())
		}
	}
}

// reachesOut reports whether a dotted name leads into a module that runs commands
// or code, or touches files.
func reachesOut(name string) bool {
	module, _, _ := strings.Cut(name, ".")
	switch module {
	case "os", "posix", "nt", "subprocess", "builtins", "__builtin__", "runpy", "pty", "sys", "shutil", "importlib", "ctypes", "pickle", "marshal", "code", "socket", "webbrowser", "pip", "timeit", "pydoc", "operator", "functools":
		return true
	}
	return false
}
