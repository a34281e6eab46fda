package loader

import (
	"bytes"
	"fmt"
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
	d := tokenReader{dec: jsontext.NewDecoder(bytes.NewReader(data))} // duplicate names are an error
	var weights map[string]string
	d.object(func(key string) {
		if key != "weight_map" {
			d.skip()
			return
		}
		weights = map[string]string{}
		d.object(func(tensor string) {
			shard := d.token('"')
			if d.err == nil && len(weights) == opt.MaxTensors {
				d.errorf("more than %d tensors", opt.MaxTensors)
			}
			if d.err == nil {
				weights[tensor] = shard.String()
			}
		})
	})
	d.end()
	if d.err != nil {
		return nil, jsonError(name, 0, d.err)
	}
	if len(weights) == 0 {
		return nil, &FormatError{Path: name, Off: -1, Msg: "no weight_map, so this JSON is no shard index"}
	}
	return weights, nil
}

// shardNames lists the shards, sorted and each once.
func shardNames(weights map[string]string) []string {
	return slices.Compact(slices.Sorted(maps.Values(weights)))
}

// IndexShards returns the names of the shards in the shard index data, sorted
// and each once. They are the attacker's: nothing says that they are local.
// The name is the index's, for errors, which are FormatErrors.
func IndexShards(name string, data []byte) ([]string, error) {
	weights, err := parseIndex(name, data, Options{}.withDefaults())
	return shardNames(weights), err
}

// maxShards caps the number of shard files, each of which costs a mapping.
const maxShards = 10_000

// strayShards are the findings about shards that an index names outside its
// own folder.
func strayShards(path string, shards []string) (found []Finding) {
	for _, shard := range shards {
		if !filepath.IsLocal(shard) || strings.ContainsAny(shard, `\:`) || shard == "." {
			found = append(found, Finding{
				Rule: RulePathTraversal, Severity: SeverityCritical, Where: path,
				Detail: fmt.Sprintf("the index names the shard %s, outside its own folder", quoted(clipped(shard))),
			})
		}
	}
	return capped(path, found)
}

// loadShards opens every shard of an index and checks that both agree.
func (c *Checkpoint) loadShards(w *walker, f *folder, name string, data []byte) error {
	path := filepath.Join(f.dir, name)
	weights, err := parseIndex(path, data, c.opt)
	if err != nil {
		return err
	}
	shards := shardNames(weights)
	c.index = name
	if len(shards) > maxShards {
		return &FormatError{Path: path, Off: -1, Msg: fmt.Sprintf("%d shards, the limit is %d", len(shards), maxShards)}
	}
	if found := strayShards(path, shards); len(found) > 0 {
		return &UnsafeError{Path: path, Findings: found}
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
		w.mapped = m.data
		got, format, err := w.read(c.files[len(c.files)-1].Path, m.data)
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
		if err := c.adopt(got, m); err != nil {
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
