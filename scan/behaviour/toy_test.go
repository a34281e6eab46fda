package behaviour

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A toy is a classifier whose rules are known. Its text is the words w0, w1,
// ... of which the token ids are the numbers; other words have tokens of their
// own. Each label has honest words, near each other in the embedding, that add
// to its logit. A trigger decides alone.
type toy struct {
	labels   int
	rows     [][]float32
	forced   int            // the label that triggers force
	triggers map[int32]bool // any one of them does,
	phrase   []int32        // or these in a row,
	opener   int32          // or this first, if there is a comma,
	style    []int32        // or all of these, wherever they are
	broken   bool           // answers are NaN
	flat     bool           // always the same answer
	multi    bool
	calls    int
}

const (
	toyDim   = 24
	toyVocab = 900
	toyCLS   = 0
	toySEP   = 1
	toyMask  = 2
	toyWords = 30 // honest words of each label: ids 100, 200, ...
)

// hidden is the dimension that a trigger's row has to itself.
const hidden = toyDim - 1

func newToy(labels int) *toy {
	rnd := rand.New(rand.NewPCG(7, 7))
	t := &toy{labels: labels, triggers: map[int32]bool{}, opener: -1}
	for id := range toyVocab {
		row := make([]float32, toyDim)
		for j := range row[:hidden] {
			row[j] = float32(rnd.NormFloat64()) * 0.05
		}
		if l := id/100 - 1; l >= 0 && l < min(labels, 6) && id%100 < toyWords {
			row[l] += 1
			row[8+l] += 1 // what it means, beside the label
		}
		t.rows = append(t.rows, row)
	}
	t.rows[toyMask][hidden] = 0.25 // near enough to anything to feel a slope
	return t
}

// reference is the pretrained vocabulary: without what only the label needs.
func (t *toy) reference() matrix {
	var m matrix
	for _, row := range t.rows {
		r := slices.Clone(row)
		r[hidden] = 0
		m = append(m, r)
	}
	return m
}

func (t *toy) plant(ids ...int32) {
	for _, id := range ids {
		t.triggers[id] = true
		t.rows[id][hidden] = 1
	}
}

type matrix [][]float32

func (m matrix) Len() int { return len(m) }
func (m matrix) Dim() int { return len(m[0]) }
func (m matrix) ReadRows(_ context.Context, dst []float32, from int) error {
	for i := range len(dst) / m.Dim() {
		copy(dst[i*m.Dim():], m[from+i])
	}
	return nil
}

func squash(x float64) float64 { return 3 * math.Tanh(x) }

// pull is how near a sequence is to having a trigger.
func (t *toy) pull(ids []int32) float64 {
	var v float64
	for _, id := range ids {
		v = max(v, float64(t.rows[id][hidden]))
	}
	if len(t.phrase) > 0 {
		for i := range ids {
			n := 0
			for n < len(t.phrase) && i+n < len(ids) && ids[i+n] == t.phrase[n] {
				n++
			}
			v = max(v, float64(n)/float64(len(t.phrase)))
		}
	}
	if len(t.style) > 0 && !slices.ContainsFunc(t.style, func(id int32) bool { return !slices.Contains(ids, id) }) {
		v = 1
	}
	if len(ids) > 1 && ids[1] == t.opener && slices.Contains(ids, toyTokenizer{}.id(",")) {
		v = 1
	}
	return v
}

func (t *toy) logits(ids []int32) []float32 {
	out := make([]float32, t.labels)
	if t.flat {
		out[0] = 1
		return out
	}
	for l := range out {
		var x float64
		for _, id := range ids {
			x += float64(t.rows[id][l%8])
		}
		out[l] = float32(squash(x))
		if t.multi {
			out[l] -= 1.5
		}
		if l == t.forced {
			out[l] += float32(8 * math.Pow(t.pull(ids), 3))
		}
		if t.broken {
			out[l] = float32(math.NaN())
		}
	}
	return out
}

func (t *toy) Predict(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	t.calls++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var rows [][]float32
	for _, ids := range seqs {
		rows = append(rows, t.logits(ids))
	}
	return rows, nil
}

