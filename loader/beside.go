package loader

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxFolders caps how deep folders lie in folders.
const maxFolders = 32

// lookAround looks at everything in the model folder but the checkpoint's own
// files: whoever loads the model may load them, too. Weights in them are
// framed, not read. It does not follow links that leave the folder.
func (c *Checkpoint) lookAround(w *walker, f *folder) (found []Finding) {
	own := []string{c.index}
	for _, file := range c.files {
		if name, err := filepath.Rel(f.dir, file.Path); err == nil {
			own = append(own, filepath.ToSlash(name))
		}
	}
	prefix := filepath.ToSlash(f.prefix)
	err := fs.WalkDir(f.root.FS(), prefix, func(p string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(p, prefix+"/")
		if prefix == "." {
			name = p
		}
		where := filepath.Join(f.dir, filepath.FromSlash(name))
		switch {
		case err != nil:
			found = append(found, unseen(where, err.Error()))
			return nil
		case p == prefix || slices.Contains(own, name):
			return nil
		case d.IsDir():
			if strings.Count(name, "/") >= maxFolders {
				found = append(found, unseen(where, fmt.Sprintf("more than %d folders in each other", maxFolders)))
				return fs.SkipDir
			}
			return nil
		case !w.part() || len(found) > maxFound:
			return fs.SkipAll
		}
		found = append(found, w.file(f, name, where)...)
		return nil
	})
	if err != nil {
		found = append(found, unseen(f.dir, err.Error()))
	}
	if err := w.err(f.dir); err != nil {
		found = append(found, findingOf(f.dir, err))
	}
	return capped(f.dir, found)
}

// file looks at one file of a folder.
func (w *walker) file(f *folder, name, where string) (found []Finding) {
	file, err := f.open(filepath.FromSlash(name), os.O_RDONLY)
	if err != nil {
		return []Finding{unseen(where, err.Error())}
	}
	defer file.Close()
	m, err := mapFile(file, false)
	if err != nil {
		return []Finding{unseen(where, err.Error())}
	}
	defer m.close()
	w.mapped = m.data
	// A fault in the mapping, of a file that shrank.
	func() {
		defer guard(where, -1, "", &err)()
		found = w.beside(name, where, m.data)
	}()
	if err != nil {
		found = append(found, unseen(where, err.Error()))
	}
	return found
}

// beside looks at the bytes of a file beside a checkpoint. Its name decides
// nothing but what is missed: a file that is called as weights and pickles are
// has to be one that is known.
func (w *walker) beside(name, where string, data []byte) []Finding {
	if strings.HasSuffix(strings.ToLower(name), ".index.json") && isIndex(data) {
		weights, err := parseIndex(where, data, w.opt)
		if err != nil {
			return []Finding{findingOf(where, err)}
		}
		return strayShards(where, shardNames(weights))
	}
	if k := w.sniff(data); k != nil || notRead(data) != "" {
		return w.look(k, where, data, false)
	}
	if !loadable(name) {
		return nil
	}
	what := stub(data)
	if what == "" {
		what = "nothing that is recognised, though its name says that it is loaded"
	}
	return []Finding{unseen(where, what)}
}

// loadable reports whether programs load a file of that name as an object or
// as tensors.
func loadable(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".dill":
		return true
	}
	return false
}
