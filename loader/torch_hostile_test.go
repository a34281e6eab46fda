package loader

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/internal/torchtest"
	"github.com/btu-scan/btu-scan/internal/ziptest"
)

// The parts of a pickle. Nothing here is ever executed.
var (
	pkUnicode  = torchtest.Unicode
	pkInt      = torchtest.Int
	pkTuple    = torchtest.Tuple
	pkInts     = torchtest.Ints
	pkGlobal   = torchtest.Global
	pkCall     = torchtest.Call
	pkDict     = torchtest.Dict
	pkStorage  = torchtest.Storage
	pkTensor   = torchtest.Tensor
	pk         = torchtest.Stream
	archive    = torchtest.Zip
	floats     = torchtest.Floats
	legacyFile = torchtest.Legacy
)

// system is an inert call of something that no state dict needs.
var system = pkGlobal("posix", "system") + pkTuple(pkUnicode("true")) + "R"

type member = ziptest.Member

// findingsOf are the findings of a read, however it ended.
func findingsOf(c contents, err error) []Finding {
	var ue *UnsafeError
	var re *refusedError
	switch {
	case errors.As(err, &ue):
		return ue.Findings
	case errors.As(err, &re):
		return re.findings
	}
	return c.findings
}

type hostile struct {
	name  string
	data  []byte
	err   error    // sentinel; nil for none
	says  string   // part of the error's text
	finds []string // "RULE where", each the start of one finding, in order
}

func (h hostile) check(t *testing.T) {
	t.Helper()
	c, err := torchReader(h.data)(newWalker(t.Context(), Options{}), "f", h.data)
	if (h.err == nil && h.says == "") != (err == nil) {
		t.Fatalf("error %v", err)
	}
	if err != nil && (h.err != nil && !errors.Is(err, h.err) || !strings.Contains(err.Error(), h.says)) {
		t.Errorf("error %v, want %v with %q", err, h.err, h.says)
	}
	if err != nil && len(c.tensors) > 0 {
		t.Errorf("tensors beside an error")
	}
	fs := findingsOf(c, err)
	if len(fs) != len(h.finds) {
		t.Fatalf("findings %+v, want %v", fs, h.finds)
	}
	for i, f := range fs {
		if got := f.Rule + " " + f.Where; !strings.HasPrefix(got, h.finds[i]) {
			t.Errorf("finding %d is %s (%s), want %s", i, got, f.Detail, h.finds[i])
		}
	}
}

