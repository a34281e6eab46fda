package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A pretokenizer splits the spans of a text further, and may rewrite the text.
type pretokenizer func(p *pretext)

// A pretext is a stretch of the input, normalized, and the spans that it is
// split in. No span is empty; what lies between them is dropped.
type pretext struct {
	n     *normalized
	spans []Span
	next  []Span
	cuts  []cut
}

// A cut is a match of a pattern, or what lies between two.
type cut struct {
	from, to int
	match    bool
}

func (p *pretext) emit(from, to int) {
	if from < to {
		p.next = append(p.next, Span{int32(from), int32(to)})
	}
}

func (p *pretext) done() {
	p.spans, p.next = p.next, p.spans[:0]
}

// A behavior is what Split does with the matches.
type behavior uint8

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

var behaviors = map[string]behavior{
	"Removed": removed, "Isolated": isolated, "MergedWithPrevious": mergedWithPrevious,
	"MergedWithNext": mergedWithNext, "Contiguous": contiguous,
}

func (v *value) behavior(key string) (behavior, error) {
	s, err := v.text(key)
	if err != nil {
		return 0, err
	}
	b, ok := behaviors[s]
	if !ok {
		return 0, v.unsupported("behavior", s)
	}
	return b, nil
}

func (t *builder) pretokenizer(v *value) ([]pretokenizer, error) {
	one := func(f pretokenizer) ([]pretokenizer, error) { return []pretokenizer{f}, nil }
	typ, err := v.kindOf()
	if err != nil {
		return nil, err
	}
	switch typ {
	case "Sequence":
		all, err := components(v, "pretokenizers", t.pretokenizer)
		return slices.Concat(all...), err
	case "BertPreTokenizer":
		return one(splitBert)
	case "ByteLevel":
		return t.byteLevel(v)
	case "Metaspace":
		m, err := metaspaceOf(v)
		if err != nil {
			return nil, err
		}
		t.first = t.first || m.scheme == "first"
		t.mark(string(m.replacement))
		return []pretokenizer{m.split}, t.multiply(v, 1+float64(len(m.text))) // before every span
	case "Whitespace":
		return one(splitWords)
	case "WhitespaceSplit":
		return one(splitSpaces)
	case "Punctuation":
		how := isolated
		if v.keys["behavior"] != nil {
			if how, err = v.behavior("behavior"); err != nil {
				return nil, err
			}
		}
		return one(splitChars(func(r rune) bool { return props(r)&bitPunct != 0 }, how))
	case "Digits":
		individual, err := v.boolean("individual_digits")
		if err != nil {
			return nil, err
		}
		how := contiguous
		if individual {
			how = isolated
		}
		return one(splitChars(func(r rune) bool { return props(r)&bitNumeric != 0 }, how))
	case "CharDelimiterSplit":
		delimiter, err := v.char("delimiter")
		if err != nil {
			return nil, err
		}
		return one(splitChars(func(r rune) bool { return r == delimiter }, removed))
	case "Split":
		how, err1 := v.behavior("behavior")
		invert, err2 := v.boolean("invert")
		kind, pattern, err3 := v.pattern()
		if err := first(err1, err2, err3); err != nil {
			return nil, err
		}
		m, err := t.compile(v, kind, pattern)
		if err != nil {
			return nil, err
		}
		if m.scan != nil && (how == isolated || how == removed && invert) {
			return one(splitScan(m.scan))
		}
		return one(func(p *pretext) { p.split(m, how, invert) })
	}
	return nil, v.unsupported("pre-tokenizer", typ)
}

// byteLevel splits; whether the bytes are then written as characters or stay
// bytes is for the model to say, see builder.model.
func (t *builder) byteLevel(v *value) ([]pretokenizer, error) {
	prefix, err1 := v.boolean("add_prefix_space")
	_, err2 := v.boolean("trim_offsets")
	pattern, err3 := v.optionalBoolean("use_regex", true)
	if err := first(err1, err2, err3); err != nil {
		return nil, err
	}
	t.byteLevels++
	return []pretokenizer{
		func(p *pretext) {
			if prefix {
				p.prefixSpaces()
			}
			if pattern {
				splitScan(scanGPT2)(p)
			}
		},
		nil, // stands for writing bytes as characters
	}, t.multiply(v, 4)
}

