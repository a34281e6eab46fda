package loader

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btu-scan/btu-scan/internal/ziptest"
)

// bunzipped is pk(system), packed by Python's bz2.
const bunzipped = "425a6839314159265359da3dbc1900000e53c05410004110400a22de6040002000228d068d034cd4281a686464c429405f4e68c884efd65ab0cd8d4098f8bb9229c28486d1ede0c8"

func gzipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body)
	z.Close()
	return b.Bytes()
}

func zlibbed(body []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(body)
	z.Close()
	return b.Bytes()
}

func tarred(members ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		body := h.Uname // stands for the content
		h.Uname, h.Size, h.Mode = "", int64(len(body)), 0o644
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag != tar.TypeReg {
			h.Size, body = 0, ""
		}
		_ = w.WriteHeader(&h)
		_, _ = w.Write([]byte(body))
	}
	w.Close()
	return b.Bytes()
}

func npy(header, body string) []byte {
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), body...)
}

// floatMatrix is a valid file of tensors whose header has n bytes.
func floatMatrix(n int) []byte {
	h := "{" + tensorOf("wte.weight", "F32", "[2,2]", 0, 16) + "}"
	return st(h+strings.Repeat(" ", n-len(h)), f32bytes(1, 2, 3, 4)...)
}

// tensorBytes is a valid file of tensors, one of which has the bytes of another
// file.
func tensorBytes(body []byte) []byte {
	return st("{"+tensorOf("a", "U8", fmt.Sprintf("[%d]", len(body)), 0, len(body))+"}", body...)
}

// pickledTensors is a valid file of tensors and a valid pickle. As a pickle it
// starts with a SHORT_BINSTRING, whose text is the rest of the header's length
// and the header's start. From there SHORT_BINBYTES lead to the tensor.
func pickledTensors() []byte {
	payload := pkGlobal("os", "system") + ")R."
	last := `"},` + tensorOf("a", "U8", fmt.Sprintf("[%d]", len(payload)), 0, len(payload))
	last += strings.Repeat(" ", 'w'-len(last)-1) + "}"
	return st(`{"__metadata__":{"x":"....`+strings.Repeat("C~"+strings.Repeat("a", '~'), 63)+"C@"+strings.Repeat("a", '@')+"Cw"+last, []byte(payload)...)
}

