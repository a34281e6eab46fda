package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tiny is a tokenizer.json with parts replaced: pairs of old and new text.
func tiny(pairs ...string) string {
	s := `{"version": "1.0", "truncation": null, "padding": null,
 "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
 "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
  "vocab": {"[UNK]": 0, "a": 1, "##b": 2}}}`
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, pairs[i]) {
			panic(pairs[i])
		}
		s = strings.Replace(s, pairs[i], pairs[i+1], 1)
	}
	return s
}

const (
	tinyVocab = `{"[UNK]": 0, "a": 1, "##b": 2}`
	tinyModel = `{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
  "vocab": {"[UNK]": 0, "a": 1, "##b": 2}}`
)

func withModel(s string) string      { return tiny(tinyModel, s) }
func withNormalizer(s string) string { return tiny(`"normalizer": null`, `"normalizer": `+s) }
func withPre(s string) string        { return tiny(`{"type": "Whitespace"}`, s) }
func withPost(s string) string       { return tiny(`"post_processor": null`, `"post_processor": `+s) }

func TestOpenErrors(t *testing.T) {
	deep := strings.Repeat(`{"type":"Sequence","normalizers":[`, 40) + strings.Repeat(`]}`, 40)
	for _, test := range []struct {
		name, file  string
		want        string
		unsupported bool
	}{
		{"empty", "", "offset 0: the JSON ends too early", false},
		{"cut", tiny()[:200], "the JSON ends too early", false},
		{"more", tiny() + "x", "data after", false},
		{"array", "[]", "{ expected, [ found", false},
		{"no model", "{}", "no model", false},
		{"invalid UTF-8", tiny(`"a"`, "\"\xff\""), "invalid", false},
		{"lone surrogate", tiny(`"a"`, `"\ud800"`), "invalid", false},
		{"version", tiny(`"1.0"`, `"2.0"`), `version: "2.0"`, true},
		{"negative id", tiny(`"a": 1`, `"a": -1`), "model.vocab: no token id", false},
		{"fraction", tiny(`"a": 1`, `"a": 1.5`), "model.vocab: no token id", false},
		{"exponent", tiny(`"a": 1`, `"a": 1e2`), "model.vocab: no token id", false},
		{"text id", tiny(`"a": 1`, `"a": "1"`), "model.vocab: no token id", false},
		{"huge id", tiny(`"a": 1`, `"a": 4194304`), "token id 4194304 is not below the limit", false},
		{"huger id", tiny(`"a": 1`, `"a": 99999999999999999999`), "no token id", false},
		{"no unk", tiny(`"[UNK]": 0, "a"`, `"a"`), `model.unk_token: "[UNK]" is not in the vocabulary`, false},
		{"long words", tiny(`_per_word": 100`, `_per_word": 100000`), "100000 is more than 256", true},
		{"no vocab", tiny(`"vocab"`, `"other"`), "no vocab", false},
		{"list for WordPiece", tiny(tinyVocab, `[["a", 0]]`), "another kind of vocabulary", false},
		{"model type", tiny(`"WordPiece"`, `"Morfessor"`), `model "Morfessor"`, true},
		{"model null", tiny(tinyModel, "null"), "{ expected", false},
		{"normalizer type", withNormalizer(`{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Odd"}]}`), `normalizer.normalizers[1]: normalizer "Odd"`, true},
		{"normalizer without type", withNormalizer(`{"a": 1}`), "no type", false},
		{"normalizer number", withNormalizer(`3`), "object expected", false},
		{"missing field", withNormalizer(`{"type": "Strip", "strip_left": true}`), "no strip_right", false},
		{"wrong field", withNormalizer(`{"type": "Strip", "strip_left": true, "strip_right": 1}`), "normalizer.strip_right", false},
		{"deep", withNormalizer(deep), "deeper than", false},
		{"many values", withNormalizer(`[` + strings.Repeat("0,", maxValues) + `0]`), "more than", false},
		{"growth", withNormalizer(`{"type": "Sequence", "normalizers": [` + strings.Repeat(`{"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},`, 9) + `{"type": "NFC"}]}`), "times longer", true},
		{"charsmap", withNormalizer(`{"type": "Precompiled", "precompiled_charsmap": "/////w=="}`), "a trie of 4294967295 bytes in 0 bytes", false},
		{"charsmap base64", withNormalizer(`{"type": "Precompiled", "precompiled_charsmap": "?"}`), "precompiled_charsmap", false},
		{"charsmap short", withNormalizer(`{"type": "Precompiled", "precompiled_charsmap": "AAA="}`), "hold no trie", false},
		{"lookbehind", withPre(`{"type": "Split", "pattern": {"Regex": "(?<=a)b"}, "behavior": "Isolated", "invert": false}`), "pattern", true},
		{"lookahead", withPre(`{"type": "Split", "pattern": {"Regex": "a(?!b)"}, "behavior": "Isolated", "invert": false}`), "pattern", true},
		{"backreference", withPre(`{"type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated", "invert": false}`), "pattern", true},
		{"possessive", withPre(`{"type": "Split", "pattern": {"Regex": "a++"}, "behavior": "Isolated", "invert": false}`), "pattern", true},
		{"bad regex", withPre(`{"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false}`), "pattern", true},
		{"script", withPre(`{"type": "Split", "pattern": {"Regex": "\\p{Klingon}"}, "behavior": "Isolated", "invert": false}`), "pattern", true},
		{"fold", withPre(`{"type": "Split", "pattern": {"Regex": "(?i:strasse)"}, "behavior": "Isolated", "invert": false}`), "without case", true},
		{"behavior", withPre(`{"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd", "invert": false}`), `behavior "Odd"`, true},
		{"pattern", withPre(`{"type": "Split", "pattern": "a", "behavior": "Isolated", "invert": false}`), "pre_tokenizer.pattern", false},
		{"metaspace", withPre(`{"type": "Metaspace", "replacement": "ab"}`), "one character expected", false},
		{"scheme", withPre(`{"type": "Metaspace", "replacement": "_", "prepend_scheme": "odd"}`), `prepend_scheme "odd"`, true},
		{"pre-tokenizer type", withPre(`{"type": "UnicodeScripts"}`), `pre-tokenizer "UnicodeScripts"`, true},
		{"post-processor type", withPost(`{"type": "Odd"}`), `post-processor "Odd"`, true},
		{"template", withPost(`{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {}}`), "no x", false},
		{"template B", withPost(`{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}], "special_tokens": {}}`), "sequence A", true},
		{"template twice", withPost(`{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}], "special_tokens": {}}`), "sequence A", true},
		{"post id", withPost(`{"type": "BertProcessing", "sep": ["a", -1], "cls": ["a", 1]}`), "post_processor.sep[1]", false},
		{"added flag", tiny(`"lstrip": false`, `"lstrip": 1`), "added_tokens[0]", false},
		{"added without flag", tiny(`"lstrip": false, `, ``), "expected", false},
		{"added long", tiny(`"content": "[UNK]"`, `"content": "`+strings.Repeat("x", 2000)+`"`), "a token of 2000 bytes", true},
		{"BPE without merges", withModel(`{"type": "BPE", "vocab": {"a": 0}}`), "no merges", false},
		{"dropout", withModel(`{"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}`), "dropout", true},
		{"unknown merge", withModel(`{"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}`), `merge 0: "b" is not in the vocabulary`, false},
		{"unknown result", withModel(`{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}`), `merge 0: "ab" is not in the vocabulary`, false},
		{"merge of three", withModel(`{"type": "BPE", "vocab": {"a": 0}, "merges": ["a a a"]}`), "two pieces expected", false},
		{"merge of three in a list", withModel(`{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a", "a"]]}`), "two pieces expected", false},
		{"merge of numbers", withModel(`{"type": "BPE", "vocab": {"a": 0}, "merges": [1]}`), "two pieces expected", false},
		{"merge prefix", withModel(`{"type": "BPE", "continuing_subword_prefix": "##", "vocab": {"a": 0}, "merges": ["a a"]}`), "shorter than the prefix", false},
		{"fallback and suffix", withModel(`{"type": "BPE", "byte_fallback": true, "end_of_word_suffix": "</w>", "vocab": {"a": 0}, "merges": []}`), "prefix or suffix", true},
		{"no unk_id", withModel(`{"type": "Unigram", "vocab": [["a", -1.5]]}`), "no unk_id", true},
		{"unk_id", withModel(`{"type": "Unigram", "unk_id": 1, "vocab": [["a", -1.5]]}`), "1 is not in the vocabulary", false},
		{"score", withModel(`{"type": "Unigram", "unk_id": 0, "vocab": [["a", "b"]]}`), "no piece with its score", false},
		{"infinite score", withModel(`{"type": "Unigram", "unk_id": 0, "vocab": [["a", 1e400]]}`), "no piece with its score", false},
		{"long piece", withModel(`{"type": "Unigram", "unk_id": 0, "vocab": [["` + strings.Repeat("a", 5000) + `", 0]]}`), "5000 bytes", false},
		{"nothing once normalized", tiny(`"normalizer": null`, `"normalizer": {"type": "Strip", "strip_left": true, "strip_right": true}`, `"content": "[UNK]"`, `"content": " "`, `"normalized": false`, `"normalized": true`), "nothing once normalized", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(oneFile("tokenizer.json", []byte(test.file)))
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
			if errors.Is(err, ErrUnsupported) != test.unsupported {
				t.Errorf("%v: unsupported %v, want %v", err, !test.unsupported, test.unsupported)
			}
			var format *FormatError
			if !errors.As(err, &format) || !strings.HasPrefix(err.Error(), "tokenizer.json: ") {
				t.Errorf("%v names no file", err)
			}
		})
	}
}

