// Package hostile builds the corpus of hostile checkpoints and their honest
// twins that the scanner is tested with. Every payload is inert: a case names a
// call that would be harmless, and nothing here or in the tests executes it.
package hostile

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Label says what a scanner should make of a case.
type Label string

// The labels.
const (
	// Malicious: must be reported or refused.
	Malicious Label = "malicious"
	// Benign: nothing may be said from severity warning up.
	Benign Label = "benign"
	// Notice: harmless here, and yet to be said, such as code that a model
	// brings with it.
	Notice Label = "notice"
)

// A Case is one checkpoint, and what a scan without a reference must make of it.
type Case struct {
	Class string
	Name  string // unique within its class
	Tests string // one sentence
	Label Label
	// Files builds what the case consists of.
	Files func() []File
	// Target is the file that is scanned; "" for the folder.
	Target string
	// Rules are the ids that are expected: of a malicious case one of them with
	// severity high or critical (or any, where it was refused or not looked at), of a notice all of them, of a benign case all of
	// them with severity info. None where a malicious case is refused before any.
	Rules []string
	// Exit are the exit codes that are right.
	Exit []int
}

// ID is the case's unique name, which is a file name, too.
func (c Case) ID() string {
	clean := func(s string) string { return strings.NewReplacer(" ", "-", "/", "-", ",", "").Replace(s) }
	return clean(c.Class) + "." + clean(c.Name)
}

// RunsCode reports whether a malicious case holds code that would run where it is
// loaded or rendered. The others break a format, or want to exhaust their reader.
func (c Case) RunsCode() bool {
	return slices.ContainsFunc(c.Rules, func(rule string) bool {
		return rule == unsafeGlobal || rule == unsafeOpcode || rule == customCode || rule == template
	})
}

// A File is a file of a case, or a link.
type File struct {
	Name string // with slashes; local
	Data []byte
	Link string // where it points, instead of Data
}

// Write writes the case's files into dir, which it makes, and returns what to
// scan.
func (c Case) Write(dir string) (target string, err error) {
	for _, f := range c.Files() {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", err
		}
		if f.Link != "" {
			err = os.Symlink(f.Link, name)
		} else {
			err = os.WriteFile(name, f.Data, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, c.Target), nil
}

// Cases is the whole corpus, in a fixed order.
func Cases() []Case {
	return slices.Concat(
		calls(), names(), streams(), // pickles
		zipHeaders(), zipMembers(), wrappers(), lookAlikes(), // containers
		resources(), tensors(), safetensorsFiles(), shards(),
		settings(), templates(), tokenizers(),
		saves(), training(),
	)
}

// A Count is how many cases a class has.
type Count struct {
	Class                     string
	Malicious, Benign, Notice int
}

// Counts counts the cases of every class, in the order of the corpus.
func Counts(cases []Case) []Count {
	var counts []Count
	for _, c := range cases {
		i := slices.IndexFunc(counts, func(n Count) bool { return n.Class == c.Class })
		if i < 0 {
			i = len(counts)
			counts = append(counts, Count{Class: c.Class})
		}
		switch c.Label {
		case Malicious:
			counts[i].Malicious++
		case Benign:
			counts[i].Benign++
		case Notice:
			counts[i].Notice++
		}
	}
	return counts
}

// Table is the table of classes in Markdown.
func Table(cases []Case) string {
	var b strings.Builder
	b.WriteString("| class | malicious | benign | notice | for example |\n|---|---:|---:|---:|---|\n")
	var sum Count
	for _, n := range Counts(cases) {
		example := cases[slices.IndexFunc(cases, func(c Case) bool { return c.Class == n.Class })].Tests
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s |\n", n.Class, n.Malicious, n.Benign, n.Notice, strings.ReplaceAll(example, "|", `\|`))
		sum.Malicious += n.Malicious
		sum.Benign += n.Benign
		sum.Notice += n.Notice
	}
	fmt.Fprintf(&b, "| all %d | %d | %d | %d | |\n", len(cases), sum.Malicious, sum.Benign, sum.Notice)
	return b.String()
}

//go:embed testdata
var testdata embed.FS

// fixture is a file that testdata/scripts/make_hostile_twins.py wrote.
func fixture(name string) []byte {
	data, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		panic(err) // the file is embedded, so this is a typing error
	}
	return data
}

// The exit codes of the program that cases expect.
var (
	found   = []int{1}
	refused = []int{2}
	either  = []int{1, 2}
	passed  = []int{3} // no verdict, as without a reference there is none: nothing wrong, or not all was seen
)

// The rules, by their ids in the reports.
const (
	unsafeGlobal = "BTU100"
	unsafeOpcode = "BTU101"
	trainer      = "BTU102"
	customCode   = "BTU110"
	template     = "BTU111"
	malformed    = "BTU200"
	ambiguous    = "BTU201"
	traversal    = "BTU202"
	incomplete   = "BTU900"
)

// A class collects the cases of one class.
type class struct {
	name  string
	cases []Case
}

func (k *class) add(c Case) {
	c.Class = k.name
	k.cases = append(k.cases, c)
}

// bad adds a malicious file.
func (k *class) bad(name, tests, file string, data []byte, exit []int, rules ...string) {
	k.add(Case{Name: name, Tests: tests, Label: Malicious, Files: one(file, data), Target: file, Exit: exit, Rules: rules})
}

// good adds a harmless file.
func (k *class) good(name, tests, file string, data []byte) {
	k.add(Case{Name: name, Tests: tests, Label: Benign, Files: one(file, data), Target: file, Exit: passed})
}

// folder adds a case of a whole folder.
func (k *class) folder(label Label, name, tests string, exit []int, rules []string, files ...File) {
	k.add(Case{Name: name, Tests: tests, Label: label, Files: func() []File { return files }, Exit: exit, Rules: rules})
}

func one(name string, data []byte) func() []File {
	return func() []File { return []File{{Name: name, Data: data}} }
}

func text(name, data string) File { return File{Name: name, Data: []byte(data)} }
