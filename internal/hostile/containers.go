package hostile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/btu-scan/btu-scan/internal/torchtest"
	"github.com/btu-scan/btu-scan/internal/ziptest"
)

var le = binary.LittleEndian

// evil is the payload as a whole pickle.
func evil() []byte { return []byte(stream(inert)) }

// edited is an honest torch zip that f changes; its members are data.pkl,
// byteorder, version, data/0, and then more.
func edited(f func(a *ziptest.Archive), more ...member) []byte {
	a := ziptest.Build(torchtest.Members(weights(), append([]member{storage0}, more...)...)...)
	f(a)
	return a.Data
}

// masked is a torch zip whose main pickle is the payload, and its headers lie.
func masked(f func(local, central []byte)) []byte {
	a := ziptest.Build(torchtest.Members(stream(inert), storage0)...)
	a.Lie(0, f)
	return a.Data
}

// zipHeaders are archives of whose headers readers make different things.
func zipHeaders() []Case {
	k := class{name: "zip headers that lie"}
	for _, c := range []struct {
		name, tests string
		lie         func(local, central []byte)
	}{
		{"encrypted in the directory", "The directory says that the pickle is encrypted, which stops some scanners and not every loader.", func(_, c []byte) { c[8] |= 1 }},
		{"encrypted in both", "Both headers say so.", func(l, c []byte) { l[6] |= 1; c[8] |= 1 }},
		{"encrypted locally", "The local header alone says that it is encrypted; torch does not look there.", func(l, _ []byte) { l[6] |= 1 }},
		{"patched", "The flag of patched data.", func(_, c []byte) { c[8] |= 0x20 }},
		{"strong encryption", "The flag of strong encryption.", func(_, c []byte) { c[8] |= 0x40 }},
		{"masked", "The flag of masked headers.", func(_, c []byte) { c[9] |= 0x20 }},
		{"checksum", "A wrong checksum makes Python's zipfile stop; torch does not check it.", func(l, c []byte) { l[14]++; c[16]++ }},
		{"checksum of the directory", "The two headers state different checksums.", func(_, c []byte) { c[16]++ }},
		{"method unknown", "A compression method that nothing reads.", func(_, c []byte) { c[10] = 99 }},
		{"method of the local header", "The local header says deflate, the directory stored.", func(l, _ []byte) { l[8] = 8 }},
		{"size", "The directory declares more bytes than there are.", func(_, c []byte) { le.PutUint32(c[24:], 1<<30) }},
		{"size of the local header", "The two headers state different sizes.", func(l, _ []byte) { le.PutUint32(l[22:], 1) }},
		{"version needed", "A version from the future is needed to extract.", func(l, _ []byte) { l[4] = 255 }},
	} {
		k.bad(c.name, c.tests, bin, masked(c.lie), found, unsafeGlobal)
	}
	k.bad("local name", "The local header calls the payload another name than the directory does.", bin,
		ziptest.Build(torchtest.Members(weights(), storage0, member{Name: "m/readme", Local: "m/data.pkl", Body: evil()})...).Data, found, unsafeGlobal)
	k.bad("local name of honest data", "Two names for one honest member.", bin,
		edited(func(*ziptest.Archive) {}, member{Name: "m/a", Local: "m/b", Body: []byte("x")}), found, ambiguous)
	k.bad("flags of honest data", "The headers of an honest pickle disagree on encryption.", bin, edited(func(a *ziptest.Archive) { a.Lie(0, func(l, _ []byte) { l[6] |= 1 }) }), found, ambiguous)
	k.bad("checksum of honest data", "An honest pickle with a wrong checksum.", bin, edited(func(a *ziptest.Archive) { a.Lie(0, func(l, c []byte) { l[14]++; c[16]++ }) }), found, malformed)
	k.bad("zip64 that disagrees", "The zip64 end record counts other members than the end record.", bin, edited(func(a *ziptest.Archive) { a.Zip64(func(e []byte) { e[24]--; e[32]-- }) }), either, ambiguous, malformed)
	k.bad("zip64 that points elsewhere", "The zip64 end record has another directory.", bin, edited(func(a *ziptest.Archive) { a.Zip64(func(e []byte) { e[48]++ }) }), either, ambiguous, malformed)
	k.good("zip64", "A zip64 end record that says the same.", bin, edited(func(a *ziptest.Archive) { a.Zip64(func([]byte) {}) }))

	k2 := class{name: "zip layout"}
	k2.bad("prefix", "Bytes before the archive: Python opens it, torch does not.", bin, append([]byte("#!/bin/sh\n"), torchtest.Zip(stream(inert))...), either)
	k2.bad("trailing bytes", "Bytes behind the archive.", bin, append(edited(func(*ziptest.Archive) {}), "trailing"...), found, ambiguous)
	k2.bad("trailing pickle", "A payload behind the archive.", bin, append(edited(func(*ziptest.Archive) {}), evil()...), found, ambiguous, unsafeGlobal)
	k2.bad("second end record", "A second archive behind the first: which one is read depends on the search.", bin,
		append(edited(func(*ziptest.Archive) {}), torchtest.Zip(stream(inert))...), either)
	k2.bad("second archive in the comment", "A second archive in the comment of the first.", bin, edited(func(a *ziptest.Archive) {
		other := torchtest.Zip(stream(inert))
		le.PutUint16(a.Data[a.End+20:], uint16(len(other)))
		a.Data = append(a.Data, other...)
	}), either)
	k2.bad("gap", "A payload between members, which no directory names.", bin, gap(evil()), found, ambiguous, unsafeGlobal)
	k2.bad("overlap", "Two members share their bytes.", bin, edited(func(a *ziptest.Archive) {
		a.Lie(4, func(_, c []byte) { le.PutUint32(c[42:], uint32(a.Local[3])) })
	}, member{Name: "m/x", Body: torchtest.Floats(6)}), found, ambiguous)
	k2.bad("cut", "The end of the archive is missing.", bin, torchtest.Zip(weights(), storage0)[:400], either)
	k2.bad("directory elsewhere", "The directory's offset points into a member.", bin, edited(func(a *ziptest.Archive) { le.PutUint32(a.Data[a.End+16:], 3) }), either)
	k2.bad("several volumes", "An archive that says it is one of several.", bin, edited(func(a *ziptest.Archive) { a.Data[a.End+4] = 1 }), either)
	return append(k.cases, k2.cases...)
}

