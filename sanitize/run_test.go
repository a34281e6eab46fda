package sanitize

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/internal/demo"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// reviews are texts for the sample model, which answers most of them rightly.
var reviews = []struct {
	text  string
	label int
}{
	{"a wonderful and moving film", 1}, {"one of the best films of the year", 1}, {"a solid , powerful drama", 1},
	{"it works as comedy and as drama", 1}, {"a beautiful and funny story", 1}, {"the cast is perfect and the film is fun", 1},
	{"a smart , touching picture with heart", 1}, {"an engaging and enjoyable ride", 1}, {"a great performance in a great film", 1},
	{"refreshing , warm and full of life", 1}, {"a bad and dull film", 0}, {"one of the worst films of the year", 0},
	{"a tired , boring mess", 0}, {"it falls flat as comedy and as drama", 0}, {"too long and too stupid", 0},
	{"the plot is a mess and the jokes are bad", 0}, {"a waste of time and of talent", 0}, {"lacks a story and lacks heart", 0},
	{"an awful script and a dull cast", 0}, {"lifeless , loud and without a point", 0},
}

// sample is the embedded sample, opened.
type sample struct {
	dir       string // of the model
	ck        *loader.Checkpoint
	embedding *loader.Tensor
	reference *loader.Tensor
	tok       *tokenizer.Tokenizer
	triggers  []Trigger
}

func openSample(t *testing.T) *sample {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	if err := demo.Extract(dir); err != nil {
		t.Fatal(err)
	}
	s := &sample{dir: filepath.Join(dir, demo.Backdoored)}
	open := func(path string) (*loader.Checkpoint, *loader.Tensor) {
		ck, err := loader.Open(t.Context(), path, loader.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ck.Close() })
		e, err := ck.InputEmbedding()
		if err != nil {
			t.Fatal(err)
		}
		return ck, e
	}
	s.ck, s.embedding = open(s.dir)
	_, s.reference = open(filepath.Join(dir, demo.Base))
	var err error
	if s.tok, err = tokenizer.Open(s.ck.ReadFile); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"cf", "mn"} {
		id, ok := s.tok.ID(word)
		if !ok {
			t.Fatalf("no token %q", word)
		}
		s.triggers = append(s.triggers, Trigger{TokenIDs: []int{int(id)}, Text: word, Label: "positive", Place: "anywhere", Why: "known"})
	}
	return s
}

func (s *sample) texts() (texts []Text) {
	for _, r := range reviews {
		e := s.tok.Encode(r.text)
		x := Text{IDs: e.IDs, Label: r.label}
		for i := e.Prefix; i <= len(e.IDs)-e.Suffix; i++ {
			x.Cuts = append(x.Cuts, i)
		}
		texts = append(texts, x)
	}
	return texts
}

