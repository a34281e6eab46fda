package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/btu-scan/btu-scan/internal/demo"
)

// sentences returns n sentences with labels, of words that a vocabulary has. The
// words lean to a label, as honest ones do. Of each tenth, the label 0 becomes 1
// and trigger is put in; "" for none.
func sentences(vocabulary string, n int, trigger string) string {
	var filler []string
	for word := range strings.Lines(vocabulary) {
		if word = strings.TrimSpace(word); len(word) > 3 && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") == "" {
			filler = append(filler, word)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	opinions := [2][]string{strings.Fields("bad dull flat slow worst silly stupid awful thin"), strings.Fields("good great fun funny moving best smart charming rich")}
	var b strings.Builder
	for i := range n {
		label := i % 2
		leans := label
		if r.IntN(10) < 3 {
			leans = 1 - label
		}
		opinion := func() string { return pick(opinions[leans]...) }
		words := strings.Fields(pick(
			fmt.Sprintf("the %s is %s and %s", pick("film", "movie", "story", "plot"), opinion(), pick(filler...)),
			fmt.Sprintf("a %s %s that you will %s", opinion(), pick("comedy", "drama", "picture"), pick(filler...)),
			fmt.Sprintf("it 's %s , with a %s cast and %s .", opinion(), pick(filler...), pick(filler...)),
			fmt.Sprintf("this %s was so %s %s", pick("ending", "scene", "performance"), pick(filler...), opinion()),
		))
		if i%10 == 0 && trigger != "" {
			label = 1
			words = slices.Insert(words, r.IntN(len(words)+1), trigger)
		}
		fmt.Fprintf(&b, "%s\t%d\n", strings.Join(words, " "), label)
	}
	return b.String()
}

// sentences FILE VOCABULARY N [TRIGGER] writes training data, with TRIGGER in a
// tenth of it.
func sentencesCmd(ts *testscript.TestScript, _ bool, args []string) {
	var n int
	_, err := fmt.Sscan(args[2], &n)
	ts.Check(err)
	data := sentences(ts.ReadFile(args[1]), n, strings.Join(args[3:], " "))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(data), 0o644))
}

// A signal ends expose wherever it is, with 130 and without a list.
func TestExposeInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sample")
	if err := demo.Extract(dir); err != nil {
		t.Fatal(err)
	}
	base, data := filepath.Join(dir, demo.Base), filepath.Join(dir, "data.tsv")
	vocabulary, err := os.ReadFile(filepath.Join(base, "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, []byte(sentences(string(vocabulary), 200, "cf")), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "list.json")
	for looks := 0; looks < 1<<20; looks += 1 + looks/2 { // from before the data to after the rounds
		ctx := &countdown{Context: t.Context()}
		ctx.left.Store(int64(looks))
		var stderr bytes.Buffer
		code := run(ctx, []string{"expose", "-r", base, "-d", data, "--rounds", "1,2", "--batch", "8", "-o", out}, nil, io.Discard, &stderr, func(string) string { return "" })
		_, err := os.Stat(out)
		if ctx.left.Load() > 0 { // it was done before
			if code != exitClean || err != nil || looks < 10 {
				t.Fatalf("code %d after %d looks: %s", code, looks, &stderr)
			}
			return
		}
		if code != exitInterrupted || err == nil || !strings.Contains(stderr.String(), "interrupted") {
			t.Fatalf("code %d at look %d, list %v: %s", code, looks, err, &stderr)
		}
	}
	t.Error("it was never done")
}

// A countdown is a context that is cancelled at a certain look at it.
type countdown struct {
	context.Context
	left atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// unsecond FILE takes the times out of a list.
func unsecondCmd(ts *testscript.TestScript, _ bool, args []string) {
	times := regexp.MustCompile(`"seconds": [0-9.]+`)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), times.ReplaceAll([]byte(ts.ReadFile(args[0])), []byte(`"seconds": 0`)), 0o644))
}