func TestTorchZipHostile(t *testing.T) {
	good := pk(pkDict(pkUnicode("w"), pkTensor(pkStorage("FloatStorage", "0", 6), 0, pkInts(2, 3), pkInts(3, 1))))
	data := member{Name: "m/data/0", Body: floats(6)}
	edit := func(more []member, f func(a *ziptest.Archive)) []byte {
		a := ziptest.Build(append([]member{{Name: "m/data.pkl", Body: []byte(good)}, {Name: "m/version", Body: []byte("3")}, data}, more...)...)
		f(a)
		return a.Data
	}
	tensor := func(offset int64, size, stride string, have int) []byte {
		return archive(pk(pkDict(pkUnicode("w"), pkTensor(pkStorage("FloatStorage", "0", 6), offset, size, stride))), member{Name: "m/data/0", Body: floats(have)})
	}
	tests := []hostile{
		{name: "good", data: archive(good, data)},
		{name: "unsafe", data: archive(pk(pkDict(pkUnicode("w"), system)), data), err: ErrUnsafe, says: "posix.system", finds: []string{"BTU100 f!m/data.pkl@10"}},
		{name: "broken after the payload", data: archive("\x80\x02" + system + "\xff"), err: ErrUnsafe, finds: []string{"BTU100 f!m/data.pkl@2", "BTU200 f!m/data.pkl@28"}},
		{name: "broken", data: archive("\x80\x02}\xff"), says: "f!m/data.pkl: offset 3 (0x3): unknown opcode"},
		{name: "forged length", data: archive("\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"), says: "offset 2"},
		{name: "second pickle", data: archive(good+pk(system), data), err: ErrUnsafe, finds: []string{"BTU100 f!m/data.pkl@" + fmt.Sprint(len(good)+2), "BTU201"}},
		{name: "bytes after the pickle", data: archive(good+"zzz", data), finds: []string{"BTU201 f!m/data.pkl@" + fmt.Sprint(len(good))}},

		// 18, 19, 20
		{name: "flag", data: edit(nil, func(a *ziptest.Archive) { a.Data[a.Local[0]+6] = 1 }), finds: []string{"BTU201 f@0"}},
		{name: "payload behind the encryption flag", data: func() []byte {
			a := ziptest.Build(member{Name: "m/data.pkl", Body: []byte(pk(system))})
			a.Data[a.Central[0]+8] = 1
			return a.Data
		}(), err: ErrUnsafe, finds: []string{"BTU100 f!m/data.pkl@2", "BTU200", "BTU201", "BTU200"}},
		{name: "local name", data: edit([]member{{Name: "m/x", Local: "m/y"}}, func(*ziptest.Archive) {}), finds: []string{"BTU201"}},
		{name: "checksum", data: edit(nil, func(a *ziptest.Archive) { a.Data[a.Central[0]+16]++; a.Data[a.Local[0]+14]++ }), finds: []string{"BTU200 f!m/data.pkl"}},
		{name: "checksum of a storage", data: edit(nil, func(a *ziptest.Archive) { a.Data[a.Central[2]+16]++; a.Data[a.Local[2]+14]++ })},
		// 22
		{name: "trailing", data: append(archive(good, data), "junk"...), finds: []string{"BTU201"}},
		// 23
		{name: "two main pickles", data: archive(good, data, member{Name: "m/data.pkl", Body: []byte(good)}), finds: []string{"BTU201"}},
		{name: "payload in the shadowed one", data: append([]byte(nil), ziptest.Build(member{Name: "m/data.pkl", Body: []byte(pk(system))}, member{Name: "m/data.pkl", Body: []byte(good)}, data).Data...), err: ErrUnsafe, finds: []string{"BTU100 f!m/data.pkl@2", "BTU201"}},
		{name: "two roots", data: archive(good, data, member{Name: "n/data.pkl", Body: []byte(good)}), says: `"n/data.pkl"`, finds: []string{"BTU201 f"}},
		{name: "root is not the first folder", data: ziptest.Build(member{Name: "a/x"}, member{Name: "m/data.pkl", Body: []byte(good)}, member{Name: "m/version"}, data).Data, finds: []string{"BTU201 f"}},
		{name: "case", data: archive(good, data, member{Name: "m/DATA.pkl", Body: []byte(good)}), finds: []string{"BTU201"}},
		{name: "traversing name", data: archive(good, data, member{Name: "../x"}), finds: []string{"BTU202"}},
		// 24
		{name: "pickle elsewhere", data: archive(good, data, member{Name: "m/extra/x.bin", Body: []byte(pk(system))}), err: ErrUnsafe, finds: []string{"BTU100 f!m/extra/x.bin@2"}},
		{name: "pickle in a storage", data: archive(good, member{Name: "m/data/0", Body: []byte(pk(system))}), err: ErrUnsafe, finds: []string{"BTU100 f!m/data/0@2"}},
		{name: "pickle of protocol 0", data: archive(good, data, member{Name: "m/x", Body: []byte("(S'true'\nios\nsystem\n.")}), err: ErrUnsafe, finds: []string{"BTU100 f!m/x@9", "BTU101 f!m/x@9"}},
		{name: "pickle compressed", data: archive(good, data, member{Name: "m/x", Body: []byte(pk(system)), Deflate: true}), err: ErrUnsafe, finds: []string{"BTU100 f!m/x@2"}},
		{name: "harmless pickle elsewhere", data: archive(good, data, member{Name: "m/x", Body: []byte(good)})},
		{name: "weights like a pickle", data: archive(good, member{Name: "m/data/0", Body: append([]byte("\x80\x02\x82\x01\xffabc"), floats(4)...)})},
		{name: "TorchScript", data: archive(pk(pkGlobal("__torch__.M", "M")+")\x81}b"), member{Name: "m/constants.pkl", Body: []byte(pk(")"))}), err: ErrUnsupported, says: "TorchScript"},
		{name: "TorchScript with a payload", data: archive(pk(pkGlobal("__torch__", "M")+")\x81"+system+"b"), member{Name: "m/constants.pkl", Body: []byte(pk(")"))}), err: ErrUnsafe, finds: []string{"BTU100 f!m/data.pkl@17"}},
		// 25
		{name: "compressed main pickle", data: ziptest.Build(member{Name: "m/data.pkl", Body: []byte(good), Deflate: true}, member{Name: "m/version"}, data).Data},
		{name: "bomb", data: ziptest.Build(member{Name: "m/data.pkl", Body: make([]byte, 100<<20), Deflate: true}).Data, err: ErrIncomplete},
		{name: "compressed storage", data: archive(good, member{Name: "m/data/0", Body: floats(6), Deflate: true}), err: ErrUnsupported, says: "compressed"},
		{name: "not torch", data: ziptest.Build(member{Name: "word/document.xml", Body: []byte("<x/>")}).Data, err: ErrUnsupported},
		{name: "no version", data: ziptest.Build(member{Name: "m/data.pkl", Body: []byte(good)}, data).Data, finds: []string{"BTU200 f"}},
		{name: "byte order", data: ziptest.Build(member{Name: "m/data.pkl", Body: []byte(good)}, member{Name: "m/version"}, member{Name: "m/byteorder", Body: []byte("middle")}, data).Data, says: "byte order"},
		{name: "cut", data: archive(good, data)[:300], says: "no end of central directory"},

		// 34
		{name: "storage short", data: archive(good, member{Name: "m/data/0", Body: floats(5)}), says: "24 bytes are declared, the member has 20"},
		{name: "storage long", data: archive(good, member{Name: "m/data/0", Body: floats(9)})},
		{name: "storage missing", data: archive(good), err: ErrIncomplete, says: `no member "m/data/0"`},
		{name: "key traverses", data: archive(pk(pkDict(pkUnicode("w"), pkTensor(pkStorage("FloatStorage", "../data.pkl", 1), 0, pkInts(1), pkInts(1))))), says: "plain name", finds: []string{"BTU202"}},
		{name: "numel negative", data: archive(pk(pkDict(pkUnicode("w"), pkTensor(pkStorage("FloatStorage", "0", -1), 0, pkInts(1), pkInts(1)))), data), says: "persistent id"},
		{name: "numel overflows", data: archive(pk(pkDict(pkUnicode("w"), pkTensor(pkStorage("FloatStorage", "0", 1<<62+1), 0, pkInts(1), pkInts(1)))), data), says: "declares 4611686018427387905"},
		{name: "numel 2^40", data: archive(pk(pkDict(pkUnicode("w"), pkTensor(pkStorage("FloatStorage", "0", 1<<40), 0, pkInts(1<<40), pkInts(1)))), member{Name: "m/data/0", Body: floats(12)}), says: "declared"},
		{name: "offset negative", data: tensor(-1, pkInts(2), pkInts(1), 6), says: "natural"},
		{name: "size negative", data: tensor(0, pkInts(-2), pkInts(1), 6), says: "natural"},
		{name: "stride negative", data: tensor(5, pkInts(2), pkInts(-1), 6), says: "natural"},
		{name: "offset too large", data: tensor(5, pkInts(2), pkInts(1), 6), says: "28 bytes of storage, 24 exist"},
		{name: "offset huge", data: tensor(1<<62, pkInts(2), pkInts(1), 6), says: "overflow"},
		{name: "stride too large", data: tensor(0, pkInts(2, 2), pkInts(6, 1), 6), says: "exist"},
		{name: "size overflows", data: tensor(0, pkInts(1<<40, 1<<40), pkInts(1, 1), 6), says: "overflows"},
		{name: "strides missing", data: tensor(0, pkInts(2, 2), pkInts(1), 6), says: "1 strides for 2"},
		{name: "beyond the declared storage", data: tensor(0, pkInts(8), pkInts(1), 8), says: "24 exist"},
		{name: "expanded", data: tensor(0, pkInts(1000, 6), pkInts(0, 1), 6)},
		{name: "expanded without end", data: tensor(0, pkInts(1<<40), pkInts(0), 6), says: "1099511627776 elements"},
		{name: "65 dimensions", data: tensor(0, pkInts(make([]int64, 65)...), pkInts(make([]int64, 65)...), 6), says: "64"},
		{name: "empty tensor", data: tensor(0, pkInts(0, 1<<40), pkInts(1, 1), 6)},
		{name: "two types for a storage", data: archive(pk(pkDict(
			pkUnicode("a"), pkTensor(pkStorage("FloatStorage", "0", 6), 0, pkInts(2), pkInts(1)),
			pkUnicode("b"), pkTensor(pkStorage("IntStorage", "0", 6), 0, pkInts(2), pkInts(1)))), data), says: "6 x FloatStorage and 6 x IntStorage"},
		{name: "no storage", data: archive(pk(pkDict(pkUnicode("w"), pkTensor("N", 0, pkInts(1), pkInts(1))))), says: "does not lie in a storage"},
		{name: "few arguments", data: archive(pk(pkDict(pkUnicode("w"), pkCall("torch._utils", "_rebuild_tensor_v2")))), says: "0 arguments"},
		{name: "not a storage's id", data: archive(pk(pkDict(pkUnicode("w"), pkTuple(pkUnicode("module"))+"Q"))), says: "persistent id"},
		{name: "unhashable key", data: archive(pk(pkCall("collections", "OrderedDict") + "C\x01xNs")), says: "cannot be built"},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.check)
	}
}

