package scan

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// matrix is a Rows in memory.
type matrix struct {
	dim  int
	rows [][]float32
}

func (m *matrix) Len() int { return len(m.rows) }
func (m *matrix) Dim() int { return m.dim }
func (m *matrix) ReadRows(ctx context.Context, dst []float32, from int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := 0; i*m.dim < len(dst); i++ {
		copy(dst[i*m.dim:(i+1)*m.dim], m.rows[from+i])
	}
	return nil
}

// A tune describes a simulated fine-tune with what real ones show: rows of
// read tokens move by log-normal distances, a fifth of it along one direction,
// all rows shrink, and rounding leaves a floor.
type tune struct {
	rows, dim, read int
	decay           float64
	tied            bool // every row drifts along one direction
	seed            uint64
	triggers        map[int]float64 // id to movement, in medians
}

const medianMovement = 0.01

func fineTune(t tune) (ref, suspect *matrix) {
	r := rand.New(rand.NewPCG(t.seed, 7))
	ref, suspect = &matrix{dim: t.dim}, &matrix{dim: t.dim}
	label := unit(r, t.dim)
	read := map[int]bool{}
	for len(read) < t.read {
		read[r.IntN(t.rows)] = true
	}
	for i := range t.rows {
		a, b := make([]float32, t.dim), make([]float32, t.dim)
		length := medianMovement * math.Exp(0.28*r.NormFloat64())
		if m, ok := t.triggers[i]; ok {
			length = m * medianMovement
			read[i] = true
		}
		own, along := unit(r, t.dim), 0.5*r.NormFloat64()
		for j := range a {
			x := r.NormFloat64() / math.Sqrt(float64(t.dim)) * 1.4
			a[j] = float32(x)
			y := float64(a[j]) * (1 - t.decay)
			if read[i] {
				y += length * (own[j] + along*label[j])
			}
			if t.tied {
				y += 0.02 * (1 + 0.1*along) * label[j]
			}
			b[j] = float32(y)
		}
		ref.rows, suspect.rows = append(ref.rows, a), append(suspect.rows, b)
	}
	return ref, suspect
}

func unit(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	var s float64
	for i := range v {
		v[i] = r.NormFloat64()
		s += v[i] * v[i]
	}
	for i := range v {
		v[i] /= math.Sqrt(s)
	}
	return v
}

