package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"

	"github.com/btu-scan/btu-scan/internal/gemm"
	"github.com/btu-scan/btu-scan/internal/kernel"
	"github.com/btu-scan/btu-scan/internal/sandbox"
	"github.com/btu-scan/btu-scan/internal/vecmath"
	"github.com/btu-scan/btu-scan/scan/report"
)

// A health is what btu-scan doctor prints. Members of its JSON form are only
// added.
type health struct {
	SchemaVersion int          `json:"schema_version"`
	Version       string       `json:"version"`
	Go            string       `json:"go"`
	OS            string       `json:"os"`
	Arch          string       `json:"arch"`
	Processors    int          `json:"processors"`
	Features      []string     `json:"processor_features"` // those that the loops ask for
	Memory        uint64       `json:"memory_bytes,omitempty"`
	Landlock      int          `json:"landlock"` // version of the kernel's sandbox, 0 for none
	Loops         loops        `json:"loops"`
	Engines       []engineInfo `json:"engines"`
	CUDA          cudaInfo     `json:"cuda"`
	Auto          string       `json:"device_auto"` // what --device auto takes
}

// loops are the instructions of the inner loops: avx512, avx2, or go for none.
type loops struct {
	Rows        string `json:"rows"`        // sums over rows, decoding of 16-bit numbers
	Products    string `json:"products"`    // of matrices
	Activations string `json:"activations"` // and norms, softmax, AdamW
}

type engineInfo struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Libtorch  string `json:"libtorch,omitempty"` // version
	Reason    string `json:"reason,omitempty"`   // why it is not available
}

type cudaInfo struct {
	Available bool   `json:"available"`
	Devices   int    `json:"devices"`
	Reason    string `json:"reason,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this program can run models with here, and why not",
		Long: `Print the version, what the processor offers that the inner loops use, which
engines run models, and whether there is a GPU. Nothing is changed and no network
is used.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			h := examine(libtorchEngine())
			return a.show(format, h, h.print)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "text", "`text` or json")
	return cmd
}

func examine(lib *libtorch) health {
	h := health{
		SchemaVersion: 1, Version: version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Processors: runtime.GOMAXPROCS(0), Features: []string{}, Memory: memory(), Landlock: sandbox.Version(),
		Loops:   loops{Rows: kernel.Instructions(), Products: gemm.Instructions(), Activations: vecmath.Instructions()},
		Engines: []engineInfo{{Name: "go", Available: true}},
	}
	for _, f := range []struct {
		name string
		has  bool
	}{{"avx2", cpu.X86.HasAVX2}, {"fma", cpu.X86.HasFMA}, {"avx512f", cpu.X86.HasAVX512F}} {
		if f.has {
			h.Features = append(h.Features, f.name)
		}
	}
	if lib == nil {
		h.Engines = append(h.Engines, engineInfo{Name: "gotch", Reason: "this program was built without it (make gotch)"})
		h.CUDA.Reason = "this program was built without the gotch engine (make gotch LIBTORCH=cuda)"
	} else {
		h.Engines = append(h.Engines, engineInfo{Name: "gotch", Available: true, Libtorch: lib.version})
		n, err := lib.cuda()
		if h.CUDA.Available, h.CUDA.Devices = n > 0, n; err != nil {
			h.CUDA.Reason = report.Plain(err.Error())
		}
	}
	auto, err := deviceFlag{device: "auto", engine: "auto"}.choose(lib)
	if h.Auto = auto.String(); err != nil { // auto takes what there is
		h.Auto = err.Error()
	}
	return h
}

// memory is that of the machine; 0 where it is not told.
func memory() uint64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return memTotal(string(b))
}

func memTotal(meminfo string) uint64 {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			n, err := strconv.ParseUint(f[1], 10, 53)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

func (h health) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer func() { _ = w.Flush() }() // to memory
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	yes := func(available bool, more, reason string) string {
		if available {
			return "yes" + more
		}
		return "no: " + reason
	}
	row("btu-scan", "%s", h.Version)
	row("built with", "%s for %s/%s", h.Go, h.OS, h.Arch)
	features := strings.Join(h.Features, ", ")
	if features == "" {
		features = "none that the loops use"
	}
	row("processors", "%d (%s)", h.Processors, features)
	if h.Memory > 0 {
		row("memory", "%.1f GiB", float64(h.Memory)/(1<<30))
	}
	row("sandbox", "%s", yes(h.Landlock >= sandbox.Least, fmt.Sprintf(", Landlock %d", h.Landlock), "the kernel has no Landlock 4"))
	row("loops", "rows %s, products %s, activations %s", h.Loops.Rows, h.Loops.Products, h.Loops.Activations)
	for _, e := range h.Engines {
		more := ""
		if e.Libtorch != "" {
			more = ", libtorch " + e.Libtorch
		}
		row("engine "+e.Name, "%s", yes(e.Available, more, e.Reason))
	}
	row("CUDA", "%s", yes(h.CUDA.Available, fmt.Sprintf(", devices: %d", h.CUDA.Devices), h.CUDA.Reason))
	row("--device auto", "%s", h.Auto)
}
