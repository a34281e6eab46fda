// Command zoo runs btu-scan over folders of models whose truth is known and
// prints what it found: a table of the models, and one of detectors that tells
// how many attacks each catches and how many clean models it accuses. Each
// model folder has a meta.json with its triggers (scripts/zoo makes such
// folders). See make zoo.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/btu-scan/btu-scan/internal/zoo"
	"github.com/btu-scan/btu-scan/scan"
)

// baselines are the scores that are ranked by beside our own.
var baselines = []scan.Score{scan.ScorePlainZ, scan.ScoreL2, scan.ScoreEPUR}

// A result is all that is known about one model.
type result struct {
	name    string
	truth   truth
	full    *scan.Report                // weights and behaviour; nil with -weights
	weights map[scan.Score]*scan.Report // weights alone, by score
	audit   *audit                      // nil without -modelaudit
}

// A tool is how models are scanned.
type tool struct {
	bin, base string
	keep      int    // suspects to ask for
	weights   bool   // weights alone
	auditor   string // modelaudit, or ""
}

func main() {
	log.SetFlags(0)
	var t tool
	flag.StringVar(&t.bin, "bin", "bin/btu-scan", "the program")
	flag.StringVar(&t.base, "base", "", "the base of the models that follow")
	flag.IntVar(&t.keep, "keep", 2000, "how many suspects to ask for")
	flag.BoolVar(&t.weights, "weights", false, "weights alone: seconds a model, and a table of ranks and scores instead")
	flag.StringVar(&t.auditor, "modelaudit", "", "`EXECUTABLE` of modelaudit in a virtual environment, to compare with")
	flag.Parse()
	if t.base == "" || flag.NArg() == 0 {
		log.Fatal("usage: zoo -base BASE FOLDER...   (FOLDER is a model, or holds models)")
	}
	columns, row := modelColumns, result.modelRow
	if t.weights {
		columns, row = weightColumns, result.weightRow
	}
	fmt.Println(heading(columns))
	var results []result
	failed := 0
	for _, dir := range models(flag.Args()) {
		r, err := t.measure(dir)
		if err != nil {
			log.Printf("left out: %s: %v", dir, err)
			failed++
			continue
		}
		fmt.Println(line(row(r)))
		results = append(results, r)
	}
	fmt.Println()
	printTotals(results)
	if failed > 0 {
		log.Fatalf("%d models could not be measured", failed)
	}
}

// models are the folders with a meta.json: it is written last, so a model
// without one is not finished.
func models(args []string) (dirs []string) {
	for _, arg := range args {
		for _, pattern := range []string{zoo.MetaFile, "*/" + zoo.MetaFile} {
			found, err := filepath.Glob(filepath.Join(arg, pattern))
			if err != nil {
				log.Fatal(err)
			}
			for _, f := range found {
				dirs = append(dirs, filepath.Dir(f))
			}
		}
	}
	if len(dirs) == 0 {
		log.Fatalf("no model with a meta.json in %s", strings.Join(args, ", "))
	}
	return dirs
}

// measure gathers all about one model.
func (t tool) measure(dir string) (r result, err error) {
	r = result{name: filepath.Base(dir), weights: map[scan.Score]*scan.Report{}}
	if r.truth, err = readTruth(dir); err != nil {
		return r, err
	}
	for _, score := range append(baselines, scan.ScoreZ) {
		if r.weights[score], err = t.scan(dir, "--evidence", "weights", "--score", string(score)); err != nil {
			return r, err
		}
	}
	if !t.weights {
		if r.full, err = t.scan(dir, "--evidence", "auto"); err != nil {
			return r, err
		}
	}
	if t.auditor != "" {
		r.audit, err = runModelaudit(t.auditor, dir)
	}
	return r, err
}

// scan scans one model and returns its report.
func (t tool) scan(model string, args ...string) (*scan.Report, error) {
	var r scan.Report
	err := runJSON(&r, t.bin, append([]string{model, "--reference", t.base, "--format", "json", "--top", fmt.Sprint(t.keep)}, args...)...)
	return &r, err
}

// runJSON runs a command for the JSON that it prints, whatever its exit code:
// scanners exit with 1 where they found something.
func runJSON(v any, name string, args ...string) error {
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

func heading(columns []string) string {
	return line(columns) + "\n" + line(make([]string, len(columns)), "---")
}

// line is a line of a Markdown table; fill stands in empty cells.
func line(cells []string, fill ...string) string {
	var b strings.Builder
	for _, c := range cells {
		if len(fill) > 0 {
			c = cmp.Or(c, fill[0])
		}
		b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
	}
	return b.String() + "|"
}
