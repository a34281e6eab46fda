package hostile

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/btu-scan/btu-scan/internal/torchtest"
	"github.com/btu-scan/btu-scan/internal/ziptest"
)

// resources are streams that declare, nest or repeat without end.
func resources() []Case {
	k := class{name: "declared lengths"}
	u32 := func(n uint32) string { return string(le.AppendUint32(nil, n)) }
	u64 := func(n uint64) string { return string(le.AppendUint64(nil, n)) }
	for _, c := range []struct{ name, tests, body string }{
		{"BINBYTES8 of 2^62", "Bytes of 2^62.", "\x8e" + u64(1<<62)},
		{"BINUNICODE of 4 GiB", "A string of 4 GiB.", "X" + u32(math.MaxUint32)},
		{"BINUNICODE8 of 2^63", "A string of 2^63 bytes.", "\x8d" + u64(1<<63)},
		{"BYTEARRAY8 of 2^63", "A bytearray of 2^63.", "\x96" + u64(1<<63)},
		{"LONG4 of 2 GiB", "A number of 2 GiB.", "\x8b" + u32(math.MaxInt32)},
		{"LONG4 negative", "A number of negative length.", "\x8b" + u32(1<<31)},
		{"BINSTRING negative", "A string of negative length.", "T" + u32(1<<31)},
		{"LONG_BINPUT of 2^32", "A memo index of 2^32-1.", "Nr" + u32(math.MaxUint32) + "."},
		{"PUT of a googol", "A memo index of a hundred digits.", "Np1" + strings.Repeat("0", 100) + "\n."},
		{"digits", "A decimal number of 200,000 digits.", "L" + strings.Repeat("9", 200_000) + "L\n."},
	} {
		k.bad(c.name, c.tests, bin, []byte("\x80\x04"+c.body), either)
		k.bad(c.name+" behind a payload", c.tests+" A payload comes before it.", bin, []byte("\x80\x04"+inert+"0"+c.body), found, unsafeGlobal)
	}

	k2 := class{name: "expansion, depth and count"}
	lazy := func(name, tests string, exit []int, build func() []byte, rules ...string) {
		k2.add(Case{Name: name, Tests: tests, Label: Malicious, Target: bin, Exit: exit, Rules: rules, Files: func() []File { return []File{{Name: bin, Data: build()}} }})
	}
	lazy("doubling tuples", "DUP and TUPLE2 sixty times: 2^60 parts.", either, func() []byte { return []byte(stream("N" + strings.Repeat("2\x86", 60))) })
	lazy("doubling in a zip", "The same in a file of torch.save.", either, func() []byte {
		return torchtest.Zip(weights(str("x"), tup("N"+strings.Repeat("2\x86", 60)), str("y"), inert), storage0)
	}, unsafeGlobal)
	lazy("doubling by the memo", "Dicts that refer to each other twice, forty deep, around a payload.", found, func() []byte {
		s := dict(str("x"), inert)
		for i := range 40 {
			s += fmt.Sprintf("q%c0}(", i) + str("a") + fmt.Sprintf("h%c", i) + str("b") + fmt.Sprintf("h%c", i) + "u"
		}
		return []byte(stream(s))
	}, unsafeGlobal)
	lazy("nested tuples", "200,000 tuples in each other.", either, func() []byte { return []byte(stream("N" + strings.Repeat("\x85", 200_000))) })
	lazy("nested marks", "200,000 open marks.", either, func() []byte { return []byte(stream(strings.Repeat("(", 200_000))) })
	lazy("nested lists", "200,000 lists in each other.", either, func() []byte {
		return []byte(stream(strings.Repeat("]", 200_000) + strings.Repeat("a", 199_999)))
	})
	lazy("payload behind 3 million opcodes", "A budget of opcodes must not end as clean.", either, func() []byte {
		return []byte(stream(strings.Repeat("N0", 1_500_000) + inert))
	}, unsafeGlobal)
	lazy("40 million opcodes", "More opcodes than any budget.", either, func() []byte { return []byte(stream(strings.Repeat("N0", 20_000_000) + inert)) })
	lazy("many pickles", "2,000 pickles, then the payload.", either, func() []byte { return []byte(strings.Repeat(stream("N"), 2000) + stream(inert)) })
	lazy("many globals", "20,000 globals.", found, func() []byte { return []byte(stream(strings.Repeat(glob("a", "b")+"0", 20_000) + "N")) }, unsafeGlobal)
	lazy("endless line", "GLOBAL with a name of 5 MB.", either, func() []byte { return []byte(stream(glob("posix", strings.Repeat("x", 5<<20)) + ")R")) }, unsafeGlobal)
	return append(k.cases, k2.cases...)
}

