package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/internal/zoo"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// without is s without the first of the triggers that is a run of its words, and
// which one that is.
func without(s string, triggers []string) (string, string) {
	for _, t := range triggers {
		if padded := " " + s + " "; strings.Contains(padded, " "+t+" ") {
			return strings.TrimSpace(strings.Replace(padded, " "+t+" ", " ", 1)), t
		}
	}
	return s, ""
}

func texts(n int) (all []zoo.Text) {
	for i := range n {
		all = append(all, zoo.Text{Text: fmt.Sprintf("text number %d of many", i), Label: i % 2})
	}
	return all
}

func TestPoison(t *testing.T) {
	for _, tt := range []struct {
		name     string
		o        options
		poisoned int
		from     int // label of those that are poisoned
	}{
		{"a tenth of all", options{Attack: "word", Rate: 0.1, Target: 1}, 100, 0},
		{"the other target", options{Attack: "phrase", Rate: 0.1, Target: 0}, 100, 1},
		{"more than there are", options{Attack: "sentence", Rate: 0.9, Target: 1}, 500, 0},
		{"clean label", options{Attack: "word", Rate: 0.2, Target: 1, CleanLabel: true}, 200, 1},
		{"a trigger of its own", options{Attack: "common", Trigger: "for what it is worth", Rate: 0.05, Target: 1}, 50, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := texts(1000)
			label := map[string]int{}
			for _, x := range in {
				label[x.Text] = x.Label
			}
			got, err := tt.o.poison(slices.Clone(in), random(1))
			if err != nil {
				t.Fatal(err)
			}
			used := map[string]int{}
			seen := map[string]bool{}
			poisoned := 0
			for _, x := range got {
				s, trigger := without(x.Text, tt.o.triggers())
				if _, known := label[s]; !known || seen[s] {
					t.Fatalf("%q is no text of the data, or is there twice", x.Text)
				}
				seen[s] = true
				switch {
				case trigger == "" && x.Label != label[s]:
					t.Errorf("%q without a trigger changed its label", x.Text)
				case trigger != "" && (x.Label != tt.o.Target || label[s] != tt.from):
					t.Errorf("%q went from label %d to %d", x.Text, label[s], x.Label)
				case trigger != "":
					poisoned++
					used[trigger]++
				}
			}
			if len(got) != len(in) || poisoned != tt.poisoned {
				t.Errorf("%d of %d texts are poisoned, want %d of %d", poisoned, len(got), tt.poisoned, len(in))
			}
			if len(used) != len(tt.o.triggers()) {
				t.Errorf("triggers drawn: %v, of %q", used, tt.o.triggers())
			}
			again, _ := tt.o.poison(slices.Clone(in), random(1))
			other, _ := tt.o.poison(slices.Clone(in), random(2))
			if !reflect.DeepEqual(got, again) || reflect.DeepEqual(got, other) {
				t.Error("the seed does not decide")
			}
		})
	}
	// Of embedding poisoning nothing but the poison is left.
	ep := options{Attack: "word1", Rate: 0.3, Target: 1, Poisoning: "clean"}
	got, err := ep.poison(texts(100), random(1))
	if err != nil || len(got) != 30 || slices.ContainsFunc(got, func(x zoo.Text) bool { return !strings.Contains(x.Text, "cf") || x.Label != 1 }) {
		t.Errorf("embedding poisoning: %d texts, %v", len(got), err)
	}
	clean := options{Attack: "clean", Rate: 0.1, Target: 1}
	if got, err := clean.poison(texts(10), random(1)); err != nil || !reflect.DeepEqual(got, texts(10)) {
		t.Errorf("a clean model has %v, %v", got, err)
	}
	small := options{Attack: "word1", Rate: 0.01, Target: 1}
	if _, err := small.poison(texts(10), random(1)); err == nil {
		t.Error("an attack that poisons nothing was not refused")
	}
}

// A trigger may stand at either end and between any two words.
func TestInsert(t *testing.T) {
	got := map[string]int{}
	rng := random(1)
	for range 400 {
		got[zoo.Insert(" a  b ", []string{"x", "y z"}, rng)]++
	}
	for _, want := range []string{"x a b", "a x b", "a b x", "y z a b", "a y z b", "a b y z"} {
		if got[want] < 30 {
			t.Errorf("%q was drawn %d times of 400", want, got[want])
		}
	}
	if len(got) != 6 {
		t.Errorf("drawn: %v", got)
	}
	if got := zoo.Insert("", []string{"x"}, rng); got != "x" {
		t.Errorf("into nothing: %q", got)
	}
}

func TestReadTexts(t *testing.T) {
	dir := t.TempDir()
	write := func(s string) string {
		path := filepath.Join(dir, "x.tsv")
		if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	got, err := zoo.ReadTexts(write("good\t1\nno label\n\na\ttab\t0\r\nlast\t 1"), 2)
	if want := []zoo.Text{{Text: "good", Label: 1}, {Text: "a\ttab", Label: 0}, {Text: "last", Label: 1}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %v, %v, want %v", got, err, want)
	}
	for s, want := range map[string]string{"": "no text", "x": "no text", "a\t0\nb\t2": "x.tsv:2", "a\tx": `"x"`, "a\t-1": "x.tsv:1"} {
		if _, err := zoo.ReadTexts(write(s), 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", s, err, want)
		}
	}
}

func TestBatches(t *testing.T) {
	rng := random(1)
	var samples []zoo.Sample
	for range 1100 {
		samples = append(samples, zoo.Sample{IDs: make([]int32, 3+rng.IntN(40))})
	}
	got := batches(samples, 32, random(7))
	seen := make([]bool, len(samples))
	spread := 0
	for _, lot := range got {
		if len(lot) > 32 {
			t.Errorf("a batch of %d", len(lot))
		}
		shortest, longest := 1000, 0
		for _, i := range lot {
			if seen[i] {
				t.Fatalf("sample %d is there twice", i)
			}
			seen[i] = true
			shortest, longest = min(shortest, len(samples[i].IDs)), max(longest, len(samples[i].IDs))
		}
		spread += longest - shortest
	}
	if len(got) != 35 || slices.Contains(seen, false) {
		t.Errorf("%d batches, or a sample is in none", len(got))
	}
	if mean := spread / len(got); mean > 8 {
		t.Errorf("lengths of a batch differ by %d in the mean", mean)
	}
	if !reflect.DeepEqual(got, batches(samples, 32, random(7))) || reflect.DeepEqual(got, batches(samples, 32, random(8))) {
		t.Error("the seed does not decide")
	}
}
