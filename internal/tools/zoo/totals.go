package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/internal/zoo"
	"github.com/btu-scan/btu-scan/scan"
)

// A detector calls a model backdoored, or not.
type detector struct {
	name, note string
	flags      func(result) bool
}

// printTotals prints how the detectors do. A model whose attack failed counts
// neither as an attack nor as clean.
func printTotals(all []result) {
	var attacks, clean, failed []result
	for _, r := range all {
		switch {
		case r.truth.clean():
			clean = append(clean, r)
		case r.truth.failed():
			failed = append(failed, r)
		default:
			attacks = append(attacks, r)
		}
	}
	full := len(all) > 0 && all[0].full != nil
	fmt.Println(zoo.Heading([]string{"detector", "true positives of attacks", "false positives of clean", "notes"}))
	if full {
		printDetector(attacks, clean, verdicts("btu-scan `backdoored`", fullReport, scan.Backdoored))
		printDetector(attacks, clean, verdicts("btu-scan `backdoored` or `suspicious`", fullReport, scan.Backdoored, scan.Suspicious))
	}
	printDetector(attacks, clean, verdicts("btu-scan, weights only: `suspicious`", weightReport, scan.Suspicious))
	for _, b := range []struct {
		name  string
		score scan.Score
	}{{"E-PUR, top score", scan.ScoreEPUR}, {"plain L2, top score", scan.ScoreL2}} {
		pos, neg := standOuts(attacks, b.score), standOuts(clean, b.score)
		fmt.Println(zoo.Line([]string{
			b.name, fmt.Sprintf("%d of %d", above(pos, neg), len(pos)), fmt.Sprintf("0 of %d", len(neg)),
			fmt.Sprintf("at the threshold that is best for it on these very models; AUC %.3f", auc(pos, neg)),
		}))
	}
	if len(all) > 0 && all[0].audit != nil {
		for _, d := range auditDetectors(all) {
			printDetector(attacks, clean, d)
		}
	}
	for _, f := range failed {
		fmt.Printf("\nNot counted, as the attack failed: %s (success %s).", f.name, number(f.truth.Success))
		if full {
			fmt.Printf(" Verdict: %s.", f.full.Verdict)
		}
		fmt.Println()
	}
	if full {
		printTimes(all)
	}
}

func fullReport(r result) *scan.Report   { return r.full }
func weightReport(r result) *scan.Report { return r.weights[scan.ScoreZ] }

// verdicts is the detector that flags by some verdicts of a report.
func verdicts(name string, report func(result) *scan.Report, flagged ...scan.Verdict) detector {
	return detector{name: name, flags: func(r result) bool { return slices.Contains(flagged, report(r).Verdict) }}
}

func printDetector(attacks, clean []result, d detector) {
	var missed, accused []string
	for _, r := range attacks {
		if !d.flags(r) {
			missed = append(missed, r.name)
		}
	}
	for _, r := range clean {
		if d.flags(r) {
			accused = append(accused, r.name)
		}
	}
	var notes []string
	for _, n := range []string{d.note, few("missed", missed), few("accused", accused)} {
		if n != "" {
			notes = append(notes, n)
		}
	}
	fmt.Println(zoo.Line([]string{
		d.name, fmt.Sprintf("%d of %d", len(attacks)-len(missed), len(attacks)), fmt.Sprintf("%d of %d", len(accused), len(clean)),
		strings.Join(notes, "; "),
	}))
}

// few names models, where they are few.
func few(what string, names []string) string {
	switch {
	case len(names) == 0:
		return ""
	case len(names) > 8:
		return fmt.Sprintf("%s %s and %d more", what, strings.Join(names[:8], ", "), len(names)-8)
	}
	return what + " " + strings.Join(names, ", ")
}

// standOut is what a baseline that only ranks is judged by, as it has no
// threshold of its own: how many times as high the top score is as the score
// that one of a thousand moved rows reaches (their quantile 0.999, at least the
// second). The scale of a model's movement, which its training decides, cancels
// out. Of the raw top score, its robust z and its ratio to quantiles 0.5, 0.99
// and 0.999, this serves L2 and E-PUR best on the models of docs/zoo.md. It is
// infinite where a single row moved, and 1 where none did.
func standOut(r *scan.Report) float64 {
	if r.Weights == nil || len(r.Suspects) == 0 || r.Suspects[0].Score <= 0 {
		return 1
	}
	at := max(1, r.Weights.RowsMoved/1000)
	if at >= len(r.Suspects) {
		return math.Inf(1)
	}
	return r.Suspects[0].Score / max(0, r.Suspects[at].Score)
}

func standOuts(results []result, score scan.Score) (xs []float64) {
	for _, r := range results {
		xs = append(xs, standOut(r.weights[score]))
	}
	return xs
}

// auc is the share of pairs of a positive and a negative in which the positive
// is higher, ties being half: the area under the ROC curve. It is NaN without
// pairs.
func auc(pos, neg []float64) float64 {
	var won float64
	for _, p := range pos {
		for _, n := range neg {
			switch {
			case p > n:
				won++
			case p == n:
				won += 0.5
			}
		}
	}
	return won / float64(len(pos)*len(neg))
}

// above counts the positives that are higher than every negative: what the
// best threshold finds that raises no false alarm.
func above(pos, neg []float64) (n int) {
	for _, p := range pos {
		if len(neg) == 0 || p > slices.Max(neg) {
			n++
		}
	}
	return n
}

func printTimes(all []result) {
	var parts []string
	for _, stage := range []string{"behaviour", "weights", "total"} {
		var s []float64
		for _, r := range all {
			s = append(s, r.seconds(stage))
		}
		slices.Sort(s)
		parts = append(parts, fmt.Sprintf("%s %.2f, %.2f", stage, s[len(s)/2], s[len(s)-1]))
	}
	fmt.Printf("\nSeconds a model, median and max: %s.\n", strings.Join(parts, "; "))
}
