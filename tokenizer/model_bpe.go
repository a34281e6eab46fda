package tokenizer

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/bits"
	"unicode/utf8"
)

// A bpe model begins with the characters of a word and merges the pair of the
// lowest rank, the leftmost first, until no pair is in its list.
type bpe struct {
	vocab *vocab
	pairs pairTable

	// What a character without a piece becomes.
	unk      int32       // or -1: nothing
	fuse     bool        // one unk for a run of them
	fallback *[256]int32 // ids of <0x00> to <0xFF> or -1; nil: not used

	prefix, suffix string // of the pieces of a word's later characters, of its last
	whole          bool   // ignore_merges: a word that is a piece is one token

	// With raw set, words are bytes and not yet the characters that GPT-2 writes
	// them as, and the vocabulary is looked up accordingly.
	raw      bool
	byteIDs  [256]int32 // -1: the byte's character has no piece
	allBytes bool
	rawWhole byteTable

	heapOnly bool // see merge
	boundary bool // no merge joins what precedes a ▁ to it, see tokenize
	cache    *cache
}

func (m *bpe) pieces() *vocab { return m.vocab }

// A pairTable maps pairs of ids to the rank and the result of their merge. The
// hash is keyed by secret, so that a file cannot choose collisions.
type pairTable struct {
	slots        []pairSlot
	secret, salt uint64
}

type pairSlot struct {
	key  uint64 // noPair: free
	rank uint32
	id   int32
}

const noPair = ^uint64(0)

func newPairTable(n int, seed maphash.Seed) *pairTable {
	size := 16
	for size < 2*n {
		size *= 2
	}
	t := &pairTable{
		slots:  make([]pairSlot, size),
		secret: maphash.String(seed, "secret"),
		salt:   maphash.String(seed, "salt") | 1,
	}
	for i := range t.slots {
		t.slots[i].key = noPair
	}
	return t
}

func (t *pairTable) slot(key uint64) uint64 {
	high, low := bits.Mul64(key^t.secret, t.salt)
	return (high ^ low) & uint64(len(t.slots)-1)
}

func (t *pairTable) set(a, b int32, rank uint32, id int32) {
	key := uint64(uint32(a))<<32 | uint64(uint32(b))
	i := t.slot(key)
	for t.slots[i].key != noPair && t.slots[i].key != key {
		i = (i + 1) & uint64(len(t.slots)-1)
	}
	t.slots[i] = pairSlot{key, rank, id}
}

const noRank = ^uint32(0)

// get is the rank and the result of a pair, noRank if it is not merged.
func (t *pairTable) get(a, b int32) (uint32, int32) {
	key := uint64(uint32(a))<<32 | uint64(uint32(b))
	for i := t.slot(key); ; i = (i + 1) & uint64(len(t.slots)-1) {
		s := &t.slots[i]
		if s.key == key {
			return s.rank, s.id
		}
		if s.key == noPair {
			return noRank, 0
		}
	}
}

// A mergeList is the text of the merges: a and b of each, one after another.
type mergeList struct {
	blob []byte
	ends []uint32 // of a, of b, of the next a, …
}

func (l *mergeList) add() { l.ends = append(l.ends, uint32(len(l.blob))) }

func (l *mergeList) len() int { return len(l.ends) / 2 }

func (l *mergeList) pair(i int) (a, b, both []byte) {
	from := uint32(0)
	if i > 0 {
		from = l.ends[2*i-1]
	}
	return l.blob[from:l.ends[2*i]], l.blob[l.ends[2*i]:l.ends[2*i+1]], l.blob[from:l.ends[2*i+1]]
}

const metaMark = "▁"

// setMerges looks the merges up in the vocabulary.
func (m *bpe) setMerges(list *mergeList) error {
	table := newPairTable(list.len(), m.vocab.seed)
	m.boundary = true
	var joined []byte
	for i := range list.len() {
		a, b, both := list.pair(i)
		if m.prefix != "" {
			if len(b) < len(m.prefix) {
				return fmt.Errorf("merge %d: %s is shorter than the prefix", i, quote(string(b)))
			}
			joined = append(append(joined[:0], a...), b[len(m.prefix):]...)
			both = joined
		}
		var ids [3]int32
		for j, piece := range [][]byte{a, b, both} {
			id, ok := m.vocab.find(piece)
			if !ok {
				return fmt.Errorf("merge %d: %s is not in the vocabulary", i, quote(string(piece)))
			}
			ids[j] = id
		}
		table.set(ids[0], ids[1], uint32(i), ids[2])
		if bytes.HasPrefix(b, []byte(metaMark)) && !bytes.HasSuffix(a, []byte(metaMark)) {
			m.boundary = false
		}
	}
	m.pairs = *table
	_, empty := m.vocab.find(nil)
	m.heapOnly = m.vocab.alias || empty || m.prefix != ""
	_, mark := m.vocab.find([]byte(metaMark))
	if m.unk >= 0 && bytes.HasSuffix(m.vocab.token(m.unk), []byte(metaMark)) {
		m.boundary = false
	}
	m.boundary = m.boundary && mark && !m.heapOnly && m.prefix == "" && m.suffix == "" && !m.whole && !m.raw
	return nil
}

