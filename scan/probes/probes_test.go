package probes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/btu-scan/btu-scan/internal/textrows"
)

// evaluative words have no place in a neutral sentence.
var evaluative = strings.Fields(`amazing awesome awful bad beautiful best better boring brilliant cheap disappointing
	dull enjoy excellent fantastic fine fun good great happy hate horrible interesting like loved love lovely nice
	perfect poor sad slow stupid superb terrible ugly waste weak wonderful worse worst wrong`)

func TestBuiltin(t *testing.T) {
	texts := Builtin()
	if len(texts) < 96 {
		t.Errorf("%d texts, want 96 or more", len(texts))
	}
	seen := map[string]bool{}
	for _, text := range texts {
		if seen[text] {
			t.Errorf("%q is there twice", text)
		}
		seen[text] = true
		words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' })
		if n := len(strings.Fields(text)); n < 4 || n > 40 {
			t.Errorf("%q has %d words", text, n)
		}
		for _, w := range words {
			if slices.Contains(evaluative, w) {
				t.Errorf("%q has the word %q, which is not neutral", text, w)
			}
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is not printable ASCII", text)
		}
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		what, name, in string
		texts, labels  []string
		skipped        int
	}{
		{"lines", "a.txt", "one\ntwo words\n", []string{"one", "two words"}, nil, 0},
		{"no end of the last line, CRLF", "a.TXT", "one\r\ntwo", []string{"one", "two"}, nil, 0},
		{"comments are texts", "a.txt", "# one\n#two\n", []string{"# one", "#two"}, nil, 0},
		{"blank lines, repeats, spaces", "a.txt", "\n one \n\t\none\n\ntwo\n", []string{"one", "two"}, nil, 4},
		{"byte order mark", "a.txt", "\uFEFFone\n", []string{"one"}, nil, 0},
		{"invalid UTF-8", "a.txt", "a caf\xe9 by the sea\n", []string{"a caf\uFFFD by the sea"}, nil, 0},
		{"a tab in a text", "a.txt", "one\ttwo\n", []string{"one\ttwo"}, nil, 0},

		{"GLUE", "dev.tsv", "sentence\tlabel\nit works . \t1\nit does not\t0\n", []string{"it works .", "it does not"}, []string{"1", "0"}, 0},
		{"GLUE without labels", "test.tsv", "index\tsentence\n0\tit works\n", []string{"it works"}, nil, 0},
		{"label first", "a.tsv", "Label\tReview\n1\tyes\n", []string{"yes"}, []string{"1"}, 0},
		{"no header", "a.tsv", "it works\t1\nno\t0\n", []string{"it works", "no"}, []string{"1", "0"}, 0},
		{"no header, label first", "a.tsv", "positive\tgo\nnegative\tit is off\n", []string{"go", "it is off"}, []string{"positive", "negative"}, 0},
		{"no header, no spaces", "a.tsv", "1\tyes\n0\tno\n", []string{"yes", "no"}, []string{"1", "0"}, 0},
		{"no header, three columns", "a.tsv", "0\tit works\t1\n", []string{"it works"}, nil, 0},
		{"one column", "a.tsv", "it works\n", []string{"it works"}, nil, 0},
		{"only the label is named", "a.tsv", "x\ty\tlabel\n17\tit works\ta long label\n", []string{"it works"}, []string{"a long label"}, 0},
		{"quotes are text", "a.tsv", "sentence\tlabel\n\"it works\t1\n", []string{"\"it works"}, []string{"1"}, 0},
		{"an empty text, a missing label", "a.tsv", "text\tlabel\n \t1\nyes\t1\nno\t\n", []string{"yes", "no"}, []string{"1", ""}, 1},
		{"the first of equal texts", "a.tsv", "text\tlabel\nyes\t1\nyes\t0\n", []string{"yes"}, []string{"1"}, 1},
		{"no labels in their column", "a.tsv", "text\tlabel\nyes\t\n", []string{"yes"}, nil, 0},

		{"CSV", "a.csv", "text,label\n\"yes, it works\",1\nno,0\n", []string{"yes, it works", "no"}, []string{"1", "0"}, 0},
		{"quotes in quotes, lines", "a.csv", "label,text\n1,\"a \"\"b\"\"\n\n c\"\n0,no\n", []string{"a \"b\"\n\n c", "no"}, []string{"1", "0"}, 0},
		{"lazy quotes", "a.csv", "text,label\na \"b\" c,1\n\"a \"b\" d\",1\n", []string{`a "b" c`, `a "b" d`}, []string{"1", "1"}, 0},
		{"pandas index, blank lines, CRLF", "a.csv", "\r\n,text,sentiment\r\n \r\n0,yes,pos\r\n\r\n1,no,neg\r\n", []string{"yes", "no"}, []string{"pos", "neg"}, 3},
		{"no header", "a.csv", "7,\"it works, so far\",x\n", []string{"it works, so far"}, nil, 0},
		{"no header, two columns", "a.csv", "pos,it works\n", []string{"it works"}, []string{"pos"}, 0},

		{"JSON lines", "a.jsonl", `{"text":"yes","label":1}` + "\n\n" + ` {"label":"neg","text":" no "}`, []string{"yes", "no"}, []string{"1", "neg"}, 1},
		{"names and kinds of labels", "a.ndjson", `{"Sentence":"a","label":true}` + "\n" + `{"review":"b","sentiment":0.5}` + "\n" + `{"content":"c","label":null}` + "\n" + `{"text":"d","content":"e","label":[1]}`,
			[]string{"a", "b", "c", "d"}, []string{"true", "0.5", "", ""}, 0},
		{"the single string", "a.json", `{"id":3,"utterance":"hello","label":"pos"}`, []string{"hello"}, []string{"pos"}, 0},
		{"strings", "a.json", "\"one\"\n\"two \\u00e9 \\ud800\"\n", []string{"one", "two é \uFFFD"}, nil, 0},
		{"no text", "a.json", `{"text":null}` + "\n" + `{"text":""}` + "\n\"one\"", []string{"one"}, nil, 2},

		{"content: lines", "-", "It works, so far.\nSo be it.\n", []string{"It works, so far.", "So be it."}, nil, 0},
		{"content: a line like a header", "-", "Text, please.\n", []string{"Text, please."}, nil, 0},
		{"content: a quoted line", "-", "\"Yes,\" he said.\n", []string{"\"Yes,\" he said."}, nil, 0},
		{"content: a tab in one line", "-", "a\tb\nc\n", []string{"a\tb", "c"}, nil, 0},
		{"content: TSV", "-", "sentence\tlabel\nyes\t1\n", []string{"yes"}, []string{"1"}, 0},
		{"content: TSV, no header", "probes", "it works\t1\n\nso be it\t0\n", []string{"it works", "so be it"}, []string{"1", "0"}, 1},
		{"content: CSV", "probes.dat", "\uFEFF\"label\",\"text\"\n1,\"yes, it works\"\n", []string{"yes, it works"}, []string{"1"}, 0},
		{"content: objects", "-", `{"text": "yes"}`, []string{"yes"}, nil, 0},
		{"content: strings", "-", "\"yes\"\n\"no\"\n", []string{"yes", "no"}, nil, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			want := &Set{Texts: c.texts, Labels: c.labels, Skipped: c.skipped}
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
				got, err := Read(c.name, r)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, error %v, want %+v", got, err, want)
				}
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	broken := errors.New("broken disk")
	long := strings.Repeat("x", textrows.MaxLine+1)
	for _, c := range []struct {
		what, name string
		in         io.Reader
		want       string
		is         error
	}{
		{"empty", "a.txt", strings.NewReader(""), "a.txt: no texts", ErrEmpty},
		{"blank lines", "a.txt", strings.NewReader(" \n\t\r\n\n"), "a.txt: no texts", ErrEmpty},
		{"only a header", "a.csv", strings.NewReader("text,label\n"), "a.csv: no texts", ErrEmpty},
		{"only labels", "a.tsv", strings.NewReader("text\tlabel\n\t1\n"), "a.tsv: no texts", ErrEmpty},
		{"empty, by content", "-", strings.NewReader("\n\n"), "-: no texts", ErrEmpty},

		{"NUL", "a.txt", strings.NewReader("one\x00two"), "a.txt: line 1: not a text file: it has NUL bytes", ErrBinary},
		{"NUL, far on", "a.txt", strings.NewReader(strings.Repeat("one\n", 64<<10) + "two\x00"), "a.txt: line 65537: not a text file: it has NUL bytes", ErrBinary},
		{"zeros without end", "a.csv", endless("\x00"), "not a text file", ErrBinary},
		{"noise", "a.txt", endless("\xfe\x80\xf1abc\n"), "not a text file: it is not in UTF-8", ErrBinary},
		{"a little noise", "a.txt", strings.NewReader("caf\xe9"), "not a text file", ErrBinary},
		{"gzip", "a.tsv", strings.NewReader("\x1f\x8b\x08\x00\x00\x00"), "not a text file", ErrBinary},
		{"UTF-16", "a.txt", strings.NewReader("\xff\xfea\x00"), "a.txt: text in UTF-16: save it as UTF-8", nil},
		{"UTF-16, big end first", "a.txt", strings.NewReader("\xfe\xff\x00a"), "UTF-16", nil},

		{"long line", "a.txt", strings.NewReader("one\n" + long), "a.txt: line 2: longer than 1 MiB", nil},
		{"a line without end", "a.jsonl", endless("x"), "a.jsonl: line 1: longer than 1 MiB", nil},
		{"a long record", "a.csv", strings.NewReader("text,label\n\nx,\"" + strings.Repeat("word\n", textrows.MaxLine/5)), "a.csv: line 3: the record that starts here is longer than 1 MiB", nil},
		{"a quote that stays open", "a.csv", strings.NewReader("text,label\na,1\n\"b,1\nc,0\n"), "a.csv: line 3: expected a quote", nil},
		{"too many columns", "a.tsv", strings.NewReader("text\tlabel\na\tb\t1\n"), "a.tsv: line 2: 3 columns, expected 2", nil},
		{"too few columns", "a.tsv", strings.NewReader("text\tlabel\n\n\na\n"), "a.tsv: line 4: 1 columns, expected 2", nil},
		{"commas without quotes", "a.csv", strings.NewReader("text,label\n\"x\ny\",1\na, b,1\n"), "a.csv: line 4: 3 columns, expected 2", nil},
		{"broken JSON", "a.jsonl", strings.NewReader("{\"text\":\"a\"}\n{\"text\":\n"), `a.jsonl: line 2: expected a JSON object with a string named "text"`, nil},
		{"broken JSON string", "a.jsonl", strings.NewReader("\"a"), "line 1: expected a JSON object", nil},
		{"JSON array", "a.json", strings.NewReader(`["a", "b"]`), "line 1: expected a JSON object", nil},
		{"pretty JSON array", "a.json", strings.NewReader("[\n\"a\"\n]"), "line 1: expected a JSON object", nil},
		{"JSON null", "a.json", strings.NewReader("null"), "line 1: expected a JSON object", nil},
		{"a text that is no string", "a.json", strings.NewReader(`{"text":["a"],"x":"y"}`), `line 1: expected a JSON object with a string named "text", or a JSON string: "text" is no string`, nil},
		{"two strings with other names", "a.json", strings.NewReader(`{"a":"b","c":"d"}`), "found 2 strings with other names", nil},
		{"only a label", "a.json", strings.NewReader(`{"label":"a"}`), "found 0 strings", nil},
		{"deep JSON", "a.json", strings.NewReader(strings.Repeat("[", 100_000)), "line 1: expected a JSON object", nil},
		{"read error at once", "a.txt", iotest.ErrReader(broken), "a.txt: broken disk", broken},
		{"read error later", "a.csv", io.MultiReader(strings.NewReader(strings.Repeat("one\n", 64<<10)), iotest.ErrReader(broken)), "a.csv: broken disk", broken},
	} {
		set, err := Read(c.name, c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) || set != nil {
			t.Errorf("%s: got %v, error %.200v, want %q", c.what, set, err, c.want)
		}
	}
}

// endless returns a reader that repeats s for ever.
func endless(s string) io.Reader { return &repeated{s: s} }

type repeated struct{ s, rest string }

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		r.rest = r.s
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func TestReadSamples(t *testing.T) {
	const n = 3 * Max
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "text %d\tlabel %d\n", i, i)
		fmt.Fprintf(&in, "text %d\t\n", i/2) // a repeat, of a text that may be kept or not
	}
	set, err := Read("a.tsv", strings.NewReader(in.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Texts) != Max || len(set.Labels) != Max || !set.Truncated {
		t.Fatalf("%d texts, %d labels, truncated %v", len(set.Texts), len(set.Labels), set.Truncated)
	}
	last, repeats := -1, 0
	var thirds [3]int
	for i, text := range set.Texts {
		var number int
		if _, err := fmt.Sscanf(text, "text %d", &number); err != nil || number <= last {
			t.Fatalf("text %q after number %d", text, last)
		}
		if want := fmt.Sprintf("label %d", number); set.Labels[i] != want {
			t.Fatalf("%q has the label %q, want %q", text, set.Labels[i], want)
		}
		if last = number; number < n/2 {
			repeats += 2
		}
		thirds[number/Max]++
	}
	for _, k := range thirds {
		if k < Max/3-300 || k > Max/3+300 { // eight standard deviations
			t.Errorf("%d texts of the thirds of the file: not even", thirds)
		}
	}
	if set.Skipped != repeats {
		t.Errorf("%d skipped, want the %d repeats of the texts kept", set.Skipped, repeats)
	}
	again, err := Read("a.tsv", strings.NewReader(in.String()))
	if err != nil || !reflect.DeepEqual(set, again) {
		t.Errorf("another sample the second time, error %v", err)
	}
}