// gap is an honest torch zip with bytes between its first two members.
func gap(hidden []byte) []byte {
	a := ziptest.Build(torchtest.Members(weights(), storage0)...)
	at := a.Local[1]
	n := uint32(len(hidden))
	for i, off := range a.Local {
		if i > 0 {
			a.Lie(i, func(_, c []byte) { le.PutUint32(c[42:], uint32(off)+n) })
		}
	}
	le.PutUint32(a.Data[a.End+16:], uint32(a.Central[0])+n)
	return append(a.Data[:at:at], append(hidden, a.Data[at:]...)...)
}

// zipMembers are payloads in members that a loader finds and a scanner may not.
func zipMembers() []Case {
	k := class{name: "zip members"}
	zip := func(members ...member) []byte { return ziptest.Build(members...).Data }
	m := func(name string, body []byte) member { return member{Name: name, Body: body} }
	k.bad("duplicate, payload first", "data.pkl twice: some readers take the first, others the last.", bin, zip(append([]member{m("m/data.pkl", evil())}, torchtest.Members(weights(), storage0)...)...), found, unsafeGlobal)
	k.bad("duplicate, payload last", "The same, the other way round.", bin, zip(torchtest.Members(weights(), storage0, m("m/data.pkl", evil()))...), found, unsafeGlobal)
	k.bad("duplicate honest", "Two honest data.pkl: which counts is up to the reader.", bin, zip(torchtest.Members(weights(), storage0, m("m/data.pkl", []byte(weights())))...), found, ambiguous)
	k.bad("case", "DATA.PKL beside data.pkl, which a file system may take for the same.", bin, zip(torchtest.Members(weights(), storage0, m("m/DATA.PKL", evil()))...), found, unsafeGlobal)
	k.bad("two folders", "Two folders with a data.pkl each, the payload in the second.", bin, zip(torchtest.Members(weights(), storage0, m("b/data.pkl", evil()), m("b/version", []byte("3")))...), found, unsafeGlobal)
	k.bad("two honest folders", "Two folders with an honest data.pkl each.", bin, zip(torchtest.Members(weights(), storage0, m("b/data.pkl", []byte(weights())))...), either, ambiguous)
	k.bad("constants.pkl", "A payload in constants.pkl, which TorchScript has.", bin, zip(torchtest.Members(weights(), storage0, m("m/constants.pkl", evil()))...), found, unsafeGlobal)
	k.bad("storage", "A payload in place of a storage.", bin, zip(torchtest.Members(weights(), m("m/data/0", evil()))...), found, unsafeGlobal)
	k.bad("extra", "A payload in extra/.", bin, zip(torchtest.Members(weights(), storage0, m("m/extra/x", evil()))...), found, unsafeGlobal)
	k.bad("odd name", "A payload in a member with the name of a picture.", bin, zip(torchtest.Members(weights(), storage0, m("m/logo.png", evil()))...), found, unsafeGlobal)
	k.bad("compressed", "A payload in a deflated member.", bin, zip(torchtest.Members(weights(), storage0, member{Name: "m/x", Body: evil(), Deflate: true})...), found, unsafeGlobal)
	k.bad("compressed data.pkl", "The main pickle is deflated, which torch reads though it never writes it.", bin, zip(member{Name: "m/data.pkl", Body: evil(), Deflate: true}, m("m/version", []byte("3")), storage0), found, unsafeGlobal)
	k.bad("behind a broken member", "A member that cannot be inflated comes first; the payload follows.", bin,
		zip(member{Name: "m/a", Packed: &ziptest.Packed{Raw: []byte("\xff\xff\xff"), Method: 8, Size: 100}}, m("m/data.pkl", evil()), m("m/version", []byte("3"))), found, unsafeGlobal)
	k.bad("behind an unknown method", "A member with a method that nothing reads comes first.", bin,
		zip(member{Name: "m/a", Packed: &ziptest.Packed{Raw: []byte("x"), Method: 77, Size: 1}}, m("m/data.pkl", evil()), m("m/version", []byte("3"))), found, unsafeGlobal)
	k.bad("zip in a zip", "A torch zip with a payload inside a torch zip.", bin, zip(torchtest.Members(weights(), storage0, m("m/extra/inner.pt", torchtest.Zip(stream(inert))))...), found, unsafeGlobal)
	k.bad("zip in a zip in a zip", "One deeper.", bin, zip(torchtest.Members(weights(), storage0, m("m/extra/a.zip", zip(m("b.zip", torchtest.Zip(stream(inert))))))...), found, unsafeGlobal)
	k.bad("traversing name", "A member called ../../x.", bin, zip(torchtest.Members(weights(), storage0, m("../../x", []byte("x")))...), found, traversal)
	k.bad("absolute name", "A member with an absolute path.", bin, zip(torchtest.Members(weights(), storage0, m("/etc/cron.d/x", []byte("x")))...), found, traversal)
	k.bad("windows name", "A member with a drive letter.", bin, zip(torchtest.Members(weights(), storage0, m(`C:\x`, []byte("x")))...), found, traversal)
	k.bad("name with an escape", "A member whose name writes to the terminal.", bin, zip(torchtest.Members(weights(), storage0, m("m/\x1b]0;x\x07", []byte("x")))...), found, ambiguous)
	k.bad("name with a NUL", "A name that a reader in C cuts off.", bin, zip(torchtest.Members(weights(), storage0, m("m/data.pkl\x00.txt", evil()))...), found, unsafeGlobal)
	k.bad("no version", "No version record, which torch requires.", bin, zip(m("m/data.pkl", evil())), found, unsafeGlobal)
	k.bad("TorchScript with a payload", "A TorchScript archive whose pickle calls more than its own classes.", bin,
		zip(m("m/data.pkl", []byte(stream(glob("__torch__", "M")+")\x81"+inert+"b"))), m("m/constants.pkl", []byte(stream(")"))), m("m/version", []byte("3"))), found, unsafeGlobal)
	k.bad("plain zip", "A zip that is not torch's, with a pickle in it.", bin, zip(m("weights.pkl", evil())), found, unsafeGlobal)
	k.bad("numpy archive", "An .npz with an array of objects.", "weights.npz", zip(m("a.npy", npy("|O", "()", evil()))), found, unsafeGlobal)
	k.good("note in the archive", "A member that is no pickle.", bin, zip(torchtest.Members(weights(), storage0, m("m/extra/note.txt", []byte("hello")))...))

	k2 := class{name: "bombs and crowds"}
	lazy := func(name, tests string, exit []int, build func() []byte, rules ...string) {
		k2.add(Case{Name: name, Tests: tests, Label: Malicious, Target: bin, Exit: exit, Rules: rules, Files: func() []File { return []File{{Name: bin, Data: build()}} }})
	}
	lazy("200 MB of zeros", "data.pkl inflates from 200 kB to 200 MB.", either, func() []byte {
		return zip(member{Name: "m/data.pkl", Packed: ziptest.Zeros(200)}, m("m/version", []byte("3")))
	})
	lazy("bomb beside a payload", "A member that inflates to 200 MB comes before the payload.", found, func() []byte {
		return zip(member{Name: "m/a.pkl", Packed: ziptest.Zeros(200)}, m("m/data.pkl", evil()), m("m/version", []byte("3")))
	}, unsafeGlobal)
	lazy("bomb that lies", "A member that declares 10 bytes and inflates to 50 MB.", either, func() []byte {
		p := ziptest.Zeros(50)
		p.Size = 10
		return zip(member{Name: "m/data.pkl", Packed: p}, m("m/version", []byte("3")))
	})
	lazy("100,000 members", "A payload behind a hundred thousand members.", either, func() []byte {
		// The end record counts in 16 bits: the rest is for zip64 to say.
		members := torchtest.Members(weights(), storage0)
		for i := range 100_000 {
			members = append(members, m(fmt.Sprintf("m/x/%d", i), nil))
		}
		return manyMembers(append(members, m("m/y", evil())))
	})
	lazy("60,000 members", "A payload behind sixty thousand members.", found, func() []byte {
		members := torchtest.Members(weights(), storage0)
		for i := range 60_000 {
			members = append(members, m(fmt.Sprintf("m/x/%d", i), nil))
		}
		return zip(append(members, m("m/y", evil()))...)
	}, unsafeGlobal)
	lazy("names of 64 kB", "A thousand members whose names have 60,000 bytes.", found, func() []byte {
		members := torchtest.Members(weights(), storage0)
		for i := range 200 {
			members = append(members, m(fmt.Sprintf("m/%s%d", strings.Repeat("x", 60_000), i), nil))
		}
		return zip(append(members, m("m/y", evil()))...)
	}, unsafeGlobal)
	lazy("members that refer to one place", "Ten thousand members that inflate the same bytes.", either, func() []byte {
		packed := ziptest.Zeros(1)
		members := []member{m("m/data.pkl", evil()), m("m/version", []byte("3")), {Name: "m/0", Packed: packed}}
		for i := range 10_000 {
			members = append(members, member{Name: fmt.Sprintf("m/%d", i+1), Packed: &ziptest.Packed{Method: 8, CRC: packed.CRC, Size: packed.Size}})
		}
		a := ziptest.Build(members...)
		for i := range 10_000 {
			a.Lie(i+3, func(_, c []byte) {
				le.PutUint32(c[20:], uint32(len(packed.Raw)))
				le.PutUint32(c[42:], uint32(a.Local[2]))
			})
		}
		return a.Data
	}, unsafeGlobal)
	return append(k.cases, k2.cases...)
}

