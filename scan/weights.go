package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/btu-scan/btu-scan/internal/kernel"
)

// WeightOptions adjust Weights. The zero value ranks by our score on all cores.
type WeightOptions struct {
	// Token names a token id. Optional.
	Token func(id int) string
	// Special reports tokens that every text holds or none does, such as [CLS]
	// and [PAD]: they move for reasons of their own and are not ranked. Optional.
	Special func(id int) bool
	// Pad is the padding token, whose row means nothing. Optional.
	Pad *int
	// Tied says that the rows are also the output projection's.
	Tied bool
	// Epsilon is the largest relative rounding error of the types the
	// checkpoint and the reference are stored in. Optional: that of float32.
	Epsilon, ReferenceEpsilon float64
	// Score ranks the suspects. Optional: ScoreZ.
	Score Score
	// Keep is how many suspects the report holds. Optional: 100.
	Keep int
	// Workers bounds the goroutines. Optional: one per core. The result does
	// not depend on it.
	Workers int
}

// WeightEvidence is what the embedding rows alone say.
type WeightEvidence struct {
	Match    Match
	Summary  WeightSummary // zero where Match is a mismatch
	Suspects []Suspect     // ranked; none where Match is a mismatch
	Findings []Finding
	Warnings []string
}

// Errors of Weights.
var (
	// ErrDim: the two matrices have rows of different length.
	ErrDim = errors.New("rows of different length")
	// ErrNoRows: there is nothing to compare.
	ErrNoRows = errors.New("no rows to compare")
)

// MatchCosine is the least median row cosine of a checkpoint against the model
// it was tuned from. Fine-tuning leaves it above 0.99 (0.999 and more measured);
// another model of the same shape and vocabulary gave 0.885, unrelated ones
// give about 0.
const MatchCosine = 0.95

// rowSums are the sums over one pair of rows, reference first.
type rowSums struct {
	kernel.Sums
	nan bool // a NaN or infinite number in the checkpoint's row
	bad bool // in the reference's row
}

// usable reports whether a row can be compared.
func (r *rowSums) usable() bool { return !r.nan && !r.bad && r.AA > 0 }

func (r *rowSums) cosine() float64 {
	if r.AA == 0 || r.BB == 0 {
		return 0
	}
	return max(-1, min(1, (r.AA+r.AD)/math.Sqrt(r.AA*r.BB)))
}

