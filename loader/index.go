package loader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// isIndex reports whether data looks like a shard index: JSON, where a
// safetensors file has the header's length first.
func isIndex(data []byte) bool {
	return !isSafetensors(data) && bytes.HasPrefix(bytes.TrimLeft(data[:min(len(data), 256)], " \t\r\n"), []byte("{"))
}

// parseIndex reads the weight_map of a shard index: tensor name to shard.
func parseIndex(name string, data []byte, opt Options) (map[string]string, error) {
	if int64(len(data)) > opt.MaxHeader {
		return nil, &FormatError{Path: name, Off: 0, Msg: fmt.Sprintf("%d bytes are over the limit of %d for an index", len(data), opt.MaxHeader)}
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data)) // duplicate names are an error
	errorf := func(format string, args ...any) error {
		return &FormatError{Path: name, Off: dec.InputOffset(), Msg: fmt.Sprintf(format, args...)}
	}
	var weights map[string]string
	if tok, err := dec.ReadToken(); err != nil {
		return nil, jsonError(name, 0, err)
	} else if tok.Kind() != '{' {
		return nil, errorf("an object expected")
	}
	for dec.PeekKind() != '}' {
		key, err := dec.ReadToken()
		if err != nil {
			return nil, jsonError(name, 0, err)
		}
		if key.String() != "weight_map" {
			if err := dec.SkipValue(); err != nil {
				return nil, jsonError(name, 0, err)
			}
			continue
		}
		if tok, err := dec.ReadToken(); err != nil {
			return nil, jsonError(name, 0, err)
		} else if tok.Kind() != '{' {
			return nil, errorf("weight_map is no object")
		}
		weights = map[string]string{}
		for dec.PeekKind() != '}' {
			key, err := dec.ReadToken()
			if err != nil {
				return nil, jsonError(name, 0, err)
			}
			tensor := key.String() // before the next token takes the buffer
			shard, err := dec.ReadToken()
			if err != nil {
				return nil, jsonError(name, 0, err)
			}
			if shard.Kind() != '"' {
				return nil, errorf("the shard of tensor %s is no string", quoted(tensor))
			}
			if len(weights) == opt.MaxTensors {
				return nil, errorf("more than %d tensors", opt.MaxTensors)
			}
			weights[tensor] = shard.String()
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, jsonError(name, 0, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, jsonError(name, 0, err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errorf("data after the index's object")
	}
	if len(weights) == 0 {
		return nil, &FormatError{Path: name, Off: -1, Msg: "no weight_map, so this JSON is no shard index"}
	}
	return weights, nil
}

// maxShards caps the number of shard files, each of which costs a mapping.
const maxShards = 10_000

// loadShards opens every shard of an index and checks that both agree.
func (c *Checkpoint) loadShards(ctx context.Context, f *folder, name string, data []byte) error {
	path := filepath.Join(f.dir, name)
	weights, err := parseIndex(path, data, c.opt)
	if err != nil {
		return err
	}
	tensorsOf := map[string]int{}
	for _, shard := range weights {
		tensorsOf[shard]++
	}
	shards := make([]string, 0, len(tensorsOf))
	for shard := range tensorsOf {
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	if len(shards) > maxShards {
		return &FormatError{Path: path, Off: -1, Msg: fmt.Sprintf("%d shards, the limit is %d", len(shards), maxShards)}
	}
	for _, shard := range shards {
		if !filepath.IsLocal(shard) || strings.ContainsAny(shard, `\:`) || shard == "." {
			return &UnsafeError{Path: path, Findings: []Finding{{
				Rule: RulePathTraversal, Severity: SeverityCritical, Where: path,
				Detail: fmt.Sprintf("the index names the shard %s, outside its own folder", quoted(shard)),
			}}}
		}
	}
	for _, shard := range shards {
		m, err := f.mapFile(shard)
		if isNotExist(err) {
			return fmt.Errorf("%s: %w: shard %s is missing", path, ErrIncomplete, quoted(shard))
		}
		if err != nil {
			return fmt.Errorf("%s: shard %s: %w", path, quoted(shard), err)
		}
		c.addFile(f, shard, m)
		got, format, err := readFile(ctx, c.files[len(c.files)-1].Path, m.data, c.opt)
		if err != nil {
			return err
		}
		if c.format != "" && c.format != format {
			return &FormatError{Path: path, Off: -1, Msg: fmt.Sprintf("shards of different formats: %s and %s", c.format, format)}
		}
		c.format = format
		for _, t := range got.tensors {
			if said, ok := weights[t.Name]; !ok {
				c.warnings = append(c.warnings, fmt.Sprintf("%s: tensor %s is in %s but not in the index", path, quoted(t.Name), quoted(shard)))
			} else if said != shard {
				return &FormatError{Path: path, Off: -1, Msg: fmt.Sprintf("tensor %s is in %s, the index says %s", quoted(t.Name), quoted(shard), quoted(said))}
			}
		}
		if err := c.adopt(got); err != nil {
			return err
		}
	}
	for _, tensor := range slices.Sorted(maps.Keys(weights)) {
		if c.byName[tensor] == nil {
			return fmt.Errorf("%s: %w: tensor %s is not in shard %s", path, ErrIncomplete, quoted(tensor), quoted(weights[tensor]))
		}
	}
	return nil
}