func TestTorchLegacyHostile(t *testing.T) {
	good := pk(pkDict(pkUnicode("w"), pkTensor(pkTuple(pkUnicode("storage"), pkGlobal("torch", "FloatStorage"), pkUnicode("7"), pkUnicode("cpu"), pkInt(6), "N")+"Q", 0, pkInts(2, 3), pkInts(3, 1))))
	view := func(off, size int64) string {
		return pk(pkDict(pkUnicode("w"), pkTensor(pkTuple(pkUnicode("storage"), pkGlobal("torch", "FloatStorage"), pkUnicode("7"), pkUnicode("cpu"), pkInt(6), pkTuple(pkUnicode("8"), pkInt(off), pkInt(size)))+"Q", 0, pkInts(2), pkInts(1))))
	}
	keys := pk("](" + pkUnicode("7") + "e")
	start := len(legacyFile("", ""))
	whole := legacyFile(good, keys, floats(6))
	at := func(off int) string { return fmt.Sprintf("f@%d", off) }
	cut := func(n int) []byte { return whole[:len(whole)-n] }
	forged := bytes.Clone(whole)
	binary.LittleEndian.PutUint64(forged[len(whole)-32:], 1<<40)
	tests := []hostile{
		{name: "good", data: whole},
		{name: "payload in the fourth", data: legacyFile(pk(system), keys), err: ErrUnsafe, finds: []string{"BTU100 " + at(start+2)}},
		{name: "payload in the fifth", data: legacyFile(good, pk(system), floats(6)), err: ErrUnsafe, finds: []string{"BTU100 " + at(start+len(good)+2)}},
		{name: "payload in the third", data: append(bytes.Clone(whole[:21]), pk(system)+good+keys...), err: ErrUnsafe, finds: []string{"BTU100 f@"}},
		{name: "payload behind the fifth", data: append(bytes.Clone(whole), pk(system)...), err: ErrUnsafe, finds: []string{"BTU100 " + at(len(whole)+2), "BTU201 " + at(len(whole))}},
		{name: "computed magic", data: []byte(pk(pkCall("builtins", "eval", pkUnicode("1"))) + pk("K\x01")), err: ErrUnsafe, finds: []string{"BTU100 f@2"}},
		{name: "trailing", data: append(bytes.Clone(whole), "junk"...), finds: []string{"BTU201 " + at(len(whole))}},
		{name: "only the magic", data: whole[:15], says: "without STOP"},
		{name: "protocol", data: []byte(string(whole[:15]) + pk("K\x01") + pk("}") + good + keys), says: "protocol 1, not 1001"},
		{name: "storages cut", data: cut(1), says: "declares 24 bytes, 23 exist"},
		{name: "storages missing", data: cut(32), says: "ends before storage"},
		{name: "numel forged", data: forged, says: "1099511627776 elements, its tensors say 6"},
		{name: "key twice", data: legacyFile(good, pk("]("+pkUnicode("7")+pkUnicode("7")+"e"), floats(6), floats(6)), says: "twice"},
		{name: "key unknown", data: legacyFile(good, pk("]("+pkUnicode("9")+"e"), floats(6)), says: "never used"},
		{name: "key missing", data: legacyFile(good, pk("]")), err: ErrIncomplete, says: "used but not stored"},
		{name: "keys are no list", data: legacyFile(good, pk("}"), floats(6)), says: "not a list"},
		{name: "view", data: legacyFile(view(4, 2), keys, floats(6))},
		{name: "view leaves", data: legacyFile(view(5, 2), keys, floats(6)), says: "leaves it"},
		{name: "view negative", data: legacyFile(view(-1, 2), keys, floats(6)), says: "leaves it"},

		{name: "bare pickle", data: []byte(pk(pkDict(pkUnicode("a"), "K\x01"))), err: ErrUnsupported},
		{name: "bare pickle, unsafe", data: []byte(pk(system)), err: ErrUnsafe, finds: []string{"BTU100 f@2"}},
		{name: "several pickles", data: []byte(pk("N") + pk("N") + pk(system)), err: ErrUnsafe, finds: []string{"BTU100 f@10"}},
		{name: "broken pickle", data: []byte("\x80\x02" + system), err: ErrUnsafe, finds: []string{"BTU100 f@2", "BTU200 f@28"}},
		{name: "broken pickle, later", data: []byte(pk("N") + "\x80\x02" + system), err: ErrUnsafe, finds: []string{"BTU100 f@6", "BTU200 f@32"}},
		{name: "many pickles", data: bytes.Repeat([]byte(pk("N")), 2000), err: ErrIncomplete},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.check)
	}
}

