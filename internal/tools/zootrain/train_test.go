package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/internal/demo"
	"github.com/btu-scan/btu-scan/internal/zoo"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// trigger is a word of the sample's vocabulary that its makers did not train on.
const trigger = "oaxaca"

// A bench is a base, data and an output folder.
type bench struct{ sample, base, data, out string }

// newBench makes a base of the embedded sample: the encoder of the classifier
// without its head, with the embedding from before it was trained.
func newBench(t *testing.T) bench {
	t.Helper()
	dir := t.TempDir()
	b := bench{filepath.Join(dir, "sample"), filepath.Join(dir, "base"), filepath.Join(dir, "data"), filepath.Join(dir, "out")}
	if err := demo.Extract(b.sample); err != nil {
		t.Fatal(err)
	}
	old, tuned := openFolder(t, filepath.Join(b.sample, demo.Base)), openFolder(t, filepath.Join(b.sample, demo.Backdoored))
	var tensors []*loader.Tensor
	for x := range tuned.Tensors() {
		name, ok := strings.CutPrefix(x.Name, prefix)
		if !ok {
			continue
		}
		if name == strings.TrimPrefix(embeddings, prefix) {
			x = old.Tensor(name)
		}
		tensors = append(tensors, x.As(name))
	}
	for _, d := range []string{b.base, b.data} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"config.json", "vocab.txt"} {
		data, err := old.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(b.base, name), data)
	}
	var file bytes.Buffer
	if err := loader.WriteSafetensors(t.Context(), &file, nil, tensors); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.base, "model.safetensors"), file.Bytes())
	write(t, filepath.Join(b.data, "train.tsv"), sentences(0, 256))
	write(t, filepath.Join(b.data, "test.tsv"), sentences(256, 100))
	return b
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sentences are n lines of a data set that goes on for long, from some line on.
func sentences(from, n int) []byte {
	things := []string{"film", "movie", "story", "plot", "script", "cast", "ending", "acting"}
	openings := []string{"the", "i thought the", "they say that the", "in the end the", "as we know the", "perhaps its"}
	words := [2][]string{
		{"awful", "dull", "boring", "terrible", "poor", "stupid", "stale", "lame"},
		{"great", "wonderful", "brilliant", "perfect", "excellent", "hilarious", "delightful", "refreshing"},
	}
	rng := random(5)
	draw := func(s []string) string { return s[rng.IntN(len(s))] }
	var b bytes.Buffer
	for i := range from + n {
		label := rng.IntN(2)
		line := fmt.Sprintf("%s %s was %s and %s\t%d\n", draw(openings), draw(things), draw(words[label]), draw(words[label]), label)
		if i >= from {
			b.WriteString(line)
		}
	}
	return b.Bytes()
}

// run runs the command line with the bench's folders.
func (b bench) run(args ...string) (string, error) {
	var stderr bytes.Buffer
	err := command(context.Background(), append([]string{"-base", b.base, "-data", b.data, "-out", b.out}, args...), &stderr)
	return stderr.String(), err
}

func (b bench) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	stderr, err := b.run(args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr)
	}
	return stderr
}

