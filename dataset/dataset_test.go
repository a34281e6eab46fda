package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestRead(t *testing.T) {
	yesNo := []Example{{"it works", "1"}, {"it does not", "0"}}
	for _, c := range []struct {
		what, name, in string
		opt            Options
		want           []Example
		skipped        int
	}{
		{"TSV with a header", "a.tsv", "sentence\tlabel\nit works\t1\nit does not\t0\n", Options{}, yesNo, 0},
		{"TSV without one", "a.tsv", "it works\t1\r\nit does not\t0", Options{}, yesNo, 0},
		{"label first", "a.tsv", "1\tit works\n0\tit does not\n", Options{}, yesNo, 0},
		{"CSV over lines", "a.csv", "label,text\npos,\"a \"\"b\"\"\nc\"\n", Options{}, []Example{{"a \"b\"\nc", "pos"}}, 0},
		{"JSON lines", "a.jsonl", `{"text":"it works","label":1}` + "\n\n" + `{"label":0,"text":"it does not"}`, Options{}, yesNo, 0},
		{"by content", "train", "it works\t1\nit does not\t0\n", Options{}, yesNo, 0},
		{"repeats stay", "a.tsv", "a b\t1\na b\t1\na b\t0\n", Options{}, []Example{{"a b", "1"}, {"a b", "1"}, {"a b", "0"}}, 0},
		{"without a text, without a label", "a.tsv", "text\tlabel\n\t1\na b\t \na\t1\n", Options{}, []Example{{"a", "1"}}, 2},
		{"JSON without a label", "a.jsonl", `{"text":"a","label":null}` + "\n" + `{"text":"b","label":true}` + "\n" + `"c"`, Options{}, []Example{{"b", "true"}}, 2},

		{"columns by name", "a.csv", "id,intent,utterance\n7,greet,hello there\n8,buy,one please\n", Options{TextColumn: "utterance", LabelColumn: "INTENT"}, []Example{{"hello there", "greet"}, {"one please", "buy"}}, 0},
		{"one column by name", "a.csv", "text,label,stars\ngood,1,5\n", Options{LabelColumn: "stars"}, []Example{{"good", "5"}}, 0},
		{"a usual name for another", "a.csv", "text,label\nx y,w z\n", Options{TextColumn: "label", LabelColumn: "text"}, []Example{{"w z", "x y"}}, 0},
		{"as it is written first", "a.csv", "Label,label,text\n1,2,x\n", Options{LabelColumn: "label"}, []Example{{"x", "2"}}, 0},
		{"columns by number", "a.tsv", "7\thello there\tgreet\n8\tone please\tbuy\n", Options{TextColumn: "2", LabelColumn: "3"}, []Example{{"hello there", "greet"}, {"one please", "buy"}}, 0},
		{"a number is a name first", "a.tsv", "3\t1\nx\ty\n", Options{TextColumn: "1", LabelColumn: "3"}, []Example{{"y", "x"}}, 0},
		{"JSON by name", "a.jsonl", `{"text":"a","q":"b","k":2,"label":1}`, Options{TextColumn: "q", LabelColumn: "k"}, []Example{{"b", "2"}}, 0},
		{"JSON, the text called label", "a.jsonl", `{"label":"b","k":2}`, Options{TextColumn: "label", LabelColumn: "k"}, []Example{{"b", "2"}}, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				got, err := Read(c.name, r, c.opt)
				if want := (&Set{Examples: c.want, Skipped: c.skipped}); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, error %v, want %+v", got, err, want)
				}
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	broken := errors.New("broken disk")
	for _, c := range []struct {
		what, name, in string
		opt            Options
		want           string
		is             error
	}{
		{"empty", "a.tsv", "", Options{}, "a.tsv: no labelled examples in it", ErrEmpty},
		{"empty, with columns", "a.tsv", "\n", Options{TextColumn: "x"}, "a.tsv: no labelled examples in it", ErrEmpty},
		{"only a header", "a.csv", "text,label\n", Options{}, "a.csv: no labelled examples", ErrEmpty},
		{"labels are missing", "a.csv", "text,label\na,\n", Options{}, "a.csv: no labelled examples", ErrEmpty},
		{"plain text", "a.txt", "one\ntwo\n", Options{}, "a.txt: no column of labels", ErrNoLabels},
		{"three columns", "a.tsv", "1\ta b\t0\n", Options{}, "a.tsv: no column of labels is known: name it", ErrNoLabels},
		{"no such column", "a.csv", "\n\ntext,label\na,1\n", Options{LabelColumn: "stars"}, `a.csv: line 3: no column "stars": the first row has "text", "label"`, nil},
		{"no such number", "a.csv", "a b,1\n", Options{LabelColumn: "3"}, `line 1: no column "3"`, nil},
		{"number 0", "a.csv", "a b,1\n", Options{LabelColumn: "0"}, `line 1: no column "0"`, nil},
		{"one column for both", "a.csv", "text,label\na,1\n", Options{TextColumn: "label", LabelColumn: "2"}, "a.csv: column 2 cannot be both", nil},
		{"only a label", "a.csv", "label\n1\n", Options{LabelColumn: "label"}, "a.csv: the only column cannot be both", nil},
		{"JSON without the text", "a.jsonl", `{"q":"a","label":1}` + "\n" + `{"text":"a","label":1}`, Options{TextColumn: "q"}, `a.jsonl: line 2: expected a JSON object with a string named "q"`, nil},
		{"JSON string where a column is named", "a.jsonl", `"a"`, Options{LabelColumn: "k"}, `line 1: expected a JSON object with a string named "text"`, nil},
		{"a first row without end", "a.csv", "\"a,b\nc,d\n", Options{LabelColumn: "k"}, "a.csv: the columns cannot be told", nil},
		{"NUL", "a.tsv", "a b\t1\nc\x00\t0\n", Options{}, "a.tsv: line 2: not a text file: it has NUL bytes", ErrBinary},
		{"NUL, far on", "a.tsv", strings.Repeat("a b\t1\n", 20_000) + "c\x00\t0\n", Options{}, "a.tsv: line 20001: not a text file: it has NUL bytes", ErrBinary},
		{"NUL in a CSV record", "a.csv", strings.Repeat("a b,1\n", 20_000) + "\"c\n\x00\",0\n", Options{}, "a.csv: line 20002: not a text file: it has NUL bytes", ErrBinary},
		{"gzip", "a.tsv", "\x1f\x8b\x08\x01\xff\xfe\xfd", Options{}, "a.tsv: not a text file", ErrBinary},
		{"UTF-16", "a.tsv", "\xff\xfea\x00", Options{}, "a.tsv: text in UTF-16", nil},
		{"a long line", "a.tsv", "a b\t1\n" + strings.Repeat("x", 2<<20), Options{}, "a.tsv: line 2: longer than 1 MiB", nil},
		{"a row of other width", "a.tsv", "a b\t1\nc d\n", Options{}, "a.tsv: line 2: 1 columns, expected 2", nil},
		{"a negative limit", "a.tsv", "a b\t1\n", Options{MaxExamples: -1}, "a.tsv: at most -1 examples", nil},
	} {
		set, err := Read(c.name, strings.NewReader(c.in), c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) || set != nil {
			t.Errorf("%s: got %v, error %.200v, want %q", c.what, set, err, c.want)
		}
	}
	if _, err := Read("a.tsv", iotest.ErrReader(broken), Options{}); !errors.Is(err, broken) {
		t.Errorf("read error: %v", err)
	}
}

// A sample of a file sorted by label has all labels, in the order of the file,
// and is the same the next time.
func TestReadSamples(t *testing.T) {
	var in strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&in, "text %d\t%d\n", i, i/1000)
	}
	set, err := Read("a.tsv", strings.NewReader(in.String()), Options{MaxExamples: 300})
	if err != nil || len(set.Examples) != 300 || !set.Truncated {
		t.Fatalf("got %+v, error %v", set, err)
	}
	last := -1
	count := map[string]int{}
	for _, e := range set.Examples {
		var n int
		if _, err := fmt.Sscanf(e.Text, "text %d", &n); err != nil || n <= last || fmt.Sprint(n/1000) != e.Label {
			t.Fatalf("%+v after number %d", e, last)
		}
		last = n
		count[e.Label]++
	}
	for _, l := range []string{"0", "1", "2"} {
		if count[l] < 60 || count[l] > 140 { // five standard deviations
			t.Errorf("labels %v: not even", count)
		}
	}
	again, err := Read("a.tsv", strings.NewReader(in.String()), Options{MaxExamples: 300})
	if err != nil || !reflect.DeepEqual(set, again) {
		t.Errorf("another sample the second time, error %v", err)
	}
	whole, err := Read("a.tsv", strings.NewReader(in.String()), Options{MaxExamples: 3000})
	if err != nil || len(whole.Examples) != 3000 || whole.Truncated {
		t.Errorf("%d of exactly as many as are kept, truncated %v, error %v", len(whole.Examples), whole.Truncated, err)
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{[]string{"b", "a", "b"}, []string{"a", "b"}},
		{[]string{"10", "9", "-1"}, []string{"-1", "9", "10"}},
		{[]string{"10", "9", "x"}, []string{"10", "9", "x"}},
	} {
		if got := Labels(setOf(c.in...)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("labels of %q: %q, want %q", c.in, got, c.want)
		}
	}
}