// Weights compares the rows of a checkpoint with its reference's, row by row
// of the same id, and ranks the tokens by how abnormally they moved.
//
// Where the vocabularies differ in size, the shared rows are compared. A
// reference that the checkpoint was plainly not tuned from gives a mismatch
// (BTU010) and no suspects. Memory is a few numbers per row.
func Weights(ctx context.Context, suspect, ref Rows, opt WeightOptions) (*WeightEvidence, error) {
	if suspect.Dim() != ref.Dim() {
		return nil, fmt.Errorf("%w: %d in the checkpoint, %d in the reference", ErrDim, suspect.Dim(), ref.Dim())
	}
	n := min(suspect.Len(), ref.Len())
	if n == 0 || ref.Dim() == 0 {
		return nil, ErrNoRows
	}
	opt.Score = cmp.Or(opt.Score, ScoreZ)
	opt.Keep = cmp.Or(opt.Keep, 100)
	opt.Epsilon, opt.ReferenceEpsilon = cmp.Or(opt.Epsilon, 1.0/(1<<24)), cmp.Or(opt.ReferenceEpsilon, 1.0/(1<<24))

	w := &weighing{ctx: ctx, suspect: suspect, ref: ref, opt: opt, n: n, rows: make([]rowSums, n)}
	err := forRowPairs(ctx, ref, suspect, n, opt.Workers, func(i int, a, b []float32) {
		s := kernel.RowSums(a, b)
		w.rows[i] = rowSums{Sums: s, nan: !finite(s.BB), bad: !finite(s.AA)}
	})
	if err != nil {
		return nil, err
	}
	w.match()
	w.nonFinite()
	if w.Match.Verdict != MatchGood {
		return &w.WeightEvidence, nil
	}
	if err := w.findNeutral(); err != nil {
		return nil, err
	}
	if err := w.measure(); err != nil {
		return nil, err
	}
	w.score()
	w.standOut()
	if err := w.rank(); err != nil {
		return nil, err
	}
	if err := w.judgeRows(); err != nil {
		return nil, err
	}
	w.neutralFinding()
	return &w.WeightEvidence, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// A weighing is one run of Weights.
type weighing struct {
	WeightEvidence
	ctx          context.Context // of the one call of Weights that this lives for
	suspect, ref Rows
	opt          WeightOptions
	n            int
	rows         []rowSums
	neutral      []int // ids of overwritten rows, ascending

	floor    float64   // largest relative movement of an unmoved row
	seen     []bool    // by row: it took part in training
	movement []float64 // by row; decay and, for moved rows, shared directions removed
	moved    []int     // ids of the moved rows that are ranked, ascending
	// By index in moved: the two z values, their mean, what is ranked by.
	z, like, level, points []float64
	tail                   tail
	hasTail                bool
	standing               []int   // ids that stand out of the tail together, highest first
	abnormal               int     // how many of them are a finding,
	expected               float64 // and how many rows the tail makes expected there
	shared                 [][]float64
}

func (w *weighing) token(id int) string {
	if w.opt.Token == nil {
		return ""
	}
	return w.opt.Token(id)
}

func (w *weighing) special(id int) bool { return w.opt.Special != nil && w.opt.Special(id) }

// match compares the matrices as a whole.
func (w *weighing) match() {
	cosines := make([]float64, 0, w.n)
	for i := range w.rows {
		if w.rows[i].usable() {
			cosines = append(cosines, w.rows[i].cosine())
		}
	}
	w.Match = Match{
		RowCosineMedian: median(cosines), Verdict: MatchGood,
		RowsCompared: w.n, RowsAdded: w.suspect.Len() - w.n, RowsRemoved: w.ref.Len() - w.n,
	}
	if w.Match.RowCosineMedian < MatchCosine {
		w.Match.Verdict = MatchMismatch
		w.Findings = append(w.Findings, Finding{
			Rule: RuleReference, Severity: SeverityWarning, TokenIDs: []int{},
			Message: fmt.Sprintf("the checkpoint was not tuned from this reference: the median cosine between rows is %.3f, a fine-tune keeps it above %.2f", w.Match.RowCosineMedian, MatchCosine),
		})
	}
	if w.Match.RowsAdded > 0 {
		w.Warnings = append(w.Warnings, fmt.Sprintf("%d rows (ids %d to %d) are not in the reference and were not compared", w.Match.RowsAdded, w.n, w.suspect.Len()-1))
	}
	if w.Match.RowsRemoved > 0 {
		w.Warnings = append(w.Warnings, fmt.Sprintf("%d rows of the reference are not in the checkpoint", w.Match.RowsRemoved))
	}
}

func (w *weighing) nonFinite() {
	var nan, bad []int
	zero := 0
	for i := range w.rows {
		if r := &w.rows[i]; r.AA == 0 && r.BB > 0 && !r.nan && !w.special(i) {
			zero++
		}
		if w.rows[i].nan {
			nan = append(nan, i)
		}
		if w.rows[i].bad {
			bad = append(bad, i)
		}
	}
	if len(nan) > 0 {
		w.Findings = append(w.Findings, Finding{
			Rule: RuleAbnormal, Severity: SeverityHigh, TokenIDs: nan[:min(len(nan), w.opt.Keep)],
			Message: fmt.Sprintf("%s of the checkpoint %s NaN or infinite numbers", count(len(nan), "row"), plural(len(nan), "holds", "hold")),
		})
	}
	if zero > 0 {
		w.Warnings = append(w.Warnings, fmt.Sprintf("%s of the reference %s zero and no longer so in the checkpoint; there is nothing to compare them with", count(zero, "row"), plural(zero, "is", "are")))
	}
	if len(bad) > 0 {
		w.Warnings = append(w.Warnings, fmt.Sprintf("%s of the reference hold NaN or infinite numbers and were not compared", count(len(bad), "row")))
	}
}

func count(n int, what string) string { return fmt.Sprintf("%d %s", n, plural(n, what, what+"s")) }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// measure takes the decay out of the movement, splits moved rows from unmoved
// ones, and takes out what the moved rows share.
func (w *weighing) measure() error {
	c := removeDecay(w.rows)
	w.movement = make([]float64, w.n)
	relative := make([]float64, 0, w.n)
	for i := range w.rows {
		r := &w.rows[i]
		if !r.usable() || w.isNeutral(i) {
			continue
		}
		w.movement[i] = math.Sqrt(max(0, r.DD+2*c*r.AD+c*c*r.AA))
		if r.DD == 0 {
			w.movement[i] = 0 // the same bits, whatever the others did
		}
		relative = append(relative, w.movement[i]/math.Sqrt(r.AA))
	}
	rounding := roundingRMS * math.Hypot(w.opt.Epsilon, w.opt.ReferenceEpsilon)
	w.floor = splitMoved(relative, rounding)
	w.Summary = WeightSummary{Score: w.opt.Score, Decay: c}
	w.seen = make([]bool, w.n)
	for i := range w.rows {
		r := &w.rows[i]
		switch {
		case !r.usable(), w.isNeutral(i):
		case w.movement[i] <= w.floor*math.Sqrt(r.AA):
			w.Summary.RowsSame++
			w.Summary.Floor = max(w.Summary.Floor, w.movement[i])
		default:
			w.seen[i] = true
			w.Summary.RowsMoved++
			if !w.special(i) {
				w.moved = append(w.moved, i)
			}
		}
	}
	w.Summary.Drift = w.opt.Tied && w.Summary.RowsMoved > w.n/2
	if w.opt.Score != ScorePlainZ {
		if err := w.removeShared(); err != nil {
			return err
		}
	}
	if w.Summary.Drift {
		w.splitDrifted()
	}
	if len(w.moved) > 0 {
		ms := make([]float64, len(w.moved))
		for k, i := range w.moved {
			ms[k] = w.movement[i]
			w.Summary.Max = max(w.Summary.Max, ms[k])
		}
		w.Summary.Histogram = newHistogram(ms)
		w.Summary.Median = median(ms)
	}
	return nil
}

// minSpread is the least number of moved rows that have a centre and a spread.
const minSpread = 64

// minScale is the least spread of log movement that a row is measured against:
// 10 %. Fine-tunes show 25 to 60 %; a smaller one comes of clipped rows.
const minScale = 0.1

// score gives each moved row its robust z of log movement, among all moved
// rows and among those of like frequency.
func (w *weighing) score() {
	logs := make([]float64, len(w.moved))
	for k, i := range w.moved {
		logs[k] = math.Log(max(w.movement[i], math.SmallestNonzeroFloat64))
	}
	all := robust(slices.Clone(logs))
	local := localSpreads(logs, w.opt.Workers)
	n := len(logs)
	w.z, w.like, w.level, w.points = make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for k, i := range w.moved {
		if n >= minSpread {
			w.z[k], w.like[k] = all.z(logs[k], minScale), local[k].z(logs[k], minScale)
			w.level[k] = (w.z[k] + w.like[k]) / 2
		}
		switch w.opt.Score {
		case ScoreL2:
			w.points[k] = math.Sqrt(w.rows[i].DD)
		case ScoreEPUR:
			w.points[k] = math.Sqrt(w.rows[i].DD) / math.Log(max(pseudoFrequency(i), 20))
		default:
			w.points[k] = w.level[k]
		}
	}
}

// pseudoFrequency stands for the corpus count that E-PUR divides by, which a
// checkpoint does not hold: Zipf's law over the rank, which is the token's id,
// with 10^7 for the most frequent token.
func pseudoFrequency(id int) float64 { return 1e7 / float64(id+1) }

// top returns the indices in moved of the n highest points, highest first; ties
// go to the larger movement, then to the lower id.
func (w *weighing) top(points []float64, n int) []int {
	n = min(n, len(points))
	if n == 0 {
		return nil
	}
	// Only those that can be among them are sorted, ties included.
	least := kth(slices.Clone(points), len(points)-n)
	var order []int
	for k, p := range points {
		if p >= least {
			order = append(order, k)
		}
	}
	slices.SortFunc(order, func(x, y int) int {
		return cmp.Or(cmp.Compare(points[y], points[x]), cmp.Compare(w.movement[w.moved[y]], w.movement[w.moved[x]]), cmp.Compare(w.moved[x], w.moved[y]))
	})
	return order[:n]
}

// standOut finds the tokens that stand out of the tail of all scores.
func (w *weighing) standOut() {
	if w.tail, w.hasTail = newTail(w.level); !w.hasTail {
		return
	}
	w.Summary.Natural, w.Summary.Abnormal = w.tail.scoreOf(naturalChance), w.tail.scoreOf(abnormalChance)
	order := w.top(w.level, maxTogether)
	highest := make([]float64, len(order))
	for i, k := range order {
		highest[i] = w.level[k]
	}
	w.abnormal = w.tail.together(highest, abnormalChance)
	for _, k := range order[:max(w.abnormal, w.tail.together(highest, naturalChance))] {
		w.standing = append(w.standing, w.moved[k])
	}
	if w.abnormal > 0 {
		w.expected = w.tail.expected(highest[w.abnormal-1])
	}
}

// rank fills in the suspects.
func (w *weighing) rank() error {
	for rank, k := range w.top(w.points, w.opt.Keep) {
		s, err := w.suspectAt(k)
		if err != nil {
			return err
		}
		s.Rank = rank + 1
		w.Suspects = append(w.Suspects, s)
	}
	return nil
}

func (w *weighing) suspectAt(k int) (Suspect, error) {
	i := w.moved[k]
	r := &w.rows[i]
	d, err := w.residual(i)
	if err != nil {
		return Suspect{}, err
	}
	var l1, l2 float64
	for _, x := range d {
		l1 += math.Abs(x)
		l2 += x * x
	}
	s := Suspect{TokenID: i, Token: w.token(i), Score: w.points[k], Status: StatusNatural, Weights: WeightStats{
		Movement: w.movement[i], Relative: w.movement[i] / math.Sqrt(r.AA),
		Rotation:   math.Acos(r.cosine()) * 180 / math.Pi,
		NormChange: math.Sqrt(r.BB/r.AA) - 1, Seen: true, Z: w.z[k], ZLike: w.like[k],
	}}
	if l2 > 0 {
		s.Weights.Coherence = l1 * l1 / (float64(len(d)) * l2)
	}
	if w.hasTail {
		s.Weights.Expected = w.tail.expected(w.level[k])
	}
	switch at := slices.Index(w.standing, i); {
	case at < 0:
	case at < w.abnormal:
		s.Status = StatusAbnormal
	default:
		s.Status = StatusBorderline
	}
	return s, nil
}

// residual returns what training did to row i: d + c*a without what is shared.
func (w *weighing) residual(i int) ([]float64, error) {
	d := make([]float64, w.ref.Dim())
	err := w.residuals([]int{i}, [][]float64{d})
	return d, err
}

// residuals fills ds with the residuals of the rows ids.
func (w *weighing) residuals(ids []int, ds [][]float64) error {
	bufA, bufB := make([]float32, w.ref.Dim()), make([]float32, w.ref.Dim())
	c := w.Summary.Decay
	for k, i := range ids {
		var inner error
		err := visit(w.ctx, w.ref, i, 1, bufA, func(a []float32) {
			inner = visit(w.ctx, w.suspect, i, 1, bufB, func(b []float32) {
				d := ds[k]
				for j := range d {
					d[j] = float64(b[j]) - float64(a[j]) + c*float64(a[j])
				}
				removeDirections(d, w.shared)
			})
		})
		if err := errors.Join(err, inner); err != nil {
			return err
		}
	}
	return nil
}