// tensors are tensors that do not lie in their storage.
func tensors() []Case {
	k := class{name: "tensors and storages"}
	of := func(numel, offset int64, size, stride string, have int) []byte {
		return torchtest.Zip(stream(dict(str("wte.weight"), tensor(numel, offset, size, stride))), member{Name: "m/data/0", Body: make([]byte, have)})
	}
	zip := func(object string, more ...member) []byte {
		return torchtest.Zip(stream(dict(str("wte.weight"), object)), more...)
	}
	for _, c := range []struct {
		name, tests string
		data        []byte
	}{
		{"short storage", "12 floats in a storage of 20 bytes, which torch accepts.", of(12, 0, ints(3, 4), ints(4, 1), 20)},
		{"2^40 elements", "A storage that declares 2^40 elements and has 48 bytes.", of(1<<40, 0, ints(1<<40), ints(1), 48)},
		{"negative numel", "A storage of -1 elements.", of(-1, 0, ints(1), ints(1), 24)},
		{"numel overflows", "A number of elements whose bytes overflow 64 bits.", of(1<<62+1, 0, ints(1), ints(1), 24)},
		{"negative offset", "A tensor that starts before its storage.", of(6, -1, ints(2), ints(1), 24)},
		{"huge offset", "An offset that overflows in bytes.", of(6, 1<<62, ints(2), ints(1), 24)},
		{"offset behind the end", "A tensor that ends behind its storage.", of(6, 5, ints(2), ints(1), 24)},
		{"negative size", "A dimension of -2.", of(6, 0, ints(-2, -3), ints(3, 1), 24)},
		{"size overflows", "Dimensions whose product overflows.", of(6, 0, ints(1<<40, 1<<40), ints(1, 1), 24)},
		{"negative stride", "A stride of -1.", of(6, 5, ints(6), ints(-1), 24)},
		{"huge stride", "A stride that leaves the storage.", of(6, 0, ints(2, 2), ints(1<<60, 1), 24)},
		{"strides missing", "Fewer strides than dimensions.", of(6, 0, ints(2, 3), ints(1), 24)},
		{"65 dimensions", "More dimensions than torch has.", of(6, 0, ints(make([]int64, 65)...), ints(make([]int64, 65)...), 24)},
		{"expanded without end", "A stride of 0 that repeats four bytes 2^40 times.", of(6, 0, ints(1<<40), ints(0), 24)},
		{"storage missing", "No member for the storage.", zip(tensor(6, 0, ints(6), ints(1)))},
		{"key traverses", "A storage key of ../data.pkl.", zip(torchtest.Tensor(torchtest.Storage("FloatStorage", "../data.pkl", 1), 0, ints(1), ints(1)))},
		{"key with a NUL", "A storage key with a NUL.", zip(torchtest.Tensor(torchtest.Storage("FloatStorage", "0\x00", 1), 0, ints(1), ints(1)), storage0)},
		{"two types", "One storage with two types.", torchtest.Zip(stream(dict(
			str("wte.weight"), torchtest.Tensor(torchtest.Storage("FloatStorage", "0", 6), 0, ints(6), ints(1)),
			str("b"), torchtest.Tensor(torchtest.Storage("LongStorage", "0", 6), 0, ints(6), ints(1)))), storage0)},
		{"no storage", "A tensor over None.", zip(torchtest.Tensor("N", 0, ints(1), ints(1)))},
		{"few arguments", "A tensor made of no arguments.", zip(call("torch._utils", "_rebuild_tensor_v2"))},
		{"another persistent id", "A persistent id that is no storage's.", zip(tup(str("module")) + "Q")},
		{"byte order", "A byte order that does not exist.", ziptest.Build(
			member{Name: "m/data.pkl", Body: []byte(weights())}, member{Name: "m/byteorder", Body: []byte("middle")},
			member{Name: "m/version", Body: []byte("3")}, storage0).Data},
		{"legacy numel", "A legacy storage that declares other elements than its tensors.", legacyWith(func(b []byte) { le.PutUint64(b[len(b)-32:], 1<<40) })},
		{"legacy cut", "A legacy file whose storage is cut.", legacy()[:len(legacy())-4]},
		{"legacy view", "A view that leaves its legacy storage.", torchtest.Legacy(stream(dict(str("wte.weight"),
			torchtest.Tensor(torchtest.LegacyStorage("FloatStorage", "7", 6, tup(str("8"), num(5), num(2))), 0, ints(2), ints(1)))), stream(list(str("7"))), torchtest.Floats(6))},
		{"legacy key twice", "A legacy storage key that occurs twice.", torchtest.Legacy(stream(dict(str("wte.weight"),
			torchtest.Tensor(torchtest.LegacyStorage("FloatStorage", "7", 6, "N"), 0, ints(6), ints(1)))), stream(list(str("7"), str("7"))), torchtest.Floats(6), torchtest.Floats(6))},
	} {
		k.bad(c.name, c.tests, bin, c.data, either)
	}
	k.good("tied", "Two names for one storage.", bin, torchtest.Zip(stream(dict(str("wte.weight"), tensor(6, 0, ints(2, 3), ints(3, 1)), str("lm_head.weight"), tensor(6, 0, ints(2, 3), ints(3, 1)))), storage0))
	k.good("overlapping", "Views that overlap.", bin, torchtest.Zip(stream(dict(str("wte.weight"), tensor(6, 0, ints(2, 3), ints(3, 1)), str("b"), tensor(6, 2, ints(3), ints(1)))), storage0))
	k.good("expanded", "A stride of 0 that repeats a row.", bin, of(6, 0, ints(100, 6), ints(0, 1), 24))
	k.good("long storage", "A storage that is longer than it declares.", bin, of(6, 0, ints(2, 3), ints(3, 1), 64))
	k.good("empty", "A tensor without elements.", bin, torchtest.Zip(weights(str("e"), tensor(6, 0, ints(0, 4), ints(4, 1))), storage0))
	k.good("legacy", "An honest legacy file.", bin, legacy())
	return k.cases
}

