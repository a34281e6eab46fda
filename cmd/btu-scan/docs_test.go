package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
	"mvdan.cc/sh/v3/syntax"

	"github.com/btu-scan/btu-scan/internal/demo"
	"github.com/btu-scan/btu-scan/scan/report"
)

// The documents' commands are run: CONTRIBUTING.md ("Documents") says how a block
// is marked.
//
//	sh               run, block after block in one shell and one folder
//	sh repo          run in a folder like the repository's
//	sh norun REASON  not run, but read as shell
//	yaml             a pipeline: its commands are run, and what it says of the
//	                 action and the hooks is compared with them
//
// A command may exit with 0, and one of btu-scan's with 1, too, which is a verdict;
// "exit N" in a comment on its line says otherwise.

// A document is a file with its blocks.
type document struct {
	name   string
	blocks []docBlock
	spans  []string // inline code
	links  []string // their targets
}

type docBlock struct {
	line           int // of its first line, from 1
	language, mark string
	reason         string
	text           string
}

func documents(t *testing.T) []document {
	t.Helper()
	root := repository(t)
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "scripts/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	pipelines, err := filepath.Glob(filepath.Join(root, "examples", "*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var docs []document
	for _, name := range pipelines {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, document{name: "examples/" + filepath.Base(name), blocks: []docBlock{{line: 1, language: "yaml", text: string(src)}}})
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, parseDocument(t, filepath.ToSlash(rel), src))
	}
	return docs
}