// TestContainers opens each file alone and beside a checkpoint.
func TestContainers(t *testing.T) {
	evil := []byte(pk(system))
	unhex, _ := hex.DecodeString(bunzipped)
	deep := evil
	for range maxPacked + 2 {
		deep = gzipped(deep)
	}
	damagedTar := tarred(tar.Header{Name: "a", Uname: "a"}, tar.Header{Name: "b", Uname: "b"}, tar.Header{Name: "c.pkl", Uname: string(evil)})
	damagedTar[2*tarBlock+150] ^= 0xff // of the second header
	damagedZip := ziptest.Build(member{Name: "a", Body: []byte("aaaaaaaaaaaaaaaaaaaaaa"), Deflate: true}, member{Name: "b.pkl", Body: evil})
	damagedZip.Data[damagedZip.Local[0]+31] ^= 0xff
	for _, c := range []struct {
		name  string
		data  []byte
		alone error    // what Open says of the file alone
		finds []string // "RULE severity where", each the start of one finding beside a checkpoint, FILE for the file
	}{
		{name: "pickle", data: evil, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE@2"}},
		{name: "harmless pickle", data: []byte(pk(pkDict(pkUnicode("a"), "N"))), alone: ErrUnsupported},
		{name: "pickle and more", data: []byte(pk("}") + "more"), alone: ErrUnsupported, finds: []string{"BTU201 high FILE@4"}},
		{name: "gzip", data: gzipped(evil), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!gzip@2"}},
		{name: "gzip of a checkpoint", data: gzipped(floatMatrix(80)), alone: ErrUnsupported},
		{name: "gzip, cut", data: gzipped(append(bytes.Clone(evil), bytes.Repeat([]byte("0123456789"), 9)...))[:60], alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!gzip@2", "BTU200 high FILE"}},
		{name: "gzip with junk behind", data: append(gzipped(evil), "junk"...), alone: ErrUnsafe, finds: []string{"BTU100", "BTU200"}},
		{name: "two gzip members", data: append(gzipped(evil[:10]), gzipped(evil[10:])...), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!gzip@2"}},
		{name: "zlib", data: zlibbed(evil), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!zlib@2"}},
		{name: "bzip2", data: unhex, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!bzip2@2"}},
		{name: "tar", data: tarred(tar.Header{Name: "data.pkl", Uname: string(evil)}), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!data.pkl@2"}},
		{name: "tar.gz", data: gzipped(tarred(tar.Header{Name: "x", Uname: string(evil)})), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!gzip!x@2"}},
		{name: "tar of harmless files", data: tarred(tar.Header{Name: "a", Uname: "a"}, tar.Header{Name: "m.safetensors", Uname: string(floatMatrix(80))}), alone: ErrUnsupported},
		{name: "tar that traverses", data: tarred(tar.Header{Name: "../../.bashrc", Uname: "x"}), alone: ErrUnsupported, finds: []string{"BTU202 high FILE!../../.bashrc"}},
		{name: "tar with a link out", data: tarred(tar.Header{Name: "a", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}), alone: ErrUnsupported, finds: []string{"BTU202"}},
		{name: "tar with a name twice", data: tarred(tar.Header{Name: "a", Uname: "x"}, tar.Header{Name: "a", Uname: "y"}), alone: ErrUnsupported, finds: []string{"BTU201"}},
		{name: "tar, damaged before the payload", data: damagedTar, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!c.pkl@2", "BTU200 high FILE@"}},
		{name: "tar behind the end of a tar", data: append(tarred(tar.Header{Name: "a", Uname: "a"}), tarred(tar.Header{Name: "b", Uname: string(evil)})...), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!b@2", "BTU201"}},
		{name: "zip", data: ziptest.Build(member{Name: "a/b.pkl", Body: evil, Deflate: true}).Data, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!a/b.pkl@2"}},
		{name: "zip of harmless files", data: ziptest.Build(member{Name: "a", Body: []byte("text")}).Data, alone: ErrUnsupported},
		{name: "zip in a zip", data: ziptest.Build(member{Name: "in.zip", Body: archive(pk(system))}).Data, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!in.zip!m/data.pkl@2"}},
		{name: "gzip in a torch zip", data: archive(pk("}"), member{Name: "m/extra/x", Body: gzipped(evil)}), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!m/extra/x!gzip@2"}},
		{name: "zip, one member damaged", data: damagedZip.Data, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!b.pkl@2", "BTU200 high FILE"}},
		{name: "zip behind other bytes", data: append([]byte("some text "), ziptest.Build(member{Name: "a.pkl", Body: evil}).Data...), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!a.pkl@2", "BTU201 high FILE"}},
		{name: "bomb", data: ziptest.Build(member{Name: "big", Body: make([]byte, 200<<20), Deflate: true}, member{Name: "b.pkl", Body: evil}).Data, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!b.pkl@2", "BTU900 warning FILE!big"}},
		{name: "gzip bomb", data: gzipped(make([]byte, 200<<20)), alone: ErrIncomplete, finds: []string{"BTU900 warning FILE"}},
		{name: "packed without end", data: deep, alone: ErrUnsupported, finds: []string{"BTU900 warning FILE!gzip"}},
		{name: "array", data: npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", string(floats(4))), alone: ErrUnsupported},
		{name: "array of objects", data: npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", string(evil)), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE@"}},
		{name: "array of objects in a structure", data: npy("{'descr': [('a', '<i4'), ('b', 'O')], 'fortran_order': False, 'shape': (1,), }\n", string(evil)), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE@"}},
		{name: "array of harmless objects", data: npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", pk("](N"+"e")), alone: ErrUnsupported},
		{name: "array of broken objects", data: npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", "nothing"), finds: []string{"BTU200 high FILE@"}},
		{name: "array of numbers that are a pickle", data: npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", string(evil)), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE@", "BTU201 high FILE@"}},
		{name: "array too short", data: npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000,), }\n", "x"), finds: []string{"BTU200 high FILE@"}},
		{name: "array of 2^80 numbers", data: npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1099511627776), }\n", "x"), finds: []string{"BTU200 high FILE@"}},
		{name: "arrays", data: ziptest.Build(member{Name: "a.npy", Body: npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }\n", string(evil)), Deflate: true}).Data, alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!a.npy@"}},

		// A header may start with any two bytes.
		{name: "zlib's magic", data: floatMatrix(0x2078)},
		{name: "zlib's other magic", data: floatMatrix(0x9c78)},
		{name: "gzip's magic", data: floatMatrix(0x88b1f)},
		{name: "a pickle's start", data: floatMatrix(0x0280)},
		{name: "a pickle's other start", data: floatMatrix(0x0480)},
		{name: "compress's magic", data: floatMatrix(0x9d1f)},

		{name: "tensors and a zip", data: tensorBytes(ziptest.Build(member{Name: "a", Body: []byte("a")}).Data), finds: []string{"BTU201 high FILE!a", "BTU201 high FILE"}},
		{name: "tensors and a torch zip", data: tensorBytes(archive(pk(system))), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!a!m/data.pkl@2", "BTU201 high FILE!a", "BTU201 high FILE", "BTU100 critical FILE!m/data.pkl@2"}},
		{name: "a zip between tensors", data: tensorBytes(append(archive(pk("}")), make([]byte, 70<<10)...)), finds: nil},
		{name: "tensors that are a pickle", data: tensorBytes(evil), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!a@2", "BTU201 high FILE!a"}},
		{name: "tensors and a pickle", data: pickledTensors(), alone: ErrUnsafe, finds: []string{"BTU100 critical FILE!a@0", "BTU201 high FILE!a", "BTU201 high FILE", "BTU100 critical FILE@8285", "BTU101"}},

		{name: "7z", data: []byte("7z\xbc\xaf\x27\x1c\x00\x04aaaaaaaaaaaa"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "xz", data: []byte("\xfd7zXZ\x00aaaaaaaaaaaaaaa"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "zstd", data: []byte("\x28\xb5\x2f\xfdaaaaaaaaaaaaaaa"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "HDF5", data: []byte("\x89HDF\r\n\x1a\naaaaaaaaa"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "HDF5 in a zip", data: ziptest.Build(member{Name: "model.weights.h5", Body: []byte("\x89HDF\r\n\x1a\naaaaaaaaa")}).Data, alone: ErrUnsupported, finds: []string{"BTU900 warning FILE!model.weights.h5"}},
		{name: "GGUF", data: []byte("GGUF\x03\x00\x00\x00aaaaaaaaaa"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "ONNX", data: []byte("\x08\x08\x12\x07pytorch\x1a\x032.8"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "TorchScript", data: archive(pk(pkGlobal("__torch__.M", "M")+")\x81}b"), member{Name: "m/constants.pkl", Body: []byte(pk(")"))}), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "empty", alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "zeros", data: make([]byte, 1000), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "pointer", data: []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "page", data: []byte("<!DOCTYPE html><html></html>"), alone: ErrUnsupported, finds: []string{"BTU900 warning FILE"}},
		{name: "noise", data: []byte("nobody knows what this is"), finds: []string{"BTU900 warning FILE"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			dir := write(t, map[string][]byte{"model.safetensors": twoByTwo("wte.weight"), "other.bin": c.data})
			ck, err := Open(t.Context(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			var got []string
			for _, f := range ck.Findings() {
				got = append(got, strings.Replace(fmt.Sprintf("%s %s %s", f.Rule, f.Severity, f.Where), filepath.Join(dir, "other.bin"), "FILE", 1))
			}
			ok := len(got) == len(c.finds)
			for i := range min(len(got), len(c.finds)) {
				ok = ok && strings.HasPrefix(got[i], c.finds[i])
			}
			if !ok {
				t.Errorf("beside a checkpoint: %q, want %q", ck.Findings(), c.finds)
			}
			alone, err := Open(t.Context(), filepath.Join(dir, "other.bin"), Options{})
			if err == nil {
				alone.Close()
			}
			var fe *FormatError
			if c.alone != nil && !errors.Is(err, c.alone) || c.alone == nil && err != nil && !errors.As(err, &fe) {
				t.Errorf("alone: %v, want %v", err, c.alone)
			}
			if err != nil && len(FindingsOf(err)) == 0 {
				t.Error("alone: nothing is said")
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// What trainers, numpy and PyTorch leave beside a model, written by
// testdata/beside/make.py.
func TestBesideIsSilent(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "beside", "*"))
	if err != nil || len(files) < 18 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := write(t, map[string][]byte{"model.safetensors": twoByTwo("wte.weight"), filepath.Base(file): data})
		ck, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(file, err)
		}
		found := ck.Findings()
		ck.Close()
		if strings.HasPrefix(filepath.Base(file), "training_args") {
			if len(found) != 1 || found[0].Rule != RuleTrainerSettings || found[0].Severity != SeverityInfo || !strings.Contains(found[0].Detail, "TrainingArguments") {
				t.Errorf("%s: %+v", file, found)
			}
			continue
		}
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Severity != SeverityInfo }) {
			t.Errorf("%s: %+v", file, found)
		}
	}
}

// A trainer's settings are what the trainer writes, and nothing more.
func TestTrainerSettings(t *testing.T) {
	args := pkGlobal("transformers.training_args", "TrainingArguments")
	enum := pkCall("transformers.trainer_utils", "IntervalStrategy", pkUnicode("no"))
	for _, c := range []struct {
		name, pickle string
		rules        string
	}{
		{"settings", args + ")\x81" + pkDict(pkUnicode("strategy"), enum) + "b", "BTU102"},
		{"with a payload", args + ")\x81" + pkDict(pkUnicode("strategy"), system) + "b", "BTU100 BTU100"},
		{"with an unknown class", args + ")\x81" + pkDict(pkUnicode("strategy"), pkGlobal("mine", "C")+")\x81") + "b", "BTU100 BTU100"},
		{"constructed", args + ")R", "BTU100 BTU101"},
		{"a function of the library", pkCall("transformers.training_args", "get_int_from_env", pkUnicode("x")), "BTU100"},
		{"attributes of an enumeration", enum + "}b", "BTU100 BTU101"},
	} {
		dir := write(t, map[string][]byte{"model.safetensors": twoByTwo("wte.weight"), "training_args.bin": archive(pk(c.pickle))})
		ck, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var rules []string
		for _, f := range ck.Findings() {
			rules = append(rules, f.Rule)
			if serious := f.Severity == SeverityHigh || f.Severity == SeverityCritical; serious == (c.rules == "BTU102") {
				t.Errorf("%s: severity %s", c.name, f.Severity)
			}
		}
		ck.Close()
		if got := strings.Join(rules, " "); got != c.rules {
			t.Errorf("%s: %s, want %s", c.name, got, c.rules)
		}
	}
}

func TestFolderIsLookedAt(t *testing.T) {
	evil := []byte(pk(system))
	files := map[string][]byte{
		"model.safetensors":              twoByTwo("wte.weight"),
		"vocab.txt":                      []byte("cat\ndog\n.\n"[:8] + "bird\n"),
		"README.md":                      []byte("# a model\n"),
		".hidden":                        evil,
		"checkpoint-1/optimizer.pt":      archive(pk(system)),
		"a/b/c/d/e.txt":                  evil,
		".git/x":                         evil,
		"pytorch_model.bin.index.json":   []byte(`{"weight_map":{"a":"../../x","b":"fine.bin"}}`),
		"model-2.safetensors":            []byte("\xff\xff\x00\x00\x00\x00\x00\x00{}"),
		"tokenizer.json":                 []byte(`{"model":{"vocab":{}}}`),
		"checkpoint-1/scheduler.pt":      archive(pk("}")),
		"checkpoint-1/training_args.bin": nil,
	}
	dir := write(t, files)
	outside := write(t, map[string][]byte{"x": evil})
	links := os.Symlink(filepath.Join(outside, "x"), filepath.Join(dir, "link")) == nil
	ck, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	want := map[string]string{
		".hidden@2": "BTU100", "checkpoint-1/optimizer.pt!m/data.pkl@2": "BTU100", "a/b/c/d/e.txt@2": "BTU100", ".git/x@2": "BTU100",
		"pytorch_model.bin.index.json": "BTU202", "model-2.safetensors": "BTU900", "checkpoint-1/training_args.bin": "BTU900",
	}
	if links {
		want["link"] = "BTU900"
	}
	for _, f := range ck.Findings() {
		where, _ := filepath.Rel(dir, f.Where)
		if want[filepath.ToSlash(where)] != f.Rule {
			t.Errorf("%+v", f)
		}
		delete(want, filepath.ToSlash(where))
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
	// Of a file that was named, and of a reference, only that file counts.
	for path, opt := range map[string]Options{filepath.Join(dir, "model.safetensors"): {}, dir: {TensorsOnly: true}} {
		c, err := Open(t.Context(), path, opt)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Findings()) > 0 {
			t.Errorf("%s: %+v", path, c.Findings())
		}
		c.Close()
	}
}

// What can be seen is said though the weights cannot be read.
func TestFolderWithoutWeights(t *testing.T) {
	for name, files := range map[string]map[string][]byte{
		"none":    {"a.pkl": []byte(pk(system))},
		"damaged": {"model.safetensors": []byte("x"), "a.pkl": []byte(pk(system))},
		"two":     {"a.bin": []byte(pk(system)), "b.bin": twoByTwo("x")},
	} {
		_, err := Open(t.Context(), write(t, files), Options{})
		if !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWalkerBudgets(t *testing.T) {
	ops := []byte("\x80\x02" + strings.Repeat("N0", 1<<19) + "N.")
	w := newWalker(t.Context(), Options{})
	w.ops = 1000
	if found := w.inside("f", ziptest.Build(member{Name: "a", Body: ops}, member{Name: "b", Body: []byte(pk(system))}).Data, false); !hasRule(found, RuleIncomplete) && w.err("f") == nil {
		t.Errorf("opcodes: %v", found)
	}
	w = newWalker(t.Context(), Options{})
	w.parts = 2
	w.inside("f", ziptest.Build(member{Name: "a", Body: []byte("a")}, member{Name: "b", Body: []byte(pk(system))}).Data, false)
	if err := w.err("f"); !errors.Is(err, ErrIncomplete) {
		t.Errorf("parts: %v", err)
	}
	w = newWalker(t.Context(), Options{MaxUnpack: 100})
	found := w.inside("f", ziptest.Build(
		member{Name: "a", Body: gzipped(make([]byte, 90))}, member{Name: "b", Body: gzipped(make([]byte, 90))}).Data, false)
	if len(found) != 1 || found[0].Rule != RuleIncomplete {
		t.Errorf("bytes: %v", found)
	}
}

func hasRule(found []Finding, rule string) bool {
	for _, f := range found {
		if f.Rule == rule {
			return true
		}
	}
	return false
}

// Overlapping members make a short archive long.
func TestOverlapIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	body := []byte("\x80\x02" + strings.Repeat("N0", 1<<17) + "N.")
	a := ziptest.Build(member{Name: "a", Body: body})
	le := binary.LittleEndian
	record := a.Data[a.Central[0]:a.End]
	data := bytes.Clone(a.Data[:a.Central[0]])
	const n = 60_000
	for range n {
		data = append(data, record...)
	}
	end := bytes.Clone(a.Data[a.End:])
	le.PutUint16(end[8:], n)
	le.PutUint16(end[10:], n)
	le.PutUint32(end[12:], uint32(n*len(record)))
	data = append(data, end...)
	start := time.Now()
	w := newWalker(t.Context(), Options{})
	found := w.inside("f", data, false)
	if err := w.err("f"); !errors.Is(err, ErrIncomplete) {
		t.Errorf("%v %d", err, len(found))
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func fuzzWalker(f *testing.F, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := allocatedBy(func() {
			w := newWalker(t.Context(), Options{MaxPickle: 1 << 16, MaxUnpack: 1 << 20})
			for _, f := range w.beside("model.bin", "f", data) {
				if f.Rule == "" || f.Severity == "" || f.Where == "" || f.Detail == "" {
					t.Errorf("%+v", f)
				}
			}
		})
		if n > 64<<20+5000*uint64(len(data)) {
			t.Errorf("%d bytes allocate %d", len(data), n)
		}
	})
}

func FuzzStream(f *testing.F) {
	unhex, _ := hex.DecodeString(bunzipped)
	fuzzWalker(f, gzipped([]byte(pk(system))), zlibbed([]byte(pk(system))), unhex, gzipped(tarred(tar.Header{Name: "x", Uname: pk(system)})))
}

func FuzzTar(f *testing.F) {
	fuzzWalker(f, tarred(tar.Header{Name: "x", Uname: pk(system)}), tarred(tar.Header{Name: "../x", Uname: "a"}, tar.Header{Name: "x", Linkname: "y", Typeflag: tar.TypeSymlink}))
}

func FuzzNumpy(f *testing.F) {
	fuzzWalker(f, npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", pk(system)), npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", string(floats(4))),
		npy("{'descr': [('a', '<i4'), ('b', 'O')], 'shape': ()}", pk("N")))
}

func FuzzPolyglot(f *testing.F) {
	fuzzWalker(f, tensorBytes(archive(pk(system))), tensorBytes([]byte(pk(system))), append([]byte(pk("}")), ziptest.Build(member{Name: "a", Body: []byte("a")}).Data...),
		ziptest.Build(member{Name: "in.zip", Body: archive(pk(system))}).Data)
}