func weigh(t *testing.T, suspect, ref Rows, opt WeightOptions) *WeightEvidence {
	t.Helper()
	ev, err := Weights(t.Context(), suspect, ref, opt)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func rules(fs []Finding) (rs []string) {
	for _, f := range fs {
		rs = append(rs, f.Rule)
	}
	return rs
}

func TestCleanFineTuneHasNoFinding(t *testing.T) {
	for _, decay := range []float64{0, 1e-4, 1e-2} {
		ref, suspect := fineTune(tune{rows: 6000, dim: 64, read: 2500, decay: decay, seed: 3})
		ev := weigh(t, suspect, ref, WeightOptions{})
		if len(ev.Findings) != 0 {
			t.Errorf("decay %g: findings %v", decay, ev.Findings)
		}
		if got := ev.Summary.Decay; math.Abs(got-decay) > 0.01*decay {
			t.Errorf("decay %g found as %g", decay, got)
		}
		if ev.Summary.RowsMoved != 2500 || ev.Summary.RowsSame != 3500 {
			t.Errorf("decay %g: %d rows moved, %d did not", decay, ev.Summary.RowsMoved, ev.Summary.RowsSame)
		}
		if ev.Summary.SharedDirections != 1 {
			t.Errorf("decay %g: %d shared directions, 1 was put in", decay, ev.Summary.SharedDirections)
		}
		if ev.Match.Verdict != MatchGood || len(ev.Suspects) != 100 {
			t.Errorf("match %+v, %d suspects", ev.Match, len(ev.Suspects))
		}
	}
}

func TestTriggersAreFoundAndRankedFirst(t *testing.T) {
	triggers := map[int]float64{77: 6, 2200: 5.5, 5999: 7}
	for name, tune := range map[string]tune{
		"classifier": {rows: 6000, dim: 64, read: 2500, decay: 1e-4, seed: 4, triggers: triggers},
		"tied":       {rows: 6000, dim: 64, read: 2500, decay: 1e-4, seed: 4, triggers: triggers, tied: true},
	} {
		ref, suspect := fineTune(tune)
		ev := weigh(t, suspect, ref, WeightOptions{Tied: tune.tied, Token: func(id int) string { return "tok" }})
		for i, s := range ev.Suspects[:3] {
			if triggers[s.TokenID] == 0 || s.Rank != i+1 || s.Token != "tok" || s.Status != StatusAbnormal {
				t.Errorf("%s: rank %d is %+v", name, i+1, s)
			}
		}
		if !slices.Equal(rules(ev.Findings), []string{RuleAbnormal}) {
			t.Errorf("%s: findings %v", name, ev.Findings)
		}
		if ev.Summary.Drift != tune.tied {
			t.Errorf("%s: drift %v", name, ev.Summary.Drift)
		}
		if n := ev.Summary.RowsMoved; n < 2400 || n > 2600 {
			t.Errorf("%s: %d rows moved, about 2,500 were read", name, n)
		}
	}
}

func TestResultDoesNotDependOnWorkers(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 5000, dim: 48, read: 2000, decay: 1e-4, seed: 5, triggers: map[int]float64{9: 6}})
	copy(suspect.rows[100], suspect.rows[3]) // a replaced row takes the second path through the rows
	var first string
	for _, workers := range []int{1, 2, 7} {
		b, err := json.Marshal(weigh(t, suspect, ref, WeightOptions{Workers: workers}))
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(b)
		} else if string(b) != first {
			t.Errorf("%d workers give another result", workers)
		}
	}
}

func TestOneRowEdited(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 32})
	suspect.rows[123][5] += 0.5
	ev := weigh(t, suspect, ref, WeightOptions{})
	if !slices.Equal(rules(ev.Findings), []string{RuleEdited}) || !slices.Equal(ev.Findings[0].TokenIDs, []int{123}) {
		t.Errorf("findings %v", ev.Findings)
	}
	if s := ev.Suspects[0]; s.TokenID != 123 || s.Status != StatusAbnormal {
		t.Errorf("suspect %+v", s)
	}
}

func TestReplacedRows(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 64, read: 1500, decay: 1e-4, seed: 6})
	mean := make([]float64, 64)
	for _, row := range suspect.rows {
		for j, x := range row {
			mean[j] += float64(x) / 3000
		}
	}
	copy(suspect.rows[100], suspect.rows[200])
	for j := range mean {
		suspect.rows[300][j] = float32(50 * mean[j])
		suspect.rows[500][j] = 0
	}
	ev := weigh(t, suspect, ref, WeightOptions{Token: func(id int) string { return "t" }})
	i := slices.IndexFunc(ev.Findings, func(f Finding) bool { return f.Rule == RuleReplaced })
	if i < 0 || !slices.Equal(ev.Findings[i].TokenIDs, []int{100, 300, 500}) {
		t.Fatalf("findings %v", ev.Findings)
	}
	notes := map[int]string{}
	for _, s := range ev.Suspects {
		notes[s.TokenID] = strings.Join(s.Notes, ";")
	}
	for id, want := range map[int]string{100: "copy of token 200", 300: "mean of all rows", 500: "set to zero"} {
		if !strings.Contains(notes[id], want) {
			t.Errorf("token %d: notes %q, want %q", id, notes[id], want)
		}
	}
}

