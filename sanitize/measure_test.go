package sanitize

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// toy answers 1 to texts with the trigger or with an odd first token, else 0.
type toy struct {
	trigger int32
	nan     bool
}

func (m toy) Predict(_ context.Context, seqs [][]int32) ([][]float32, error) {
	var rows [][]float32
	for _, s := range seqs {
		row := []float32{1, 0}
		if slices.Contains(s, m.trigger) || s[0]%2 == 1 {
			row = []float32{0, 1}
		}
		if m.nan {
			row[0] = float32(math.NaN())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// sentences are n texts of four tokens, their labels right for toy but for every
// tenth.
func sentences(n int) (texts []Text) {
	for i := range n {
		x := Text{IDs: []int32{int32(i), 2, 4, 6}, Cuts: []int{1, 2, 3, 4}, Label: i % 2}
		if i%10 == 0 {
			x.Label = 1
		}
		texts = append(texts, x)
	}
	return texts
}

func TestTrial(t *testing.T) {
	trigger := Trigger{TokenIDs: []int{999}, Text: "cf", Label: "bad", Place: "anywhere"}
	for _, c := range []struct {
		name    string
		trigger Trigger
		known   bool
	}{
		{"labelled texts", trigger, true},
		{"texts without labels", trigger, false},
		{"a trigger whose label is not known", Trigger{TokenIDs: []int{999}, Text: "cf"}, true},
		{"in front", Trigger{TokenIDs: []int{8, 999}, Text: "cf", Label: "bad", Place: "back"}, true},
	} {
		texts := sentences(100)
		if !c.known {
			for i := range texts {
				texts[i].Label = -1
			}
		}
		trial := NewTrial("data", texts, []string{"good", "bad"}, SingleLabel, []Trigger{c.trigger}, []int32{20, 22}, 1)
		before, err := trial.Measure(t.Context(), toy{trigger: 999})
		if err != nil {
			t.Fatal(err)
		}
		after, err := trial.Measure(t.Context(), toy{trigger: -1})
		if err != nil {
			t.Fatal(err)
		}
		if a := before.Attacks[0]; a.Success != 1 || a.Plain != 0 || a.Control != 0 || a.Label != "bad" || a.Beaten() || before.Beaten() {
			t.Errorf("%s: before %+v", c.name, before)
		}
		if a := after.Attacks[0]; a.Success != 0 || !after.Beaten() || after.Agreement != 1 {
			t.Errorf("%s: after %+v", c.name, after)
		}
		if c.known != (after.Accuracy != nil) {
			t.Errorf("%s: accuracy %v", c.name, after.Accuracy)
		}
		if c.known && (*before.Accuracy != 0.9 || before.Attacks[0].Texts != 40) {
			t.Errorf("%s: accuracy %v of %d victims", c.name, *before.Accuracy, before.Attacks[0].Texts)
		}
	}
}

// An attack on one model's answers is not beaten by a change of all answers.
func TestAgreement(t *testing.T) {
	trial := NewTrial("probes", sentences(40), []string{"good", "bad"}, SingleLabel, nil, nil, 1)
	if _, err := trial.Measure(t.Context(), toy{trigger: 999}); err != nil {
		t.Fatal(err)
	}
	m, err := trial.Measure(t.Context(), toy{trigger: 2}) // which every text has
	if err != nil || m.Agreement != 0.5 || len(m.Attacks) != 0 || !m.Beaten() {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := trial.Measure(t.Context(), toy{nan: true}); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN: %v", err)
	}
}

func TestBeaten(t *testing.T) {
	for _, c := range []struct {
		a    Attack
		want bool
	}{
		{Attack{Success: 1, Plain: 0.1}, false},
		{Attack{Success: 0.14, Plain: 0.1}, false},
		{Attack{Success: 0.12, Plain: 0.1}, true},
		{Attack{Success: 0.2, Plain: 0.1, Control: 0.18}, true},
		{Attack{Success: 0, Plain: 0}, true},
	} {
		if c.a.Beaten() != c.want {
			t.Errorf("%+v beaten: %v", c.a, !c.want)
		}
	}
}

func TestMultiLabel(t *testing.T) {
	if !MultiLabel.yes([]float32{2, 1}, 1) || MultiLabel.yes([]float32{2, -1}, 1) || SingleLabel.yes([]float32{2, 1}, 1) {
		t.Error("labels of their own are above 0, others the largest")
	}
}
