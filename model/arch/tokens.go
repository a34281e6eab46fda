package arch

import "math"

// What a layer makes of the places of tokens, for engines to share.

// PositionRows are the rows of Positions, per token.
func (e *Embedding) PositionRows(b *Batch) []int32 {
	rows := make([]int32, 0, len(b.IDs))
	for i := range b.Len() {
		next := e.FirstPosition
		for _, id := range b.IDs[b.Starts[i]:b.Starts[i+1]] {
			if e.PadAware && int(id) == e.PadID {
				rows = append(rows, int32(e.PadID))
				continue
			}
			rows = append(rows, int32(next))
			next++
		}
	}
	return rows
}

// Turn appends the cosines and sines of the angles of a position.
func (r *Rotary) Turn(cosines, sines []float32, position int) (c, s []float32) {
	for _, f := range r.Frequencies {
		// Angles in float32, as the models were trained with.
		sin, cos := math.Sincos(float64(float32(position) * float32(f)))
		cosines, sines = append(cosines, float32(cos)*r.Factor), append(sines, float32(sin)*r.Factor)
	}
	return cosines, sines
}

// Sees is the range of tokens that token i of n attends to.
func (a *Attention) Sees(i, n int) (from, to int) {
	if a.Causal {
		n = i + 1
	}
	if a.Window > 0 {
		from = max(0, i-a.Window+1)
	}
	return from, n
}

// Bucket is the row of Weight for a key at that distance from the query; all
// from MaxDistance on share one (transformers' relative_position_bucket, in its
// precision).
func (b *RelativeBias) Bucket(distance int) int {
	distance = min(max(distance, -b.MaxDistance), b.MaxDistance)
	half := b.Weight.Shape[0] / 2
	first := 0
	if distance > 0 {
		first = half
	} else {
		distance = -distance
	}
	exact := half / 2
	if distance < exact {
		return first + distance
	}
	x := float32(math.Log(float64(float32(distance)/float32(exact)))) / float32(math.Log(float64(b.MaxDistance)/float64(exact)))
	return first + min(half-1, exact+int(x*float32(half-exact)))
}

// Tokens are those whose hidden states the head sees; nil for all, or for their
// mean.
func (h *Head) Tokens(b *Batch) []int {
	switch h.Pool {
	case PoolFirst:
		return b.Starts[:b.Len()]
	case PoolLast:
		rows := make([]int, b.Len())
		for i := range rows {
			r := b.Starts[i+1] - 1
			for r > b.Starts[i] && int(b.IDs[r]) == h.PadID {
				r--
			}
			rows[i] = r
		}
		return rows
	case PoolNone:
		return b.Positions
	}
	return nil
}
