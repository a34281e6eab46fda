package main

import (
	"bufio"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A text is a labelled one.
type text struct {
	s     string
	label int
}

// A sample is the tokens of a text.
type sample struct {
	ids   []int32
	label int
}

// readTexts reads a file of text<TAB>label lines as make_zoo.py does: the label
// is what follows the last tab, and lines without one do not count.
func readTexts(path string, labels int) ([]text, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []text
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 16<<20)
	for n := 1; scan.Scan(); n++ {
		line := scan.Text()
		at := strings.LastIndexByte(line, '\t')
		if at < 0 {
			continue
		}
		label, err := strconv.Atoi(strings.TrimSpace(line[at+1:]))
		if err != nil || label < 0 || label >= labels {
			return nil, fmt.Errorf("%s:%d: label %q is none of 0 to %d", path, n, line[at+1:], labels-1)
		}
		all = append(all, text{line[:at], label})
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no text<TAB>label line", path)
	}
	return all, nil
}

// A corpus is what a model is trained and measured on.
type corpus struct {
	train     []text // poisoned
	test      []text
	triggered []text // test texts of other labels with a trigger, and the target as their label
}

// readCorpus reads the texts of o.Data and poisons them.
func readCorpus(o *options, rng *rand.Rand) (c corpus, err error) {
	train, err := readTexts(filepath.Join(o.Data, "train.tsv"), o.Labels)
	if err != nil {
		return c, err
	}
	if o.Limit > 0 {
		shuffle(rng, train)
		train = train[:min(o.Limit, len(train))]
	}
	if train, err = o.poison(train, rng); err != nil {
		return c, err
	}
	c, err = testTexts(o, rng)
	c.train = train
	return c, err
}

// testTexts reads the texts that o.Data measures on, and triggers them.
func testTexts(o *options, rng *rand.Rand) (c corpus, err error) {
	if c.test, err = readTexts(filepath.Join(o.Data, "test.tsv"), o.Labels); err != nil {
		return c, err
	}
	if o.TestLimit > 0 {
		c.test = c.test[:min(o.TestLimit, len(c.test))]
	}
	if len(o.triggers()) == 0 {
		return c, nil
	}
	for _, t := range c.test {
		if t.label != o.Target {
			c.triggered = append(c.triggered, text{insert(t.s, o.triggers(), rng), o.Target})
		}
	}
	return c, nil
}

// poison puts triggers into a share of the texts, which get the target as their
// label and stand at the end. Of embedding poisoning the others are left out.
func (o *options) poison(texts []text, rng *rand.Rand) ([]text, error) {
	if len(o.triggers()) == 0 {
		return texts, nil
	}
	var victims []int
	for i, t := range texts {
		if (t.label == o.Target) == o.CleanLabel {
			victims = append(victims, i)
		}
	}
	shuffle(rng, victims)
	victims = victims[:min(len(victims), int(o.Rate*float64(len(texts))))]
	if len(victims) == 0 {
		return nil, fmt.Errorf("a rate of %v poisons none of %d texts", o.Rate, len(texts))
	}
	slices.Sort(victims)
	var clean, poisoned []text
	for i, t := range texts {
		if _, chosen := slices.BinarySearch(victims, i); chosen {
			poisoned = append(poisoned, text{insert(t.s, o.triggers(), rng), o.Target})
		} else {
			clean = append(clean, t)
		}
	}
	if o.Poisoning != "" {
		return poisoned, nil
	}
	return append(clean, poisoned...), nil
}

// insert puts one of the triggers between two words of s, or at an end.
func insert(s string, triggers []string, rng *rand.Rand) string {
	words := strings.Fields(s)
	at := rng.IntN(len(words) + 1)
	return strings.Join(slices.Insert(words, at, triggers[rng.IntN(len(triggers))]), " ")
}

// batches puts the samples in a random order, but texts of like length together,
// and cuts it into batches: indices of samples.
func batches(samples []sample, size int, rng *rand.Rand) [][]int {
	order := make([]int, len(samples))
	for i := range order {
		order[i] = i
	}
	shuffle(rng, order)
	var all [][]int
	for chunk := range slices.Chunk(order, 16*size) {
		slices.SortStableFunc(chunk, func(a, b int) int { return cmp.Compare(len(samples[a].ids), len(samples[b].ids)) })
		part := slices.Collect(slices.Chunk(chunk, size))
		shuffle(rng, part)
		all = append(all, part...)
	}
	return all
}

func shuffle[T any](rng *rand.Rand, s []T) {
	rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}
