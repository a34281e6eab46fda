package hostile

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table into docs/hostile-corpus.md")

// TestCases: every case says what it is, and can be told from every other.
func TestCases(t *testing.T) {
	cases := Cases()
	seen := map[string]bool{}
	malicious := 0
	for _, c := range cases {
		id := strings.ToLower(c.ID())
		if seen[id] {
			t.Errorf("%s: another case has this name", c.ID())
		}
		seen[id] = true
		if c.Tests == "" || !strings.HasSuffix(c.Tests, ".") || len(c.Exit) == 0 {
			t.Errorf("%s: %+v", c.ID(), c)
		}
		switch c.Label {
		case Malicious:
			malicious++
		case Benign:
			if len(c.Rules) > 0 {
				t.Errorf("%s: a benign case expects findings", c.ID())
			}
		case Notice:
			if len(c.Rules) == 0 {
				t.Errorf("%s: a notice expects no findings", c.ID())
			}
		default:
			t.Errorf("%s: label %q", c.ID(), c.Label)
		}
		for _, r := range id {
			if r <= ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
				t.Errorf("%q cannot be a file's name", id)
				break
			}
		}
	}
	if len(cases) < 200 || malicious < 200 {
		t.Errorf("%d cases, %d malicious", len(cases), malicious)
	}
}

// TestTable keeps the table in the document true.
func TestTable(t *testing.T) {
	const begin, end = "<!-- classes: make golden -->\n", "<!-- end -->"
	name := filepath.Join("..", "..", "docs", "hostile-corpus.md")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", name)
	}
	want := Table(Cases())
	if *update {
		if err := os.WriteFile(name, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s is not up to date: make golden", name)
	}
}