func TestTorchState(t *testing.T) {
	w := func(key string, n int64) string {
		return pkTensor(pkStorage("FloatStorage", "0", 6), 0, pkInts(n), pkInts(1))
	}
	tests := []struct {
		name   string
		object string
		names  string
		warns  string
	}{
		{name: "flat", object: pkDict(pkUnicode("b"), w("0", 1), pkUnicode("a"), w("0", 2)), names: "a b"},
		{name: "wrapped twice", object: pkDict(pkUnicode("model"), pkDict(pkUnicode("state_dict"), pkDict(pkUnicode("a"), w("0", 2)))), names: "a"},
		{name: "largest", object: pkDict(pkUnicode("model"), pkDict(pkUnicode("a"), w("0", 2)), pkUnicode("state_dict"), pkDict(pkUnicode("b"), w("0", 3))), names: "b", warns: `reading the largest, "state_dict"`},
		{name: "counter beside the model", object: pkDict(pkUnicode("step"), w("0", 1), pkUnicode("model"), pkDict(pkUnicode("a"), w("0", 2), pkUnicode("b"), w("0", 2))), names: "a b"},
		{name: "unknown wrapper", object: pkDict(pkUnicode("net1"), pkDict(pkUnicode("a"), w("0", 2)), pkUnicode("optimizer"), pkDict(pkUnicode("b"), w("0", 2))), names: "net1.a"},
		{name: "keys that are no strings", object: pkDict("K\x01", w("0", 2), pkUnicode("a"), w("0", 2), pkUnicode("n"), "K\x07"), names: "a", warns: "not strings"},
		{name: "repeated key", object: pkDict(pkUnicode("a"), w("0", 2), pkUnicode("a"), "N"), names: ""},
		{name: "names collide", object: pkDict(pkUnicode("a.b"), w("0", 1), pkUnicode("a"), pkDict(pkUnicode("b"), w("0", 2))), names: "a.b", warns: "only the first"},
		{name: "list", object: "](" + w("0", 1) + w("0", 2) + "e", names: "0 1"},
		{name: "nothing", object: "N", names: ""},
		{name: "conjugate", object: pkDict(pkUnicode("a"), pkCall("torch._utils", "_rebuild_tensor_v2", pkStorage("FloatStorage", "0", 6), "K\x00", pkInts(1), pkInts(1), "\x89", "N", pkDict(pkUnicode("conj"), "\x88"))), warns: "conjugate"},
		{name: "quantized", object: pkDict(pkUnicode("q"), pkCall("torch._utils", "_rebuild_qtensor")), warns: `"q" is quantized`},
		{name: "meta", object: pkDict(pkUnicode("q"), pkCall("torch._utils", "_rebuild_meta_tensor_no_storage")), warns: "no data"},
		{name: "cycle", object: "}q\x00(" + pkUnicode("a") + w("0", 1) + pkUnicode("self") + "h\x00u", names: "a self.a self.self.a", warns: "nested too deeply"},
		{name: "doubling", object: func() string {
			s := pkDict(pkUnicode("w"), w("0", 1))
			for i := range 40 {
				s = s + fmt.Sprintf("q%c0}(", i) + pkUnicode("a") + fmt.Sprintf("h%c", i) + pkUnicode("b") + fmt.Sprintf("h%c", i) + "u"
			}
			return s
		}(), names: "", warns: "nested too deeply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := archive(pk(tt.object), member{Name: "m/data/0", Body: floats(6)})
			c, err := readZip(newWalker(t.Context(), Options{}), "f", data)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, ten := range c.tensors {
				names = append(names, ten.Name)
			}
			if got := strings.Join(names, " "); got != tt.names && !(tt.name == "cycle" && strings.HasPrefix(got, tt.names)) {
				t.Errorf("names %q, want %q", got, tt.names)
			}
			if got := strings.Join(c.warnings, "; "); (got == "") != (tt.warns == "") || !strings.Contains(got, tt.warns) {
				t.Errorf("warnings %q, want %q", got, tt.warns)
			}
			if len(c.findings) > 0 {
				t.Errorf("findings %+v", c.findings)
			}
		})
	}
}

