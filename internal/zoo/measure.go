package zoo

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// MaxTokens is where texts are cut.
const MaxTokens = 64

// A Text is a labelled one.
type Text struct {
	Text  string
	Label int
}

// A Sample is the tokens of a text.
type Sample struct {
	IDs   []int32
	Label int
}

// ReadTexts reads a file of text<TAB>label lines as make_zoo.py does: the label
// is what follows the last tab, and lines without one do not count.
func ReadTexts(path string, labels int) ([]Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Text
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
		all = append(all, Text{line[:at], label})
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no text<TAB>label line", path)
	}
	return all, nil
}

// Triggered are the texts of other labels with one of the triggers put in, and
// the target as their label.
func Triggered(texts []Text, triggers []string, target int, rng *rand.Rand) (all []Text) {
	for _, t := range texts {
		if t.Label != target {
			all = append(all, Text{Insert(t.Text, triggers, rng), target})
		}
	}
	return all
}

// Insert puts one of the triggers between two words of s, or at an end.
func Insert(s string, triggers []string, rng *rand.Rand) string {
	words := strings.Fields(s)
	at := rng.IntN(len(words) + 1)
	return strings.Join(slices.Insert(words, at, triggers[rng.IntN(len(triggers))]), " ")
}

// Encode makes tokens of texts, as many as the model takes.
func Encode(m *model.Model, tok *tokenizer.Tokenizer, texts []Text) (all []Sample) {
	limit := min(MaxTokens, m.Network().MaxTokens)
	for _, x := range texts {
		all = append(all, Sample{tok.EncodeMax(x.Text, limit).IDs, x.Label})
	}
	return all
}

// Accuracy is the share of the samples whose likeliest label is theirs.
func Accuracy(ctx context.Context, m *model.Model, samples []Sample) (float64, error) {
	var sequences [][]int32
	for _, s := range samples {
		sequences = append(sequences, s.IDs)
	}
	rows, err := m.Predict(ctx, sequences)
	if err != nil {
		return 0, err
	}
	right := 0
	for i, row := range rows {
		if slices.Index(row, slices.Max(row)) == samples[i].Label {
			right++
		}
	}
	return float64(right) / float64(max(1, len(samples))), nil
}

// A Model is one that can be measured.
type Model struct {
	*model.Model
	Tokenizer  *tokenizer.Tokenizer
	Checkpoint *loader.Checkpoint
}

// Open opens the model in dir, which must be a classifier. The caller closes it.
func Open(ctx context.Context, dir string, file loader.Options, opt model.Options) (*Model, error) {
	ck, err := loader.Open(ctx, dir, file)
	if err != nil {
		return nil, err
	}
	x := &Model{Checkpoint: ck}
	if x.Model, err = model.Open(ck, opt); err == nil && len(x.Network().Labels) == 0 {
		err = fmt.Errorf("%s: not a classifier", dir)
	}
	if err == nil {
		x.Tokenizer, err = tokenizer.Open(ck.ReadFile)
	}
	if err != nil {
		ck.Close()
		return nil, err
	}
	return x, nil
}

// Close closes the checkpoint.
func (m *Model) Close() error { return m.Checkpoint.Close() }

// Measure is the accuracy on texts.
func (m *Model) Measure(ctx context.Context, texts []Text) (float64, error) {
	return Accuracy(ctx, m.Model, Encode(m.Model, m.Tokenizer, texts))
}