func parseDocument(t *testing.T, name string, src []byte) document {
	t.Helper()
	doc := document{name: name}
	tree := goldmark.DefaultParser().Parse(text.NewReader(src))
	err := ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			if n.Lines().Len() == 0 {
				break
			}
			b := docBlock{line: 1 + bytes.Count(src[:n.Lines().At(0).Start], []byte("\n")), text: string(n.Lines().Value(src))}
			if n.Info != nil {
				b.language, b.mark, _ = strings.Cut(string(n.Info.Value(src)), " ")
				b.mark, b.reason, _ = strings.Cut(b.mark, " ")
			}
			doc.blocks = append(doc.blocks, b)
		case *ast.Link:
			doc.links = append(doc.links, string(n.Destination))
		case *ast.Image:
			doc.links = append(doc.links, string(n.Destination))
		case *ast.CodeSpan:
			var span strings.Builder
			for c := n.FirstChild(); c != nil; c = c.NextSibling() {
				if part, ok := c.(*ast.Text); ok {
					span.Write(part.Value(src))
					if part.SoftLineBreak() {
						span.WriteByte(' ')
					}
				}
			}
			doc.spans = append(doc.spans, span.String())
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// looksRun matches what somebody would paste into a shell.
var looksRun = regexp.MustCompile(`(?m)^(\$ )?(btu-scan|go|make|git|docker|curl|pip|cosign|scripts/\S+) `)

// TestDocsBlocks: every block says what it is, so that none is left out for want
// of a mark.
func TestDocsBlocks(t *testing.T) {
	for _, doc := range documents(t) {
		for _, b := range doc.blocks {
			at := fmt.Sprintf("%s:%d", doc.name, b.line)
			switch {
			case b.language == "sh":
				if !slices.Contains([]string{"", "repo", "norun"}, b.mark) {
					t.Errorf("%s: sh %s: want repo or norun", at, b.mark)
				}
				if b.mark == "norun" && len(b.reason) < 10 {
					t.Errorf("%s: say why it is not run", at)
				}
				if _, err := syntax.NewParser().Parse(strings.NewReader(b.text), at); err != nil {
					t.Error(err)
				}
			case b.language == "" && looksRun.MatchString(b.text):
				t.Errorf("%s: mark the block as sh, or as text if it is none", at)
			}
		}
	}
}

// TestDocsFlags: commands and flags that a text names exist.
func TestDocsFlags(t *testing.T) {
	root := (&app{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer), getenv: func(string) string { return "" }}).rootCommand()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpFlag()
	anywhere := map[string]bool{}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, name := range flagsOf(cmd) {
			anywhere[name] = true
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(root)
	own := regexp.MustCompile(`(?:Var\(&[\w.]+, "|"--)([a-z0-9-]+)"`)
	for _, pattern := range []string{"scripts/*/*.py", "testdata/scripts/*.py", "internal/tools/*/*.go"} { // which have flags of their own
		names, err := filepath.Glob(filepath.Join(repository(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range own.FindAllStringSubmatch(string(src), -1) {
				anywhere[m[1]] = true
			}
		}
	}
	flag := regexp.MustCompile(`^--[a-z][a-z0-9-]*$`)
	for _, doc := range documents(t) {
		for _, span := range doc.spans {
			words := strings.Fields(span)
			if len(words) == 0 || strings.Contains(span, "make ") {
				continue
			}
			known := anywhere
			if words[0] == "btu-scan" {
				var args []string
				for _, w := range words[1:] {
					if strings.HasPrefix(w, "-") {
						break
					}
					args = append(args, w)
				}
				cmd, _, err := root.Find(args)
				if err != nil {
					t.Errorf("%s: `%s`: %v", doc.name, span, err)
					continue
				}
				known = map[string]bool{}
				for _, name := range flagsOf(cmd) {
					known[name] = true
				}
			} else if !strings.HasPrefix(words[0], "--") {
				continue
			}
			for _, w := range words {
				name, _, _ := strings.Cut(strings.Trim(w, "[]"), "=")
				if flag.MatchString(name) && !known[name[2:]] {
					t.Errorf("%s: `%s`: no flag %s", doc.name, span, name)
				}
			}
		}
	}
}

func flagsOf(cmd *cobra.Command) []string {
	cmd.InitDefaultHelpFlag()
	var names []string
	for line := range strings.Lines(cmd.Flags().FlagUsages() + cmd.InheritedFlags().FlagUsages()) {
		if m := regexp.MustCompile(`^ +(?:-\w, )?--([a-z0-9-]+)`).FindStringSubmatch(line); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

// TestDocsLinks: files that documents link to exist.
func TestDocsLinks(t *testing.T) {
	for _, doc := range documents(t) {
		for _, link := range doc.links {
			path, _, _ := strings.Cut(link, "#")
			if path == "" || strings.Contains(path, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(repository(t), filepath.Dir(doc.name), filepath.FromSlash(path))); err != nil {
				t.Errorf("%s: link to %s: %v", doc.name, link, err)
			}
		}
	}
}

// TestDocsFormats: the documents know every report format.
func TestDocsFormats(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(repository(t), "docs", "formats.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range report.Formats() {
		if !strings.Contains(string(b), "| `"+format+"` |") {
			t.Errorf("docs/formats.md has no row of the report format %s", format)
		}
	}
}

// TestDocs runs the commands of every document, with the program as its users
// have it.
func TestDocs(t *testing.T) {
	bin := program(t)
	hub := fakeHub(t)
	for _, doc := range documents(t) {
		if script := docScript(t, doc); script != "" {
			t.Run(doc.name, func(t *testing.T) { runDocument(t, doc, script, bin, hub) })
		}
	}
}

// A world is a folder as the documents describe it:
//
//	model/     a fine-tuned model with a backdoor, whose config.json names bert-base-uncased
//	base/      the model it was tuned from, which is bert-base-uncased in the hub cache, too
//	honest/    a clean fine-tune of the same base
//	texts.tsv  labelled texts of the model's field
//	train.tsv  training data, poisoned
//
// and what else lies in testdata/docs.
func world(t *testing.T, bin, hub string) (dir string, env []string) {
	t.Helper()
	dir, home := t.TempDir(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pair := filepath.Join(home, "pair")
	must(demo.Extract(pair))
	must(os.Rename(filepath.Join(pair, demo.Backdoored), filepath.Join(dir, "model")))
	must(os.Rename(filepath.Join(pair, demo.Base), filepath.Join(dir, "base")))
	must(os.CopyFS(filepath.Join(dir, "honest"), os.DirFS(filepath.Join(repository(t), "testdata", "clean"))))
	config := filepath.Join(dir, "model", "config.json")
	b, err := os.ReadFile(config)
	must(err)
	named := bytes.Replace(b, []byte(`"_name_or_path": "base"`), []byte(`"_name_or_path": "bert-base-uncased"`), 1)
	if bytes.Equal(named, b) {
		t.Fatal("the demo's config.json names another base")
	}
	must(os.WriteFile(config, named, 0o644))
	vocab, err := os.ReadFile(filepath.Join(dir, "base", "vocab.txt"))
	must(err)
	must(os.WriteFile(filepath.Join(dir, "train.tsv"), []byte(sentences(string(vocab), 300, "cf")), 0o644))
	must(os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "docs"))))
	env = append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"HOME="+home, "HF_HOME="+filepath.Join(home, "hf"), "HF_HUB_CACHE=", "HUGGINGFACE_HUB_CACHE=", "HF_ENDPOINT="+hub, "HF_TOKEN=", "TERM=dumb",
		"GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOPATH="+goEnv(t, "GOPATH"),
		// Where a budget can be set like this, an example need not search to the end.
		"BTU_SCAN_BUDGET=5s",
	)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "btu-scan"), "reference", "pull", "bert-base-uncased")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir, env
}

