package tokenizer

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A matcher finds the matches of a pattern, as Oniguruma's find_iter does.
type matcher struct {
	literal []byte
	scan    scanner
	re      *regexp.Regexp
	tail    bool // the last alternatives are \s+(?!\S)|\s+, group 1 of re
}

// each calls f for every match.
func (m *matcher) each(text []byte, f func(from, to int)) {
	switch {
	case m.literal != nil:
		for at := 0; ; {
			i := bytes.Index(text[at:], m.literal)
			if i < 0 {
				return
			}
			f(at+i, at+i+len(m.literal))
			at += i + len(m.literal)
		}
	case m.scan != nil:
		for at := 0; at < len(text); {
			end := m.scan(text, at)
			f(at, end)
			at = end
		}
	case m.tail:
		for at := 0; at < len(text); {
			loc := m.re.FindSubmatchIndex(text[at:])
			if loc == nil {
				return
			}
			from, to := at+loc[0], at+loc[1]
			if loc[2] >= 0 {
				to = spaces(text, from)
			}
			f(from, to)
			at = to
		}
	default:
		for _, loc := range m.re.FindAllIndex(text, -1) {
			f(loc[0], loc[1])
		}
	}
}

// growth is how many times longer a text is at most with content for every
// match.
func (m *matcher) growth(content string) float64 {
	size := float64(len(content))
	switch {
	case m.literal != nil:
		return size / float64(len(m.literal))
	case m.re != nil && m.re.MatchString(""): // it may match before every character
		return 1 + size
	}
	return size
}

// Limits of regular expressions; the longest public one has 600 bytes.
const (
	maxPattern  = 2 << 10
	maxPatterns = 64
)

func (t *builder) compile(v *value, kind, pattern string) (*matcher, error) {
	if kind == "String" && pattern != "" {
		return &matcher{literal: []byte(pattern)}, nil
	}
	if s := scanners[pattern]; s != nil {
		return &matcher{scan: s}, nil
	}
	if t.patterns++; t.patterns > maxPatterns {
		return nil, v.errorf("more than %d patterns: %w", maxPatterns, ErrUnsupported)
	}
	m, err := compilePattern(pattern)
	if err != nil {
		return nil, v.errorf("pattern %s: %w: %w", quote(pattern), err, ErrUnsupported)
	}
	return m, nil
}

// compilePattern translates the common part of Oniguruma's syntax to Go's.
// Classes become explicit ranges, of Oniguruma's version of Unicode.
func compilePattern(pattern string) (*matcher, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("longer than %d bytes", maxPattern)
	}
	p := &patternParser{s: pattern}
	alternatives, err := p.alternatives()
	if err != nil {
		return nil, fmt.Errorf("at %d: %w", p.i, err)
	}
	if p.i < len(p.s) {
		return nil, fmt.Errorf("at %d: unbalanced parenthesis", p.i)
	}
	m := &matcher{}
	last := len(alternatives) - 1
	if p.lookahead > 0 {
		if p.lookahead > 1 || last < 1 || alternatives[last-1] != lookaheadTail || p.begin ||
			!strings.HasSuffix(pattern, `|\s+(?!\S)|\s+`) && !strings.HasSuffix(pattern, `|\s+(?!\S)|\s`) {
			return nil, fmt.Errorf("lookahead other than |\\s+(?!\\S)|\\s+ at the end")
		}
		m.tail = true
		space, err := (&patternParser{s: `\s+`}).alternatives()
		if err != nil {
			return nil, err
		}
		alternatives = append(alternatives[:last-1:last-1], "("+space[0]+")")
	}
	m.re, err = regexp.Compile(strings.Join(alternatives, "|"))
	if err != nil {
		return nil, err
	}
	if m.tail && m.re.MatchString("") {
		return nil, fmt.Errorf("lookahead in a pattern that matches nothing")
	}
	return m, nil
}

// lookaheadTail stands for the alternative \s+(?!\S) until it is replaced.
const lookaheadTail = "\x00lookahead"

type patternParser struct {
	s         string
	i         int
	depth     int
	fold      int  // depth of (?i:
	begin     bool // has ^ or \A
	lookahead int
	sets      map[string]runeSet // of properties, which take a while to find
}

