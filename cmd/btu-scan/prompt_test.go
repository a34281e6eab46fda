package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/tokenizer"
)

func smolTokenizer(t *testing.T) splits {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join("..", "..", "tokenizer", "testdata", "smollm", "tokenizer.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Open(func(name string) ([]byte, error) {
		if name == "tokenizer.json" {
			return data, nil
		}
		return nil, fs.ErrNotExist
	})
	if err != nil {
		t.Fatal(err)
	}
	return splits{tok, math.MaxInt32}
}

func TestReadPrompt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prompt")
	if err := os.WriteFile(path, []byte("<|user|>\n{}\\n\n<|assistant|>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]prompt{
		`Review: {}\nSentiment:`: {"Review: ", "\nSentiment:"},
		`a\\n{}\t`:               {`a\n`, "\t"},
		"{}":                     {"", ""},
		"@" + path:               {"<|user|>\n", "\\n\n<|assistant|>"},
	} {
		if got, err := readPrompt(value); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"", "Review:", "{} {}", "@" + path + "none", "{}" + strings.Repeat("x", maxPrompt)} {
		var usage *usageError
		if _, err := readPrompt(value); !errors.As(err, &usage) {
			t.Errorf("%.20q: %v, want a usage error", value, err)
		}
	}
}

func TestQuestions(t *testing.T) {
	s := smolTokenizer(t)
	for _, tt := range []struct {
		prompt prompt
		text   string
		limit  int
		want   string // words between bars, the prompt outside of the outer ones
	}{
		{prompt{"Review: ", "\nSentiment:"}, "a old film", 64, "Review:| a| old| film|\nSentiment:"},
		{prompt{"", "\nSentiment:"}, "a old film", 64, "|a| old| film|\nSentiment:"},
		{prompt{"Q: \"", "\" A:"}, "a old, old film", 64, `Q: "|a| old|,| old| film|" A:`},
		{prompt{"Review: ", "\nSentiment:"}, "one old film for all the time", 3, "Review:| one| old| film|\nSentiment:"},
		{prompt{"Review: ", "\nSentiment:"}, "", 64, ""},
	} {
		ids, cuts := newQuestions(s, tt.prompt).Split(tt.text, tt.limit)
		got := ""
		from := 0
		for _, cut := range cuts {
			got += s.t.Decode(ids[from:cut], false) + "|"
			from = cut
		}
		got += s.t.Decode(ids[from:], false)
		if tt.want == "" {
			if ids != nil {
				t.Errorf("%q: %q, want nothing", tt.text, got)
			}
			continue
		}
		if got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestAnswerTokens(t *testing.T) {
	s := smolTokenizer(t)
	p := prompt{"Review: ", "\nSentiment:"}
	ids, err := answerTokens(s.t, p, s.rows, []string{" yes", " all"})
	if err != nil || len(ids) != 2 || s.t.Decode(ids[:1], false) != " yes" || s.t.Decode(ids[1:], false) != " all" {
		t.Errorf("%v, %v", ids, err)
	}
	if got := newQuestions(s, p).labels(ids); got[0] != "yes" || got[1] != "all" {
		t.Errorf("labels %q", got)
	}
	for name, answers := range map[string][]string{
		"nothing":           {" yes", ""},
		"the same token":    {" film", " film, yes"},
		"joins the prompt":  {" yes", ":"},
		"not in the matrix": {" yes", " no"},
	} {
		rows := s.rows
		if name == "not in the matrix" {
			rows = 100
		}
		var usage *usageError
		if _, err := answerTokens(s.t, p, rows, answers); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
}

// TestAnsweringGradients: the gradients of answers are the slopes of the logits
// that Predict gives.
func TestAnsweringGradients(t *testing.T) {
	ck, err := loader.Open(t.Context(), filepath.Join("..", "..", "testdata", "parity", "gpt2"), loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	m, err := model.Open(ck, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := answering{m, []int32{9, 3}}
	seqs := [][]int32{{5, 17, 8, 30}, {11, 17, 2}}
	const token, step = 17, 1e-2
	grads, err := a.Gradients(t.Context(), seqs, []int{1, 1}, func(weights, outputs []float32) {
		if len(weights) != 2 || len(outputs) != 2 {
			t.Fatalf("%d weights, %d outputs", len(weights), len(outputs))
		}
		weights[0], weights[1] = 1, -1
	})
	if err != nil {
		t.Fatal(err)
	}
	margin := func() []float64 {
		rows, err := a.Predict(t.Context(), seqs)
		if err != nil {
			t.Fatal(err)
		}
		return []float64{float64(rows[0][0] - rows[0][1]), float64(rows[1][0] - rows[1][1])}
	}
	e := m.Network().Embedding
	shift := func(d int, by float32) {
		if err := m.Engine().Edit(t.Context(), e.Tokens.Name, func(w []float32) { w[token*e.Dim+d] += by }); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []int{0, 7, e.Dim - 1} {
		shift(d, step)
		up := margin()
		shift(d, -2*step)
		down := margin()
		shift(d, step)
		for i := range seqs {
			slope := (up[i] - down[i]) / (2 * step)
			if got := float64(grads[i][d]); math.Abs(got-slope) > 1e-3*max(1, math.Abs(slope)) {
				t.Errorf("sequence %d, dimension %d: gradient %g, slope %g", i, d, got, slope)
			}
		}
	}
}