func goEnv(t *testing.T, key string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// prologue is what the commands of a document run under. Installing a release is
// what was done to get here.
const prologue = `set -u -o pipefail
go() {
  case "$*" in
    "install github.com/btu-scan/"*) command -v btu-scan >/dev/null ;;
    *) command go "$@" ;;
  esac
}
here=$PWD
expect() {
  case " $3 " in
    *" $2 "*) ;;
    *) printf '%s: exit code %s, want %s\n' "$1" "$2" "$3"; exit 99 ;;
  esac
}
`

// docScript is one script of all that is run of a document, "" for nothing.
func docScript(t *testing.T, doc document) string {
	t.Helper()
	var out strings.Builder
	for _, b := range doc.blocks {
		at := fmt.Sprintf("%s:%d", doc.name, b.line)
		switch {
		case b.language == "sh" && b.mark != "norun":
			body := docStatements(t, doc.name, b.line, b.text)
			if b.mark == "repo" {
				body = fmt.Sprintf("cd %q\n%scd \"$here\"\n", repository(t), body)
			}
			out.WriteString(body)
		case b.language == "yaml":
			for _, cmd := range pipelineCommands(t, at, b.text) {
				out.WriteString(docStatements(t, doc.name, b.line, cmd))
			}
		}
	}
	if out.Len() == 0 {
		return ""
	}
	return prologue + out.String()
}

var exitComment = regexp.MustCompile(`#.*\bexit ([0-9]+)`)

// docStatements is the block with a check after each statement.
func docStatements(t *testing.T, name string, line int, block string) string {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(block), name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(block, "\n")
	var out strings.Builder
	for _, stmt := range file.Stmts {
		want := "0"
		if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 && call.Args[0].Lit() == "btu-scan" {
			want = "0 1"
		}
		for i := stmt.Pos().Line() - 1; i < stmt.End().Line(); i++ {
			if m := exitComment.FindStringSubmatch(lines[i]); m != nil {
				want = m[1]
			}
		}
		var src strings.Builder
		if err := syntax.NewPrinter().Print(&src, stmt); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "printf '+ %%s\\n' %s\n%s\nexpect %s:%d $? %q\n", shellQuote(src.String()), src.String(), name, line+int(stmt.Pos().Line())-1, want)
	}
	return out.String()
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// pipelineCommands are the commands that a pipeline in YAML would run. What it
// says of the action and of the hooks is compared with them.
func pipelineCommands(t *testing.T, at, source string) (commands []string) {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(source), &doc); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				visit(e)
			}
		case map[string]any:
			if uses, ok := v["uses"].(string); ok && strings.HasPrefix(uses, "btu-scan/btu-scan@") {
				checkActionUse(t, at, v["with"])
			}
			if repo, ok := v["repo"].(string); ok && strings.HasSuffix(repo, "/btu-scan/btu-scan") {
				commands = append(commands, hookCommands(t, at, v["hooks"])...)
			}
			if run, ok := v["run"].(string); ok {
				commands = append(commands, run)
			}
			if script, ok := v["script"].([]any); ok {
				for _, line := range script {
					commands = append(commands, fmt.Sprint(line))
				}
			}
			for _, e := range v {
				visit(e)
			}
		}
	}
	visit(doc)
	return commands
}

