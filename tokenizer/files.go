package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// Folders without a tokenizer.json are read as transformers converts its slow
// tokenizers (convert_slow_tokenizer.py: BertConverter, GPT2Converter,
// RobertaConverter).

// A config is what tokenizer_config.json says; nil: there is no such file.
type config struct{ v *value }

func (t *builder) config() (config, error) {
	const name = "tokenizer_config.json"
	data, err := t.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxFile {
		return config{}, &FormatError{File: name, Off: -1, Msg: "too large"}
	}
	r := newReader(name, data)
	v := r.tree("", 0)
	r.end()
	if r.err == nil && v.kind != '{' {
		r.errorf("", "object expected, %s found", v.kind)
	}
	return config{v}, r.err
}

func (c config) class() string {
	if c.v == nil || c.v.keys["tokenizer_class"] == nil {
		return ""
	}
	return strings.TrimSuffix(c.v.keys["tokenizer_class"].str, "Fast")
}

func (c config) flag(key string, other bool) (bool, error) {
	if c.v == nil {
		return other, nil
	}
	return c.v.optionalBoolean(key, other)
}

// special is a special token: what the file says of key, or content.
func (c config) special(key, content string) (addedToken, error) {
	a := addedToken{id: -1, content: content, special: true}
	if c.v == nil || c.v.keys[key] == nil || c.v.keys[key].kind == 'n' {
		return a, nil
	}
	v := c.v.keys[key]
	if v.kind == '"' {
		a.content = v.str
		return a, nil
	}
	var err [5]error
	a.content, err[0] = v.text("content")
	a.singleWord, err[1] = v.optionalBoolean("single_word", false)
	a.lstrip, err[2] = v.optionalBoolean("lstrip", false)
	a.rstrip, err[3] = v.optionalBoolean("rstrip", false)
	a.normalized, err[4] = v.optionalBoolean("normalized", false)
	if len(a.content) > maxContent {
		return a, v.errorf("a token of %d bytes: %w", len(a.content), ErrUnsupported)
	}
	return a, first(err[:]...)
}

// specials are the tokens of pairs of key and default content; a default that
// no piece has is left out.
func (c config) specials(v *vocab, pairs ...string) ([]addedToken, error) {
	var all []addedToken
	for i := 0; i < len(pairs); i += 2 {
		a, err := c.special(pairs[i], pairs[i+1])
		if err != nil {
			return nil, err
		}
		if _, ok := v.findString(a.content); ok || a.content != pairs[i+1] {
			all = append(all, a)
		}
	}
	return all, nil
}

