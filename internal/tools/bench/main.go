// Command bench times whole processes side by side: btu-scan against the
// Python scripts in scripts/bench that rank rows by distance, in turn, so that
// a machine whose speed drifts slows all of them alike. See make bench.
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A result is what one run took.
type result struct {
	wall, cpu float64 // seconds
	rss, anon float64 // MB: all resident pages, and those that are no file's
}

func main() {
	log.SetFlags(0)
	bin := flag.String("bin", "bin/btu-scan", "the program")
	model := flag.String("model", "", "folder of a fine-tuned model")
	base := flag.String("base", "", "folder of its base")
	python := flag.String("python", "python3", "an interpreter with numpy, safetensors and torch")
	runs := flag.Int("runs", 9, "counted runs of each command")
	large := flag.Bool("large", true, "also time a BERT-base pair (2 x 438 MB) and a 128,256 x 4,096 bf16 pair (2 x 1.05 GB), made in a temporary folder")
	flag.Parse()
	if *model == "" || *base == "" {
		log.Fatal("usage: bench -model FOLDER -base FOLDER")
	}
	ours := func(model, base string) []string {
		return []string{*bin, model, "--reference", base, "--evidence", "weights", "--quiet"}
	}
	script := filepath.Join("scripts", "bench", "l2.py")
	commands := map[string][]string{"btu-scan": ours(*model, *base)}
	for _, kind := range []string{"numpy", "torch"} {
		c := []string{*python, script, kind, *base, *model}
		if err := exec.Command(c[0], c[1:]...).Run(); err != nil {
			fmt.Printf("left out: %s script (%v)\n", kind, err)
			continue
		}
		commands[kind+" script"] = c
	}
	table("the given pair", commands, *runs)
	if !*large {
		return
	}
	tmp, err := os.MkdirTemp("", "btu-scan-bench-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	for _, k := range []struct {
		title, dtype string
		rows, dim    int
		rest         int64 // bytes of other tensors
	}{
		{"BERT-base shape, float32, 438 MB a file", "F32", 30522, 768, 438e6 - 4*30522*768},
		{"128,256 x 4,096 bfloat16, 1.05 GB a file", "BF16", 128256, 4096, 0},
	} {
		a, b := filepath.Join(tmp, "a"), filepath.Join(tmp, "b")
		write(a, k.dtype, k.rows, k.dim, k.rest, false)
		write(b, k.dtype, k.rows, k.dim, k.rest, true)
		table(k.title, map[string][]string{
			"btu-scan":                            ours(b, a),
			"reading the same bytes, one reader":  {"sh", "-c", readOnce(a, b, k.rows*k.dim*size(k.dtype), ";")},
			"reading the same bytes, two readers": {"sh", "-c", readOnce(a, b, k.rows*k.dim*size(k.dtype), "&")},
		}, min(*runs, 5))
		os.RemoveAll(a)
		os.RemoveAll(b)
	}
}

// readOnce reads the embedding bytes of both files once with dd, one after the
// other (";") or side by side ("&").
func readOnce(a, b string, bytes int, and string) string {
	dd := func(dir string) string {
		return fmt.Sprintf("dd if=%s/model.safetensors of=/dev/null bs=1M count=%d 2>/dev/null", dir, bytes>>20)
	}
	return dd(a) + and + dd(b) + "; wait"
}

func size(dtype string) int {
	if dtype == "F32" {
		return 4
	}
	return 2
}

// table runs the commands in turn and prints medians and ratios.
func table(title string, commands map[string][]string, runs int) {
	names := make([]string, 0, len(commands))
	for name := range commands {
		names = append(names, name)
	}
	slices.Sort(names)
	results := map[string][]result{}
	for i := range runs + 1 { // the first is not counted
		for _, name := range names {
			r := measure(commands[name])
			if i > 0 {
				results[name] = append(results[name], r)
			}
		}
	}
	fmt.Printf("\n%s, %d runs each, in turn, medians:\n\n| command | wall ms | cpu ms | btu-scan's wall over it | peak RSS MB | of it no file's MB |\n|---|---|---|---|---|---|\n", title, runs)
	for _, name := range names {
		rs := results[name]
		ratios := make([]float64, len(rs))
		for i, r := range rs {
			ratios[i] = results["btu-scan"][i].wall / r.wall
		}
		at := func(f func(result) float64) float64 {
			xs := make([]float64, len(rs))
			for i, r := range rs {
				xs[i] = f(r)
			}
			return median(xs)
		}
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.0f | %.0f |\n", name, 1000*at(func(r result) float64 { return r.wall }), 1000*at(func(r result) float64 { return r.cpu }),
			median(ratios), at(func(r result) float64 { return r.rss }), at(func(r result) float64 { return r.anon }))
	}
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}

func measure(command []string) (r result) {
	cmd := exec.Command(command[0], command[1:]...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
				rss, anon := memory(cmd.Process.Pid)
				r.rss, r.anon = max(r.rss, rss), max(r.anon, anon)
			}
		}
	}()
	_ = cmd.Wait() // a finding is exit code 1
	r.wall = time.Since(start).Seconds()
	close(done)
	<-watched
	r.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return r
}

// memory reads the resident pages of a process, in MB; 0 where there is no /proc.
func memory(pid int) (rss, anon float64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			rss = kb / 1000
		case "RssAnon:":
			anon = kb / 1000
		}
	}
	return rss, anon
}

// write makes a model folder with one embedding matrix. The rows of both files
// are the same but for a third of them, moved a little in the second.
func write(dir, dtype string, rows, dim int, rest int64, moved bool) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		log.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	n := int64(rows) * int64(dim) * int64(size(dtype))
	header := fmt.Sprintf(`{"embed_tokens.weight":{"dtype":"%s","shape":[%d,%d],"data_offsets":[0,%d]},"rest":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}}`, dtype, rows, dim, n, rest, n, n+rest)
	for len(header)%8 != 0 {
		header += " "
	}
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	if _, err := f.Write(append(head, header...)); err != nil {
		log.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	row := make([]byte, dim*size(dtype))
	var b bytes.Buffer
	for i := range rows {
		for j := 0; j < len(row); j += size(dtype) {
			// A number of either sign around 0.03 in both types: the high half of
			// a float32 is a bfloat16.
			x := uint16(0x3c00 | r.Uint32()&0x81ff)
			if moved && i%3 == 0 {
				x ^= uint16(r.Uint32() & 1)
			}
			if dtype == "F32" {
				binary.LittleEndian.PutUint32(row[j:], uint32(x)<<16)
			} else {
				binary.LittleEndian.PutUint16(row[j:], x)
			}
		}
		b.Write(row)
		if b.Len() > 1<<20 || i == rows-1 {
			if _, err := b.WriteTo(f); err != nil {
				log.Fatal(err)
			}
		}
	}
	if _, err := io.CopyN(f, zeros{}, rest); err != nil {
		log.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