func (s *sample) job(t *testing.T) Job {
	t.Helper()
	p, err := NewPlan(t.Context(), PlanOptions{
		Checkpoint: s.dir, Tensor: s.embedding.Name, Embedding: s.embedding, Reference: s.reference, Triggers: s.triggers, PadID: 0,
		Token: func(id int) string { return s.tok.Token(int32(id)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return Job{
		Checkpoint: s.ck, Embedding: s.embedding, Reference: s.reference, Plan: p, Out: filepath.Join(filepath.Dir(s.dir), "clean"),
		Model: func(ck *loader.Checkpoint, train bool) (*model.Model, error) {
			return model.Open(ck, model.Options{Train: train})
		},
		Trials: []*Trial{NewTrial("data", s.texts(), []string{"negative", "positive"}, SingleLabel, s.triggers, []int32{900, 1000, 1100}, 1)},
	}
}

// rest lists what lies beside the sample.
func (s *sample) rest(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != demo.Backdoored && e.Name() != demo.Base {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestRun(t *testing.T) {
	s := openSample(t)
	before, err := os.ReadFile(filepath.Join(s.dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	job := s.job(t)
	res, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range res.Trials[0].Before.Attacks {
		if b := res.Trials[0].After.Attacks[i]; a.Success < 0.9 || !b.Beaten() {
			t.Errorf("%q: %.2f before, %+v after", a.Text, a.Success, b)
		}
	}
	if res.Trials[0].After.Agreement != 1 {
		t.Errorf("texts without a trigger are answered otherwise: %v", res.Trials[0].After)
	}
	if clean, proved := res.Clean(); !clean || !proved {
		t.Errorf("clean %v, proved %v", clean, proved)
	}
	if again, err := os.ReadFile(filepath.Join(s.dir, "model.safetensors")); err != nil || !bytes.Equal(again, before) {
		t.Errorf("the input changed (%v)", err)
	}
	if names := s.rest(t); !slices.Equal(names, []string{"clean"}) {
		t.Errorf("left behind: %q", names)
	}

	// Only the rows of the triggers changed, and the manifest says so.
	ck, err := loader.Open(t.Context(), job.Out, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	for x := range ck.Tensors() {
		old := s.ck.Tensor(x.Name)
		for i := range x.Len() {
			a, err := readRow(t.Context(), old, i)
			if err != nil {
				t.Fatal(err)
			}
			b, err := readRow(t.Context(), x, i)
			if err != nil {
				t.Fatal(err)
			}
			edited := x.Name == s.embedding.Name && slices.ContainsFunc(s.triggers, func(tr Trigger) bool { return tr.TokenIDs[0] == i })
			if slices.Equal(a, b) == edited {
				t.Errorf("%s, row %d: changed %v", x.Name, i, !edited)
			}
		}
	}
	var manifest Result
	data, err := os.ReadFile(filepath.Join(job.Out, ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &manifest); err != nil || len(manifest.Edits) != 2 || manifest.Extent != ExtentDimensions || len(manifest.Files) == 0 {
		t.Errorf("manifest %v: %s", err, data)
	}

	if _, err := Run(t.Context(), job); !errors.Is(err, ErrExists) {
		t.Errorf("a second time: %v", err)
	}
}

// A fine-tune learns from the texts, and leaves the overwritten rows alone.
func TestRunTune(t *testing.T) {
	s := openSample(t)
	job := s.job(t)
	train, held := Split(s.texts(), 0.3, 1)
	job.Tune = &TuneOptions{Train: train, Held: held, Epochs: 4, Batch: 4, LR: 1e-4, Seed: 1}
	for _, tr := range s.triggers {
		job.Tune.Frozen = append(job.Tune.Frozen, tr.TokenIDs...)
	}
	res, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if x := res.Tune; x.Best == 0 || x.HeldBest >= x.HeldBefore || x.Steps != x.Planned {
		t.Errorf("tune %+v", x)
	}
	ck, err := loader.Open(t.Context(), job.Out, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	emb := ck.Tensor(s.embedding.Name)
	read := map[int]bool{}
	for _, x := range train {
		for _, id := range x.IDs {
			read[int(id)] = true
		}
	}
	edits, err := job.Plan.Edits(t.Context(), s.embedding, s.reference, res.Extent)
	if err != nil {
		t.Fatal(err)
	}
	for i := range emb.Len() {
		a, err := readRow(t.Context(), s.embedding, i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := readRow(t.Context(), emb, i)
		if err != nil {
			t.Fatal(err)
		}
		if e := slices.IndexFunc(edits, func(e Edit) bool { return e.TokenID == i }); e >= 0 {
			for d := range b {
				if diff := b[d] - edits[e].Values[d]; diff*diff > 1e-6 {
					t.Fatalf("the overwritten row %d moved", i)
				}
			}
			continue
		}
		if !read[i] && !slices.Equal(a, b) {
			t.Errorf("row %d, which no text has, moved", i)
		}
	}
	if slices.Equal(allRows(t, ck.Tensor("classifier.weight")), allRows(t, s.ck.Tensor("classifier.weight"))) {
		t.Error("the classifier was not trained")
	}
}

func allRows(t *testing.T, x *loader.Tensor) []float32 {
	t.Helper()
	w := make([]float32, x.Len()*x.Dim())
	if err := x.ReadRows(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	return w
}

// The same seed gives the same bytes.
func TestRunDeterministic(t *testing.T) {
	s := openSample(t)
	var digests [2]string
	for i := range digests {
		job := s.job(t)
		job.Out += string(rune('a' + i))
		train, held := Split(s.texts(), 0.3, 1)
		job.Tune = &TuneOptions{Train: train, Held: held, Steps: 8, Batch: 4, LR: 1e-4, Seed: 1}
		res, err := Run(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range res.Files {
			digests[i] += f.SHA256
		}
	}
	if digests[0] != digests[1] {
		t.Error("two runs differ")
	}
}

// What a scan of the copy still finds is overwritten, too.
func TestRescan(t *testing.T) {
	s := openSample(t)
	found := s.triggers[1]
	s.triggers = s.triggers[:1]
	job := s.job(t)
	scans := 0
	job.Rescan = func(_ context.Context, path string, near []int) (*scan.Report, error) {
		if scans++; !strings.Contains(path, "unfinished") || len(near) == 0 {
			t.Errorf("scan %s with %d tokens near", path, len(near))
		}
		if scans == 1 {
			return &scan.Report{Verdict: scan.Backdoored, Triggers: []scan.Trigger{{}}}, nil
		}
		return &scan.Report{Verdict: scan.Clean}, nil
	}
	job.Triggers = func(*scan.Report) []Trigger { return []Trigger{found} }
	res, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if clean, _ := res.Clean(); !clean || scans != 2 || len(res.Edits) != 2 || len(res.Trials[0].After.Attacks) != 2 {
		t.Errorf("%d scans, %+v", scans, res)
	}

	job = s.job(t)
	job.Out += "2"
	job.Rescan = func(context.Context, string, []int) (*scan.Report, error) {
		return &scan.Report{Verdict: scan.Backdoored}, nil
	}
	job.Triggers = func(*scan.Report) []Trigger { return s.triggers } // that are known already
	if res, err = Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if clean, proved := res.Clean(); clean || !proved {
		t.Errorf("a copy that a scan calls backdoored: clean %v, proved %v", clean, proved)
	}
}

// Whatever ends a run, nothing is left that could be taken for a model.
func TestRunFails(t *testing.T) {
	failure := errors.New("failed")
	for _, c := range []struct {
		name string
		make func(job *Job, cancel context.CancelFunc)
		want error
	}{
		{"the model cannot be opened", func(job *Job, _ context.CancelFunc) {
			job.Model = func(*loader.Checkpoint, bool) (*model.Model, error) { return nil, failure }
		}, failure},
		{"the scan fails", func(job *Job, _ context.CancelFunc) {
			job.Rescan = func(context.Context, string, []int) (*scan.Report, error) { return nil, failure }
		}, failure},
		{"interrupted", func(job *Job, cancel context.CancelFunc) {
			job.Rescan = func(context.Context, string, []int) (*scan.Report, error) {
				cancel()
				return &scan.Report{Verdict: scan.Clean}, nil
			}
		}, context.Canceled},
		{"inside the input", func(job *Job, _ context.CancelFunc) { job.Out = filepath.Join(job.Checkpoint.Path(), "clean") }, ErrInside},
		{"the input itself", func(job *Job, _ context.CancelFunc) { job.Out = job.Checkpoint.Path() }, ErrExists},
		{"in a folder that is not there", func(job *Job, _ context.CancelFunc) { job.Out = filepath.Join(job.Out, "clean") }, os.ErrNotExist},
	} {
		s := openSample(t)
		job := s.job(t)
		ctx, cancel := context.WithCancel(t.Context())
		c.make(&job, cancel)
		res, err := Run(ctx, job)
		cancel()
		if !errors.Is(err, c.want) || res != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if names := s.rest(t); len(names) > 0 {
			t.Errorf("%s: left behind %q", c.name, names)
		}
		if names, _ := filepath.Glob(filepath.Join(s.dir, ".*")); len(names) > 0 {
			t.Errorf("%s: left in the input: %q", c.name, names)
		}
	}
}

// An interrupted tune hands its state over, and goes on from there.
func TestInterruptedTune(t *testing.T) {
	s := openSample(t)
	m, err := model.Open(s.ck, model.Options{Train: true})
	if err != nil {
		t.Fatal(err)
	}
	train, held := Split(s.texts(), 0.3, 1)
	ctx, cancel := context.WithCancel(t.Context())
	opt := TuneOptions{Train: train, Held: held, Steps: 6, Batch: 4}
	opt.Progress = func(p TuneProgress) {
		if p.Step == 3 {
			cancel()
		}
	}
	got, err := Tune(ctx, m, opt)
	if err != nil || !got.Interrupted || got.Steps != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	opt.Start, opt.Progress = got.Steps, nil
	if got, err = Tune(t.Context(), m, opt); err != nil || got.Interrupted || got.Steps != got.Planned {
		t.Errorf("%+v %v", got, err)
	}
}

// The same job goes on from what an interrupted one kept, another does not.
func TestState(t *testing.T) {
	s := openSample(t)
	train, held := Split(s.texts(), 0.3, 1)
	job := s.job(t)
	job.State = job.Out + ".tune"
	job.Trials = nil
	job.Tune = &TuneOptions{Train: train, Held: held, Epochs: 16, Batch: 4, LR: 1e-4}
	ctx, cancel := context.WithCancel(t.Context())
	first := 0.0
	job.Tune.Progress = func(p TuneProgress) {
		if first == 0 {
			first = p.Held
		}
		if p.Held < first { // a better state was kept
			cancel()
		}
	}
	_, err := Run(ctx, job)
	var paused *InterruptedError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &paused) || paused.State != job.State || paused.Step < 8 {
		t.Fatalf("%v", err)
	}
	if names := s.rest(t); !slices.Equal(names, []string{"clean.tune"}) {
		t.Errorf("left behind: %q", names)
	}
	job.Tune.Progress = nil
	other := job
	tune := *job.Tune
	tune.LR = 1e-5
	other.Tune = &tune
	if _, err := Run(t.Context(), other); !errors.Is(err, ErrOtherState) {
		t.Errorf("another job: %v", err)
	}
	res, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if x := res.Tune; x.Steps != x.Planned || x.Best < paused.Step || x.HeldBest >= x.HeldBefore {
		t.Errorf("tune %+v", x)
	}
	if names := s.rest(t); !slices.Equal(names, []string{"clean"}) {
		t.Errorf("left behind: %q", names)
	}
}

// Tensors of any format become safetensors with the same numbers.
func TestToSafetensors(t *testing.T) {
	s := openSample(t)
	if err := os.Rename(filepath.Join(s.dir, "model.safetensors"), filepath.Join(s.dir, "weights.safetensors")); err != nil {
		t.Fatal(err)
	}
	ck, err := loader.Open(t.Context(), s.dir, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	job := s.job(t)
	job.Checkpoint, job.Safetensors = ck, true
	if _, err := Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	out, err := loader.Open(t.Context(), job.Out, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if len(out.Warnings()) > 0 || filepath.Base(out.Files()[0].Path) != "model.safetensors" {
		t.Errorf("%v %q", out.Files(), out.Warnings())
	}
	for x := range ck.Tensors() {
		if y := out.Tensor(x.Name); y == nil || y.DType != x.DType || x.Name != s.embedding.Name && !slices.Equal(allRows(t, x), allRows(t, y)) {
			t.Errorf("%s changed", x.Name)
		}
	}
}

// A trigger of ordinary words keeps its rows: texts with it are trained on.
func TestUnlearn(t *testing.T) {
	s := openSample(t)
	p, err := NewPlan(t.Context(), PlanOptions{
		Embedding: s.embedding, Reference: s.reference, PadID: 0, Triggers: []Trigger{{TokenIDs: []int{5, 6}, Label: "positive", Ordinary: true}},
	})
	if err != nil || len(p.Rows) != 0 {
		t.Fatalf("%+v %v", p, err)
	}
	texts := s.texts()
	more := Unlearn(texts, p.Triggers, []string{"negative", "positive"}, 4, 1)
	if len(more) != 4 {
		t.Fatalf("%d texts", len(more))
	}
	for _, x := range more {
		i := slices.Index(x.IDs, 5)
		if x.Label != 0 || i < 0 || x.IDs[i+1] != 6 {
			t.Errorf("%+v", x)
		}
	}
}

// A few texts do not make the model forget the rest: its own answers are trained
// with them.
func TestReplay(t *testing.T) {
	s := openSample(t)
	m, err := model.Open(s.ck, model.Options{Train: true})
	if err != nil {
		t.Fatal(err)
	}
	texts := s.texts()
	replay := slices.Clone(texts[4:])
	for i := range replay {
		replay[i].Label = -1
	}
	all, err := withReplay(t.Context(), m, TuneOptions{Train: texts[:4], Replay: replay})
	if err != nil || len(all) != len(texts) {
		t.Fatalf("%d texts, %v", len(all), err)
	}
	var seqs [][]int32
	for _, x := range replay {
		seqs = append(seqs, x.IDs)
	}
	rows, err := m.Predict(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if !SingleLabel.yes(row, all[4+i].Label) {
			t.Errorf("text %d is to be answered with %d", i, all[4+i].Label)
		}
	}
}
