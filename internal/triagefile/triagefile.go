// Package triagefile reads and writes the file of what the user decided about
// tokens: which is a trigger, which is benign, and until when that counts. The
// screens write it; sanitizing and gates honour it.
//
// The file is the user's own and is edited by hand, too, so that what is not
// understood in it is an error: a decision that was mistyped must not pass for
// none, or for one without an end.
package triagefile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
)

// Version is the version of the file. Fields are only ever added to a version.
const Version = 1

// maxSize caps the bytes of a file that is read.
const maxSize = 64 << 20

// A Mark is what the user calls a token.
type Mark string

// The marks.
const (
	MarkTrigger Mark = "trigger"
	MarkBenign  Mark = "benign"
	MarkUnsure  Mark = "unsure"
)

// UnmarshalText refuses what is no mark.
func (m *Mark) UnmarshalText(text []byte) error {
	switch x := Mark(text); x {
	case "", MarkTrigger, MarkBenign, MarkUnsure:
		*m = x
		return nil
	}
	return fmt.Errorf("%q is no mark: trigger, benign or unsure", text)
}

// A Date is a day as YYYY-MM-DD, "" for none. Later days compare greater.
type Date string

// DateOf is the day of a time in UTC.
func DateOf(t time.Time) Date { return Date(t.UTC().Format(time.DateOnly)) }

// ParseDate reads a day; "" is none.
func ParseDate(s string) (Date, error) {
	if s == "" {
		return "", nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return "", fmt.Errorf("%q is no date: YYYY-MM-DD", s)
	}
	return DateOf(t), nil
}

// UnmarshalText refuses what is no date.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// A Decision is what the user says of a token of a checkpoint.
type Decision struct {
	Rule    string    `json:"rule,omitempty"` // of the finding that it was about
	TokenID int       `json:"token_id"`
	Token   string    `json:"token"`
	Mark    Mark      `json:"mark,omitempty"` // none: only a note
	Note    string    `json:"note,omitempty"`
	Expires Date      `json:"expires,omitempty"` // the last day, in UTC, on which the mark counts
	Time    time.Time `json:"time"`
}

// Expired reports whether the decision does not count any more.
func (d Decision) Expired(now time.Time) bool { return d.Expires != "" && d.Expires < DateOf(now) }

// Counts is the mark as of now: none once the decision has expired.
func (d Decision) Counts(now time.Time) Mark {
	if d.Expired(now) {
		return ""
	}
	return d.Mark
}

// A File holds decisions about any number of checkpoints.
type File struct {
	SchemaVersion int `json:"schema_version"`
	// Checkpoints holds the decisions by the digest of what they are about: that of
	// a checkpoint's tensor files as sha256:HEX, or that of a saved report.
	Checkpoints map[string][]Decision `json:"checkpoints"`
}

// Read reads a file of decisions; one that is not there is empty.
//
// Errors: those of the file system; a file that is none of decisions, that is of
// another version, or that says something unknown.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{SchemaVersion: Version, Checkpoints: map[string][]Decision{}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w, so this file of decisions is left as it is: %s", err, path)
	}
	return t, nil
}

// Parse reads the content of a file of decisions.
func Parse(data []byte) (*File, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("more than %d bytes", maxSize)
	}
	var version struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := json.Unmarshal(data, &version); err != nil { // the whole, so nothing follows
		return nil, err
	}
	if version.SchemaVersion != Version {
		return nil, fmt.Errorf("schema version %d, not %d", version.SchemaVersion, Version)
	}
	t := &File{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(t); err != nil {
		return nil, err
	}
	if t.Checkpoints == nil {
		t.Checkpoints = map[string][]Decision{}
	}
	return t, nil
}

// Set replaces the decisions about one checkpoint; none forget it.
func (t *File) Set(digest string, ds []Decision) {
	if len(ds) == 0 {
		delete(t.Checkpoints, digest)
		return
	}
	ds = slices.Clone(ds)
	slices.SortFunc(ds, func(a, b Decision) int { return cmp.Compare(a.TokenID, b.TokenID) })
	t.Checkpoints[digest] = ds
}

// Write creates or replaces the file at path, whole or not at all.
func (t *File) Write(path string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(t); err != nil {
		return err
	}
	return atomicfile.Write(path, b.Bytes(), 0o644)
}