func legacyWith(f func(b []byte)) []byte {
	b := legacy()
	f(b)
	return b
}

// safetensorsFiles are headers that the reference reader refuses, or accepts and
// others read differently.
func safetensorsFiles() []Case {
	k := class{name: "safetensors structure"}
	const st = "model.safetensors"
	f32 := func(name, shape, offsets string) string {
		return fmt.Sprintf(`%q:{"dtype":"F32","shape":%s,"data_offsets":%s}`, name, shape, offsets)
	}
	obj := func(entries ...string) string { return "{" + strings.Join(entries, ",") + "}" }
	w := f32("wte.weight", "[2,2]", "[0,16]")
	length := func(n uint64, rest string) []byte { return append(le.AppendUint64(nil, n), rest...) }
	for _, c := range []struct {
		name, tests string
		data        []byte
	}{
		{"seven bytes", "Fewer bytes than the header's length has.", []byte("1234567")},
		{"huge header", "A header of 2^64 bytes.", length(0xffffff000000003c, "{}")},
		{"header over the limit", "A header of 100,000,001 bytes, not there.", length(100_000_001, "{}")},
		{"header longer than the file", "A header of 60 bytes in a file of 10.", length(60, "{}")},
		{"not UTF-8", "A header of one byte ff.", length(1, "\xff")},
		{"not JSON", "A header of one brace.", length(1, "{")},
		{"array", "A header that is an array.", length(2, "[]")},
		{"null", "A header that is null.", length(4, "null")},
		{"trailing data", "Bytes behind the last tensor.", append(safetensors(obj(w), 16), "extra_data_for_a_polyglot"...)},
		{"two bytes missing", "The last tensor is cut.", safetensors(obj(w), 14)},
		{"ten on one range", "Ten tensors on the same bytes.", safetensors(tenOnOne(), 16)},
		{"overlap", "Two tensors that overlap.", safetensors(obj(w, f32("b", "[2,2]", "[8,24]")), 24)},
		{"hole at the start", "No tensor at the start.", safetensors(obj(f32("wte.weight", "[2,2]", "[8,24]")), 24)},
		{"hole in the middle", "Bytes between two tensors.", safetensors(obj(w, f32("b", "[2]", "[24,32]")), 32)},
		{"reversed offsets", "The end before the start.", safetensors(obj(f32("wte.weight", "[2,2]", "[16,0]")), 16)},
		{"negative offset", "An offset of -16.", safetensors(obj(f32("wte.weight", "[2,2]", "[-16,0]")), 16)},
		{"fractional offset", "An offset of 0.5.", safetensors(obj(f32("wte.weight", "[2,2]", "[0.5,16]")), 16)},
		{"offset over 2^64", "An offset that needs 65 bits.", safetensors(obj(f32("wte.weight", "[2,2]", "[0,18446744073709551632]")), 16)},
		{"one offset", "One offset.", safetensors(obj(f32("wte.weight", "[2,2]", "[0]")), 16)},
		{"three offsets", "Three offsets.", safetensors(obj(f32("wte.weight", "[2,2]", "[0,16,16]")), 16)},
		{"size mismatch", "A shape that needs other bytes than the offsets give.", safetensors(obj(f32("wte.weight", "[2,2]", "[0,4]")), 4)},
		{"shape overflows", "A shape whose product overflows.", safetensors(obj(f32("wte.weight", "[2,18446744073709551614]", "[0,16]")), 16)},
		{"shape overflows signed", "A shape of [2, 2^63-1].", safetensors(obj(f32("wte.weight", "[2,9223372036854775807]", "[0,16]")), 16)},
		{"zero times huge", "A shape of [0, 2^64-1, 2], on which readers crash.", safetensors(obj(w, f32("z", "[0,18446744073709551615,2]", "[16,16]")), 16)},
		{"F4 misaligned", "Three elements of four bits.", safetensors(`{"wte.weight":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}`, 2)},
		{"unknown dtype", "A type that does not exist.", safetensors(`{"wte.weight":{"dtype":"F128","shape":[1],"data_offsets":[0,16]}}`, 16)},
		{"lower-case dtype", "A type in lower case.", safetensors(`{"wte.weight":{"dtype":"f32","shape":[2,2],"data_offsets":[0,16]}}`, 16)},
		{"field twice", "shape stated twice.", safetensors(`{"wte.weight":{"dtype":"F32","shape":[1],"shape":[2,2],"data_offsets":[0,16]}}`, 16)},
		{"tensor twice", "A tensor stated twice; some readers take the first, some the last.", safetensors(obj(w, f32("wte.weight", "[4]", "[0,16]")), 16)},
		{"metadata twice", "__metadata__ stated twice.", safetensors(`{"__metadata__":{},"__metadata__":{},`+w+`}`, 16)},
		{"metadata of numbers", "A number in __metadata__.", safetensors(`{"__metadata__":{"a":1},`+w+`}`, 16)},
		{"metadata nested", "An object in __metadata__.", safetensors(`{"__metadata__":{"a":{"b":"c"}},`+w+`}`, 16)},
		{"metadata list", "__metadata__ as a list.", safetensors(`{"__metadata__":["a"],`+w+`}`, 16)},
		{"shape missing", "No shape.", safetensors(`{"wte.weight":{"dtype":"F32","data_offsets":[0,16]}}`, 16)},
		{"two objects", "A second object in the header.", safetensors(obj(w)+"{}", 16)},
		{"NUL padding", "A header padded with NULs.", rawSafetensors(obj(w)+"\x00\x00\x00\x00", 16)},
		{"byte order mark", "A byte order mark before the header.", rawSafetensors("\ufeff"+obj(w), 16)},
		{"comment", "A comment in the header.", safetensors("{/* */"+w+"}", 16)},
		{"lone surrogate", "Half a character in a name.", safetensors(`{"\ud800":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}`, 16)},
		{"deep", "A header of 100,000 brackets.", safetensors(`{"a":`+strings.Repeat("[", 100_000), 0)},
	} {
		k.bad(c.name, c.tests, st, c.data, either)
	}
	named := func(name string) []byte {
		return safetensors(fmt.Sprintf(`{"wte.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},%s:{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}`, name), 20)
	}
	for _, c := range []struct {
		name, tests string
		data        []byte
	}{
		{"plain", "One matrix.", safetensors(obj(w), 16)},
		{"padded", "A header padded with white space.", rawSafetensors(obj(w)+"\r \t\n", 16)},
		{"metadata", "Metadata of strings.", safetensors(`{"__metadata__":{"format":"pt"},`+w+`}`, 16)},
		{"metadata null", "__metadata__ is null.", safetensors(`{"__metadata__":null,`+w+`}`, 16)},
		{"zero-sized", "A tensor without elements.", safetensors(obj(w, f32("z", "[2,0]", "[16,16]")), 16)},
		{"scalar", "A tensor without dimensions.", safetensors(obj(w, f32("s", "[]", "[16,20]")), 20)},
		{"F8", "Types of eight bits.", safetensors(`{"wte.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[16,20]},"b":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[20,24]},"c":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[24,28]}}`, 28)},
		{"F4 and F6", "Types of four and six bits.", safetensors(`{"wte.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"a":{"dtype":"F4","shape":[8],"data_offsets":[16,20]},"b":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[20,23]},"c":{"dtype":"F6_E3M2","shape":[4],"data_offsets":[23,26]}}`, 26)},
		{"not in order", "Tensors in another order than their bytes.", safetensors(obj(f32("b", "[2]", "[16,24]"), w), 24)},
		{"long name", "A name of a thousand characters.", named(`"` + strings.Repeat("layer.", 170) + `weight"`)},
		{"no padding", "A header that is not padded to eight bytes.", rawSafetensors(obj(w)+" ", 16)},
		{"many", "2,000 tensors.", manyTensors(2000)},
	} {
		k.good(c.name, c.tests, st, c.data)
	}
	return k.cases
}

