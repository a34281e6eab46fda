package scan

import (
	"fmt"
	"math"
	"slices"
)

// Constants of neutral rows.
const (
	// neutralMoved is the least movement, over the reference row's length, of a row
	// that was overwritten: fine-tuning moves rows by a few hundredths.
	neutralMoved = 0.1
	// neutralShare is the least share of a row's dimensions that hold the neutral
	// row's very numbers. BTU overwrites those that moved: with trained rows that
	// is nearly all of them.
	neutralShare = 0.5
	// maxNeutral bounds how many rows are read for it.
	maxNeutral = 4096
)

// findNeutral looks for rows that were overwritten with one that means nothing,
// the padding token's of the reference or the mean of its rows: so sanitizing
// leaves the rows of a trigger. They say nothing about the fine-tune, so they are
// not ranked with the others; but what the model does with them is worth a look.
func (w *weighing) findNeutral() error {
	var far []int
	for i := range w.rows {
		if r := &w.rows[i]; r.usable() && r.DD > neutralMoved*neutralMoved*r.AA && !w.special(i) {
			far = append(far, i)
		}
	}
	if len(far) == 0 || len(far) > maxNeutral {
		return nil
	}
	neutral, err := w.neutralRows()
	if err != nil {
		return err
	}
	near := 2 * (w.opt.Epsilon + w.opt.ReferenceEpsilon) // both rounded
	for _, i := range far {
		row, err := readRow(w.ctx, w.suspect, i)
		if err != nil {
			return err
		}
		for _, v := range neutral {
			same := 0
			for d, x := range row {
				if math.Abs(float64(x)-v[d]) <= near*math.Abs(v[d]) {
					same++
				}
			}
			if float64(same) >= neutralShare*float64(len(row)) {
				w.neutral = append(w.neutral, i)
				break
			}
		}
	}
	return nil
}

// neutralRows are the rows that sanitizing overwrites others with.
func (w *weighing) neutralRows() (rows [][]float64, err error) {
	if w.opt.Pad != nil && *w.opt.Pad >= 0 && *w.opt.Pad < w.ref.Len() {
		row, err := readRow(w.ctx, w.ref, *w.opt.Pad)
		if err != nil {
			return nil, err
		}
		pad := make([]float64, len(row))
		for d, x := range row {
			pad[d] = float64(x)
		}
		rows = append(rows, pad)
	}
	mean, err := MeanRow(w.ctx, w.ref)
	return append(rows, mean), err
}

func (w *weighing) isNeutral(id int) bool {
	_, found := slices.BinarySearch(w.neutral, id)
	return found
}

// neutralFinding names the overwritten rows, after all suspects.
func (w *weighing) neutralFinding() {
	if len(w.neutral) == 0 {
		return
	}
	for _, i := range w.neutral {
		r := &w.rows[i]
		w.Suspects = append(w.Suspects, Suspect{
			TokenID: i, Token: w.token(i), Rank: len(w.Suspects) + 1, Status: StatusNeutral,
			Notes: []string{"overwritten with a row that means nothing"},
			Weights: WeightStats{
				Movement: math.Sqrt(r.DD), Relative: math.Sqrt(r.DD / r.AA), Rotation: math.Acos(r.cosine()) * 180 / math.Pi,
				NormChange: math.Sqrt(r.BB/r.AA) - 1, Seen: true,
			},
		})
	}
	w.Findings = append(w.Findings, Finding{
		Rule: RuleReplaced, Severity: SeverityInfo, TokenIDs: slices.Clone(w.neutral),
		Message: fmt.Sprintf("%s %s overwritten with one that means nothing to the model, as sanitizing leaves it", count(len(w.neutral), "row"), plural(len(w.neutral), "is", "are")),
	})
}