// prefixSpaces puts a space before the spans that begin with none.
func (p *pretext) prefixSpaces() {
	p.rewrite(func(from, to int) {
		n := p.n
		if n.text[from] != ' ' {
			n.insert(" ", n.sourceAt(from))
		}
		n.copy(from, to)
	})
}

// rewrite calls f to write each span anew.
func (p *pretext) rewrite(f func(from, to int)) {
	p.n.begin()
	for _, s := range p.spans {
		from := len(p.n.out)
		f(int(s.Start), int(s.End))
		p.emit(from, len(p.n.out))
	}
	p.n.commit()
	p.done()
}

// bytesAsCharacters writes every byte of every span as its character.
func bytesAsCharacters(p *pretext) {
	p.rewrite(func(from, to int) {
		for i := from; i < to; i++ {
			p.n.insert(byteChars[p.n.text[i]], p.n.sourceAt(i))
		}
	})
}

func splitScan(scan scanner) pretokenizer {
	return func(p *pretext) {
		for _, s := range p.spans {
			text := p.n.text[:s.End]
			for from := int(s.Start); from < len(text); {
				end := scan(text, from)
				p.next = append(p.next, Span{int32(from), int32(end)})
				from = end
			}
		}
		p.done()
	}
}

// split splits by a pattern that matches nothing across spans.
func (p *pretext) split(m *matcher, how behavior, invert bool) {
	for _, s := range p.spans {
		from, to := int(s.Start), int(s.End)
		p.cuts = p.cuts[:0]
		last := 0
		m.each(p.n.text[from:to], func(a, b int) {
			if last != a {
				p.cuts = append(p.cuts, cut{from + last, from + a, invert})
			}
			p.cuts = append(p.cuts, cut{from + a, from + b, !invert})
			last = b
		})
		if last != to-from {
			p.cuts = append(p.cuts, cut{from + last, to, invert})
		}
		p.apply(how)
	}
	p.done()
}

// splitChars splits by the characters that f holds for, each a match.
func splitChars(f func(r rune) bool, how behavior) pretokenizer {
	return func(p *pretext) {
		for _, s := range p.spans {
			p.cuts = p.cuts[:0]
			last := int(s.Start)
			for i := last; i < int(s.End); {
				r, size := rune(p.n.text[i]), 1
				if r >= utf8.RuneSelf {
					r, size = utf8.DecodeRune(p.n.text[i:])
				}
				if f(r) {
					if last < i {
						p.cuts = append(p.cuts, cut{last, i, false})
					}
					p.cuts = append(p.cuts, cut{i, i + size, true})
					last = i + size
				}
				i += size
			}
			if last < int(s.End) {
				p.cuts = append(p.cuts, cut{last, int(s.End), false})
			}
			p.apply(how)
		}
		p.done()
	}
}

// apply turns the cuts of a span to spans.
func (p *pretext) apply(how behavior) {
	switch how {
	case removed:
		for _, c := range p.cuts {
			if !c.match {
				p.emit(c.from, c.to)
			}
		}
	case isolated:
		for _, c := range p.cuts {
			p.emit(c.from, c.to)
		}
	case contiguous, mergedWithPrevious:
		from, to, previous := 0, 0, false
		for i, c := range p.cuts {
			joins := c.match == previous
			if how == mergedWithPrevious {
				joins = c.match && !previous
			}
			previous = c.match
			if i > 0 && joins {
				to = c.to
				continue
			}
			p.emit(from, to)
			from, to = c.from, c.to
		}
		p.emit(from, to)
	case mergedWithNext:
		for i := range p.cuts {
			c := p.cuts[i]
			if c.match && i+1 < len(p.cuts) && !p.cuts[i+1].match {
				p.cuts[i+1].from = c.from
				continue
			}
			p.emit(c.from, c.to)
		}
	}
}