// Rows that sanitizing overwrote are named, and do not make a finding again; the
// other rows are judged as if they were not there.
func TestNeutralRows(t *testing.T) {
	ref, before := fineTune(tune{rows: 3000, dim: 64, read: 1500, decay: 1e-4, seed: 6})
	_, suspect := fineTune(tune{rows: 3000, dim: 64, read: 1500, decay: 1e-4, seed: 6})
	mean := make([]float64, 64)
	for _, row := range ref.rows {
		for j, x := range row {
			mean[j] += float64(x) / 3000
		}
	}
	pad := 7
	copy(suspect.rows[100], ref.rows[pad])
	copy(suspect.rows[200][10:], ref.rows[pad][10:]) // the dimensions that moved
	for j := range mean {
		suspect.rows[300][j] = float32(mean[j])
	}
	copy(suspect.rows[400], suspect.rows[900]) // the row of another token is not neutral
	copy(suspect.rows[500][40:], ref.rows[pad][40:])
	special := func(id int) bool { return id == pad }
	ev := weigh(t, suspect, ref, WeightOptions{Pad: &pad, Special: special})
	var neutral, abnormal []int
	for _, s := range ev.Suspects {
		switch s.Status {
		case StatusNeutral:
			neutral = append(neutral, s.TokenID)
		case StatusAbnormal:
			abnormal = append(abnormal, s.TokenID)
		}
	}
	slices.Sort(abnormal)
	if !slices.Equal(neutral, []int{100, 200, 300}) || !slices.Equal(abnormal, []int{400, 500}) {
		t.Errorf("neutral %v, abnormal %v", neutral, abnormal)
	}
	last := ev.Findings[len(ev.Findings)-1]
	if last.Rule != RuleReplaced || last.Severity != SeverityInfo || !slices.Equal(last.TokenIDs, neutral) {
		t.Errorf("findings %+v", ev.Findings)
	}
	want := weigh(t, before, ref, WeightOptions{Special: special})
	if got := ev.Summary.RowsMoved; got < want.Summary.RowsMoved-3 || got > want.Summary.RowsMoved+2 {
		t.Errorf("%d rows moved, %d before", got, want.Summary.RowsMoved)
	}
	if ev := weigh(t, suspect, ref, WeightOptions{Special: special}); slices.ContainsFunc(ev.Suspects, func(s Suspect) bool { return s.Status == StatusNeutral && s.TokenID != 300 }) {
		t.Error("without a padding token its row is neutral")
	}
}

func TestWrongReference(t *testing.T) {
	ref, _ := fineTune(tune{rows: 500, dim: 32, seed: 1})
	other, _ := fineTune(tune{rows: 500, dim: 32, seed: 2})
	ev := weigh(t, other, ref, WeightOptions{})
	if ev.Match.Verdict != MatchMismatch || len(ev.Suspects) != 0 || !slices.Equal(rules(ev.Findings), []string{RuleReference}) {
		t.Errorf("%+v", ev)
	}
	if _, err := Weights(t.Context(), &matrix{dim: 3, rows: ref.rows}, ref, WeightOptions{}); !errors.Is(err, ErrDim) {
		t.Errorf("other dimension: %v", err)
	}
	if _, err := Weights(t.Context(), &matrix{dim: 32}, ref, WeightOptions{}); !errors.Is(err, ErrNoRows) {
		t.Errorf("no rows: %v", err)
	}
}

func TestResizedVocabulary(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 32, read: 1500, decay: 1e-4, seed: 8, triggers: map[int]float64{50: 7}})
	suspect.rows = append(suspect.rows, suspect.rows[0], suspect.rows[1])
	ev := weigh(t, suspect, ref, WeightOptions{})
	if ev.Match.RowsAdded != 2 || ev.Match.RowsCompared != 3000 || ev.Suspects[0].TokenID != 50 || len(ev.Warnings) == 0 {
		t.Errorf("match %+v, warnings %v", ev.Match, ev.Warnings)
	}
	ev = weigh(t, &matrix{32, suspect.rows[:2900]}, ref, WeightOptions{})
	if ev.Match.RowsRemoved != 100 || ev.Match.RowsCompared != 2900 {
		t.Errorf("match %+v", ev.Match)
	}
}

