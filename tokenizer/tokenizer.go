// Package tokenizer splits text into the tokens of a model, exactly as Hugging
// Face's tokenizers library does with the model's own files: ids and offsets.
//
// Every byte of those files, and of the text, may be chosen by an attacker.
// Open checks every length, id and offset before it uses it and answers with an
// error that says where in the file it comes from; what it does not do exactly
// as the library is an error that matches ErrUnsupported, never another result.
// Nothing panics. Memory is bounded by a multiple of the files and of the text,
// and time by the length of the text times that of the longest piece (n log n for
// a long word that is merged): hash tables are keyed with a secret of the process,
// and a normalizer that may make a text thousands of times longer is refused. Only
// a file's own regular expression, of which the common ones are scanned by hand,
// may take time quadratic in a text, as any search for all matches can.
//
// A Tokenizer does not change once it is open, and may be used concurrently.
package tokenizer

import (
	"math"
	"sync"
	"unicode/utf8"
)

// A Tokenizer turns text into tokens and back.
type Tokenizer struct {
	model     model
	normalize normalizer // or nil
	pre       []pretokenizer
	post      postprocessor
	decode    decoder // or nil

	raw, normal *addedSet             // added tokens to find in the text as given, as normalized
	added       map[int32]*addedToken // by id
	addedIDs    map[string]int32
	special     map[string]bool // contents of special tokens
	length      int
	maxText     int

	track bool // offsets matter to the tokens themselves
	words words

	pool sync.Pool // of *scratch
}

// scratch is what an Encode needs, kept for the next.
type scratch struct {
	n, part   normalized
	p         pretext
	outer     []stretch
	inner     []stretch
	tokens    []token
	symbols   []symbol
	heap      []pending
	steps     []step
	piece     []byte
	text      []byte // the text, valid
	origin    []int32
	ids       []int32
	spans     []Span
	limit     int
	wantSpans bool
}

// An Encoding is the tokens of a text.
type Encoding struct {
	IDs []int32
	// Offsets are the bytes of the text that each token came from. They are {0, 0}
	// for the tokens of the post-processor, and the tokens of one character that is
	// written in several bytes all have the whole of it. They may overlap where a
	// normalizer has moved characters.
	Offsets []Span
	// WordStart says which tokens begin a word, by their own mark or by the text
	// before them: unlike StartsWord it is true at the beginning of a text whose
	// first word has no mark, of punctuation, and after it.
	WordStart []bool
	// Prefix and Suffix are how many of the first and the last tokens come from
	// the post-processor, such as [CLS] and [SEP].
	Prefix, Suffix int
}

// maxText is how much of a text is looked at, divided by how many times longer
// the normalizer may make it: offsets have 32 bits.
const maxText = 1 << 30

// Encode splits a text, and adds the tokens of the post-processor. Bytes that are
// not UTF-8 count as U+FFFD, as Python's errors="replace" has it; offsets are
// those of the text given all the same. Truncation and padding of the file are
// left to the caller. No more is looked at than the first GiB, divided by how many
// times longer the normalizer of the file can make a text.
func (t *Tokenizer) Encode(text string) Encoding { return t.EncodeMax(text, math.MaxInt) }

// EncodeMax is Encode cut to at most max tokens: the post-processor's all stay,
// and the first of the text fill the rest.
func (t *Tokenizer) EncodeMax(text string, max int) Encoding {
	s := t.scratch()
	defer t.release(s)
	prefix, suffix := t.post.prefix, t.post.suffix
	s.wantSpans = true
	t.run(s, text, max-len(prefix)-len(suffix))

	n := len(prefix) + len(s.ids) + len(suffix)
	e := Encoding{
		IDs:       make([]int32, 0, n),
		Offsets:   make([]Span, n),
		WordStart: make([]bool, n),
		Prefix:    len(prefix),
		Suffix:    len(suffix),
	}
	e.IDs = append(append(append(e.IDs, prefix...), s.ids...), suffix...)
	copy(e.Offsets[len(prefix):], s.spans)
	for i, id := range s.ids {
		span := s.spans[i]
		e.WordStart[len(prefix)+i] = t.StartsWord(id) || t.wordBegins(s.text, span, id)
	}
	if len(s.origin) > 0 { // offsets so far are of the text with U+FFFD
		for i := range e.Offsets[len(prefix) : len(prefix)+len(s.ids)] {
			o := &e.Offsets[len(prefix)+i]
			o.Start, o.End = s.origin[o.Start], s.origin[o.End]
		}
	}
	return e
}