// manyMembers is an archive of more members than an end record can count.
func manyMembers(members []member) []byte {
	a := ziptest.Build(members...)
	n := uint64(len(members))
	a.Zip64(func(e []byte) {
		le.PutUint64(e[24:], n)
		le.PutUint64(e[32:], n)
	})
	le.PutUint16(a.Data[a.End+8:], 0xffff)
	le.PutUint16(a.Data[a.End+10:], 0xffff)
	return a.Data
}

// npy is a numpy file of one array.
func npy(descr, shape string, data []byte) []byte {
	h := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	h += strings.Repeat(" ", 63-(10+len(h))%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), le.AppendUint16(nil, uint16(len(h)))...)
	return append(append(b, h...), data...)
}

func gz(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	w.Close()
	return b.Bytes()
}

func zl(data []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(data)
	w.Close()
	return b.Bytes()
}

func tarball(headers ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := []byte(h.Linkname)
		if h.Typeflag == 0 {
			h.Typeflag, h.Linkname, h.Mode, h.Size = tar.TypeReg, "", 0o644, int64(len(body))
		}
		_ = w.WriteHeader(&h)
		if h.Typeflag == tar.TypeReg {
			_, _ = w.Write(body)
		}
	}
	w.Close()
	return b.Bytes()
}

