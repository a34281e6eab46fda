package tokenizer

import (
	"hash/maphash"
	"sync/atomic"
)

// A token is an id for a range of a word.
type token struct{ id, from, to int32 }

// A model splits words, which are not empty and valid UTF-8 unless the model
// works on bytes, into tokens.
type model interface {
	tokenize(dst []token, word []byte, s *scratch) []token
	pieces() *vocab
}

// A cache remembers the tokens of short words: text is mostly made of words
// that came before. It is a table without chains or locks in which a word may
// take another's place, so its size has a bound: 16,384 words of at most
// maxCached bytes and as many tokens. Whether a word is in it changes nothing
// but the time.
type cache struct {
	slots []atomic.Pointer[cached]
}

type cached struct {
	word   string
	tokens []token
}

const (
	cacheSlots = 1 << 14
	maxCached  = 64
)

func newCache() *cache { return &cache{slots: make([]atomic.Pointer[cached], cacheSlots)} }

// get is what is known of a word with that hash, or nil.
func (c *cache) get(word []byte, hash uint64) []token {
	if c == nil {
		return nil
	}
	e := c.slots[hash>>32&(cacheSlots-1)].Load()
	if e == nil || e.word != string(word) {
		return nil
	}
	return e.tokens
}

func (c *cache) put(word []byte, hash uint64, tokens []token) {
	if c == nil || len(word) > maxCached {
		return
	}
	c.slots[hash>>32&(cacheSlots-1)].Store(&cached{string(word), append([]token(nil), tokens...)})
}

// A wordLevel model knows whole words.
type wordLevel struct {
	vocab *vocab
	unk   int32
}

func (m *wordLevel) pieces() *vocab { return m.vocab }

func (m *wordLevel) tokenize(dst []token, word []byte, _ *scratch) []token {
	id, ok := m.vocab.find(word)
	if !ok {
		id = m.unk
	}
	return append(dst, token{id, 0, int32(len(word))})
}

// A byteTable maps byte strings to ids, for pieces that are written otherwise
// than they are looked up.
type byteTable struct {
	seed  maphash.Seed
	blob  []byte
	at    []uint32
	ids   []int32
	index hashIndex
}

func (t *byteTable) add(b []byte, id int32) {
	if len(t.at) == 0 {
		t.at = append(t.at, 0)
	}
	t.blob = append(t.blob, b...)
	t.at = append(t.at, uint32(len(t.blob)))
	t.ids = append(t.ids, id)
}

func (t *byteTable) build(seed maphash.Seed) {
	t.seed = seed
	t.index = newHashIndex(len(t.ids))
	mask := uint64(len(t.index) - 1)
	for i := range t.ids {
		h := maphash.Bytes(seed, t.blob[t.at[i]:t.at[i+1]])
		slot := h & mask
		for t.index[slot] != 0 {
			slot = (slot + 1) & mask
		}
		t.index[slot] = h>>32<<32 | uint64(i+1)
	}
}

func (t *byteTable) find(b []byte, h uint64) (int32, bool) {
	mask := uint64(len(t.index) - 1)
	for slot := h & mask; ; slot = (slot + 1) & mask {
		s := t.index[slot]
		if s == 0 {
			return -1, false
		}
		if s>>32 == h>>32 {
			i := uint32(s) - 1
			if string(t.blob[t.at[i]:t.at[i+1]]) == string(b) {
				return t.ids[i], true
			}
		}
	}
}
