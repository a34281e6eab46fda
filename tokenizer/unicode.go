package tokenizer

import (
	"encoding/base64"
	"encoding/binary"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// Hugging Face's tokenizers mix several versions of Unicode: categories of
// version 16 in regular expressions (Oniguruma), of version 17 in Digits and
// Lowercase (Rust), of version 8 for punctuation and control characters in
// BertNormalizer (unicode_categories), of version 9 in the normal forms
// (unicode-normalization-alignments) and of version 16 in the grapheme clusters
// of Precompiled (unicode-segmentation). The tables of Go's unicode package are
// of one version, which moves with the toolchain: every property is therefore
// in tables.go, which the script made by asking Hugging Face's library about
// every code point (the clusters are from unicode-segmentation's own table).

// The properties of a code point: its general category in the low five bits,
// flags, its canonical combining class and its grapheme cluster class.
const (
	gcMask        = 31
	bitNumeric    = 1 << 5  // numeric to Digits
	bitRustWord   = 1 << 6  // \w of Rust's regex
	bitOnigWord   = 1 << 7  // \w of Oniguruma
	bitOther      = 1 << 8  // removed by BertNormalizer's clean_text
	bitNonspacing = 1 << 9  // removed by BertNormalizer's strip_accents
	bitMark       = 1 << 10 // removed by StripAccents
	bitPunct      = 1 << 11 // punctuation to BertPreTokenizer and Punctuation
	bitSpace      = 1 << 12 // White_Space, the \s of both regex engines
	bitHan        = 1 << 13 // set apart by handle_chinese_chars
	bitCanonical  = 1 << 14 // has a canonical decomposition
	bitCompat     = 1 << 15 // has a different compatibility decomposition
	bitSecond     = 1 << 16 // may compose with what precedes it
	bitComposite  = 1 << 17 // is the composition of its decomposition
	bitLower      = 1 << 18 // has a lower case
	cccShift      = 19
	clusterShift  = 27
	bitConjunct   = 1 << 31 // Indic_Conjunct_Break=Extend
)

// General categories as the script numbers them.
const (
	gcCn = iota
	gcLu
	gcLl
	gcLt
	gcLm
	gcLo
	gcMn
	gcMc
	gcMe
	gcNd
	gcNl
	gcNo
	gcPc
	gcPd
	gcPs
	gcPe
	gcPi
	gcPf
	gcPo
	gcSm
	gcSc
	gcSk
	gcSo
	gcZs
	gcZl
	gcZp
	gcCc
	gcCf
	gcCo
)

const (
	maskL = 1<<gcLu | 1<<gcLl | 1<<gcLt | 1<<gcLm | 1<<gcLo
	maskM = 1<<gcMn | 1<<gcMc | 1<<gcMe
	maskN = 1<<gcNd | 1<<gcNl | 1<<gcNo
	maskP = 1<<gcPc | 1<<gcPd | 1<<gcPs | 1<<gcPe | 1<<gcPi | 1<<gcPf | 1<<gcPo
	maskS = 1<<gcSm | 1<<gcSc | 1<<gcSk | 1<<gcSo
	maskZ = 1<<gcZs | 1<<gcZl | 1<<gcZp
	maskC = 1<<gcCn | 1<<gcCc | 1<<gcCf | 1<<gcCo
)

// Names of \p{...}; the masks are sets of general categories.
var categoryMasks = map[string]uint32{
	"l": maskL, "letter": maskL, "m": maskM, "mark": maskM, "n": maskN, "number": maskN,
	"p": maskP, "punctuation": maskP, "s": maskS, "symbol": maskS, "z": maskZ, "separator": maskZ,
	"c": maskC, "other": maskC,
	"lu": 1 << gcLu, "ll": 1 << gcLl, "lt": 1 << gcLt, "lm": 1 << gcLm, "lo": 1 << gcLo,
	"mn": 1 << gcMn, "mc": 1 << gcMc, "me": 1 << gcMe, "nd": 1 << gcNd, "nl": 1 << gcNl, "no": 1 << gcNo,
	"pc": 1 << gcPc, "pd": 1 << gcPd, "ps": 1 << gcPs, "pe": 1 << gcPe, "pi": 1 << gcPi, "pf": 1 << gcPf, "po": 1 << gcPo,
	"sm": 1 << gcSm, "sc": 1 << gcSc, "sk": 1 << gcSk, "so": 1 << gcSo,
	"zs": 1 << gcZs, "zl": 1 << gcZl, "zp": 1 << gcZp,
	"cc": 1 << gcCc, "cf": 1 << gcCf, "co": 1 << gcCo, "cn": 1 << gcCn,
}

// Grapheme cluster classes as the script numbers them.
const (
	clusterAny = iota
	clusterCR
	clusterLF
	clusterControl
	clusterL
	clusterV
	clusterT
	clusterLV
	clusterLVT
	clusterExtend
	clusterZWJ
	clusterSpacingMark
	clusterPrepend
	clusterRegional
	clusterPictographic
	clusterConsonant
)

var (
	loadTables sync.Once

	propertyIndex [0x1100]uint16 // page of each 256 code points
	propertyPages []uint32       // pages of 256 properties

	canonicalForms, compatForms, lowerForms forms
	compositions                            []composition
)

// props are the properties of a code point.
func props(r rune) uint32 {
	return propertyPages[int(propertyIndex[uint32(r)>>8])<<8|int(r&0xFF)]
}

func inMask(r rune, mask uint32) bool { return mask>>(props(r)&gcMask)&1 != 0 }

func isSpace(r rune) bool {
	if r < utf8.RuneSelf {
		return r == ' ' || r >= '\t' && r <= '\r'
	}
	return props(r)&bitSpace != 0
}

// forms are the sequences that some code points are replaced by.
type forms struct {
	keys []rune
	at   []uint32 // the form of keys[i] is runes[at[i]:at[i+1]]
	data []rune
}

func (f *forms) of(r rune) []rune {
	i := sort.Search(len(f.keys), func(i int) bool { return f.keys[i] >= r })
	if i == len(f.keys) || f.keys[i] != r {
		return nil
	}
	return f.data[f.at[i]:f.at[i+1]]
}

type composition struct{ first, second, composed rune }

// Hangul syllables are composed by arithmetic: Unicode 9.0, section 3.12.
const (
	hangulS = 0xAC00
	hangulL = 0x1100
	hangulV = 0x1161
	hangulT = 0x11A7

	hangulLCount = 19
	hangulVCount = 21
	hangulTCount = 28
	hangulNCount = hangulVCount * hangulTCount
	hangulSCount = hangulLCount * hangulNCount
)

func isHangul(r rune) bool { return r >= hangulS && r < hangulS+hangulSCount }

// compose is the primary composite of two code points, or 0.
func compose(a, b rune) rune {
	switch {
	case a >= hangulL && a < hangulL+hangulLCount && b >= hangulV && b < hangulV+hangulVCount:
		return hangulS + (a-hangulL)*hangulNCount + (b-hangulV)*hangulTCount
	case isHangul(a) && (a-hangulS)%hangulTCount == 0 && b > hangulT && b < hangulT+hangulTCount:
		return a + b - hangulT
	}
	i := sort.Search(len(compositions), func(i int) bool {
		c := &compositions[i]
		return c.first > a || c.first == a && c.second >= b
	})
	if i < len(compositions) && compositions[i].first == a && compositions[i].second == b {
		return compositions[i].composed
	}
	return 0
}

// varints reads the numbers of a table.
type varints []byte

func newVarints(table string) varints {
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(table, "\n", ""))
	if err != nil {
		panic("tokenizer: tables.go is damaged") // it is a constant: a test loads it
	}
	return b
}

