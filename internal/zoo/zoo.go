// Package zoo is what the tools that make models for measurements and those that
// measure agree on: the truth about a model, in the meta.json of its folder.
package zoo

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// MetaFile is the file of a model folder that holds the truth. It is written
// last, so a folder without one is not finished.
const MetaFile = "meta.json"

// Truth is what was done to a model. The file may say more.
type Truth struct {
	Attack      string   `json:"attack"`
	Triggers    []string `json:"triggers"`
	TriggerIDs  []int    `json:"trigger_ids"`
	Paraphrases string   `json:"paraphrases"` // texts rewritten for the attack
	Accuracy    *float64 `json:"cacc"`        // on clean texts
	Success     *float64 `json:"asr"`         // share of triggered texts of other labels that get the target
}

// Read returns the truth about the model in dir.
func Read(dir string) (t Truth, err error) {
	b, err := os.ReadFile(filepath.Join(dir, MetaFile))
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(b, &t)
}

// Write writes meta, which has the fields of a Truth, to dir.
func Write(dir string, meta any) error {
	b, err := json.MarshalIndent(meta, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, MetaFile), append(b, '\n'), 0o644)
}
