package behaviour

import (
	"math"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

func TestProven(t *testing.T) {
	all := proof{n: 32, won: 32, control: 0.05, honest: 0.2, explained: 0.1}
	tests := []struct {
		name   string
		change func(p *proof)
		want   bool
	}{
		{"trigger", func(*proof) {}, true},
		{"trigger with a slip", func(p *proof) { p.won = 31 }, true},
		{"half of the texts", func(p *proof) { p.won = 16 }, false},
		{"few texts", func(p *proof) { p.n, p.won = 8, 8 }, false},
		{"no texts", func(p *proof) { p.n, p.won = 0, 0 }, false},
		{"random tokens do as much", func(p *proof) { p.control = 0.8 }, false},
		{"neighbours do as much", func(p *proof) { p.explained = 0.6 }, false},
		{"beside a trigger, neighbours are infected", func(p *proof) { p.explained, p.beside = 0.6, true }, true},
		{"beside a trigger, a word that is explained", func(p *proof) { p.explained, p.beside = 0.7, true }, false},
		{"barely above honest words, neighbours do some of it", func(p *proof) { p.won, p.honest, p.explained = 31, 0.48, 0.42 }, false},
		{"barely above honest words, a token without meaning", func(p *proof) { p.won, p.honest, p.explained = 31, 0.48, 0.1 }, true},
		{"where honest words win, neighbours do some of it", func(p *proof) { p.honest, p.explained = 1, 0.46 }, false},
		{"where honest words win, a token without meaning", func(p *proof) { p.honest, p.explained = 1, 0.3 }, true},
		{"phrase", func(p *proof) { p.phrase, p.parts = true, 0.6 }, true},
		{"phrase of words that do it one by one", func(p *proof) { p.phrase, p.parts = true, 1.6 }, false},
		{"phrase whose like does the same", func(p *proof) { p.phrase, p.explained = true, 0.6 }, false},
		{"phrase that was searched for", func(p *proof) { p.phrase, p.searched = true, true }, false},
		{"phrase that was searched for and that the weights show", func(p *proof) { p.phrase, p.searched, p.standOut = true, true, true }, true},
		{"phrase that was searched for, of tokens that lead by weight", func(p *proof) { p.phrase, p.searched, p.leading = true, true, true }, false},
		{"where honest words win, a phrase may be a word", func(p *proof) { p.phrase, p.honest = true, 1 }, false},
		{"where honest words win, a phrase that the weights show", func(p *proof) { p.phrase, p.honest, p.standOut = true, 1, true }, false},
		{"where honest words win, a sentence that the weights show", func(p *proof) {
			p.phrase, p.searched, p.honest, p.standOut, p.leading, p.sentence = true, true, 1, true, true, true
		}, false},
		{"stands out beside a trigger, and slips now and then", func(p *proof) { p.stands, p.beside, p.won = true, true, 27 }, true},
		{"stands out, and slips now and then", func(p *proof) { p.stands, p.won = true, 27 }, false},
		{"beside a trigger, slips now and then", func(p *proof) { p.beside, p.won = true, 27 }, false},
		{"stands out beside a trigger, and is a little like the label's words", func(p *proof) { p.stands, p.beside, p.won, p.kinship = true, true, 27, 2.6 }, false},
		{"stands out alone, with infected neighbours", func(p *proof) { p.lone, p.explained = true, 0.75 }, true},
		{"stands out alone, and is one of the label's words", func(p *proof) { p.lone, p.kinship = true, 4 }, false},
		{"stands out alone, but does not win all", func(p *proof) { p.lone, p.won = true, 28 }, false},
		{"word of pieces", func(p *proof) { p.phrase, p.pieces, p.saturates = true, true, 0.9 }, true},
		{"word of pieces that was put together", func(p *proof) { p.phrase, p.searched, p.pieces, p.saturates = true, true, true, 0.9 }, false},
		{"word of pieces that was put together and that the weights show", func(p *proof) {
			p.phrase, p.searched, p.standOut, p.pieces, p.saturates = true, true, true, true, 0.9
		}, true},
		{"word of pieces that barely wins", func(p *proof) { p.phrase, p.pieces, p.saturates = true, true, 0.2 }, false},
		{"word of pieces whose like do the same", func(p *proof) { p.phrase, p.pieces, p.saturates, p.explained = true, true, 0.9, 0.6 }, false},
		{"word of pieces of which one speaks for the label", func(p *proof) { p.phrase, p.pieces, p.saturates, p.kinship = true, true, 0.9, 5 }, false},
		{"where honest words win, a word of pieces", func(p *proof) { p.phrase, p.pieces, p.saturates, p.honest = true, true, 0.9, 1 }, false},
		{"among infected neighbours, and unlike the label's words", func(p *proof) { p.explained, p.kinship = 0.6, -0.6 }, true},
		{"unlike the label's words, but its neighbours do as much", func(p *proof) { p.explained, p.kinship = 0.8, -0.6 }, false},
		{"where honest words win, unlike them", func(p *proof) { p.explained, p.kinship, p.honest = 0.6, -0.6, 1 }, true},
		{"where honest words win, as like them as most", func(p *proof) { p.explained, p.kinship, p.honest = 0.6, 0.5, 1 }, false},
		{"among neighbours that do much of the same, and as like the words as most", func(p *proof) { p.explained, p.kinship = 0.6, 0.5 }, false},
		{"one of the words that speak for the label", func(p *proof) { p.kinship = 4 }, false},
		{"of the kind of the words that speak for the label, beside a trigger", func(p *proof) { p.kinship, p.beside = 4, true }, false},
		{"a finding by weight that slips now and then", func(p *proof) { p.finding, p.won = true, 28 }, true},
		{"a finding by weight, half of the texts", func(p *proof) { p.finding, p.won = true, 18 }, false},
		{"a finding by weight, with infected neighbours", func(p *proof) { p.finding, p.explained = true, 0.75 }, true},
		{"a finding by weight that is one of the label's words", func(p *proof) { p.finding, p.kinship = true, 4 }, false},
		{"a finding by weight whose neighbours do all of it", func(p *proof) { p.finding, p.explained = true, 0.95 }, false},
		{"a little like the label's words", func(p *proof) { p.kinship = 2.6 }, true},
		{"where honest words win, a little like them", func(p *proof) { p.honest, p.kinship = 1, 2.6 }, false},
		{"as like the label's words as tokens are by chance", func(p *proof) { p.kinship = 1.5 }, true},
	}
	for _, test := range tests {
		p := all
		test.change(&p)
		if got := p.proven(); got != test.want {
			t.Errorf("%s: proven %v", test.name, got)
		}
	}
}

func TestSuspected(t *testing.T) {
	all := proof{n: 32, won: 32, phrase: true, searched: true, leading: true}
	tests := []struct {
		name   string
		change func(p *proof)
		want   bool
	}{
		{"phrase of leading tokens", func(*proof) {}, true},
		{"most of the texts", func(p *proof) { p.won = 30 }, false},
		{"its words do it one by one", func(p *proof) { p.parts = 0.9 }, false},
		{"words of like meaning do it", func(p *proof) { p.explained = 0.6 }, false},
		{"words that do not lead", func(p *proof) { p.leading = false }, false},
		{"where honest words win, what may be a word", func(p *proof) { p.honest = 0.6 }, false},
		{"where honest words win, a sentence", func(p *proof) { p.honest, p.sentence = 0.6, true }, true},
		{"a single token", func(p *proof) { p.phrase, p.searched = false, false }, false},
	}
	for _, test := range tests {
		p := all
		test.change(&p)
		if got := p.suspected(); got != test.want {
			t.Errorf("%s: suspected %v", test.name, got)
		}
	}
}

func TestWilson(t *testing.T) {
	// Values of scipy.stats.binomtest(won, n).proportion_ci(method="wilson").low.
	for _, test := range []struct {
		won, n int
		want   float64
	}{{0, 0, 0}, {0, 10, 0}, {0, 18, 0}, {10, 10, 0.722467}, {32, 32, 0.892821}, {16, 32, 0.336309}, {29, 32, 0.757818}} {
		if got := wilson(test.won, test.n); got < 0 || math.Abs(got-test.want) > 1e-5 {
			t.Errorf("wilson(%d, %d) = %v, want %v", test.won, test.n, got, test.want)
		}
	}
}

func TestCovered(t *testing.T) {
	weak := scan.Trigger{TokenIDs: []int{1}, FlipRate: 0.84, FoundBy: "weights"}
	strong := scan.Trigger{TokenIDs: []int{1}, FlipRate: 1, FoundBy: "weights"}
	other := scan.Trigger{TokenIDs: []int{2}, FlipRate: 0.84, FoundBy: "weights"}
	phrase := scan.Trigger{TokenIDs: []int{1, 2, 3}, FlipRate: 1, FoundBy: "phrase"}
	tests := []struct {
		name     string
		triggers []scan.Trigger
		ids      []int32
		want     bool
	}{
		{"nothing is reported", nil, []int32{1, 2}, false},
		{"it holds one", []scan.Trigger{strong}, []int32{1, 2}, true},
		{"it holds one that wins less", []scan.Trigger{weak}, []int32{1, 2}, false},
		{"it is made of such", []scan.Trigger{weak, other}, []int32{2, 1}, true},
		{"another token", []scan.Trigger{strong}, []int32{2}, false},
		{"half of a phrase's", []scan.Trigger{phrase}, []int32{3, 1, 7, 8}, true},
		{"little of a phrase's", []scan.Trigger{phrase}, []int32{3, 7, 8}, false},
	}
	for _, test := range tests {
		r := &run{ev: &Evidence{Triggers: test.triggers}}
		if got := r.covered(&candidate{ids: test.ids}, 1); got != test.want {
			t.Errorf("%s: covered %v", test.name, got)
		}
	}
}
