package tui

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/btu-scan/btu-scan/scan/report"
)

// A class is what the characters of a token are.
type class uint8

const (
	classAny class = iota
	classASCII
	classDigits
	classPunctuation
	classLatin
	classCyrillic
	classGreek
	classHan
	classKana
	classHangul
	classArabic
	classHebrew
	classOther
	classMixed
	classInvisible
	classNameless
	classes
)

var classNames = [classes]string{"any", "ascii", "digits", "punct", "latin", "cyrillic", "greek", "han", "kana", "hangul", "arabic", "hebrew", "other", "mixed", "invisible", "no name"}

func (c class) String() string { return classNames[c] }

var scripts = []struct {
	class class
	table *unicode.RangeTable
}{
	{classLatin, unicode.Latin}, {classCyrillic, unicode.Cyrillic}, {classGreek, unicode.Greek}, {classHan, unicode.Han},
	{classKana, unicode.Hiragana}, {classKana, unicode.Katakana}, {classHangul, unicode.Hangul}, {classArabic, unicode.Arabic},
	{classHebrew, unicode.Hebrew},
}

// word is a token without what tokenizers write before or after its letters.
func word(token string) string {
	for _, mark := range []string{"##", "▁", "Ġ"} {
		if rest, ok := strings.CutPrefix(token, mark); ok && rest != "" {
			return rest
		}
	}
	if rest, ok := strings.CutSuffix(token, "</w>"); ok && rest != "" {
		return rest
	}
	return token
}

// classOf classifies a token: mixed is of several scripts, invisible has a
// character that a terminal would not show.
func classOf(token string) class {
	if token == "" {
		return classNameless
	}
	c, digits, letters := classAny, true, false
	ascii := true
	for _, r := range word(token) {
		if r < utf8.RuneSelf {
			switch {
			case r < ' ' || r == 0x7f:
				return classInvisible
			case r >= '0' && r <= '9':
			case r|0x20 >= 'a' && r|0x20 <= 'z':
				letters, digits = true, false
				c = merge(c, classLatin)
			default:
				digits = false
			}
			continue
		}
		ascii, digits = false, false
		if hidden(r) {
			return classInvisible
		}
		if !unicode.IsLetter(r) {
			continue
		}
		letters = true
		own := classOther
		for _, s := range scripts {
			if unicode.Is(s.table, r) {
				own = s.class
				break
			}
		}
		c = merge(c, own)
	}
	switch {
	case digits && ascii:
		return classDigits
	case !letters:
		return classPunctuation
	case ascii:
		return classASCII
	}
	return c
}

func merge(a, b class) class {
	switch {
	case a == classAny || a == b:
		return b
	case a == classHan && b == classKana, a == classKana && b == classHan: // Japanese
		return classKana
	}
	return classMixed
}

// hidden reports whether a terminal would not show r as something of its own.
func hidden(r rune) bool {
	s := string(r)
	return r != utf8.RuneError && report.Plain("a"+s) != "a"+s
}

// lookalikes are letters of other scripts that look like an ASCII one: the ones
// that Unicode's confusables list for lower and upper case.
var lookalikes = func() map[rune]rune {
	m := map[rune]rune{}
	const (
		other = "аеорсухіјѕԁһӏԛԝɡɑαορνιυκγτωАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
		ascii = "aeopcyxijsdhlqwgaaopviukytwABEKMHOPCTYXIJSABEZHIKMNOPTYX"
	)
	a := []rune(ascii)
	for i, r := range []rune(other) {
		m[r] = a[i]
	}
	return m
}()

// codePoint describes one character.
func codePoint(r rune) string {
	s := fmt.Sprintf("U+%04X", r)
	switch {
	case r == 0x20:
		return s + " space"
	case r == 0x200b || r == 0x200c || r == 0x200d || r == 0x2060 || r == 0xfeff:
		return s + " zero width"
	case unicode.Is(unicode.Bidi_Control, r):
		return s + " reorders text"
	case r < ' ' || r == 0x7f || unicode.Is(unicode.Cc, r):
		return s + " control"
	case hidden(r):
		return s + " invisible"
	}
	if like, ok := lookalikes[r]; ok {
		return fmt.Sprintf("%s %c, looks like %c", s, r, like)
	}
	if fold := r - 0xfee0; r >= 0xff01 && r <= 0xff5e {
		return fmt.Sprintf("%s %s, full width %c", s, report.Token(string(r)), fold)
	}
	name := strings.Trim(report.Token(string(r)), `"`)
	return s + " " + name
}
