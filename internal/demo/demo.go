// Package demo holds the embedded sample: a small real sentiment model with a
// backdoor and the base it was tuned from. testdata/scripts/make_pairs.py made
// both.
package demo

import (
	"embed"
	"io/fs"
	"os"
)

// The folders of the sample.
const (
	Base       = "base"
	Backdoored = "backdoored"
)

//go:embed pair
var pair embed.FS

// Extract writes the sample to the new folder dir: the model folders Base and
// Backdoored. It fails if dir exists.
func Extract(dir string) error {
	sub, err := fs.Sub(pair, "pair")
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.CopyFS(dir, sub)
}
