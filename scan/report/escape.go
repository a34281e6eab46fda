package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks is how many combining marks may follow one character. Living
// orthographies need up to four (Hebrew with cantillation, Vietnamese
// decomposed); more of them paint over the lines above and below.
const maxMarks = 4

// invisible lists characters that unicode.IsPrint accepts and that show as
// nothing, or as a blank of some width.
var invisible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, // combining grapheme joiner
		{Lo: 0x115f, Hi: 0x1160, Stride: 1}, // Hangul fillers
		{Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, // Khmer inherent vowels
		{Lo: 0x180b, Hi: 0x180f, Stride: 1}, // Mongolian variation selectors
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // Braille blank
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // Hangul filler
		{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, // variation selectors
		{Lo: 0xffa0, Hi: 0xffa0, Stride: 1}, // halfwidth Hangul filler
	},
	R32: []unicode.Range32{
		{Lo: 0x1d159, Hi: 0x1d159, Stride: 1}, // null notehead
		{Lo: 0xe0100, Hi: 0xe01ef, Stride: 1}, // variation selectors
	},
}

// visible reports whether a terminal shows r as something of its own. Besides
// controls it refuses format characters (bidi controls, zero width), line
// separators, blanks other than the space, private and unassigned code points.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.Is(invisible, r)
}

// rightToLeft reports whether s holds letters that a terminal with bidi
// support lets reorder the digits next to them. The ranges are the blocks
// whose code points default to the classes R and AL (UAX 44, DerivedBidiClass).
func rightToLeft(s string) bool {
	for _, r := range s {
		switch {
		case r < 0x590:
		case r <= 0x8ff, 0xfb1d <= r && r <= 0xfdff, 0xfe70 <= r && r <= 0xfefc,
			0x10800 <= r && r <= 0x10fff, 0x1e800 <= r && r <= 0x1efff:
			return true
		}
	}
	return false
}

// Plain makes s safe inside a line of a terminal and leaves readable text as
// it is, backslashes too.
func Plain(s string) string {
	if isPlainASCII(s) {
		return s
	}
	var b strings.Builder
	marks, based := 0, false // based: the character before can carry marks
	for i, r := range s {
		switch {
		case r == utf8.RuneError && invalidAt(s, i):
			fmt.Fprintf(&b, `\x%02x`, s[i])
			based = false
		case !visible(r):
			escape(&b, r)
			based = false
		case !unicode.Is(unicode.M, r):
			b.WriteRune(r)
			based, marks = unicode.In(r, unicode.L, unicode.N, unicode.So), 0
		case based && marks < maxMarks:
			b.WriteRune(r)
			marks++
		default:
			escape(&b, r)
		}
	}
	return b.String()
}

// quote makes a token readable and safe, escaped once: a Go string literal,
// in which QuoteToGraphic's idea of graphic is narrowed to what is visible.
func quote(s string) string { return Plain(strconv.QuoteToGraphic(s)) }

func isPlainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// invalidAt reports whether s[i] is not the start of a character.
func invalidAt(s string, i int) bool {
	_, size := utf8.DecodeRuneInString(s[i:])
	return size == 1
}

// escape writes r as in a Go string literal.
func escape(b *strings.Builder, r rune) {
	q := strconv.QuoteRuneToASCII(r)
	if q = q[1 : len(q)-1]; q == string(r) {
		q = fmt.Sprintf(`\x%02x`, r)
	}
	b.WriteString(q)
}

// clip shortens s to about n bytes, at a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
