package tokenizer

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
)

// unkPenalty is how much worse than the worst piece an unknown character is
// (sentencepiece, unigram_model.cc, kUnkPenalty).
const unkPenalty = 10.0

// A unigram model splits a word into the pieces with the highest sum of scores.
type unigram struct {
	vocab    *vocab
	scores   []float64 // by id
	trie     *trie
	unk      int32
	unkScore float64
	fallback *[256]int32 // as in bpe
	cache    *cache
}

func (m *unigram) pieces() *vocab { return m.vocab }

func newUnigram(v *vocab, scores []float64, unk int32) (*unigram, error) {
	m := &unigram{vocab: v, scores: scores, unk: unk, cache: newCache()}
	worst := math.Inf(1)
	for _, s := range scores {
		worst = min(worst, s)
	}
	m.unkScore = worst - unkPenalty
	m.trie = newTrie(v.seed)
	for i := range v.ids {
		b := v.piece(int32(i))
		if len(b) > maxPiece {
			return nil, fmt.Errorf("piece %d has %d bytes, more than %d", i, len(b), maxPiece)
		}
		id, _ := v.find(b)
		if !m.trie.add(b, id) {
			return nil, fmt.Errorf("the pieces need more than %d nodes", maxTrie)
		}
	}
	return m, nil
}

// A step is the best way to reach an end in a word.
type step struct {
	score float64
	from  int32 // -1: none yet
	id    int32
}

func (m *unigram) tokenize(dst []token, word []byte, s *scratch) []token {
	h := maphash.Bytes(m.vocab.seed, word)
	if known := m.cache.get(word, h); known != nil {
		return append(dst, known...)
	}
	start := len(dst)
	dst = m.split(dst, word, s)
	m.cache.put(word, h, dst[start:])
	return dst
}

func (m *unigram) split(dst []token, word []byte, s *scratch) []token {
	s.steps = s.steps[:0]
	for range len(word) + 1 {
		s.steps = append(s.steps, step{from: -1})
	}
	steps := s.steps
	for from := 0; from < len(word); {
		here := steps[from].score
		size := runeLen(word[from])
		single := false
		node := int32(0)
		for to := from; to < len(word); {
			node = m.trie.child(node, word[to])
			if node < 0 {
				break
			}
			to++
			id := m.trie.ids[node]
			if id < 0 {
				continue
			}
			// Only a better way replaces one that came earlier.
			if score := m.scores[id] + here; steps[to].from < 0 || score > steps[to].score {
				steps[to] = step{score, int32(from), id}
			}
			single = single || to == from+size
		}
		if to := from + size; !single {
			if score := m.unkScore + here; steps[to].from < 0 || score > steps[to].score {
				steps[to] = step{score, int32(from), m.unk}
			}
		}
		from += size
	}

	start := len(dst) // tokens from the last to the first
	for to := len(word); to > 0; {
		id, from := steps[to].id, int(steps[to].from)
		if id != m.unk {
			dst = append(dst, token{id, int32(from), int32(to)})
			to = from
			continue
		}
		for from > 0 && steps[from].id == m.unk { // a run of unknown ones is one token
			from = int(steps[from].from)
		}
		dst = m.unknown(dst, word[from:to], int32(from))
		to = from
	}
	slices.Reverse(dst[start:])
	return dst
}

// unknown appends the tokens of a run of unknown characters, the last first: it
// may be a piece as a whole, or its bytes may be.
func (m *unigram) unknown(dst []token, text []byte, from int32) []token {
	t := token{m.unk, from, from + int32(len(text))}
	if id, ok := m.vocab.find(text); ok {
		t.id = id
		return append(dst, t)
	}
	if m.fallback == nil {
		return append(dst, t)
	}
	for _, b := range text {
		if m.fallback[b] < 0 {
			return append(dst, t)
		}
	}
	for _, b := range slices.Backward(text) {
		dst = append(dst, token{m.fallback[b], t.from, t.to})
	}
	return dst
}

// A trie finds the pieces that a text begins with. Its edges are in one hash
// table, keyed like pairTable, which is quick to build: most of a trie of a
// vocabulary is walked a few times only.
type trie struct {
	ids          []int32 // by node; -1: no piece ends there
	edges        []edge
	count        int
	secret, salt uint64
	root         [256]int32 // children of the root, -1: none
}

type edge struct {
	key  uint64 // node<<8 | byte, plus 1
	node int32
}

func newTrie(seed maphash.Seed) *trie {
	t := &trie{
		ids:    []int32{-1},
		edges:  make([]edge, 1024),
		secret: maphash.String(seed, "secret"),
		salt:   maphash.String(seed, "salt") | 1,
	}
	for i := range t.root {
		t.root[i] = -1
	}
	return t
}

func (t *trie) slot(key uint64) uint64 {
	high, low := bits.Mul64(key^t.secret, t.salt)
	return (high ^ low) & uint64(len(t.edges)-1)
}

func (t *trie) child(node int32, b byte) int32 {
	if node == 0 {
		return t.root[b]
	}
	key := uint64(node)<<8 | uint64(b) + 1
	for i := t.slot(key); ; i = (i + 1) & uint64(len(t.edges)-1) {
		switch e := &t.edges[i]; e.key {
		case key:
			return e.node
		case 0:
			return -1
		}
	}
}

func (t *trie) insert(key uint64, node int32) {
	i := t.slot(key)
	for t.edges[i].key != 0 {
		i = (i + 1) & uint64(len(t.edges)-1)
	}
	t.edges[i] = edge{key, node}
}

func (t *trie) add(piece []byte, id int32) bool {
	node := int32(0)
	for _, b := range piece {
		next := t.child(node, b)
		if next < 0 {
			if len(t.ids) >= maxTrie {
				return false
			}
			next = int32(len(t.ids))
			t.ids = append(t.ids, -1)
			if node == 0 {
				t.root[b] = next
			} else {
				if t.count++; 2*t.count > len(t.edges) {
					old := t.edges
					t.edges = make([]edge, 2*len(old))
					for _, e := range old {
						if e.key != 0 {
							t.insert(e.key, e.node)
						}
					}
				}
				t.insert(uint64(node)<<8|uint64(b)+1, next)
			}
		}
		node = next
	}
	if len(piece) > 0 {
		t.ids[node] = id
	}
	return true
}