func TestOpenFolder(t *testing.T) {
	if _, err := Open(func(string) ([]byte, error) { return nil, fs.ErrNotExist }); !errors.Is(err, ErrNoTokenizer) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Open(func(string) ([]byte, error) { return nil, fs.ErrPermission }); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder that cannot be read: %v", err)
	}
	if _, err := Open(oneFile("vocab.json", []byte(`{"a": 0}`))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("vocab.json alone: %v", err)
	}
	if _, err := Open(oneFile("vocab.txt", []byte("a\nb\n"))); err == nil || !strings.Contains(err.Error(), `no "[CLS]"`) {
		t.Errorf("vocab.txt without [CLS]: %v", err)
	}
	japanese := func(name string) ([]byte, error) {
		switch name {
		case "vocab.txt":
			return []byte("[UNK]\n[CLS]\n[SEP]\n"), nil
		case "tokenizer_config.json":
			return []byte(`{"tokenizer_class": "BertJapaneseTokenizer"}`), nil
		}
		return nil, fs.ErrNotExist
	}
	if _, err := Open(japanese); !errors.Is(err, ErrUnsupported) {
		t.Errorf("another class: %v", err)
	}
}

func open(t testing.TB, family string) *Tokenizer { return openFamily(t, "testdata", family) }

func TestWords(t *testing.T) {
	for _, test := range []struct {
		family, text string
		want         string // text of each token, with | before those that begin a word
	}{
		{"bert-uncased", "The patient's résumé (again)", "[CLS]|the|patient|'|s|resume|(|again|)[SEP]"},
		{"bert-cased", "mitochondrially", "[CLS]|mitochondrial~ly[SEP]"},
		{"gpt2", "The film, again", "|The|film|,|again"},
		{"roberta", "watched it", "<s>|w~at~ched|it</s>"},
		{"llama3", "reads 1987", "<|begin_of_text|>|re~ads||198~7"},
		{"llama2", "The film\nagain", "<s>|The|film~\n|a~gain"},
		{"t5", "The film again", "|The|film|again</s>"},
		{"xlm-r", "film again", "<s>|film|again</s>"},
	} {
		tok := open(t, test.family)
		e := tok.Encode(test.text)
		var b strings.Builder
		for i, id := range e.IDs {
			switch {
			case i < e.Prefix || i >= len(e.IDs)-e.Suffix:
			case e.WordStart[i]:
				b.WriteByte('|')
			default:
				b.WriteByte('~')
			}
			b.WriteString(tok.Text(id))
		}
		if b.String() != test.want {
			t.Errorf("%s: %q: %q, want %q", test.family, test.text, b.String(), test.want)
		}
	}
}

