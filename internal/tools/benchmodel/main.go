// Command benchmodel times the engine against PyTorch on the same batches and
// the same number of threads, in turn, so that a machine whose speed drifts
// slows both alike. See make bench-model.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
)

// batches is the file that scripts/bench/sst_lengths.py writes.
type batches struct {
	Batches [][][]int32 `json:"batches"`
	Labels  [][]int     `json:"labels"`
}

// A result is what one process measured, ours or PyTorch's.
type result struct {
	Pass   float64 `json:"pass_median_s"` // seconds per batch: median over passes of the mean of a pass
	Tokens float64 `json:"tokens"`
	Padded float64 `json:"padded_tokens"`
	RSS    float64 `json:"peak_rss_mib"`
}

func main() {
	log.SetFlags(0)
	folders := flag.String("models", "", "comma-separated classifier folders")
	file := flag.String("batches", "", "file of scripts/bench/sst_lengths.py")
	bin := flag.String("bin", "bin/btu-scan", "the program, for the time to the first answer")
	python := flag.String("python", "python3", "an interpreter with torch and transformers")
	threads := flag.String("threads", "1,2", "comma-separated numbers of threads")
	rounds := flag.Int("rounds", 3, "processes of each kind, in turn")
	repeat := flag.Int("repeat", 3, "counted passes over the batches in a process")
	limit := flag.Int("limit", 8, "batches used")
	mode := flag.String("mode", "", "measure this mode here, and print JSON")
	orders := flag.String("orders", "as they come,sorted by length", "comma-separated orders of the sentences")
	sorted := flag.Bool("sort", false, "sort all sentences by length before batching")
	tok := flag.Bool("tokenizers", false, "time the tokenizers, not the engine")
	flag.Parse()
	if *tok {
		if err := tokenizers(*python); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *folders == "" || *file == "" {
		log.Fatal("usage: benchmodel -models FOLDER[,FOLDER] -batches FILE")
	}
	if *mode != "" {
		n, err := strconv.Atoi(*threads)
		if err == nil {
			err = measure(*folders, *file, *mode, n, *repeat, *sorted)
		}
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	cut, err := cutBatches(*file, *limit)
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(cut)
	self, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	startUp(strings.Split(*folders, ","), *bin, *python, cut, *threads)
	fmt.Println("| model | batches | mode | threads | PyTorch, ms a batch | btu-scan | ratio | PyTorch, MiB | btu-scan |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	known := []string{"as they come", "sorted by length"}
	for _, order := range strings.Split(*orders, ",") {
		if !slices.Contains(known, order) {
			log.Fatalf("-orders %q: one of %q", order, known)
		}
	}
	for _, folder := range strings.Split(*folders, ",") {
		for _, order := range strings.Split(*orders, ",") {
			for _, mode := range []string{"forward", "embgrad", "train"} {
				for _, n := range strings.Split(*threads, ",") {
					args := []string{"--batches", cut, "--mode", mode, "--threads", n, "--repeat", strconv.Itoa(*repeat)}
					if order == "sorted by length" {
						args = append(args, "--sort")
					}
					script := append([]string{*python, filepath.Join("scripts", "bench", "torch_model.py"), "--json", "--model", folder}, args...)
					ours := append([]string{self, "-models", folder}, args...)
					var theirs, our []result
					for range *rounds {
						theirs, our = append(theirs, process(script, n)), append(our, process(ours, n))
					}
					t, o := median(theirs), median(our)
					fmt.Printf("| %s | %s | %s | %s | %.0f | %.0f | %.2f | %.0f | %.0f |\n", filepath.Base(folder), order, mode, n,
						t.Pass*1e3, o.Pass*1e3, ratio(our, theirs), t.RSS, o.RSS)
				}
			}
		}
	}
}

// startUp times whole processes from start to the first answer.
func startUp(folders []string, bin, python, batches, threads string) {
	b, err := readBatches(batches)
	if err != nil {
		log.Fatal(err)
	}
	ids := strings.Trim(fmt.Sprint(b.Batches[0][0]), "[]")
	n := threads[strings.LastIndex(threads, ",")+1:]
	fmt.Println("| model | start to first answer, PyTorch, ms | btu-scan run, ms |")
	fmt.Println("|---|---|---|")
	for _, folder := range folders {
		var theirs, ours []float64
		for range 5 {
			theirs = append(theirs, wall(n, python, filepath.Join("scripts", "bench", "torch_model.py"), "--json", "--mode", "start", "--model", folder, "--batches", batches, "--threads", n))
			ours = append(ours, wall(n, bin, "run", folder, "--ids", ids))
		}
		slices.Sort(theirs)
		slices.Sort(ours)
		fmt.Printf("| %s | %.0f | %.0f |\n", filepath.Base(folder), theirs[2]*1e3, ours[2]*1e3)
	}
	fmt.Println()
}

// wall is how many seconds a process takes.
func wall(threads string, args ...string) float64 {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+threads)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		log.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return time.Since(start).Seconds()
}

// ratio is the median of the ratios of runs that followed each other.
func ratio(a, b []result) float64 {
	var rs []float64
	for i := range a {
		rs = append(rs, a[i].Pass/b[i].Pass)
	}
	slices.Sort(rs)
	return rs[len(rs)/2]
}

func median(rs []result) result {
	rs = slices.SortedFunc(slices.Values(rs), func(a, b result) int { return cmp.Compare(a.Pass, b.Pass) })
	return rs[len(rs)/2]
}

func process(args []string, threads string) result {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+threads)
	out, err := cmd.Output()
	var r result
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		log.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return r
}

// cutBatches writes the first batches of file to another.
func cutBatches(file string, limit int) (string, error) {
	b, err := readBatches(file)
	if err != nil {
		return "", err
	}
	n := min(limit, len(b.Batches))
	data, err := json.Marshal(batches{b.Batches[:n], b.Labels[:n]})
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "batches-*.json")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	return f.Name(), errors.Join(err, f.Close())
}