func (p *patternParser) has(prefix string) bool {
	if strings.HasPrefix(p.s[p.i:], prefix) {
		p.i += len(prefix)
		return true
	}
	return false
}

func (p *patternParser) alternatives() ([]string, error) {
	if p.depth++; p.depth > 50 {
		return nil, fmt.Errorf("nested too deep")
	}
	defer func() { p.depth-- }()
	var all []string
	for {
		if p.depth == 1 && p.has(`\s+(?!\S)`) {
			if p.i < len(p.s) && p.s[p.i] != '|' {
				return nil, fmt.Errorf("lookahead")
			}
			p.lookahead++
			all = append(all, lookaheadTail)
		} else {
			s, err := p.sequence()
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		if !p.has("|") {
			return all, nil
		}
	}
}

func (p *patternParser) sequence() (string, error) {
	var b strings.Builder
	folded := ""
	for p.i < len(p.s) && p.s[p.i] != '|' && p.s[p.i] != ')' {
		from := p.i
		atom, err := p.atom()
		if err != nil {
			return "", err
		}
		if p.fold > 0 {
			// Oniguruma folds some pairs of characters to one, as ss to ß.
			folded += strings.ToLower(p.s[from:p.i])
			for _, pair := range []string{"ss", "ff", "fi", "fl", "st"} {
				if strings.Contains(folded, pair) {
					return "", fmt.Errorf("%s without case", pair)
				}
			}
		}
		suffix, err := p.quantifier()
		if err != nil {
			return "", err
		}
		b.WriteString(atom)
		b.WriteString(suffix)
	}
	return b.String(), nil
}

func (p *patternParser) quantifier() (string, error) {
	if p.i >= len(p.s) {
		return "", nil
	}
	suffix := ""
	switch c := p.s[p.i]; c {
	case '*', '+', '?':
		p.i++
		suffix = string(c)
	case '{':
		end := strings.IndexByte(p.s[p.i:], '}')
		if end < 0 {
			return "", fmt.Errorf("lone {")
		}
		low, high, comma := strings.Cut(p.s[p.i+1:p.i+end], ",")
		if low == "" && comma {
			low = "0"
		}
		if _, err := strconv.ParseUint(low, 10, 10); err != nil {
			return "", fmt.Errorf("bad repetition")
		}
		if _, err := strconv.ParseUint(high, 10, 10); err != nil && high != "" {
			return "", fmt.Errorf("bad repetition")
		}
		suffix = "{" + low
		if comma {
			suffix += "," + high
		}
		suffix += "}"
		p.i += end + 1
		if p.i < len(p.s) && strings.IndexByte("?*+{", p.s[p.i]) >= 0 {
			return "", fmt.Errorf("repetition of a repetition")
		}
		return suffix, nil
	default:
		return "", nil
	}
	if p.i < len(p.s) {
		switch p.s[p.i] {
		case '?':
			p.i++
			suffix += "?"
		case '+', '*', '{':
			return "", fmt.Errorf("possessive or repeated repetition")
		}
		if p.i < len(p.s) && strings.IndexByte("?*+{", p.s[p.i]) >= 0 {
			return "", fmt.Errorf("repetition of a repetition")
		}
	}
	return suffix, nil
}

func (p *patternParser) atom() (string, error) {
	switch c := p.s[p.i]; c {
	case '(':
		open := "(?:"
		switch {
		case p.has("(?:"):
		case p.has("(?i:"):
			open = "(?i:"
			p.fold++
			defer func() { p.fold-- }()
		case strings.HasPrefix(p.s[p.i:], "(?"):
			return "", fmt.Errorf("group %s", p.s[p.i:min(len(p.s), p.i+4)])
		default:
			p.i++
		}
		all, err := p.alternatives()
		if err != nil {
			return "", err
		}
		if !p.has(")") {
			return "", fmt.Errorf("unbalanced parenthesis")
		}
		return open + strings.Join(all, "|") + ")", nil
	case '[':
		if p.fold > 0 {
			return "", fmt.Errorf("class without case")
		}
		set, err := p.class()
		if err != nil {
			return "", err
		}
		return set.pattern()
	case '.':
		p.i++
		return `[^\n]`, nil
	case '^':
		p.i++
		p.begin = true
		return `(?m:^)`, nil
	case '$':
		p.i++
		return `(?m:$)`, nil
	case '*', '+', '?', '{':
		return "", fmt.Errorf("nothing to repeat")
	case '\\':
		if p.has(`\A`) {
			p.begin = true
			return `\A`, nil
		}
		if p.has(`\z`) {
			return `\z`, nil
		}
		set, err := p.escape(false)
		if err != nil {
			return "", err
		}
		if len(set) == 2 && set[0] == set[1] {
			return literal(set[0], p.fold > 0)
		}
		if p.fold > 0 {
			return "", fmt.Errorf("class without case")
		}
		return set.pattern()
	}
	r, size := utf8.DecodeRuneInString(p.s[p.i:])
	p.i += size
	return literal(r, p.fold > 0)
}

func literal(r rune, fold bool) (string, error) {
	if fold && r >= utf8.RuneSelf {
		return "", fmt.Errorf("%U without case", r)
	}
	return regexp.QuoteMeta(string(r)), nil
}

// A runeSet is sorted pairs of first and last code point.
type runeSet []rune

func (s runeSet) pattern() (string, error) {
	if len(s) == 0 {
		return "", fmt.Errorf("empty class")
	}
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; i < len(s); i += 2 {
		fmt.Fprintf(&b, `\x{%x}-\x{%x}`, s[i], s[i+1])
	}
	b.WriteByte(']')
	return b.String(), nil
}

// sorted is the set of pairs in any order.
func (s runeSet) sorted() runeSet {
	type pair struct{ from, to rune }
	pairs := make([]pair, 0, len(s)/2)
	for i := 0; i < len(s); i += 2 {
		pairs = append(pairs, pair{s[i], s[i+1]})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return int(a.from - b.from) })
	var all runeSet
	for _, p := range pairs {
		if n := len(all); n > 0 && p.from <= all[n-1]+1 {
			all[n-1] = max(all[n-1], p.to)
		} else {
			all = append(all, p.from, p.to)
		}
	}
	return all
}

