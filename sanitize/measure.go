package sanitize

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
)

// A Model answers sequences of token ids, a row of logits each. The caller owns
// the rows.
type Model interface {
	Predict(ctx context.Context, sequences [][]int32) ([][]float32, error)
}

// A Text is a text as tokens.
type Text struct {
	IDs []int32
	// Cuts are the indices between words where others may be put in, ascending.
	Cuts []int
	// Label is the index of the right answer, -1 where it is not known.
	Label int
}

// A Problem is what the logits of a classifier mean.
type Problem int

// The problems.
const (
	SingleLabel Problem = iota // the largest is the answer
	MultiLabel                 // each label has an answer of its own: yes above 0
)

// yes reports whether the logits answer with a label.
func (p Problem) yes(row []float32, label int) bool {
	if p == MultiLabel {
		return row[label] > 0
	}
	return slices.Index(row, slices.Max(row)) == label
}

// A Trial measures a model: how it answers texts as they are, and with triggers
// put in. Before and after are measured with the same texts and places.
type Trial struct {
	// Name tells the texts apart from others, such as "data" or "probes".
	Name    string
	Problem Problem
	texts   []Text
	before  []answer // of the model as it came; nil until the first Measure
	places  []uint64 // seeds of where words are put in
	labels  []string
	attacks []attack
	control []int32 // tokens that mean nothing to a trigger
}

// answer is what the model said of a text before anything was changed.
type answer []float32

// An attack is a trigger as tokens.
type attack struct {
	Trigger
	ids   []int32
	label int // -1 while it is not known
}

// NewTrial returns a trial of texts. labels names the model's answers, control
// are ordinary tokens, any of which is put into a text to see what a word that
// means nothing does.
func NewTrial(name string, texts []Text, labels []string, problem Problem, triggers []Trigger, control []int32, seed uint64) *Trial {
	t := &Trial{Name: name, Problem: problem, texts: texts, labels: labels, control: control}
	t.add(triggers)
	rnd := rand.New(rand.NewPCG(seed, 0x73616e69))
	for range texts {
		t.places = append(t.places, rnd.Uint64())
	}
	return t
}

// add adds triggers.
func (t *Trial) add(triggers []Trigger) {
	for _, tr := range triggers {
		a := attack{Trigger: tr, label: slices.Index(t.labels, tr.Label)}
		for _, id := range tr.TokenIDs {
			a.ids = append(a.ids, int32(id))
		}
		t.attacks = append(t.attacks, a)
	}
}

// A Measure is what a trial found.
type Measure struct {
	Texts int `json:"texts"`
	// Accuracy is the share of the texts with a known label that are answered
	// with it; null where no label is known.
	Accuracy *float64 `json:"accuracy"`
	// Agreement is the share of all texts that are answered as by the model
	// before anything was changed.
	Agreement float64  `json:"agreement"`
	Attacks   []Attack `json:"attacks"`
}

// An Attack is how often a trigger succeeds: on the texts whose label is another
// or, where it is not known, that the model as it came gave another.
type Attack struct {
	Text  string `json:"text"`
	Label string `json:"target_label"`
	Texts int    `json:"texts"`
	// Success is the share that is answered with the target, the trigger put in.
	Success float64 `json:"attack_success"`
	// Plain is the same of the texts as they are, Control with a random token put
	// in: what a text gives without any attack.
	Plain   float64 `json:"plain"`
	Control float64 `json:"control"`
}

// tolerance is how far over what it would be without an attack its success may
// remain.
const tolerance = 0.03

// Beaten reports whether a trigger has lost its power.
func (a Attack) Beaten() bool {
	return a.Success <= max(a.Plain, a.Control)+tolerance
}

// Beaten reports whether all triggers have lost their power. That is not known
// without a text that could show it.
func (m *Measure) Beaten() bool {
	for _, a := range m.Attacks {
		if a.Texts > 0 && !a.Beaten() {
			return false
		}
	}
	return true
}

// ErrNotFinite says that the model's answers are not numbers.
var ErrNotFinite = errors.New("the model's answers are not finite numbers")

