package scan

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/btu-scan/btu-scan/internal/kernel"
)

// Constants of the row findings. docs/methods.md tells what they were measured
// on.
const (
	// editedShare and editedRows bound how many rows an edit of the file changes.
	editedShare = 0.001
	editedRows  = 16

	// A row that turned by more than replacedDegrees is no longer the pretrained
	// token's: fine-tuning turns rows by 1 to 3 degrees.
	replacedDegrees = 20
	// copyCosine is the cosine from which two rows of a checkpoint are copies. A
	// copied row moves on in training, by up to 5 % of its length.
	copyCosine = 0.98
	// maxReplaced bounds how many turned rows are searched for.
	maxReplaced = 64
)

// judgeRows turns the ranking into findings.
func (w *weighing) judgeRows() error {
	if w.edited() {
		w.editedFinding()
		return w.replaced()
	}
	if ids := slices.Clone(w.standing[:w.abnormal]); len(ids) > 0 {
		w.Findings = append(w.Findings, Finding{
			Rule: RuleAbnormal, Severity: SeverityHigh, TokenIDs: ids,
			Message: fmt.Sprintf("%s moved far beyond the model's other rows and those of like frequency: its own tail predicts %.2g rows that far out", count(len(ids), "token"), w.expected),
		})
	}
	return w.replaced()
}

// edited reports whether a few rows changed and all others kept their bits.
func (w *weighing) edited() bool {
	n := w.Summary.RowsMoved
	return n > 0 && n <= max(editedRows, int(editedShare*float64(w.n))) && w.floor == 0
}

func (w *weighing) editedFinding() {
	var ids []int
	for i := range w.rows {
		if w.seen[i] {
			ids = append(ids, i)
		}
	}
	for i := range w.Suspects {
		w.Suspects[i].Status = StatusAbnormal
		w.Suspects[i].Notes = append(w.Suspects[i].Notes, "changed while all other rows kept their bits")
	}
	w.Findings = append(w.Findings, Finding{
		Rule: RuleEdited, Severity: SeverityHigh, TokenIDs: ids,
		Message: fmt.Sprintf("%s changed while the other %d kept their bits: training does not do that, editing does", count(len(ids), "row"), w.Summary.RowsSame),
	})
}

// replaced looks for rows that are no longer their token's: copies of another
// row, of the mean of all rows, or of one vector given to several tokens.
func (w *weighing) replaced() error {
	var turned []int
	limit := math.Cos(replacedDegrees * math.Pi / 180)
	for i := range w.rows {
		if r := &w.rows[i]; r.usable() && r.DD > 0 && r.BB > 0 && r.cosine() < limit && !w.special(i) && !w.isNeutral(i) {
			turned = append(turned, i)
		}
	}
	zeroed := w.zeroRows()
	if len(turned) > maxReplaced { // not an edit of rows but another training
		w.Warnings = append(w.Warnings, fmt.Sprintf("%d rows turned by more than %d degrees; copies among them were not searched for", len(turned), replacedDegrees))
		turned = nil
	}
	sources, err := w.nearest(turned)
	if err != nil {
		return err
	}
	var ids []int
	for k, i := range turned {
		note := ""
		switch src := sources[k]; {
		case src.cosine < copyCosine:
			continue
		case src.id == meanRow:
			note = "now the mean of all rows"
		case slices.Contains(turned, src.id):
			note = fmt.Sprintf("now the same vector as token %d %q, cosine %.3f", src.id, w.token(src.id), src.cosine)
		default:
			note = fmt.Sprintf("now a copy of token %d %q, cosine %.3f", src.id, w.token(src.id), src.cosine)
		}
		ids = append(ids, i)
		w.note(i, note)
	}
	for _, i := range zeroed {
		ids = append(ids, i)
		w.note(i, "set to zero")
	}
	if len(ids) > 0 {
		slices.Sort(ids)
		w.Findings = append(w.Findings, Finding{
			Rule: RuleReplaced, Severity: SeverityHigh, TokenIDs: ids,
			Message: fmt.Sprintf("%s no longer hold their token's vector but one that was put there", count(len(ids), "row")),
		})
	}
	return nil
}