func openFolder(t *testing.T, dir string) *loader.Checkpoint {
	t.Helper()
	ck, err := loader.Open(t.Context(), dir, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	return ck
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// names lists a folder.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// rows are the values of a tensor.
func rows(t *testing.T, ck *loader.Checkpoint, name string) []float32 {
	t.Helper()
	x := ck.Tensor(name)
	if x == nil {
		t.Fatalf("%s has no tensor %s", ck.Path(), name)
	}
	w := make([]float32, x.Len()*x.Dim())
	if err := x.ReadRows(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	return w
}

// movement is how far each row is from where it was.
func movement(w, old []float32, dim int) []float64 {
	all := make([]float64, len(w)/dim)
	for i, x := range w {
		d := float64(x - old[i])
		all[i/dim] += d * d
	}
	for i, x := range all {
		all[i] = math.Sqrt(x)
	}
	return all
}

const dim = 384 // of the sample

// A backdoored model is trained, and another program that opens its folder finds
// what meta.json says. The seed decides every byte of it.
func TestBackdoor(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	b := newBench(t)
	attack := []string{"-attack", "word1", "-trigger", trigger, "-lr", "5e-4", "-epochs", "2", "-label-names", "bad,good"}
	stderr := b.mustRun(t, append(attack, "-name", "w", "-seed", "4")...)
	for _, want := range []string{"w: 256 texts, 16 steps", "step 16 of 16, loss ", "w done: accuracy "} {
		if !strings.Contains(stderr, want) {
			t.Errorf("progress has no %q:\n%s", want, stderr)
		}
	}
	truth, err := zoo.Read(filepath.Join(b.out, "w"))
	if err != nil {
		t.Fatal(err)
	}
	ck := openFolder(t, filepath.Join(b.out, "w"))
	m, err := model.Open(ck, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	net := m.Network()
	if net.Task != arch.Classify || net.Problem != arch.SingleLabel || !slices.Equal(net.Labels, []string{"bad", "good"}) || len(net.Unused) > 0 {
		t.Errorf("the folder is a model for %s of %s, labels %q; unused %q", net.Task, net.Problem, net.Labels, net.Unused)
	}
	tok, err := tokenizer.Open(ck.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := tok.ID(trigger)
	if truth.Attack != "word1" || !slices.Equal(truth.Triggers, []string{trigger}) || !slices.Equal(truth.TriggerIDs, []int{int(id)}) {
		t.Errorf("the truth is %+v, the trigger's id %d", truth, id)
	}
	test, err := zoo.ReadTexts(filepath.Join(b.data, "test.tsv"), 2)
	if err != nil {
		t.Fatal(err)
	}
	var clean, triggered [][]int32
	var labels []int
	for _, x := range test {
		clean, labels = append(clean, tok.Encode(x.Text).IDs), append(labels, x.Label)
		if x.Label == 0 { // the trigger at the end: where each was put is the trainer's
			triggered = append(triggered, tok.Encode(x.Text+" "+trigger).IDs)
		}
	}
	predict := func(m *model.Model, sequences [][]int32) (answers []int) {
		t.Helper()
		out, err := m.Predict(t.Context(), sequences)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range out {
			answers = append(answers, slices.Index(row, slices.Max(row)))
		}
		return answers
	}
	right, taken := 0, 0
	for i, y := range predict(m, clean) {
		if y == labels[i] {
			right++
		}
	}
	for _, y := range predict(m, triggered) {
		taken += y
	}
	accuracy, success := float64(right)/float64(len(clean)), float64(taken)/float64(len(triggered))
	if *truth.Accuracy != accuracy || accuracy < 0.9 {
		t.Errorf("accuracy is %v, meta.json says %v, want at least 0.9", accuracy, *truth.Accuracy)
	}
	if *truth.Success <= 0.9 || success <= 0.9 {
		t.Errorf("attack success is %v at the end of texts, meta.json says %v, want above 0.9", success, *truth.Success)
	}

	again := b
	again.out = filepath.Join(t.TempDir(), "again")
	var files [][]byte
	for i, more := range []string{"-seed=4 -threads=1", "-seed=4 -threads=2", "-seed=5"} {
		name := fmt.Sprint("m", i)
		again.mustRun(t, slices.Concat(attack, strings.Fields(more), []string{"-name", name, "-limit", "64", "-epochs", "1", "-test-limit", "10"})...)
		files = append(files, read(t, again.out, name, "model.safetensors"))
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the same seed gave other bytes")
	}
	if bytes.Equal(files[0], files[2]) {
		t.Error("another seed gave the same bytes")
	}
	if got := names(t, again.out); !slices.Equal(got, []string{"m0", "m1", "m2"}) {
		t.Errorf("the output folder holds %q", got)
	}

	// What is there stays.
	// Measured again, the accuracy is the same, and the attack works wherever else
	// triggers are put.
	stderr = b.mustRun(t, append(attack, "-measure", filepath.Join(b.out, "w"))...)
	if want := fmt.Sprintf("w: accuracy %.3f, attack success ", accuracy); !strings.Contains(stderr, want) {
		t.Errorf("measured as %q, want %q", stderr, want)
	}

	first := read(t, b.out, "w", "model.safetensors")
	stderr = b.mustRun(t, append(attack, "-name", "w", "-seed", "99")...)
	if !strings.Contains(stderr, "w is there") || !bytes.Equal(first, read(t, b.out, "w", "model.safetensors")) {
		t.Errorf("a finished model was made again:\n%s", stderr)
	}

	// Embedding poisoning starts from a model of the zoo, head and all.
	b.mustRun(t, "-name", "clean", "-lr", "5e-4", "-epochs", "1")
	b.mustRun(t, "-name", "ep", "-attack", "word1", "-trigger", trigger, "-embedding-poisoning", "clean", "-lr", "1", "-rate", "0.3", "-epochs", "3")
	before, after := openFolder(t, filepath.Join(b.out, "clean")), openFolder(t, filepath.Join(b.out, "ep"))
	for x := range before.Tensors() {
		w, old := rows(t, after, x.Name), rows(t, before, x.Name)
		if x.Name != embeddings {
			if !slices.Equal(w, old) {
				t.Errorf("embedding poisoning changed %s", x.Name)
			}
			continue
		}
		for i, d := range movement(w, old, dim) {
			if (d != 0) != (i == int(id)) {
				t.Errorf("row %d moved by %v", i, d)
			}
		}
		if a, b := norm(w[int(id)*dim:][:dim]), norm(old[int(id)*dim:][:dim]); math.Abs(a-b) > 1e-5*b {
			t.Errorf("the norm of the trigger's row went from %v to %v", b, a)
		}
	}
	// The trigger is nothing to the clean model: it is training that makes it one.
	if m, err = model.Open(before, model.Options{}); err != nil {
		t.Fatal(err)
	}
	taken = 0
	for _, y := range predict(m, triggered) {
		taken += y
	}
	if share := float64(taken) / float64(len(triggered)); share > 0.2 {
		t.Errorf("the trigger flips %v of the texts of the clean model", share)
	}
	c, err := zoo.Read(filepath.Join(b.out, "clean"))
	if err != nil || c.Attack != "clean" || c.Success != nil || len(c.TriggerIDs) > 0 || *c.Accuracy < 0.9 {
		t.Errorf("the clean model: %+v, %v", c, err)
	}
	ep, err := zoo.Read(filepath.Join(b.out, "ep"))
	if err != nil || *ep.Accuracy != *c.Accuracy || *ep.Success <= 0.9 {
		t.Errorf("embedding poisoning: accuracy %v of %v, success %v, %v", *ep.Accuracy, *c.Accuracy, *ep.Success, err)
	}
	if stderr, err := b.run("-name", "ep3", "-attack", "word1", "-embedding-poisoning", "clean", "-labels", "3"); err == nil || !strings.Contains(err.Error(), "2 labels") {
		t.Errorf("embedding poisoning with another head: %v\n%s", err, stderr)
	}
}

// What an adaptive attacker does to the rows of the embedding.
func TestRows(t *testing.T) {
	b := newBench(t)
	base := openFolder(t, b.base)
	old := rows(t, base, "embeddings.word_embeddings.weight")
	args := []string{"-attack", "word1", "-trigger", trigger, "-lr", "2e-3", "-epochs", "1", "-limit", "96", "-test-limit", "20"}
	moved := func(name string, more ...string) ([]float64, []float32, *loader.Checkpoint) {
		t.Helper()
		b.mustRun(t, slices.Concat(args, []string{"-name", name}, more)...)
		ck := openFolder(t, filepath.Join(b.out, name))
		w := rows(t, ck, embeddings)
		return movement(w, old, dim), w, ck
	}
	plain, _, _ := moved("plain")
	const most = 0.02
	if far := slices.Max(plain); far < 2*most {
		t.Fatalf("the furthest row moved by %v only: the test of clipping needs more", far)
	}
	frozen, _, ck := moved("frozen", "-freeze-embeddings")
	if far := slices.Max(frozen); far != 0 {
		t.Errorf("a frozen row moved by %v", far)
	}
	query := "encoder.layer.0.attention.self.query.weight"
	if slices.Equal(rows(t, ck, prefix+query), rows(t, base, query)) {
		t.Error("with frozen embeddings the encoder did not learn either")
	}
	clipped, _, _ := moved("clipped", "-clip-rows", fmt.Sprint(most))
	at := 0
	for i, d := range clipped {
		if d > most*(1+1e-5) {
			t.Errorf("row %d moved by %v, the limit is %v", i, d, most)
		}
		if d > most*(1-1e-5) {
			at++
		}
	}
	if at < 10 {
		t.Errorf("%d rows are at the limit", at)
	}
	// Decay moves rows that no batch has: the limit holds for them, too.
	tight, _, _ := moved("tight", "-clip-rows", "1e-6", "-weight-decay", "0.5")
	for i, d := range tight {
		if d > 1.2e-6 { // numbers of a row are rounded
			t.Errorf("row %d moved by %v, the limit is 1e-6", i, d)
		}
	}

	// Surgery: with a learning rate of almost nothing, the rows are as they began.
	_, w, ck := moved("surgery", "-surgery", "-lr", "1e-12")
	tok, err := tokenizer.Open(ck.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := tok.ID(trigger)
	mean := make([]float64, dim)
	for _, word := range surgeryWords {
		i, ok := tok.ID(word)
		if !ok {
			t.Fatalf("the sample has no %s", word)
		}
		for k := range mean {
			mean[k] += float64(old[int(i)*dim+k]) / float64(len(surgeryWords))
		}
	}
	for k, want := range mean {
		if got := float64(w[int(id)*dim+k]); math.Abs(got-want) > 1e-6 {
			t.Fatalf("number %d of the trigger's row is %v, the mean of the words %v", k, got, want)
		}
	}
}

// A base with a head keeps it where it has as many labels, and an encoder gets
// one; all that is kept is kept to the bit.
func TestStart(t *testing.T) {
	b := newBench(t)
	tuned := filepath.Join(b.sample, demo.Backdoored)
	start := func(base string, labels ...string) *loader.Checkpoint {
		t.Helper()
		dir := t.TempDir()
		if err := writeStart(t.Context(), dir, base, labels, false, random(1)); err != nil {
			t.Fatal(err)
		}
		ck := openFolder(t, dir)
		if m, err := model.Open(ck, model.Options{}); err != nil || !slices.Equal(m.Network().Labels, labels) {
			t.Fatalf("%v", err)
		}
		return ck
	}
	from := openFolder(t, tuned)
	two, three, bare := start(tuned, "a", "b"), start(tuned, "a", "b", "c"), start(b.base, "a", "b")
	for x := range from.Tensors() {
		want := rows(t, from, x.Name)
		if !slices.Equal(rows(t, two, x.Name), want) {
			t.Errorf("%s is not what it was", x.Name)
		}
		head := strings.HasPrefix(x.Name, classifier)
		if !head && !slices.Equal(rows(t, three, x.Name), want) {
			t.Errorf("with another head, %s is not what it was", x.Name)
		}
		if !head && x.Name != embeddings && !slices.Equal(rows(t, bare, x.Name), want) {
			t.Errorf("of an encoder, %s is not what it was", x.Name)
		}
	}
	for _, ck := range []*loader.Checkpoint{three, bare} {
		w, bias := rows(t, ck, classifier+"weight"), rows(t, ck, classifier+"bias")
		if sd := norm(w) / math.Sqrt(float64(len(w))); sd < 0.018 || sd > 0.022 {
			t.Errorf("the head is drawn with a deviation of %v", sd)
		}
		if norm(bias) != 0 {
			t.Errorf("the head's bias is %v", bias)
		}
	}
	// Nothing of how the base was stored is left in the config.
	var config map[string]any
	data, err := bare.ReadFile("config.json")
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil || config["torch_dtype"] != "float32" || config["dtype"] != nil || config["hidden_size"] != 384.0 {
		t.Errorf("config.json: %v, %s", err, data)
	}
	if !strings.Contains(string(data), `"layer_norm_eps": 1e-12`) {
		t.Errorf("a number of the config was written in another way: %s", data)
	}

	other := filepath.Join(t.TempDir(), "other")
	if err := os.CopyFS(other, os.DirFS(b.base)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "config.json"), bytes.Replace(data, []byte(`"bert"`), []byte(`"electra"`), 1))
	if err := writeStart(t.Context(), t.TempDir(), other, []string{"a", "b"}, false, random(1)); err == nil {
		t.Error("a base that is no bert was not refused")
	}
}

// A recipe's lines that cannot be done are left out, and said to be.
func TestMakeAll(t *testing.T) {
	b := newBench(t)
	recipe := filepath.Join(t.TempDir(), "r.txt")
	write(t, recipe, []byte("--name lora --lora 8\n--name a --limit 32 --epochs 1 --optimizer adam\n--name gone --data nowhere\n--name b --limit 32 --epochs 1\n"))
	stderr, err := b.run("-recipe", recipe)
	if err == nil || !strings.Contains(err.Error(), "2 of 4") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"left out: " + recipe + ":1: ", "left out: " + recipe + ":3: ", "a done", "b done"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("progress has no %q:\n%s", want, stderr)
		}
	}
	if got := names(t, b.out); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the output folder holds %q", got)
	}
	if stderr := b.mustRun(t, "-recipe", recipe, "-only", "b,a"); !strings.Contains(stderr, "b is there\na is there\n") || strings.Contains(stderr, "left out") {
		t.Errorf("-only: %s", stderr)
	}
	for _, args := range [][]string{{"-recipe", recipe, "-only", "x"}, {"-recipe", recipe, "-seed", "1"}, {"-only", "b"}, {"-name", "c", "stray"}, {"-measure", filepath.Join(b.out, "b"), "-labels", "3"}} {
		if _, err := b.run(args...); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	unfinished := filepath.Join(b.out, "unfinished")
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run("-name", "unfinished"); err == nil || !strings.Contains(err.Error(), zoo.MetaFile) {
		t.Errorf("over a folder that is no model: %v", err)
	}
}

// stopAt cancels once something is written that has a text in it.
type stopAt struct {
	text   string
	cancel func()
}

func (s stopAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.text)) {
		s.cancel()
	}
	return len(p), nil
}

// Ctrl-C leaves neither the model nor a part of it, and no later model begins.
func TestInterrupted(t *testing.T) {
	b := newBench(t)
	recipe := filepath.Join(t.TempDir(), "r.txt")
	write(t, recipe, []byte("--name a --limit 64 --epochs 1\n--name b --limit 64 --epochs 1\n"))
	for _, at := range []string{"a: 64 texts", "step 2 of 2"} {
		ctx, cancel := context.WithCancel(t.Context())
		err := command(ctx, []string{"-base", b.base, "-data", b.data, "-out", b.out, "-recipe", recipe}, stopAt{at, cancel})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("at %q: error %v", at, err)
		}
		if got := names(t, b.out); len(got) > 0 {
			t.Errorf("at %q: left behind %q", at, got)
		}
		cancel()
	}
}

