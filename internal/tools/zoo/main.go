// Command zoo runs btu-scan over folders of models whose truth is known and
// prints what it found: a table of the models, and one of detectors that tells
// how many attacks each catches and how many clean models it accuses. Each
// model folder has a meta.json with its triggers (scripts/zoo makes such
// folders). See make zoo.
package main

import (
	"flag"
	"fmt"
	"log"
	"path/filepath"

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
	fmt.Println(zoo.Heading(columns))
	var results []result
	failed := 0
	dirs, err := zoo.Models(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	for _, dir := range dirs {
		r, err := t.measure(dir)
		if err != nil {
			log.Printf("left out: %s: %v", dir, err)
			failed++
			continue
		}
		fmt.Println(zoo.Line(row(r)))
		results = append(results, r)
	}
	fmt.Println()
	printTotals(results)
	if failed > 0 {
		log.Fatalf("%d models could not be measured", failed)
	}
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
	err := zoo.RunJSON(&r, t.bin, append([]string{model, "--reference", t.base, "--format", "json", "--top", fmt.Sprint(t.keep)}, args...)...)
	return &r, err
}
