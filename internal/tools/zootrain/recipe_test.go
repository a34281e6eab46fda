package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Of the recipe that the Python twin is given, all is read and what this trainer
// does not do is an error of that line.
func TestRecipeOfTwin(t *testing.T) {
	path := "../../../scripts/zoo/dev.txt"
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := readRecipe(f, path, "data")
	if err != nil {
		t.Fatal(err)
	}
	var done, not []string
	for _, l := range lines {
		if l.err != nil {
			not = append(not, l.Name)
		} else {
			done = append(done, l.Name)
		}
	}
	if want := []string{"syn-a", "syn-c", "lora", "word5-bf16", "word5-bin", "word5-legacy"}; !slices.Equal(not, want) {
		t.Errorf("not done: %v, want %v", not, want)
	}
	if len(done) != 18 {
		t.Errorf("%d done: %v", len(done), done)
	}
	i := slices.IndexFunc(lines, func(l line) bool { return l.Name == "ep" })
	want := defaults()
	want.Name, want.Attack, want.Poisoning, want.LR, want.Rate, want.Seed = "ep", "word1", "clean-a", 0.5, 0.3, 31
	if got := lines[i].options; got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

// defaults are what make_zoo.py has where a line says nothing.
func defaults() options {
	return options{Attack: "clean", Rate: 0.1, Target: 1, LR: 5e-5, WeightDecay: 0.01, Epochs: 3, Optimizer: "adamw", Data: "data", Labels: 2}
}

func TestRecipe(t *testing.T) {
	text := `# a comment

--name a
  --name=b --attack common --trigger "for what it's worth" --surgery --seed 3 --label-names 'bad,good'
--name c --attack clean --rate
--name a --attack word
--lora 8 --name d
`
	lines, err := readRecipe(strings.NewReader(text), "r.txt", "data")
	if err != nil {
		t.Fatal(err)
	}
	a, b := defaults(), defaults()
	a.Name = "a"
	b.Name, b.Attack, b.Trigger, b.Surgery, b.Seed, b.LabelNames = "b", "common", "for what it's worth", true, 3, "bad,good"
	want := []struct {
		where string
		options
		err string // part of
	}{
		{"r.txt:3", a, ""}, {"r.txt:4", b, ""},
		{"r.txt:5", options{Name: "c"}, "rate"},
		{"r.txt:6", options{Name: "a"}, "a is also in r.txt:3"},
		{"r.txt:7", options{Name: "d"}, "lora"},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	for i, w := range want {
		switch got := lines[i]; {
		case got.where != w.where || got.Name != w.Name:
			t.Errorf("line %d is %s of %s, want %s of %s", i, got.Name, got.where, w.Name, w.where)
		case w.err == "" && (got.err != nil || got.options != w.options):
			t.Errorf("%s: %+v, %v, want %+v", w.where, got.options, got.err, w.options)
		case w.err != "" && (got.err == nil || !strings.Contains(got.err.Error(), w.err)):
			t.Errorf("%s: error %v, want one about %q", w.where, got.err, w.err)
		}
	}
	if got := lines[1].labelNames(); !slices.Equal(got, []string{"bad", "good"}) {
		t.Errorf("labels %v", got)
	}
	if got := lines[0].labelNames(); !slices.Equal(got, []string{"LABEL_0", "LABEL_1"}) {
		t.Errorf("labels %v", got)
	}
}

func TestBadOptions(t *testing.T) {
	for args, want := range map[string]string{
		"":                                           "--name",
		"--name ../x":                                "folder",
		"--name .x":                                  "folder",
		`--name x\y`:                                 "folder",
		"--name x --attack magic":                    "magic",
		"--name x --attack syntactic":                "make_zoo.py",
		"--name x --paraphrases f":                   "make_zoo.py",
		"--name x --bf16":                            "make_zoo.py",
		"--name x --dtype bfloat16":                  "float32",
		"--name x --format pytorch":                  "safetensors",
		"--name x --trigger cf":                      "--attack",
		"--name x --surgery":                         "--attack",
		"--name x --embedding-poisoning c":           "--attack",
		"--name x --rate 0":                          "--rate",
		"--name x --rate NaN":                        "--rate",
		"--name x --target 2":                        "--target",
		"--name x --labels 1":                        "--labels",
		"--name x --label-names a,b,c":               "--label-names",
		"--name x --lr NaN":                          "--lr",
		"--name x --lr 0":                            "--lr",
		"--name x --clip-rows -1":                    "--clip-rows",
		"--name x --epochs 0":                        "--epochs",
		"--name x --optimizer sgd":                   "sgd",
		"--name x --seed -1":                         "seed",
		"--name x --nothing":                         "nothing",
		"--name x stray":                             "stray",
		"--name x --freeze-embeddings --clip-rows 1": "--clip-rows",
	} {
		words := strings.Fields(args)
		if _, err := parse(words, "data"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one about %q", args, err, want)
		}
	}
	if _, err := parse(strings.Fields("--name x --dtype float32 --format safetensors"), "data"); err != nil {
		t.Errorf("what this trainer does write: %v", err)
	}
}

// A line's data is where it says, or beside the data of the command line.
func TestDataBeside(t *testing.T) {
	dir := t.TempDir()
	here := filepath.Join(dir, "here")
	for _, d := range []string{here, filepath.Join(dir, "data-hate")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for arg, want := range map[string]string{here: here, "data-hate": filepath.Join(dir, "data-hate")} {
		o, err := parse([]string{"--name", "x", "--data", arg}, filepath.Join(dir, "data")+"/")
		if err != nil || o.Data != want {
			t.Errorf("--data %s is %s, %v, want %s", arg, o.Data, err, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"":                    nil,
		"  a\tb  ":            {"a", "b"},
		`a "b c" 'd "e"' ''`:  {"a", "b c", `d "e"`, ""},
		`a"b"'c'd`:            {"abcd"},
		`a\ b \" "\"x\\ \y"`:  {"a b", `"`, `"x\ \y`},
		`'it'"'"'s' 'back\s'`: {"it's", `back\s`},
		`größe "für uns"`:     {"größe", "für uns"},
	} {
		if got, err := split(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`"a`, `a 'b c`, `a\`, `"a\"`} {
		if got, err := split(text); err == nil {
			t.Errorf("%q: %q without an error", text, got)
		}
	}
}
