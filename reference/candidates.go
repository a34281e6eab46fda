package reference

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/btu-scan/btu-scan/loader"
)

// A Candidate is a model that a checkpoint names as its base. It is the word of
// whoever made the checkpoint.
type Candidate struct {
	// ID is the name as written: a hub id or a path.
	ID string
	// Evidence says who names it: "config.json _name_or_path".
	Evidence string
	// Path is the folder ID names, where it is not a hub id but an existing
	// folder. Whoever delivered the checkpoint may have put it there.
	Path string
	// Problem says why the candidate cannot be used; "" for those that can.
	Problem string

	self []fs.FileInfo // the checkpoint's folder and files
}

// maxName caps a name taken from a checkpoint: the longest path of Linux.
const maxName = 4096

// Candidates lists the models that the files beside ck name as its base, the
// likeliest first and each once, those that cannot be used among them. It looks
// whether a path exists, and at nothing else.
//
// A name that obeys the grammar of hub ids is a hub id and never a path. Any
// other is a path, relative to the checkpoint's folder; it is refused where it
// is not a folder, where it is on another machine, and where it lies in the
// checkpoint's own folder or around it, since a base that arrives together with
// the checkpoint proves nothing about it.
func Candidates(ck *loader.Checkpoint) []Candidate {
	var named []Candidate
	add := func(id, evidence string) {
		if id = strings.TrimSpace(id); id != "" {
			named = append(named, Candidate{ID: id, Evidence: evidence})
		}
	}
	add(ck.Config().NameOrPath, "config.json _name_or_path")
	for _, id := range ck.Card().BaseModel {
		add(id, "README.md base_model")
	}
	add(ck.AdapterBase(), "adapter_config.json base_model_name_or_path")
	var files []string
	for _, f := range ck.Files() {
		files = append(files, f.Path)
	}
	return judge(named, ck.Dir(), files)
}

// judge decides what each name is and drops repetitions.
func judge(named []Candidate, dir string, files []string) []Candidate {
	self := identities(dir, files)
	var out []Candidate
	at := map[string]int{}
	for _, c := range named {
		c.self = self
		key := "id:" + canonical(c.ID)
		if !ValidID(c.ID) {
			c.Path, c.Problem = localFolder(c.ID, dir)
			key = "path:" + c.Path
			if c.Problem != "" {
				key = "name:" + c.ID
			}
		}
		if i, seen := at[key]; seen {
			if !strings.Contains(out[i].Evidence, c.Evidence) {
				out[i].Evidence += ", " + c.Evidence
			}
			continue
		}
		at[key] = len(out)
		out = append(out, c)
	}
	return out
}

// localFolder resolves a path written in the folder dir.
func localFolder(name, dir string) (path, problem string) {
	switch {
	case len(name) > maxName || strings.ContainsRune(name, 0):
		return "", "neither a hub id nor a path"
	case strings.HasPrefix(name, `\\`) || strings.HasPrefix(name, "//") || strings.HasPrefix(filepath.VolumeName(name), `\\`):
		// On Windows, even asking whether it exists would contact the host.
		return "", "a path on another machine"
	}
	path = filepath.FromSlash(name)
	if !filepath.IsAbs(path) {
		if dir == "" {
			return "", "a relative path, and the checkpoint is in no model folder"
		}
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", "not a hub id, and no such folder here"
	}
	if !info.IsDir() {
		return "", "not a hub id, and not a folder"
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return "", "not a hub id, and no such folder here"
	}
	if dir != "" && related(path, dir) {
		return "", "a path into the checkpoint's own folder or around it"
	}
	return path, ""
}

// related says whether one of two folders is in the other.
func related(a, b string) bool {
	a, errA := real(a)
	b, errB := real(b)
	if errA != nil || errB != nil {
		return true
	}
	return inside(a, b) || inside(b, a)
}

// real is the absolute path without symlinks.
func real(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// inside says whether path is dir or lies in it; both are absolute and clean.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// identities stats the folder and the files that exist.
func identities(dir string, files []string) []fs.FileInfo {
	var out []fs.FileInfo
	if dir != "" {
		files = append([]string{dir}, files...)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			out = append(out, info)
		}
	}
	return out
}

// isOneOf says whether path is one of the files in infos.
func isOneOf(path string, infos []fs.FileInfo) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, i := range infos {
		if os.SameFile(info, i) {
			return true
		}
	}
	return false
}
