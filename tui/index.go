package tui

import (
	"math"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// An index holds rows in every order that a table is sorted by. It is made in the
// background and not changed: a key press walks it once.
type index struct {
	rows    []scan.Suspect
	class   []class
	at      map[int]int32 // row by token id
	orders  [columnCount][]int32
	text    string // the tokens in lower case, each with a NUL behind
	ends    []int32
	all     bool // rows are the whole vocabulary's
	present [classes]bool

	// Beside each other, so that a walk over all rows does not wait for memory.
	ids      []int
	status   []uint8 // index in statuses
	seen     []bool
	abnormal int

	logs           []float64 // of the movement, NaN where there is none
	lowest, widest float64   // bounds of logs
}

// newIndex merges the rows of the vocabulary, if they are known, with the
// suspects of a report, which know more.
func newIndex(rows []scan.Suspect, suspects []scan.Suspect) *index {
	x := &index{all: len(rows) > 0, at: map[int]int32{}}
	x.rows = slices.Clone(rows)
	for i := range x.rows {
		x.at[x.rows[i].TokenID] = int32(i)
	}
	for _, s := range suspects {
		if i, ok := x.at[s.TokenID]; ok {
			x.rows[i] = s
			continue
		}
		x.at[s.TokenID] = int32(len(x.rows))
		x.rows = append(x.rows, s)
	}
	x.class = make([]class, len(x.rows))
	x.logs = make([]float64, len(x.rows))
	x.ends = make([]int32, len(x.rows))
	x.lowest, x.widest = math.Inf(1), math.Inf(-1)
	var text strings.Builder
	x.ids, x.status, x.seen = make([]int, len(x.rows)), make([]uint8, len(x.rows)), make([]bool, len(x.rows))
	for i := range x.rows {
		s := &x.rows[i]
		x.ids[i], x.seen[i], x.status[i] = s.TokenID, s.Weights.Seen, statusCode(s.Status)
		if s.Status == scan.StatusAbnormal {
			x.abnormal++
		}
		x.class[i] = classOf(s.Token)
		x.present[x.class[i]] = true
		text.WriteString(strings.ToLower(strings.ReplaceAll(s.Token, "\x00", "")))
		text.WriteByte(0)
		x.ends[i] = int32(text.Len())
		x.logs[i] = math.NaN()
		if m := s.Weights.Movement; m > 0 && !math.IsInf(m, 0) {
			x.logs[i] = math.Log10(m)
			x.lowest, x.widest = min(x.lowest, x.logs[i]), max(x.widest, x.logs[i])
		}
	}
	x.text = text.String()
	for c := range columnCount {
		x.orders[c] = x.sorted(c)
	}
	return x
}

// with is the index that also knows what tokens were seen to do; what a report
// says of that stays.
func (x *index) with(tried map[int]scan.Behaviour) *index {
	if len(tried) == 0 {
		return x
	}
	y := *x
	y.rows = slices.Clone(x.rows)
	for id, b := range tried {
		if i, ok := x.at[id]; ok && y.rows[i].Behaviour == nil {
			y.rows[i].Behaviour = &b
		}
	}
	y.orders[columnFlip] = y.sorted(columnFlip)
	return &y
}

// sorted is the order of the rows by a column, the natural direction first.
func (x *index) sorted(c column) []int32 {
	order := make([]int32, len(x.rows))
	for i := range order {
		order[i] = int32(i)
	}
	ids := x.ids
	if c == columnToken {
		lower := make([]string, len(x.rows))
		for i := range lower {
			lower[i] = x.lower(int32(i))
		}
		slices.SortFunc(order, func(a, b int32) int {
			if c := strings.Compare(lower[a], lower[b]); c != 0 {
				return c
			}
			return ids[a] - ids[b]
		})
		return order
	}
	keys := make([]float64, len(x.rows))
	for i := range keys {
		if keys[i] = c.value(&x.rows[i]); math.IsNaN(keys[i]) {
			keys[i] = math.Inf(-1)
		}
		if c.ascending() {
			keys[i] = -keys[i]
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		switch p, q := keys[a], keys[b]; {
		case p > q:
			return -1
		case p < q:
			return 1
		}
		return ids[a] - ids[b]
	})
	return order
}

// lower is a row's token in lower case.
func (x *index) lower(i int32) string {
	from := int32(0)
	if i > 0 {
		from = x.ends[i-1]
	}
	return x.text[from : x.ends[i]-1]
}

// holding reports by row whether its token holds a text.
func (x *index) holding(query string) []bool {
	match := make([]bool, len(x.rows))
	query = strings.ToLower(query)
	row, from := 0, 0
	for {
		at := strings.Index(x.text[from:], query)
		if at < 0 {
			return match
		}
		at += from
		for int(x.ends[row]) <= at {
			row++
		}
		match[row] = true
		from = int(x.ends[row])
	}
}

// A filter says which rows are shown.
type filter struct {
	text   string
	status scan.SuspectStatus // "" for any
	seen   int                // 0 any, 1 seen, 2 unseen
	class  class
	marked int // 0 any, or one of those below
}

// What filter.marked asks for: the states of decisions, and what is not decided
// or not any more.
const (
	markedDecided   = stateDecided
	markedExpired   = stateExpired
	markedUndecided = 3
	markedStates    = 4
)

func (f filter) any() bool { return f == filter{} }

// statuses are what a filter can ask for; the first is any, the last is a status
// that is none of them.
var statuses = []scan.SuspectStatus{"", scan.StatusAbnormal, scan.StatusBorderline, scan.StatusNatural, scan.StatusNeutral}

func statusCode(s scan.SuspectStatus) uint8 {
	if i := slices.Index(statuses, s); i > 0 {
		return uint8(i)
	}
	return uint8(len(statuses))
}

// view appends the rows that pass to view, in an order.
func (x *index) view(view []int32, c column, reverse bool, f filter, decided *decisions) []int32 {
	order := x.orders[c]
	var match []bool
	if f.text != "" {
		match = x.holding(f.text)
	}
	status := uint8(0)
	if f.status != "" {
		status = statusCode(f.status)
	}
	for k := range order {
		i := order[k]
		if reverse {
			i = order[len(order)-1-k]
		}
		if match != nil && !match[i] || status > 0 && x.status[i] != status || f.seen > 0 && x.seen[i] != (f.seen == 1) || f.class != classAny && x.class[i] != f.class {
			continue
		}
		if f.marked > 0 {
			if s := decided.state(x.ids[i]); f.marked != markedUndecided && s != f.marked || f.marked == markedUndecided && s == stateDecided {
				continue
			}
		}
		view = append(view, i)
	}
	return view
}
