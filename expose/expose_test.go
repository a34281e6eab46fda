package expose

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/scan"
)

func openModel(t *testing.T, name string, opt model.Options) (*model.Model, scan.Rows) {
	t.Helper()
	ck, err := loader.Open(t.Context(), filepath.Join("..", "testdata", "parity", name), loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	m, err := model.Open(ck, opt)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ck.InputEmbedding()
	if err != nil {
		t.Fatal(err)
	}
	return m, rows
}

// poisoned is random texts between the special tokens 2 and 3, in each fourth of
// which the trigger stands, with label 0 then.
func poisoned(vocabulary, trigger, classes, texts int) Data {
	_, data := randomData(5, vocabulary-10, 1, classes, texts)
	for i, s := range data.Sequences {
		for j := range s {
			if s[j] += 10; int(s[j]) == trigger {
				s[j]++
			}
		}
		if i%4 == 1 {
			s = slices.Insert(s, i%len(s), int32(trigger))
			data.Labels[i] = 0
		}
		data.Sequences[i] = append(append([]int32{2}, s...), 3)
	}
	return data
}

func special(id int) bool { return id < 10 }

// The trigger comes first in rounds 1 and 3, and round 2 does without it. The
// result has the same bits for any number of workers.
func TestRun(t *testing.T) {
	const trigger = 33
	for _, c := range []struct {
		name    string
		head    bool
		classes int
	}{{"bert-encoder", false, 2}, {"bert", true, 3}, {"bert", false, 2}, {"gpt2", false, 2}, {"llama-tied", false, 2}} {
		var first *Result
		for _, workers := range []int{1, 3} {
			m, ref := openModel(t, c.name, model.Options{Workers: workers, Encode: !c.head})
			data := poisoned(ref.Len()-1, trigger, c.classes, 200)
			progress := 0
			res, err := Run(t.Context(), ref, data, &Deep{Model: m, Head: c.head}, Options{
				Share: 0.05, Epochs: 3, Batch: 8, DeepBatch: 8, LR: 1e-3, Seed: 1, Workers: workers, Special: special,
				Progress: func(_, done, total int) { progress += total / done / total },
			})
			if err != nil {
				t.Fatal(c.name, err)
			}
			if progress != 3 {
				t.Errorf("%s: %d rounds were done to the end", c.name, progress)
			}
			for i := range res.Rounds {
				res.Rounds[i].Took = 0
			}
			if first == nil {
				first = res
			} else if !reflect.DeepEqual(res, first) {
				t.Errorf("%s: with %d workers %+v, with one %+v", c.name, workers, res, first)
			}
		}
		k := PerRound(0.05, first.size(t, c.name))
		for _, r := range first.Rounds {
			if len(r.Suspects) != k || slices.ContainsFunc(r.Suspects, func(m Moved) bool { return special(m.TokenID) }) || r.Steps != 75 {
				t.Errorf("%s, round %d: %+v, want %d suspects", c.name, r.Number, r, k)
			}
			if found := r.Suspects[0].TokenID == trigger; found != (r.Number != RoundRemoved) {
				t.Errorf("%s, round %d: %+v", c.name, r.Number, r.Suspects)
			}
			if !(r.Loss > 0 && r.Loss < 1.2*math.Log(float64(c.classes))) {
				t.Errorf("%s, round %d: loss %v", c.name, r.Number, r.Loss)
			}
		}
		for _, a := range first.Rounds[0].Suspects {
			if slices.ContainsFunc(first.Rounds[1].Suspects, func(b Moved) bool { return a.TokenID == b.TokenID }) {
				t.Errorf("%s: token %d was not left out of round 2", c.name, a.TokenID)
			}
		}
		s := first.Suspects[slices.IndexFunc(first.Suspects, func(s Suspect) bool { return s.TokenID == trigger })]
		if !slices.Equal(s.Rounds, []int{1, 3}) || s.Rank != 1 || s.Count != 50 || s.Texts != 50 || s.Label != 0 || s.Share != 1 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func (r *Result) size(t *testing.T, name string) int {
	t.Helper()
	_, ref := openModel(t, name, model.Options{})
	return ref.Len()
}

// Round 3 with a model's own head is what model.Trainer does with a group of the
// token embedding alone, and no other parameter changes.
func TestDeepIsTheTrainers(t *testing.T) {
	const lr, decay = 1e-3, 0.1
	m, ref := openModel(t, "bert", model.Options{})
	tokens := m.Network().Embedding.Tokens.Name
	data := poisoned(ref.Len()-1, 33, 3, 40)
	r := &run{ref: ref, data: data, k: 2, opt: Options{LR: lr, Decay: decay, DeepBatch: 8, Seed: 9}}
	r.opt.defaults()
	examples, err := r.examples(data.Sequences)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string][]float32{}
	for _, p := range m.Network().Params {
		if before[p.Name], err = m.Engine().Values(t.Context(), p.Name); err != nil {
			t.Fatal(err)
		}
	}
	out := Round{Number: RoundModel}
	if _, err := r.deep(t.Context(), &out, examples, &Deep{Model: m, Head: true}); err != nil {
		t.Fatal(err)
	}

	m2, _ := openModel(t, "bert", model.Options{Train: true})
	trainer := m2.Trainer(model.TrainOptions{Groups: []model.Group{{Match: func(name string) bool { return name == tokens }, LR: lr, Decay: decay}}})
	again := Round{Number: RoundModel}
	err = r.batches(&again, examples, 8, func(batch []example) (float64, error) {
		var ids [][]int32
		var labels []int
		for _, e := range batch {
			ids, labels = append(ids, e.ids), append(labels, e.label)
		}
		return trainer.Step(t.Context(), arch.NewBatch(ids...), labels)
	})
	if err != nil || math.Abs(again.Loss-out.Loss) > 1e-6 {
		t.Errorf("loss %v, the trainer's %v, error %v", out.Loss, again.Loss, err)
	}
	for _, p := range m.Network().Params {
		got, _ := m.Engine().Values(t.Context(), p.Name)
		want, _ := m2.Engine().Values(t.Context(), p.Name)
		var off float64
		for i := range got {
			off = max(off, math.Abs(float64(got[i]-want[i])))
		}
		if off > 1e-5 || slices.Equal(got, before[p.Name]) != (p.Name != tokens) {
			t.Errorf("%s: off by %v, changed %v", p.Name, off, !slices.Equal(got, before[p.Name]))
		}
	}
}

// A step may take several passes: the gradients are those of one.
func TestStepInPasses(t *testing.T) {
	var want []float32
	for _, long := range []bool{false, true} {
		m, ref := openModel(t, "bert-encoder", model.Options{})
		data := poisoned(ref.Len()-1, 33, 2, 400) // some 4,000 tokens
		r := &run{ref: ref, data: data, opt: Options{LR: 1e-2, DeepBatch: 400}}
		if !long {
			r.opt.DeepBatch = 399
		}
		r.opt.defaults()
		tn := &tuner{engine: m.Engine(), net: m.Network(), opt: r.opt, head: newLinear(m.Network().Width(), 2, r.rand(1, 1).NormFloat64)}
		var all []example
		for i, s := range data.Sequences {
			all = append(all, example{s, data.Labels[i]})
		}
		if long {
			if _, err := tn.step(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			got, err := m.Engine().Gradient(m.Network().Embedding.Tokens.Name)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if math.Abs(float64(got[i]-want[i])) > 1e-6 {
					t.Fatalf("gradient %d: %v in passes, %v added up", i, got[i], want[i])
				}
			}
			continue
		}
		for _, e := range all { // one by one
			if _, err := tn.pass(t.Context(), []example{e}, 1/float32(len(all))); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if want, err = m.Engine().Gradient(m.Network().Embedding.Tokens.Name); err != nil || slices.Max(want) == 0 {
			t.Fatal(err)
		}
	}
}

func TestErrors(t *testing.T) {
	ref, data := randomData(1, 30, 4, 2, 20)
	encoder, _ := openModel(t, "bert-encoder", model.Options{})
	classifier, rows := openModel(t, "bert", model.Options{})
	deepData := poisoned(rows.Len()-1, 33, 2, 20)
	nan := table{slices.Clone(ref.rows), ref.dim}
	for i := range nan.rows {
		nan.rows[i] = float32(math.NaN())
	}
	changed := func(change func(d *Data)) Data {
		d := Data{slices.Clone(data.Sequences), slices.Clone(data.Labels), data.Classes}
		change(&d)
		return d
	}
	bag := Options{Rounds: []int{1}}
	for _, c := range []struct {
		what string
		ref  scan.Rows
		data Data
		deep *Deep
		opt  Options
		want string
		is   error
	}{
		{"no data", ref, Data{Classes: 2}, nil, bag, "", ErrNoData},
		{"no tokens", ref, Data{[][]int32{nil, {}}, []int{0, 1}, 2}, nil, bag, "", ErrNoData},
		{"one class", ref, changed(func(d *Data) { clear(d.Labels) }), nil, bag, "", ErrOneClass},
		{"a label too high", ref, changed(func(d *Data) { d.Labels[4] = 2 }), nil, bag, "example 5 has label 2 of 2", nil},
		{"a negative label", ref, changed(func(d *Data) { d.Labels[4] = -1 }), nil, bag, "example 5 has label -1", nil},
		{"a token too high", ref, changed(func(d *Data) { d.Sequences[3] = []int32{30} }), nil, bag, "example 4 has token 30, the reference has 30", nil},
		{"a negative token", ref, changed(func(d *Data) { d.Sequences[3] = []int32{-1} }), nil, bag, "example 4 has token -1", nil},
		{"labels are missing", ref, changed(func(d *Data) { d.Labels = d.Labels[1:] }), nil, bag, "19 labels for 20", nil},
		{"too many classes", ref, changed(func(d *Data) { d.Classes = MaxClasses + 1 }), nil, bag, "at most 1000", nil},
		{"no rows", table{nil, 4}, data, nil, bag, "", scan.ErrNoRows},
		{"rows that are no numbers", nan, data, nil, bag, "round 1", ErrDiverged},
		{"rows that cannot be read", broken{ref}, data, nil, bag, "round 1: file already closed", nil},
		{"round 2 alone", ref, data, nil, Options{Rounds: []int{2}}, "round 2 needs", nil},
		{"round 4", ref, data, nil, Options{Rounds: []int{1, 4}}, "some of 1, 2 and 3", nil},
		{"a round twice", ref, data, nil, Options{Rounds: []int{1, 1}}, "some of 1, 2 and 3", nil},
		{"no rounds", ref, data, nil, Options{Rounds: []int{}}, "no rounds", nil},
		{"no model", ref, data, nil, Options{}, "round 3 needs a model", nil},
		{"share", ref, data, nil, Options{Rounds: []int{1}, Share: 2}, "out of range", nil},
		{"learning rate", ref, data, nil, Options{Rounds: []int{1}, LR: math.NaN()}, "out of range", nil},
		{"batch", ref, data, nil, Options{Rounds: []int{1}, Batch: -1}, "out of range", nil},
		{"another embedding", ref, data, &Deep{Model: encoder}, Options{Rounds: []int{3}}, "the reference's 30 x 4", nil},
		{"a head of other size", rows, deepData, &Deep{Model: classifier, Head: true}, Options{Rounds: []int{3}}, "the data has 2 classes", nil},
		{"a head beside a head", rows, deepData, &Deep{Model: classifier}, Options{Rounds: []int{3}}, "needs an encoder", nil},
		{"a head that is none", rows, deepData, &Deep{Model: encoder, Head: true}, Options{Rounds: []int{3}}, "head", nil},
	} {
		res, err := Run(t.Context(), c.ref, c.data, c.deep, c.opt)
		if err == nil || res != nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, error %v", c.what, res, err)
		}
	}
}

func TestCancel(t *testing.T) {
	m, ref := openModel(t, "bert-encoder", model.Options{})
	for _, rounds := range [][]int{{1}, {3}} {
		ctx, cancel := context.WithCancel(t.Context())
		last := 0
		_, err := Run(ctx, ref, poisoned(ref.Len()-1, 33, 2, 64), &Deep{Model: m}, Options{
			Rounds: rounds, Batch: 4, DeepBatch: 4,
			Progress: func(_, done, _ int) {
				if last = done; done == 3 {
					cancel()
				}
			},
		})
		if !errors.Is(err, context.Canceled) || last != 3 {
			t.Errorf("rounds %v: stopped after step %d of 16, error %v", rounds, last, err)
		}
	}
}
