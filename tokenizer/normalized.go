package tokenizer

import "unicode/utf8"

// A Span is a range of bytes of a text.
type Span struct{ Start, End int32 }

// A normalized is a stretch of the input as the normalizer and pre-tokenizer
// left it, and where each of its bytes came from. It does what Hugging Face's
// NormalizedString does, offsets included, with one buffer for all the splits
// of the stretch.
//
// While nothing but the case of ASCII letters has changed, source is empty and
// byte i of text is byte base+i of the input.
type normalized struct {
	text   []byte
	source []Span // of the character of the input that each byte of text came from
	base   int32
	same   bool  // source is not in use
	origin int32 // where the stretch begins in the input
	track  bool  // someone wants to know the source

	out       []byte // what a rewrite has written, with its source
	outSource []Span
	off       int // where in text a rewrite is
	elements  []element
}

// reset makes n the input's text from base on, unchanged.
func (n *normalized) reset(text []byte, base int, track bool) {
	n.text = append(n.text[:0], text...)
	n.base, n.origin = int32(base), int32(base)
	n.same, n.track = true, track
}

// begin starts a rewrite of the text.
func (n *normalized) begin() {
	n.materialize()
	n.out, n.outSource, n.off = n.out[:0], n.outSource[:0], 0
}

// materialize writes down the source of every byte.
func (n *normalized) materialize() {
	if !n.same || !n.track {
		return
	}
	n.same = false
	n.source = n.source[:0]
	for i := 0; i < len(n.text); {
		size := runeLen(n.text[i])
		from := Span{n.base + int32(i), n.base + int32(i+size)}
		for range size {
			n.source = append(n.source, from)
		}
		i += size
	}
}

// put writes a character as NormalizedString's transform does: with change 0 it
// replaces the next character of the text, with -k also the k after it, and
// with 1 it is new and has the source of the character before.
func (n *normalized) put(r rune, change int) {
	size := len(n.out)
	n.out = utf8.AppendRune(n.out, r)
	size = len(n.out) - size
	if n.track {
		from := Span{n.origin, n.origin}
		switch {
		case change > 0 && n.off > 0:
			from = n.source[n.off-1]
		case change <= 0 && n.off < len(n.source):
			from = n.source[n.off]
		case change <= 0 && len(n.source) > 0: // Hugging Face's code panics here
			from = n.source[len(n.source)-1]
		}
		for range size {
			n.outSource = append(n.outSource, from)
		}
	}
	for ; change <= 0 && n.off < len(n.text); change++ {
		n.off += runeLen(n.text[n.off])
	}
}

// copy writes a range of the text as it is.
func (n *normalized) copy(from, to int) {
	n.out = append(n.out, n.text[from:to]...)
	if n.track {
		n.outSource = append(n.outSource, n.source[from:to]...)
	}
}

// insert writes a string whose every byte has the source given.
func (n *normalized) insert(s string, from Span) {
	n.out = append(n.out, s...)
	if n.track {
		for range len(s) {
			n.outSource = append(n.outSource, from)
		}
	}
}

// sourceAt is the source of a byte; only a rewrite asks.
func (n *normalized) sourceAt(i int) Span {
	if n.track && i >= 0 && i < len(n.source) {
		return n.source[i]
	}
	return Span{n.origin, n.origin}
}

// commit ends a rewrite.
func (n *normalized) commit() {
	n.text, n.out = n.out, n.text
	if n.track {
		n.source, n.outSource = n.outSource, n.source
	}
}

// cut keeps a range of the text.
func (n *normalized) cut(from, to int) {
	if n.track && !n.same {
		copy(n.source, n.source[from:to])
		n.source = n.source[:to-from]
	}
	copy(n.text, n.text[from:to])
	n.text = n.text[:to-from]
	n.base += int32(from)
}

// offsets is where in the input a range of the text came from. A range that
// ends inside a character has all of it.
func (n *normalized) offsets(from, to int) Span {
	if from >= to { // as convert_offsets: what is empty stays as it is
		return Span{n.start(from), n.start(from)}
	}
	from, to = min(from, len(n.text)-1), min(to, len(n.text))
	if n.same {
		for from > 0 && n.text[from]&0xC0 == 0x80 {
			from--
		}
		for to < len(n.text) && n.text[to]&0xC0 == 0x80 {
			to++
		}
		return Span{n.base + int32(from), n.base + int32(to)}
	}
	return Span{n.source[from].Start, n.source[to-1].End}
}

// start is where in the input the text from a byte on came from.
func (n *normalized) start(i int) int32 {
	switch {
	case n.same:
		return n.base + int32(min(i, len(n.text)))
	case i < len(n.source):
		return n.source[i].Start
	case len(n.source) > 0:
		return n.source[len(n.source)-1].End
	}
	return n.origin
}

func (n *normalized) insertRune(r rune, from Span) {
	size := len(n.out)
	n.out = utf8.AppendRune(n.out, r)
	if n.track {
		for range len(n.out) - size {
			n.outSource = append(n.outSource, from)
		}
	}
}

// slice makes n a copy of a range of another, as if it were on its own.
func (n *normalized) slice(of *normalized, from, to int) {
	n.text = append(n.text[:0], of.text[from:to]...)
	n.same, n.track = of.same, of.track
	n.base = of.base + int32(from)
	if !of.same && of.track {
		n.source = append(n.source[:0], of.source[from:to]...)
	}
	n.origin = of.start(from)
}