func TestReadExactlyMax(t *testing.T) {
	var in strings.Builder
	for i := range Max {
		fmt.Fprintf(&in, "%d\n", i)
	}
	set, err := Read("a.txt", strings.NewReader(in.String()+in.String()))
	if err != nil || len(set.Texts) != Max || set.Truncated || set.Skipped != Max {
		t.Errorf("%d texts, %d skipped, truncated %v, error %v", len(set.Texts), set.Skipped, set.Truncated, err)
	}
}

func TestReadHugeFile(t *testing.T) {
	row := "a," + strings.Repeat("x", 8189) + "\n" // 8 KiB
	for _, c := range []struct {
		what, name, in string
		texts, skipped int
	}{
		{"lines", "a.txt", row, 1, maxFile/len(row) - 1},
		{"a cut line", "a.txt", "x" + row, 1, maxFile/(len(row)+1) - 1},
		{"CSV", "a.csv", row, 1, maxFile/len(row) - 1},
		// The last record that begins within the limit is cut between its lines.
		{"a cut record", "a.csv", "\"" + strings.Repeat(row, 100) + "\"\n", 1, maxFile/(100*len(row)+3) - 1},
	} {
		set, err := Read(c.name, endless(c.in))
		if err != nil || !set.Truncated || len(set.Texts) != c.texts || set.Skipped != c.skipped {
			t.Errorf("%s: got %.100v, error %v", c.what, set, err)
		}
	}
	set, err := Read("a.txt", io.LimitReader(endless(row), maxFile))
	if err != nil || set.Truncated || set.Skipped != maxFile/len(row)-1 {
		t.Errorf("exactly the limit: got %.100v, error %v", set, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"", "one\ntwo\r\n\n one\n", "# one\n", "\uFEFFone\n", "\xff\xfea\x00", "a\xe9bcdefghijklmn",
		"sentence\tlabel\nit works\t1\n", "it works\t1\nno\t0\n", "text,label\n\"a, \"\"b\"\"\n\nc\",1\n", "a,\"b\n", "\"\"\n\"\",\n",
		`{"text":"a","label":1}` + "\n" + `{"review":"b","label":null}`, `"a\ud800"`, `{"a":{"b":[]},"c":"d"}`, `["a"]`,
	} {
		for _, name := range []string{"-", "a.txt", "a.tsv", "a.csv", "a.jsonl"} {
			f.Add(name, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, name string, in []byte) {
		set, err := Read(name, bytes.NewReader(in))
		again, errAgain := Read(name, iotest.HalfReader(bytes.NewReader(in)))
		if !reflect.DeepEqual(set, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%+v, error %v, and the second time %+v, error %v", set, err, again, errAgain)
		}
		if err != nil {
			if set != nil || !strings.HasPrefix(err.Error(), name+": ") {
				t.Fatalf("%+v, error %v", set, err)
			}
			return
		}
		if n := len(set.Texts); n == 0 || n > Max || set.Labels != nil && len(set.Labels) != n || set.Skipped < 0 {
			t.Fatalf("%d texts, %d labels, %d skipped", n, len(set.Labels), set.Skipped)
		}
		seen := map[string]bool{}
		for _, text := range set.Texts {
			if text == "" || text != strings.TrimSpace(text) || !utf8.ValidString(text) || seen[text] {
				t.Fatalf("text %q", text)
			}
			seen[text] = true
		}
		for _, label := range set.Labels {
			if !utf8.ValidString(label) {
				t.Fatalf("label %q", label)
			}
		}
	})
}

func TestRewrites(t *testing.T) {
	sentences := map[string][]string{}
	styles := map[string]int{}
	seen := map[string]bool{}
	for _, w := range Rewrites() {
		styles[w.Style]++
		sentences[w.Plain] = append(sentences[w.Plain], w.Style)
		if !slices.Contains(Builtin(), w.Plain) {
			t.Errorf("%q is no probe", w.Plain)
		}
		if seen[w.Text] || w.Text == w.Plain || w.Text == "" {
			t.Errorf("%q is no rewrite of its own", w.Text)
		}
		seen[w.Text] = true
		for word := range strings.FieldsFuncSeq(strings.ToLower(w.Text), func(r rune) bool { return r < 'a' || r > 'z' }) {
			if slices.Contains(evaluative, word) && word != "like" { // as in "like an hour"
				t.Errorf("%q has the word %q, which is not neutral", w.Text, word)
			}
		}
	}
	if len(styles) != 5 || len(sentences) != 24 {
		t.Errorf("styles %v of %d sentences", styles, len(sentences))
	}
	for plain, in := range sentences {
		if len(in) != len(styles) {
			t.Errorf("%q in %q", plain, in)
		}
	}
}
