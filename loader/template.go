package loader

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// template looks through a chat template, which is a Jinja program: libraries
// that render it in Jinja's sandbox stop most of what is looked for here, and
// not all of them do.
func (s *settings) template(name, text string) {
	t := template{text: text}
	t.read()
	for _, h := range t.hazards {
		s.add(RuleTemplate, SeverityHigh, name, "the chat template %s, at byte %d of it", h.what, h.off)
	}
}

const (
	// maxTemplateHazards caps what is said about one template.
	maxTemplateHazards = 5
	// maxTemplateNumber is below what fills memory or never ends, as a count of
	// characters or of turns; real templates count to 1,000 at most.
	maxTemplateNumber = 5e6
)

type templateHazard struct {
	off  int // of the token in the template
	what string
}

type templateKind uint8

const (
	templateName templateKind = iota
	templateString
	templateNumber
	templateOp // one character, or **
)

type templateToken struct {
	kind templateKind
	off  int
	text string // of a string: its value
}

// A template reads the code in a Jinja template, token by token.
type template struct {
	text    string
	hazards []templateHazard
	loops   []float64 // turns of the open for loops; 1 where it is not known
}

func (t *template) hazard(off int, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if len(t.hazards) < maxTemplateHazards && !slices.ContainsFunc(t.hazards, func(h templateHazard) bool { return h.what == what }) {
		t.hazards = append(t.hazards, templateHazard{off, what})
	}
}

// read goes through the blocks {{ }} and {% %}. The text between them, and
// comments, are no code.
func (t *template) read() {
	for at := 0; ; {
		i := strings.IndexByte(t.text[at:], '{')
		if i < 0 || at+i+1 >= len(t.text) {
			return
		}
		at += i + 2
		switch t.text[at-1] {
		case '#':
			end := strings.Index(t.text[at:], "#}")
			if end < 0 {
				return
			}
			at += end + 2
		case '{', '%':
			tokens, end := t.block(at, t.text[at-1])
			t.judge(tokens, t.text[at-1] == '%')
			at = end
		default:
			at--
		}
	}
}

// block splits a block into tokens, up to its end or the template's. As in
// Jinja, the end does not count inside brackets.
func (t *template) block(at int, open byte) (tokens []templateToken, end int) {
	closing := "%}"
	if open == '{' {
		closing = "}}"
	}
	depth := 0
	for at < len(t.text) {
		rest := t.text[at:]
		if depth == 0 && strings.HasPrefix(rest, closing) {
			return tokens, at + 2
		}
		r, width := utf8.DecodeRuneInString(rest)
		switch {
		case r == '\'' || r == '"':
			n := stringEnd(rest)
			tokens = append(tokens, templateToken{templateString, at, unescape(rest[1:max(1, n-1)])})
			width = n
		case r >= '0' && r <= '9':
			width = strings.IndexFunc(rest, func(r rune) bool { return !strings.ContainsRune("0123456789_.xXobOBabcdefABCDEF", r) })
			if width < 0 {
				width = len(rest)
			}
			tokens = append(tokens, templateToken{templateNumber, at, rest[:width]})
		case r == '_' || unicode.IsLetter(r):
			width = strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			if width < 0 {
				width = len(rest)
			}
			tokens = append(tokens, templateToken{templateName, at, rest[:width]})
		case unicode.IsSpace(r):
		case strings.HasPrefix(rest, "**"):
			width = 2
			tokens = append(tokens, templateToken{templateOp, at, "**"})
		default:
			if strings.ContainsRune("([{", r) {
				depth++
			} else if strings.ContainsRune(")]}", r) && depth > 0 {
				depth--
			}
			tokens = append(tokens, templateToken{templateOp, at, rest[:width]})
		}
		at += width
	}
	return tokens, at
}

// stringEnd is the length of the string that s starts with, quotes included.
func stringEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}

