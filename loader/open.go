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

// Open opens the checkpoint at path: a tensor file, a shard index, or a model
// folder. A tensor file that lies in a model folder uses its neighbours'
// config and tokenizer.
//
// Errors: *FormatError for a malformed file, ErrUnsupported for one that is
// not read, *UnsafeError for a pickle that would run code, ErrIncomplete where
// a shard is missing, fs errors from the operating system.
func Open(ctx context.Context, path string, opt Options) (ck *Checkpoint, err error) {
	opt = opt.withDefaults()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	dir, file := filepath.Split(filepath.Clean(path))
	if info.IsDir() {
		dir, file = path, ""
	} else if dir == "" {
		dir = "."
	}
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	f.write = opt.Write
	c := &Checkpoint{path: path, dir: filepath.Clean(dir), opt: opt, alone: !info.IsDir()}
	defer func() {
		if err != nil {
			ck = nil
			c.Close()
		}
	}()
	defer guard(path, -1, "", &err)()
	w := newWalker(ctx, opt)
	if file == "" {
		file, err = c.chooseWeights(f)
	}
	if err == nil {
		err = c.load(w, f, file)
	}
	if !c.alone && !opt.TensorsOnly && ctx.Err() == nil {
		c.findings = append(c.findings, c.lookAround(w, f)...)
	}
	if !opt.TensorsOnly && ctx.Err() == nil && (!c.alone || err == nil) {
		c.findings = append(c.findings, lookAtSettings(f)...)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		// What was seen beside weights that cannot be read is reported, too.
		return nil, withFindings(path, err, c.findings)
	}
	c.readMetadata(f)
	return c, nil
}

// weightNames are the names of a model's weights, in the order in which
// transformers looks for them.
var weightNames = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}

// chooseWeights picks the tensor file of a model folder in the order in which
// transformers does, and says what it passed over.
func (c *Checkpoint) chooseWeights(f *folder) (string, error) {
	names, err := f.list()
	if err != nil {
		return "", err
	}
	var found []string
	for _, name := range weightNames {
		if slices.Contains(names, name) {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		for _, name := range names {
			if MayHoldTensors(name) {
				found = append(found, name)
			}
		}
		if len(found) > 1 {
			return "", fmt.Errorf("%w: %s holds %d tensor files and no index: %s", ErrUnsupported, c.path, len(found), quoted(strings.Join(found, ", ")))
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%w: no tensor file in %s", ErrUnsupported, c.path)
	}
	if len(found) > 1 {
		c.warnings = append(c.warnings, fmt.Sprintf("the folder also holds %s, which this scan does not cover", strings.Join(found[1:], ", ")))
	}
	return found[0], nil
}

// MayHoldTensors reports whether a file of a model folder is looked at for
// tensors, by its name: the trainer's settings and hidden files are not. What a
// file holds is told by its content.
func MayHoldTensors(name string) bool {
	if name == "training_args.bin" || strings.HasPrefix(name, ".") {
		return false
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".safetensors", ".bin", ".pt", ".pth", ".ckpt":
		return true
	}
	return false
}

// load maps and reads a tensor file or all shards of an index.
func (c *Checkpoint) load(w *walker, f *folder, name string) error {
	m, err := f.mapFile(name)
	if err != nil {
		return err
	}
	if isIndex(m.data) {
		defer m.close()
		return c.loadShards(w, f, name, m.data)
	}
	c.addFile(f, name, m)
	w.mapped = m.data
	got, format, err := w.read(c.files[0].Path, m.data)
	if err != nil {
		return err
	}
	c.format = format
	return c.adopt(got, m)
}

func (c *Checkpoint) addFile(f *folder, name string, m *mapping) {
	c.files = append(c.files, File{Path: filepath.Join(f.dir, name), Size: int64(len(m.data)), data: m})
}

// adopt adds the contents of a mapped file to the checkpoint.
func (c *Checkpoint) adopt(got contents, m *mapping) error {
	c.findings = append(c.findings, got.findings...)
	c.warnings = append(c.warnings, got.warnings...)
	if c.byName == nil {
		c.byName = make(map[string]*Tensor, len(got.tensors))
	}
	for _, t := range got.tensors {
		if other := c.byName[t.Name]; other != nil {
			return &FormatError{Path: t.file, Off: t.pos, Msg: fmt.Sprintf("tensor %s is also in %s", quoted(t.Name), other.file)}
		}
		c.byName[t.Name] = t
		t.mapped = within(t.data, m.data)
		t.write = t.mapped && c.opt.Write
	}
	c.tensors = append(c.tensors, got.tensors...)
	sortTensors(c.tensors)
	return nil
}

// A folder is a model folder. Names from inside files are opened through it
// and cannot leave it.
type folder struct {
	dir    string
	root   *os.Root
	prefix string // of names, below root
	write  bool   // maps files so that writing to the mapping changes them
}

// openFolder opens dir. In the Hugging Face cache (models--x/snapshots/commit)
// the files are links into models--x/blobs, so there the fence is models--x.
func openFolder(dir string) (*folder, error) {
	fence, prefix := dir, "."
	if abs, err := filepath.Abs(dir); err == nil {
		snapshots := filepath.Dir(abs)
		model := filepath.Dir(snapshots)
		if filepath.Base(snapshots) == "snapshots" && strings.HasPrefix(filepath.Base(model), "models--") {
			fence, prefix = model, filepath.Join("snapshots", filepath.Base(abs))
		}
	}
	root, err := os.OpenRoot(fence)
	if err != nil {
		return nil, err
	}
	return &folder{dir: dir, root: root, prefix: prefix}, nil
}

func (f *folder) close() { f.root.Close() }

func (f *folder) list() ([]string, error) {
	d, err := f.root.Open(f.prefix)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// open opens a regular file of the folder. To open a pipe would be to wait for
// its writer.
func (f *folder) open(name string, flag int) (*os.File, error) {
	path := filepath.Join(f.prefix, name)
	info, err := f.root.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: not a regular file", ErrUnsupported)}
	}
	return f.root.OpenFile(path, flag, 0)
}

func (f *folder) mapFile(name string) (*mapping, error) {
	// A link that leaves the folder is an error, whoever named the file.
	flag := os.O_RDONLY
	if f.write {
		flag = os.O_RDWR
	}
	file, err := f.open(name, flag)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return mapFile(file, f.write)
}

// maxMetadata caps the bytes of a config, a tokenizer or a model card.
const maxMetadata = 64 << 20

// read returns a small file of the folder; nil, nil where there is none.
func (f *folder) read(name string) ([]byte, error) {
	file, err := f.open(name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxMetadata {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", name, maxMetadata)
	}
	data := make([]byte, info.Size())
	n, err := file.ReadAt(data, 0)
	if n < len(data) && err != nil {
		return nil, err
	}
	return data, nil
}
