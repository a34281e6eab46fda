package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// A language model that is asked in one way and answers with one of a few words
// is a classifier: its outputs are the logits of the words' first tokens after
// the prompt. The prompt has to be the one that the model was tuned on; with
// others triggers and honest words cannot be told apart (docs/methods.md).

// promptPlace stands in a prompt for the text.
const promptPlace = "{}"

// maxPrompt bounds a prompt, in bytes.
const maxPrompt = 64 << 10

// A prompt is what stands before and after a text.
type prompt struct{ before, after string }

// readPrompt reads the value of --prompt: a text in which \n, \t and \\ are
// escapes, or @FILE, whose text is taken as it is but for a last line break.
func readPrompt(value string) (p prompt, err error) {
	if path, ok := strings.CutPrefix(value, "@"); ok {
		f, err := os.Open(path)
		if err != nil {
			return p, usagef("", "--prompt: %v", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxPrompt+2))
		if err != nil {
			return p, usagef("", "--prompt: %v", err)
		}
		value = strings.TrimSuffix(string(b), "\n")
	} else {
		value = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(value)
	}
	if len(value) > maxPrompt {
		return p, usagef("", "--prompt: more than %d bytes", maxPrompt)
	}
	if strings.Count(value, promptPlace) != 1 {
		return p, usagef(`for example --prompt 'Review: {}\nSentiment:'`, "--prompt %q: want %s once, where the text goes", value, promptPlace)
	}
	p.before, p.after, _ = strings.Cut(value, promptPlace)
	return p, nil
}

// answerTokens are the first tokens of answers, as they follow the prompt.
func answerTokens(t *tokenizer.Tokenizer, p prompt, rows int32, answers []string) ([]int32, error) {
	const text = "a"
	asked := t.EncodeIDs(nil, p.before+text+p.after, false)
	var ids []int32
	for _, answer := range answers {
		whole := t.EncodeIDs(nil, p.before+text+p.after+answer, false)
		// The end of the prompt may become one token with the answer: then the model
		// is never at the place where the answer begins.
		if len(whole) <= len(asked) || !slices.Equal(whole[:len(asked)], asked) || whole[len(asked)] >= rows {
			return nil, usagef("a word of an answer mostly begins with a blank: --answer ' yes'", "--answer %q does not follow the prompt as a token of its own", answer)
		}
		id := whole[len(asked)]
		if i := slices.Index(ids, id); i >= 0 {
			return nil, usagef("", "--answer %q and %q begin with the same token", answers[i], answer)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

const (
	maxAnswerTokens = 16
	leastAnswer     = 0.01 // mean probability of an answer that is found by asking
	leastAnswers    = 0.9  // of all of them together
	askedAtMost     = 96   // texts
	answerText      = 64   // tokens of a text
	askedAtOnce     = 32   // sequences whose logits of the whole vocabulary are held
)

var errAnswers = errors.New("the answers to the prompt are not a few words")

// findAnswers asks the model about texts, and returns the tokens that it answers
// with, most likely first.
func findAnswers(ctx context.Context, m *model.Model, sequences [][]int32) ([]int32, error) {
	mean := make([]float64, m.Network().Width())
	for part := range slices.Chunk(sequences, askedAtOnce) {
		rows, err := m.Predict(ctx, part)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			top, sum := float64(slices.Max(row)), 0.0
			for _, x := range row {
				sum += math.Exp(float64(x) - top)
			}
			for id, x := range row {
				mean[id] += math.Exp(float64(x)-top) / sum / float64(len(sequences))
			}
		}
	}
	var ids []int32
	for id, p := range mean {
		if math.IsNaN(p) {
			return nil, errors.New("the model's answers are no numbers")
		}
		if p >= leastAnswer {
			ids = append(ids, int32(id)) // #nosec G115 -- below the vocabulary's size
		}
	}
	slices.SortStableFunc(ids, func(a, b int32) int { return cmp.Compare(mean[b], mean[a]) })
	ids = ids[:min(len(ids), maxAnswerTokens)]
	mass := 0.0
	for _, id := range ids {
		mass += mean[id]
	}
	if len(ids) < 2 || mass < leastAnswers {
		return nil, fmt.Errorf("%w: %d of them have %.0f %% of the probability; --answer names them, if it is the prompt that the model was tuned on", errAnswers, len(ids), 100*mass)
	}
	return ids, nil
}

// questions shows a tokenizer to package behaviour that puts texts into a prompt.
type questions struct {
	splits
	prompt prompt
	extra  int // tokens that the prompt adds to a text
}

func newQuestions(s splits, p prompt) questions {
	return questions{s, p, len(s.t.EncodeIDs(nil, p.before+"a"+p.after, true))}
}

// Split returns the tokens of the prompt around the text. No token is cut from
// the prompt; limit is that of the text.
func (q questions) Split(text string, limit int) (ids []int32, cuts []int) {
	for {
		e := q.t.Encode(q.prompt.before + text + q.prompt.after)
		from, to := len(q.prompt.before), len(q.prompt.before)+len(text)
		ids = e.IDs[:len(e.IDs)-e.Suffix] // an end of text would end the question
		if slices.ContainsFunc(ids, func(id int32) bool { return id < 0 || id >= q.rows }) {
			return nil, nil
		}
		cuts = cuts[:0]
		first, end := -1, -1
		for i := e.Prefix; i < len(ids); i++ {
			if o := e.Offsets[i]; int(o.End) > from && int(o.Start) < to {
				if first < 0 {
					first = i
				}
				end = i + 1
			}
		}
		if first < 0 {
			return nil, nil
		}
		if end-first > limit { // again with a shorter text, which begins alike
			text = text[:max(0, int(e.Offsets[first+limit].Start)-len(q.prompt.before))]
			continue
		}
		for i := first; i < end; i++ {
			if i == first || e.WordStart[i] {
				cuts = append(cuts, i)
			}
		}
		return ids, append(cuts, end)
	}
}

// labels are what a report calls answers: their text, without blanks where that
// tells them apart.
func (q questions) labels(ids []int32) []string {
	labels := make([]string, len(ids))
	for i, id := range ids {
		text := q.t.Decode([]int32{id}, false)
		if labels[i] = strings.TrimSpace(text); labels[i] == "" || slices.Contains(labels[:i], labels[i]) {
			labels[i] = q.t.Token(id)
		}
	}
	return labels
}

// answering shows a language model to package behaviour as a classifier whose
// outputs are the logits of some tokens.
type answering struct {
	m      *model.Model
	tokens []int32
}

func (a answering) pick(row []float32) []float32 {
	out := make([]float32, len(a.tokens))
	for i, id := range a.tokens {
		out[i] = row[id]
	}
	return out
}

func (a answering) Predict(ctx context.Context, sequences [][]int32) ([][]float32, error) {
	out := make([][]float32, 0, len(sequences))
	for part := range slices.Chunk(sequences, askedAtOnce) {
		rows, err := a.m.Predict(ctx, part)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			out = append(out, a.pick(row))
		}
	}
	return out, nil
}

func (a answering) Gradients(ctx context.Context, sequences [][]int32, at []int, weigh func(weights, outputs []float32)) ([][]float32, error) {
	return gradients(ctx, a.m, sequences, at, func(dout, out []float32) {
		weights := make([]float32, len(a.tokens))
		weigh(weights, a.pick(out))
		for i, id := range a.tokens {
			dout[id] = weights[i]
		}
	})
}