// wordBegins reports whether a token begins a word where it stands: not within a
// run of letters, marks and numbers, and not with white space.
func (t *Tokenizer) wordBegins(text []byte, span Span, id int32) bool {
	if t.words.marked(t.pieceBytes(id)) || t.Special(id) || span.Start >= span.End {
		return false // such as ##ing, which never begins a word
	}
	const word = maskL | maskM | maskN
	r, _ := utf8.DecodeRune(text[span.Start:span.End])
	if isSpace(r) {
		return false
	}
	before, size := utf8.DecodeLastRune(text[:span.Start])
	return size == 0 || !inMask(before, word) || !inMask(r, word)
}

// EncodeIDs appends the ids of a text to dst, with the tokens of the
// post-processor if special is set. It is faster than Encode, as nothing keeps
// track of offsets.
func (t *Tokenizer) EncodeIDs(dst []int32, text string, special bool) []int32 {
	s := t.scratch()
	defer t.release(s)
	s.wantSpans = false
	t.run(s, text, math.MaxInt)
	if special {
		dst = append(dst, t.post.prefix...)
	}
	dst = append(dst, s.ids...)
	if special {
		dst = append(dst, t.post.suffix...)
	}
	return dst
}

func (t *Tokenizer) scratch() *scratch {
	if s, ok := t.pool.Get().(*scratch); ok {
		return s
	}
	return &scratch{}
}

// release keeps the scratch of a text that was not exceptionally long.
func (t *Tokenizer) release(s *scratch) {
	const most = 1 << 20
	if cap(s.text) < most && cap(s.n.text) < most && cap(s.n.out) < most && cap(s.heap) < most && cap(s.steps) < most {
		t.pool.Put(s)
	}
}

// run leaves the tokens of the text in s, without the post-processor's.
func (t *Tokenizer) run(s *scratch, text string, limit int) {
	s.ids, s.spans, s.origin = s.ids[:0], s.spans[:0], s.origin[:0]
	s.limit = limit
	if len(text) > t.maxText {
		text = text[:t.maxText]
	}
	s.text = append(s.text[:0], text...)
	if !utf8.Valid(s.text) {
		s.text = appendValid(s.text[:0], []byte(text), &s.origin)
		s.origin = append(s.origin, int32(len(text)))
	}
	s.outer = t.raw.split(s.outer[:0], s.text)
	for _, o := range s.outer {
		if len(s.ids) >= limit {
			return
		}
		if o.token != nil {
			t.emit(s, o.token.id, Span{int32(o.from), int32(o.to)}, s.text[o.from:o.to])
			continue
		}
		s.n.reset(s.text[o.from:o.to], o.from, s.wantSpans || t.track)
		if t.normalize != nil {
			t.normalize(&s.n)
		}
		s.n.origin = s.n.start(0)
		s.inner = t.normal.split(s.inner[:0], s.n.text)
		for _, i := range s.inner {
			switch {
			case len(s.ids) >= limit:
				return
			case i.token != nil:
				t.emit(s, i.token.id, s.n.offsets(i.from, i.to), s.n.text[i.from:i.to])
			case len(s.inner) == 1:
				t.tokenize(s, &s.n)
			default: // pre-tokenizers may rewrite the text, but for this stretch only
				s.part.slice(&s.n, i.from, i.to)
				t.tokenize(s, &s.part)
			}
		}
	}
}

