package zoo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Models are the folders with a meta.json: it is written last, so a model
// without one is not finished.
func Models(args []string) (dirs []string, err error) {
	for _, arg := range args {
		for _, pattern := range []string{MetaFile, "*/" + MetaFile} {
			found, err := filepath.Glob(filepath.Join(arg, pattern))
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				dirs = append(dirs, filepath.Dir(f))
			}
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("no model with a meta.json in %s", strings.Join(args, ", "))
	}
	return dirs, nil
}

// RunJSON runs a command for the JSON that it prints, whatever its exit code:
// scanners exit with 1 where they found something.
func RunJSON(v any, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PROMPTFOO_DISABLE_TELEMETRY=1") // of modelaudit
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if jsonErr := json.Unmarshal(out, v); jsonErr != nil {
		return fmt.Errorf("%s: %w: %s", name, cmp.Or(err, jsonErr), stderr.String())
	}
	return nil
}

// Heading is the head of a Markdown table.
func Heading(columns []string) string {
	return Line(columns) + "\n" + Line(make([]string, len(columns)), "---")
}

// Line is a line of a Markdown table; fill stands in empty cells.
func Line(cells []string, fill ...string) string {
	var b strings.Builder
	for _, c := range cells {
		if len(fill) > 0 {
			c = cmp.Or(c, fill[0])
		}
		b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
	}
	return b.String() + "|"
}