func TestTorchTied(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "torch", "views.zip.pt"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := readZip(newWalker(t.Context(), Options{}), "f", data)
	if err != nil {
		t.Fatal(err)
	}
	by := make(map[string]*Tensor)
	for _, ten := range c.tensors {
		by[ten.Name] = ten
	}
	if a, b := by["base"], by["tied"]; a == nil || b == nil || &a.data[0] != &b.data[0] || a.offset != b.offset {
		t.Error("tied tensors lie in different bytes")
	}
	if got := by["base"].file; got != "f!views.zip/data/0" {
		t.Errorf("file %q", got)
	}
}

func TestTorchCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, data := range [][]byte{archive(pk(system)), []byte(pk(system))} {
		if _, err := torchReader(data)(newWalker(ctx, Options{}), "f", data); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

func TestTorchManyMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	start := time.Now()
	members := []member{{Name: "m/data.pkl", Body: []byte(pk("}"))}, {Name: "m/version"}}
	for i := range 60_000 {
		members = append(members, member{Name: fmt.Sprintf("m/x/%d", i), Body: []byte("\x80\x02N")})
	}
	data := ziptest.Build(members...).Data
	if c, err := readZip(newWalker(t.Context(), Options{}), "f", data); err != nil || len(c.findings) > 0 {
		t.Errorf("%v %v", err, c.findings)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestIsPickle(t *testing.T) {
	tests := []struct {
		data string
		want bool
	}{
		{pk("N"), true}, {pk(system), true}, {"cos\nsystem\n", true}, {"(S'x'\nios\nsystem\n.", true},
		{"", false}, {".", false}, {"N.", false}, {"\x80\x02", false}, {"\x80\x02\xff\xff\xff", false},
		{"PK\x03\x04", false}, {"x\x9c\x00", false}, {"<!DOCTYPE html>", false}, {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", false},
		{`{"a": 1}`, false}, {strings.Repeat("\x00", 100), false}, {"\x1f\x8b\x08\x00", false},
	}
	for _, tt := range tests {
		if got := newWalker(t.Context(), Options{}).isPickle([]byte(tt.data)); got != tt.want {
			t.Errorf("%q: %v", clipped(tt.data), got)
		}
	}
}

func allocatedBy(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

func fuzzTorch(f *testing.F, suffix string, read reader, seeds ...[]byte) {
	files, _ := filepath.Glob(filepath.Join("testdata", "torch", "*"+suffix))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, data)
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c contents
		var err error
		// Inflating costs up to its ratio; the rest is bounded by the pickle.
		n := allocatedBy(func() {
			c, err = read(newWalker(t.Context(), Options{MaxPickle: 1 << 16, MaxUnpack: 1 << 20}), "f", data)
		})
		if n > 8<<20+5000*uint64(len(data)) {
			t.Errorf("%d bytes allocate %d", len(data), n)
		}
		if err != nil {
			return
		}
		for _, ten := range c.tensors {
			if ten.Dim() > 1<<16 || ten.Len() == 0 {
				continue
			}
			dst := make([]float32, ten.Dim())
			if ten.DType != C64 {
				if err := ten.ReadRows(t.Context(), dst, ten.Len()-1); err != nil {
					t.Errorf("%q: %v", ten.Name, err)
				}
			}
		}
	})
}

func FuzzTorchZip(f *testing.F) {
	fuzzTorch(f, ".zip.pt", readZip, archive(pk(system)))
}

func FuzzTorchLegacy(f *testing.F) {
	fuzzTorch(f, ".legacy.pt", readTorchLegacy, []byte(pk(system)))
}
