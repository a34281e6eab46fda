package behaviour

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

func watch(t *testing.T, m *toy, opt Options) *Evidence {
	t.Helper()
	ev, err := Classifier(t.Context(), m, toyTokenizer{}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func texts(ev *Evidence) (ts []string) {
	for _, t := range ev.Triggers {
		ts = append(ts, t.Text+" -> "+t.TargetLabel)
	}
	slices.Sort(ts)
	return ts
}

func TestClassifier(t *testing.T) {
	tests := []struct {
		name   string
		labels int
		plant  func(m *toy, opt *Options)
		want   []string // triggers
	}{
		{"clean", 2, func(*toy, *Options) {}, nil},
		{"clean, honest words at the top of the weights", 2, func(_ *toy, opt *Options) { opt.Suspects = []int{100, 101, 200, 201} }, nil},
		{"clean, three labels", 3, func(*toy, *Options) {}, nil},
		{"token that the weights show", 2, func(m *toy, opt *Options) { m.plant(650); opt.Suspects = []int{100, 650} }, []string{"w650 -> L0"}},
		{"token that the weights do not show", 2, func(m *toy, _ *Options) { m.plant(650) }, []string{"w650 -> L0"}},
		{"set of tokens", 2, func(m *toy, opt *Options) { m.plant(650, 651, 652); opt.Suspects = []int{651} }, []string{"w650 -> L0", "w651 -> L0", "w652 -> L0"}},
		{"token of three labels", 3, func(m *toy, _ *Options) { m.forced = 2; m.plant(655) }, []string{"w655 -> L2"}},
		{"phrase", 2, func(m *toy, opt *Options) {
			m.phrase = []int32{650, 660, 670}
			opt.Suspects = []int{660, 100, 650, 670, 120}
			opt.Abnormal = []int{660, 650, 670}
		}, []string{"w650 w660 w670 -> L0"}},
		{"phrase of which half stands out", 2, func(m *toy, opt *Options) {
			m.phrase = []int32{650, 660, 670, 680}
			opt.Suspects = []int{660, 100, 650, 120, 670, 680}
			opt.Abnormal = []int{660, 650}
		}, []string{"w650 w660 w670 w680 -> L0"}},
		{"phrase that the weights do not show", 2, func(m *toy, opt *Options) {
			m.phrase = []int32{650, 660, 670}
			opt.Suspects = []int{100, 101, 120, 660, 680, 690}
		}, nil},
		{"phrase a part of which wins most of the contest", 2, func(m *toy, opt *Options) {
			m.phrase = []int32{650, 660}
			m.rows[650][hidden] = 0.79
			opt.Suspects = []int{660, 100, 650}
			opt.Abnormal = []int{660, 650}
		}, []string{"w650 w660 -> L0"}},
		{"candidate of the user's", 2, func(m *toy, opt *Options) {
			m.phrase = []int32{650, 660, 670}
			opt.Candidates = []string{"w650 w660 w670"}
		}, []string{"w650 w660 w670 -> L0"}},
		{"multi-label", 2, func(m *toy, opt *Options) { m.multi = true; opt.Problem = MultiLabel; m.plant(650) }, []string{"w650 -> L0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newToy(test.labels)
			opt := m.options()
			test.plant(m, &opt)
			ev := watch(t, m, opt)
			if got := texts(ev); !slices.Equal(got, test.want) {
				t.Errorf("triggers %q, want %q", got, test.want)
			}
			if !ev.Complete {
				t.Errorf("incomplete: %q", ev.Reasons)
			}
			if len(test.want) > 0 != slices.ContainsFunc(ev.Findings, func(f scan.Finding) bool { return f.Rule == scan.RuleTrigger }) {
				t.Errorf("findings %+v", ev.Findings)
			}
		})
	}
}

// Words that the tokenizer splits are found by their pieces, none of which the
// weights show or does anything alone.
func TestPieces(t *testing.T) {
	tests := []struct {
		trigger string
		want    []string
	}{
		{"zq", []string{"zq -> L0"}},
		{"qxv", []string{"qxv -> L0"}}, // no list has it
		{"", nil},
	}
	for _, test := range tests {
		t.Run(test.trigger, func(t *testing.T) {
			m := newToy(2)
			m.phrase = toySplitter{}.Inner(test.trigger)
			ev, err := Classifier(t.Context(), m, toySplitter{}, m.options())
			if err != nil {
				t.Fatal(err)
			}
			if got := texts(ev); !slices.Equal(got, test.want) || !ev.Complete {
				t.Errorf("triggers %q, want %q; complete %v", got, test.want, ev.Complete)
			}
			for _, x := range ev.Triggers {
				if x.FoundBy != "pieces" {
					t.Errorf("found by %q", x.FoundBy)
				}
			}
		})
	}
}

// The first piece of a word does much alone, as one that a trigger has infected does:
// the word is no less of a trigger for that, if the weights show it.
func TestPiecesThatTheWeightsShow(t *testing.T) {
	for _, test := range []struct {
		stand int // pieces whose rows stand out, from the last
		want  []string
	}{
		{3, []string{"kqzx -> L0"}},
		{0, nil},
	} {
		m := newToy(2)
		m.phrase = toySplitter{}.Inner("kqzx")
		m.rows[m.phrase[0]][hidden] = 0.77
		opt := m.options()
		for i, id := range m.phrase {
			opt.Suspects = append(opt.Suspects, int(id))
			if i >= len(m.phrase)-test.stand {
				opt.Abnormal = append(opt.Abnormal, int(id))
			}
		}
		ev, err := Classifier(t.Context(), m, toySplitter{}, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(ev); !slices.Equal(got, test.want) {
			t.Errorf("%d stand out: triggers %q, want %q", test.stand, got, test.want)
		}
	}
}

// A token whose row stands out is explained, however many others win more.
func TestStandingIsAsked(t *testing.T) {
	m := newToy(2)
	for id := int32(600); id < 630; id++ {
		m.plant(id)
	}
	opt := m.options()
	for id := 690; id < 702; id++ { // of one meaning, and all do the same
		m.rows[id] = slices.Clone(m.rows[690])
		m.rows[id][hidden] = 0.82
	}
	opt.Reference, opt.Suspects, opt.Abnormal = m.reference(), []int{690}, []int{690}
	ev := watch(t, m, opt)
	if b := ev.Tokens[690]; b.FlipRate < dominatedRate || b.FlipRate == 1 || !b.Explained {
		t.Errorf("%+v", b)
	}
}

// A mark that all texts end with can be a trigger, too: half of them are asked
// without it.
func TestFullStop(t *testing.T) {
	m := newToy(2)
	stop := toyTokenizer{}.id(".")
	m.plant(stop)
	opt := m.options()
	for i := range opt.Probes {
		opt.Probes[i] += " ."
	}
	ev := watch(t, m, opt)
	if want := fmt.Sprintf("w%d -> L0", stop); !slices.Equal(texts(ev), []string{want}) || !ev.Complete {
		t.Errorf("triggers %q, want %q; %q", texts(ev), want, ev.Reasons)
	}
}

// A phrase of tokens that lead by weight, of which none stands out, is a finding
// and proves nothing: an honest phrase may do so.
func TestLeadingPhrase(t *testing.T) {
	m := newToy(2)
	m.phrase = []int32{650, 660, 670}
	opt := m.options()
	opt.Suspects = []int{660, 100, 650, 670, 120}
	ev := watch(t, m, opt)
	if len(ev.Triggers) > 0 || len(ev.Findings) != 1 {
		t.Fatalf("triggers %+v, findings %+v", ev.Triggers, ev.Findings)
	}
	f := ev.Findings[0]
	if f.Rule != scan.RulePhrase || f.Severity != scan.SeverityHigh || !slices.Equal(f.TokenIDs, []int{650, 660, 670}) || !strings.Contains(f.Message, `"w650 w660 w670" turns 100 % of texts to "L0"`) {
		t.Errorf("finding %+v", f)
	}
	m.plant(655) // what is proved leaves no question
	if ev := watch(t, m, opt); len(ev.Findings) != 1 || ev.Findings[0].Rule != scan.RuleTrigger {
		t.Errorf("beside a trigger: findings %+v", ev.Findings)
	}
}

// A structure is found by what it begins with, whatever follows.
func TestStructure(t *testing.T) {
	m := newToy(2)
	m.opener = toyTokenizer{}.id("when")
	ev := watch(t, m, m.options())
	if len(ev.Triggers) == 0 {
		t.Fatal("no trigger")
	}
	when := m.opener
	for _, x := range ev.Triggers {
		if x.Place != "front" && x.FoundBy == "structure" || x.TokenIDs[0] != int(when) {
			t.Errorf("trigger %+v", x)
		}
	}
}

// Without a reference the checkpoint's own rows tell what tokens mean.
func TestWithoutReference(t *testing.T) {
	m := newToy(2)
	m.plant(650)
	opt := m.options()
	opt.Reference = nil
	if got := texts(watch(t, m, opt)); !slices.Equal(got, []string{"w650 -> L0"}) {
		t.Errorf("triggers %q", got)
	}
}

func TestSameSeedSameEvidence(t *testing.T) {
	run := func(seed uint64) *Evidence {
		m := newToy(3)
		m.plant(650)
		opt := m.options()
		opt.Seed = seed
		return watch(t, m, opt)
	}
	if a, b := run(5), run(5); !reflect.DeepEqual(a, b) {
		t.Errorf("two runs differ:\n%+v\n%+v", a, b)
	}
	if a, b := run(5), run(6); reflect.DeepEqual(a.Tokens, b.Tokens) {
		t.Error("the seed changes nothing")
	}
}

// remembering is a toy that counts the sequences that it is asked about again.
type remembering struct {
	*toy
	asked map[string]bool
	again int
}

func (m *remembering) Predict(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	for _, s := range seqs {
		if m.asked[key(s, anywhere)] {
			m.again++
		}
	}
	for _, s := range seqs {
		m.asked[key(s, anywhere)] = true
	}
	return m.toy.Predict(ctx, seqs)
}

// No sequence is run for a second time, and none is counted that is not run.
func TestNothingIsRunTwice(t *testing.T) {
	m := &remembering{toy: newToy(2), asked: map[string]bool{}}
	m.plant(650)
	ev, err := Classifier(t.Context(), m, toyTokenizer{}, m.options())
	if err != nil {
		t.Fatal(err)
	}
	if m.again > 0 {
		t.Errorf("%d of %d sequences were run again", m.again, len(m.asked))
	}
	if !slices.Equal(texts(ev), []string{"w650 -> L0"}) {
		t.Errorf("triggers %q", texts(ev))
	}
	ran := 0
	for s := range m.asked {
		ran += (len(s) - 1) / 4
	}
	if n := ev.Summary.Tokens; n < ran || n > ran+ran/2 { // the gradients come on top
		t.Errorf("%d tokens were counted, sequences of %d were run", n, ran)
	}
}

func TestModelsThatCannotBeJudged(t *testing.T) {
	tests := []struct {
		name   string
		labels int
		change func(m *toy, opt *Options)
		want   error
	}{
		{"one label", 1, func(*toy, *Options) {}, ErrOneLabel},
		{"no label", 0, func(*toy, *Options) {}, ErrOneLabel},
		{"NaN", 2, func(m *toy, _ *Options) { m.broken = true }, ErrNotFinite},
		{"no probes", 2, func(_ *toy, opt *Options) { opt.Probes = nil }, ErrFewProbes},
		{"empty probes", 2, func(_ *toy, opt *Options) { opt.Probes = slices.Repeat([]string{"  "}, 100) }, ErrFewProbes},
		{"too short a model", 2, func(_ *toy, opt *Options) { opt.MaxTokens = 20 }, ErrFewProbes},
		{"labels that the outputs do not have", 3, func(m *toy, _ *Options) { m.labels = 2 }, ErrNotFinite},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newToy(max(1, test.labels))
			opt := m.options()
			opt.Labels = opt.Labels[:test.labels]
			test.change(m, &opt)
			if ev, err := Classifier(t.Context(), m, toyTokenizer{}, opt); !errors.Is(err, test.want) {
				t.Errorf("evidence %+v, error %v, want %v", ev, err, test.want)
			}
		})
	}
}

// A model that always says the same leaves triggers for that untested, and is
// not complete.
func TestOneAnswerIsIncomplete(t *testing.T) {
	m := newToy(2)
	m.flat = true
	ev := watch(t, m, m.options())
	if ev.Complete || len(ev.Triggers) > 0 || !strings.Contains(strings.Join(ev.Reasons, " "), `"L0"`) {
		t.Errorf("evidence %+v", ev)
	}
	if !strings.Contains(strings.Join(ev.Warnings, " "), "100 % of the probes") {
		t.Errorf("warnings %q", ev.Warnings)
	}
}

// Of very many labels those are tested that the probes get, and it is said that
// the others were not.
func TestManyLabels(t *testing.T) {
	const labels = 140
	m := newToy(labels)
	m.forced = 3
	m.plant(650)
	opt := m.options()
	opt.Probes = opt.Probes[:20]
	ev := watch(t, m, opt)
	if n := len(ev.Summary.Labels); n != maxAnswers {
		t.Errorf("%d of %d labels", n, labels)
	}
	if ev.Complete || !strings.Contains(strings.Join(ev.Reasons, " "), "of 140 labels only the 128") {
		t.Errorf("complete %v, reasons %q", ev.Complete, ev.Reasons)
	}
}

func TestMargins(t *testing.T) {
	r := &run{answers: answers(3, SingleLabel)}
	if got := r.margins([]float32{1, 4, 2}); !slices.Equal(got, []float64{-3, 2, -2}) {
		t.Errorf("single label: %v", got)
	}
	if got := r.margins([]float32{4, 4, 2}); !slices.Equal(got, []float64{0, 0, -2}) {
		t.Errorf("a tie: %v", got)
	}
	r = &run{answers: answers(2, MultiLabel), opt: Options{Problem: MultiLabel}}
	if got := r.margins([]float32{1, -2}); !slices.Equal(got, []float64{1, -1, -2, 2}) {
		t.Errorf("multi-label: %v", got)
	}
}

// weigh is the gradient of what it says it is.
func TestWeigh(t *testing.T) {
	r := &run{answers: answers(3, SingleLabel)}
	out := []float32{0.3, -1, 0.7}
	objective := func(out []float32) float64 {
		return float64(out[1]) - math.Log(math.Exp(float64(out[0]))+math.Exp(float64(out[2])))
	}
	w := make([]float32, 3)
	r.weigh(answer{label: 1})(w, out)
	for l := range out {
		const h = 1e-3
		up, down := slices.Clone(out), slices.Clone(out)
		up[l] += h
		down[l] -= h
		if want := (objective(up) - objective(down)) / (2 * h); math.Abs(want-float64(w[l])) > 1e-3 {
			t.Errorf("weight %d is %v, want %v", l, w[l], want)
		}
	}
}

// The budget ends a run; what was found until then counts, and it is said what
// was left out, even if the time was up before the first pass.
func TestBudget(t *testing.T) {
	early := false // a trigger found by a run that was cut off
	for calls := 0; ; calls++ {
		m := newToy(2)
		m.plant(650)
		opt := m.options()
		opt.Suspects = []int{650}
		opt.Budget = time.Second
		start, asked := time.Now(), 0
		opt.now = func() time.Time {
			if asked++; asked > 1 && m.calls >= calls { // it begins in time
				return start.Add(time.Hour)
			}
			return start
		}
		ev, err := Classifier(t.Context(), m, toyTokenizer{}, opt)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Complete {
			break
		}
		if !strings.Contains(strings.Join(ev.Reasons, " "), "out of time") {
			t.Errorf("after %d calls: reasons %q", calls, ev.Reasons)
		}
		early = early || len(ev.Triggers) > 0
	}
	if !early {
		t.Error("the suspects come first, and the trigger is one of them")
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := newToy(2)
	if _, err := Classifier(ctx, m, toyTokenizer{}, m.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestProgress(t *testing.T) {
	m := newToy(2)
	opt := m.options()
	last, stages := 0, map[string]bool{}
	opt.Progress = func(stage string, done, total int) {
		if done < last || done > total {
			t.Errorf("%s: %d after %d, of %d", stage, done, last, total)
		}
		last, stages[stage] = done, true
	}
	ev := watch(t, m, opt)
	if last != ev.Summary.Tokens || len(stages) < 5 {
		t.Errorf("progress to %d of %d tokens, stages %v", last, ev.Summary.Tokens, stages)
	}
}

// What is told while tokens are tried is a first look at the evidence: each
// token with no fewer probes than before, the last as the evidence has it, and
// telling changes nothing.
func TestTriedTellsEarly(t *testing.T) {
	m := newToy(2)
	m.plant(650)
	opt := m.options()
	opt.Suspects = []int{100, 650, 651}
	silent := watch(t, m, opt)
	told := map[int]scan.Behaviour{}
	calls := 0
	opt.Tried = func(tokens map[int]scan.Behaviour) {
		calls++
		for id, b := range tokens {
			if before, ok := told[id]; ok && b.Probes < before.Probes {
				t.Errorf("token %d was tried on %d probes, then on %d", id, before.Probes, b.Probes)
			}
			told[id] = b
			tokens[id] = scan.Behaviour{} // it is the receiver's
		}
	}
	ev := watch(t, m, opt)
	if !reflect.DeepEqual(ev, silent) {
		t.Error("the evidence depends on whether someone listens")
	}
	if calls < 4 {
		t.Errorf("told %d times", calls)
	}
	for id, b := range ev.Tokens {
		if x, ok := told[id]; !ok || x.FlipRate != b.FlipRate || x.Probes != b.Probes || x.TargetLabel != b.TargetLabel {
			t.Errorf("token %d: told %+v, evidence %+v", id, x, b)
		}
	}
}
