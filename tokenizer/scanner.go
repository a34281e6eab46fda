package tokenizer

import "unicode/utf8"

// The patterns that public byte-level tokenizers split by, which are scanned by
// hand: regexp has no lookahead, and this is the inner loop of a tokenizer.
const (
	patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

	// cl100k_base, Llama-3
	patternCL100K = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	// Qwen2, Qwen3
	patternQwen = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	// o200k_base: GPT-4o, Llama-4
	patternO200K = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// A scanner is the end of the match that begins at pos, which is less than
// len(text). Each of these patterns matches at every position.
type scanner func(text []byte, pos int) int

var scanners = map[string]scanner{
	patternGPT2:   scanGPT2,
	patternCL100K: func(text []byte, pos int) int { return scanCL100K(text, pos, 3) },
	patternQwen:   func(text []byte, pos int) int { return scanCL100K(text, pos, 1) },
	patternO200K:  scanO200K,
}

// Classes of the patterns: a character is a letter, a number, a space, or other.
const (
	classOther = iota
	classLetter
	classNumber
	classSpace
)

var asciiClass = func() (c [utf8.RuneSelf]uint8) {
	for b := range c {
		switch {
		case b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z':
			c[b] = classLetter
		case b >= '0' && b <= '9':
			c[b] = classNumber
		case b == ' ' || b >= '\t' && b <= '\r':
			c[b] = classSpace
		}
	}
	return c
}()

// classOf is the class of the character at pos, and its length.
func classOf(text []byte, pos int) (class uint8, size int) {
	if c := text[pos]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, size := utf8.DecodeRune(text[pos:])
	p := props(r)
	switch category := uint32(1) << (p & gcMask); {
	case category&maskL != 0:
		return classLetter, size
	case category&maskN != 0:
		return classNumber, size
	case p&bitSpace != 0:
		return classSpace, size
	}
	return classOther, size
}

// run is the end of the run of a class from pos on.
func run(text []byte, pos int, class uint8) int {
	for pos < len(text) {
		if c := text[pos]; c < utf8.RuneSelf {
			if asciiClass[c] != class {
				return pos
			}
			pos++
			continue
		}
		c, size := classOf(text, pos)
		if c != class {
			return pos
		}
		pos += size
	}
	return pos
}

// spaces is the end of \s+(?!\S)|\s+ at a space: all of the run at the end of
// the text, else all but its last character, which goes with the word.
func spaces(text []byte, pos int) int {
	end := run(text, pos, classSpace)
	if end == len(text) {
		return end
	}
	_, size := utf8.DecodeLastRune(text[:end])
	if end-size > pos {
		return end - size
	}
	return end
}

// contraction is the end of 's|'t|'re|'ve|'m|'ll|'d at an apostrophe, or -1.
func contraction(text []byte, pos int, fold bool) int {
	lower := func(i int) byte {
		if i >= len(text) {
			return 0
		}
		c := text[i]
		if fold && c-'A' < 26 {
			c += 'a' - 'A'
		}
		return c
	}
	switch lower(pos + 1) {
	case 's', 't', 'm', 'd':
		return pos + 2
	case 'r', 'v':
		if lower(pos+2) == 'e' {
			return pos + 3
		}
	case 'l':
		if lower(pos+2) == 'l' {
			return pos + 3
		}
	case 0xC5: // ſ folds to s
		if fold && lower(pos+2) == 0xBF {
			return pos + 3
		}
	}
	return -1
}

func scanGPT2(text []byte, pos int) int {
	c := text[pos]
	if c == '\'' {
		if end := contraction(text, pos, false); end >= 0 {
			return end
		}
	}
	class, size := classOf(text, pos)
	if c == ' ' && pos+1 < len(text) {
		if next, nextSize := classOf(text, pos+1); next != classSpace {
			return run(text, pos+1+nextSize, next)
		}
	}
	if class == classSpace {
		return spaces(text, pos)
	}
	return run(text, pos+size, class)
}

func scanCL100K(text []byte, pos, digits int) int {
	c := text[pos]
	if c == '\'' {
		if end := contraction(text, pos, true); end >= 0 {
			return end
		}
	}
	class, size := classOf(text, pos)
	next, nextSize := uint8(classSpace), 0
	if pos+size < len(text) {
		next, nextSize = classOf(text, pos+size)
	}
	switch {
	case class == classLetter:
		return run(text, pos+size, classLetter)
	case class != classNumber && next == classLetter && c != '\r' && c != '\n':
		return run(text, pos+size+nextSize, classLetter)
	}
	return scanRest(text, pos, digits, "\r\n")
}

// scanRest matches \p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[after]*|\s*[\r\n]+|
// \s+(?!\S)|\s+ where there is no letter.
func scanRest(text []byte, pos, digits int, after string) int {
	class, size := classOf(text, pos)
	if class == classNumber {
		for end := pos + size; ; end += size {
			if digits--; digits == 0 || end == len(text) {
				return end
			}
			if class, size = classOf(text, end); class != classNumber {
				return end
			}
		}
	}
	from := pos
	if text[pos] == ' ' && pos+1 < len(text) {
		if next, _ := classOf(text, pos+1); next == classOther {
			class, from = classOther, pos+1
		}
	}
	if class == classOther {
		end := run(text, from, classOther)
		for end < len(text) && (text[end] == after[0] || text[end] == after[1] || len(after) > 2 && text[end] == after[2]) {
			end++
		}
		return end
	}
	// \s* takes the whole run and gives back up to its last line end.
	for end := run(text, pos, classSpace); end > pos; end-- {
		if c := text[end-1]; c == '\r' || c == '\n' {
			return end
		}
	}
	return spaces(text, pos)
}

const (
	maskUpper = 1<<gcLu | 1<<gcLt | 1<<gcLm | 1<<gcLo | maskM
	maskLower = 1<<gcLl | 1<<gcLm | 1<<gcLo | maskM
)

func maskAt(text []byte, pos int) (category uint32, size int) {
	r, size := rune(text[pos]), 1
	if r >= utf8.RuneSelf {
		r, size = utf8.DecodeRune(text[pos:])
	}
	return 1 << (props(r) & gcMask), size
}

func scanO200K(text []byte, pos int) int {
	if end := word200K(text, pos); end > pos {
		if end < len(text) && text[end] == '\'' {
			if more := contraction(text, end, true); more >= 0 {
				return more
			}
		}
		return end
	}
	return scanRest(text, pos, 3, "\r\n/")
}

// word200K is the end of the two word alternatives of o200k_base, or pos. Each
// is tried with the optional character before the word, then without.
func word200K(text []byte, pos int) int {
	category, size := maskAt(text, pos)
	prefixed := category&(maskL|maskN) == 0 && text[pos] != '\r' && text[pos] != '\n' && pos+size < len(text)
	var upper [2]int // end of [\p{Lu}…]* with the prefix, without
	for i, from := range [2]int{pos + size, pos} {
		if i == 0 && !prefixed {
			upper[i] = pos
			continue
		}
		end, last := from, -1 // last: the last of these that may also be lower
		for end < len(text) {
			category, size := maskAt(text, end)
			if category&maskUpper == 0 {
				break
			}
			if category&maskLower != 0 {
				last = end
			}
			end += size
		}
		upper[i] = end
		if end == from && i == 0 {
			upper[i] = pos // no \p{Lu}+ after the prefix
		}
		lower := end
		for lower < len(text) {
			category, size := maskAt(text, lower)
			if category&maskLower == 0 {
				break
			}
			lower += size
		}
		if lower > end {
			return lower
		}
		if last >= 0 { // give characters back until one is lower: it and no more
			_, size := maskAt(text, last)
			return last + size
		}
	}
	if upper[0] > pos {
		return upper[0]
	}
	return upper[1]
}
