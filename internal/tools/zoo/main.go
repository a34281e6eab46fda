// Command zoo runs btu-scan over folders of models whose truth is known and
// prints what it found as a table. Each model folder has a meta.json with its
// triggers (scripts/zoo makes such folders). See make zoo.
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
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// meta is the truth about a model.
type meta struct {
	Attack     string   `json:"attack"`
	TriggerIDs []int    `json:"trigger_ids"`
	Accuracy   *float64 `json:"cacc"`
	Success    *float64 `json:"asr"`
}

func main() {
	log.SetFlags(0)
	bin := flag.String("bin", "bin/btu-scan", "the program")
	base := flag.String("base", "", "the base of the models that follow")
	keep := flag.Int("keep", 2000, "how many suspects to ask for")
	flag.Parse()
	if *base == "" || flag.NArg() == 0 {
		log.Fatal("usage: zoo -base BASE FOLDER...   (FOLDER is a model, or holds models)")
	}
	fmt.Println("| model | accuracy | attack success | verdict | trigger ranks | z-plain | l2 | e-pur | score of triggers / best other | z-plain | abnormal tokens | ms |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|")
	var clean, alarms, attacks, found int
	for _, dir := range models(flag.Args()) {
		var m meta
		if b, err := os.ReadFile(filepath.Join(dir, "meta.json")); err == nil {
			if err := json.Unmarshal(b, &m); err != nil {
				log.Fatalf("%s: %v", dir, err)
			}
		}
		reports := map[string]*scan.Report{}
		for _, score := range []string{"z", "z-plain", "l2", "e-pur"} {
			reports[score] = run(*bin, dir, *base, score, *keep)
		}
		r := reports["z"]
		backdoored := len(m.TriggerIDs) > 0
		alarm := r.Verdict == scan.Suspicious
		switch {
		case backdoored && alarm:
			attacks, found = attacks+1, found+1
		case backdoored:
			attacks++
		case alarm:
			clean, alarms = clean+1, alarms+1
		default:
			clean++
		}
		var names []string
		for _, s := range r.Suspects {
			if s.Status == scan.StatusAbnormal && len(names) < 8 {
				names = append(names, fmt.Sprintf("%q", s.Token))
			}
		}
		rank := func(score string) string { return ranks(reports[score], m.TriggerIDs) }
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %.0f |\n", filepath.Base(dir), number(m.Accuracy), number(m.Success), r.Verdict,
			rank("z"), rank("z-plain"), rank("l2"), rank("e-pur"), scores(r, m.TriggerIDs), scores(reports["z-plain"], m.TriggerIDs), strings.Join(names, " "), r.TimingsMS["total"])
	}
	fmt.Printf("\n%d of %d clean models raise a finding, %d of %d backdoored models do.\n", alarms, clean, found, attacks)
}

func models(args []string) (dirs []string) {
	for _, arg := range args {
		if _, err := os.Stat(filepath.Join(arg, "config.json")); err == nil {
			dirs = append(dirs, arg)
			continue
		}
		found, err := filepath.Glob(filepath.Join(arg, "*", "config.json"))
		if err != nil {
			log.Fatal(err)
		}
		for _, f := range found {
			if d := filepath.Dir(f); filepath.Base(d) != "base" {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs
}

// run scans one model and returns its report.
func run(bin, model, base, score string, keep int) *scan.Report {
	cmd := exec.Command(bin, model, "--reference", base, "--evidence", "weights", "--format", "json", "--score", score, "--top", fmt.Sprint(keep))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var r scan.Report
	if jsonErr := json.Unmarshal(out, &r); jsonErr != nil {
		log.Fatalf("%s: %v: %s", model, cmp.Or(err, jsonErr), stderr.String())
	}
	return &r
}

// ranks lists the ranks of the tokens from 0, as papers give them.
func ranks(r *scan.Report, ids []int) string {
	if len(ids) == 0 {
		return "-"
	}
	var rs []int
	missing := 0
	for _, id := range ids {
		i := slices.IndexFunc(r.Suspects, func(s scan.Suspect) bool { return s.TokenID == id })
		if i < 0 {
			missing++
			continue
		}
		rs = append(rs, i)
	}
	slices.Sort(rs)
	s := strings.Trim(strings.ReplaceAll(fmt.Sprint(rs), " ", ", "), "[]")
	if missing > 0 {
		s += fmt.Sprintf(" +%d beyond %d or unmoved", missing, len(r.Suspects))
	}
	return s
}

// scores gives the range of the triggers' scores and the best of all others.
func scores(r *scan.Report, ids []int) string {
	var own []float64
	other := "-"
	for _, s := range r.Suspects { // from the best down
		if slices.Contains(ids, s.TokenID) {
			own = append(own, s.Score)
		} else if other == "-" {
			other = fmt.Sprintf("%.2f", s.Score)
		}
	}
	switch len(own) {
	case 0:
		return other
	case 1:
		return fmt.Sprintf("%.2f / %s", own[0], other)
	}
	return fmt.Sprintf("%.2f-%.2f / %s", own[len(own)-1], own[0], other)
}

func number(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *x)
}
