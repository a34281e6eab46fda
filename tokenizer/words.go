package tokenizer

import "bytes"

// words is how the pieces of a tokenizer say where words begin.
type words struct {
	byteLevel  bool   // pieces are bytes, written as GPT-2's characters
	begin      string // what a piece that begins a word begins with: Ġ or ▁; or ""
	more, last string // what continuations begin with, the pieces that end a word end with; or ""
	fallback   bool   // <0x00> to <0xFF> are bytes
}

// marked reports a piece that says that it is not the beginning of a word.
func (w *words) marked(piece []byte) bool {
	return w.more != "" && bytes.HasPrefix(piece, []byte(w.more))
}

// StartsWord reports whether the token itself says that it begins a word: no ##
// in a WordPiece vocabulary, a leading Ġ in a byte-level one, a leading ▁ in a
// SentencePiece one. Where pieces have no such marks every token does; added and
// special tokens do not. In texts that do not begin with a space the first word
// of a byte-level tokenizer has no mark: see Encoding.WordStart.
func (t *Tokenizer) StartsWord(id int32) bool {
	piece := t.pieceBytes(id)
	switch {
	case piece == nil:
		return false
	case t.words.begin != "":
		return bytes.HasPrefix(piece, []byte(t.words.begin))
	case t.words.more != "":
		return !bytes.HasPrefix(piece, []byte(t.words.more))
	}
	return t.words.last == "" && !t.words.byteLevel
}

// Text is the token as a reader would write it, without the mark of a word:
// "less" for ##less, "cf" for Ġcf. Bytes that are not UTF-8 on their own are
// U+FFFD. It is the attacker's text: escape it before printing.
func (t *Tokenizer) Text(id int32) string {
	if a := t.added[id]; a != nil {
		return a.content
	}
	piece := t.model.pieces().token(id)
	w := &t.words
	switch {
	case w.byteLevel:
		if b, ok := appendBytes(nil, piece); ok {
			if w.begin != "" {
				b = bytes.TrimPrefix(b, []byte(" "))
			}
			return string(appendValid(nil, b, nil))
		}
	case w.begin != "":
		if w.fallback {
			if b, ok := fallbackByte(string(piece)); ok {
				return string(appendValid(nil, []byte{b}, nil))
			}
		}
		piece = bytes.TrimPrefix(piece, []byte(w.begin))
		return string(bytes.ReplaceAll(piece, []byte(w.begin), []byte(" ")))
	}
	piece = bytes.TrimPrefix(piece, []byte(w.more))
	return string(bytes.TrimSuffix(piece, []byte(w.last)))
}
