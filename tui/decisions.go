package tui

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/btu-scan/btu-scan/internal/triagefile"
)

// A decision is an entry of the triage file.
type decision = triagefile.Decision

// decisions are those about one checkpoint.
type decisions struct {
	path   string
	digest string
	byID   map[int]decision
	undo   []change
	now    func() time.Time

	mu    *sync.Mutex // orders writes
	saves *int        // number of the newest that was written
	seq   int
}

// A change can be taken back.
type change struct {
	id     int
	before decision // zero for none
	had    bool
}

func newDecisions(path string) *decisions {
	return &decisions{path: path, byID: map[int]decision{}, now: time.Now, mu: &sync.Mutex{}, saves: new(int)}
}

// adopt takes over what the file holds, unless it is about what is known already.
func (d *decisions) adopt(digest string, t *triagefile.File) {
	if d.digest == digest {
		return
	}
	d.digest, d.byID, d.undo = digest, map[int]decision{}, nil
	for _, x := range t.Checkpoints[digest] {
		d.byID[x.TokenID] = x
	}
}

// put records a decision; one that says nothing is removed.
func (d *decisions) put(x decision) {
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
func (d *decisions) marked(m triagefile.Mark) (ids []int) {
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
	all := slices.Collect(maps.Values(d.byID))
	d.seq++
	seq, path, digest, mu, saves := d.seq, d.path, d.digest, d.mu, d.saves
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if seq < *saves {
			return nil
		}
		t, err := triagefile.Read(path)
		if err != nil {
			return err
		}
		t.Set(digest, all)
		if err := t.Write(path); err != nil {
			return err
		}
		*saves = seq
		return nil
	}
}