// bertClasses have BertConverter's vocabulary, with these special tokens.
var bertClasses = map[string]struct{ cls, sep, pad, mask string }{
	"":                            {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"BertTokenizer":               {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"DistilBertTokenizer":         {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"ElectraTokenizer":            {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"MobileBertTokenizer":         {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"ConvBertTokenizer":           {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"SqueezeBertTokenizer":        {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"LayoutLMTokenizer":           {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"DPRQuestionEncoderTokenizer": {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"DPRContextEncoderTokenizer":  {"[CLS]", "[SEP]", "[PAD]", "[MASK]"},
	"MPNetTokenizer":              {"<s>", "</s>", "<pad>", "<mask>"},
}

func (t *builder) openVocabTxt(data []byte) (*Tokenizer, error) {
	if !utf8.Valid(data) {
		return nil, t.errorf("", "no UTF-8")
	}
	v := &vocab{}
	v.reserve(nil)
	v.blob = make([]byte, 0, len(data))
	for len(data) > 0 { // lines end as Python's do: \n, \r or both
		end := bytes.IndexAny(data, "\r\n")
		line := data
		if end < 0 {
			data = nil
		} else {
			line = data[:end]
			if data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n' {
				end++
			}
			data = data[end+1:]
		}
		v.blob = append(v.blob, line...)
		if err := v.add(int64(len(v.ids))); err != nil {
			return nil, t.errorf("", "%w", err)
		}
	}
	v.build(t.seed, false)

	c, err := t.config()
	if err != nil {
		return nil, err
	}
	names, ok := bertClasses[c.class()]
	if !ok {
		return nil, t.errorf("tokenizer_class", "%s: %w", quote(c.class()), ErrUnsupported)
	}
	lower, err1 := c.flag("do_lower_case", true)
	chinese, err2 := c.flag("tokenize_chinese_chars", true)
	accents, err3 := c.flag("strip_accents", lower)
	cls, err4 := c.special("cls_token", names.cls)
	sep, err5 := c.special("sep_token", names.sep)
	unk, err6 := c.special("unk_token", "[UNK]")
	added, err7 := c.specials(v, "unk_token", "[UNK]", "sep_token", names.sep, "pad_token", names.pad,
		"cls_token", names.cls, "mask_token", names.mask)
	if err := first(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return nil, err
	}
	var ids [3]int32
	for i, a := range []addedToken{cls, sep, unk} {
		if ids[i], ok = v.findString(a.content); !ok {
			return nil, t.errorf("", "no %s", quote(a.content))
		}
	}
	tok := &Tokenizer{
		model:     newWordPiece(v, "##", ids[2], 100),
		normalize: newBert(true, chinese, accents, lower).normalize,
		pre:       []pretokenizer{splitBert},
		post:      postprocessor{prefix: ids[:1:1], suffix: ids[1:2:2]},
		decode:    wordPieceDecoder("##", true),
		words:     words{more: "##"},
		maxText:   maxText / 16,
	}
	return tok, t.addTokens(tok, added)
}

func (t *builder) openVocabJSON(data []byte) (*Tokenizer, error) {
	r := newReader(t.file, data)
	m := &modelFile{vocab: &vocab{}, merges: &mergeList{}}
	readVocab(r, "", m.vocab)
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	const name = "merges.txt"
	merges, err := t.read(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(merges) > maxFile || !utf8.Valid(merges) {
		return nil, &FormatError{File: name, Off: -1, Msg: "too large, or no UTF-8"}
	}
	// As transformers reads it: neither the first line, which has the version,
	// nor what follows the last line end.
	_, merges, _ = bytes.Cut(merges, []byte("\n"))
	merges = merges[:bytes.LastIndexByte(merges, '\n')+1]
	for line := range bytes.Lines(merges) {
		pair := bytes.Fields(line)
		if len(pair) != 2 || m.merges.len() >= maxMerges {
			return nil, &FormatError{File: name, Off: -1, Msg: fmt.Sprintf("merge %d: two pieces expected", m.merges.len())}
		}
		for _, piece := range pair {
			m.merges.blob = append(m.merges.blob, piece...)
			m.merges.add()
		}
	}
	m.vocab.build(t.seed, false)

	c, err := t.config()
	if err != nil {
		return nil, err
	}
	class := c.class()
	if class == "" {
		_, bos := m.vocab.findString("<s>")
		_, eos := m.vocab.findString("</s>")
		class = "GPT2Tokenizer"
		if bos && eos {
			class = "RobertaTokenizer"
		}
	}
	b := &bpe{vocab: m.vocab, unk: -1, cache: newCache()}
	b.setRaw()
	if err := b.setMerges(m.merges); err != nil {
		return nil, &FormatError{File: name, Off: -1, Err: err}
	}
	prefix, err := c.flag("add_prefix_space", false)
	if err != nil {
		return nil, err
	}
	tok := &Tokenizer{
		model: b,
		pre: []pretokenizer{func(p *pretext) {
			if prefix {
				p.prefixSpaces()
			}
			splitScan(scanGPT2)(p)
		}},
		decode:  decodeBytes,
		words:   words{byteLevel: true, begin: byteChars[' ']},
		maxText: maxText / 16,
	}
	var added []addedToken
	switch class {
	case "GPT2Tokenizer":
		bos, err := c.flag("add_bos_token", false)
		if err != nil {
			return nil, err
		}
		if bos {
			return nil, t.errorf("add_bos_token", "%w", ErrUnsupported)
		}
		added, err = c.specials(m.vocab, "bos_token", "<|endoftext|>", "eos_token", "<|endoftext|>", "unk_token", "<|endoftext|>")
		if err != nil {
			return nil, err
		}
	case "RobertaTokenizer", "BartTokenizer", "LongformerTokenizer":
		added, err = c.specials(m.vocab, "bos_token", "<s>", "eos_token", "</s>", "unk_token", "<unk>",
			"sep_token", "</s>", "pad_token", "<pad>", "cls_token", "<s>")
		if err != nil {
			return nil, err
		}
		mask, err := c.special("mask_token", "<mask>")
		if err != nil {
			return nil, err
		}
		if mask.content == "<mask>" { // the default has the space before it
			mask.lstrip = mask.lstrip || c.v == nil || c.v.keys["mask_token"] == nil || c.v.keys["mask_token"].kind == '"'
		}
		added = append(added, mask)
		var ids [2]int32
		for i, key := range [][2]string{{"cls_token", "<s>"}, {"sep_token", "</s>"}} {
			a, err := c.special(key[0], key[1])
			if err != nil {
				return nil, err
			}
			var ok bool
			if ids[i], ok = m.vocab.findString(a.content); !ok {
				return nil, t.errorf("", "no %s", quote(a.content))
			}
		}
		tok.post = postprocessor{prefix: ids[:1:1], suffix: ids[1:], trims: []trim{{prefix, true}}}
	default:
		return nil, t.errorf("tokenizer_class", "%s: %w", quote(class), ErrUnsupported)
	}
	return tok, t.addTokens(tok, added)
}
