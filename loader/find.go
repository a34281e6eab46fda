package loader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of a search for models.
const (
	maxModels   = 10_000
	maxSearched = 1_000_000 // files and folders
	maxNested   = 16        // folders below the first
)

// ErrTooMany is the error of a search that met more than it looks at.
var ErrTooMany = errors.New("too many files")

// Find lists the models under root, a folder, in lexical order: each folder
// that [Open] would read, and each tensor file of a folder that holds several
// and no index. Links to folders are not followed and hidden folders are passed
// over. What is below a model is part of it.
//
// A folder that cannot be listed is an error: a model may be in it.
func Find(ctx context.Context, root string) (models []string, err error) {
	looked := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case !d.IsDir():
			return nil
		case path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		if rel, err := filepath.Rel(root, path); err != nil || strings.Count(rel, string(filepath.Separator)) >= maxNested {
			return fmt.Errorf("%w: %s is %d folders below %s", ErrTooMany, path, maxNested, root)
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		if looked += len(entries); looked > maxSearched {
			return fmt.Errorf("%w: over %d below %s", ErrTooMany, maxSearched, root)
		}
		names := make([]string, 0, len(entries))
		for _, e := range entries {
			if !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		found := modelsIn(path, names)
		if models = append(models, found...); len(models) > maxModels {
			return fmt.Errorf("%w: over %d models below %s", ErrTooMany, maxModels, root)
		}
		if len(found) > 0 {
			return fs.SkipDir
		}
		return nil
	})
	return models, err
}

// modelsIn lists the models that a folder of these files is or holds.
func modelsIn(dir string, names []string) (models []string) {
	if slices.ContainsFunc(weightNames, func(name string) bool { return slices.Contains(names, name) }) {
		return []string{dir}
	}
	for _, name := range names {
		if MayHoldTensors(name) {
			models = append(models, filepath.Join(dir, name))
		}
	}
	if len(models) == 1 || len(models) > 1 && slices.Contains(names, "config.json") {
		return []string{dir}
	}
	return models
}
