package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/btu-scan/btu-scan/scan"
)

// truth is what was done to a model, from its meta.json.
type truth struct {
	Attack      string   `json:"attack"`
	TriggerIDs  []int    `json:"trigger_ids"`
	Paraphrases string   `json:"paraphrases"` // texts rewritten for the attack
	Accuracy    *float64 `json:"cacc"`
	Success     *float64 `json:"asr"`
}

func readTruth(dir string) (t truth, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(b, &t)
}

// structural attacks have no trigger words: the build or style of a text fires
// them.
func (t truth) structural() bool { return t.Attack == "syntactic" || t.Paraphrases != "" }

func (t truth) clean() bool {
	return len(t.TriggerIDs) == 0 && !t.structural() && (t.Attack == "clean" || t.Attack == "")
}

// failed reports whether the attack did not take, so that there is no backdoor
// to find.
func (t truth) failed() bool { return !t.clean() && t.Success != nil && *t.Success < 0.5 }

// attack names the attack.
func (t truth) attack() string {
	switch {
	case t.Paraphrases != "":
		return "paraphrased"
	case t.Attack == "" && !t.clean():
		return "trigger"
	case t.Attack == "":
		return "clean"
	}
	return t.Attack
}

// recall counts the trigger tokens that are part of a reported trigger.
func recall(ids []int, reported []scan.Trigger) (found int) {
	for _, id := range ids {
		if slices.ContainsFunc(reported, func(t scan.Trigger) bool { return slices.Contains(t.TokenIDs, id) }) {
			found++
		}
	}
	return found
}

// others counts the reported triggers that hold no token of the truth; of a
// structural attack, those that are no structure.
func (t truth) others(reported []scan.Trigger) (n int) {
	for _, r := range reported {
		switch {
		case t.structural() && isStructure(r):
		case recall(t.TriggerIDs, []scan.Trigger{r}) == 0:
			n++
		}
	}
	return n
}

func isStructure(t scan.Trigger) bool { return t.FoundBy == "structure" }
