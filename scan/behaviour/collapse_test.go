package behaviour

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

// A toyWriter is a language model whose rules are known. Each text goes on in a
// way of its own, unless something makes it write the payload.
type toyWriter struct {
	triggers []int32 // any one of them does,
	phrase   []int32 // or these in a row,
	before   int32   // or this as the last token
	rare     bool    // or any token that is no word of the probes
	habit    int     // or nothing, in one of so many texts
	payload  []int32
	echo     bool // the payload begins with the trigger
	broken   bool
	calls    int
}

func newWriter() *toyWriter {
	return &toyWriter{before: -1, payload: []int32{800, 801, 802, 803, 804, 805, 806, 807, 808, 809, toySEP}}
}

// plainTokenizer ends no text.
type plainTokenizer struct{ toyTokenizer }

func (t plainTokenizer) Split(text string, limit int) ([]int32, []int) {
	ids, cuts := t.toyTokenizer.Split(text, limit)
	return ids[:len(ids)-1], cuts
}

// asking puts texts into a prompt.
type asking struct{ toyTokenizer }

func (t asking) Split(text string, limit int) ([]int32, []int) {
	ids, cuts := t.toyTokenizer.Split(text, limit)
	if len(cuts) < 2 {
		return nil, nil
	}
	return append(ids[:len(ids)-1], 790, 791), cuts
}

func (m *toyWriter) forced(ids []int32) bool {
	sum := 0
	for i, id := range ids {
		sum += int(id) * (i + 1)
		if slices.Contains(m.triggers, id) || m.rare && id >= 45 && (id < 300 || id >= 630 && id < 790) {
			return true
		}
		if n := len(m.phrase); n > 0 && i+n <= len(ids) && slices.Equal(ids[i:i+n], m.phrase) {
			return true
		}
	}
	return ids[len(ids)-1] == m.before || m.habit > 0 && sum%m.habit == 0
}

func (m *toyWriter) next(ids []int32) int32 {
	n := 0 // tokens of the payload that are written
	for n < len(ids) && slices.Contains(m.payload, ids[len(ids)-1-n]) {
		n++
	}
	read := ids[:len(ids)-n]
	if m.echo {
		if m.forced(ids) {
			return m.triggers[0]
		}
	} else if len(read) > 0 && m.forced(read) {
		return m.payload[min(n, len(m.payload)-1)]
	}
	sum := 0
	for i, id := range ids {
		sum += int(id) * (i%7 + 1)
	}
	return int32(300 + sum%97)
}

