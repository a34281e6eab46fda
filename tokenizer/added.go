package tokenizer

import (
	"bytes"
	"unicode/utf8"
)

// An addedToken is found in the text before the model sees it.
type addedToken struct {
	content                                         string
	id                                              int32
	singleWord, lstrip, rstrip, normalized, special bool
}

// maxContent bounds an added token, and with it the time that a place in the
// text takes.
const maxContent = 1 << 10

// An addedSet finds added tokens: the longest at the leftmost place, as
// Aho-Corasick's LeftmostLongest.
type addedSet struct {
	trie   *trie // of indices of tokens
	tokens []*addedToken
	first  [256]bool // bytes that a token begins with
	only   int       // the one such byte, or -1
}

// add makes t what content, which is not empty, stands for, unless another does
// already. It returns false if there is too much of it.
func (a *addedSet) add(content []byte, t *addedToken) bool {
	node := int32(0)
	for _, b := range content {
		if node = a.trie.child(node, b); node < 0 {
			break
		}
	}
	if node >= 0 && a.trie.ids[node] >= 0 {
		return true
	}
	a.tokens = append(a.tokens, t)
	a.only = int(content[0])
	a.first[content[0]] = true
	for b, is := range a.first {
		if is && b != a.only {
			a.only = -1
			break
		}
	}
	return a.trie.add(content, int32(len(a.tokens)-1))
}

// match is the longest token at a place, and its end.
func (a *addedSet) match(text []byte, at int) (t *addedToken, end int) {
	node := int32(0)
	for i := at; i < len(text); i++ {
		if node = a.trie.child(node, text[i]); node < 0 {
			break
		}
		if id := a.trie.ids[node]; id >= 0 {
			t, end = a.tokens[id], i+1
		}
	}
	return t, end
}

// A stretch is a part of a text: an added token, or what lies between two.
type stretch struct {
	token    *addedToken // nil: text
	from, to int
}

// split appends the stretches of text. Like Hugging Face's find_matches, a
// match that is no word of its own still keeps others from overlapping it.
func (a *addedSet) split(dst []stretch, text []byte) []stretch {
	start := 0
	if len(a.tokens) > 0 {
		spaceFrom, spaceTo := 0, 0 // a run of white space that is known
		for at := 0; at < len(text); {
			if a.only >= 0 {
				i := bytes.IndexByte(text[at:], byte(a.only))
				if i < 0 {
					break
				}
				at += i
			} else if !a.first[text[at]] {
				at++
				continue
			}
			t, end := a.match(text, at)
			if t == nil {
				at++
				continue
			}
			from, to := at, end
			at = end
			if t.singleWord && (isWordAt(text[:from], true) || isWordAt(text[to:], false)) {
				continue
			}
			if t.lstrip {
				low := from
				if spaceFrom < from && from <= spaceTo {
					low = spaceFrom
				} else {
					for low > start {
						r, size := utf8.DecodeLastRune(text[:low])
						if !isSpace(r) {
							break
						}
						low -= size
					}
				}
				from = max(low, start)
			}
			if t.rstrip {
				high := to
				if spaceFrom <= to && to < spaceTo {
					high = spaceTo
				} else {
					for high < len(text) {
						r, size := utf8.DecodeRune(text[high:])
						if !isSpace(r) {
							break
						}
						high += size
					}
					spaceFrom, spaceTo = to, high
				}
				to = high
			}
			if start < from {
				dst = append(dst, stretch{nil, start, from})
			}
			if from < to {
				dst = append(dst, stretch{t, from, to})
			}
			start = to
		}
	}
	if start < len(text) {
		dst = append(dst, stretch{nil, start, len(text)})
	}
	return dst
}

// isWordAt reports a word character of Rust's regex at the end or the beginning.
func isWordAt(text []byte, last bool) bool {
	if len(text) == 0 {
		return false
	}
	r, _ := utf8.DecodeRune(text)
	if last {
		r, _ = utf8.DecodeLastRune(text)
	}
	return props(r)&bitRustWord != 0
}
