package main

import (
	"slices"

	"github.com/btu-scan/btu-scan/internal/zoo"
	"github.com/btu-scan/btu-scan/scan"
)

// truth is what was done to a model.
type truth zoo.Truth

func readTruth(dir string) (truth, error) {
	t, err := zoo.Read(dir)
	return truth(t), err
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
