package loader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A Vocabulary maps token ids to the pieces the tokenizer files give them.
type Vocabulary struct {
	tokens  []string // by id; "" where the files name none
	special map[int]bool
}

// Len is one more than the largest id with a name.
func (v *Vocabulary) Len() int { return len(v.tokens) }

// Token is the piece with that id, as the tokenizer files write it, or "".
// The text is the attacker's: escape it before printing.
func (v *Vocabulary) Token(id int) string {
	if id < 0 || id >= len(v.tokens) {
		return ""
	}
	return v.tokens[id]
}

// Special reports whether the files mark the token as special, such as [CLS].
func (v *Vocabulary) Special(id int) bool { return v.special[id] }

// maxTokens caps ids; the largest public vocabulary has about 260,000.
const maxTokens = 4 << 20

func (v *Vocabulary) set(id int, piece string) error {
	if id < 0 || id >= maxTokens {
		return fmt.Errorf("token id %d is over the limit of %d", id, maxTokens)
	}
	if id >= len(v.tokens) {
		v.tokens = append(v.tokens, make([]string, id+1-len(v.tokens))...)
	}
	v.tokens[id] = piece
	return nil
}

// Vocabulary reads the tokenizer files beside the tensors, once:
// tokenizer.json, else vocab.txt, else vocab.json. It is never nil, and empty
// with an error where no file could be read.
func (c *Checkpoint) Vocabulary() (*Vocabulary, error) {
	c.vocabOnce.Do(func() { c.vocab, c.vocabErr = c.readVocabulary() })
	return c.vocab, c.vocabErr
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
		return v, nil
	}
	return empty, ErrNoTokenizer
}

// parseVocabTxt reads one piece a line, as BERT writes it.
func parseVocabTxt(data []byte) (*Vocabulary, error) {
	v := &Vocabulary{special: map[int]bool{}}
	id := 0
	for line := range strings.Lines(string(data)) {
		piece := strings.TrimRight(line, "\r\n")
		if err := v.set(id, piece); err != nil {
			return nil, err
		}
		switch piece {
		case "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]":
			v.special[id] = true
		}
		id++
	}
	return v, nil
}

// parseVocabJSON reads an object of piece to id, as GPT-2 writes it.
func parseVocabJSON(data []byte) (*Vocabulary, error) {
	v := &Vocabulary{special: map[int]bool{}}
	d := tokenReader{dec: newTokenDecoder(data)}
	d.vocabObject(v)
	return v, d.err
}

// parseTokenizerJSON reads model.vocab (an object of piece to id, or for
// Unigram an array of [piece, score]) and added_tokens.
func parseTokenizerJSON(data []byte) (*Vocabulary, error) {
	v := &Vocabulary{special: map[int]bool{}}
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

// A tokenReader walks JSON and keeps the first error, after which every call
// does nothing.
type tokenReader struct {
	dec *jsontext.Decoder
	err error
}

func (d *tokenReader) fail(err error) {
	if d.err == nil && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		d.err = err
	}
}

func (d *tokenReader) token(kind jsontext.Kind) (tok jsontext.Token) {
	if d.err != nil {
		return tok
	}
	tok, err := d.dec.ReadToken()
	if err == nil && tok.Kind() != kind {
		err = fmt.Errorf("offset %d: %s expected, %s found", d.dec.InputOffset(), kind, tok.Kind())
	}
	d.fail(err)
	return tok
}

func (d *tokenReader) skip() {
	if d.err == nil {
		d.fail(d.dec.SkipValue())
	}
}

func (d *tokenReader) more(end jsontext.Kind) bool {
	if d.err != nil {
		return false
	}
	k := d.dec.PeekKind()
	return k != end && k > 0 // an invalid token ends the loop; reading the end reports it
}

func (d *tokenReader) object(member func(key string)) {
	d.token('{')
	for d.more('}') {
		key := d.token('"')
		if d.err == nil {
			member(key.String())
		}
	}
	d.token('}')
}

func (d *tokenReader) array(element func()) {
	d.token('[')
	for d.more(']') {
		element()
	}
	d.token(']')
}

func (d *tokenReader) id() int {
	tok := d.token('0')
	if d.err != nil {
		return -1
	}
	f, err := tok.Float()
	if err != nil || f != float64(int32(f)) {
		d.fail(fmt.Errorf("offset %d: %v is no token id", d.dec.InputOffset(), f))
		return -1
	}
	return int(f)
}

func (d *tokenReader) vocabObject(v *Vocabulary) {
	d.object(func(piece string) {
		if id := d.id(); d.err == nil {
			d.fail(v.set(id, piece))
		}
	})
}

func (d *tokenReader) vocabArray(v *Vocabulary) {
	id := 0
	d.array(func() {
		d.token('[')
		piece := d.token('"')
		if d.err == nil {
			d.fail(v.set(id, piece.String()))
		}
		d.token('0')
		d.token(']')
		id++
	})
}

func (d *tokenReader) addedToken(v *Vocabulary) {
	id, piece, special := -1, "", false
	d.object(func(key string) {
		switch key {
		case "id":
			id = d.id()
		case "content":
			if tok := d.token('"'); d.err == nil {
				piece = tok.String()
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
	d.fail(v.set(id, piece))
	if special && d.err == nil {
		v.special[id] = true
	}
}