func (s runeSet) negate() runeSet {
	var not runeSet
	next := rune(0)
	for i := 0; i < len(s); i += 2 {
		if s[i] > next {
			not = append(not, next, s[i]-1)
		}
		next = s[i+1] + 1
	}
	if next <= utf8.MaxRune {
		not = append(not, next, utf8.MaxRune)
	}
	return not
}

func (s runeSet) intersect(t runeSet) runeSet {
	return append(s.negate(), t.negate()...).sorted().negate()
}

// setOf is the set of code points whose properties f holds for, remembered by
// name.
func (p *patternParser) setOf(name string, f func(p uint32) bool) runeSet {
	if s, ok := p.sets[name]; ok {
		return s
	}
	var s runeSet
	in := false
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if f(props(r)) != in {
			in = !in
			if in {
				s = append(s, r)
			} else {
				s = append(s, r-1)
			}
		}
	}
	if in {
		s = append(s, utf8.MaxRune)
	}
	s = s[:len(s):len(s)]
	if p.sets == nil {
		p.sets = map[string]runeSet{}
	}
	p.sets[name] = s
	return s
}

// class parses a bracketed class, with nested classes and intersections.
func (p *patternParser) class() (runeSet, error) {
	if p.depth++; p.depth > 50 {
		return nil, fmt.Errorf("nested too deep")
	}
	defer func() { p.depth-- }()
	p.i++ // [
	negated := p.has("^")
	var set, left runeSet
	and := false
	finish := func() {
		set = set.sorted()
		if and {
			set = left.intersect(set)
		}
	}
	for start := true; ; start = false {
		if p.i >= len(p.s) {
			return nil, fmt.Errorf("unfinished class")
		}
		switch {
		case p.s[p.i] == ']' && start:
			return nil, fmt.Errorf("empty class")
		case p.s[p.i] == ']':
			p.i++
			finish()
			if negated {
				set = set.negate()
			}
			return set, nil
		case strings.HasPrefix(p.s[p.i:], "[:"):
			return nil, fmt.Errorf("POSIX class")
		case p.s[p.i] == '[':
			nested, err := p.class()
			if err != nil {
				return nil, err
			}
			set = append(set, nested...)
			continue
		case p.has("&&"):
			finish()
			left, set, and = set, nil, true
			continue
		}
		item, err := p.classItem()
		if err != nil {
			return nil, err
		}
		if p.i+1 < len(p.s) && p.s[p.i] == '-' && p.s[p.i+1] != ']' {
			p.i++
			if len(item) != 2 || item[0] != item[1] || p.s[p.i] == '[' {
				return nil, fmt.Errorf("range from a class")
			}
			to, err := p.classItem()
			if err != nil {
				return nil, err
			}
			if len(to) != 2 || to[0] != to[1] || to[0] < item[0] {
				return nil, fmt.Errorf("bad range")
			}
			item = runeSet{item[0], to[0]}
		}
		set = append(set, item...)
	}
}

