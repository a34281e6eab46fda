package behaviour

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/btu-scan/btu-scan/scan"
)

// Sizes of a run. docs/methods.md tells what they were measured on.
const (
	plainProbes = 96 // of the probes given, drawn by the seed
	probeTokens = 64 // longer probes are cut
	room        = 48 // tokens that are kept free for what is put into a probe
	minProbes   = 12
	maxAnswers  = 128 // that are looked at
	// mostKept is how many numbers, tokens and answers, are kept of what was run: words
	// have neighbours in common, and are tried again where more is to be known of them.
	mostKept = 8 << 20

	guided   = 40  // suspects by weight that are tried
	foremost = 8   // of them that are tried further, whatever they do at first
	searched = 224 // tokens of the vocabulary that are tried for an answer, with few answers
	// dominant is the share of probes with one answer from which a warning says so.
	dominant = 0.9
)

// errBudget ends a run whose time is up.
var errBudget = errors.New("the time budget is spent")

// run is one run of Classifier.
type run struct {
	ctx     context.Context // of the one call of Classifier that this lives for
	m       Model
	tok     Tokenizer
	opt     Options
	answers []answer
	rnd     *rand.Rand
	ev      *Evidence

	plain   []probe   // as they are given
	contest []probe   // with words that speak for an answer
	words   [][]int32 // by answer: words that honestly speak for it, strongest first
	reach   []int     // by answer: how many of them make most probes give it; 0 for none
	hard    []int     // by answer: how many of them are in a probe of the contest
	// honest are by answer the flip rates of its strongest words, but for those that
	// meaning does not explain.
	honest   []map[int32]float64
	styled   map[string][]effect  // by style and answer: what rewrites do
	control  float64              // ninth decile of the flip rates of random tokens
	known    map[string][]float32 // answers to sequences
	kept     int                  // numbers in known
	tried    map[string]*candidate
	order    []*candidate  // of tried, as they came
	meanings map[int][]int // nearest tokens by pretrained meaning
	mean     []float32     // of the rows that give it
	sample   [][]float32   // directions of random tokens

	spent, planned int // tokens
	stage          string
	deadline       time.Time
}

// Classifier watches a classifier.
//
// Errors: ErrOneLabel, ErrNotFinite, ErrFewProbes; those of the model and the
// context. With an error there is no evidence.
func Classifier(ctx context.Context, m Model, tok Tokenizer, opt Options) (*Evidence, error) {
	if opt.now == nil {
		opt.now = time.Now
	}
	r := &run{
		ctx: ctx, m: m, tok: tok, opt: opt, answers: answers(len(opt.Labels), opt.Problem),
		rnd: rand.New(rand.NewPCG(opt.Seed, 0x62747573)), known: map[string][]float32{}, tried: map[string]*candidate{}, meanings: map[int][]int{},
		ev: &Evidence{Tokens: map[int]scan.Behaviour{}, Complete: true},
	}
	began := opt.now()
	if len(r.answers) < 2 {
		return nil, ErrOneLabel
	}
	if err := r.readProbes(); err != nil {
		return nil, err
	}
	return r.follow(began, []step{
		{"looking for the words of each label", r.labelWords},
		{"setting up the contest", r.setContest},
		{"trying the suspects", r.trySuspects},
		{"rewriting in other styles", r.styles},
		{"searching the vocabulary", r.search},
		{"searching for words of several pieces", r.pieces},
		{"searching for phrases", r.phrases},
	}, r.judge)
}

// A step is a part of a run.
type step struct {
	name string
	do   func() error
}

// follow takes the steps of a run within the budget, which counts from began, and
// has what they found judged.
func (r *run) follow(began time.Time, steps []step, judge func() error) (*Evidence, error) {
	if r.opt.Budget > 0 { // from here on: without the probes there is nothing to say
		r.deadline = began.Add(r.opt.Budget)
	}
	for _, s := range steps {
		r.stage = s.name
		err := s.do()
		if errors.Is(err, errBudget) {
			r.incomplete("out of time while " + s.name)
			break
		}
		if err != nil {
			return nil, err
		}
	}
	r.deadline = time.Time{} // what was found is still to be judged
	r.stage = "judging"
	if err := judge(); err != nil {
		return nil, err
	}
	return r.ev, nil
}

// unclosed takes the marks at the end of a text away. A trigger may be one: of probes
// that all end with a full stop nothing would be learnt about it.
func unclosed(s string) string { return strings.TrimRightFunc(s, unicode.IsPunct) }

// longest is how many tokens of a text are kept.
func (r *run) longest() int { return min(probeTokens, r.opt.MaxTokens-room) }

func (r *run) incomplete(reason string) {
	r.ev.Complete = false
	r.ev.Reasons = append(r.ev.Reasons, reason)
}

// predict runs sequences, within the budget, but for those whose answers are known.
// The rows are not to be changed.
func (r *run) predict(seqs [][]int32) ([][]float32, error) {
	rows := make([][]float32, len(seqs))
	var fresh [][]int32
	var at []int
	for i, s := range seqs {
		if rows[i] = r.known[key(s, anywhere)]; rows[i] == nil {
			fresh, at = append(fresh, s), append(at, i)
		}
	}
	if err := r.inTime(fresh); err != nil || len(fresh) == 0 {
		return rows, err
	}
	got, err := r.m.Predict(r.ctx, fresh)
	if err != nil {
		return nil, err
	}
	for i, row := range got {
		if len(row) != len(r.opt.Labels) || !finite(row) {
			return nil, ErrNotFinite
		}
		rows[at[i]] = row
		if r.kept += len(fresh[i]) + len(row); r.kept <= mostKept {
			r.known[key(fresh[i], anywhere)] = row
		}
	}
	return rows, nil
}