// splitBert splits at white space, and sets punctuation apart.
func splitBert(p *pretext) {
	for _, s := range p.spans {
		from, end := int(s.Start), int(s.End)
		for i := from; i < end; {
			var kind uint32
			size := 1
			if c := p.n.text[i]; c < utf8.RuneSelf {
				kind = asciiBert[c]
			} else {
				r, n := utf8.DecodeRune(p.n.text[i:])
				kind, size = props(r)&(bitSpace|bitPunct), n
			}
			if kind == 0 {
				i += size
				continue
			}
			p.emit(from, i)
			if kind&bitSpace == 0 {
				p.emit(i, i+size)
			}
			i += size
			from = i
		}
		p.emit(from, end)
	}
	p.done()
}

// asciiBert is bitSpace or bitPunct for the ASCII characters that are.
var asciiBert = func() (kinds [utf8.RuneSelf]uint32) {
	for c := range kinds {
		switch {
		case asciiClass[c] == classSpace:
			kinds[c] = bitSpace
		case asciiClass[c] == classOther && c > ' ' && c < 0x7F:
			kinds[c] = bitPunct
		}
	}
	return kinds
}()

func splitSpaces(p *pretext) {
	for _, s := range p.spans {
		from, end := int(s.Start), int(s.End)
		for i := from; i < end; {
			r, size := rune(p.n.text[i]), 1
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRune(p.n.text[i:])
			}
			if isSpace(r) {
				p.emit(from, i)
				from = i + size
			}
			i += size
		}
		p.emit(from, end)
	}
	p.done()
}

// splitWords keeps the matches of \w+|[^\w\s]+, in the syntax of Rust's regex.
func splitWords(p *pretext) {
	for _, s := range p.spans {
		from, end := int(s.Start), int(s.End)
		last := uint32(bitSpace)
		for i := from; i < end; {
			r, size := utf8.DecodeRune(p.n.text[i:])
			kind := props(r) & (bitSpace | bitRustWord)
			if kind&bitRustWord != 0 {
				kind = bitRustWord
			}
			if kind != last {
				if last != bitSpace {
					p.emit(from, i)
				}
				from, last = i, kind
			}
			i += size
		}
		if last != bitSpace {
			p.emit(from, end)
		}
	}
	p.done()
}

// A metaspace writes spaces as the replacement, and splits before each.
type metaspace struct {
	replacement rune
	text        string
	scheme      string
	cut         bool
}

func metaspaceOf(v *value) (*metaspace, error) {
	r, err1 := v.char("replacement")
	cut, err2 := v.optionalBoolean("split", true)
	add, err3 := v.optionalBoolean("add_prefix_space", true)
	if err := first(err1, err2, err3); err != nil {
		return nil, err
	}
	m := &metaspace{replacement: r, text: string(r), scheme: "always", cut: cut}
	if v.keys["prepend_scheme"] != nil {
		s, err := v.text("prepend_scheme")
		if err != nil {
			return nil, err
		}
		m.scheme = s
	}
	switch m.scheme {
	case "always", "first":
		if !add {
			return nil, v.errorf("add_prefix_space does not match prepend_scheme")
		}
	case "never":
	default:
		return nil, v.unsupported("prepend_scheme", m.scheme)
	}
	return m, nil
}

func (m *metaspace) split(p *pretext) {
	n := p.n
	n.begin()
	for _, s := range p.spans {
		from, to := int(s.Start), int(s.End)
		start := len(n.out)
		lead := n.text[from] == ' ' || strings.HasPrefix(string(n.text[from:min(to, from+utf8.UTFMax)]), m.text)
		if !lead && (m.scheme == "always" || m.scheme == "first" && n.sourceAt(from).Start == 0) {
			n.insert(m.text, n.sourceAt(from))
		}
		last := from
		for i := from; i < to; i++ {
			if n.text[i] == ' ' {
				n.copy(last, i)
				n.insert(m.text, n.sourceAt(i))
				last = i + 1
			}
		}
		n.copy(last, to)
		if !m.cut {
			p.emit(start, len(n.out))
			continue
		}
		// A replacement goes with what follows it, so every one begins a span.
		for i := start + 1; i < len(n.out); i++ {
			if n.out[i] == m.text[0] && strings.HasPrefix(string(n.out[i:min(len(n.out), i+len(m.text))]), m.text) {
				p.emit(start, i)
				start = i
			}
		}
		p.emit(start, len(n.out))
	}
	n.commit()
	p.done()
}