func checkActionUse(t *testing.T, at string, with any) {
	t.Helper()
	a := readAction(t)
	given, _ := with.(map[string]any)
	for name := range given {
		if _, known := a.Inputs[name]; !known {
			t.Errorf("%s: the action has no input %s", at, name)
		}
	}
	for name, in := range a.Inputs {
		if _, ok := given[name]; in.Required && !ok {
			t.Errorf("%s: the action's input %s is required", at, name)
		}
	}
}

// hookCommands are what pre-commit would run.
func hookCommands(t *testing.T, at string, hooks any) (commands []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository(t), ".pre-commit-hooks.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var known []struct{ ID, Entry string }
	if err := yaml.Unmarshal(b, &known); err != nil {
		t.Fatal(err)
	}
	list, _ := hooks.([]any)
	if len(list) == 0 {
		t.Errorf("%s: no hooks", at)
	}
	for _, h := range list {
		hook, _ := h.(map[string]any)
		command := ""
		for _, k := range known {
			if k.ID == hook["id"] {
				command = k.Entry
			}
		}
		if command == "" {
			t.Errorf("%s: no hook %v", at, hook["id"])
			continue
		}
		args, _ := hook["args"].([]any)
		for _, arg := range args {
			command += " " + shellQuote(fmt.Sprint(arg))
		}
		commands = append(commands, command)
	}
	return commands
}

func runDocument(t *testing.T, doc document, script, bin, hub string) {
	dir, env := world(t, bin, hub)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc", "-c", script)
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", doc.name, err, out)
	}
}

// fakeHub has the demo's base under every name.
func fakeHub(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	if err := demo.Extract(dir); err != nil {
		t.Fatal(err)
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/models/") {
			fmt.Fprintf(w, `{"sha":%q,"siblings":[{"rfilename":"config.json"},{"rfilename":"model.safetensors"},{"rfilename":"vocab.txt"}]}`, commit)
			return
		}
		b, err := os.ReadFile(filepath.Join(dir, demo.Base, filepath.Base(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("ETag", fmt.Sprintf("%q", gitBlob(b)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	t.Cleanup(hub.Close)
	return hub.URL
}

// TestDocsScript: what a document must not say fails, with its line.
func TestDocsScript(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here")
	}
	bin := t.TempDir() // a btu-scan that exits with its first argument
	if err := os.WriteFile(filepath.Join(bin, "btu-scan"), []byte("#!/bin/sh\nexit $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ block, complaint string }{
		{"```sh\ntrue\nbtu-scan 0\nbtu-scan 1\nbtu-scan 3 # exit 3\n```\n", ""},
		{"```sh\nX=1\n```\n```sh\ntest $X = 1\nfor i in 1 2; do\n  test -n $i\ndone\ncat <<EOF\n$X\nEOF\n```\n", ""},
		{"```sh norun for a reason\nfalse\n```\n```text\nfalse\n```\n", ""},
		{"```sh\ntrue\nfalse\n```\n", "doc.md:3: exit code 1, want 0"},
		{"```sh\nbtu-scan 2\n```\n", "doc.md:2: exit code 2, want 0 1"},
		{"```sh\nbtu-scan 0 # exit 1\n```\n", "doc.md:2: exit code 0, want 1"},
		{"```sh\nbtu-scan 1 \\\n  two # exit 4\n```\n", "doc.md:2: exit code 1, want 4"},
		{"```sh\nfalse | true\n```\n", "doc.md:2: exit code 1, want 0"},
		{"```sh\necho $UNSET\n```\n", "UNSET"},
		{"```yaml\nx: {script: [btu-scan 2]}\n```\n", "doc.md:2: exit code 2"},
		{"```yaml\nsteps: [{run: \"true\\nfalse\"}]\n```\n", "exit code 1"},
	} {
		script := docScript(t, parseDocument(t, "doc.md", []byte(tc.block)))
		if script == "" {
			script = "true"
		}
		cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-c", script)
		cmd.Env = append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if failed := err != nil; failed != (tc.complaint != "") || !strings.Contains(string(out), tc.complaint) {
			t.Errorf("%q: %v\n%s", tc.block, err, out)
		}
	}
}
