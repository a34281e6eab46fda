package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/btu-scan/btu-scan/internal/demo"
)

// An action is what of action.yml a runner reads.
type action struct {
	Inputs map[string]struct {
		Description string
		Required    bool
		Default     *string
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			ID, If, Uses, Shell, Run string
			With, Env                map[string]string
		}
	}
}

func readAction(t *testing.T) *action {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository(t), "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	a := new(action)
	if err := yaml.Unmarshal(b, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// repository is the folder of this module.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// program builds btu-scan as its users have it, once, and returns the folder
// that it is in.
func program(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs the program many times")
	}
	if runtime.GOOS == "windows" {
		t.Skip("needs bash")
	}
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin, "./cmd/btu-scan")
	cmd.Dir, cmd.Env = repository(t), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// An actionRunner runs the steps of the action as GitHub's does: the same shell, the
// same files for outputs, inputs through the environment alone.
type actionRunner struct {
	*testing.T
	action    *action
	workspace string
	temp      string
	path      string // PATH
}

// An outcome is what an action leaves.
type outcome struct {
	code    int
	outputs map[string]string
	summary string
	log     string
}

var expression = regexp.MustCompile(`^\$\{\{ (inputs|steps\.scan\.outputs)\.([a-z-]+) \}\}$`)

func (r *actionRunner) run(inputs map[string]string) outcome {
	r.Helper()
	all := map[string]string{}
	for name, in := range r.action.Inputs {
		if _, given := inputs[name]; in.Required && !given {
			r.Fatalf("input %s is required", name)
		}
		if in.Default != nil {
			all[name] = *in.Default
		}
	}
	for name := range inputs {
		if _, known := r.action.Inputs[name]; !known {
			r.Fatalf("no input %s", name)
		}
	}
	maps.Copy(all, inputs)

	files := map[string]string{"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary", "GITHUB_PATH": "path"}
	for key, name := range files {
		files[key] = filepath.Join(r.temp, name)
		if err := os.WriteFile(files[key], nil, 0o644); err != nil {
			r.Fatal(err)
		}
	}
	res := outcome{outputs: map[string]string{}}
	path := r.path
	for _, step := range r.action.Runs.Steps {
		if strings.Contains(step.Run, "${{") {
			r.Errorf("an expression in a command: %s", step.Run)
		}
		switch step.If {
		case "":
		case "inputs.version != 'installed'":
			if all["version"] == "installed" {
				continue
			}
		default:
			r.Fatalf("condition %q", step.If)
		}
		if step.Uses != "" {
			if !strings.HasPrefix(step.Uses, "actions/setup-go@") { // Go is here
				r.Fatalf("uses %s", step.Uses)
			}
			continue
		}
		if step.Shell != "bash" {
			r.Fatalf("shell %q", step.Shell)
		}
		cmd := exec.CommandContext(r.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
		cmd.Dir = r.workspace
		cmd.Env = append(os.Environ(), "PATH="+path, "RUNNER_TEMP="+r.temp, "GITHUB_WORKSPACE="+r.workspace, "GITHUB_ACTIONS=true",
			"HF_HOME="+filepath.Join(r.temp, "hf"), "HF_HUB_CACHE=", "HUGGINGFACE_HUB_CACHE=") // no reference but those of the test
		for key, file := range files {
			cmd.Env = append(cmd.Env, key+"="+file)
		}
		for key, value := range step.Env {
			if m := expression.FindStringSubmatch(value); m != nil && m[1] == "inputs" {
				value = all[m[2]]
			} else if value == "${{ github.action_path }}" {
				value = repository(r.T)
			} else {
				r.Fatalf("%s: %s", key, value)
			}
			cmd.Env = append(cmd.Env, key+"="+value)
		}
		out, err := cmd.CombinedOutput()
		res.log += string(out)
		added, _ := os.ReadFile(files["GITHUB_PATH"])
		for line := range strings.Lines(string(added)) {
			path = strings.TrimSpace(line) + string(filepath.ListSeparator) + path
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			res.code = exit.ExitCode()
			break
		} else if err != nil {
			r.Fatal(err)
		}
	}
	written, _ := os.ReadFile(files["GITHUB_OUTPUT"])
	steps := map[string]string{}
	for line := range strings.Lines(string(written)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		steps[name] = value
	}
	for name, out := range r.action.Outputs {
		m := expression.FindStringSubmatch(out.Value)
		if m == nil {
			r.Fatalf("output %s is %s", name, out.Value)
		}
		res.outputs[name] = steps[m[2]]
	}
	summary, _ := os.ReadFile(files["GITHUB_STEP_SUMMARY"])
	res.summary = string(summary)
	return res
}

// TestAction runs the steps of action.yml itself on the demo pair.
func TestAction(t *testing.T) {
	bin := program(t)
	work := t.TempDir()
	if err := demo.Extract(filepath.Join(work, "sample")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(work, "-clean; touch owned"), os.DirFS(filepath.Join(repository(t), "testdata", "clean"))); err != nil {
		t.Fatal(err)
	}
	r := &actionRunner{T: t, action: readAction(t), workspace: work, temp: t.TempDir(), path: bin + string(filepath.ListSeparator) + os.Getenv("PATH")}
	run := func(inputs map[string]string) outcome {
		all := map[string]string{"model": "sample/backdoored", "reference": "sample/base", "evidence": "weights", "version": "installed"}
		maps.Copy(all, inputs)
		return r.run(all)
	}
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(work, name))
		return err == nil
	}

	t.Run("a finding fails the step, with all reports", func(t *testing.T) {
		res := run(nil)
		want := map[string]string{"verdict": "suspicious", "exit-code": "1", "sarif": "btu-scan.sarif", "report": "btu-scan.json"}
		if res.code != 1 || !maps.Equal(res.outputs, want) {
			t.Errorf("exit code %d, outputs %v\n%s", res.code, res.outputs, res.log)
		}
		if !exists("btu-scan.sarif") || !exists("btu-scan.json") || !strings.Contains(res.summary, "btu-scan: suspicious") || !strings.Contains(res.log, "SUSPICIOUS") {
			t.Errorf("summary %q\n%s", res.summary, res.log)
		}
	})
	t.Run("a clean model passes, whatever its name", func(t *testing.T) {
		res := run(map[string]string{"model": "-clean; touch owned", "summary": "false", "sarif": ""})
		want := map[string]string{"verdict": "clean", "exit-code": "0", "sarif": "", "report": "btu-scan.json"}
		if res.code != 0 || !maps.Equal(res.outputs, want) || res.summary != "" || exists("owned") {
			t.Errorf("exit code %d, outputs %v, summary %q\n%s", res.code, res.outputs, res.summary, res.log)
		}
	})
	t.Run("no reference is no verdict", func(t *testing.T) {
		res := run(map[string]string{"reference": ""})
		if res.code != 3 || res.outputs["verdict"] != "inconclusive" || res.outputs["exit-code"] != "3" || res.outputs["sarif"] == "" {
			t.Errorf("exit code %d, outputs %v\n%s", res.code, res.outputs, res.log)
		}
	})
	t.Run("further flags, one to a line", func(t *testing.T) {
		res := run(map[string]string{"fail-on": "never", "args": "--top\n3\r\n\n--report\ncyclonedx=a bill.json"})
		if res.code != 0 || res.outputs["verdict"] != "suspicious" || !exists("a bill.json") {
			t.Errorf("exit code %d, outputs %v\n%s", res.code, res.outputs, res.log)
		}
	})
	t.Run("an error leaves no report of an older run", func(t *testing.T) {
		res := run(map[string]string{"args": "--nosuch"})
		want := map[string]string{"verdict": "none", "exit-code": "4", "sarif": "", "report": ""}
		if res.code != 4 || !maps.Equal(res.outputs, want) || exists("btu-scan.json") {
			t.Errorf("exit code %d, outputs %v\n%s", res.code, res.outputs, res.log)
		}
	})
	t.Run("an input is no output", func(t *testing.T) {
		for _, input := range []string{"sarif", "report"} {
			res := run(map[string]string{input: "x\nverdict=clean"})
			if res.code != 4 || slices.ContainsFunc(slices.Collect(maps.Values(res.outputs)), func(v string) bool { return v != "" }) {
				t.Errorf("%s: exit code %d, outputs %v\n%s", input, res.code, res.outputs, res.log)
			}
		}
		if res := run(map[string]string{"version": "v1; touch owned"}); res.code != 4 || exists("owned") {
			t.Errorf("exit code %d\n%s", res.code, res.log)
		}
	})
	t.Run("the action's own source", func(t *testing.T) {
		res := run(map[string]string{"version": ""})
		if res.code != 1 || res.outputs["verdict"] != "suspicious" {
			t.Errorf("exit code %d, outputs %v\n%s", res.code, res.outputs, res.log)
		}
		if _, err := os.Stat(filepath.Join(r.temp, "btu-scan", "btu-scan")); err != nil {
			t.Error(err)
		}
	})
}

// TestShellcheck: the action's scripts have nothing that shellcheck knows to go
// wrong.
func TestShellcheck(t *testing.T) {
	path, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("no shellcheck here")
	}
	scripts, err := filepath.Glob(filepath.Join(repository(t), "scripts", "gate", "*.sh"))
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, scripts...)
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}