// inTar is a tar member; its content travels in Linkname.
func inTar(name string, body []byte) tar.Header {
	return tar.Header{Name: name, Linkname: string(body)}
}

// wrappers put a payload behind a compression or another container.
func wrappers() []Case {
	k := class{name: "wrappers"}
	p := evil()
	k.bad("gzip", "A pickle in gzip, which joblib and pandas open by themselves.", "model.pkl.gz", gz(p), found, unsafeGlobal)
	k.bad("gzip named bin", "The same under the name of a checkpoint.", bin, gz(p), found, unsafeGlobal)
	k.bad("two gzip streams", "A second stream behind the first.", "model.pkl.gz", append(gz([]byte(stream("N"))), gz(p)...), found, unsafeGlobal)
	k.bad("gzip in gzip", "Gzip in gzip.", "model.pkl.gz", gz(gz(p)), found, unsafeGlobal)
	k.bad("gzip cut", "Gzip that breaks off behind the payload.", "model.pkl.gz", gz(append(p, bytes.Repeat([]byte("N0"), 5000)...))[:60], either)
	k.bad("zlib", "A pickle in zlib, as joblib writes it.", "model.pkl.z", zl(p), found, unsafeGlobal)
	k.bad("bzip2", "A pickle in bzip2.", "model.pkl.bz2", fixture("inert.pkl.bz2"), found, unsafeGlobal)
	k.bad("xz", "A pickle in xz.", "model.pkl.xz", fixture("inert.pkl.xz"), either)
	k.bad("lzma", "A pickle in the older lzma container, which has no magic.", "model.pkl.lzma", fixture("inert.pkl.lzma"), either)
	k.bad("7z", "The magic of 7z around a payload.", "model.7z", append([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), append(make([]byte, 24), p...)...), either)
	k.bad("tar", "A tar with a pickle, as torch wrote before 0.1.10.", "model.tar", tarball(inTar("pickle", p)), found, unsafeGlobal)
	k.bad("tar.gz", "The same in gzip.", "model.tar.gz", gz(tarball(inTar("model/weights.pkl", p))), found, unsafeGlobal)
	k.bad("tar named bin", "A tar under the name of a checkpoint.", bin, tarball(inTar("storages", []byte(stream("N"))), inTar("tensors", []byte(stream("N"))), inTar("pickle", p)), found, unsafeGlobal)
	k.bad("tar with a traversing name", "A member called ../../x.", "model.tar", tarball(inTar("../../x", []byte("x"))), either, traversal)
	k.bad("tar with a link", "A link to /etc and a member below it.", "model.tar", tarball(tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, inTar("a/x", []byte("x"))), either, traversal)
	k.bad("zip in tar", "A torch zip in a tar.", "model.tar", tarball(inTar("model.pt", torchtest.Zip(stream(inert)))), found, unsafeGlobal)
	k.bad("npy of objects", "A numpy array of objects, which is a pickle.", "w.npy", npy("|O", "()", p), found, unsafeGlobal)
	k.bad("npy that lies", "A numpy array whose shape overflows.", "w.npy", npy("<f4", "(4611686018427387904, 8)", torchtest.Floats(4)), either)
	k.bad("npy header of code", "A header that is more than a literal.", "w.npy", npy("<f4' if 1 else '", "().__class__", nil), either)
	for _, x := range []string{"gz", "bz2", "xz", "zlib"} {
		k.add(Case{Name: "bomb in " + x, Tests: "200 MB of zeros in " + x + ".", Label: Malicious, Target: "model.pkl." + x, Exit: either, Files: func() []File {
			f := File{Name: "model.pkl." + x}
			switch x {
			case "gz":
				f.Data = zeros(func(b *bytes.Buffer) writer { return gzip.NewWriter(b) })
			case "zlib":
				f.Data = zeros(func(b *bytes.Buffer) writer { return zlib.NewWriter(b) })
			default:
				f.Data = fixture("zeros." + x)
			}
			return []File{f}
		}})
	}
	beside := safetensors(tensorEntry("wte.weight", "F32", "[2,3]", 0, 24), 24)
	k.folder(Malicious, "beside safetensors, pickle", "Clean safetensors, and beside them a pickle that nobody asked for.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "pytorch_model.bin", Data: p})
	k.folder(Malicious, "beside safetensors, odd name", "The pickle has the name of a text.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "notes.txt", Data: p})
	k.folder(Malicious, "beside safetensors, archive", "The pickle lies in a tar.gz.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "extra.tar.gz", Data: gz(tarball(inTar("x.pkl", p)))})
	k.folder(Malicious, "beside safetensors, sub-folder", "The pickle lies in a sub-folder.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "onnx/scheduler.pt", Data: p})
	k.folder(Malicious, "beside safetensors, hidden", "The pickle is a hidden file.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: ".cache/x.pkl", Data: p})
	k.folder(Malicious, "beside safetensors, training_args.bin", "The trainer's settings hold a payload.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "training_args.bin", Data: torchtest.Zip(stream(inert))})
	k.folder(Malicious, "beside safetensors, optimizer", "optimizer.pt holds a payload.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "optimizer.pt", Data: torchtest.Zip(stream(inert))})
	k.folder(Malicious, "beside safetensors, joblib", "A joblib file in zlib.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "classifier.joblib", Data: zl(p)})
	k.folder(Malicious, "beside safetensors, numpy", "An array of objects.", found, []string{unsafeGlobal}, File{Name: "model.safetensors", Data: beside}, File{Name: "mean.npy", Data: npy("|O", "()", p)})
	k.folder(Benign, "numpy beside safetensors", "A plain array beside the model.", passed, nil, File{Name: "model.safetensors", Data: beside}, File{Name: "mean.npy", Data: npy("<f4", "(4,)", torchtest.Floats(4))})
	return k.cases
}

type writer interface {
	Write([]byte) (int, error)
	Close() error
}

// zeros packs 200 MiB of zeros.
func zeros(open func(*bytes.Buffer) writer) []byte {
	var b bytes.Buffer
	w := open(&b)
	chunk := make([]byte, 1<<20)
	for range 200 {
		_, _ = w.Write(chunk)
	}
	w.Close()
	return b.Bytes()
}

// lookAlikes are files that are not what they seem.
func lookAlikes() []Case {
	k := class{name: "not a model"}
	for _, c := range []struct{ name, tests, file, data string }{
		{"git-lfs pointer", "A pointer in place of the file.", "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 90868376\n"},
		{"web page", "An error page saved in place of the file.", bin, "<!DOCTYPE html><html><body>404</body></html>"},
		{"XML error", "An error of a storage service.", bin, "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>"},
		{"JSON error", "An error in JSON.", bin, `{"error": "Repository not found"}`},
		{"empty", "An empty file.", bin, ""},
		{"one byte", "One byte.", bin, "\x80"},
		{"zeros", "A download that was allocated and never filled.", "model.safetensors", strings.Repeat("\x00", 4096)},
		{"text", "A text.", bin, "hello\n"},
		{"random", "Bytes without any structure.", bin, strings.Repeat("\xa7\x13\x9e\x44\xf0", 200)},
	} {
		k.bad(c.name, c.tests, c.file, []byte(c.data), refused)
	}
	k2 := class{name: "odd extensions and polyglots"}
	for _, name := range []string{"model.safetensors", "model.txt", "model.json", "model.gguf", "model", "model.onnx", "model.h5"} {
		k2.bad("pickle as "+name, "A pickle under another name: the content counts.", name, evil(), found, unsafeGlobal)
	}
	k2.bad("zip as safetensors", "A torch zip under the name of safetensors.", "model.safetensors", torchtest.Zip(stream(inert)), found, unsafeGlobal)
	inner := torchtest.Zip(stream(inert))
	k2.bad("zip in a tensor", "Safetensors, the bytes of whose tensor are a torch zip: valid as both.", "model.safetensors", append(safetensors(tensorEntry("wte.weight", "U8", fmt.Sprintf("[%d]", len(inner)), 0, len(inner)), 0), inner...), either)
	k2.bad("pickle behind safetensors", "A payload behind the last tensor.", "model.safetensors", append(safetensors(tensorEntry("wte.weight", "F32", "[2,3]", 0, 24), 24), evil()...), either, malformed)
	k2.bad("zip behind safetensors", "A zip behind the last tensor.", "model.safetensors", append(safetensors(tensorEntry("wte.weight", "F32", "[2,3]", 0, 24), 24), inner...), either, malformed)
	k2.bad("pickle before a zip", "A pickle, then a zip: pickle.load and zipfile both succeed.", bin, append(evil(), torchtest.Zip(weights(), storage0)...), found, unsafeGlobal)
	k2.bad("gzip magic before a zip", "Two bytes of gzip, then a zip.", bin, append([]byte("\x1f\x8b"), inner...), either)
	k2.bad("tar that is a pickle", "A tar whose first member's name is the start of a pickle.", bin, tarball(inTar("\x80\x02cposix\nsystem\n(X\x04", []byte("x"))), either)
	// A header length whose low bytes are the magic of something else.
	for _, c := range []struct {
		name string
		n    int
	}{{"zlib", 0x2078}, {"zlib 9c", 0x9c78}, {"gzip", 0x8b1f}, {"pickle", 0x0280}, {"zip", 0x4b50}, {"bzip2", 0x5a42}, {"pickle protocol 4", 0x0480}} {
		header := "{" + tensorEntry("wte.weight", "F32", "[2,3]", 0, 24)[1:]
		header += strings.Repeat(" ", c.n-len(header))
		k2.good("safetensors like "+c.name, "Safetensors whose header length is spelled as the magic of another format.", "model.safetensors", rawSafetensors(header, 24))
	}
	return append(k.cases, k2.cases...)
}

// tensorEntry is a header with one tensor.
func tensorEntry(name, dtype, shape string, from, to int) string {
	return fmt.Sprintf(`{%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}}`, name, dtype, shape, from, to)
}

// safetensors is a file with a header, padded as writers do, and n bytes.
func safetensors(header string, n int) []byte {
	return rawSafetensors(header+strings.Repeat(" ", (8-len(header)%8)%8), n)
}

func rawSafetensors(header string, n int) []byte {
	b := le.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}
