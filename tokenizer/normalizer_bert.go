package tokenizer

import "unicode/utf8"

// What BertNormalizer does to an ASCII character by clean_text and lowercase.
type bertASCII [utf8.RuneSelf]byte // the character it becomes; 0: removed

// A bert normalizer cleans, sets Chinese characters apart, strips accents and
// lowercases, in one pass: each of the four steps of Hugging Face's maps a
// character to characters with its own source, whatever stands around it. The
// exception is canonical reordering, where a mark with a combining class stays;
// see slow.
type bert struct {
	clean, chinese, accents, lower bool
	ascii                          bertASCII
}

func bertNormalizer(v *value) (normalizer, error) {
	clean, err1 := v.boolean("clean_text")
	chinese, err2 := v.boolean("handle_chinese_chars")
	lower, err3 := v.boolean("lowercase")
	accents, err4 := v.optionalBoolean("strip_accents", lower)
	if err := first(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	return newBert(clean, chinese, accents, lower).normalize, nil
}

func newBert(clean, chinese, accents, lower bool) *bert {
	b := &bert{clean: clean, chinese: chinese, accents: accents, lower: lower}
	for c := range rune(utf8.RuneSelf) {
		r := c
		if clean {
			r, _ = cleaned(c)
		}
		if lower && r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		b.ascii[c] = byte(r)
	}
	if !clean {
		b.ascii[0] = 0 // NUL would look removed: normalize checks clean first
	}
	return b
}

// cleaned is what clean_text makes of a character; false: it removes it.
func cleaned(r rune) (rune, bool) {
	p := props(r)
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return ' ', true
	case r == 0 || r == utf8.RuneError || p&bitOther != 0:
		return 0, false
	case p&bitSpace != 0:
		return ' ', true
	}
	return r, true
}

func (b *bert) normalize(n *normalized) {
	i := 0
	for ; i < len(n.text); i++ { // as long as characters only change in place
		c := n.text[i]
		if c >= utf8.RuneSelf {
			break
		}
		to := b.ascii[c]
		if to == 0 && b.clean {
			break
		}
		n.text[i] = to
	}
	if i == len(n.text) {
		return
	}
	if b.accents && changes(n.text[i:], func(r rune) bool {
		return r >= utf8.RuneSelf && props(r)&(0xFF<<cccShift) != 0 && props(r)&bitNonspacing == 0
	}) {
		b.slow(n)
		return
	}
	n.begin()
	n.copy(0, i)
	for i < len(n.text) {
		c := n.text[i]
		if c < utf8.RuneSelf {
			if to := b.ascii[c]; to != 0 || !b.clean {
				n.out = append(n.out, to)
				if n.track {
					n.outSource = append(n.outSource, n.source[i])
				}
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(n.text[i:])
		b.other(n, r, n.sourceAt(i))
		i += size
	}
	n.commit()
}

// other writes what becomes of a character beyond ASCII.
func (b *bert) other(n *normalized, r rune, from Span) {
	p := props(r)
	if b.clean {
		var ok bool
		if r, ok = cleaned(r); !ok {
			return
		}
		if r == ' ' {
			n.insert(" ", from)
			return
		}
	}
	if b.chinese && p&bitHan != 0 {
		n.insert(" ", from)
		defer n.insert(" ", from)
	}
	switch {
	case !b.accents || p&bitCanonical == 0:
		b.last(n, r, p, from)
	case isHangul(r):
		s := r - hangulS
		n.insertRune(hangulL+s/hangulNCount, from)
		n.insertRune(hangulV+s%hangulNCount/hangulTCount, from)
		if t := s % hangulTCount; t != 0 {
			n.insertRune(hangulT+t, from)
		}
	default:
		for _, d := range canonicalForms.of(r) {
			b.last(n, d, props(d), from)
		}
	}
}

func (b *bert) last(n *normalized, r rune, p uint32, from Span) {
	switch {
	case b.accents && p&bitNonspacing != 0:
	case b.lower && r < utf8.RuneSelf && r >= 'A' && r <= 'Z':
		n.insertRune(r+'a'-'A', from)
	case b.lower && p&bitLower != 0:
		for _, l := range lowerForms.of(r) {
			n.insertRune(l, from)
		}
	default:
		n.insertRune(r, from)
	}
}

// slow does the steps one after another, as Hugging Face does.
func (b *bert) slow(n *normalized) {
	if b.clean {
		remove(n, func(r rune) bool { _, ok := cleaned(r); return !ok })
		n.begin()
		forEach(n.text, func(r rune) {
			r, _ = cleaned(r)
			n.put(r, 0)
		})
		n.commit()
	}
	if b.chinese && changes(n.text, func(r rune) bool { return props(r)&bitHan != 0 }) {
		n.begin()
		forEach(n.text, func(r rune) {
			if props(r)&bitHan == 0 {
				n.put(r, 0)
				return
			}
			n.put(' ', 0)
			n.put(r, 1)
			n.put(' ', 1)
		})
		n.commit()
	}
	decomposed(n, false)
	remove(n, func(r rune) bool { return props(r)&bitNonspacing != 0 })
	if b.lower {
		lowercase(n)
	}
}