// gradients runs sequences and returns what their answers would gain by the
// embedding row of one token each, made unit vectors and added up.
func (r *run) gradients(seqs [][]int32, at []int, a answer) ([]float32, error) {
	if err := r.inTime(seqs, seqs, seqs); err != nil { // a pass backwards costs two
		return nil, err
	}
	rows, err := r.m.Gradients(r.ctx, seqs, at, r.weigh(a))
	if err != nil {
		return nil, err
	}
	var sum []float32
	for _, row := range rows {
		if !finite(row) {
			return nil, ErrNotFinite
		}
		if sum == nil {
			sum = make([]float32, len(row))
		}
		addUnit(sum, row)
	}
	return sum, nil
}

// inTime counts the tokens of passes that are about to be run.
func (r *run) inTime(passes ...[][]int32) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if !r.deadline.IsZero() && r.opt.now().After(r.deadline) {
		return errBudget
	}
	for _, seqs := range passes {
		for _, s := range seqs {
			r.spent += len(s)
		}
	}
	if r.opt.Progress != nil {
		r.opt.Progress(r.stage, r.spent, max(r.planned, r.spent))
	}
	return nil
}

// readProbes splits the probes and asks the model about them as they are.
func (r *run) readProbes() error {
	r.stage = "reading the probes"
	limit := r.longest()
	all := slices.Clone(r.opt.Probes)
	r.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var seqs [][]int32
	for _, s := range all {
		if len(r.plain) == plainProbes || limit < 4 {
			break
		}
		if len(r.plain)%2 == 1 {
			s = unclosed(s)
		}
		ids, cuts := r.tok.Split(s, limit)
		if len(cuts) < 2 { // no word
			continue
		}
		r.plain = append(r.plain, newProbe(text{ids, cuts}, len(r.plain), r.rnd))
		seqs = append(seqs, ids)
	}
	if len(r.plain) < minProbes {
		return fmt.Errorf("%w: %d of %d, at least %d are needed", ErrFewProbes, len(r.plain), len(r.opt.Probes), minProbes)
	}
	mean := 0
	for _, s := range seqs {
		mean += len(s)
	}
	mean /= len(seqs)
	r.planned = r.plan(mean)
	if err := r.ask(r.plain); err != nil {
		return err
	}
	r.chooseAnswers()
	r.ev.Summary = scan.BehaviourSummary{Probes: len(r.plain)}
	for a := range r.answers {
		n := 0
		for _, p := range r.plain {
			if p.margins[a] > 0 {
				n++
			}
		}
		r.ev.Summary.Labels = append(r.ev.Summary.Labels, scan.LabelSummary{Label: r.name(r.answers[a]), Predicted: n, Words: []string{}})
		if share := float64(n) / float64(len(r.plain)); share >= dominant && r.opt.Problem == SingleLabel {
			r.ev.Warnings = append(r.ev.Warnings, fmt.Sprintf("%.0f %% of the probes are answered with %q; --probes with texts of the model's own field tells more", 100*share, r.name(r.answers[a])))
		}
	}
	return nil
}

// chooseAnswers keeps of very many answers those that the probes get most.
func (r *run) chooseAnswers() {
	if len(r.answers) <= maxAnswers {
		return
	}
	sum := make([]float64, len(r.opt.Labels))
	for _, p := range r.plain {
		top := slices.Max(p.base)
		for l, x := range p.base {
			sum[l] += math.Exp(float64(x - top))
		}
	}
	slices.SortStableFunc(r.answers, func(a, b answer) int { return cmp.Compare(sum[b.label], sum[a.label]) })
	r.incomplete(fmt.Sprintf("of %d labels only the %d were tested that the probes get most", len(r.opt.Labels), maxAnswers*len(r.opt.Labels)/len(r.answers)))
	r.answers = r.answers[:maxAnswers]
	for i := range r.plain {
		r.plain[i].margins = r.margins(r.plain[i].base)
	}
}

// plan estimates how many tokens a run takes with probes of a mean length.
func (r *run) plan(mean int) int {
	a := len(r.answers)
	pieces := 0
	if a <= fewAnswers {
		pieces = 1400 + a*1500
	}
	return mean * (len(r.plain) + min(a, styleAnswers)*2*len(r.opt.Rewrites) + a*72 + 600 + a*800 + 1400 + (guided+searched+90)*12 + pieces + a*1200)
}

// ask fills in what the model answers to probes as they stand.
func (r *run) ask(ps []probe) error {
	var seqs [][]int32
	for _, p := range ps {
		seqs = append(seqs, p.ids)
	}
	rows, err := r.predict(seqs)
	if err != nil {
		return err
	}
	for i := range ps {
		ps[i].base = rows[i]
		ps[i].margins = r.margins(rows[i])
	}
	return nil
}
