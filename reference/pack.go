package reference

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// PackVersion is the schema_version of a pack's manifest.
const PackVersion = 1

const (
	packManifest    = "btu-scan-reference.json" // the first member
	maxPackManifest = 4 << 20                   // maxShards names and digests
	maxPackTail     = 1 << 20                   // zeros after the last file; tar pads its records
	packBlock       = 512                       // of a tar
)

// A Pack says what a reference pack holds. A pack is one file that carries a
// reference to a machine without network: a plain tar of a manifest and of the
// files that it lists, sorted by name. Nothing in it depends on when, where and
// by whom it was made, so the same files give the same bytes.
type Pack struct {
	Entry
	Revision string // what the importing cache calls the commit; "" for none
	SHA256   string // of the whole pack
	Size     int64  // of the whole pack, in bytes
}

// A manifest is the first member of a pack.
type manifest struct {
	Entry
	Revision      string `json:"revision,omitempty"`
	SchemaVersion int    `json:"schema_version"`
}

// encode gives the one form that a manifest has.
func (m *manifest) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

// decodeManifest reads and checks a manifest. It must have the very bytes that
// encode gives, which leaves no room for what readers of JSON disagree on.
func decodeManifest(data []byte, maxBytes int64) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("malformed manifest: %w", err)
	}
	if m.SchemaVersion != PackVersion {
		return nil, fmt.Errorf("pack of schema version %d, this program knows %d", m.SchemaVersion, PackVersion)
	}
	if err := m.check(maxBytes); err != nil {
		return nil, fmt.Errorf("malformed manifest: %w", err)
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(again, data) {
		return nil, errors.New("malformed manifest: it is not in the form that export writes")
	}
	return &m, nil
}

// check says whether m describes one whole reference and nothing else.
func (m *manifest) check(maxBytes int64) error {
	switch {
	case !ValidID(m.ID):
		return fmt.Errorf("%s is no hub id", quote(m.ID))
	case !hex40.MatchString(m.Commit):
		return fmt.Errorf("%s is no commit", quote(m.Commit))
	case m.Revision != "" && (!validRevision(m.Revision) || hex40.MatchString(m.Revision)):
		return fmt.Errorf("%s is no revision", quote(m.Revision))
	}
	if err := m.Entry.check(); err != nil {
		return err
	}
	if _, err := m.form(); err != nil {
		return err
	}
	left := maxBytes
	for _, name := range m.names() {
		size := m.Files[name].Size
		if size > maxSideFile && !isTensors(name) {
			return fmt.Errorf("%s has %d bytes, the limit is %d", quote(name), size, maxSideFile)
		}
		if size > left {
			return fmt.Errorf("the files have over %d bytes", maxBytes)
		}
		left -= size
	}
	return nil
}

// isTensors says whether a file of a pack holds the weights themselves.
func isTensors(name string) bool {
	return isWeights(name) && !slices.ContainsFunc(weightForms, func(f weightForm) bool { return f.sharded && f.file == name })
}

// form is how the weights of m are stored. Names beyond a reference's are an
// error: a pack carries no code and no second form of the weights.
func (m *manifest) form() (weightForm, error) {
	var found []weightForm
	for _, f := range weightForms {
		if _, ok := m.Files[f.file]; ok {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		return weightForm{}, fmt.Errorf("the files have %d forms of weights, not one", len(found))
	}
	form := found[0]
	for _, name := range m.names() {
		if name != form.file && !slices.Contains(sideFiles, name) && (!form.sharded || !form.shard.MatchString(name)) {
			return weightForm{}, fmt.Errorf("%s belongs to no reference", quote(name))
		}
	}
	return form, nil
}

// shards lists the files that an index must name, sorted.
func (m *manifest) shards(form weightForm) []string {
	return slices.DeleteFunc(m.names(), func(n string) bool { return n == form.file || slices.Contains(sideFiles, n) })
}

// names lists the files in the order in which they follow the manifest.
func (m *manifest) names() []string {
	return slices.Sorted(maps.Keys(m.Files))
}

// bytes is the size of all files. Those of a checked manifest do not overflow.
func (m *manifest) bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// packHeader is what precedes a file of a pack: one block, or three where the
// name or the size needs an extended header. It says nothing but name and size,
// so a reader has no need to parse it: it compares.
func packHeader(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)})
	return b.Bytes(), err
}

// padding is how many zeros follow a file of this size.
func padding(size int64) int64 {
	return (packBlock - size%packBlock) % packBlock
}

// maxBytes caps what one download or pack may hold.
func (s *Store) maxBytes() int64 {
	if s.MaxBytes > 0 {
		return min(s.MaxBytes, math.MaxInt64/2)
	}
	return defaultMaxBytes
}
