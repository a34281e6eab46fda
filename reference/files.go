package reference

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/loader"
)

// What a reference consists of. Nothing else is downloaded or pinned: no code,
// no second copy of the weights.
var sideFiles = []string{
	"config.json",
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.txt", "vocab.json", "merges.txt",
	"spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
}

// A weightForm is one way to store weights. One with an index has shards, whose
// names the index gives.
type weightForm struct {
	file    string
	sharded bool
	shard   *regexp.Regexp
}

// weightForms lists how weights are stored, the preferred form first.
var weightForms = []weightForm{
	{"model.safetensors", false, nil},
	{"model.safetensors.index.json", true, regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$`)},
	{"pytorch_model.bin", false, nil},
	{"pytorch_model.bin.index.json", true, regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*\.bin$`)},
}

const (
	maxSideFile = 64 << 20 // a tokenizer.json of a large vocabulary has 30 MB
	maxShards   = 10_000
)

// isWeights says whether a file of this name may hold tensors, or say which
// files do.
func isWeights(name string) bool {
	return loader.MayHoldTensors(name) || !strings.HasPrefix(name, ".") && strings.HasSuffix(strings.ToLower(name), ".index.json")
}

// isReferenceFile says whether a file belongs to what is pinned.
func isReferenceFile(name string) bool {
	return isWeights(name) || slices.Contains(sideFiles, name)
}

// shards reads the names of the shards from an index, sorted and each once. A
// name that does not match is an error: it could point anywhere.
func shards(r io.Reader, name *regexp.Regexp) ([]string, error) {
	data, err := readCapped(r, maxSideFile)
	if err != nil {
		return nil, err
	}
	out, err := loader.IndexShards("index", data)
	if err != nil {
		return nil, fmt.Errorf("malformed index: %w", err)
	}
	if len(out) > maxShards {
		return nil, fmt.Errorf("the index names over %d shards", maxShards)
	}
	for _, s := range out {
		if len(s) > 200+len(".safetensors") || !name.MatchString(s) || !filepath.IsLocal(s) || strings.Contains(s, "..") {
			return nil, fmt.Errorf("the index names a shard %s", quote(s))
		}
	}
	return out, nil
}

// readCapped reads all of r, or fails past limit bytes.
func readCapped(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("over %d bytes", limit)
	}
	return data, nil
}

// usable says what keeps folder from being opened as a reference: nil, or that
// it holds no weights or not all shards. Weights under a name of their own
// count, if they are the only ones: the loader decides.
func usable(folder string) error {
	for _, form := range weightForms {
		if !regular(filepath.Join(folder, form.file)) {
			continue
		}
		if !form.sharded {
			return nil
		}
		f, err := os.Open(filepath.Join(folder, form.file))
		if err != nil {
			return err
		}
		names, err := shards(f, form.shard)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", form.file, err)
		}
		for _, n := range names {
			if !regular(filepath.Join(folder, n)) {
				return fmt.Errorf("shard %s is missing", quote(n))
			}
		}
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if isWeights(e.Name()) && !strings.HasSuffix(e.Name(), ".json") && regular(filepath.Join(folder, e.Name())) {
			return nil
		}
	}
	return fmt.Errorf("%w: no weights", fs.ErrNotExist)
}

func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
