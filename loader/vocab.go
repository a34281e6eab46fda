package loader

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// A Vocabulary maps token ids to the pieces the tokenizer files give them. It
// keeps the file's bytes and decodes a piece when it is asked for: a scan names
// a hundred tokens of a hundred thousand.
type Vocabulary struct {
	data    []byte
	pieces  []piece        // by id
	added   map[int]string // pieces that override
	special map[int]bool

	file    string
	clash   string // two pieces with one id, "" if none
	clashAt int
}

// A piece is where a token's text lies in the data: between from and to, in
// JSON with its quotes if quoted. The zero value is no piece.
type piece struct {
	from, to uint32
	quoted   bool
}

func newVocabulary(data []byte) *Vocabulary {
	return &Vocabulary{data: data, added: map[int]string{}, special: map[int]bool{}}
}

// Len is one more than the largest id with a name.
func (v *Vocabulary) Len() int { return len(v.pieces) }

// Token is the piece with that id, as the tokenizer files write it, or "".
// The text is the attacker's: escape it before printing.
func (v *Vocabulary) Token(id int) string {
	if s, ok := v.added[id]; ok {
		return s
	}
	if id < 0 || id >= len(v.pieces) {
		return ""
	}
	p := v.pieces[id]
	raw := v.data[p.from:p.to]
	if !p.quoted {
		return string(raw)
	}
	// Invalid UTF-8 and lone surrogates become U+FFFD, which is no error here.
	text, _ := jsontext.AppendUnquote(nil, raw)
	return string(text)
}

// Special reports whether the files mark the token as special, such as [CLS].
func (v *Vocabulary) Special(id int) bool { return v.special[id] }

// maxTokens caps ids; the largest public vocabulary has about 260,000.
const maxTokens = 4 << 20

func (v *Vocabulary) set(id int, p piece) error {
	if id < 0 || id >= maxTokens {
		return fmt.Errorf("token id %d is over the limit of %d", id, maxTokens)
	}
	if id >= len(v.pieces) {
		v.pieces = append(v.pieces, make([]piece, id+1-len(v.pieces))...)
	}
	v.pieces[id] = p
	return nil
}

// add sets a piece whose id no other piece has. Libraries differ on which of
// two they take for an id.
func (v *Vocabulary) add(id int, p piece) error {
	if v.clash == "" && id >= 0 && id < len(v.pieces) && v.pieces[id].to > 0 {
		v.clashAt = int(p.from)
		v.clash = fmt.Sprintf("token id %d stands for %s and for %s; readers take the first or the last", id,
			quoted(clipped(v.Token(id))), quoted(clipped(string(v.data[p.from:p.to]))))
	}
	return v.set(id, p)
}

// Vocabulary reads the tokenizer files beside the tensors, once:
// tokenizer.json, else vocab.txt, else vocab.json. It is never nil, and empty
// with an error where no file could be read.
func (c *Checkpoint) Vocabulary() (*Vocabulary, error) {
	c.vocabOnce.Do(func() { c.vocab, c.vocabErr = c.readVocabulary() })
	return c.vocab, c.vocabErr
}

// TokenizerFindings lists what is wrong with the tokenizer files. It reads them
// as Vocabulary does.
func (c *Checkpoint) TokenizerFindings() []Finding {
	v, err := c.Vocabulary()
	switch {
	case errors.Is(err, ErrNoTokenizer) || isNotExist(err):
		return nil
	case err != nil:
		return []Finding{{Rule: RuleMalformed, Severity: SeverityHigh, Where: c.dir, Detail: fmt.Sprintf("the tokenizer cannot be read: %v", err)}}
	case v.clash != "":
		return []Finding{{Rule: RuleAmbiguous, Severity: SeverityHigh, Where: where(v.file, int64(v.clashAt)), Detail: v.clash}}
	}
	return nil
}

// ErrNoTokenizer says that a checkpoint has no tokenizer file that is read.
var ErrNoTokenizer = errors.New("no tokenizer.json, vocab.txt or vocab.json")

func (c *Checkpoint) readVocabulary() (*Vocabulary, error) {
	empty := &Vocabulary{}
	f, err := openFolder(c.dir)
	if err != nil {
		return empty, err
	}
	defer f.close()
	for _, k := range []struct {
		name  string
		parse func([]byte) (*Vocabulary, error)
	}{{"tokenizer.json", parseTokenizerJSON}, {"vocab.txt", parseVocabTxt}, {"vocab.json", parseVocabJSON}} {
		data, err := f.read(k.name)
		if err != nil {
			return empty, err
		}
		if data == nil {
			continue
		}
		v, err := k.parse(data)
		if err != nil {
			return empty, fmt.Errorf("%s: %w", k.name, err)
		}
		v.file = k.name
		return v, nil
	}
	return empty, ErrNoTokenizer
}