// unescape resolves Python's numeric escapes, by which names are hidden.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		digits, base := 0, 16
		switch s[i] {
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		case '0', '1', '2', '3', '4', '5', '6', '7':
			base = 8
			for digits = 1; digits < 3 && i+digits < len(s) && s[i+digits] >= '0' && s[i+digits] <= '7'; digits++ {
			}
			i--
		}
		if digits > 0 && i+digits < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+1+digits], base, 32); err == nil {
				b.WriteRune(rune(n))
				i += digits
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// hidden are names of Python's internals through which a template gets from a
// value to any code, whether as a name or in a string.
var hidden = strings.Fields(`__class__ __base__ __bases__ __mro__ __subclasses__ __init__ __globals__ __builtins__ __import__
	__getattribute__ __getattr__ __dict__ __self__ __func__ __code__ __closure__ __reduce__ __reduce_ex__ __call__ __loader__
	__spec__ __module__ __wrapped__ __new__ __init_subclass__ gi_frame gi_code cr_frame cr_code ag_frame f_globals f_builtins
	f_locals f_back tb_frame func_globals`)

// modules, calls and helpers are names that no chat template has a use for.
var (
	templateModules = strings.Fields("os subprocess importlib builtins ctypes shutil pty socket posix")
	templateCalls   = strings.Fields("eval exec popen Popen check_output getattr setattr globals breakpoint execfile")
	templateHelpers = strings.Fields("cycler joiner lipsum self")
)

// judge looks through the tokens of one block.
func (t *template) judge(tokens []templateToken, statement bool) {
	op := func(i int, text string) bool {
		return i >= 0 && i < len(tokens) && tokens[i].kind == templateOp && tokens[i].text == text
	}
	word := func(i int, texts ...string) bool {
		return i >= 0 && i < len(tokens) && tokens[i].kind == templateName && slices.Contains(texts, tokens[i].text)
	}
	if statement {
		t.statement(tokens)
	}
	product := 1.0
	for i, tok := range tokens {
		switch tok.kind {
		case templateName:
			switch {
			case op(i-1, ".") && strings.HasPrefix(tok.text, "_"), slices.Contains(hidden, tok.text):
				t.hazard(tok.off, "reads the hidden attribute %s", quoted(clipped(tok.text)))
			case op(i-1, "|") && tok.text == "attr":
				t.hazard(tok.off, "takes attributes by the filter attr")
			case !op(i-1, ".") && slices.Contains(templateModules, tok.text) && op(i+1, "."):
				t.hazard(tok.off, "reaches for the module %s", tok.text)
			case slices.Contains(templateCalls, tok.text) && op(i+1, "(") && !word(i-1, "macro"), op(i-1, ".") && tok.text == "system" && op(i+1, "("):
				t.hazard(tok.off, "calls %s", tok.text)
			case !op(i-1, ".") && slices.Contains(templateHelpers, tok.text) && (op(i+1, ".") || op(i+1, "[") || op(i+1, "|")):
				t.hazard(tok.off, "goes through %s, the usual way out of a template", tok.text)
			case (op(i+1, "~") || op(i+1, "+")) && word(i+2, tok.text) && !op(i-1, ".") && !op(i+3, ".") && !op(i+3, "["):
				t.hazard(tok.off, "doubles %s, which grows without end when repeated", quoted(clipped(tok.text)))
			}
		case templateString:
			s := tok.text
			for j := i; j+2 < len(tokens) && (op(j+1, "~") || op(j+1, "+")) && tokens[j+2].kind == templateString && len(s) < 200; j += 2 {
				s += tokens[j+2].text
			}
			for _, h := range hidden {
				if strings.HasPrefix(h, "__") && strings.Contains(s, h) {
					t.hazard(tok.off, "names the hidden attribute %q in a string", h)
				}
			}
			if op(i-1, "[") && strings.HasPrefix(s, "_") {
				t.hazard(tok.off, "reads the hidden attribute %s", quoted(clipped(s)))
			}
			if op(i-1, "(") && word(i-2, "map") && s == "attr" {
				t.hazard(tok.off, "takes attributes by the filter attr")
			}
		case templateNumber:
			n := templateValue(tok.text)
			switch {
			case op(i-1, "**"):
				product = math.Pow(product, n)
			case op(i-1, "*"):
				product *= n
			default:
				product = n
			}
			if product > maxTemplateNumber {
				t.hazard(tok.off, "counts to %.3g: more than memory or time allow", product)
			}
		}
	}
}

// statement looks at the first word of a {% %} block.
func (t *template) statement(tokens []templateToken) {
	for len(tokens) > 0 && tokens[0].kind == templateOp { // {%- and {%+
		tokens = tokens[1:]
	}
	if len(tokens) == 0 {
		return
	}
	switch first := tokens[0]; first.text {
	case "import", "include", "extends", "from":
		t.hazard(first.off, "loads another template (%s)", first.text)
	case "for":
		turns := 1.0
		for i, tok := range tokens {
			if tok.text == "range" && tok.kind == templateName {
				for _, arg := range tokens[i:] {
					if arg.kind == templateNumber {
						turns = max(turns, templateValue(arg.text))
					}
				}
			}
		}
		t.loops = append(t.loops, turns)
		all := 1.0
		for _, n := range t.loops {
			all *= n
		}
		if all > maxTemplateNumber {
			t.hazard(first.off, "loops %.3g times: more than time allows", all)
		}
	case "endfor":
		t.loops = t.loops[:max(0, len(t.loops)-1)]
	}
}

// templateValue is a number of Python's; what cannot be read counts as huge.
func templateValue(s string) float64 {
	s = strings.TrimRight(s, ".")
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return float64(n)
	}
	if f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64); err == nil {
		return f
	}
	return math.Inf(1)
}
