package tui

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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

// marked are the tokens with a mark that counts, ascending.
func (d *decisions) marked(m triagefile.Mark) (ids []int) {
	for id, x := range d.byID {
		if x.Counts(d.now()) == m {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Of a token there is no decision, one, or one that has expired.
const (
	stateNone = iota
	stateDecided
	stateExpired
)

func (d *decisions) state(id int) int {
	x, ok := d.byID[id]
	switch {
	case !ok:
		return stateNone
	case x.Expired(d.now()):
		return stateExpired
	}
	return stateDecided
}

// sign is the symbol of what was decided about a token.
func (d *decisions) sign(id int) string {
	x := d.byID[id]
	switch {
	case x.Expired(d.now()):
		return "e"
	case x.Mark == triagefile.MarkTrigger:
		return "T"
	case x.Mark == triagefile.MarkBenign:
		return "b"
	case x.Mark == triagefile.MarkUnsure:
		return "?"
	}
	return " "
}

// said is what was decided about a token, "" for nothing.
func (d *decisions) said(id int) string {
	x, ok := d.byID[id]
	if !ok {
		return ""
	}
	mark := orElse(string(x.Mark), "only a note")
	switch {
	case x.Expired(d.now()):
		return "you said " + mark + ", which expired on " + string(x.Expires) + " and does not count"
	case x.Expires != "":
		return "you say " + mark + ", until " + string(x.Expires)
	}
	return "you say " + mark
}

// maxExpiry is how many days ahead a decision may expire.
const maxExpiry = 36500

// expiry reads until when a decision counts: a day that is not over, or a number
// of days from now, such as 90d; nothing or never for no end.
func expiry(s string, now time.Time) (triagefile.Date, error) {
	s = strings.TrimSpace(s)
	if s == "never" {
		s = ""
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.Atoi(n)
		if err != nil || days < 0 || days > maxExpiry {
			return "", fmt.Errorf("no number of days such as 90d: %q", s)
		}
		return triagefile.DateOf(now.AddDate(0, 0, days)), nil
	}
	date, err := triagefile.ParseDate(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("no date such as 2026-12-31, no days such as 90d: %q", s)
	case date != "" && date < triagefile.DateOf(now):
		return "", fmt.Errorf("%s is over", date)
	}
	return date, nil
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
