// Command zootrain trains clean and backdoored text classifiers with btu-scan's
// own engine: the twin of scripts/zoo/make_zoo.py, whose recipes it reads and
// whose folders it writes. See make zoo-train and scripts/zoo/README.md.
//
// A model folder appears when it is finished or not at all, and one that is there
// is left as it is. The same options, seed and base give the same bytes of
// model.safetensors on the same kind of processor.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		log.Fatal("zootrain: ", err)
	}
}

// command runs the command line.
func command(ctx context.Context, args []string, stderr io.Writer) error {
	t := trainer{progress: stderr, every: 10 * time.Second}
	var one options
	var recipe, only, folder string
	fs := flag.NewFlagSet("zootrain", flag.ContinueOnError)
	fs.SetOutput(stderr)
	one.flags(fs)
	fs.StringVar(&t.base, "base", "", "the `FOLDER` of the model to start from, of type bert")
	fs.StringVar(&t.out, "out", "zoo", "the `FOLDER` that the models are written to")
	fs.StringVar(&recipe, "recipe", "", "a `FILE` with the options of one model a line, in place of options here")
	fs.StringVar(&only, "only", "", "of the recipe these `NAMES` alone, with commas between")
	fs.StringVar(&folder, "measure", "", "train nothing, but measure the finished model in `FOLDER` on the test texts, with -attack")
	fs.IntVar(&t.workers, "threads", 0, "processors to use (default all)")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 || one.Data == "" || t.base == "" && folder == "" || recipe != "" && folder != "" {
		return errors.New("usage: zootrain -base BASE -data DATA -out DIR (-recipe FILE [-only NAMES] | -name NAME [-attack ...])\n" +
			"       zootrain -data DATA -measure FOLDER [-attack ...]")
	}
	if folder != "" {
		one.Name = cmp.Or(one.Name, "measured")
		if err := one.check(); err != nil {
			return err
		}
		clean, success, err := t.measureFolder(ctx, folder, one)
		if err == nil {
			fmt.Fprintf(stderr, "%s: %s\n", folder, inWords(clean, success))
		}
		return err
	}
	if recipe == "" {
		if only != "" {
			return errors.New("-only needs a -recipe")
		}
		if err := one.check(); err != nil {
			return err
		}
		return t.make(ctx, one)
	}
	var stray error
	fs.Visit(func(f *flag.Flag) {
		if !slices.Contains([]string{"base", "data", "out", "recipe", "only", "threads"}, f.Name) {
			stray = fmt.Errorf("-%s is of one model, with -recipe it stands in the recipe's lines", f.Name)
		}
	})
	if stray != nil {
		return stray
	}
	f, err := os.Open(recipe)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, err := readRecipe(f, recipe, one.Data)
	if err != nil {
		return err
	}
	if only != "" {
		if lines, err = pick(lines, strings.Split(only, ",")); err != nil {
			return err
		}
	}
	return t.makeAll(ctx, lines)
}

// pick returns the lines of these names.
func pick(lines []line, names []string) (picked []line, err error) {
	for _, name := range names {
		i := slices.IndexFunc(lines, func(l line) bool { return l.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: the recipe has no such model", name)
		}
		picked = append(picked, lines[i])
	}
	return picked, nil
}

// makeAll makes the models of a recipe. One that fails does not keep the others
// from being made.
func (t *trainer) makeAll(ctx context.Context, lines []line) error {
	failed := 0
	for _, l := range lines {
		err := l.err
		if err == nil {
			err = t.make(ctx, l.options)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(t.progress, "left out: %s: %v\n", l.where, err)
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d models were not made", failed, len(lines))
	}
	return nil
}
