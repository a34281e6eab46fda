package tokenizer

import (
	"bytes"
	"hash/maphash"
	"unicode/utf8"
)

// A wordPiece model takes the longest piece that a word begins with, then the
// longest continuation, and so on (BERT).
type wordPiece struct {
	vocab    *vocab
	more     byteTable // continuations, without the prefix
	unk      int32
	maxChars int

	maxFirst, maxMore int // bytes of the longest piece, of the longest continuation
	cache             *cache
}

func newWordPiece(v *vocab, prefix string, unk int32, maxChars int) *wordPiece {
	m := &wordPiece{vocab: v, unk: unk, maxChars: maxChars, cache: newCache()}
	for i := range v.ids {
		b := v.piece(int32(i))
		m.maxFirst = max(m.maxFirst, len(b))
		if bytes.HasPrefix(b, []byte(prefix)) && len(b) > len(prefix) {
			id, _ := v.find(b) // of pieces that come twice the last
			m.more.add(b[len(prefix):], id)
			m.maxMore = max(m.maxMore, len(b)-len(prefix))
		}
	}
	m.more.build(v.seed)
	return m
}

func (m *wordPiece) pieces() *vocab { return m.vocab }

func (m *wordPiece) tokenize(dst []token, word []byte, _ *scratch) []token {
	if len(word) > m.maxChars && utf8.RuneCount(word) > m.maxChars {
		return append(dst, token{m.unk, 0, int32(len(word))})
	}
	h := maphash.Bytes(m.vocab.seed, word)
	if id, ok := m.vocab.findHash(word, h); ok {
		return append(dst, token{id, 0, int32(len(word))})
	}
	if known := m.cache.get(word, h); known != nil {
		return append(dst, known...)
	}
	start := len(dst)
	dst = m.split(dst, word)
	m.cache.put(word, h, dst[start:])
	return dst
}

func (m *wordPiece) split(dst []token, word []byte) []token {
	start := len(dst)
	for from := 0; from < len(word); {
		longest := m.maxMore
		if from == 0 {
			longest = m.maxFirst
		}
		to := min(len(word), from+longest)
		for to < len(word) && !utf8.RuneStart(word[to]) {
			to--
		}
		id, ok := int32(-1), false
		for to > from {
			part := word[from:to]
			if h := maphash.Bytes(m.vocab.seed, part); from == 0 {
				id, ok = m.vocab.findHash(part, h)
			} else {
				id, ok = m.more.find(part, h)
			}
			if ok {
				break
			}
			for to--; !utf8.RuneStart(word[to]); to-- {
			}
		}
		if !ok {
			return append(dst[:start], token{m.unk, 0, int32(len(word))})
		}
		dst = append(dst, token{id, int32(from), int32(to)})
		from = to
	}
	return dst
}