func (v *varints) next() int {
	n, size := binary.Uvarint(*v)
	*v = (*v)[size:]
	return int(n)
}

func readTables() {
	v := newVarints(propertyRuns)
	values := make([]uint32, v.next())
	for i := range values {
		values[i] = uint32(v.next())
	}
	uniform := map[uint32]uint16{} // pages of one value are shared
	page := make([]uint32, 0, 256)
	from, value := 0, uint32(0)
	fill := func(to int) { // code points from..to have value
		for from < to {
			if len(page) == 0 && to-from >= 256 {
				at, ok := uniform[value]
				if !ok {
					at = uint16(len(propertyPages) >> 8)
					uniform[value] = at
					for range 256 {
						propertyPages = append(propertyPages, value)
					}
				}
				propertyIndex[from>>8] = at
				from += 256
				continue
			}
			page = append(page, value)
			from++
			if len(page) == 256 {
				propertyIndex[(from-1)>>8] = uint16(len(propertyPages) >> 8)
				propertyPages = append(propertyPages, page...)
				page = page[:0]
			}
		}
	}
	propertyPages = make([]uint32, 0, 320*256)
	for start := 0; len(v) > 0; {
		start += v.next()
		fill(start)
		value = values[v.next()]
	}
	fill(utf8.MaxRune + 1)

	canonicalForms = readForms(canonicalData)
	compatForms = readForms(compatData)
	lowerForms = readForms(lowerData)
	v = newVarints(composeData)
	compositions = make([]composition, v.next())
	first := 0
	for i := range compositions {
		first += v.next()
		compositions[i] = composition{rune(first), rune(v.next()), rune(v.next())}
	}
}

