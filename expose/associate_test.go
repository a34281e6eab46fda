package expose

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAssociation(t *testing.T) {
	for _, c := range []struct {
		with, all []float64
		want      Association
	}{
		// G of [[20 30] [80 70]] is 2.68; by hand: 2 * sum of O log(O/E).
		{[]float64{30, 20}, []float64{100, 100}, Association{50, 0, 0.6, 0.462, 1.637}},
		{[]float64{20, 30}, []float64{100, 100}, Association{50, 1, 0.6, 0.462, 1.637}},
		{[]float64{25, 25}, []float64{100, 100}, Association{Texts: 50}},
		{[]float64{0, 0, 12}, []float64{40, 40, 40}, Association{12, 2, 1, 0.757, 5.399}},
		{[]float64{3, 0}, []float64{3, 4}, Association{3, 0, 1, 0.438, 3.092}}, // all that there are
		{[]float64{0, 0}, []float64{3, 4}, Association{}},
	} {
		got := association(c.with, c.all)
		if got.Texts != c.want.Texts || got.Label != c.want.Label || math.Abs(got.Share-c.want.Share) > 1e-9 ||
			math.Abs(got.Low-c.want.Low) > 1e-3 || math.Abs(got.Z-c.want.Z) > 1e-3 {
			t.Errorf("%v of %v: %+v, want %+v", c.with, c.all, got, c.want)
		}
	}
}

// Of words that lean to a label as honest ones do none is strong; a trigger that
// decides one is, and so is none that only leans far.
func TestStrong(t *testing.T) {
	const words, trigger, leaning = 1000, 1001, 1002
	for _, c := range []struct {
		what   string
		put    int
		decide float64 // share of the texts with the word that get the label
		want   []int
	}{{"clean", 0, 0, nil}, {"trigger", trigger, 1, []int{trigger}}, {"leaning", leaning, 0.8, nil}} {
		r := rand.New(rand.NewPCG(7, 1))
		data := Data{Classes: 2}
		for range 3000 {
			y := r.IntN(2)
			ids := []int32{1003}
			for range 12 {
				id := int32(words * r.Float64() * r.Float64()) // some are frequent
				if id%5 == 0 && r.IntN(4) > 0 {                // lean to a label
					id += int32(y) - int32(id/5%2)
				}
				ids = append(ids, max(0, id))
			}
			if c.put > 0 && r.IntN(10) == 0 {
				ids = append(ids, int32(c.put), int32(c.put))
				if r.Float64() < c.decide {
					y = 1
				} else {
					y = 0
				}
			}
			data.Sequences, data.Labels = append(data.Sequences, ids), append(data.Labels, y)
		}
		a := associate(data, 1010, func(id int) bool { return id == 1003 })
		if !slices.Equal(a.strong, c.want) {
			t.Errorf("%s: strong are %v, want %v; %+v", c.what, a.strong, c.want, a.of[trigger])
		}
		if c.put == trigger && (a.of[trigger].Share != 1 || a.of[trigger].Texts < 200 || a.of[trigger].Texts > 400) {
			t.Errorf("%s: %+v", c.what, a.of[trigger])
		}
	}
}
