package loader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/internal/ziptest"
	"github.com/btu-scan/btu-scan/loader/internal/pickle"
)

// The budgets that docs/hostile.md lists are those of the code.
func TestBudgetsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "hostile.md"))
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{}.withDefaults()
	// The walker's default: a stream of one opcode more is over it.
	if _, err := pickle.Walk(t.Context(), []byte(strings.Repeat("N0", 1<<24)+"N."), pickle.Limits{}); err == nil {
		t.Error("the limit on opcodes is not the one that is documented")
	}
	for row, n := range map[string]int64{
		"| header of safetensors, shard index | %d bytes |": opt.MaxHeader,
		"| one pickle | %d MiB, 33,554,432 opcodes":         opt.MaxPickle >> 20,
		"| all pickles | %d opcodes |":                      maxOps,
		"| unpacked bytes, together | %d MiB,":              opt.MaxUnpack >> 20,
		"| files, members and pickles, together | %d |":     maxParts,
		"| packings in packings | %d |":                     maxPacked,
		"| folders in folders | %d |":                       maxFolders,
		"| tensors | %d |":                                  int64(opt.MaxTensors),
		"| shards | %d |":                                   maxShards,
		"| findings that are listed | %d |":                 maxFound,
	} {
		if want := strings.Replace(row, "%d", commas(n), 1); !strings.Contains(string(doc), want) {
			t.Errorf("docs/hostile.md does not say %q", want)
		}
	}
}

func commas(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// What Open costs where nothing is read but structure.
func BenchmarkHostile(b *testing.B) {
	const tensors, bytes = 200, 438 << 20 / 200
	dir := b.TempDir()
	large := filepath.Join(dir, "large.safetensors")
	var entries []string
	for i := range tensors {
		entries = append(entries, tensorOf(fmt.Sprint(i), "U8", fmt.Sprintf("[%d]", bytes), i*bytes, (i+1)*bytes))
	}
	header := "{" + strings.Join(entries, ",") + "}"
	files := map[string][]byte{
		"bomb.zip":     ziptest.Build(member{Name: "m/data.pkl", Body: make([]byte, 200<<20), Deflate: true}).Data,
		"pickles.zip":  ziptest.Build(member{Name: "a", Body: []byte(strings.Repeat("N0", 30<<20)), Deflate: true}).Data,
		"large.header": append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...),
	}
	var members []member
	for i := range 99_990 {
		members = append(members, member{Name: fmt.Sprintf("m/%d", i), Body: []byte(pk("]"))})
	}
	files["members.zip"] = ziptest.Build(members...).Data
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(os.Rename(filepath.Join(dir, "large.header"), large), os.Truncate(large, int64(8+len(header)+tensors*bytes))); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"large.safetensors", "bomb.zip", "pickles.zip", "members.zip"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ck, err := Open(b.Context(), filepath.Join(dir, name), Options{})
				if (err == nil) != (name == "large.safetensors") {
					b.Fatal(err)
				}
				if err == nil {
					ck.Close()
				}
			}
		})
	}
}