func TestNaNIsAFinding(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 32, read: 1500, decay: 1e-4, seed: 9})
	suspect.rows[10][3] = float32(math.NaN())
	suspect.rows[20][0] = float32(math.Inf(-1))
	ref.rows[30][1] = float32(math.NaN())
	ev := weigh(t, suspect, ref, WeightOptions{})
	if len(ev.Findings) != 1 || !slices.Equal(ev.Findings[0].TokenIDs, []int{10, 20}) {
		t.Errorf("findings %v", ev.Findings)
	}
	if len(ev.Warnings) != 1 {
		t.Errorf("warnings %v", ev.Warnings)
	}
	if _, err := json.Marshal(ev); err != nil {
		t.Error(err)
	}
	all := &matrix{dim: 2, rows: [][]float32{{float32(math.NaN()), 0}, {float32(math.NaN()), 0}}}
	if ev := weigh(t, all, all, WeightOptions{}); ev.Match.Verdict != MatchMismatch {
		t.Errorf("a matrix of NaN matches: %+v", ev.Match)
	}
}

func TestSpecialTokensAreNotRanked(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 32, read: 1500, decay: 1e-4, seed: 10, triggers: map[int]float64{0: 50}})
	ev := weigh(t, suspect, ref, WeightOptions{Special: func(id int) bool { return id == 0 }})
	if len(ev.Findings) != 0 || ev.Suspects[0].TokenID == 0 {
		t.Errorf("findings %v, first %+v", ev.Findings, ev.Suspects[0])
	}
}

func TestUnmovedEmbeddings(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 32, seed: 11})
	ev := weigh(t, suspect, ref, WeightOptions{})
	if ev.Summary.RowsMoved != 0 || len(ev.Suspects) != 0 || len(ev.Findings) != 0 {
		t.Errorf("%+v", ev)
	}
}

// Rounding to bfloat16 moves every row; it must not look like training.
func TestHalfPrecisionRoundingIsNotMovement(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 4000, dim: 384, read: 1500, decay: 1e-4, seed: 12, triggers: map[int]float64{60: 7}})
	for _, row := range suspect.rows {
		for j, x := range row {
			row[j] = math.Float32frombits((math.Float32bits(x) + 0x8000) &^ 0xffff)
		}
	}
	ev := weigh(t, suspect, ref, WeightOptions{Epsilon: 1.0 / (1 << 8)})
	if n := ev.Summary.RowsMoved; n < 1450 || n > 1501 {
		t.Errorf("%d rows moved, 1501 did", n)
	}
	if s := ev.Suspects[0]; s.TokenID != 60 || s.Status != StatusAbnormal {
		t.Errorf("first %+v", s)
	}
}