func (p *patternParser) classItem() (runeSet, error) {
	if p.i >= len(p.s) {
		return nil, fmt.Errorf("unfinished class")
	}
	if p.s[p.i] == '\\' {
		return p.escape(true)
	}
	r, size := utf8.DecodeRuneInString(p.s[p.i:])
	p.i += size
	return runeSet{r, r}, nil
}

func (p *patternParser) escape(inClass bool) (runeSet, error) {
	p.i++ // the backslash
	if p.i >= len(p.s) {
		return nil, fmt.Errorf("lone backslash")
	}
	c := p.s[p.i]
	one := func(r rune) (runeSet, error) { p.i++; return runeSet{r, r}, nil }
	class := func(s runeSet, not bool) (runeSet, error) {
		p.i++
		if not {
			s = s.negate()
		}
		return s, nil
	}
	switch c {
	case 'n':
		return one('\n')
	case 'r':
		return one('\r')
	case 't':
		return one('\t')
	case 'f':
		return one('\f')
	case 'v':
		return one('\v')
	case 's', 'S':
		return class(p.setOf(`\s`, func(p uint32) bool { return p&bitSpace != 0 }), c == 'S')
	case 'd', 'D':
		return class(p.setOf(`\d`, func(p uint32) bool { return p&gcMask == gcNd }), c == 'D')
	case 'w', 'W':
		word := p.setOf(`\w`, func(p uint32) bool { return p&bitOnigWord != 0 })
		if inClass { // there Oniguruma has another table for Latin-1
			word = word.intersect(runeSet{0xB2, 0xB3, 0xB9, 0xB9, 0xBC, 0xBE}.negate())
		}
		return class(word, c == 'W')
	case 'u', 'x':
		p.i++
		digits := ""
		switch {
		case c == 'x' && p.has("{"):
			end := strings.IndexByte(p.s[p.i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("bad escape")
			}
			digits = p.s[p.i : p.i+end]
			p.i += end + 1
		case c == 'u' && p.i+4 <= len(p.s):
			digits = p.s[p.i : p.i+4]
			p.i += 4
		case c == 'x' && p.i+2 <= len(p.s):
			digits = p.s[p.i : p.i+2]
			p.i += 2
			if digits > "7f" { // a byte of UTF-8 to Oniguruma
				return nil, fmt.Errorf("bad escape")
			}
		}
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || n > utf8.MaxRune {
			return nil, fmt.Errorf("bad escape")
		}
		return runeSet{rune(n), rune(n)}, nil
	case 'p', 'P':
		not := c == 'P'
		p.i++
		if !p.has("{") {
			return nil, fmt.Errorf("bad property")
		}
		if p.has("^") {
			not = !not
		}
		end := strings.IndexByte(p.s[p.i:], '}')
		if end < 0 {
			return nil, fmt.Errorf("bad property")
		}
		name := strings.ToLower(p.s[p.i : p.i+end])
		p.i += end
		if mask, ok := categoryMasks[name]; ok {
			return class(p.setOf(name, func(p uint32) bool { return mask>>(p&gcMask)&1 != 0 }), not)
		}
		if s := scriptSet(name); s != nil {
			return class(s, not)
		}
		return nil, fmt.Errorf("property %s", quote(name))
	}
	r, size := utf8.DecodeRuneInString(p.s[p.i:])
	if r >= utf8.RuneSelf || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return nil, fmt.Errorf("escape \\%c", r)
	}
	p.i += size
	return runeSet{r, r}, nil
}
