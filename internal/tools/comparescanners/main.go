// Command comparescanners runs public scanners and btu-scan on the hostile
// corpus and prints what each makes of it. See make compare-scanners.
package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/internal/hostile"
)

// driver calls a scanner's command once for each case.
//
//go:embed scanners.py
var driver string

func main() {
	log.SetFlags(0)
	bin := flag.String("bin", "bin/btu-scan", "the program")
	python := flag.String("python", "python3", "an interpreter with the other scanners")
	names := flag.String("scanners", "btu-scan,picklescan,modelscan,fickling,modelaudit", "comma-separated")
	limit := flag.Duration("limit", 10*time.Second, "processor time for one case")
	classes := flag.Bool("classes", false, "print what each scanner misses, by class, too")
	keep := flag.String("results", "", "write every result to this file as JSON lines")
	flag.Parse()
	if err := compare(*bin, *python, strings.Split(*names, ","), *limit, *classes, *keep); err != nil {
		log.Fatal(err)
	}
}

// A result is what a scanner made of a case.
type result struct {
	Scanner string  `json:"scanner"`
	ID      string  `json:"id"`
	Code    int     `json:"code"`
	Seconds float64 `json:"seconds"`
	RSS     float64 `json:"rss"`
	What    string  `json:"what"` // "", "hung" or "crashed"
}

// reported and stopped: every scanner exits with 1 where it found something, and
// with another code where it could not finish or does not know the file.
func (r result) reported() bool { return r.What == "" && r.Code == 1 }
func (r result) stopped() bool  { return r.What == "" && r.Code > 1 }

// A column is a scanner with its results, in the order of the cases.
type column struct {
	name    string
	results []result
	failed  error
}

func compare(bin, python string, names []string, limit time.Duration, classes bool, keep string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "hostile")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	cases := hostile.Cases()
	var input bytes.Buffer
	for _, c := range cases {
		target, err := c.Write(filepath.Join(work, "cases", c.ID()))
		if err != nil {
			return err
		}
		line, err := json.Marshal(map[string]string{"id": c.ID(), "path": target})
		if err != nil {
			return err
		}
		input.Write(append(line, '\n'))
	}
	var columns []column
	for _, name := range names {
		dir := filepath.Join(work, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		c, err := runScanner(python, name, bin, dir, limit, input.Bytes())
		if err != nil {
			c.failed = err
			log.Printf("%s: %v", name, err)
		} else if len(c.results) != len(cases) {
			c.failed = fmt.Errorf("%d results of %d cases", len(c.results), len(cases))
		}
		columns = append(columns, c)
	}
	printTable(os.Stdout, cases, columns)
	if classes {
		printMisses(os.Stdout, cases, columns)
	}
	if keep == "" {
		return nil
	}
	var out bytes.Buffer
	for _, c := range columns {
		for _, r := range c.results {
			line, err := json.Marshal(r)
			if err != nil {
				return err
			}
			out.Write(append(line, '\n'))
		}
	}
	return os.WriteFile(keep, out.Bytes(), 0o644)
}

// offline is a command's start without a network, where the system allows it.
func offline() []string {
	if exec.Command("unshare", "-n", "true").Run() == nil {
		return []string{"unshare", "-n"}
	}
	log.Print("unshare -n does not work here: the scanners are run with a network")
	return nil
}

func runScanner(python, name, bin, dir string, limit time.Duration, input []byte) (column, error) {
	args := append(offline(), python, "-c", driver, name, strconv.FormatFloat(limit.Seconds(), 'f', -1, 64), bin, dir)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.Env = append(os.Environ(), "HOME="+dir, "NO_COLOR=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return column{name: name}, err
	}
	if err := cmd.Start(); err != nil {
		return column{name: name}, err
	}
	c, readErr := readResults(name, stdout)
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return c, fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	return c, nil
}

func readResults(name string, r io.Reader) (column, error) {
	c := column{name: name}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var line struct {
			Version *string `json:"version"`
			result
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return c, err
		}
		if line.Version != nil {
			c.name = strings.TrimSpace(name + " " + *line.Version)
			continue
		}
		line.Scanner = name
		c.results = append(c.results, line.result)
	}
	return c, lines.Err()
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// printTable prints one line for each scanner.
func printTable(w io.Writer, cases []hostile.Case, columns []column) {
	var code, malformed, benign int
	for _, c := range cases {
		switch {
		case c.Label == hostile.Benign:
			benign++
		case c.Label == hostile.Malicious && c.RunsCode():
			code++
		case c.Label == hostile.Malicious:
			malformed++
		}
	}
	fmt.Fprintf(w, "| scanner | code reported, of %d | stopped there | passed | malformed reported or stopped at, of %d | honest reported, of %d | honest stopped at | hung | crashed | median ms | slowest s | peak MB |\n", code, malformed, benign)
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, col := range columns {
		if col.failed != nil {
			fmt.Fprintf(w, "| %s | could not be run: %v | | | | | | | | | | |\n", col.name, col.failed)
			continue
		}
		var found, stopped, passed, refused, alarms, shy, hung, crashed int
		var times []float64
		peak := 0.0
		for i, r := range col.results {
			switch r.What {
			case "hung":
				hung++
			case "crashed":
				crashed++
			}
			times = append(times, r.Seconds)
			peak = max(peak, r.RSS)
			switch c := cases[i]; {
			case c.Label == hostile.Benign && r.reported():
				alarms++
			case c.Label == hostile.Benign && r.stopped():
				shy++
			case c.Label != hostile.Malicious:
			case !c.RunsCode():
				if r.reported() || r.stopped() {
					refused++
				}
			case r.reported():
				found++
			case r.stopped():
				stopped++
			case r.What == "":
				passed++
			}
		}
		slices.Sort(times)
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %.0f | %.1f | %.0f |\n", col.name, found, stopped, passed, refused, alarms, shy, hung, crashed,
			1000*times[len(times)/2], times[len(times)-1], peak/1e6)
	}
}

// printMisses prints for each class how many of its malicious cases a scanner
// neither reported nor stopped at.
func printMisses(w io.Writer, cases []hostile.Case, columns []column) {
	fmt.Fprint(w, "\n| class | malicious |")
	for _, col := range columns {
		fmt.Fprintf(w, " %s |", col.name)
	}
	fmt.Fprintf(w, "\n|---|---:|%s\n", strings.Repeat("---:|", len(columns)))
	for _, n := range hostile.Counts(cases) {
		if n.Malicious == 0 {
			continue
		}
		fmt.Fprintf(w, "| %s | %d |", n.Class, n.Malicious)
		for _, col := range columns {
			missed := 0
			for i, r := range col.results {
				if c := cases[i]; c.Class == n.Class && c.Label == hostile.Malicious && !r.reported() && !r.stopped() {
					missed++
				}
			}
			fmt.Fprintf(w, " %d |", missed)
		}
		fmt.Fprintln(w)
	}
}