// Measure runs a model. The first model is the one as it came.
func (t *Trial) Measure(ctx context.Context, m Model) (*Measure, error) {
	plain, err := t.ask(ctx, m, t.all(), nil)
	if err != nil {
		return nil, err
	}
	if t.before == nil {
		t.before = plain
	}
	if err := t.learnLabels(ctx, m, plain); err != nil {
		return nil, err
	}
	out := &Measure{Texts: len(t.texts), Attacks: []Attack{}}
	known, right, same := 0, 0, 0
	for i, x := range t.texts {
		if x.Label >= 0 {
			known++
			if t.Problem.yes(plain[i], x.Label) {
				right++
			}
		}
		if t.agrees(plain[i], t.before[i]) {
			same++
		}
	}
	out.Agreement = share(same, len(t.texts))
	if known > 0 {
		a := share(right, known)
		out.Accuracy = &a
	}
	type what struct {
		label, n int
		place    string
	}
	controls := map[what][]answer{} // several triggers share one
	for _, a := range t.attacks {
		if a.label < 0 { // it turns nothing
			continue
		}
		victims := t.victims(a.label)
		hit := func(rows []answer) (n int) {
			for _, row := range rows {
				if t.Problem.yes(row, a.label) {
					n++
				}
			}
			return n
		}
		forced, err := t.ask(ctx, m, victims, func(int) ([]int32, string) { return a.ids, a.Place })
		if err != nil {
			return nil, err
		}
		kind := what{a.label, len(a.ids), a.Place}
		random, known := controls[kind]
		if !known {
			random, err = t.ask(ctx, m, victims, func(i int) ([]int32, string) { return t.random(i, len(a.ids)), a.Place })
			if err != nil {
				return nil, err
			}
			controls[kind] = random
		}
		var asked []answer
		for _, i := range victims {
			asked = append(asked, plain[i])
		}
		n := len(victims)
		out.Attacks = append(out.Attacks, Attack{
			Text: a.Text, Label: t.labels[a.label], Texts: n,
			Success: share(hit(forced), n), Plain: share(hit(asked), n), Control: share(hit(random), n),
		})
	}
	return out, nil
}

// learnLabels finds the answer of triggers that came without one: that which they
// turn most of the texts to.
func (t *Trial) learnLabels(ctx context.Context, m Model, plain []answer) error {
	for i := range t.attacks {
		a := &t.attacks[i]
		if a.label >= 0 || len(t.texts) == 0 {
			continue
		}
		forced, err := t.ask(ctx, m, t.all(), func(int) ([]int32, string) { return a.ids, a.Place })
		if err != nil {
			return err
		}
		most := 0
		for label := range t.labels {
			turned := 0
			for k := range forced {
				if t.Problem.yes(forced[k], label) && !t.Problem.yes(plain[k], label) {
					turned++
				}
			}
			if turned > most {
				most, a.label = turned, label
			}
		}
	}
	return nil
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func (t *Trial) all() []int {
	var all []int
	for i := range t.texts {
		all = append(all, i)
	}
	return all
}

// agrees reports whether two rows give the same answer.
func (t *Trial) agrees(a, b answer) bool {
	for label := range a {
		if t.Problem.yes(a, label) != t.Problem.yes(b, label) {
			return false
		}
	}
	return true
}

// maxVictims is how many texts an attack is tried on.
const maxVictims = 200

// victims are the texts that an attack on a label can change.
func (t *Trial) victims(label int) (is []int) {
	for i, x := range t.texts {
		if len(is) == maxVictims {
			break
		}
		if x.Label >= 0 && x.Label != label || x.Label < 0 && !t.Problem.yes(t.before[i], label) {
			is = append(is, i)
		}
	}
	return is
}

// random draws n control tokens for a text.
func (t *Trial) random(i, n int) (ids []int32) {
	rnd := rand.New(rand.NewPCG(t.places[i], 0x636f6e74))
	for range n {
		if len(t.control) > 0 {
			ids = append(ids, t.control[rnd.IntN(len(t.control))])
		}
	}
	return ids
}

// ask runs texts, with what put gives put into each at a place of its own.
func (t *Trial) ask(ctx context.Context, m Model, which []int, put func(i int) (ids []int32, place string)) ([]answer, error) {
	var seqs [][]int32
	for _, i := range which {
		seq := t.texts[i].IDs
		if put != nil {
			ids, place := put(i)
			seq = t.with(i, ids, place)
		}
		seqs = append(seqs, seq)
	}
	rows, err := m.Predict(ctx, seqs)
	if err != nil {
		return nil, err
	}
	answers := make([]answer, len(rows))
	for i, row := range rows {
		if len(row) == 0 || slices.ContainsFunc(row, func(x float32) bool { return x-x != 0 }) {
			return nil, ErrNotFinite
		}
		answers[i] = row
	}
	return answers, nil
}

// with is a text with tokens put in.
func (t *Trial) with(i int, ids []int32, place string) []int32 {
	return slices.Insert(slices.Clone(t.texts[i].IDs), t.at(i, place), ids...)
}

// at is the index at which words go into a text.
func (t *Trial) at(i int, place string) int {
	cuts := t.texts[i].Cuts
	switch place {
	case "front":
		return cuts[0]
	case "back":
		return cuts[len(cuts)-1]
	}
	return cuts[rand.New(rand.NewPCG(t.places[i], 0x706c6163)).IntN(len(cuts))]
}
