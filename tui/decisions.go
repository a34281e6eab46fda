package tui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/btu-scan/btu-scan/internal/atomicfile"
)

// TriageVersion is the version of the triage file. Fields are only ever added to
// a version.
const TriageVersion = 1

// maxTriage caps the bytes of a triage file that is read.
const maxTriage = 64 << 20

// A Mark is what the user calls a token.
type Mark string

// The marks.
const (
	MarkTrigger Mark = "trigger"
	MarkBenign  Mark = "benign"
	MarkUnsure  Mark = "unsure"
)

// A Decision is what the user says of a token of a checkpoint.
type Decision struct {
	Rule    string    `json:"rule,omitempty"` // of the finding that it was about
	TokenID int       `json:"token_id"`
	Token   string    `json:"token"`
	Mark    Mark      `json:"mark,omitempty"` // none: only a note
	Note    string    `json:"note,omitempty"`
	Time    time.Time `json:"time"`
}

// A Triage is the file of decisions.
type Triage struct {
	SchemaVersion int `json:"schema_version"`
	// Checkpoints holds the decisions by the digest of what they are about.
	Checkpoints map[string][]Decision `json:"checkpoints"`
}

// ReadTriage reads a file of decisions; one that is not there is empty.
func ReadTriage(path string) (*Triage, error) {
	t := &Triage{SchemaVersion: TriageVersion, Checkpoints: map[string][]Decision{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTriage+1))
	if err != nil {
		return nil, err
	}
	var read Triage
	if err := json.Unmarshal(data, &read); err != nil || len(data) > maxTriage {
		return nil, fmt.Errorf("no file of decisions, so it is left as it is: %s", path)
	}
	if read.SchemaVersion != TriageVersion {
		return nil, fmt.Errorf("schema version %d, not %d, so it is left as it is: %s", read.SchemaVersion, TriageVersion, path)
	}
	if read.Checkpoints != nil {
		t.Checkpoints = read.Checkpoints
	}
	return t, nil
}

// decisions are those about one checkpoint.
type decisions struct {
	path   string
	digest string
	byID   map[int]Decision
	undo   []change
	now    func() time.Time

	mu    *sync.Mutex // orders writes
	saves *int        // number of the newest that was written
	seq   int
}

// A change can be taken back.
type change struct {
	id     int
	before Decision // zero for none
	had    bool
}

func newDecisions(path string) *decisions {
	return &decisions{path: path, byID: map[int]Decision{}, now: time.Now, mu: &sync.Mutex{}, saves: new(int)}
}

// adopt takes over what the file holds, unless it is about what is known already.
func (d *decisions) adopt(digest string, t *Triage) {
	if d.digest == digest {
		return
	}
	d.digest, d.byID, d.undo = digest, map[int]Decision{}, nil
	for _, x := range t.Checkpoints[digest] {
		d.byID[x.TokenID] = x
	}
}

// put records a decision; one that says nothing is removed.
func (d *decisions) put(x Decision) {
	before, had := d.byID[x.TokenID]
	d.undo = append(d.undo, change{x.TokenID, before, had})
	x.Time = d.now().UTC().Truncate(time.Second)
	if x.Mark == "" && x.Note == "" {
		delete(d.byID, x.TokenID)
	} else {
		d.byID[x.TokenID] = x
	}
}

// back takes the last change back, and returns its token.
func (d *decisions) back() (id int, ok bool) {
	if len(d.undo) == 0 {
		return 0, false
	}
	c := d.undo[len(d.undo)-1]
	d.undo = d.undo[:len(d.undo)-1]
	if c.had {
		d.byID[c.id] = c.before
	} else {
		delete(d.byID, c.id)
	}
	return c.id, true
}

// marked are the tokens with a mark, ascending.
func (d *decisions) marked(m Mark) (ids []int) {
	for id, x := range d.byID {
		if x.Mark == m {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// save returns a function that writes the decisions as they are now. Decisions
// about other checkpoints stay; of two saves the later one wins.
func (d *decisions) save() func() error {
	var all []Decision
	for _, x := range d.byID {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b Decision) int { return a.TokenID - b.TokenID })
	d.seq++
	seq, path, digest, mu, saves := d.seq, d.path, d.digest, d.mu, d.saves
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if seq < *saves {
			return nil
		}
		t, err := ReadTriage(path)
		if err != nil {
			return err
		}
		if t.Checkpoints[digest] = all; len(all) == 0 {
			delete(t.Checkpoints, digest)
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(t); err != nil {
			return err
		}
		if err := atomicfile.Write(path, b.Bytes(), 0o644); err != nil {
			return err
		}
		*saves = seq
		return nil
	}
}
