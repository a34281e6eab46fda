package loader

import (
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Format names how a checkpoint is stored.
type Format string

// The formats.
const (
	FormatSafetensors Format = "safetensors"
	FormatTorchZip    Format = "torch-zip"
	FormatTorchLegacy Format = "torch-legacy"
)

// Options adjust Open. The zero value is the useful one.
type Options struct {
	// Tensor names the input embedding. Optional: found by name and shape.
	Tensor string
	// MaxHeader caps the bytes of a safetensors header or an index. Optional:
	// 100 MB, the reference reader's limit.
	MaxHeader int64
	// MaxPickle caps the bytes of one pickle stream. Optional: 64 MiB.
	MaxPickle int64
	// MaxUnpack caps the bytes that are unpacked from all archives and streams
	// together, to look at what is in them. Optional: 32 MiB.
	MaxUnpack int64
	// MaxTensors caps the number of tensors. Optional: 1,000,000.
	MaxTensors int
	// TensorsOnly leaves the other files of a model folder alone, which are looked
	// at otherwise: for a reference, of which nothing but numbers is used.
	TensorsOnly bool
	// Write lets Tensor.WriteRows change the files. They must be the caller's own
	// copy: a write that fails leaves them half-changed.
	Write bool
}

func (o Options) withDefaults() Options {
	if o.MaxHeader <= 0 {
		o.MaxHeader = 100_000_000
	}
	if o.MaxPickle <= 0 {
		o.MaxPickle = 64 << 20
	}
	if o.MaxUnpack <= 0 {
		o.MaxUnpack = 32 << 20
	}
	if o.MaxTensors <= 0 {
		o.MaxTensors = 1_000_000
	}
	return o
}

// A Checkpoint is an opened checkpoint. It is safe for concurrent use until it
// is closed.
type Checkpoint struct {
	path     string
	dir      string // the folder whose config and tokenizer belong to it; "" if none
	format   Format
	files    []File
	index    string    // the shard index, in dir; "" if none
	alone    bool      // the user named a file, not a folder
	tensors  []*Tensor // sorted by name
	byName   map[string]*Tensor
	config   Config
	card     Card
	adapter  string
	findings []Finding
	warnings []string
	opt      Options

	vocabOnce sync.Once
	vocab     *Vocabulary
	vocabErr  error
}

// A File is one file that holds tensors.
type File struct {
	Path string // as opened
	Size int64
	data *mapping
}

// Path is the path the checkpoint was opened by.
func (c *Checkpoint) Path() string { return c.path }

// Dir is the model folder the checkpoint lies in, or "".
func (c *Checkpoint) Dir() string { return c.dir }

// Format is the format of the tensor files.
func (c *Checkpoint) Format() Format { return c.format }

// Files lists the files that hold tensors, in the order of their names.
func (c *Checkpoint) Files() []File { return slices.Clone(c.files) }

// Config is what config.json says; the zero value where there is none.
func (c *Checkpoint) Config() Config { return c.config }

// Card is what the front matter of README.md says; the zero value where there
// is none.
func (c *Checkpoint) Card() Card { return c.card }

// AdapterBase is base_model_name_or_path of adapter_config.json, or "".
func (c *Checkpoint) AdapterBase() string { return c.adapter }

// Findings lists what is dangerous or ambiguous about the files.
func (c *Checkpoint) Findings() []Finding { return slices.Clone(c.findings) }

// Warnings lists what a user should know but no reader is fooled by.
func (c *Checkpoint) Warnings() []string { return slices.Clone(c.warnings) }

// Tensors iterates over the tensors in the order of their names.
func (c *Checkpoint) Tensors() iter.Seq[*Tensor] { return slices.Values(c.tensors) }

// Tensor returns the tensor of that name, or nil.
func (c *Checkpoint) Tensor(name string) *Tensor { return c.byName[name] }

// Close unmaps the files. Tensors must not be used afterwards.
func (c *Checkpoint) Close() error {
	var first error
	for _, f := range c.files {
		if err := f.data.close(); err != nil && first == nil {
			first = err
		}
	}
	c.files, c.tensors, c.byName = nil, nil, nil
	return first
}

// contents is what one tensor file gave. The tensors refer into its mapping.
type contents struct {
	tensors  []*Tensor
	findings []Finding
	warnings []string
}

func sortTensors(ts []*Tensor) {
	slices.SortFunc(ts, func(a, b *Tensor) int { return strings.Compare(a.Name, b.Name) })
}

// FileOf names the file that holds a tensor of the checkpoint, relative to the
// checkpoint's folder, or "" where the tensor is not in a file as it stands.
func (c *Checkpoint) FileOf(t *Tensor) string {
	for _, f := range c.files {
		if f.data != nil && within(t.data, f.data.data) {
			if name, err := filepath.Rel(c.dir, f.Path); err == nil {
				return filepath.ToSlash(name)
			}
		}
	}
	return ""
}