// zeroRows lists rows that are zero in the checkpoint and not in the reference.
func (w *weighing) zeroRows() (ids []int) {
	for i := range w.rows {
		if r := &w.rows[i]; r.usable() && r.BB == 0 && !w.special(i) && !w.isNeutral(i) {
			ids = append(ids, i)
		}
	}
	if len(ids) > maxReplaced {
		w.Warnings = append(w.Warnings, fmt.Sprintf("%d rows of the checkpoint are zero", len(ids)))
		return nil
	}
	return ids
}

// note adds a remark to a suspect and marks it abnormal.
func (w *weighing) note(id int, text string) {
	for i := range w.Suspects {
		if s := &w.Suspects[i]; s.TokenID == id {
			s.Status = StatusAbnormal
			s.Notes = append(s.Notes, text)
		}
	}
}

// meanRow stands for the mean of all rows as a source.
const meanRow = -1

// fixedPoint scales numbers to integers for a sum that is the same in any order.
const fixedPoint = 1 << 30

type source struct {
	id     int
	cosine float64
}

// nearest finds for each of ids the row of the checkpoint that its own row is
// most alike to by cosine, the mean of all rows included.
func (w *weighing) nearest(ids []int) ([]source, error) {
	best := make([]source, len(ids))
	if len(ids) == 0 {
		return best, nil
	}
	dim := w.suspect.Dim()
	own := make([][]float32, len(ids))
	for k, i := range ids {
		row, err := readRow(w.ctx, w.suspect, i)
		if err != nil {
			return nil, err
		}
		own[k], best[k] = row, source{id: meanRow, cosine: -1}
	}
	var mu sync.Mutex
	mean := make([]int64, dim) // fixed point, so that the order of adding does not matter
	keep := func(k int, s source) {
		// Ties go to the lower id, so that the order of blocks does not matter.
		if b := best[k]; s.cosine > b.cosine || s.cosine == b.cosine && s.id < b.id {
			best[k] = s
		}
	}
	err := forBlocks(w.ctx, w.n, dim, w.opt.Workers, func(ctx context.Context, from, to int, _, buf []float32) error {
		return visit(ctx, w.suspect, from, to-from, buf, func(rows []float32) {
			found := slices.Repeat([]source{{cosine: -1}}, len(ids))
			sum := make([]int64, dim)
			for i := from; i < to; i++ {
				if !w.rows[i].usable() || w.rows[i].BB == 0 {
					continue
				}
				row := rows[(i-from)*dim : (i-from+1)*dim]
				for j, x := range row {
					sum[j] += int64(float64(x) * fixedPoint)
				}
				for k, id := range ids {
					if id == i {
						continue
					}
					if c := cosine(own[k], row, w.rows[id].BB, w.rows[i].BB); c > found[k].cosine {
						found[k] = source{i, c}
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for j, x := range sum {
				mean[j] += x
			}
			for k := range found {
				if found[k].cosine > -1 {
					keep(k, found[k])
				}
			}
		})
	})
	if err != nil {
		return nil, err
	}
	m32 := make([]float32, dim)
	var mm float64
	for j, x := range mean {
		m32[j] = float32(float64(x) / fixedPoint)
		mm += float64(m32[j]) * float64(m32[j])
	}
	for k, id := range ids {
		if mm > 0 {
			// A copy of another row is as good as never this near to the mean.
			if c := cosine(own[k], m32, w.rows[id].BB, mm); c > max(best[k].cosine, copyCosine) {
				best[k] = source{meanRow, c}
			}
		}
	}
	return best, nil
}

func cosine(a, b []float32, aa, bb float64) float64 { return kernel.Dot(a, b) / math.Sqrt(aa*bb) }