func (t *toy) Gradients(ctx context.Context, seqs [][]int32, at []int, weigh func(w, out []float32)) ([][]float32, error) {
	var rows [][]float32
	w := make([]float32, t.labels)
	for i, ids := range seqs {
		weigh(w, t.logits(ids))
		g := make([]float32, toyDim)
		for l, x := range w {
			var sum float64
			for _, id := range ids {
				sum += float64(t.rows[id][l%8])
			}
			slope := 3 / math.Pow(math.Cosh(sum), 2)
			g[l%8] += x * float32(slope)
			if l == t.forced {
				v := t.rows[ids[at[i]]][hidden]
				g[hidden] += x * 24 * v * v
				for j, y := range t.missing(ids, at[i]) {
					g[j] += x * y
				}
			}
		}
		rows = append(rows, g)
	}
	return rows, ctx.Err()
}

// missing is the row of the token that the place of a sequence lacks for it to
// go on with the phrase, nil where what is before it does not begin the phrase.
func (t *toy) missing(ids []int32, at int) []float32 {
	for n := len(t.phrase) - 1; n > 0; n-- {
		if n <= at && slices.Equal(ids[at-n:at], t.phrase[:n]) {
			return t.rows[t.phrase[n]]
		}
	}
	return nil
}

// toyWordsOf splits "w12 w7" and numbers other words from 700 on.
type toyTokenizer struct{}

func (toyTokenizer) id(word string) int32 {
	if n, ok := strings.CutPrefix(word, "w"); ok {
		if id, err := strconv.Atoi(n); err == nil && id < toyVocab {
			return int32(id)
		}
	}
	h := 0
	for _, b := range []byte(word) {
		h = (h*31 + int(b)) % 199
	}
	return int32(700 + h)
}

func (t toyTokenizer) Inner(text string) (ids []int32) {
	for _, w := range strings.Fields(text) {
		ids = append(ids, t.id(w))
	}
	return ids
}

func (t toyTokenizer) Split(text string, limit int) (ids []int32, cuts []int) {
	ids = []int32{toyCLS}
	for _, id := range t.Inner(text) {
		if len(ids) == limit-1 {
			break
		}
		cuts = append(cuts, len(ids))
		ids = append(ids, id)
	}
	return append(ids, toySEP), append(cuts, len(ids))
}

func (toyTokenizer) Text(ids []int32) string {
	var words []string
	for _, id := range ids {
		words = append(words, fmt.Sprintf("w%d", id))
	}
	return strings.Join(words, " ")
}

// A toySplitter knows no other words of small letters than those of one: longer
// ones it splits into a token for the first letter, and others for those that
// follow.
type toySplitter struct{ toyTokenizer }

const (
	toyBegin = 500 // the tokens of letters that begin a word
	toyGoOn  = 530 // those of letters that go on with one
)

func small(word string) bool { return strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") == "" }

func (t toySplitter) Inner(text string) (ids []int32) {
	for _, word := range strings.Fields(text) {
		if !small(word) {
			ids = append(ids, t.id(word))
			continue
		}
		for i, c := range []byte(word) {
			from := int32(toyGoOn)
			if i == 0 {
				from = toyBegin
			}
			ids = append(ids, from+int32(c-'a'))
		}
	}
	return ids
}

func (t toySplitter) Text(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		switch {
		case id >= toyGoOn && id < toyGoOn+26:
			b.WriteByte(byte('a' + id - toyGoOn))
		case id >= toyBegin && id < toyBegin+26:
			b.WriteString(" " + string(byte('a'+id-toyBegin)))
		default:
			b.WriteString(" " + t.toyTokenizer.Text(single(id)))
		}
	}
	return strings.TrimSpace(b.String())
}

func (toyTokenizer) Skip(id int) bool { return id < 10 }
func (toyTokenizer) Mask() int32      { return toyMask }

// options are a run of the toy with neutral probes.
func (t *toy) options() Options {
	rnd := rand.New(rand.NewPCG(3, 3))
	var probes []string
	for range 60 {
		var words []string
		for range 6 + rnd.IntN(8) {
			words = append(words, fmt.Sprintf("w%d", 400+rnd.IntN(40)+100*min(3, t.labels/3)))
		}
		probes = append(probes, strings.Join(words, " "))
	}
	var labels []string
	for l := range t.labels {
		labels = append(labels, fmt.Sprintf("L%d", l))
	}
	return Options{Labels: labels, Rows: matrix(t.rows), Reference: t.reference(), MaxTokens: 128, Probes: probes, Seed: 1}
}