// parseVocabTxt reads one piece a line, as BERT writes it.
func parseVocabTxt(data []byte) (*Vocabulary, error) {
	v := newVocabulary(data)
	id, at := 0, 0
	for line := range bytes.Lines(data) {
		text := bytes.TrimRight(line, "\r\n")
		if err := v.set(id, piece{from: uint32(at), to: uint32(at + len(text))}); err != nil {
			return nil, err
		}
		at += len(line)
		switch string(text) {
		case "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]":
			v.special[id] = true
		}
		id++
	}
	return v, nil
}

// parseVocabJSON reads an object of piece to id, as GPT-2 writes it.
func parseVocabJSON(data []byte) (*Vocabulary, error) {
	v := newVocabulary(data)
	d := tokenReader{dec: newTokenDecoder(data)}
	d.vocabObject(v)
	return v, d.err
}

// parseTokenizerJSON reads model.vocab (an object of piece to id, or for
// Unigram an array of [piece, score]) and added_tokens.
func parseTokenizerJSON(data []byte) (*Vocabulary, error) {
	v := newVocabulary(data)
	d := tokenReader{dec: newTokenDecoder(data)}
	d.object(func(key string) {
		switch key {
		case "model":
			d.object(func(key string) {
				switch {
				case key != "vocab":
					d.skip()
				case d.dec.PeekKind() == '[':
					d.vocabArray(v)
				default:
					d.vocabObject(v)
				}
			})
		case "added_tokens":
			d.array(func() { d.addedToken(v) })
		default:
			d.skip()
		}
	})
	return v, d.err
}

func newTokenDecoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

func (d *tokenReader) id() int {
	tok := d.token('0')
	if d.err != nil {
		return -1
	}
	f, err := tok.Float()
	if err != nil || f != float64(int32(f)) {
		d.errorf("%v is no token id", f)
		return -1
	}
	return int(f)
}

// vocabObject reads an object of piece to id. The decoder checks the syntax of
// the whole; the members are then found without decoding them.
func (d *tokenReader) vocabObject(v *Vocabulary) {
	raw := d.value('{')
	end := int(d.dec.InputOffset())
	i := end - len(raw)
	for d.err == nil {
		from := bytes.IndexByte(v.data[i:end], '"')
		if from < 0 {
			return
		}
		from += i
		to := from + 1
		for v.data[to] != '"' {
			if v.data[to] == '\\' {
				to++
			}
			to++
		}
		to++
		i = to + bytes.IndexAny(v.data[to:end], ",}")
		number := bytes.Trim(v.data[to:i], ": \t\r\n")
		id, err := strconv.Atoi(string(number))
		if err != nil {
			d.fail(fmt.Errorf("offset %d: %s is no token id", to, quoted(string(number))))
			return
		}
		d.fail(v.add(id, piece{uint32(from), uint32(to), true}))
	}
}

// vocabArray reads the [piece, score] pairs of Unigram.
func (d *tokenReader) vocabArray(v *Vocabulary) {
	id := 0
	d.array(func() {
		d.token('[')
		if raw := d.value('"'); d.err == nil {
			to := uint32(d.dec.InputOffset())
			d.fail(v.set(id, piece{to - uint32(len(raw)), to, true}))
		}
		d.token('0')
		d.token(']')
		id++
	})
}

func (d *tokenReader) addedToken(v *Vocabulary) {
	id, text, special := -1, "", false
	d.object(func(key string) {
		switch key {
		case "id":
			id = d.id()
		case "content":
			if tok := d.token('"'); d.err == nil {
				text = tok.String()
			}
		case "special":
			special = d.err == nil && d.dec.PeekKind() == 't'
			d.skip()
		default:
			d.skip()
		}
	})
	if d.err != nil {
		return
	}
	if old, ok := v.added[id]; ok && old != text && v.clash == "" {
		v.clashAt = int(d.dec.InputOffset())
		v.clash = fmt.Sprintf("token id %d is added as %s and as %s; readers take the first or the last", id, quoted(clipped(old)), quoted(clipped(text)))
	}
	d.fail(v.set(id, piece{}))
	if d.err == nil {
		v.added[id] = text
	}
	if special && d.err == nil {
		v.special[id] = true
	}
}