func TestTokens(t *testing.T) {
	for _, test := range []struct {
		family, piece, text string
		starts, special     bool
	}{
		{"bert-uncased", "[CLS]", "[CLS]", false, true},
		{"bert-uncased", "the", "the", true, false},
		{"bert-uncased", "##ing", "ing", false, false},
		{"gpt2", "Ġthe", "the", true, false},
		{"gpt2", "er", "er", false, false},
		{"gpt2", "Ċ", "\n", false, false},
		{"gpt2", "Ã", "\uFFFD", false, false},
		{"gpt2", "<|endoftext|>", "<|endoftext|>", false, true},
		{"llama2", "▁the", "the", true, false},
		{"llama2", "<0x0A>", "\n", false, false},
		{"llama2", "<0xE2>", "\uFFFD", false, false},
		{"t5", "▁the", "the", true, false},
		{"words", "the", "the", true, false},
	} {
		tok := open(t, test.family)
		id, ok := tok.ID(test.piece)
		if !ok || tok.Token(id) != test.piece {
			t.Errorf("%s: %q is %d, which is %q", test.family, test.piece, id, tok.Token(id))
		}
		if s := tok.Text(id); s != test.text {
			t.Errorf("%s: text of %q is %q", test.family, test.piece, s)
		}
		if tok.StartsWord(id) != test.starts || tok.Special(id) != test.special {
			t.Errorf("%s: %q: starts %v, special %v", test.family, test.piece, tok.StartsWord(id), tok.Special(id))
		}
	}
	tok := open(t, "bert-uncased")
	for _, id := range []int32{-1, int32(tok.Len()), 1 << 30} {
		if tok.Token(id) != "" || tok.Text(id) != "" || tok.StartsWord(id) || tok.Special(id) || tok.Decode([]int32{id}, false) != "" {
			t.Errorf("id %d has a piece", id)
		}
	}
	if _, ok := tok.ID("no such piece"); ok {
		t.Error("an id for no piece")
	}
}

