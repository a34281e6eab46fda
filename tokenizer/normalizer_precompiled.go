package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"
)

// A charsMap is SentencePiece's compiled normalizer: a Darts double-array trie
// from byte sequences to offsets in a list of NUL-terminated replacements
// (google/sentencepiece, src/normalizer.cc; layout of a unit: darts.h).
type charsMap struct {
	units []uint32
	texts []byte
	plain [utf8.RuneSelf]bool // characters without a replacement
}

func newCharsMap(v *value) (*charsMap, error) {
	text, err := v.text("precompiled_charsmap")
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, v.errorf("precompiled_charsmap: %w", err)
	}
	if len(data) < 4 {
		return nil, v.errorf("precompiled_charsmap: %d bytes hold no trie", len(data))
	}
	size := uint64(binary.LittleEndian.Uint32(data))
	data = data[4:]
	if size > uint64(len(data)) {
		return nil, v.errorf("precompiled_charsmap: a trie of %d bytes in %d bytes", size, len(data))
	}
	m := &charsMap{units: make([]uint32, size/4), texts: data[size/4*4:]}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	if !utf8.Valid(m.texts) {
		return nil, v.errorf("precompiled_charsmap: the replacements are no UTF-8")
	}
	for c := range m.plain {
		_, found := m.find([]byte{byte(c)})
		m.plain[c] = !found && c != '\r' // "\r\n" is one cluster
	}
	return m, nil
}

// offset is where the children of a unit are, to be combined with where it is.
func offset(unit uint32) uint64 { return uint64(unit>>10) << (unit & (1 << 9) >> 6) }

// child is where the node for a byte is, from where its parent's children are;
// its unit, and false if there is none.
func (m *charsMap) child(children uint64, c byte) (at uint64, unit uint32, ok bool) {
	if at = children ^ uint64(c); at >= uint64(len(m.units)) {
		return 0, 0, false
	}
	unit = m.units[at]
	return at ^ offset(unit), unit, unit&(1<<31|0xFF) == uint32(c)
}

// text is the replacement of a node that has one, from where its children are.
func (m *charsMap) text(children uint64, unit uint32) ([]byte, bool) {
	if unit>>8&1 == 0 || children >= uint64(len(m.units)) {
		return nil, false
	}
	at := uint64(m.units[children] & (1<<31 - 1))
	if at > uint64(len(m.texts)) || at < uint64(len(m.texts)) && !utf8.RuneStart(m.texts[at]) {
		return nil, false
	}
	text := m.texts[at:]
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	return text, true
}

// find is the replacement of the shortest prefix of key that has one, which is
// what spm_precompiled looks for.
func (m *charsMap) find(key []byte) ([]byte, bool) {
	if len(m.units) == 0 {
		return nil, false
	}
	children := offset(m.units[0])
	for _, c := range key {
		if c == 0 {
			break
		}
		var unit uint32
		var ok bool
		if children, unit, ok = m.child(children, c); !ok {
			return nil, false
		}
		if text, ok := m.text(children, unit); ok {
			return text, true
		}
	}
	return nil, false
}

// growth is how many times longer than what they stand for replacements are. It
// walks the trie; of one that is not a tree but a web it assumes the worst.
func (m *charsMap) growth() float64 {
	if len(m.units) == 0 {
		return 1
	}
	worst, longest := 1.0, 0
	for text := range bytes.SplitSeq(m.texts, []byte{0}) {
		longest = max(longest, len(text))
	}
	left := 1 << 15 // nodes; there are 8,000 in SentencePiece's own
	var walk func(children uint64, depth int)
	walk = func(children uint64, depth int) {
		if left--; left < 0 {
			return
		}
		for c := 1; c < 256; c++ {
			next, unit, ok := m.child(children, byte(c))
			if !ok {
				continue
			}
			if text, ok := m.text(next, unit); ok {
				worst = max(worst, float64(len(text))/float64(depth))
				continue // nothing longer is looked for
			}
			if depth < 5 { // clusters of more bytes are looked up by character
				walk(next, depth+1)
			}
		}
	}
	walk(offset(m.units[0]), 1)
	if left < 0 {
		return float64(longest)
	}
	return worst
}

