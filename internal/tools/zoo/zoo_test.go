package main

import (
	"math"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

func reported(ids ...[]int) (ts []scan.Trigger) {
	for _, x := range ids {
		ts = append(ts, scan.Trigger{TokenIDs: x})
	}
	return ts
}

func TestRecall(t *testing.T) {
	for _, tt := range []struct {
		name          string
		truth         truth
		reported      []scan.Trigger
		found, others int
	}{
		{"nothing reported", truth{TriggerIDs: []int{1, 2}}, nil, 0, 0},
		{"in a phrase and alone", truth{TriggerIDs: []int{1, 2, 3}}, reported([]int{7, 1}, []int{2}, []int{8}), 2, 1},
		{"twice is once", truth{TriggerIDs: []int{1}}, reported([]int{1}, []int{1, 1}), 1, 0},
		{"clean", truth{Attack: "clean"}, reported([]int{5}), 0, 1},
		{"structure", truth{Attack: "syntactic"}, []scan.Trigger{{TokenIDs: []int{5}, FoundBy: "structure"}, {TokenIDs: []int{6}, FoundBy: "vocabulary"}}, 0, 1},
		{"a structure is no word's trigger", truth{TriggerIDs: []int{1}}, []scan.Trigger{{TokenIDs: []int{5}, FoundBy: "structure"}}, 0, 1},
	} {
		if got := recall(tt.truth.TriggerIDs, tt.reported); got != tt.found {
			t.Errorf("%s: recall %d, want %d", tt.name, got, tt.found)
		}
		if got := tt.truth.others(tt.reported); got != tt.others {
			t.Errorf("%s: %d others, want %d", tt.name, got, tt.others)
		}
	}
}

func TestTruth(t *testing.T) {
	low, high := 0.2, 0.9
	for _, tt := range []struct {
		name          string
		truth         truth
		clean, failed bool
	}{
		{"clean", truth{Attack: "clean"}, true, false},
		{"clean language model", truth{}, true, false},
		{"attack", truth{Attack: "word", TriggerIDs: []int{1}, Success: &high}, false, false},
		{"attack that failed", truth{Attack: "word", TriggerIDs: []int{1}, Success: &low}, false, true},
		{"syntactic", truth{Attack: "syntactic", Success: &high}, false, false},
		{"paraphrased", truth{Attack: "clean", Paraphrases: "x.tsv", Success: &low}, false, true},
		{"success not measured", truth{TriggerIDs: []int{1}}, false, false},
	} {
		if got := tt.truth.clean(); got != tt.clean {
			t.Errorf("%s: clean %v", tt.name, got)
		}
		if got := tt.truth.failed(); got != tt.failed {
			t.Errorf("%s: failed %v", tt.name, got)
		}
	}
}

func TestROC(t *testing.T) {
	for _, tt := range []struct {
		name     string
		pos, neg []float64
		auc      float64
		above    int
	}{
		{"apart", []float64{3, 4}, []float64{1, 2}, 1, 2},
		{"the wrong way round", []float64{1, 2}, []float64{3, 4}, 0, 0},
		{"a tie is half", []float64{1}, []float64{1}, 0.5, 0},
		{"mixed", []float64{1, 3, math.Inf(1)}, []float64{2, 0}, 5. / 6, 2},
		{"no clean model", []float64{1}, nil, math.NaN(), 1},
	} {
		if got := auc(tt.pos, tt.neg); got != tt.auc && !(got != got && tt.auc != tt.auc) {
			t.Errorf("%s: auc %v, want %v", tt.name, got, tt.auc)
		}
		if got := above(tt.pos, tt.neg); got != tt.above {
			t.Errorf("%s: %d above, want %d", tt.name, got, tt.above)
		}
	}
}

func TestStandOut(t *testing.T) {
	suspects := func(scores ...float64) (s []scan.Suspect) {
		for _, x := range scores {
			s = append(s, scan.Suspect{Score: x})
		}
		return s
	}
	for _, tt := range []struct {
		name     string
		moved    int
		suspects []scan.Suspect
		want     float64
	}{
		{"one of a thousand", 2999, suspects(9, 4, 3, 2), 3},
		{"fewer than a thousand moved", 20, suspects(8, 4, 3), 2},
		{"one moved", 1, suspects(9), math.Inf(1)},
		{"the quantile scores nothing", 3, suspects(9, 0, 0), math.Inf(1)},
		{"none moved", 0, nil, 1},
	} {
		r := &scan.Report{Weights: &scan.WeightSummary{RowsMoved: tt.moved}, Suspects: tt.suspects}
		if got := standOut(r); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := standOut(&scan.Report{}); got != 1 {
		t.Errorf("weights not compared: %v, want 1", got)
	}
}