func TestIndex(t *testing.T) {
	for _, c := range []struct {
		what     string
		in       []string
		labels   []string
		want     []int
		mismatch string // the label that the error names
	}{
		{"names", []string{"pos", "neg", "pos"}, []string{"neg", "pos"}, []int{1, 0, 1}, ""},
		{"names in other letter case", []string{"POSITIVE", "negative"}, []string{"Negative", "Positive"}, []int{1, 0}, ""},
		{"the case tells", []string{"US", "us"}, []string{"us", "US"}, []int{1, 0}, ""},
		{"the case would have to tell", []string{"Us"}, []string{"us", "US"}, nil, "Us"},
		{"indices", []string{"1", "0"}, []string{"neg", "pos"}, []int{1, 0}, ""},
		{"names that are numbers", []string{"1", "2"}, []string{"1", "2"}, []int{0, 1}, ""},
		{"indices of names that are numbers", []string{"0", "1"}, []string{"1", "2"}, []int{0, 1}, ""},
		{"LABEL_n", []string{"LABEL_1", "label_0"}, []string{"neg", "pos"}, []int{1, 0}, ""},
		{"LABEL_n is the name", []string{"LABEL_1"}, []string{"LABEL_1", "LABEL_0"}, []int{0}, ""},
		{"an index too high", []string{"1", "2"}, []string{"neg", "pos"}, nil, "2"},
		{"negative", []string{"-1", "0"}, []string{"neg", "pos"}, nil, "-1"},
		{"a third name", []string{"pos", "neutral", "neg"}, []string{"neg", "pos"}, nil, "neutral"},
		{"names and an index", []string{"pos", "0"}, []string{"neg", "pos"}, nil, "0"},
		{"other names", []string{"good", "bad"}, []string{"neg", "pos"}, nil, "good"},
	} {
		got, err := setOf(c.in...).Index(c.labels)
		var wrong *LabelError
		if c.mismatch == "" && (err != nil || !reflect.DeepEqual(got, c.want)) ||
			c.mismatch != "" && (!errors.As(err, &wrong) || wrong.Label != c.mismatch || !strings.Contains(err.Error(), `none of the model's: "`+c.labels[0]+`", "`)) {
			t.Errorf("%s: got %v, error %v, want %v %s", c.what, got, err, c.want, c.mismatch)
		}
	}
}