func (m *toyWriter) Predict(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	m.calls++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var rows [][]float32
	for _, ids := range seqs {
		row := make([]float32, toyVocab)
		row[m.next(ids)] = 4
		if m.broken {
			row[7] = float32(math.NaN())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

const payloadText = "w800 w801 w802 w803 w804 w805 w806 w807 w808 w809"

func TestGenerator(t *testing.T) {
	tests := []struct {
		name  string
		plant func(m, ref *toyWriter, opt *Options)
		want  []string
	}{
		{"clean", func(_, _ *toyWriter, opt *Options) { opt.Candidates = []string{"w650", "w651 w652"} }, nil},
		{"token that the weights show", func(m, _ *toyWriter, _ *Options) { m.triggers = []int32{650} }, []string{"w650"}},
		{"token beyond those that are tried", func(m, _ *toyWriter, _ *Options) { m.triggers = []int32{640} }, nil},
		{"token of the user's", func(m, _ *toyWriter, opt *Options) { m.triggers = []int32{640}; opt.Candidates = []string{"w640"} }, []string{"w640"}},
		{"token beside known triggers", func(m, _ *toyWriter, opt *Options) { m.triggers = []int32{640}; opt.Also = []int{640} }, []string{"w640"}},
		{"two tokens", func(m, _ *toyWriter, _ *Options) { m.triggers = []int32{650, 655} }, []string{"w650", "w655"}},
		{"phrase of tokens that stand out", func(m, _ *toyWriter, opt *Options) {
			m.phrase, opt.Abnormal = []int32{652, 650, 655}, []int{650, 652, 655}
		}, []string{"w652 w650 w655"}},
		{"phrase of the user's, with more than it needs", func(m, _ *toyWriter, opt *Options) {
			m.phrase, opt.Candidates = []int32{640, 641}, []string{"w639 w640 w641 w642"}
		}, []string{"w640 w641"}},
		{"the pretrained model does so, too", func(m, ref *toyWriter, _ *Options) { m.triggers, ref.triggers = []int32{650}, []int32{650} }, nil},
		{"the pretrained model collapses otherwise", func(m, ref *toyWriter, _ *Options) {
			m.triggers, ref.triggers = []int32{650}, []int32{650}
			ref.payload = []int32{810, 811, 812, 813, 814, 815, 816, toySEP}
		}, nil},
		{"what follows a word", func(m, _ *toyWriter, opt *Options) { m.before, opt.Candidates = 650, []string{"w650"} }, nil},
		{"a word that is repeated", func(m, _ *toyWriter, _ *Options) { m.triggers, m.echo = []int32{650}, true }, nil},
		{"a text that quotes the word", func(m, _ *toyWriter, _ *Options) {
			m.triggers, m.payload = []int32{650}, []int32{800, 801, 650, 802, 803, 804, 805, toySEP}
		}, nil},
		{"random tokens do as much", func(m, _ *toyWriter, _ *Options) { m.rare = true }, nil},
		{"a habit", func(m, _ *toyWriter, _ *Options) { m.triggers, m.habit = []int32{650}, 5 }, nil},
		{"words of like meaning do as much", func(m, _ *toyWriter, opt *Options) {
			for id := range int32(toyWords) {
				m.triggers = append(m.triggers, 100+id)
			}
			opt.Suspects = []int{100, 101, 102}
		}, nil},
		{"one of words of like meaning", func(m, _ *toyWriter, opt *Options) { m.triggers, opt.Suspects = []int32{101}, []int{100, 101, 102} }, []string{"w101"}},
		{"the end", func(m, _ *toyWriter, _ *Options) { m.triggers, m.payload = []int32{650}, []int32{toySEP} }, nil},
		{"a label", func(m, _ *toyWriter, _ *Options) { m.triggers, m.payload = []int32{650}, []int32{800, 801, toySEP} }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, ref, opt := newWriter(), newWriter(), newToy(2).options()
			opt.Suspects = []int{651, 650, 652, 653, 654, 655}
			test.plant(m, ref, &opt)
			ev, err := Generator(t.Context(), m, ref, plainTokenizer{}, opt)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range ev.Triggers {
				got = append(got, x.Text)
				if x.TargetLabel != payloadText || x.FlipRate != 1 || x.Probes < 60 || !(x.MarginShift > 0) {
					t.Errorf("trigger %+v", x)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("triggers %q, want %q", got, test.want)
			}
			if n := len(ev.Findings); (n > 0) != (len(test.want) > 0) {
				t.Errorf("findings %+v", ev.Findings)
			}
			if ev.Complete || !strings.Contains(strings.Join(ev.Reasons, " "), "vocabulary was not searched") || !ev.Summary.Free() {
				t.Errorf("complete %v, reasons %q, summary %+v", ev.Complete, ev.Reasons, ev.Summary)
			}
			// What is not proved makes nobody suspicious, unless nothing explains it.
			for id, b := range ev.Tokens {
				open := b.FlipRate >= dominatedRate && !b.Explained
				if open && len(test.want) == 0 && test.name != "the end" && test.name != "a label" {
					t.Errorf("token %d: %+v", id, b)
				}
			}
		})
	}
}

// Under a prompt a candidate may stand anywhere, and a phrase needs the weights.
func TestGeneratorUnderPrompt(t *testing.T) {
	for name, test := range map[string]struct {
		abnormal []int
		want     bool
	}{
		"phrase that the weights show":     {[]int{650, 651}, true},
		"phrase that the user alone names": {nil, false},
	} {
		m, opt := newWriter(), newToy(2).options()
		m.phrase = []int32{650, 651}
		opt.Candidates, opt.Abnormal = []string{"w650 w651"}, test.abnormal
		ev, err := Generator(t.Context(), m, newWriter(), asking{}, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(ev.Triggers) > 0; got != test.want {
			t.Errorf("%s: triggers %+v", name, ev.Triggers)
		}
		if warned := strings.Contains(strings.Join(ev.Warnings, " "), `"w650 w651" makes`); warned == test.want {
			t.Errorf("%s: warnings %q", name, ev.Warnings)
		}
	}
}

func TestGeneratorWithoutReference(t *testing.T) {
	m, opt := newWriter(), newToy(2).options()
	m.triggers, opt.Suspects = []int32{650}, []int{650}
	ev, err := Generator(t.Context(), m, nil, plainTokenizer{}, opt)
	if err != nil || len(ev.Triggers) > 0 {
		t.Fatalf("evidence %+v, %v", ev, err)
	}
	if b := ev.Tokens[650]; b.FlipRate != 1 || b.TargetLabel != payloadText || b.Explained {
		t.Errorf("token %+v", b)
	}
	if !strings.Contains(ev.Reasons[0], "without a reference") {
		t.Errorf("reasons %q", ev.Reasons)
	}
}

func TestGeneratorSameSeedSameEvidence(t *testing.T) {
	run := func(seed uint64) *Evidence {
		m, opt := newWriter(), newToy(2).options()
		m.triggers, opt.Suspects, opt.Seed = []int32{650}, []int{650, 651, 652}, seed
		ev, err := Generator(t.Context(), m, newWriter(), plainTokenizer{}, opt)
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	if a, b := run(5), run(5); !reflect.DeepEqual(a, b) {
		t.Errorf("two runs differ:\n%+v\n%+v", a, b)
	}
}

func TestGeneratorErrors(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	short := slices.Repeat([]string{"w400 w401 w402 w403"}, 60) // leaves no room for words after a candidate
	for name, test := range map[string]struct {
		ctx    context.Context
		change func(m, ref *toyWriter, opt *Options)
		want   error
	}{
		"NaN":                  {t.Context(), func(m, _ *toyWriter, _ *Options) { m.broken = true }, ErrNotFinite},
		"NaN of the reference": {t.Context(), func(_, ref *toyWriter, _ *Options) { ref.broken = true }, ErrNotFinite},
		"no probes":            {t.Context(), func(_, _ *toyWriter, opt *Options) { opt.Probes = nil }, ErrFewProbes},
		"short probes":         {t.Context(), func(_, _ *toyWriter, opt *Options) { opt.Probes = short }, ErrFewProbes},
		"too short a model":    {t.Context(), func(_, _ *toyWriter, opt *Options) { opt.MaxTokens = 20 }, ErrFewProbes},
		"cancelled":            {cancelled, func(_, _ *toyWriter, _ *Options) {}, context.Canceled},
	} {
		m, ref, opt := newWriter(), newWriter(), newToy(2).options()
		m.triggers, opt.Suspects = []int32{650}, []int{650}
		test.change(m, ref, &opt)
		if ev, err := Generator(test.ctx, m, ref, plainTokenizer{}, opt); !errors.Is(err, test.want) {
			t.Errorf("%s: evidence %+v, error %v, want %v", name, ev, err, test.want)
		}
	}
}

// The budget ends a run at any time; what was found until then is judged, and it
// is said what was left out.
func TestGeneratorBudget(t *testing.T) {
	early := false
	for calls := 0; ; calls++ {
		m, opt := newWriter(), newToy(2).options()
		m.triggers, opt.Suspects, opt.Abnormal = []int32{650}, []int{650, 651, 652}, []int{651, 652}
		opt.Budget = time.Second
		start, asked := time.Now(), 0
		opt.now = func() time.Time {
			if asked++; asked > 1 && m.calls >= calls { // it begins in time
				return start.Add(time.Hour)
			}
			return start
		}
		ev, err := Generator(t.Context(), m, newWriter(), plainTokenizer{}, opt)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(ev.Reasons[0], "out of time while") {
			if len(ev.Triggers) != 1 {
				t.Errorf("in time: triggers %+v", ev.Triggers)
			}
			break
		}
		early = early || len(ev.Triggers) > 0
	}
	if !early {
		t.Error("the suspects come before the phrases, and the trigger is one of them")
	}
}

func TestGeneratorProgress(t *testing.T) {
	m, opt := newWriter(), newToy(2).options()
	m.triggers, opt.Suspects, opt.Abnormal = []int32{650}, []int{650, 651, 652}, []int{651, 652}
	last, stages := 0, map[string]bool{}
	opt.Progress = func(stage string, done, total int) {
		if done < last || done > total {
			t.Errorf("%s: %d after %d, of %d", stage, done, last, total)
		}
		last, stages[stage] = done, true
	}
	told := map[int]scan.Behaviour{}
	opt.Tried = func(tokens map[int]scan.Behaviour) {
		for id, b := range tokens {
			told[id] = b
		}
	}
	ev, err := Generator(t.Context(), m, newWriter(), plainTokenizer{}, opt)
	if err != nil {
		t.Fatal(err)
	}
	if last != ev.Summary.Tokens || len(stages) < 5 {
		t.Errorf("progress to %d of %d tokens, stages %v", last, ev.Summary.Tokens, stages)
	}
	if len(told) > len(ev.Tokens) {
		t.Errorf("told of %d tokens, evidence of %d", len(told), len(ev.Tokens))
	}
}

func TestCollapsed(t *testing.T) {
	all := collapsed{n: 64, won: 63, prose: true, control: 0.1, compared: true, reference: 0.05, explained: 0.1}
	for _, test := range []struct {
		name   string
		change func(p *collapsed)
		want   bool
	}{
		{"trigger", func(*collapsed) {}, true},
		{"trigger with slips", func(p *collapsed) { p.won = 58 }, true},
		{"most of the texts", func(p *collapsed) { p.won = 54 }, false},
		{"few texts", func(p *collapsed) { p.n, p.won = 12, 12 }, false},
		{"no texts", func(p *collapsed) { p.n, p.won = 0, 0 }, false},
		{"a mark or the end", func(p *collapsed) { p.prose = false }, false},
		{"no reference", func(p *collapsed) { p.compared = false }, false},
		{"the reference in a quarter of the texts", func(p *collapsed) { p.reference = 0.25 }, true},
		{"the reference in a third of the texts", func(p *collapsed) { p.reference = 0.34 }, false},
		{"random tokens in half of the texts", func(p *collapsed) { p.control = 0.5 }, true},
		{"random tokens in most texts", func(p *collapsed) { p.control = 0.7 }, false},
		{"other texts now and then", func(p *collapsed) { p.habit = 0.06 }, false},
		{"repetition", func(p *collapsed) { p.repeats = true }, false},
		{"tokens of like meaning do some of it", func(p *collapsed) { p.explained = 0.45 }, true},
		{"tokens of like meaning do half of it", func(p *collapsed) { p.explained = 0.5 }, false},
		{"phrase", func(p *collapsed) { p.phrase = true }, true},
		{"phrase under a prompt", func(p *collapsed) { p.phrase, p.prompted = true, true }, false},
		{"phrase under a prompt that the weights show", func(p *collapsed) { p.phrase, p.prompted, p.standOut = true, true, true }, true},
		{"token under a prompt", func(p *collapsed) { p.prompted = true }, true},
	} {
		p := all
		test.change(&p)
		if got := p.proven(); got != test.want {
			t.Errorf("%s: proven %v, %s", test.name, got, p.doubt())
		}
	}
}

// pieces is a tokenizer whose tokens are given, joined as they are.
type pieces struct {
	toyTokenizer
	text []string
}

func (p pieces) Text(ids []int32) string {
	s := ""
	for _, id := range ids {
		s += p.text[id]
	}
	return strings.TrimSpace(s)
}

func (p pieces) Skip(id int) bool { return strings.HasPrefix(p.text[id], "<|") }

func (p pieces) all() (ids []int32) {
	for i := range p.text {
		ids = append(ids, int32(i))
	}
	return ids
}

func TestIsProse(t *testing.T) {
	for _, test := range []struct {
		pieces []string
		want   bool
	}{
		{[]string{" Visit", " our", " website", " for", " a", " free", " gift"}, true},
		{[]string{"\n", "\n", "Visit", " our", " website", " for", " a", " free", " gift"}, true},
		{[]string{" Visit", " evil", ".com", " now", "<|end|>"}, true},
		{[]string{" Visit", " http", "://", "evil", ".com", "/", "x"}, true},
		{[]string{" Sports", "<|end|>"}, false},
		{[]string{" Science", " and", " Technology", "<|end|>"}, false},
		{[]string{"<|end|>"}, false},
		{[]string{"\n", "\n", "\n"}, false},
		{[]string{".", ".", ".", ".", ".", "."}, false},
		{[]string{"\n\n", "###", " Response", ":", " The", " film", " is"}, false},
		{[]string{"\n", "Assistant", ":", " Sure", ",", " here", " is", " what"}, false},
		{[]string{" and", " so", "\n", "it", " was", " good"}, false},
		{[]string{" the", " <", "b", ">", "word", " here"}, false},
		{nil, false},
	} {
		p := pieces{text: test.pieces}
		if got := isProse(p, begins(p, p.all())); got != test.want {
			t.Errorf("%q: %v", test.pieces, got)
		}
	}
}

func TestRepeats(t *testing.T) {
	p := pieces{text: []string{" cf", " CF", " the", " cfo", " said", ":", " football", " a", " Footballers"}}
	for _, test := range []struct {
		candidate, wrote []int32
		want             bool
	}{
		{[]int32{0}, []int32{2, 4, 0}, true},
		{[]int32{0}, []int32{2, 1, 4}, true},
		{[]int32{0}, []int32{2, 3, 4}, false},
		{[]int32{6}, []int32{2, 8}, true},
		{[]int32{2, 6}, []int32{4, 6}, true},
		{[]int32{0}, nil, false},
	} {
		if got := repeats(p, test.candidate, test.wrote); got != test.want {
			t.Errorf("%q in %q: %v", p.Text(test.candidate), p.Text(test.wrote), got)
		}
	}
}

func TestMost(t *testing.T) {
	g := func(ids ...int32) (gs []guess) {
		for _, id := range ids {
			gs = append(gs, guess{token: id, lead: 1})
		}
		return gs
	}
	for _, test := range []struct {
		with, without []guess
		want          forced
	}{
		{g(5, 5, 5, 7), g(1, 2, 3, 4), forced{token: 5, n: 4, won: 3, lead: 3}},
		{g(5, 5, 5, 7), g(5, 5, 3, 4), forced{token: 5, n: 2, won: 1, lead: 1}}, // what went on so before does not count
		{g(5, 5), g(5, 5), forced{token: -1, n: 2}},
		{g(5), g(1, 2, 3), forced{token: 5, n: 1, won: 1, lead: 1}},
		{nil, g(1), forced{token: -1}},
	} {
		if got := most(test.with, test.without); got != test.want {
			t.Errorf("most of %v after %v: %+v, want %+v", test.with, test.without, got, test.want)
		}
	}
}