// tokenize does what follows the normalizer.
func (t *Tokenizer) tokenize(s *scratch, n *normalized) {
	s.p.n = n
	s.p.spans = append(s.p.spans[:0], Span{0, int32(len(n.text))})
	for _, f := range t.pre {
		f(&s.p)
	}
	values := len(t.post.trims) > 0
	for _, span := range s.p.spans {
		if len(s.ids) >= s.limit {
			return
		}
		word := n.text[span.Start:span.End]
		s.tokens = t.model.tokenize(s.tokens[:0], word, s)
		for _, k := range s.tokens {
			if !s.wantSpans {
				if len(s.ids) < s.limit {
					s.ids = append(s.ids, k.id)
				}
				continue
			}
			var value []byte
			if values {
				value = t.value(k, word)
			}
			t.emit(s, k.id, n.offsets(int(span.Start+k.from), int(span.Start+k.to)), value)
		}
	}
}

// value is what Hugging Face's Token has as its value, which trims look at.
func (t *Tokenizer) value(k token, word []byte) []byte {
	if m, ok := t.model.(*unigram); ok {
		if piece := m.vocab.token(k.id); m.fallback != nil && len(piece) == 6 && piece[0] == '<' {
			return piece // or a text of the same
		}
		return word[k.from:k.to]
	}
	return t.model.pieces().token(k.id)
}

func (t *Tokenizer) emit(s *scratch, id int32, span Span, value []byte) {
	if len(s.ids) >= s.limit {
		return
	}
	if s.wantSpans {
		if len(t.post.trims) > 0 {
			span = t.post.apply(span, len(s.ids), value, s.text)
		}
		s.spans = append(s.spans, span)
	}
	s.ids = append(s.ids, id)
}

// Decode joins the tokens back to text, as far as they tell; ids without a piece
// are left out. With skipSpecial so are special tokens.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	pieces := make([]string, 0, len(ids))
	for _, id := range ids {
		piece, ok := t.piece(id)
		if !ok || skipSpecial && t.special[piece] {
			continue
		}
		pieces = append(pieces, piece)
	}
	with := " "
	if t.decode != nil {
		with = ""
		pieces = t.decode(pieces)
	}
	return join(pieces, with)
}

func join(pieces []string, with string) string {
	var b []byte
	for i, p := range pieces {
		if i > 0 {
			b = append(b, with...)
		}
		b = append(b, p...)
	}
	return string(b)
}

// Len is one more than the largest id that has a piece.
func (t *Tokenizer) Len() int { return t.length }

// Token is the piece with an id as the files write it, or "". It is the
// attacker's text: escape it before printing.
func (t *Tokenizer) Token(id int32) string {
	piece, _ := t.piece(id)
	return piece
}

func (t *Tokenizer) piece(id int32) (string, bool) {
	if a := t.added[id]; a != nil {
		return a.content, true
	}
	if !t.model.pieces().has(id) {
		return "", false
	}
	return string(t.model.pieces().token(id)), true
}

func (t *Tokenizer) pieceBytes(id int32) []byte {
	if t.added[id] != nil {
		return nil
	}
	return t.model.pieces().token(id)
}

// ID is the id of a piece.
func (t *Tokenizer) ID(piece string) (int32, bool) {
	if id, ok := t.addedIDs[piece]; ok {
		return id, true
	}
	id, ok := t.model.pieces().findString(piece)
	if !ok {
		return -1, false
	}
	return id, true
}

// Special reports whether the files mark the token as special, such as [CLS].
func (t *Tokenizer) Special(id int32) bool {
	a := t.added[id]
	return a != nil && t.special[a.content]
}

// Template is the ids that the post-processor puts before and after a text. The
// caller must not change them.
func (t *Tokenizer) Template() (prefix, suffix []int32) { return t.post.prefix, t.post.suffix }
