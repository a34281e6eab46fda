package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"unicode/utf8"
)

// ErrNoTokenizer says that a folder has no tokenizer file that is read.
var ErrNoTokenizer = errors.New("no tokenizer.json, vocab.txt or vocab.json")

// maxFile bounds a file; the largest public tokenizer.json has 35 MB.
const maxFile = 256 << 20

// Open reads the tokenizer of a model's folder: tokenizer.json, else vocab.txt
// (BERT), else vocab.json and merges.txt (GPT-2, RoBERTa), the latter two with
// tokenizer_config.json. read returns the bytes of a file of the folder, which
// Open does not keep, or an error that matches fs.ErrNotExist. Errors about the
// files are a *FormatError, and match ErrUnsupported where a file asks for
// something that is not done here; ErrNoTokenizer if there is none.
func Open(read func(name string) ([]byte, error)) (*Tokenizer, error) {
	loadTables.Do(readTables)
	for _, f := range []struct {
		name string
		open func(b *builder, data []byte) (*Tokenizer, error)
	}{{"tokenizer.json", (*builder).openJSON}, {"vocab.txt", (*builder).openVocabTxt}, {"vocab.json", (*builder).openVocabJSON}} {
		data, err := read(f.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if len(data) > maxFile {
			return nil, &FormatError{File: f.name, Off: -1, Msg: fmt.Sprintf("%d bytes are more than %d", len(data), maxFile)}
		}
		return f.open(&builder{file: f.name, read: read, seed: maphash.MakeSeed()}, data)
	}
	return nil, ErrNoTokenizer
}

// A builder is a tokenizer on its way.
type builder struct {
	file string
	read func(name string) ([]byte, error)
	seed maphash.Seed

	first      bool    // a pre-tokenizer asks where in the text it is
	byteLevels int     // components that write bytes as characters
	meta       string  // what a component writes a space as
	growth     float64 // how many times longer the normalizer may make a text
	patterns   int     // regular expressions
}

// mark notes what a component writes a space as.
func (t *builder) mark(s string) {
	if r, size := utf8.DecodeRuneInString(s); size == len(s) && r >= utf8.RuneSelf {
		t.meta = s
	}
}

func (t *builder) errorf(path, format string, args ...any) error {
	return &FormatError{File: t.file, Off: -1, Path: path, Err: fmt.Errorf(format, args...)}
}

// maxGrowth is how many times longer a text may become; ALBERT's files allow for
// 900 times, by an NFKD before a charsmap.
const maxGrowth = 1 << 12

func (t *builder) multiply(v *value, by float64) error {
	if t.growth *= max(by, 1); t.growth > maxGrowth {
		return v.errorf("may make a text %.0f times longer: %w", t.growth, ErrUnsupported)
	}
	return nil
}

// A modelFile is the model of tokenizer.json.
type modelFile struct {
	vocab   *vocab
	scores  []float64 // of a list
	list    bool
	merges  *mergeList
	options map[string]*value
}

func (t *builder) openJSON(data []byte) (*Tokenizer, error) {
	r := newReader(t.file, data)
	var m *modelFile
	var normalizer, pre, post, decoder *value
	var added []addedToken
	r.object("", func(key string) {
		switch key {
		case "version":
			if tok := r.token('"', key); r.err == nil && tok.String() != "1.0" {
				r.errorf(key, "%s: %w", quote(tok.String()), ErrUnsupported)
			}
		case "model":
			m = t.readModel(r)
		case "added_tokens":
			added = t.readAdded(r)
		case "normalizer":
			normalizer = r.value(key)
		case "pre_tokenizer":
			pre = r.value(key)
		case "post_processor":
			post = r.value(key)
		case "decoder":
			decoder = r.value(key)
		default: // truncation, padding
			r.skip()
		}
	})
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	if m == nil {
		return nil, t.errorf("", "no model")
	}
	return t.build(m, normalizer, pre, post, decoder, added)
}

func (t *builder) readModel(r *reader) *modelFile {
	m := &modelFile{options: map[string]*value{}}
	r.object("model", func(key string) {
		path := "model." + key[:min(len(key), 80)]
		switch key {
		case "vocab":
			m.vocab = &vocab{}
			m.scores, m.list = nil, false
			if r.dec.PeekKind() == '[' {
				m.list = true
				m.scores = readScores(r, path, m.vocab)
			} else {
				readVocab(r, path, m.vocab)
			}
		case "merges":
			m.merges = &mergeList{}
			readMerges(r, path, m.merges)
		case "type", "dropout", "unk_token", "unk_id", "continuing_subword_prefix", "end_of_word_suffix",
			"fuse_unk", "byte_fallback", "ignore_merges", "max_input_chars_per_word":
			m.options[key] = r.value(path)
		default:
			r.skip()
		}
	})
	return m
}

// readVocab reads an object of piece to id.
func readVocab(r *reader, path string, v *vocab) {
	raw, off := r.raw('{', path)
	if r.err != nil {
		return
	}
	v.reserve(raw)
	s := scan{b: raw, i: 1}
	for s.next('}') {
		var ok bool
		at := s.i
		if v.blob, ok = s.text(v.blob); ok {
			s.space()
			s.i++ // the colon
			s.space()
			at = s.i
			var id int64
			if id, ok = s.integer(); ok {
				if err := v.add(id); err != nil {
					r.fail(&FormatError{File: r.file, Off: off + int64(at), Path: path, Err: err})
					return
				}
			}
		}
		if !ok {
			r.fail(&FormatError{File: r.file, Off: off + int64(at), Path: path, Msg: "no token id"})
			return
		}
	}
}

// reserve makes room for what raw holds.
func (v *vocab) reserve(raw []byte) {
	n := min(bytes.Count(raw, []byte{','})+1, maxTokens)
	v.blob = make([]byte, 0, len(raw)/2)
	v.at = append(make([]uint32, 0, n+1), 0)
	v.ids = make([]int32, 0, n)
}

// readScores reads Unigram's list of [piece, score], whose ids count from 0.
func readScores(r *reader, path string, v *vocab) []float64 {
	raw, off := r.raw('[', path)
	if r.err != nil {
		return nil
	}
	v.reserve(raw)
	var scores []float64
	s := scan{b: raw, i: 1}
	for s.next(']') {
		at := s.i
		ok := raw[s.i] == '['
		s.i++
		s.space()
		var score float64
		if ok {
			v.blob, ok = s.text(v.blob)
		}
		if ok {
			s.space()
			ok = s.i < len(raw) && raw[s.i] == ','
			s.i++
			s.space()
		}
		if ok {
			score, ok = s.number()
			s.space()
		}
		if !ok || s.i >= len(raw) || raw[s.i] != ']' {
			r.fail(&FormatError{File: r.file, Off: off + int64(at), Path: path, Msg: "no piece with its score"})
			return nil
		}
		s.i++
		if err := v.add(int64(len(v.ids))); err != nil {
			r.fail(&FormatError{File: r.file, Off: off + int64(at), Path: path, Err: err})
			return nil
		}
		scores = append(scores, score)
	}
	return scores
}

// maxMerges bounds the merges; the largest public list has 500,000.
const maxMerges = 8 << 20

// readMerges reads ["a b", …] or [["a", "b"], …].
func readMerges(r *reader, path string, l *mergeList) {
	raw, off := r.raw('[', path)
	if r.err != nil {
		return
	}
	l.blob = make([]byte, 0, len(raw)/2)
	l.ends = make([]uint32, 0, 2*min(bytes.Count(raw, []byte{','})+1, maxMerges))
	s := scan{b: raw, i: 1}
	for s.next(']') {
		at := s.i
		bad := func(why string) {
			r.fail(&FormatError{File: r.file, Off: off + int64(at), Path: path, Msg: why})
		}
		if l.len() >= maxMerges {
			bad("too many merges")
			return
		}
		start := len(l.blob)
		if raw[s.i] == '"' {
			var ok bool
			if l.blob, ok = s.text(l.blob); !ok {
				bad("no merge")
				return
			}
			if bytes.HasPrefix(l.blob[start:], []byte("#version")) {
				l.blob = l.blob[:start]
				continue
			}
			if !l.cut(start) {
				bad("two pieces expected")
				return
			}
			continue
		}
		ok := raw[s.i] == '['
		s.i++
		n := 0
		for ok && s.next(']') {
			if l.blob, ok = s.text(l.blob); ok {
				l.add()
				n++
				ok = n <= 2
			}
		}
		if !ok || n != 2 {
			bad("two pieces expected")
			return
		}
	}
}

// cut makes the text from start on a merge: it has one space.
func (l *mergeList) cut(start int) bool {
	text := l.blob[start:]
	i := bytes.IndexByte(text, ' ')
	if i < 0 || bytes.IndexByte(text[i+1:], ' ') >= 0 {
		return false
	}
	copy(text[i:], text[i+1:])
	l.blob = l.blob[:len(l.blob)-1]
	l.ends = append(l.ends, uint32(start+i), uint32(len(l.blob)))
	return true
}

func (t *builder) readAdded(r *reader) []addedToken {
	var all []addedToken
	if r.err == nil && r.dec.PeekKind() == 'n' {
		r.skip()
		return nil
	}
	size := 0
	r.array("added_tokens", func() {
		path := fmt.Sprintf("added_tokens[%d]", len(all))
		a := addedToken{id: -1}
		seen := 0
		flag := func(to *bool) {
			tok, err := r.dec.ReadToken()
			if err != nil {
				r.fail(err)
			} else if k := tok.Kind(); k != 't' && k != 'f' {
				r.errorf(path, "%s found", k)
			} else {
				*to = k == 't'
				seen++
			}
		}
		r.object(path, func(key string) {
			switch key {
			case "id": // the library gives ids itself, see build
				r.token('0', path)
			case "content":
				if tok := r.token('"', path); r.err == nil {
					a.content = tok.String()
					seen++
				}
			case "single_word":
				flag(&a.singleWord)
			case "lstrip":
				flag(&a.lstrip)
			case "rstrip":
				flag(&a.rstrip)
			case "normalized":
				flag(&a.normalized)
			case "special":
				flag(&a.special)
			default:
				r.skip()
			}
		})
		if r.err != nil {
			return
		}
		if seen < 6 {
			r.errorf(path, "content, single_word, lstrip, rstrip, normalized and special expected")
		}
		if len(a.content) > maxContent {
			r.errorf(path, "a token of %d bytes: %w", len(a.content), ErrUnsupported)
		}
		if size += len(a.content); size > maxTokens || len(all) >= maxAdded {
			r.errorf(path, "too many added tokens")
		}
		all = append(all, a)
	})
	return all
}

// build makes the tokenizer of the parts of the file.
func (t *builder) build(m *modelFile, normalizer, pre, post, decoder *value, added []addedToken) (*Tokenizer, error) {
	t.growth = 1
	tok := &Tokenizer{}
	var err error
	if normalizer != nil {
		if tok.normalize, err = t.normalizer(normalizer); err != nil {
			return nil, err
		}
	}
	if pre != nil {
		if tok.pre, err = t.pretokenizer(pre); err != nil {
			return nil, err
		}
	}
	if post != nil {
		if err := t.postprocessor(post, &tok.post); err != nil {
			return nil, err
		}
		if n := len(tok.post.prefix) + len(tok.post.suffix); n > maxTemplate {
			return nil, post.errorf("%d tokens: %w", n, ErrUnsupported)
		}
	}
	tok.maxText = int(maxText / t.growth)
	t.growth = 1
	if decoder != nil {
		if tok.decode, err = t.decoder(decoder); err != nil {
			return nil, err
		}
	}
	tok.track = t.first
	if err := t.model(m, tok); err != nil {
		return nil, err
	}
	for i, f := range tok.pre {
		if f == nil {
			tok.pre[i] = bytesAsCharacters
		}
	}
	return tok, t.addTokens(tok, added)
}

// option is an option of the model that is text; "" is null as well.
func (m *modelFile) option(key string) (string, error) {
	v := m.options[key]
	if v == nil {
		return "", nil
	}
	if v.kind != '"' {
		return "", v.errorf("string expected, %s found", v.kind)
	}
	return v.str, nil
}

func (m *modelFile) flag(key string) (bool, error) {
	v := m.options[key]
	if v == nil {
		return false, nil
	}
	if v.kind != 't' && v.kind != 'f' {
		return false, v.errorf("boolean expected, %s found", v.kind)
	}
	return v.kind == 't', nil
}

// unknown is the id of unk_token, which must be there.
func (t *builder) unknown(m *modelFile) (int32, error) {
	s, err := m.option("unk_token")
	if err != nil {
		return 0, err
	}
	id, ok := m.vocab.findString(s)
	if !ok {
		return 0, t.errorf("model.unk_token", "%s is not in the vocabulary", quote(s))
	}
	return id, nil
}

func (t *builder) model(m *modelFile, tok *Tokenizer) error {
	kind, err := m.option("type")
	if err != nil {
		return err
	}
	if kind == "" { // files of before version 0.9 do not say
		switch {
		case m.merges != nil:
			kind = "BPE"
		case m.list:
			kind = "Unigram"
		case m.options["max_input_chars_per_word"] != nil:
			kind = "WordPiece"
		default:
			kind = "WordLevel"
		}
	}
	if m.vocab == nil {
		return t.errorf("model", "no vocab")
	}
	if m.list != (kind == "Unigram") {
		return t.errorf("model.vocab", "a %s has another kind of vocabulary", quote(kind))
	}
	m.vocab.build(t.seed, m.list)
	switch kind {
	case "WordPiece":
		err = t.wordPiece(m, tok)
	case "WordLevel":
		var unk int32
		if unk, err = t.unknown(m); err == nil {
			tok.model = &wordLevel{m.vocab, unk}
		}
	case "BPE":
		err = t.bpe(m, tok)
	case "Unigram":
		err = t.unigram(m, tok)
	default:
		err = t.errorf("model.type", "model %s: %w", quote(kind), ErrUnsupported)
	}
	if err != nil {
		return err
	}
	w := &tok.words
	if w.more == "" && w.last == "" {
		switch {
		case t.byteLevels > 0:
			w.byteLevel = true
			w.begin = byteChars[' ']
		case t.meta != "":
			w.begin = t.meta
		}
	}
	return nil
}

func (t *builder) wordPiece(m *modelFile, tok *Tokenizer) error {
	unk, err := t.unknown(m)
	if err != nil {
		return err
	}
	if m.options["continuing_subword_prefix"] == nil {
		return t.errorf("model", "no continuing_subword_prefix")
	}
	prefix, err := m.option("continuing_subword_prefix")
	if err != nil {
		return err
	}
	longest := m.options["max_input_chars_per_word"]
	if longest == nil {
		return t.errorf("model", "no max_input_chars_per_word")
	}
	maxChars, err := longest.asInteger()
	if err != nil {
		return err
	}
	if maxChars > maxWord {
		return longest.errorf("%d is more than %d: %w", maxChars, maxWord, ErrUnsupported)
	}
	tok.model = newWordPiece(m.vocab, prefix, unk, maxChars)
	tok.words.more = prefix
	return nil
}

// maxWord bounds what WordPiece, whose time is quadratic in it, takes for a word.
const maxWord = 1 << 8

func (t *builder) bpe(m *modelFile, tok *Tokenizer) error {
	if m.merges == nil {
		return t.errorf("model", "no merges")
	}
	if d := m.options["dropout"]; d != nil && (d.kind != '0' || d.num != 0) {
		return d.errorf("dropout: %w", ErrUnsupported)
	}
	b := &bpe{vocab: m.vocab, unk: -1, cache: newCache()}
	var err1, err2, err3, err4, err5 error
	b.prefix, err1 = m.option("continuing_subword_prefix")
	b.suffix, err2 = m.option("end_of_word_suffix")
	b.fuse, err3 = m.flag("fuse_unk")
	b.whole, err4 = m.flag("ignore_merges")
	fallback, err5 := m.flag("byte_fallback")
	if err := first(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	if fallback {
		b.fallback = fallbackIDs(m.vocab)
		tok.words.fallback = true
		if b.prefix != "" || b.suffix != "" { // the library's offsets then leave the text
			return t.errorf("model.byte_fallback", "with a prefix or suffix: %w", ErrUnsupported)
		}
	}
	// The bytes are left as they are where nothing but the model sees them.
	if n := len(tok.pre); n > 0 && tok.pre[n-1] == nil && b.prefix == "" && b.suffix == "" {
		if n < 2 || !hasNil(tok.pre[:n-1]) {
			tok.pre = tok.pre[:n-1]
			b.setRaw()
		}
	}
	if m.options["unk_token"] != nil && !(b.raw && b.allBytes) { // else nothing is unknown
		var err error
		if b.unk, err = t.unknown(m); err != nil {
			return err
		}
	}
	if err := b.setMerges(m.merges); err != nil {
		return t.errorf("model.merges", "%w", err)
	}
	tok.model = b
	tok.words.more, tok.words.last = b.prefix, b.suffix
	return nil
}

func hasNil(list []pretokenizer) bool {
	for _, f := range list {
		if f == nil {
			return true
		}
	}
	return false
}

func fallbackIDs(v *vocab) *[256]int32 {
	ids := &[256]int32{}
	for b := range ids {
		id, ok := v.findString(fmt.Sprintf("<0x%02X>", b))
		if !ok {
			id = -1
		}
		ids[b] = id
	}
	return ids
}

func (t *builder) unigram(m *modelFile, tok *Tokenizer) error {
	unk := m.options["unk_id"]
	if unk == nil {
		return t.errorf("model", "no unk_id: %w", ErrUnsupported)
	}
	id, err := unk.asInteger()
	if err != nil {
		return err
	}
	if id >= len(m.scores) {
		return unk.errorf("%d is not in the vocabulary", id)
	}
	u, err := newUnigram(m.vocab, m.scores, int32(id))
	if err != nil {
		return t.errorf("model.vocab", "%w", err)
	}
	fallback, err := m.flag("byte_fallback")
	if err != nil {
		return err
	}
	if fallback {
		u.fallback = fallbackIDs(m.vocab)
		tok.words.fallback = true
	}
	tok.model = u
	return nil
}

// addTokens does what AddedVocabulary's add_tokens does for a file: a token of
// the model keeps its id there, others get the ids after the vocabulary's in
// their order, whatever the file says.
func (t *builder) addTokens(tok *Tokenizer, list []addedToken) error {
	tok.added, tok.addedIDs, tok.special = map[int32]*addedToken{}, map[string]int32{}, map[string]bool{}
	v := tok.model.pieces()
	tok.length = len(v.byID)
	next := int32(v.size)
	if _, ok := tok.model.(*unigram); ok {
		next = int32(len(v.ids))
	}

	var special, other []addedToken
	for _, a := range list {
		if a.special && a.content != "" && !tok.special[a.content] {
			special = append(special, a)
			tok.special[a.content] = true
		}
	}
	existing := map[addedToken]bool{}
	for _, a := range list {
		if a.content == "" || existing[a] {
			continue
		}
		existing[a] = true
		id, ok := tok.ID(a.content)
		if !ok {
			id = next
			next++
		}
		if id >= maxTokens {
			return t.errorf("added_tokens", "token id %d is not below the limit of %d", id, maxTokens)
		}
		tok.addedIDs[a.content] = id
		with := a
		with.id = id
		tok.added[id] = &with
		tok.length = max(tok.length, int(id)+1)
		if !tok.special[a.content] {
			other = append(other, a)
		}
	}

	tok.raw = &addedSet{trie: newTrie(t.seed), only: -1}
	tok.normal = &addedSet{trie: newTrie(t.seed), only: -1}
	for _, a := range append(special, other...) {
		with := tok.added[tok.addedIDs[a.content]]
		var ok bool
		if a.normalized {
			var n normalized
			n.reset([]byte(a.content), 0, true)
			if tok.normalize != nil {
				tok.normalize(&n)
			}
			if len(n.text) == 0 {
				return t.errorf("added_tokens", "%s is nothing once normalized: %w", quote(a.content), ErrUnsupported)
			}
			if len(n.text) > maxContent {
				return t.errorf("added_tokens", "%s has %d bytes once normalized: %w", quote(a.content), len(n.text), ErrUnsupported)
			}
			ok = tok.normal.add(n.text, with)
		} else {
			ok = tok.raw.add([]byte(a.content), with)
		}
		if !ok {
			return t.errorf("added_tokens", "too many added tokens")
		}
	}
	return nil
}