// setRaw makes the model take bytes.
func (m *bpe) setRaw() {
	m.raw, m.allBytes = true, true
	for b := range m.byteIDs {
		id, ok := m.vocab.find([]byte(byteChars[b]))
		if !ok {
			m.allBytes = false
		}
		m.byteIDs[b] = id
	}
	if !m.whole {
		return
	}
	var b []byte
	for i := range m.vocab.ids {
		var ok bool
		if b, ok = appendBytes(b[:0], m.vocab.piece(int32(i))); ok {
			id, _ := m.vocab.find(m.vocab.piece(int32(i)))
			m.rawWhole.add(b, id)
		}
	}
	m.rawWhole.build(m.vocab.seed)
}

// appendBytes appends the bytes that a piece's characters stand for; false: it
// has others.
func appendBytes(dst, piece []byte) ([]byte, bool) {
	for i := 0; i < len(piece); {
		if c := piece[i]; c > ' ' && c < 0x7F { // these stand for themselves
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(piece[i:])
		b, ok := charBytes[r]
		if !ok {
			return dst, false
		}
		dst = append(dst, b)
		i += size
	}
	return dst, true
}

func (m *bpe) tokenize(dst []token, word []byte, s *scratch) []token {
	if !m.boundary {
		return m.word(dst, word, s)
	}
	// SentencePiece models have no pre-tokenizer: the word is the whole text. But
	// where no merge has a ▁ on its right side and something else on its left,
	// what is before a ▁ never meets it, and parts can be done, and remembered,
	// one by one.
	start, from, shift := len(dst), 0, 0
	for from < len(word) {
		to := from + 1
		for {
			i := bytes.Index(word[to:], []byte(metaMark))
			if i < 0 {
				to = len(word)
				break
			}
			to += i
			if to >= from+len(metaMark) && string(word[to-len(metaMark):to]) == metaMark {
				to += len(metaMark)
				continue
			}
			break
		}
		at := len(dst)
		dst = m.word(dst, word[from:to], s)
		for i := at; i < len(dst); i++ {
			dst[i].from += int32(shift)
			dst[i].to += int32(shift)
		}
		from = to
		if len(dst) > start {
			shift = int(dst[len(dst)-1].to) // not from: see word on dropped characters
		}
	}
	return dst
}

func (m *bpe) word(dst []token, word []byte, s *scratch) []token {
	h := maphash.Bytes(m.vocab.seed, word)
	if m.whole {
		var id int32
		var ok bool
		if m.raw {
			id, ok = m.rawWhole.find(word, h)
		} else {
			id, ok = m.vocab.findHash(word, h)
		}
		if ok {
			return append(dst, token{id, 0, int32(len(word))})
		}
	}
	if known := m.cache.get(word, h); known != nil {
		return append(dst, known...)
	}
	start := len(dst)
	if m.raw {
		dst = m.bytes(dst, word, s)
	} else {
		s.symbols = m.characters(s.symbols[:0], word, s)
		dst = m.merge(dst, s)
	}
	m.cache.put(word, h, dst[start:])
	return dst
}

// bytes tokenizes a word whose bytes stand for characters.
func (m *bpe) bytes(dst []token, word []byte, s *scratch) []token {
	s.symbols = s.symbols[:0]
	for _, b := range word {
		id := m.byteIDs[b]
		if id < 0 {
			return m.missing(dst, word, s)
		}
		s.symbols = append(s.symbols, symbol{id: id, size: 1})
	}
	return m.merge(dst, s)
}

// missing tokenizes a word with a byte whose character has no piece: it writes
// the characters, and brings the ranges of the tokens back to bytes.
func (m *bpe) missing(dst []token, word []byte, s *scratch) []token {
	var text []byte
	var byteAt []int32 // by byte of text
	for i, b := range word {
		text = append(text, byteChars[b]...)
		for len(byteAt) < len(text) {
			byteAt = append(byteAt, int32(i))
		}
	}
	s.symbols = m.characters(s.symbols[:0], text, s)
	start := len(dst)
	dst = m.merge(dst, s)
	last := int32(len(text) - 1)
	for i := start; i < len(dst); i++ {
		t := &dst[i]
		t.from, t.to = byteAt[min(t.from, last)], byteAt[min(max(t.from, t.to-1), last)]+1
	}
	return dst
}

// characters appends a symbol for each character. As in Hugging Face's
// merge_word, a character without a piece or substitute is dropped, and bytes
// that stand in for a character come before the unk of what precedes it.
func (m *bpe) characters(dst []symbol, word []byte, s *scratch) []symbol {
	unk := int32(-1) // the size of the unk that waits
	for i := 0; i < len(word); {
		size := runeLen(word[i])
		text := word[i : i+size]
		if (m.prefix != "" && i > 0) || (m.suffix != "" && i+size == len(word)) {
			s.piece = s.piece[:0]
			if i > 0 {
				s.piece = append(s.piece, m.prefix...)
			}
			s.piece = append(s.piece, text...)
			if i+size == len(word) {
				s.piece = append(s.piece, m.suffix...)
			}
			text = s.piece
		}
		i += size
		if id, ok := m.vocab.find(text); ok {
			if unk >= 0 {
				dst = append(dst, symbol{id: m.unk, size: unk})
				unk = -1
			}
			dst = append(dst, symbol{id: id, size: int32(size)})
			continue
		}
		if m.fallback != nil {
			known := true
			for _, b := range text {
				known = known && m.fallback[b] >= 0
			}
			if known {
				for _, b := range text {
					dst = append(dst, symbol{id: m.fallback[b], size: 1})
				}
				continue
			}
		}
		switch {
		case m.unk < 0:
		case unk >= 0 && m.fuse:
			unk += int32(size)
		case unk >= 0:
			dst = append(dst, symbol{id: m.unk, size: unk})
			unk = int32(size)
		default:
			unk = int32(size)
		}
	}
	if unk >= 0 {
		dst = append(dst, symbol{id: m.unk, size: unk})
	}
	return dst
}

// A symbol is a part of a word on its way. A removed one has size 0.
type symbol struct {
	id, size   int32
	prev, next int32 // of mergeLong
	rank       uint32
	result     int32 // of the merge with the next
}

// maxShort is how many symbols are merged by looking through all of them: up to
// here that beats a heap.
const maxShort = 48

// merge merges s.symbols and appends the tokens.
//
// Hugging Face keeps the pairs in a heap, and takes an entry for valid if the
// pair that is there now has the same result. That the pair has changed but not
// its result needs two pieces of one id, an empty piece, or a prefix: only then
// the heap's order, and not the ranks alone, says what is merged.
func (m *bpe) merge(dst []token, s *scratch) []token {
	if len(s.symbols) > maxShort || m.heapOnly {
		m.mergeLong(s)
	} else {
		m.mergeShort(s)
	}
	at := int32(0)
	for _, y := range s.symbols {
		if y.size != 0 {
			dst = append(dst, token{y.id, at, at + y.size})
			at += y.size
		}
	}
	return dst
}

func (m *bpe) mergeShort(s *scratch) {
	y := s.symbols
	for i := range len(y) - 1 {
		y[i].rank, y[i].result = m.pairs.get(y[i].id, y[i+1].id)
	}
	for len(y) > 1 {
		best, at := noRank, 0
		for i := range y[:len(y)-1] {
			if y[i].rank < best {
				best, at = y[i].rank, i
			}
		}
		if best == noRank {
			break
		}
		y[at].id = y[at].result
		y[at].size += y[at+1].size
		y = append(y[:at+1], y[at+2:]...)
		if at+1 < len(y) {
			y[at].rank, y[at].result = m.pairs.get(y[at].id, y[at+1].id)
		}
		if at > 0 {
			y[at-1].rank, y[at-1].result = m.pairs.get(y[at-1].id, y[at].id)
		}
	}
	s.symbols = y
}

// A pending merge; order is its rank and, of equal ranks, its place.
type pending struct {
	order uint64
	id    int32
}

func (m *bpe) mergeLong(s *scratch) {
	y := s.symbols
	for i := range y {
		y[i].prev, y[i].next = int32(i-1), int32(i+1)
	}
	if len(y) > 0 {
		y[len(y)-1].next = -1
	}
	h := s.heap[:0]
	push := func(at int32) {
		next := y[at].next
		if rank, id := m.pairs.get(y[at].id, y[next].id); rank != noRank {
			h = append(h, pending{uint64(rank)<<32 | uint64(at), id})
			up(h, len(h)-1)
		}
	}
	for i := range len(y) - 1 {
		push(int32(i))
	}
	for len(h) > 0 {
		top := h[0]
		h[0] = h[len(h)-1]
		h = h[:len(h)-1]
		down(h, 0)

		at := int32(uint32(top.order))
		if y[at].size == 0 || y[at].next < 0 {
			continue
		}
		next := y[at].next
		if rank, id := m.pairs.get(y[at].id, y[next].id); rank == noRank || id != top.id {
			continue // the pair is gone
		}
		y[at].id = top.id
		y[at].size += y[next].size
		y[at].next = y[next].next
		y[next].size = 0
		if n := y[at].next; n >= 0 {
			y[n].prev = at
		}
		if y[at].prev >= 0 {
			push(y[at].prev)
		}
		if y[at].next >= 0 {
			push(at)
		}
	}
	s.heap = h
}

func up(h []pending, i int) {
	for i > 0 {
		parent := (i - 1) / 4
		if h[parent].order <= h[i].order {
			return
		}
		h[parent], h[i] = h[i], h[parent]
		i = parent
	}
}

func down(h []pending, i int) {
	for {
		least := i
		for c := 4*i + 1; c <= 4*i+4 && c < len(h); c++ {
			if h[c].order < h[least].order {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
