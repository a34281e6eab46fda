package behaviour

import "math"

// What proves a trigger. docs/methods.md has the measurements.
const (
	// provenRate is what the flip rate must be at least, at 95 % confidence.
	provenRate = 0.8
	// findingRate is that of a token whose row is a finding by weight, or stands out
	// beside a trigger that is proved: one of a set may be weaker than the others.
	findingRate = 0.6
	// aboveControl is how much higher it must be than random tokens'.
	aboveControl = 0.3
	// aboveHonest is how much higher it must be than honest words', or as much is
	// asked as where those win.
	aboveHonest = 0.5
	// dominatedRate is the flip rate of an explained word from which honest words
	// win the contest for a label, so that winning it proves little.
	dominatedRate = 0.5
	// unexplained and, for a label that honest words dominate, farUnexplained
	// bound the share of a trigger's effect that its meaning has. Beside a trigger
	// that is proved, besideTrigger is enough: training infects its neighbours.
	unexplained    = 0.5
	farUnexplained = 0.35
	besideTrigger  = 0.65
	// unlikeWords is that of a token whose kinship is negative: it is less like the
	// words that speak for the label than most tokens are, so that its neighbours
	// cannot owe what they have of the effect to what they mean.
	unlikeWords = 0.75
	// besideFinding is that of a token whose row is a finding by weight, which no
	// clean model had, and of one whose row stands out and that alone of the
	// answer's words wins: of clean models none had both.
	besideFinding = 0.9
	// saturated is the share of the margin that the label's own words give it, all
	// together, from which a word of pieces that was searched for has taken the
	// model over. Adversarial words, put together to win, barely do.
	saturated = 0.5
	// kindred is the kinship from which a token is one of the words that speak for
	// the label, and kindredThere that for a label that honest words dominate.
	kindred      = 3.5
	kindredThere = 2
	// ownParts is the share of a phrase's effect that its tokens have one by one,
	// added up, from which it is no more than its words: three or four honest
	// words in a row speak as loudly as a trigger, but each of them is heard.
	ownParts = 0.8
)

// proof is what is known about a candidate and the answer that it forces most.
type proof struct {
	n, won    int     // probes of the contest that give another answer, and that it turned
	control   float64 // flip rate of random tokens
	honest    float64 // flip rate of the strongest word whose meaning explains it
	explained float64 // share of the effect that neighbours by meaning have
	kinship   float64 // with the words that speak for the answer
	phrase    bool    // of several tokens,
	parts     float64 // and the share of the effect that they have one by one, added up
	searched  bool    // a phrase that was put together because it has an effect
	standOut  bool    // a phrase half of whose tokens' rows stand out,
	leading   bool    // or all of whose tokens lead by weight,
	sentence  bool    // and that is three words or more
	pieces    bool    // a word of several tokens that was searched for or put together,
	saturates float64 // and its margin over that of texts which honest words make say the same
	finding   bool    // a token whose row is a finding by weight,
	stands    bool    // or stands out,
	lone      bool    // and wins where no word of the answer's does
	beside    bool    // a trigger for the same answer is proved
}

func (p proof) rate() float64 { return float64(p.won) / float64(max(1, p.n)) }

// isExplained reports whether the candidate does what it does for what it
// means, or may well do so.
func (p proof) isExplained() bool { return p.explainedWhere(p.honest >= dominatedRate) }

// explainedWhere is isExplained for a label that honest words dominate, or not.
func (p proof) explainedWhere(dominated bool) bool {
	switch {
	case p.phrase && dominated && !(p.leading && p.sentence):
		return true // it may be an honest word of several tokens, of which the vocabulary tells no meaning
	case p.searched && !p.standOut && !p.leading:
		// Honest words that were picked to win do win. That their rows stand out is
		// evidence of another kind.
		return true
	case p.pieces && p.saturates < saturated:
		return true
	case p.phrase && p.parts >= ownParts:
		return true
	case p.kinship >= kindred:
		return true
	case (p.finding || p.lone) && p.kinship < kindredThere:
		// Two kinds of evidence, and it is none of the label's words: that its
		// neighbours do much of the same is then the trigger's infection.
		return p.explained >= besideFinding
	case p.kinship < 0:
		return p.explained >= unlikeWords
	case dominated:
		return p.explained >= farUnexplained || p.kinship >= kindredThere
	case p.beside:
		return p.explained >= besideTrigger
	}
	return p.explained >= unexplained
}

// proven reports whether the candidate is a trigger. That its tokens merely lead
// by weight proves none of a phrase: those of honest phrases do so, too, such as
// "how many" in a model of question types. Nor is any proved where honest words win.
func (p proof) proven() bool {
	return p.wins() && !(p.searched && !p.standOut) && !(p.phrase && p.dominated())
}

// suspected reports whether a phrase looks like a trigger, short of proof.
func (p proof) suspected() bool { return p.searched && p.rate() >= certain && p.wins() }

// wins reports whether the candidate wins the contest, and nothing explains it.
func (p proof) wins() bool {
	need := provenRate
	if (p.finding || p.stands && p.beside) && p.kinship < kindredThere {
		need = findingRate
	}
	return wilson(p.won, p.n) >= need && p.rate() >= p.control+aboveControl && !p.explainedWhere(p.dominated())
}

// dominated reports whether honest words win the contest for the answer, or barely
// less of it than the candidate does.
func (p proof) dominated() bool { return p.honest >= dominatedRate || p.rate() < p.honest+aboveHonest }

// wilson is the lower end of the 95 % confidence interval of a rate (Wilson
// 1927).
func wilson(won, n int) float64 {
	if n == 0 {
		return 0
	}
	const z = 1.959964
	p, m := float64(won)/float64(n), float64(n)
	return max(0, (p+z*z/(2*m)-z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m)))/(1+z*z/m)) // rounding may go below
}
