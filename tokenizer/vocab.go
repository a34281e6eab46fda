package tokenizer

import (
	"bytes"
	"fmt"
	"hash/maphash"
)

// Limits of what a file may ask for. The largest public vocabularies have
// about 260,000 pieces, of at most a few hundred bytes.
const (
	maxTokens = 4 << 20 // ids and pieces
	maxPiece  = 1 << 10 // bytes of a piece of Unigram
	maxTrie   = 8 << 20 // nodes of a Unigram trie
)

// A vocab maps pieces to ids and back. Pieces lie one after another in blob.
// The hash is seeded per process, so that a file cannot choose collisions;
// nothing that a caller sees depends on it.
type vocab struct {
	blob []byte
	at   []uint32 // entry i is blob[at[i]:at[i+1]]
	ids  []int32  // by entry
	byID []int32  // entry+1 by id; 0: the id has no piece

	seed  maphash.Seed
	index hashIndex
	size  int // distinct pieces
	alias bool
}

// A hashIndex is an open-addressing table of entries; a slot holds the high
// half of the hash and entry+1.
type hashIndex []uint64

func newHashIndex(n int) hashIndex {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return make(hashIndex, size)
}

func (v *vocab) piece(entry int32) []byte { return v.blob[v.at[entry]:v.at[entry+1]] }

// add gives an id to the bytes appended to blob since the last call.
func (v *vocab) add(id int64) error {
	if id < 0 || id >= maxTokens {
		return fmt.Errorf("token id %d is not below the limit of %d", id, maxTokens)
	}
	if len(v.ids) >= maxTokens {
		return fmt.Errorf("more than %d pieces", maxTokens)
	}
	if len(v.at) == 0 {
		v.at = append(v.at, 0)
	}
	v.at = append(v.at, uint32(len(v.blob)))
	v.ids = append(v.ids, int32(id))
	return nil
}

// build makes the tables once every piece is there. A piece that comes twice
// has the id that comes last, as in serde's maps; with keep the first id still
// has the piece, as in Unigram's list.
func (v *vocab) build(seed maphash.Seed, keep bool) {
	v.seed = seed
	if len(v.at) == 0 {
		v.at = append(v.at, 0)
	}
	v.index = newHashIndex(len(v.ids))
	top := int32(-1)
	for _, id := range v.ids {
		top = max(top, id)
	}
	v.byID = make([]int32, top+1)
	mask := uint64(len(v.index) - 1)
	for entry := range v.ids {
		b := v.piece(int32(entry))
		h := maphash.Bytes(seed, b)
		slot := h & mask
		for ; v.index[slot] != 0; slot = (slot + 1) & mask {
			s := v.index[slot]
			if s>>32 == h>>32 && bytes.Equal(v.piece(int32(uint32(s))-1), b) {
				break
			}
		}
		if s := v.index[slot]; s != 0 {
			old := int32(uint32(s)) - 1
			if keep {
				v.byID[v.ids[old]] = old + 1
				v.byID[v.ids[entry]] = old + 1
			}
			v.ids[old] = v.ids[entry]
			continue
		}
		v.index[slot] = h>>32<<32 | uint64(entry+1)
		v.size++
	}
	for _, s := range v.index {
		if s != 0 {
			entry := int32(uint32(s)) - 1
			id := v.ids[entry]
			if old := v.byID[id]; old != 0 && old != entry+1 {
				v.alias = true
				entry = max(entry, old-1) // not the order of the table
			}
			v.byID[id] = entry + 1
		}
	}
}

// find is the id of a piece.
func (v *vocab) find(b []byte) (int32, bool) { return v.findHash(b, maphash.Bytes(v.seed, b)) }

func (v *vocab) findHash(b []byte, h uint64) (int32, bool) {
	mask := uint64(len(v.index) - 1)
	for slot := h & mask; ; slot = (slot + 1) & mask {
		s := v.index[slot]
		if s == 0 {
			return -1, false
		}
		if s>>32 == h>>32 {
			if entry := int32(uint32(s)) - 1; string(v.piece(entry)) == string(b) {
				return v.ids[entry], true
			}
		}
	}
}

func (v *vocab) findString(s string) (int32, bool) {
	h := maphash.String(v.seed, s)
	mask := uint64(len(v.index) - 1)
	for slot := h & mask; ; slot = (slot + 1) & mask {
		e := v.index[slot]
		if e == 0 {
			return -1, false
		}
		if e>>32 == h>>32 {
			if entry := int32(uint32(e)) - 1; string(v.piece(entry)) == s {
				return v.ids[entry], true
			}
		}
	}
}

// token is the piece with an id, or nil.
func (v *vocab) token(id int32) []byte {
	if id < 0 || int(id) >= len(v.byID) || v.byID[id] == 0 {
		return nil
	}
	return v.piece(v.byID[id] - 1)
}

func (v *vocab) has(id int32) bool {
	return id >= 0 && int(id) < len(v.byID) && v.byID[id] != 0
}
