// Package torchtest assembles pickles and PyTorch files for tests, honest and
// hostile ones. It gives bytes; nothing here or in its users executes them.
package torchtest

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/btu-scan/btu-scan/internal/ziptest"
)

// The parts of a pickle, of protocol 2 where nothing else is said.

// Unicode pushes s.
func Unicode(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// Int pushes n.
func Int(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// Tuple pushes a tuple of what the items push.
func Tuple(items ...string) string { return "(" + strings.Join(items, "") + "t" }

// Ints pushes a tuple of numbers.
func Ints(ns ...int64) string {
	var parts []string
	for _, n := range ns {
		parts = append(parts, Int(n))
	}
	return Tuple(parts...)
}

// Global pushes a global by GLOBAL.
func Global(module, name string) string { return "c" + module + "\n" + name + "\n" }

// StackGlobal pushes a global by STACK_GLOBAL, of protocol 4.
func StackGlobal(module, name string) string { return Unicode(module) + Unicode(name) + "\x93" }

// Call pushes what a global returns for arguments.
func Call(module, name string, args ...string) string {
	return Global(module, name) + Tuple(args...) + "R"
}

// Dict pushes a dict of keys and values in turn.
func Dict(pairs ...string) string { return "}(" + strings.Join(pairs, "") + "u" }

// List pushes a list.
func List(items ...string) string { return "](" + strings.Join(items, "") + "e" }

// Storage pushes a storage of a zip file.
func Storage(class, key string, numel int64) string {
	return Tuple(Unicode("storage"), Global("torch", class), Unicode(key), Unicode("cpu"), Int(numel)) + "Q"
}

// LegacyStorage pushes a storage of a legacy file; view is "N" or a tuple.
func LegacyStorage(class, key string, numel int64, view string) string {
	return Tuple(Unicode("storage"), Global("torch", class), Unicode(key), Unicode("cpu"), Int(numel), view) + "Q"
}

// Tensor pushes a tensor over a storage.
func Tensor(storage string, offset int64, size, stride string) string {
	return Call("torch._utils", "_rebuild_tensor_v2", storage, Int(offset), size, stride, "\x89", Call("collections", "OrderedDict"))
}

// Stream is a whole pickle of protocol 2.
func Stream(body string) string { return "\x80\x02" + body + "." }

// Stream4 is a whole pickle of protocol 4, without frames.
func Stream4(body string) string { return "\x80\x04" + body + "." }

// Floats is the bytes of n zeros.
func Floats(n int) []byte { return make([]byte, 4*n) }

// Members are those of a torch zip around a main pickle.
func Members(pickle string, more ...ziptest.Member) []ziptest.Member {
	return append([]ziptest.Member{
		{Name: "m/data.pkl", Body: []byte(pickle)},
		{Name: "m/byteorder", Body: []byte("little")},
		{Name: "m/version", Body: []byte("3\n")},
	}, more...)
}

// Zip is a torch zip around a main pickle.
func Zip(pickle string, more ...ziptest.Member) []byte {
	return ziptest.Build(Members(pickle, more...)...).Data
}

// Magic is the first pickle of a legacy file.
const Magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

// Legacy is a legacy file of float storages; object and keys are whole pickles.
func Legacy(object, keys string, storages ...[]byte) []byte {
	var b bytes.Buffer
	b.WriteString(Magic)
	b.WriteString(Stream("M\xe9\x03"))
	b.WriteString(Stream(Dict(Unicode("protocol_version"), "M\xe9\x03", Unicode("little_endian"), "\x88")))
	b.WriteString(object)
	b.WriteString(keys)
	for _, s := range storages {
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s)/4)))
		b.Write(s)
	}
	return b.Bytes()
}