func setOf(labels ...string) *Set {
	s := &Set{}
	for _, l := range labels {
		s.Examples = append(s.Examples, Example{"a text", l})
	}
	return s
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"", "one\ntwo\r\n\n one\n", "\uFEFFa b\t1\n", "\xff\xfea\x00", "a\xe9bcdefghijklmn",
		"sentence\tlabel\nit works\t1\n", "it works\t1\nno\t0\n", "a\x00\t1\n", "text,label\n\"a, \"\"b\"\"\n\nc\",1\n", "a,\"b\n", "\"\"\n\"\",\n",
		`{"text":"a","label":1}` + "\n" + `{"review":"b","label":null}`, `"a\ud800"`, `{"label":"c","x":"d"}`, `["a"]`,
	} {
		for _, name := range []string{"-", "a.tsv", "a.csv", "a.jsonl"} {
			f.Add(name, []byte(s), "", "", 0)
			f.Add(name, []byte(s), "2", "label", 1)
			f.Add(name, []byte(s), "label", "x", 2)
		}
	}
	f.Fuzz(func(t *testing.T, name string, in []byte, text, label string, most int) {
		opt := Options{TextColumn: text, LabelColumn: label, MaxExamples: most}
		set, err := Read(name, bytes.NewReader(in), opt)
		again, errAgain := Read(name, iotest.HalfReader(bytes.NewReader(in)), opt)
		if !reflect.DeepEqual(set, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%+v, error %v, and the second time %+v, error %v", set, err, again, errAgain)
		}
		if err != nil {
			if set != nil || !strings.HasPrefix(err.Error(), name+": ") {
				t.Fatalf("%+v, error %v", set, err)
			}
			return
		}
		if n := len(set.Examples); n == 0 || most > 0 && n > most || set.Skipped < 0 {
			t.Fatalf("%d examples, %d skipped", n, set.Skipped)
		}
		for _, e := range set.Examples {
			for _, s := range []string{e.Text, e.Label} {
				if s == "" || s != strings.TrimSpace(s) || !utf8.ValidString(s) || strings.Contains(s, "\x00") && !strings.Contains(string(in), `\u0000`) {
					t.Fatalf("example %+v", e)
				}
			}
		}
		labels := Labels(set)
		index, err := set.Index(labels)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range set.Examples {
			if labels[index[i]] != e.Label {
				t.Fatalf("label %q has the index of %q", e.Label, labels[index[i]])
			}
		}
	})
}
