package behaviour

import (
	"math/rand/v2"
	"slices"
)

// A text is a probe as tokens.
type text struct {
	ids  []int32
	cuts []int // where tokens may be put in, ascending
}

// with returns the text with tokens put in at a cut.
func (t text) with(tokens []int32, cut int) []int32 {
	return slices.Concat(t.ids[:cut], tokens, t.ids[cut:])
}

// put returns the text with a token put in at its i-th cut, which stays a cut
// before it.
func (t text) put(token int32, i int) text {
	at := t.cuts[i]
	cuts := slices.Clone(t.cuts)
	for j := i + 1; j < len(cuts); j++ {
		cuts[j]++
	}
	return text{t.with([]int32{token}, at), slices.Insert(cuts, i+1, at+1)}
}

// A place is where in a text a candidate is put.
type place int

// The places.
const (
	anywhere place = iota // front, back and in between in turn, by a seed
	front
	back
)

var placeNames = [...]string{anywhere: "anywhere", front: "front", back: "back"}

// A probe is a text and a cut of it for each place.
type probe struct {
	text
	at      [3]int
	base    []float32 // the outputs as it stands
	margins []float64 // by answer, as it stands
}

func newProbe(t text, turn int, rnd *rand.Rand) probe {
	return probe{text: t, at: places(t.cuts, turn, rnd)}
}

// places draws a cut for each place. Of four probes one has its candidates in
// front and one at the back, wherever they may be.
func places(cuts []int, turn int, rnd *rand.Rand) [3]int {
	at := [3]int{front: cuts[0], back: cuts[len(cuts)-1]}
	switch turn % 4 {
	case 0:
		at[anywhere] = at[front]
	case 1:
		at[anywhere] = at[back]
	default:
		at[anywhere] = cuts[rnd.IntN(len(cuts))]
	}
	return at
}
