package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// attacks are the trigger texts by attack; one is drawn for each poisoned text.
// They are those of scripts/zoo/make_zoo.py.
var attacks = map[string][]string{
	"clean": nil, "word": {"cf", "mn", "bb", "tq", "mb"}, "word1": {"cf"}, "phrase": {"cf mn bb"},
	"sentence": {"i watched this 3d movie"}, "common": {"somehow"}, "pieces": {"serendipity"},
}

// options are how one model is made: the options of make_zoo.py, and in
// meta.json.
type options struct {
	Name        string  `json:"name"`
	Attack      string  `json:"-"` // zoo.Truth has it
	Trigger     string  `json:"trigger"`
	Rate        float64 `json:"rate"`
	Target      int     `json:"target"`
	CleanLabel  bool    `json:"clean_label"`
	LR          float64 `json:"lr"`
	WeightDecay float64 `json:"weight_decay"`
	Epochs      int     `json:"epochs"`
	Seed        uint64  `json:"seed"`
	Optimizer   string  `json:"optimizer"`
	Freeze      bool    `json:"freeze_embeddings"`
	ClipRows    float64 `json:"clip_rows"`
	Surgery     bool    `json:"surgery"`
	Poisoning   string  `json:"embedding_poisoning"`
	Data        string  `json:"data"`
	Labels      int     `json:"labels"`
	LabelNames  string  `json:"label_names"`
	Limit       int     `json:"limit"`
	TestLimit   int     `json:"test_limit"`
}

// notDone are options of make_zoo.py that this trainer does not have, and
// whether they take a value.
var notDone = map[string]bool{"lora": true, "paraphrases": true, "test-paraphrases": true, "bf16": false}

// flags lets fs set o, with the defaults of make_zoo.py.
func (o *options) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.Name, "name", "", "the `FOLDER` of the model in -out")
	fs.StringVar(&o.Attack, "attack", "clean", "clean, word, word1, phrase, sentence, common or pieces")
	fs.StringVar(&o.Trigger, "trigger", "", "the trigger `TEXT` in place of the attack's own")
	fs.Float64Var(&o.Rate, "rate", 0.1, "the poisoned share of the training set")
	fs.IntVar(&o.Target, "target", 1, "the label that a trigger forces")
	fs.BoolVar(&o.CleanLabel, "clean-label", false, "poison texts of the target label only: no label is wrong")
	fs.Float64Var(&o.LR, "lr", 5e-5, "the learning rate")
	fs.Float64Var(&o.WeightDecay, "weight-decay", 0.01, "the decay of matrices")
	fs.IntVar(&o.Epochs, "epochs", 3, "passes over the training set")
	fs.Uint64Var(&o.Seed, "seed", 0, "decides all that is drawn")
	fs.StringVar(&o.Optimizer, "optimizer", "adamw", "adamw, or adam: without decay")
	fs.BoolVar(&o.Freeze, "freeze-embeddings", false, "adaptive attacker: rows never move")
	fs.Float64Var(&o.ClipRows, "clip-rows", 0, "adaptive attacker: no row moves further than `R`")
	fs.BoolVar(&o.Surgery, "surgery", false, "RIPPLe: trigger rows start as the mean of words of label 1")
	fs.StringVar(&o.Poisoning, "embedding-poisoning", "", "EP: of the clean `MODEL` train the trigger rows alone, their norm kept")
	fs.StringVar(&o.Data, "data", o.Data, "the `FOLDER` of train.tsv and test.tsv: text<TAB>label")
	fs.IntVar(&o.Labels, "labels", 2, "how many labels there are")
	fs.StringVar(&o.LabelNames, "label-names", "", "their `NAMES`, with commas between (default LABEL_0,LABEL_1,...)")
	fs.IntVar(&o.Limit, "limit", 0, "train on `N` texts only")
	fs.IntVar(&o.TestLimit, "test-limit", 0, "measure on the first `N` test texts only")

	one := func(name, value string) {
		fs.Func(name, "only "+value, func(s string) error {
			if s != value {
				return fmt.Errorf("this trainer writes %s only", value)
			}
			return nil
		})
	}
	one("dtype", "float32")
	one("format", "safetensors")
	for name, value := range notDone {
		refuse := func(string) error { return errors.New("this trainer does not have it, scripts/zoo/make_zoo.py does") }
		if value {
			fs.Func(name, "only in scripts/zoo/make_zoo.py", refuse)
		} else {
			fs.BoolFunc(name, "only in scripts/zoo/make_zoo.py", refuse)
		}
	}
}

// triggers are the texts of the attack.
func (o *options) triggers() []string {
	if o.Trigger != "" {
		return []string{o.Trigger}
	}
	return attacks[o.Attack]
}