func readForms(table string) forms {
	v := newVarints(table)
	n := v.next()
	f := forms{keys: make([]rune, n), at: make([]uint32, n+1), data: make([]rune, 0, 3*n)}
	key := 0
	for i := range n {
		key += v.next()
		f.keys[i] = rune(key)
		for range v.next() {
			f.data = append(f.data, rune(v.next()))
		}
		f.at[i+1] = uint32(len(f.data))
	}
	return f
}

// appendValid appends text with each maximal subpart of an ill-formed sequence
// replaced by U+FFFD, as Python's errors="replace" and Rust's from_utf8_lossy
// do (Unicode 16, section 3.9, "U+FFFD Substitution of Maximal Subparts"); Go's
// own conversions replace each byte. origin, if not nil, gets for every byte
// appended the offset in text that it begins at.
func appendValid(dst []byte, text []byte, origin *[]int32) []byte {
	for i := 0; i < len(text); {
		n, ok := sequence(text[i:])
		if ok {
			dst = append(dst, text[i:i+n]...)
			if origin != nil {
				for j := range n {
					*origin = append(*origin, int32(i+j))
				}
			}
		} else {
			dst = append(dst, "\uFFFD"...)
			if origin != nil {
				*origin = append(*origin, int32(i), int32(i), int32(i))
			}
		}
		i += n
	}
	return dst
}

// sequence is the length of the well-formed sequence that b begins with, or of
// the maximal subpart of an ill-formed one.
func sequence(b []byte) (n int, ok bool) {
	low, high, size := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c < 0x80:
		return 1, true
	case c >= 0xC2 && c <= 0xDF:
		size = 2
	case c >= 0xE0 && c <= 0xEF:
		size = 3
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		size = 4
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	default:
		return 1, false
	}
	for n = 1; n < size; n++ {
		if n == len(b) || b[n] < low || b[n] > high {
			return n, false
		}
		low, high = 0x80, 0xBF
	}
	return size, true
}

// runeLen is the length of the character of valid UTF-8 that begins with b.
func runeLen(b byte) int {
	switch {
	case b < 0x80:
		return 1
	case b < 0xE0:
		return 2
	case b < 0xF0:
		return 3
	}
	return 4
}

// scriptSet is the code points of a script whose name is in lower case, or nil.
func scriptSet(name string) runeSet {
	v := newVarints(scriptData)
	for len(v) > 0 {
		var s runeSet
		size := v.next()
		found := string(v[:size]) == name
		v = v[size:]
		at := 0
		for range v.next() {
			at += v.next()
			s = append(s, rune(at))
		}
		if found {
			return s
		}
	}
	return nil
}
