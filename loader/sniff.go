package loader

import (
	"bytes"
	"strings"

	"github.com/btu-scan/btu-scan/loader/internal/zipdir"
)

// A kind is a format that is told by a file's content. No name and no
// extension is looked at: they are the attacker's choice, as is a magic number
// of two bytes. Formats that have one are told by decoding their start.
type kind struct {
	name   string // for people, as in "this is ..."
	format Format // of checkpoints; "" for what is only looked into
	is     func(w *walker, data []byte) bool
	read   reader
	magic  string // tells a damaged file of this kind, where it is no other
	packs  bool   // holds other files' bytes, so that it may end like one of them
}

// kinds lists what is looked into, in the order in which it is tried. The
// first is safetensors, whose files may start with any two bytes.
var kinds []*kind

func init() { // which breaks the cycle from the readers of what is packed
	plain := func(is func([]byte) bool) func(*walker, []byte) bool {
		return func(_ *walker, data []byte) bool { return is(data) }
	}
	kinds = []*kind{
		{name: "a safetensors file", format: FormatSafetensors, is: plain(isSafetensors), read: readSafetensors},
		{name: "a zip archive", format: FormatTorchZip, is: plain(isZip), read: readZip},
		{name: "a pickle", format: FormatTorchLegacy, is: (*walker).isPickle, read: readTorchLegacy},
		{name: "a numpy array", is: plain(isNumpy), read: readNumpy, magic: npyMagic},
		{name: "a tar archive", is: plain(isTar), read: readTar, packs: true},
		{name: "a gzip stream", is: plain(isGzip), read: readStream("gzip", ungzip), magic: "\x1f\x8b\x08", packs: true},
		{name: "a bzip2 stream", is: plain(isBzip2), read: readStream("bzip2", unbzip2), magic: "BZh", packs: true},
		{name: "a zlib stream", is: plain(isZlib), read: readStream("zlib", unzlib), packs: true},
	}
}

// isZip reports whether a reader of zip archives takes data for one. Most read
// from the end, and do not mind what lies before the archive.
func isZip(data []byte) bool { return isTorchZip(data) || hasDirectory(data) }

// hasDirectory reports whether data ends as a zip archive does.
func hasDirectory(data []byte) bool {
	_, ok := zipdir.Find(data)
	return ok
}

// sniff is the first kind that data is, or nil.
func (w *walker) sniff(data []byte) *kind {
	for _, k := range kinds {
		if k.is(w, data) {
			return k
		}
	}
	for _, k := range kinds {
		if k.magic != "" && bytes.HasPrefix(data, []byte(k.magic)) {
			return k
		}
	}
	return nil
}

// others lists what else data is besides k: a reader that is told to, or that
// guesses otherwise, would read another file.
func (w *walker) others(k *kind, data []byte) (also []*kind) {
	for _, o := range kinds {
		if o != k && !(k.packs && o.format == FormatTorchZip) && o.is(w, data) {
			also = append(also, o)
		}
	}
	return also
}

// unread lists formats that are recognised and not looked into, and what to do.
var unread = []struct{ magic, what string }{
	{"7z\xbc\xaf\x27\x1c", "7z: unpack it first"},
	{"\xfd7zXZ\x00", "xz: unpack it first"},
	{"\x28\xb5\x2f\xfd", "zstd: unpack it first"},
	{"\x04\x22\x4d\x18", "lz4: unpack it first"},
	{"\x5d\x00\x00", "lzma: unpack it first"},
	{"Rar!\x1a\x07", "rar: unpack it first"},
	{"\x89HDF\r\n\x1a\n", "HDF5 (Keras, TensorFlow) is not read, and Keras models may hold code"},
	{"GGUF", "GGUF is not read"},
	{"PK\x05\x06", "an empty zip archive"},
}

// notRead says what a file is that is recognised and not looked into, or "".
func notRead(data []byte) string {
	for _, k := range unread {
		if bytes.HasPrefix(data, []byte(k.magic)) {
			return k.what
		}
	}
	if isONNX(data) {
		return "an ONNX model is not read"
	}
	if len(data) > 8 && string(data[4:8]) == "TFL3" {
		return "a TensorFlow Lite model is not read"
	}
	return ""
}

// isONNX reports whether data starts like ONNX's ModelProto: ir_version, then
// the producer's name, the opsets or the graph.
func isONNX(data []byte) bool {
	if len(data) < 8 || data[0] != 0x08 || data[1] == 0 || data[1] > 32 {
		return false
	}
	switch n := int(data[3]); data[2] {
	case 0x12: // producer_name
		return n > 0 && n < 64 && len(data) > 4+n && len(bytes.Trim(data[4:4+n], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._- ")) == 0
	case 0x3a: // graph
		return data[3] >= 0x80
	}
	return false
}

// stub says what stands in place of a file, or "".
func stub(data []byte) string {
	if len(data) == 0 {
		return "the file is empty"
	}
	head := data[:min(len(data), 512)]
	if bytes.HasPrefix(head, []byte("version https://git-lfs")) {
		return "this is a git-lfs pointer, not the file it points to: run git lfs pull"
	}
	text := strings.ToLower(string(bytes.TrimLeft(head, " \t\r\n\ufeff")))
	if strings.HasPrefix(text, "<!doctype html") || strings.HasPrefix(text, "<html") || strings.HasPrefix(text, "<?xml") {
		return "this is a web page, most likely an error page saved in place of the file"
	}
	if len(bytes.Trim(data[:min(len(data), 1<<16)], "\x00")) == 0 {
		return "the file is all zeros"
	}
	return ""
}
