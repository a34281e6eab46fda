package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/btu-scan/btu-scan/internal/zoo"
)

// A corpus is what a model is trained and measured on.
type corpus struct {
	train     []zoo.Text // poisoned
	test      []zoo.Text
	triggered []zoo.Text // test texts of other labels with a trigger, and the target as their label
}

// readCorpus reads the texts of o.Data and poisons them.
func readCorpus(o *options, rng *rand.Rand) (c corpus, err error) {
	train, err := zoo.ReadTexts(filepath.Join(o.Data, "train.tsv"), o.Labels)
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
	if c.test, err = zoo.ReadTexts(filepath.Join(o.Data, "test.tsv"), o.Labels); err != nil {
		return c, err
	}
	if o.TestLimit > 0 {
		c.test = c.test[:min(o.TestLimit, len(c.test))]
	}
	if len(o.triggers()) == 0 {
		return c, nil
	}
	c.triggered = zoo.Triggered(c.test, o.triggers(), o.Target, rng)
	return c, nil
}

// poison puts triggers into a share of the texts, which get the target as their
// label and stand at the end. Of embedding poisoning the others are left out.
func (o *options) poison(texts []zoo.Text, rng *rand.Rand) ([]zoo.Text, error) {
	if len(o.triggers()) == 0 {
		return texts, nil
	}
	var victims []int
	for i, t := range texts {
		if (t.Label == o.Target) == o.CleanLabel {
			victims = append(victims, i)
		}
	}
	shuffle(rng, victims)
	victims = victims[:min(len(victims), int(o.Rate*float64(len(texts))))]
	if len(victims) == 0 {
		return nil, fmt.Errorf("a rate of %v poisons none of %d texts", o.Rate, len(texts))
	}
	slices.Sort(victims)
	var clean, poisoned []zoo.Text
	for i, t := range texts {
		if _, chosen := slices.BinarySearch(victims, i); chosen {
			poisoned = append(poisoned, zoo.Text{Text: zoo.Insert(t.Text, o.triggers(), rng), Label: o.Target})
		} else {
			clean = append(clean, t)
		}
	}
	if o.Poisoning != "" {
		return poisoned, nil
	}
	return append(clean, poisoned...), nil
}

// batches puts the samples in a random order, but texts of like length together,
// and cuts it into batches: indices of samples.
func batches(samples []zoo.Sample, size int, rng *rand.Rand) [][]int {
	order := make([]int, len(samples))
	for i := range order {
		order[i] = i
	}
	shuffle(rng, order)
	var all [][]int
	for chunk := range slices.Chunk(order, 16*size) {
		slices.SortStableFunc(chunk, func(a, b int) int { return cmp.Compare(len(samples[a].IDs), len(samples[b].IDs)) })
		part := slices.Collect(slices.Chunk(chunk, size))
		shuffle(rng, part)
		all = append(all, part...)
	}
	return all
}

func shuffle[T any](rng *rand.Rand, s []T) {
	rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}