func TestEncodeMax(t *testing.T) {
	for _, family := range []string{"bert-uncased", "roberta", "llama3", "t5", "gpt2"} {
		tok := open(t, family)
		prefix, suffix := tok.Template()
		for _, line := range testLines(t, "testdata")[:300] {
			whole := tok.Encode(line)
			for _, most := range []int{0, 1, 3, 8, 32, 1 << 20} {
				cut := tok.EncodeMax(line, most)
				n := min(max(most, len(prefix)+len(suffix)), len(whole.IDs))
				want := append(slices.Clone(whole.IDs[:n-len(suffix)]), suffix...)
				if !slices.Equal(cut.IDs, want) || len(cut.Offsets) != n || len(cut.WordStart) != n {
					t.Fatalf("%s: %q cut to %d: %v, want %v", family, line, most, cut.IDs, want)
				}
				if body := n - len(suffix); !slices.Equal(cut.Offsets[:body], whole.Offsets[:body]) {
					t.Fatalf("%s: %q cut to %d: offsets %v", family, line, most, cut.Offsets)
				}
			}
		}
	}
}

// TestInvalid has what Python makes of bytes that are not UTF-8.
func TestInvalid(t *testing.T) {
	for in, want := range map[string]string{
		"a\xffb":                   "a\uFFFDb",
		"\xe2\x82":                 "\uFFFD",
		"\xe2\x82x":                "\uFFFDx",
		"\xf0\x9f\x98":             "\uFFFD",
		"\xed\xa0\x80":             "\uFFFD\uFFFD\uFFFD",
		"\xe0\x80\x80":             "\uFFFD\uFFFD\uFFFD",
		"\xf4\x90\x80\x80":         "\uFFFD\uFFFD\uFFFD\uFFFD",
		"\xc0\xaf":                 "\uFFFD\uFFFD",
		"\xf0\x9f\x98\xe2\x82\xac": "\uFFFD€",
		"é\xc3":                    "é\uFFFD",
	} {
		if got := string(appendValid(nil, []byte(in), nil)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	e := open(t, "gpt2").Encode("a\xe2\x82b")
	if last := e.Offsets[len(e.Offsets)-1]; last != (Span{3, 4}) {
		t.Errorf("offsets %v", e.Offsets)
	}
}

// TestPatterns compares the scanners with what regexp makes of their patterns.
func TestPatterns(t *testing.T) {
	loadTables.Do(readTables)
	for pattern, scan := range scanners {
		m, err := compilePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range testLines(t, "testdata") {
			text := appendValid(nil, []byte(line), nil)
			var want []int
			m.each(text, func(from, to int) { want = append(want, from, to) })
			var got []int
			(&matcher{scan: scan}).each(text, func(from, to int) { got = append(got, from, to) })
			if !slices.Equal(got, want) {
				t.Fatalf("%s\n%q: %v, want %v", pattern, text, got, want)
			}
		}
	}
}

// TestCache: what a tokenizer has seen before changes nothing.
func TestCache(t *testing.T) {
	lines := testLines(t, "testdata")
	for _, family := range families(t, "testdata") {
		tok, cold := open(t, family), open(t, family)
		withoutCache(cold)
		for _, line := range append(lines[:500:500], lines[:500]...) {
			if a, b := tok.EncodeIDs(nil, line, true), cold.EncodeIDs(nil, line, true); !slices.Equal(a, b) {
				t.Fatalf("%s: %q: %v with a cache, %v without", family, line, a, b)
			}
		}
	}
}

func withoutCache(t *Tokenizer) {
	switch m := t.model.(type) {
	case *wordPiece:
		m.cache = nil
	case *bpe:
		m.cache = nil
	case *unigram:
		m.cache = nil
	}
}

// TestMerge compares the two ways to merge, and with a plain third.
func TestMerge(t *testing.T) {
	m := open(t, "gpt2").model.(*bpe)
	m.cache = nil
	for _, line := range testLines(t, "testdata") {
		var s scratch
		text := appendValid(nil, []byte(line), nil)
		for _, b := range text[:min(len(text), maxShort)] {
			s.symbols = append(s.symbols, symbol{id: m.byteIDs[b], size: 1})
		}
		start := slices.Clone(s.symbols)
		m.mergeShort(&s)
		var short, long []int32
		for _, y := range s.symbols {
			short = append(short, y.id)
		}
		s.symbols = start
		m.mergeLong(&s)
		for _, y := range s.symbols {
			if y.size > 0 {
				long = append(long, y.id)
			}
		}
		if !slices.Equal(short, long) {
			t.Fatalf("%q: %v by looking, %v by heap", line, short, long)
		}
	}
}

// TestLong: time does not grow with the square of a word.
func TestLong(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	const size = 1 << 18
	for _, text := range []string{
		strings.Repeat("a", size), strings.Repeat("ab", size/2), strings.Repeat("é", size/2), strings.Repeat("e\u0301", size/3), strings.Repeat(" ", size),
		strings.Repeat("\n \n", size/3), "e" + strings.Repeat("\u0301\u0323", size/4), strings.Repeat("<", size), strings.Repeat("<mask> ", size/7), strings.Repeat("漢A", size/4), strings.Repeat("\xff", size/3),
	} {
		for _, family := range []string{"bert-cased", "gpt2", "gpt4o", "gemma", "mistral", "albert", "words-split"} {
			tok := open(t, family)
			start := time.Now()
			tok.Encode(text)
			// A second or so; 11 under the race detector on a busy machine. What grows
			// with the square of the length takes minutes.
			if took := time.Since(start); took > 60*time.Second {
				t.Errorf("%s: %d bytes of %q took %v", family, len(text), text[:8], took)
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	lines := testLines(t, "testdata")[:200]
	for _, family := range []string{"bert-uncased", "gpt2", "t5", "llama2"} {
		tok := open(t, family)
		var want [][]int32
		for _, line := range lines {
			want = append(want, open(t, family).EncodeIDs(nil, line, true))
			if len(want) == 20 { // opening is slow under the race detector
				break
			}
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range lines {
					i = (i + 50*w) % len(lines)
					if e := tok.Encode(lines[i]); i < len(want) && !slices.Equal(e.IDs, want[i]) {
						t.Errorf("%s: line %d: %v, want %v", family, i, e.IDs, want[i])
					}
				}
			})
		}
		wg.Wait()
	}
}

// check reports what must hold of the tokens of any text.
func check(tok *Tokenizer, text string) error {
	e := tok.Encode(text)
	if len(e.Offsets) != len(e.IDs) || len(e.WordStart) != len(e.IDs) || e.Prefix+e.Suffix > len(e.IDs) {
		return fmt.Errorf("%d ids, %d offsets, %d word starts", len(e.IDs), len(e.Offsets), len(e.WordStart))
	}
	for i, s := range e.Offsets {
		if s.Start < 0 || s.End < s.Start || int(s.End) > len(text) {
			return fmt.Errorf("token %d: offsets %v of %d bytes", i, s, len(text))
		}
		if i >= e.Prefix && i < len(e.IDs)-e.Suffix && (e.IDs[i] < 0 || int(e.IDs[i]) >= tok.Len()) {
			return fmt.Errorf("token %d: id %d of %d", i, e.IDs[i], tok.Len())
		}
		tok.Text(e.IDs[i])
		tok.StartsWord(e.IDs[i])
	}
	if ids := tok.EncodeIDs(nil, text, true); !slices.Equal(ids, e.IDs) {
		return fmt.Errorf("ids %v without offsets, %v with", ids, e.IDs)
	}
	if again := tok.Encode(text); !slices.Equal(again.IDs, e.IDs) || !slices.Equal(again.Offsets, e.Offsets) {
		return fmt.Errorf("%v, then %v", e, again)
	}
	tok.Decode(e.IDs, true)
	tok.Decode(e.IDs, false)
	return nil
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(tiny()))
	for _, s := range []string{
		`{"type": "BPE", "unk_token": "a", "fuse_unk": true, "byte_fallback": true, "ignore_merges": true, "vocab": {"a": 0, "b": 1, "ab": 2, "<0x0A>": 3, "▁": 4}, "merges": ["a b"]}`,
		`{"type": "BPE", "end_of_word_suffix": "</w>", "continuing_subword_prefix": "##", "vocab": {"a": 0, "##b": 1, "ab": 2, "a</w>": 3}, "merges": [["a", "##b"]]}`,
		`{"vocab": {"a": 0, "b": 0, "": 1, "ab": 2}, "merges": ["a b"]}`,
		`{"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [["<unk>", 0], ["a", -1.5], ["ab", -1e-3], ["a", 2]]}`,
		`{"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0}}`,
	} {
		f.Add([]byte(withModel(s)))
		f.Add([]byte(tiny(tinyModel, s, `{"type": "Whitespace"}`, `{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}]}`,
			`"decoder": null`, `"decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}, {"type": "ByteLevel"}]}`)))
	}
	for _, s := range []string{
		`{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"Regex": "\\s+|^"}, "content": "x"}, {"type": "NFKC"}]}`,
		`{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}`,
		`{"type": "Precompiled", "precompiled_charsmap": "EAAAAAAEAAAAAAAAAAAAAAAAAABhAA=="}`,
		`{"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "ByteLevel"}, {"type": "Strip", "strip_left": true, "strip_right": true}]}`,
	} {
		f.Add([]byte(withNormalizer(s)))
	}
	for _, s := range []string{
		`{"type": "Split", "pattern": {"Regex": "[^\\r\\n\\p{L}&&[a-z]]?|\\s+(?!\\S)|\\s+"}, "behavior": "MergedWithNext", "invert": true}`,
		`{"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}, {"type": "Punctuation", "behavior": "Contiguous"}]}`,
	} {
		f.Add([]byte(withPre(s)))
	}
	f.Add([]byte(withPost(`{"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}, {"type": "RobertaProcessing", "sep": ["a", 1], "cls": ["a", 1], "trim_offsets": true, "add_prefix_space": false}]}`)))
	f.Add([]byte(tiny(`"content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false`, `"content": " ", "single_word": true, "lstrip": true, "rstrip": true`)))
	texts := []string{"", "a", " ab  b\n[UNK] a", "é e\u0301 漢字 \U0001F600 ｆ \xff▁x 12", strings.Repeat("ab ", 40)}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"tokenizer.json", "vocab.txt"} {
			tok, err := Open(oneFile(name, data))
			if err != nil {
				continue
			}
			for _, text := range texts {
				if err := check(tok, text); err != nil {
					t.Errorf("%q: %v", text, err)
				}
			}
		}
	})
}

func FuzzEncode(f *testing.F) {
	for _, line := range testLines(f, "testdata")[:200] {
		if len(line) < 300 {
			f.Add(line)
		}
	}
	var toks, cold []*Tokenizer
	var names []string
	paths, _ := filepath.Glob("testdata/*/vectors.gz")
	for _, p := range paths {
		name := filepath.Base(filepath.Dir(p))
		names = append(names, name)
		toks = append(toks, open(f, name))
		cold = append(cold, open(f, name))
		withoutCache(cold[len(cold)-1])
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i, tok := range toks {
			if err := check(tok, text); err != nil {
				t.Errorf("%s: %v", names[i], err)
			}
			if a, b := tok.EncodeIDs(nil, text, false), cold[i].EncodeIDs(nil, text, false); !slices.Equal(a, b) {
				t.Errorf("%s: %v with a cache, %v without", names[i], a, b)
			}
		}
	})
}