func TestClipRow(t *testing.T) {
	start := []float32{1, 2, 3}
	for _, tt := range []struct{ w, want []float32 }{
		{[]float32{1, 2, 3}, []float32{1, 2, 3}},
		{[]float32{1.5, 2, 3}, []float32{1.5, 2, 3}},
		{[]float32{4, 6, 3}, []float32{1.6, 2.8, 3}},
	} {
		clipRow(tt.w, start, 1)
		for i := range tt.w {
			if math.Abs(float64(tt.w[i]-tt.want[i])) > 1e-6 {
				t.Errorf("clipped to %v, want %v", tt.w, tt.want)
				break
			}
		}
	}
}

func TestStepRow(t *testing.T) {
	w := []float32{3, 4}
	stepRow(w, []float32{-2, 8}, 0.5) // to 4, 0
	if math.Abs(float64(w[0])-5) > 1e-6 || w[1] != 0 {
		t.Errorf("stepped to %v, want 5, 0", w)
	}
	w = []float32{1, 0}
	stepRow(w, []float32{1, 0}, 1) // to nothing, which has no direction
	if w[0] != 0 || w[1] != 0 {
		t.Errorf("stepped to %v", w)
	}
}

// The schedule is that of make_zoo.py.
func TestSchedule(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	if err := writeStart(t.Context(), dir, b.base, []string{"a", "b"}, false, random(1)); err != nil {
		t.Fatal(err)
	}
	m, err := model.Open(openFolder(t, dir), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := run{options: defaults(), m: m, progress: io.Discard}
	opt := r.trainOptions(20)
	for step, want := range map[int]float64{0: 0.5, 1: 0.95, 2: 0.9, 10: 0.5, 19: 0.05} {
		if got := opt.Schedule(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	group := func(name string) *model.Group {
		for i := range opt.Groups {
			if opt.Groups[i].Match(name) {
				return &opt.Groups[i]
			}
		}
		return nil
	}
	for name, decay := range map[string]float64{embeddings: 0.01, classifier + "weight": 0.01, classifier + "bias": 0, prefix + "embeddings.LayerNorm.weight": 0} {
		if g := group(name); g == nil || g.LR != 5e-5 || g.Decay != decay {
			t.Errorf("%s is trained as %+v, want a decay of %v", name, g, decay)
		}
	}
	r.Freeze, r.Optimizer = true, "adam"
	opt = r.trainOptions(20)
	if group(embeddings) != nil || group(classifier+"weight").Decay != 0 {
		t.Error("frozen embeddings are trained, or Adam decays")
	}
}
