package tokenizer

import (
	"sort"
	"unicode/utf8"
)

// A normalizer rewrites a stretch of the input.
type normalizer func(n *normalized)

// How many times longer decompositions are, in bytes (U+1D160, U+FDFA).
const (
	growthNFD  = 3
	growthNFKD = 11
)

func (t *builder) normalizer(v *value) (normalizer, error) {
	typ, err := v.kindOf()
	if err != nil {
		return nil, err
	}
	switch typ {
	case "Sequence":
		all, err := components(v, "normalizers", t.normalizer)
		if err != nil {
			return nil, err
		}
		return func(n *normalized) {
			for _, f := range all {
				f(n)
			}
		}, nil
	case "BertNormalizer":
		f, err := bertNormalizer(v)
		return f, first(err, t.multiply(v, 3*5./3))
	case "NFC":
		return func(n *normalized) { composed(n, false) }, t.multiply(v, growthNFD)
	case "NFKC":
		return func(n *normalized) { composed(n, true) }, t.multiply(v, growthNFKD)
	case "NFD":
		return func(n *normalized) { decomposed(n, false) }, t.multiply(v, growthNFD)
	case "NFKD":
		return func(n *normalized) { decomposed(n, true) }, t.multiply(v, growthNFKD)
	case "Lowercase":
		return lowercase, t.multiply(v, 1.5) // İ and Ⱥ have three bytes for two
	case "Strip":
		left, err1 := v.boolean("strip_left")
		right, err2 := v.boolean("strip_right")
		if err := first(err1, err2); err != nil {
			return nil, err
		}
		return func(n *normalized) { strip(n, left, right) }, nil
	case "StripAccents":
		return func(n *normalized) {
			remove(n, func(r rune) bool { return props(r)&bitMark != 0 })
		}, nil
	case "Nmt":
		return nmt, nil
	case "Prepend":
		s, err := v.text("prepend")
		if err != nil {
			return nil, err
		}
		return func(n *normalized) { prepend(n, s) }, t.multiply(v, 1+float64(len(s)))
	case "Replace":
		return t.replaceNormalizer(v)
	case "ByteLevel":
		return byteCharacters, t.multiply(v, 2)
	case "Precompiled":
		m, err := newCharsMap(v)
		if err != nil {
			return nil, err
		}
		return m.normalize, t.multiply(v, m.growth())
	}
	return nil, v.unsupported("normalizer", typ)
}

// forEach calls f with the characters of valid UTF-8.
func forEach(text []byte, f func(r rune)) {
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			f(rune(c))
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		f(r)
		i += size
	}
}

// changes reports whether f holds for a character.
func changes(text []byte, f func(r rune) bool) bool {
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text[i:])
		}
		if f(r) {
			return true
		}
		i += size
	}
	return false
}

// remove drops the characters that f holds for. Those before the first kept one
// are the initial offset of Hugging Face's filter, the others the change of the
// kept one before them, so every kept character keeps its source.
func remove(n *normalized, f func(r rune) bool) {
	if !changes(n.text, f) {
		return
	}
	n.begin()
	for i := 0; i < len(n.text); {
		r, size := utf8.DecodeRune(n.text[i:])
		if !f(r) {
			n.copy(i, i+size)
		}
		i += size
	}
	n.commit()
}

func lowercase(n *normalized) {
	for i, c := range n.text {
		if c-'A' < 26 {
			n.text[i] = c + 'a' - 'A'
		}
	}
	if !changes(n.text, func(r rune) bool { return r >= utf8.RuneSelf && props(r)&bitLower != 0 }) {
		return
	}
	n.begin()
	forEach(n.text, func(r rune) {
		if r < utf8.RuneSelf || props(r)&bitLower == 0 {
			n.put(r, 0)
			return
		}
		for i, l := range lowerForms.of(r) {
			n.put(l, min(i, 1))
		}
	})
	n.commit()
}

func strip(n *normalized, left, right bool) {
	from, to := 0, len(n.text)
	for left && from < to {
		r, size := utf8.DecodeRune(n.text[from:])
		if !isSpace(r) {
			break
		}
		from += size
	}
	for right && to > from {
		r, size := utf8.DecodeLastRune(n.text[:to])
		if !isSpace(r) {
			break
		}
		to -= size
	}
	n.cut(from, to)
}

func nmt(n *normalized) {
	remove(n, func(r rune) bool {
		return r >= 1 && r <= 8 || r == 0xB || r >= 0xE && r <= 0x1F || r == 0x7F || r == 0x8F || r == 0x9F
	})
	space := func(r rune) bool {
		switch r {
		case 0x9, 0xA, 0xC, 0xD, 0x1680, 0x2028, 0x2029, 0x2581, 0xFEFF, utf8.RuneError:
			return true
		}
		return r >= 0x200B && r <= 0x200F
	}
	if !changes(n.text, space) {
		return
	}
	n.begin()
	forEach(n.text, func(r rune) {
		if space(r) {
			r = ' '
		}
		n.put(r, 0)
	})
	n.commit()
}

func prepend(n *normalized, s string) {
	if len(n.text) == 0 {
		return
	}
	n.begin()
	_, size := utf8.DecodeRune(n.text)
	from := n.sourceAt(0)
	n.insert(s, from)
	if s == "" { // then the first character has no character before it
		from = Span{n.origin, n.origin}
	}
	n.insert(string(n.text[:size]), from)
	n.copy(size, len(n.text))
	n.commit()
}

