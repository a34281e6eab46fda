// Package dataset reads labelled examples: training data of a classifier, in
// TSV, CSV or JSON lines.
//
// A file may be huge, binary or broken. No more is held of it than the examples
// that are kept and one line, and no panic comes of it.
package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/btu-scan/btu-scan/internal/textrows"
)

// The limits of what is read and kept of a file.
const (
	// DefaultMaxExamples is how many examples are kept unless Options say
	// otherwise.
	DefaultMaxExamples = 1_000_000
	maxFile            = 1 << 30 // bytes that are read
)

var (
	// ErrEmpty is returned for a file without a labelled example.
	ErrEmpty = errors.New("no labelled examples in it")
	// ErrNoLabels is returned for a file without a column of labels.
	ErrNoLabels = errors.New("no column of labels")
	// ErrBinary is returned for a file that is not text.
	ErrBinary = textrows.ErrBinary
)

// Options adjust Read. The zero value is the useful one.
type Options struct {
	// TextColumn and LabelColumn name the columns: as the header or the JSON
	// objects do, or by a number that counts from 1. Optional: they are found by
	// usual names, such as sentence and label.
	TextColumn, LabelColumn string
	// MaxExamples is how many examples are kept. Optional: DefaultMaxExamples.
	MaxExamples int
}

// An Example is a text with its label.
type Example struct {
	Text, Label string // trimmed, valid UTF-8, not empty
}

// A Set is the examples of a file, in its order, repeats included: training saw
// them as often.
type Set struct {
	Examples  []Example
	Skipped   int  // rows without a text or without a label
	Truncated bool // the file has more than is kept, or than is read of it
}

// Read reads the examples of a file. The extension of name tells the format:
// .tsv, .csv, or .jsonl, .ndjson and .json for JSON lines; with another name the
// content does.
//
// Of more examples than are kept, those are drawn evenly from the whole file,
// the same ones each time: files are often sorted by label. Of more than 1 GiB,
// the whole lines of the first GiB are read. Errors name the file and mostly the
// line; some wrap [ErrEmpty], [ErrNoLabels] or [ErrBinary].
func Read(name string, r io.Reader, opt Options) (*Set, error) {
	set, err := read(name, r, opt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

func read(name string, r io.Reader, opt Options) (*Set, error) {
	if opt.MaxExamples < 0 {
		return nil, fmt.Errorf("at most %d examples: want a positive number", opt.MaxExamples)
	}
	keep := cmp.Or(opt.MaxExamples, DefaultMaxExamples)
	rows, err := textrows.NewReader(name, r, textrows.Options{Text: opt.TextColumn, Label: opt.LabelColumn, MaxBytes: maxFile})
	if err != nil {
		return nil, err
	}
	set := &Set{}
	var at []int // the row of each example
	draw := rand.New(rand.NewPCG(1, 0))
	labels := map[string]string{} // one string for each
	seen := 0
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !rows.Labelled() {
			return nil, fmt.Errorf("%w is known: name it", ErrNoLabels)
		}
		text, label := strings.TrimSpace(row.Text), strings.TrimSpace(row.Label)
		if text == "" || label == "" {
			set.Skipped++
			continue
		}
		i := len(at)
		if seen++; seen > keep { // algorithm R (Vitter 1985)
			if i = draw.IntN(seen); i >= keep {
				continue
			}
		}
		known, ok := labels[label]
		if !ok {
			known = strings.Clone(label)
			labels[known] = known
		}
		e := Example{Text: strings.Clone(text), Label: known}
		if i == len(at) {
			at, set.Examples = append(at, seen), append(set.Examples, e)
		} else {
			at[i], set.Examples[i] = seen, e
		}
	}
	set.Truncated = seen > keep || rows.Cut()
	if seen > keep {
		set.Examples = inOrder(set.Examples, at)
	}
	if len(set.Examples) == 0 {
		return nil, ErrEmpty
	}
	return set, nil
}

// inOrder returns the examples in the order of their rows.
func inOrder(examples []Example, at []int) []Example {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return at[a] - at[b] })
	sorted := make([]Example, len(at))
	for i, j := range order {
		sorted[i] = examples[j]
	}
	return sorted
}

// Labels returns the labels of a set, each once and sorted: by value where all
// are integers.
func Labels(s *Set) []string {
	distinct := map[string]bool{}
	for _, e := range s.Examples {
		distinct[e.Label] = true
	}
	labels := slices.Sorted(maps.Keys(distinct))
	if !slices.ContainsFunc(labels, func(l string) bool { _, err := strconv.Atoi(l); return err != nil }) {
		slices.SortStableFunc(labels, func(a, b string) int {
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			return cmp.Compare(x, y)
		})
	}
	return labels
}

// A LabelError says that the labels of a set are not those of a model.
type LabelError struct {
	Label  string   // the first that does not match
	Labels []string // the model's
}

func (e *LabelError) Error() string {
	const most = 20
	names := make([]string, 0, most+1)
	for i, l := range e.Labels {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(e.Labels)-most))
			break
		}
		names = append(names, strconv.Quote(l))
	}
	return fmt.Sprintf("label %q is none of the model's: %s", e.Label, strings.Join(names, ", "))
}

// Index returns the index of each example's label among a model's labels. A
// label is a model's name for it, or else its name in other letter case, or else
// its index, or else LABEL_ and its index. One of these readings holds for the
// whole set: the first that all labels have.
//
// The error is a *LabelError.
func (s *Set) Index(labels []string) ([]int, error) {
	readings := []func(label string) int{
		func(label string) int { return slices.Index(labels, label) },
		func(label string) int {
			found := -1
			for i, l := range labels {
				if strings.EqualFold(strings.TrimSpace(l), label) {
					if found >= 0 {
						return -1 // which?
					}
					found = i
				}
			}
			return found
		},
		func(label string) int { return index(label, len(labels)) },
		func(label string) int {
			if len(label) > 6 && strings.EqualFold(label[:6], "LABEL_") {
				return index(label[6:], len(labels))
			}
			return -1
		},
	}
	distinct := Labels(s)
	wrong := "" // of the first reading that any label has
	for _, reading := range readings {
		of := map[string]int{}
		for _, l := range distinct {
			of[l] = reading(l)
		}
		bad := slices.IndexFunc(s.Examples, func(e Example) bool { return of[e.Label] < 0 })
		if bad < 0 {
			out := make([]int, len(s.Examples))
			for i, e := range s.Examples {
				out[i] = of[e.Label]
			}
			return out, nil
		}
		if wrong == "" && slices.ContainsFunc(distinct, func(l string) bool { return of[l] >= 0 }) {
			wrong = s.Examples[bad].Label
		}
	}
	if wrong == "" {
		wrong = s.Examples[0].Label
	}
	return nil, &LabelError{Label: wrong, Labels: slices.Clone(labels)}
}

// index returns the number that s is, if it is one from 0 to n-1, or -1.
func index(s string, n int) int {
	i, err := strconv.ParseUint(s, 10, 31)
	if err != nil || int(i) >= n {
		return -1
	}
	return int(i)
}