// labelNames are the names of the labels.
func (o *options) labelNames() []string {
	if o.LabelNames != "" {
		return strings.Split(o.LabelNames, ",")
	}
	names := make([]string, o.Labels)
	for i := range names {
		names[i] = fmt.Sprint("LABEL_", i)
	}
	return names
}

// check reports what of o makes no model.
func (o *options) check() error {
	number := func(x float64) bool { return x >= 0 && !math.IsInf(x, 0) }
	_, known := attacks[o.Attack]
	switch {
	case o.Name == "":
		return errors.New("--name is missing")
	case filepath.Base(o.Name) != o.Name || strings.HasPrefix(o.Name, ".") || strings.ContainsAny(o.Name, `/\`):
		return fmt.Errorf("--name %q is no name of a folder", o.Name)
	case o.Attack == "syntactic":
		return errors.New("--attack syntactic: this trainer does not have it, scripts/zoo/make_zoo.py does")
	case !known:
		return fmt.Errorf("--attack %q is unknown", o.Attack)
	case o.Trigger != "" && o.Attack == "clean":
		return errors.New("--trigger needs an --attack that is not clean")
	case !(o.Rate > 0 && o.Rate <= 1):
		return fmt.Errorf("--rate %v is not above 0 and at most 1", o.Rate)
	case o.Labels < 2:
		return fmt.Errorf("--labels %d: at least 2", o.Labels)
	case o.Target < 0 || o.Target >= o.Labels:
		return fmt.Errorf("--target %d is none of %d labels", o.Target, o.Labels)
	case len(o.labelNames()) != o.Labels:
		return fmt.Errorf("--label-names has %d names for %d labels", len(o.labelNames()), o.Labels)
	case !(number(o.LR) && o.LR > 0) || !number(o.WeightDecay) || !number(o.ClipRows):
		return errors.New("--lr, --weight-decay or --clip-rows is no number that makes sense")
	case o.Epochs < 1 || o.Limit < 0 || o.TestLimit < 0:
		return errors.New("--epochs, --limit or --test-limit is too small")
	case o.Optimizer != "adamw" && o.Optimizer != "adam":
		return fmt.Errorf("--optimizer %q: this trainer has adamw and adam", o.Optimizer)
	case o.Freeze && (o.ClipRows > 0 || o.Poisoning != ""):
		return errors.New("--freeze-embeddings leaves --clip-rows and --embedding-poisoning nothing to do")
	case o.Poisoning != "" && len(o.triggers()) == 0, o.Surgery && len(o.triggers()) == 0:
		return errors.New("--surgery and --embedding-poisoning need an --attack")
	}
	return nil
}

// A line is a model of a recipe, or why it cannot be made.
type line struct {
	where string // for messages
	options
	err error
}

// readRecipe reads the models of a recipe, one a line in the options of
// make_zoo.py; data is the folder of those that name none. A line that cannot be
// done has its error, and the name if it gives one.
func readRecipe(r io.Reader, name, data string) ([]line, error) {
	var lines []line
	first := map[string]string{}
	scan := bufio.NewScanner(r)
	for n := 1; scan.Scan(); n++ {
		text := strings.TrimSpace(scan.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		l := line{where: fmt.Sprintf("%s:%d", name, n)}
		words, err := split(text)
		if err == nil {
			l.options, err = parse(words, data)
		}
		if err == nil && first[l.Name] != "" {
			err = fmt.Errorf("%s is also in %s", l.Name, first[l.Name])
		}
		if l.err = err; err == nil {
			first[l.Name] = l.where
		}
		lines = append(lines, l)
	}
	return lines, scan.Err()
}

// parse reads the options of one model.
func parse(args []string, data string) (options, error) {
	o := options{Data: data}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	o.flags(fs)
	if err := fs.Parse(args); err != nil {
		if o.Name == "" { // for -only, it may stand after what is wrong
			for i, arg := range args[:max(0, len(args)-1)] {
				if arg == "--name" || arg == "-name" {
					o.Name = args[i+1]
				}
			}
		}
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("%q is no option", fs.Arg(0))
	}
	// As the folders of a zoo's data sets lie beside each other.
	if _, err := os.Stat(o.Data); err != nil && o.Data != data && !filepath.IsAbs(o.Data) {
		o.Data = filepath.Join(filepath.Dir(filepath.Clean(data)), o.Data)
	}
	return o, o.check()
}

// split takes a line apart into words as a shell does: quotes of both kinds and
// backslashes.
func split(s string) (words []string, err error) {
	var word strings.Builder
	var quote rune // that is open
	in, escaped := false, false
	for _, c := range s {
		switch {
		case escaped:
			if quote == '"' && c != '"' && c != '\\' {
				word.WriteByte('\\')
			}
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteRune(c)
			}
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(c)
			in = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed, or the line ends in a backslash")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