func (t *builder) replaceNormalizer(v *value) (normalizer, error) {
	content, err := v.text("content")
	if err != nil {
		return nil, err
	}
	kind, pattern, err := v.pattern()
	if err != nil {
		return nil, err
	}
	m, err := t.compile(v, kind, pattern)
	if err != nil {
		return nil, err
	}
	if err := t.multiply(v, m.growth(content)); err != nil {
		return nil, err
	}
	return func(n *normalized) {
		if len(n.text) == 0 {
			return
		}
		begun, last := false, 0
		m.each(n.text, func(from, to int) {
			if !begun {
				begun = true
				n.begin()
			}
			n.copy(last, from)
			last = to
			n.insert(content, n.sourceAt(to-1))
		})
		if begun {
			n.copy(last, len(n.text))
			n.commit()
		}
	}, nil
}

// byteCharacters writes every byte as the character that GPT-2 gives it.
func byteCharacters(n *normalized) {
	n.begin()
	for i, b := range n.text {
		n.insert(byteChars[b], n.sourceAt(i))
	}
	n.commit()
}

// byteChars and charBytes map bytes to the characters of GPT-2's vocabulary:
// printable Latin-1 stands for itself, other bytes for U+0100 and up
// (openai/gpt-2, src/encoder.py, bytes_to_unicode).
var byteChars, charBytes = func() (chars [256]string, bytes map[rune]byte) {
	bytes = map[rune]byte{}
	next := rune(256)
	for b := range rune(256) {
		r := b
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = next
			next++
		}
		chars[b] = string(r)
		bytes[r] = byte(b)
	}
	return chars, bytes
}()

// An element is a character of a normal form on its way: its combining class
// and change.
type element struct {
	r      rune
	class  uint8
	change int
}

// decompose appends the decomposition of text in canonical order.
func decompose(dst []element, text []byte, compat bool) []element {
	pending := len(dst) // the first element that may still be reordered
	push := func(r rune, change int) {
		class := uint8(props(r) >> cccShift)
		if class == 0 {
			sortElements(dst[pending:])
		}
		dst = append(dst, element{r, class, change})
		if class == 0 {
			pending = len(dst)
		}
	}
	forEach(text, func(r rune) {
		p := props(r)
		switch {
		case r < utf8.RuneSelf || p&bitCanonical == 0 && (!compat || p&bitCompat == 0):
			push(r, 0)
		case isHangul(r):
			s := r - hangulS
			push(hangulL+s/hangulNCount, 0)
			push(hangulV+s%hangulNCount/hangulTCount, 1)
			if t := s % hangulTCount; t != 0 {
				push(hangulT+t, 1)
			}
		default:
			form := canonicalForms.of(r)
			if compat && p&bitCompat != 0 {
				form = compatForms.of(r)
			}
			for i, d := range form {
				push(d, min(i, 1))
			}
		}
	})
	sortElements(dst[pending:])
	return dst
}

func sortElements(e []element) {
	if len(e) > 1 {
		sort.SliceStable(e, func(i, j int) bool { return e[i].class < e[j].class })
	}
}

func decomposed(n *normalized, compat bool) {
	mask := uint32(bitCanonical | 0xFF<<cccShift)
	if compat {
		mask |= bitCompat
	}
	if !changes(n.text, func(r rune) bool { return r >= utf8.RuneSelf && props(r)&mask != 0 }) {
		return
	}
	n.begin()
	n.elements = decompose(n.elements[:0], n.text, compat)
	for _, e := range n.elements {
		n.put(e.r, e.change)
	}
	n.commit()
}

// composed is the state machine of unicode-normalization's Recompositions, with
// the changes that its fork for alignments keeps.
func composed(n *normalized, compat bool) {
	if !changes(n.text, func(r rune) bool {
		if r < 0x300 && !compat || r < utf8.RuneSelf {
			return false
		}
		p := props(r)
		return p&(bitSecond|0xFF<<cccShift) != 0 || p&bitCanonical != 0 && p&bitComposite == 0 || compat && p&bitCompat != 0
	}) {
		return
	}
	n.begin()
	var (
		composee element
		have     bool
		waiting  []element // follow the composee
		last     = -1      // class of the last one waiting
	)
	flush := func() {
		for _, e := range waiting {
			n.put(e.r, e.change)
		}
		waiting = waiting[:0]
	}
	n.elements = decompose(n.elements[:0], n.text, compat)
	for _, e := range n.elements {
		if !have {
			if e.class != 0 {
				n.put(e.r, e.change)
			} else {
				composee, have = e, true
			}
			continue
		}
		if last >= int(e.class) { // blocked
			if e.class == 0 {
				n.put(composee.r, composee.change)
				flush()
				composee, last = e, -1
				continue
			}
			waiting = append(waiting, e)
			last = int(e.class)
			continue
		}
		if c := compose(composee.r, e.r); c != 0 {
			composee.r = c
			composee.change += e.change - 1
			continue
		}
		if e.class == 0 {
			n.put(composee.r, composee.change)
			composee = e
			continue
		}
		waiting = append(waiting, e)
		last = int(e.class)
	}
	if have {
		n.put(composee.r, composee.change)
	}
	flush()
	n.commit()
}
