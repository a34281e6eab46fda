package tokenizer

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A decoder rewrites the pieces of the tokens of a text, to be joined.
type decoder func(pieces []string) []string

func (t *builder) decoder(v *value) (decoder, error) {
	typ, err := v.kindOf()
	if err != nil {
		return nil, err
	}
	switch typ {
	case "Sequence":
		all, err := components(v, "decoders", t.decoder)
		if err != nil {
			return nil, err
		}
		return func(pieces []string) []string {
			for _, f := range all {
				pieces = f(pieces)
			}
			return pieces
		}, nil
	case "WordPiece":
		prefix, err1 := v.text("prefix")
		cleanup, err2 := v.boolean("cleanup")
		if err := first(err1, err2); err != nil {
			return nil, err
		}
		return wordPieceDecoder(prefix, cleanup), nil
	case "ByteLevel":
		t.byteLevels++
		return decodeBytes, nil
	case "ByteFallback":
		return decodeFallback, nil
	case "Metaspace":
		m, err := metaspaceOf(v)
		if err != nil {
			return nil, err
		}
		t.mark(string(m.replacement))
		return m.decode, nil
	case "Fuse":
		return func(pieces []string) []string { return []string{strings.Join(pieces, "")} }, nil
	case "Strip":
		r, err1 := v.char("content")
		start, err2 := v.integer("start")
		stop, err3 := v.integer("stop")
		if err := first(err1, err2, err3); err != nil {
			return nil, err
		}
		return stripDecoder(string(r), start, stop), nil
	case "Replace":
		return t.replaceDecoder(v)
	case "BPEDecoder":
		suffix, err := v.text("suffix")
		if err != nil {
			return nil, err
		}
		return suffixDecoder(suffix), t.multiply(v, 2)
	}
	return nil, v.unsupported("decoder", typ)
}

// each makes a decoder of what happens to one piece.
func each(f func(i int, piece string) string) decoder {
	return func(pieces []string) []string {
		for i, piece := range pieces {
			pieces[i] = f(i, piece)
		}
		return pieces
	}
}

func wordPieceDecoder(prefix string, cleanup bool) decoder {
	return each(func(i int, piece string) string {
		if i > 0 {
			if rest, ok := strings.CutPrefix(piece, prefix); ok {
				piece = rest
			} else {
				piece = " " + piece
			}
		}
		if cleanup {
			piece = cleaner(piece)
		}
		return piece
	})
}

// cleaner undoes the spaces of a tokenizer, one kind after another.
func cleaner(s string) string {
	for _, r := range [][2]string{
		{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"},
		{" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
	} {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	return s
}

// decodeBytes turns the characters of GPT-2 back to bytes; a piece with other
// characters is itself.
func decodeBytes(pieces []string) []string {
	var b []byte
	for _, piece := range pieces {
		at := len(b)
		var ok bool
		if b, ok = appendBytes(b, []byte(piece)); !ok {
			b = append(b[:at], piece...)
		}
	}
	return []string{string(appendValid(nil, b, nil))}
}

// fallbackByte is the byte that <0x00> to <0xFF> stand for.
func fallbackByte(piece string) (byte, bool) {
	if len(piece) != 6 || !strings.HasPrefix(piece, "<0x") || piece[5] != '>' {
		return 0, false
	}
	digits := piece[3:5]
	if digits[0] == '+' { // as Rust's from_str_radix
		digits = digits[1:]
	}
	n, err := strconv.ParseUint(digits, 16, 8)
	return byte(n), err == nil
}

func decodeFallback(pieces []string) []string {
	var out []string
	var b []byte
	flush := func() {
		if utf8.Valid(b) {
			if len(b) > 0 {
				out = append(out, string(b))
			}
		} else {
			for range b {
				out = append(out, "\uFFFD")
			}
		}
		b = b[:0]
	}
	for _, piece := range pieces {
		if c, ok := fallbackByte(piece); ok {
			b = append(b, c)
			continue
		}
		flush()
		out = append(out, piece)
	}
	flush()
	return out
}

func (m *metaspace) decode(pieces []string) []string {
	return each(func(i int, piece string) string {
		with := " "
		if i == 0 && m.scheme != "never" {
			with = ""
		}
		return strings.ReplaceAll(piece, m.text, with)
	})(pieces)
}

func stripDecoder(char string, start, stop int) decoder {
	return each(func(_ int, piece string) string {
		from, to := 0, len(piece)
		for i := 0; i < start && strings.HasPrefix(piece[from:], char); i++ {
			from += len(char)
		}
		for i := 0; i < stop && strings.HasSuffix(piece[:to], char); i++ {
			to -= len(char)
		}
		if to <= from {
			return ""
		}
		return piece[from:to]
	})
}

func (t *builder) replaceDecoder(v *value) (decoder, error) {
	content, err := v.text("content")
	if err != nil {
		return nil, err
	}
	kind, pattern, err := v.pattern()
	if err != nil {
		return nil, err
	}
	if content == " " {
		t.mark(pattern)
	}
	m, err := t.compile(v, kind, pattern)
	if err != nil {
		return nil, err
	}
	if err := t.multiply(v, m.growth(content)); err != nil {
		return nil, err
	}
	return each(func(_ int, piece string) string {
		var b strings.Builder
		last := 0
		if piece != "" {
			m.each([]byte(piece), func(from, to int) {
				b.WriteString(piece[last:from])
				b.WriteString(content)
				last = to
			})
		}
		b.WriteString(piece[last:])
		return b.String()
	}), nil
}

func suffixDecoder(suffix string) decoder {
	return func(pieces []string) []string {
		last := len(pieces) - 1
		return each(func(i int, piece string) string {
			with := " "
			if i == last {
				with = ""
			}
			return strings.ReplaceAll(piece, suffix, with)
		})(pieces)
	}
}
