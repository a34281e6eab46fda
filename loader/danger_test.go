package loader

import (
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/loader/internal/pickle"
)

func TestDangerOf(t *testing.T) {
	for _, c := range []struct {
		module, name, does string
		severity           Severity
	}{
		{"os", "system", "command", SeverityCritical},
		{"posix", "system", "command", SeverityCritical},
		{"subprocess", "Popen", "command", SeverityCritical},
		{"os", "remove", "deletes files", SeverityCritical},
		{"torch", "serialization.os.system", "command", SeverityCritical},
		{"torch.utils.collect_env", "run", "command", SeverityCritical},
		{"__builtin__", "eval", "Python code", SeverityCritical},
		{"builtins", "getattr", "hides", SeverityCritical},
		{"runpy", "run_path", "Python code", SeverityCritical},
		{"importlib.machinery", "SourceFileLoader", "Python code", SeverityCritical},
		{"torch", "load", "another pickle", SeverityCritical},
		{"socket", "create_connection", "network", SeverityCritical},
		{"builtins", "open", "files", SeverityCritical},
		{"sys", "modules", "blind", SeverityCritical},
		{"picklescan.scanner", "scan_file_path", "blind", SeverityCritical},
		{"bert.modeling", "BertModel", "no tensor needs", SeverityHigh},
		{"mylib.os", "thing", "no tensor needs", SeverityHigh}, // a module that is only called so
		{"mylib", "system", "no tensor needs", SeverityHigh},
		{"", "", "no tensor needs", SeverityHigh},
		{strings.Repeat("a.", 1000) + "os", "system", "no tensor needs", SeverityHigh},
	} {
		d := dangerOf(c.module, c.name)
		if !strings.Contains(d.does, c.does) || d.severity != c.severity {
			t.Errorf("%s.%s: %+v", c.module, c.name, d)
		}
	}
}

// The table explains: what it does not list is a finding all the same.
func TestDangersDoNotDecide(t *testing.T) {
	for _, name := range []string{"os.system", "no.such.thing"} {
		module, n, _ := strings.Cut(name, ".")
		tr, _ := pickle.Walk(t.Context(), []byte(pk(pkGlobal(module, n))), pickle.Limits{})
		if len(tr.Hazards) != 1 {
			t.Errorf("%s: %d hazards", name, len(tr.Hazards))
		}
	}
}
