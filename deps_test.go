package btuscan_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/btu-scan/btu-scan"

// allowed says which packages of this module each package may import, and
// which of the outside world's it may that others may not. docs/architecture.md
// draws it. A package that is missing here fails the test: say where it stands
// before it grows.
var allowed = map[string][]string{
	"cmd/btu-scan":                   {"dataset", "expose", "sanitize", "loader", "model", "model/arch", "tokenizer", "reference", "scan", "scan/report", "scan/behaviour", "scan/probes", "policy", "tui", "internal/atomicfile", "internal/demo", "internal/triagefile", "model/gotch", "internal/gemm", "internal/kernel", "internal/sandbox", "internal/vecmath"},
	"scan/report":                    {"scan"},
	"policy":                         {"internal/triagefile", "scan", "scan/report"},
	"scan":                           {"internal/kernel"},
	"scan/behaviour":                 {"scan", "internal/kernel"},
	"scan/probes":                    {"internal/textrows"},
	"dataset":                        {"internal/textrows"},
	"expose":                         {"scan", "model", "model/arch", "internal/kernel", "internal/vecmath"},
	"reference":                      {"loader", "internal/atomicfile"},
	"tui":                            {"scan", "scan/report", "sanitize", "internal/triagefile"},
	"sanitize":                       {"loader", "model", "model/arch", "scan"},
	"model":                          {"loader", "model/arch", "model/cpu", "internal/vecmath"},
	"model/arch":                     {},
	"model/cpu":                      {"loader", "model/arch", "internal/gemm", "internal/scratch", "internal/vecmath"},
	"model/gotch":                    {"loader", "model/arch"},
	"tokenizer":                      {},
	"loader":                         {"loader/internal/pickle", "loader/internal/zipdir", "internal/kernel"},
	"loader/internal/pickle":         {},
	"loader/internal/zipdir":         {},
	"internal/atomicfile":            {},
	"internal/demo":                  {},
	"internal/gemm":                  {"internal/kernel", "internal/scratch"},
	"internal/sandbox":               {},
	"internal/scratch":               {},
	"internal/textrows":              {},
	"internal/triagefile":            {"internal/atomicfile"},
	"internal/vecmath":               {"internal/kernel"},
	"internal/kernel":                {},
	"internal/tools/bench":           {},
	"internal/tools/benchmodel":      {"loader", "model", "model/arch"},
	"internal/tools/picture":         {},
	"internal/tools/zoo":             {"internal/zoo", "scan"},
	"internal/tools/zootrain":        {"internal/zoo", "loader", "model", "model/arch", "tokenizer"},
	"internal/tools/zoorepair":       {"internal/zoo", "loader", "model", "sanitize", "scan"},
	"internal/zoo":                   {"loader", "model", "tokenizer"},
	"internal/hostile":               {"internal/torchtest", "internal/ziptest"}, // these three build files for tests
	"internal/torchtest":             {"internal/ziptest"},
	"internal/ziptest":               {},
	"internal/tools/comparescanners": {"internal/hostile"},
}

// only lists imports of the outside world that are confined to some packages.
var only = map[string][]string{
	"net/http":                              {"reference"},
	"net":                                   {"reference"},
	"os/exec":                               {"cmd/btu-scan", "internal/tools/bench", "internal/tools/benchmodel", "internal/tools/comparescanners", "internal/tools/zoorepair", "internal/zoo"},
	"unsafe":                                {"loader", "internal/gemm", "internal/sandbox", "model/gotch"},
	"C":                                     {},
	"github.com/spf13/cobra":                {"cmd/btu-scan"},
	"charm.land":                            {"tui"},
	"github.com/charmbracelet":              {"tui"},
	"github.com/nlpodyssey/gopickle":        {"loader/internal/pickle", "loader"},
	"github.com/edsrzf/mmap-go":             {"loader"},
	"github.com/sugarme/gotch":              {"model/gotch"},
	"golang.org/x/term":                     {"cmd/btu-scan"},
	"encoding/gob":                          {},
	"github.com/santhosh-tekuri/jsonschema": {},
}

func TestImports(t *testing.T) {
	for _, tags := range []string{"", "gotch"} {
		t.Run("tags="+tags, func(t *testing.T) { checkImports(t, tags) })
	}
}

func checkImports(t *testing.T, tags string) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", tags, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1") // which needs no C compiler to list
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if uses := strings.Contains(string(out), "github.com/sugarme/gotch/"); uses != (tags == "gotch") {
		t.Errorf("libtorch is imported: %t", uses)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/")
		if pkg == "" {
			continue // this test
		}
		may, known := allowed[pkg]
		if !known {
			t.Errorf("%s is not in the table of allowed imports", pkg)
			continue
		}
		for _, imp := range fields[1:] {
			if own, ok := strings.CutPrefix(imp, module+"/"); ok {
				if !slices.Contains(may, own) {
					t.Errorf("%s may not import %s", pkg, own)
				}
				continue
			}
			for prefix, who := range only {
				if (imp == prefix || strings.HasPrefix(imp, prefix+"/")) && !slices.Contains(who, pkg) && !(prefix == "net" && imp != "net") {
					t.Errorf("%s may not import %s", pkg, imp)
				}
			}
		}
	}
}

// The default build needs no C compiler.
func TestNoCgo(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{if and .CgoFiles (not .Standard)}}{{.ImportPath}}{{end}}`, "./cmd/btu-scan")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.TrimSpace(string(out)); s != "" {
		t.Errorf("packages with cgo: %s", s)
	}
}
