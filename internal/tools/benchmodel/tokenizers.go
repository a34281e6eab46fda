package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// tokenizers prints how long package tokenizer and Hugging Face's library take
// for the lines in tokenizer/testdata, on one core.
func tokenizers(python string) error {
	theirs, err := output(python, filepath.Join("scripts", "bench", "tokenizers_hf.py"))
	if err != nil {
		return err
	}
	ours, err := output("go", "test", "-run", "^$", "-bench", "BenchmarkEncode(IDs)?$", "-benchtime", "0.3s", "-cpu", "1", "./tokenizer")
	if err != nil {
		return err
	}
	ms := map[string]float64{} // by "Encode/family"
	for line := range strings.Lines(ours) {
		f := strings.Fields(line)
		if name, ok := strings.CutPrefix(line, "Benchmark"); ok && len(f) > 2 {
			ns, _ := strconv.ParseFloat(f[2], 64)
			ms[strings.Fields(name)[0]] = ns / 1e6
		}
	}
	fmt.Println("| tokenizer | Hugging Face, ms | with offsets, ms | ratio | ids alone, ms | ratio |")
	fmt.Println("|---|---|---|---|---|---|")
	for line := range strings.Lines(theirs) {
		f := strings.Fields(line)
		if len(f) < 2 {
			return fmt.Errorf("tokenizers_hf.py: %q", line)
		}
		t, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return err
		}
		e, ids := ms["Encode/"+f[0]], ms["EncodeIDs/"+f[0]]
		fmt.Printf("| %s | %.0f | %.1f | %.2f | %.1f | %.2f |\n", f[0], t, e, e/t, ids, ids/t)
	}
	fmt.Println()
	return nil
}

func output(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return string(out), err
}
