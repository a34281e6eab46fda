package behaviour

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/btu-scan/btu-scan/internal/kernel"
	"github.com/btu-scan/btu-scan/scan"
)

// Sizes of the search for words of several pieces. With more than two answers each
// has its share of the first three.
const (
	slotProbes   = 4   // whose gradients are averaged at the place of one piece
	slotPieces   = 8   // that are tried there
	piecesGrown  = 4   // words for each answer whose pieces are exchanged, and that get longer
	piecesMost   = 3   // of a word: more of them are adversarial words, on clean models as well
	piecesProbes = 2   // tell which words are worth a race
	piecesRaced  = 160 // words
)

// A slot is a place in a word of which the other pieces are given.
type slot struct {
	word   []int32 // any token stands at the place
	at     int
	answer int
}

// pieces looks for words that the tokenizer splits: rare ones, such as attackers
// choose, whose pieces do nothing one by one and whose rows may never have
// moved. All words of two letters are tried. Longer ones grow from the letters,
// and from the tokens that do most alone, by the gradient at the place of one
// piece with the others there (HotFlip, as in screen), piece after piece.
func (r *run) pieces() error {
	if len(r.contest) == 0 || len(r.answers) > fewAnswers {
		return nil
	}
	letters := r.letters()
	if len(letters) == 0 {
		return nil
	}
	going := r.goingOn(letters[0])
	var slots []slot
	for a := range r.answers {
		for _, id := range letters {
			slots = append(slots, slot{[]int32{id, id}, 1, a})
		}
	}
	longer, err := r.fill(slots, going)
	if err != nil {
		return err
	}
	if err := r.raceMany(append(r.shortWords(), longer...)); err != nil {
		return err
	}
	if longer, err = r.fill(r.grown(), going); err != nil {
		return err
	}
	if err := r.raceMany(longer); err != nil {
		return err
	}
	return r.shorten()
}

// raceMany lets those of many candidates race that do most in the first few
// probes.
func (r *run) raceMany(cs []*candidate) error {
	slices.SortStableFunc(cs, func(x, y *candidate) int { return slices.Compare(x.ids, y.ids) })
	cs = slices.Compact(cs)
	if err := r.enter(cs, piecesProbes); err != nil {
		return err
	}
	slices.SortStableFunc(cs, func(x, y *candidate) int { return cmp.Compare(y.prospect(), x.prospect()) })
	return r.race(cs[:min(len(cs), piecesRaced)])
}

// shorten tries the words that win without their first or last piece.
func (r *run) shorten() error {
	var cs []*candidate
	for _, c := range r.order {
		b := c.best()
		if c.source != "pieces" || len(c.ids) < 3 || b < 0 || c.asked < min(24, len(r.contest)) || c.effect[b].rate() < enough {
			continue
		}
		for _, part := range [][]int32{c.ids[1:], c.ids[:len(c.ids)-1]} {
			if r.isWord(part) {
				cs = append(cs, r.add(part, "pieces", anywhere))
			}
		}
	}
	return r.enter(cs, len(r.contest))
}

// letters are the tokens of single letters that begin a word.
func (r *run) letters() (ids []int32) {
	for c := 'a'; c <= 'z'; c++ {
		if w := r.tok.Inner(string(c)); len(w) == 1 {
			ids = append(ids, w[0])
		}
	}
	return ids
}

// shortWords are the words of two letters that have several pieces.
func (r *run) shortWords() (cs []*candidate) {
	for c := 'a'; c <= 'z'; c++ {
		for d := 'a'; d <= 'z'; d++ {
			if w := r.tok.Inner(string([]rune{c, d})); len(w) > 1 {
				cs = append(cs, r.add(w, "pieces", anywhere))
			}
		}
	}
	return cs
}

// goingOn are the tokens that go on with a word which the given one begins, of
// letters and digits alone.
func (r *run) goingOn(first int32) map[int32]bool {
	head := r.tok.Text(single(first))
	going := map[int32]bool{}
	for id := range int32(r.opt.Rows.Len()) {
		if r.tok.Skip(int(id)) {
			continue
		}
		tail, ok := strings.CutPrefix(r.tok.Text([]int32{first, id}), head)
		if ok && tail != "" && !strings.ContainsFunc(tail, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
			going[id] = true
		}
	}
	return going
}

// fill returns for each slot the words that would help its answer most, to
// first order.
func (r *run) fill(slots []slot, going map[int32]bool) (cs []*candidate, err error) {
	grads := make([][]float32, len(slots))
	neutral := r.neutral()
	for i, s := range slots {
		var seqs [][]int32
		var at []int
		for k, p := range losing(r.contest, s.answer, r.share(slotProbes, 2)) {
			word := slices.Clone(s.word)
			word[s.at] = neutral[k%len(neutral)]
			cut := p.at[anywhere]
			seqs, at = append(seqs, p.with(word, cut)), append(at, cut+s.at)
		}
		if len(seqs) == 0 {
			continue
		}
		if grads[i], err = r.gradients(seqs, at, r.answers[s.answer]); err != nil {
			return nil, err
		}
	}
	tops, n := make([][]scored, len(slots)), r.share(slotPieces, 3)
	err = scan.EachRow(r.ctx, r.opt.Rows, func(id int, row []float32) {
		if r.tok.Skip(id) {
			return
		}
		on := going[int32(id)]
		for i, g := range grads {
			if on != (slots[i].at > 0) || len(g) != len(row) {
				continue
			}
			if s := kernel.Dot(g, row); s-s == 0 {
				tops[i] = highest(tops[i], scored{int32(id), s}, n)
			}
		}
	})
	for i, s := range slots {
		for _, top := range tops[i] {
			word := slices.Clone(s.word)
			word[s.at] = top.id
			if r.isWord(word) {
				cs = append(cs, r.add(word, "pieces", anywhere))
			}
		}
	}
	return cs, err
}

// isWord reports whether tokens are what the tokenizer makes of a single word.
func (r *run) isWord(ids []int32) bool {
	text := r.tok.Text(ids)
	return !strings.ContainsFunc(text, unicode.IsSpace) && slices.Equal(r.tok.Inner(text), ids)
}

// grown are the slots of the words of pieces that do most for each answer: each
// piece anew, and one more.
func (r *run) grown() (slots []slot) {
	for a := range r.answers {
		var words [][]int32
		var scores []float64
		for _, c := range r.order {
			if c.source == "pieces" && c.effect[a].n > 0 {
				words, scores = append(words, c.ids), append(scores, c.effect[a].mean())
			}
		}
		for _, w := range highestOf(words, scores, r.share(piecesGrown, 2)) {
			for at := range w {
				slots = append(slots, slot{w, at, a})
			}
			if len(w) < piecesMost {
				slots = append(slots, slot{append(slices.Clone(w), w[0]), len(w), a})
			}
		}
	}
	return slots
}