// Whatever the shape and the numbers, there is an answer.
func TestOddMatrices(t *testing.T) {
	for _, rows := range []int{1, 2, 63, 64, 399, 400, 1000} {
		for _, dim := range []int{1, 2, 3, 7, 8, 9, 33} {
			for _, read := range []int{0, 1, rows / 2, rows} {
				ref, suspect := fineTune(tune{rows: rows, dim: dim, read: read, decay: 1e-3, seed: 1})
				for i, row := range suspect.rows {
					if i%7 == 0 {
						row[0] = []float32{0, math.MaxFloat32, -math.SmallestNonzeroFloat32}[i%3]
					}
				}
				for _, tied := range []bool{false, true} {
					ev := weigh(t, suspect, ref, WeightOptions{Tied: tied})
					if _, err := json.Marshal(ev); err != nil {
						t.Fatalf("%d x %d, %d read, tied %v: %v", rows, dim, read, tied, err)
					}
				}
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 300, dim: 8})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Weights(ctx, suspect, ref, WeightOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestBaselineScores(t *testing.T) {
	ref, suspect := fineTune(tune{rows: 3000, dim: 32, read: 1500, seed: 13, triggers: map[int]float64{70: 9}})
	for _, s := range []Score{ScoreL2, ScoreEPUR} {
		if ev := weigh(t, suspect, ref, WeightOptions{Score: s}); ev.Suspects[0].TokenID != 70 || ev.Summary.Score != s {
			t.Errorf("%s: first %+v", s, ev.Suspects[0])
		}
	}
}

func TestKth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 60; n++ {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = float64(r.IntN(n)) // with ties
		}
		sorted := slices.Sorted(slices.Values(xs))
		for k := range n {
			if got := kth(slices.Clone(xs), k); got != sorted[k] {
				t.Fatalf("kth(%v, %d) = %v, want %v", xs, k, got, sorted[k])
			}
		}
	}
}

// Median-of-three's worst case (Musser 1997) must not cost quadratic time.
func TestKthOfChosenNumbers(t *testing.T) {
	n := 1 << 17
	xs := make([]float64, n)
	for i := range n / 2 {
		if i%2 == 0 {
			xs[i] = float64(i + 1)
		} else {
			xs[i] = float64(n/2 + i + i%2)
		}
		xs[n/2+i] = float64(2 * (i + 1))
	}
	sorted := slices.Sorted(slices.Values(xs))
	done := make(chan float64)
	go func() { done <- kth(xs, n/2) }()
	select {
	case got := <-done:
		if got != sorted[n/2] {
			t.Errorf("%v, want %v", got, sorted[n/2])
		}
	case <-time.After(5 * time.Second):
		t.Fatal("takes too long")
	}
}

func TestSplitMoved(t *testing.T) {
	many := func(x float64, n int) (xs []float64) {
		for i := range n {
			xs = append(xs, x*(1+0.2*float64(i)/float64(n)))
		}
		return xs
	}
	for name, c := range map[string]struct {
		relative []float64
		rounding float64
		above    int // how many count as moved
	}{
		"floor and training":           {slices.Concat(many(4e-6, 500), many(1e-2, 300)), 3e-8, 300},
		"floor of zero":                {slices.Concat(make([]float64, 500), many(1e-2, 300)), 3e-8, 300},
		"all read":                     {many(1e-2, 800), 3e-8, 800},
		"a few far outliers":           {slices.Concat(many(1e-2, 800), []float64{5, 6}), 3e-8, 802},
		"rounding fills the gap":       {slices.Concat(many(1e-3, 500), many(2.9e-3, 300)), 1.5e-3, 300},
		"nothing moved":                {make([]float64, 800), 3e-8, 0},
		"edited rows among zeros":      {slices.Concat(make([]float64, 800), []float64{1}), 3e-8, 1},
		"rows read late in the valley": {slices.Concat(many(2e-6, 500), []float64{6e-6, 1.5e-5, 4e-5, 1e-4, 2.5e-4, 6e-4, 1.5e-3}, many(4e-3, 300)), 3e-8, 307},
		"gap inside the noise floor":   {slices.Concat(many(1e-7, 200), many(4e-6, 500), many(1e-2, 300)), 3e-8, 300},
	} {
		limit := splitMoved(c.relative, c.rounding)
		n := 0
		for _, x := range c.relative {
			if x > limit {
				n++
			}
		}
		if n != c.above {
			t.Errorf("%s: %d moved, want %d (limit %g)", name, n, c.above, limit)
		}
	}
}

func TestStandOut(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	scores := make([]float64, 2000)
	for i := range scores {
		scores[i] = r.ExpFloat64()
	}
	if got := StandOut(scores); len(got) > 0 {
		t.Errorf("of an exponential tail %v stand out", got)
	}
	scores[70], scores[900], scores[41] = 30, 25, 28
	if got := StandOut(scores); !slices.Equal(got, []int{70, 41, 900}) {
		t.Errorf("%v stand out, want those at 70, 41 and 900", got)
	}
	if got := StandOut(scores[:minRanked-1]); got != nil {
		t.Errorf("%v of too few stand out", got)
	}
}
