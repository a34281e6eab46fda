package loader

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Copy is what CopyTo copied.
type Copy struct {
	// Path opens the copy: the folder, or the tensor file in it.
	Path  string
	Files []CopiedFile // by name
	// LeftOut are files that hold other weights, which nobody has looked at,
	// pickles, and what is no regular file of the folder. Their names are the
	// attacker's.
	LeftOut []string
}

// A CopiedFile is one file.
type CopiedFile struct {
	Name    string // below the folder, with slashes
	Size    int64
	SHA256  string
	Tensors bool // it holds the checkpoint's tensors
}

// CopyOptions adjust CopyTo. The zero value is the useful one.
type CopyOptions struct {
	// Tensors says whether the files that hold tensors are copied, and their
	// index. Optional: nil for yes.
	Tensors func(name string) bool
	// Progress is told how many bytes have been copied. Optional.
	Progress func(done int64)
}

// CopyTo copies the checkpoint to the folder dir, which must exist and be empty:
// the files that hold its tensors and everything else that lies in its model
// folder, but for other weights and hidden files. Of a checkpoint that was opened
// by the name of a file, only small files of text come along. It opens nothing
// that leaves the model folder.
func (c *Checkpoint) CopyTo(ctx context.Context, dir string, opt CopyOptions) (*Copy, error) {
	from, err := openFolder(c.dir)
	if err != nil {
		return nil, err
	}
	defer from.close()
	to, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	out := &Copy{Path: dir}
	if c.alone {
		out.Path = filepath.Join(dir, filepath.Base(c.path))
	}
	var own []string
	if c.index != "" {
		own = append(own, c.index)
	}
	for _, f := range c.files {
		own = append(own, filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(f.Path, from.dir), string(filepath.Separator))))
	}
	names, err := c.neighbours(from, own, out)
	if err != nil {
		return nil, err
	}
	var done int64
	for _, name := range append(own, names...) {
		tensors := slices.Contains(own, name)
		if tensors && opt.Tensors != nil && !opt.Tensors(name) {
			continue
		}
		f, err := copyFile(ctx, from, to, name, func(n int64) {
			if done += n; opt.Progress != nil {
				opt.Progress(done)
			}
		})
		if err != nil {
			return nil, err
		}
		f.Tensors = tensors && name != c.index
		out.Files = append(out.Files, f)
	}
	slices.SortFunc(out.Files, func(a, b CopiedFile) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// maxNeighbours caps the files of a model folder that are copied.
const maxNeighbours = 100_000

// neighbours lists the files beside the checkpoint's own that belong to it.
func (c *Checkpoint) neighbours(from *folder, own []string, out *Copy) (names []string, err error) {
	root := from.root.FS()
	prefix := filepath.ToSlash(from.prefix)
	err = fs.WalkDir(root, prefix, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := p
		if prefix != "." {
			name = strings.TrimPrefix(p, prefix+"/")
		}
		switch {
		case p == prefix, slices.Contains(own, name):
			return nil
		case strings.HasPrefix(d.Name(), "."), d.IsDir() && c.alone:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		case len(names) == maxNeighbours:
			return fmt.Errorf("%s: more than %d files", c.dir, maxNeighbours)
		}
		info, err := from.root.Stat(p) // of what a link leads to
		switch {
		case err != nil || !info.Mode().IsRegular(), otherWeights(name):
			out.LeftOut = append(out.LeftOut, name)
		case c.alone && !describesModel(name):
		default:
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// otherWeights reports whether a file may hold weights in any format, or is a
// pickle, such as the trainer's settings, by its name. The modules of a sentence-transformers pipeline lie in folders with a
// number in front, and are no other version of the model.
func otherWeights(name string) bool {
	if d := path.Dir(name); d != "." && d[0] >= '0' && d[0] <= '9' && strings.Contains(d, "_") {
		return false
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".onnx_data", ".gguf", ".ggml", ".tflite", ".ot", ".pb", ".npz", ".npy", ".pkl", ".pickle",
		".joblib", ".mlmodel", ".xml", ".tar", ".gz", ".zip", ".7z", ".bz2", ".xz":
		return true
	}
	return strings.HasSuffix(name, ".index.json")
}

// describesModel reports whether a file beside a tensor file is most likely
// about it.
func describesModel(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".json", ".txt", ".model", ".md", ".jinja", ".py":
		return true
	}
	return false
}

func copyFile(ctx context.Context, from *folder, to *os.Root, name string, progress func(n int64)) (f CopiedFile, err error) {
	f.Name = name
	in, err := from.open(filepath.FromSlash(name), os.O_RDONLY)
	if err != nil {
		return f, err
	}
	defer in.Close()
	if err := to.MkdirAll(path.Dir(name), 0o755); err != nil {
		return f, err
	}
	out, err := to.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return f, err
		}
		n, err := in.Read(buf)
		if n > 0 {
			sum.Write(buf[:n])
			if _, err := out.Write(buf[:n]); err != nil {
				return f, err
			}
			f.Size += int64(n)
			progress(int64(n))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f, err
		}
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

// Twins lists the tensors that are the same numbers as t, under other names or
// in other places: a tied output projection above all. It is only known while
// neither has been written.
func (c *Checkpoint) Twins(t *Tensor) (twins []*Tensor) {
	for _, o := range c.tensors {
		if o != t && isMatrix(o) && sameBytes(t, o) {
			twins = append(twins, o)
		}
	}
	return twins
}
