// Command zoorepair sanitizes backdoored models whose truth is known in several
// ways, and measures each with the true triggers on texts that no repair saw: a
// table of the attacks' success, and one of the accuracy. See make zoo-repair.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/internal/zoo"
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
)

// A way is a way to repair a model. Its flags may name the report of a scan with
// {report} and the labelled texts of the fine-tune with {data}.
type way struct {
	name string
	args []string
}

// btuRows is how many rows BTU takes for suspects: three rounds of 0.0005 of
// 30,522.
const btuRows = "45"

var ways = []way{
	{"E-PUR", []string{"--suspects", "{report}", "--top", btuRows, "--donor", "reference", "--edit", "rows", "--no-scan"}},
	{"BTU", []string{"--suspects", "{report}", "--top", btuRows, "--donor", "pad", "--edit", "dimensions", "--no-scan"}},
	{"BTU + tune", []string{"--suspects", "{report}", "--top", btuRows, "--donor", "pad", "--edit", "dimensions", "--no-scan", "--data", "{data}"}},
	{"tune alone", []string{"--from", "{report}", "--edit", "none", "--no-scan", "--data", "{data}"}},
	{"ours", []string{"--from", "{report}"}},
	{"ours + tune", []string{"--from", "{report}", "--data", "{data}"}},
}

// A cell is what one repair gave.
type cell struct {
	accuracy, success float64
	seconds           float64
	result            *sanitize.Result // nil of the model as it came
}

type tool struct {
	bin, base, data, dir string
	limit                int
}

func main() {
	log.SetFlags(0)
	var t tool
	flag.StringVar(&t.bin, "bin", "bin/btu-scan", "the program")
	flag.StringVar(&t.base, "base", "", "the base of the models that follow")
	flag.StringVar(&t.data, "data", "", "folder with dev.tsv, which is fine-tuned on, and test.tsv, which is measured with")
	flag.IntVar(&t.limit, "test-limit", 0, "measure with the first `N` texts")
	flag.Parse()
	if t.base == "" || t.data == "" || flag.NArg() == 0 {
		log.Fatal("usage: zoorepair -base BASE -data DIR FOLDER...   (FOLDER is a model, or holds models)")
	}
	if err := t.all(context.Background(), flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func (t *tool) all(ctx context.Context, args []string) (err error) {
	dirs, err := zoo.Models(args)
	if err != nil {
		return err
	}
	if t.dir, err = os.MkdirTemp("", "zoorepair-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()
	columns := []string{"model", "attack", "without attack", "before"}
	for _, w := range ways {
		columns = append(columns, w.name)
	}
	columns = append(columns, "rows (BTU, ours)", "verdict of ours", "seconds (scan, ours, ours + tune)")
	fmt.Println("Attack success / accuracy, in percent.")
	fmt.Println()
	fmt.Println(zoo.Heading(columns))
	for _, dir := range dirs {
		row, err := t.model(ctx, dir)
		if err != nil {
			log.Printf("left out: %s: %v", dir, err)
			continue
		}
		if row != nil {
			fmt.Println(zoo.Line(row, "-"))
		}
	}
	return nil
}

// model repairs one model in all ways; nil where there is nothing to repair.
func (t *tool) model(ctx context.Context, dir string) ([]string, error) {
	truth, err := zoo.Read(dir)
	if err != nil || len(truth.Triggers) == 0 || truth.Success != nil && *truth.Success < 0.5 {
		return nil, err
	}
	var meta struct {
		Target int `json:"target"`
	}
	data, err := os.ReadFile(filepath.Join(dir, zoo.MetaFile))
	if err == nil {
		err = json.Unmarshal(data, &meta)
	}
	if err != nil {
		return nil, err
	}
	before, plain, err := t.measure(ctx, dir, truth, meta.Target)
	if err != nil {
		return nil, err
	}
	report := filepath.Join(t.dir, "report.json")
	began := time.Now()
	if err := t.run(nil, dir, "--reference", t.base, "--format", "json", "--output", report, "--top", "100"); err != nil {
		return nil, err
	}
	seconds := []string{fmt.Sprintf("%.1f", time.Since(began).Seconds())}
	row := []string{filepath.Base(dir), truth.Attack, percent(plain), before.String()}
	var rows [2]int
	verdict := scan.Verdict("")
	for _, w := range ways {
		c, err := t.repair(ctx, dir, w, report, truth, meta.Target)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		if c == nil {
			row = append(row, "not done")
			continue
		}
		row = append(row, c.String())
		switch w.name {
		case "BTU":
			rows[0] = len(c.result.Edits)
		case "ours", "ours + tune":
			rows[1], verdict = len(c.result.Edits), c.result.After
			seconds = append(seconds, fmt.Sprintf("%.1f", c.seconds))
		}
	}
	return append(row, fmt.Sprintf("%d, %d", rows[0], rows[1]), string(verdict), strings.Join(seconds, ", ")), nil
}

func (c cell) String() string { return percent(c.success) + " / " + percent(c.accuracy) }

func percent(x float64) string { return fmt.Sprintf("%.1f", 100*x) }

// repair sanitizes a model and measures what came of it; nil where the program
// found nothing to do.
func (t *tool) repair(ctx context.Context, dir string, w way, report string, truth zoo.Truth, target int) (*cell, error) {
	out := filepath.Join(t.dir, "out")
	defer os.RemoveAll(out)
	args := []string{"sanitize", dir, "--reference", t.base, "--out", out, "--format", "json"}
	for _, a := range w.args {
		a = strings.ReplaceAll(a, "{report}", report)
		args = append(args, strings.ReplaceAll(a, "{data}", filepath.Join(t.data, "dev.tsv")))
	}
	began := time.Now()
	var res sanitize.Result
	if err := t.run(&res, args...); err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	if res.SchemaVersion == 0 {
		return nil, nil
	}
	c, _, err := t.measure(ctx, out, truth, target)
	if err != nil {
		return nil, err
	}
	c.seconds, c.result = seconds, &res
	return c, nil
}

// run runs the program, whatever verdict its exit code tells, and reads the JSON
// that it prints, if it prints any.
func (t *tool) run(v any, args ...string) error {
	cmd := exec.Command(t.bin, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); err != nil && code != 1 && code != 3 {
		return fmt.Errorf("%w: %s", err, stderr.String())
	}
	if v == nil || len(out) == 0 {
		return nil
	}
	return json.Unmarshal(out, v)
}

// measure measures the model in dir with the true triggers; plain is how often it
// gives the attack's target to texts of other labels by itself.
func (t *tool) measure(ctx context.Context, dir string, truth zoo.Truth, target int) (c *cell, plain float64, err error) {
	m, err := zoo.Open(ctx, dir, loader.Options{}, model.Options{})
	if err != nil {
		return nil, 0, err
	}
	defer m.Close()
	texts, err := zoo.ReadTexts(filepath.Join(t.data, "test.tsv"), len(m.Network().Labels))
	if err != nil {
		return nil, 0, err
	}
	if t.limit > 0 {
		texts = texts[:min(len(texts), t.limit)]
	}
	var victims []zoo.Text
	for _, x := range texts {
		if x.Label != target {
			victims = append(victims, zoo.Text{Text: x.Text, Label: target})
		}
	}
	c = &cell{}
	var first error
	share := func(texts []zoo.Text) float64 {
		x, err := m.Measure(ctx, texts)
		first = cmp.Or(first, err)
		return x
	}
	c.accuracy = share(texts)
	c.success = share(zoo.Triggered(texts, truth.Triggers, target, rand.New(rand.NewPCG(1, 2))))
	return c, share(victims), first
}