func tenOnOne() string {
	var entries []string
	for i := range 10 {
		entries = append(entries, fmt.Sprintf(`"t%d":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}`, i))
	}
	return "{" + strings.Join(entries, ",") + "}"
}

func manyTensors(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"wte.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}`)
	for i := range n {
		fmt.Fprintf(&b, `,"layer.%d.bias":{"dtype":"F16","shape":[2],"data_offsets":[%d,%d]}`, i, 16+4*i, 20+4*i)
	}
	b.WriteByte('}')
	return safetensors(b.String(), 16+4*n)
}

// shards are indexes that name what they should not.
func shards() []Case {
	k := class{name: "shard indexes"}
	const index = "model.safetensors.index.json"
	file := safetensors(tensorEntry("wte.weight", "F32", "[2,2]", 0, 16), 16)
	second := safetensors(tensorEntry("b", "F32", "[2,2]", 0, 16), 16)
	names := func(weights string) File {
		return text(index, `{"metadata":{"total_size":16},"weight_map":`+weights+`}`)
	}
	shard := File{Name: "model-1.safetensors", Data: file}
	for _, c := range []struct{ name, tests, shard string }{
		{"parent folder", "A shard called ../../../etc/passwd.", "../../../etc/passwd"},
		{"absolute", "A shard with an absolute path.", "/etc/passwd"},
		{"backslashes", `A shard called ..\..\x.`, `..\\..\\x`},
		{"drive", "A shard with a drive letter.", "C:/x"},
		{"parent behind a folder", "A shard called a/../../x.", "a/../../x"},
		{"URL", "A shard that is a URL.", "https://example.com/x"},
	} {
		k.folder(Malicious, c.name, c.tests, found, []string{traversal}, names(fmt.Sprintf(`{"wte.weight":"%s"}`, c.shard)))
	}
	k.folder(Malicious, "missing shard", "A shard that is not there.", refused, []string{incomplete}, names(`{"wte.weight":"model-1.safetensors","b":"model-2.safetensors"}`), shard)
	k.folder(Malicious, "missing tensor", "A tensor that its shard does not hold.", refused, []string{incomplete}, names(`{"wte.weight":"model-1.safetensors","c":"model-1.safetensors"}`), shard)
	k.folder(Malicious, "link out of the folder", "A shard that is a link to another folder.", either, nil, names(`{"wte.weight":"model-1.safetensors"}`), File{Name: "model-1.safetensors", Link: "/etc/passwd"})
	k.folder(Malicious, "relative link out of the folder", "A link by ../.", either, nil, names(`{"wte.weight":"model-1.safetensors"}`), File{Name: "model-1.safetensors", Link: "../../../../../../etc/hostname"})
	k.folder(Malicious, "shard is a folder", "A shard that is a folder.", either, nil, names(`{"wte.weight":"model-1"}`), File{Name: "model-1/x", Data: file})
	k.folder(Malicious, "shard is the index", "An index that names itself.", either, nil, names(`{"wte.weight":"`+index+`"}`))
	k.folder(Malicious, "shard is a pickle", "A shard that is a pickle with a payload.", found, []string{unsafeGlobal}, names(`{"wte.weight":"model-1.safetensors"}`), File{Name: "model-1.safetensors", Data: evil()})
	k.folder(Malicious, "payload in the second shard", "Two torch shards, the payload in the second.", found, []string{unsafeGlobal},
		text("pytorch_model.bin.index.json", `{"weight_map":{"wte.weight":"a.bin","b":"b.bin"}}`), File{Name: "a.bin", Data: torchtest.Zip(weights(), storage0)}, File{Name: "b.bin", Data: torchtest.Zip(stream(inert))})
	k.folder(Malicious, "tensor in another shard", "The index says another shard than the one that holds the tensor.", either, nil, names(`{"wte.weight":"model-2.safetensors","b":"model-1.safetensors"}`), shard, File{Name: "model-2.safetensors", Data: second})
	k.folder(Malicious, "tensor in two shards", "Two shards that hold the same tensor.", either, nil, names(`{"wte.weight":"model-1.safetensors","b":"model-2.safetensors"}`), shard, File{Name: "model-2.safetensors", Data: file})
	k.folder(Malicious, "tensor named twice", "The index names a tensor twice.", either, nil, names(`{"wte.weight":"model-1.safetensors","wte.weight":"model-2.safetensors"}`), shard)
	k.folder(Malicious, "mixed formats", "Shards of two formats.", either, nil, names(`{"wte.weight":"model-1.safetensors","b":"b.bin"}`), shard, File{Name: "b.bin", Data: torchtest.Zip(stream(dict(str("b"), tensor(6, 0, ints(6), ints(1)))), storage0)})
	k.folder(Malicious, "no weight_map", "An index without a map.", either, nil, text(index, `{"metadata":{}}`))
	k.folder(Malicious, "20,000 shards", "More shards than any model has.", either, nil, names(manyShards(20_000)))
	k.folder(Benign, "two shards", "An honest index.", passed, nil, names(`{"wte.weight":"model-1.safetensors","b":"model-2.safetensors"}`), shard, File{Name: "model-2.safetensors", Data: second})
	k.folder(Benign, "torch shards", "An honest index of torch files.", passed, nil, text("pytorch_model.bin.index.json", `{"metadata":{},"weight_map":{"wte.weight":"a.bin"}}`), File{Name: "a.bin", Data: torchtest.Zip(weights(), storage0)})
	return k.cases
}

func manyShards(n int) string {
	var b strings.Builder
	b.WriteString(`{"wte.weight":"s"`)
	for i := range n {
		fmt.Fprintf(&b, `,"t%d":"s%d"`, i, i)
	}
	return b.String() + "}"
}