func readBatches(file string) (b batches, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return b, err
	}
	err = json.Unmarshal(data, &b)
	if err == nil && (len(b.Batches) == 0 || len(b.Batches) != len(b.Labels)) {
		err = fmt.Errorf("%s: %d batches, labels of %d", file, len(b.Batches), len(b.Labels))
	}
	return b, err
}

// sortByLength lays the sentences out anew, short ones first.
func (b *batches) sortByLength() {
	type pair struct {
		ids   []int32
		label int
	}
	var all []pair
	size := len(b.Batches[0])
	for i, batch := range b.Batches {
		for k, ids := range batch {
			all = append(all, pair{ids, b.Labels[i][k]})
		}
	}
	slices.SortStableFunc(all, func(a, b pair) int { return cmp.Compare(len(a.ids), len(b.ids)) })
	b.Batches, b.Labels = nil, nil
	for part := range slices.Chunk(all, size) {
		var ids [][]int32
		var labels []int
		for _, p := range part {
			ids, labels = append(ids, p.ids), append(labels, p.label)
		}
		b.Batches, b.Labels = append(b.Batches, ids), append(b.Labels, labels)
	}
}

// measure does what scripts/bench/torch_model.py does.
func measure(folder, file, mode string, threads, repeat int, sorted bool) error {
	ctx := context.Background()
	b, err := readBatches(file)
	if err != nil {
		return err
	}
	if sorted {
		b.sortByLength()
	}
	ck, err := loader.Open(ctx, folder, loader.Options{})
	if err != nil {
		return err
	}
	defer ck.Close()
	m, err := model.Open(ck, model.Options{Workers: threads, Train: mode == "train"})
	if err != nil {
		return err
	}
	trainer := m.Trainer(model.TrainOptions{LR: 1e-5, Decay: 0.01})
	step := func(b *arch.Batch, labels []int) (err error) {
		switch mode {
		case "forward":
			_, err = m.Engine().Forward(ctx, b, false)
		case "embgrad":
			_, _, err = m.Backward(ctx, b, labels, arch.InputGrads)
		case "train":
			_, err = trainer.Step(ctx, b, labels)
		default:
			err = fmt.Errorf("mode %q", mode)
		}
		return err
	}
	var r result
	var inputs []*arch.Batch
	for _, sequences := range b.Batches {
		in := arch.NewBatch(sequences...)
		inputs = append(inputs, in)
		r.Tokens += float64(len(in.IDs)) / float64(len(b.Batches))
	}
	var passes []float64
	for i := range 2 + repeat {
		start := time.Now()
		for k, in := range inputs {
			if err := step(in, b.Labels[k]); err != nil {
				return err
			}
		}
		if i >= 2 {
			passes = append(passes, time.Since(start).Seconds()/float64(len(inputs)))
		}
	}
	slices.Sort(passes)
	r.Pass, r.RSS = passes[len(passes)/2], peakRSS()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// peakRSS is the most memory that this process had resident, mapped pages of
// files included, in MiB; 0 where the system does not say.
func peakRSS() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