func (m *charsMap) normalize(n *normalized) {
	plain := 0
	for plain < len(n.text) && n.text[plain] < utf8.RuneSelf && m.plain[n.text[plain]] {
		plain++
	}
	if plain == len(n.text) {
		return
	}
	changes := n.elements[:0]
	modified := false
	replace := func(old, text []byte) {
		modified = true
		diff := utf8.RuneCount(text) - utf8.RuneCount(old)
		forEach(text, func(r rune) { changes = append(changes, element{r: r}) })
		if diff > 0 {
			for i := max(0, len(changes)-diff); i < len(changes); i++ {
				changes[i].change = 1
			}
		} else if diff < 0 && len(changes) > 0 {
			changes[len(changes)-1].change += diff
		}
	}
	for i := 0; i < len(n.text); {
		size := cluster(n.text[i:])
		text := n.text[i : i+size]
		i += size
		if size < 6 {
			if to, ok := m.find(text); ok {
				replace(text, to)
				continue
			}
		}
		for len(text) > 0 {
			r, size := utf8.DecodeRune(text)
			if to, ok := m.find(text[:size]); ok {
				replace(text[:size], to)
			} else {
				changes = append(changes, element{r: r})
			}
			text = text[size:]
		}
	}
	n.elements = changes
	if !modified {
		return
	}
	n.begin()
	for _, e := range changes {
		n.put(e.r, e.change)
	}
	n.commit()
}

// cluster is the length of the extended grapheme cluster that text begins with
// (Unicode 16, UAX #29).
func cluster(text []byte) int {
	if len(text) > 1 && text[0] < utf8.RuneSelf && text[1] < utf8.RuneSelf && text[0] != '\r' {
		return 1
	}
	r, at := utf8.DecodeRune(text)
	before := props(r) >> clusterShift & 15
	var (
		flags     = 0                             // regional indicators just before
		pictured  = before == clusterPictographic // and Extend* since
		joined    = false                         // pictured, and then a joiner
		consonant = before == clusterConsonant    // and Extend or Linker since
		linked    = false
	)
	if before == clusterRegional {
		flags = 1
	}
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		p := props(r)
		after := p >> clusterShift & 15
		if breaks(before, after, joined, flags%2 == 1, consonant && linked) {
			break
		}
		if after == clusterRegional {
			flags++
		} else {
			flags = 0
		}
		joined = after == clusterZWJ && pictured
		pictured = after == clusterPictographic || after == clusterExtend && pictured
		switch {
		case after == clusterConsonant:
			consonant, linked = true, false
		case isLinker(r):
			linked = true
		case p&bitConjunct == 0:
			consonant, linked = false, false
		}
		before = after
		at += size
	}
	return at
}

func isLinker(r rune) bool {
	switch r {
	case 0x94D, 0x9CD, 0xACD, 0xB4D, 0xC4D, 0xD4D:
		return true
	}
	return false
}

// breaks reports a cluster boundary between two characters; the rules of UAX
// #29 are in the order of unicode-segmentation's check_pair.
func breaks(before, after uint32, joined, odd, linked bool) bool {
	switch {
	case before == clusterCR && after == clusterLF:
		return false
	case before == clusterControl || before == clusterCR || before == clusterLF,
		after == clusterControl || after == clusterCR || after == clusterLF:
		return true
	case before == clusterL && (after == clusterL || after == clusterV || after == clusterLV || after == clusterLVT),
		(before == clusterLV || before == clusterV) && (after == clusterV || after == clusterT),
		(before == clusterLVT || before == clusterT) && after == clusterT:
		return false
	case after == clusterExtend || after == clusterZWJ || after == clusterSpacingMark, before == clusterPrepend:
		return false
	case after == clusterConsonant:
		return !linked
	case before == clusterZWJ && after == clusterPictographic:
		return !joined
	case before == clusterRegional && after == clusterRegional:
		return !odd
	}
	return true
}
