package pickle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// p joins the parts of a stream.
func p(parts ...string) []byte { return []byte(strings.Join(parts, "")) }

func u32(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
func u64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// s is a SHORT_BINUNICODE.
func s(text string) string { return "\x8c" + string(rune(len(text))) + text }

const odict = "ccollections\nOrderedDict\n"

func TestWalk(t *testing.T) {
	type hazard struct {
		off    int
		global bool
		says   string
	}
	tests := []struct {
		name    string
		data    []byte
		hazards []hazard
		err     string // part of it; "" for none
		errOff  int
	}{
		{name: "none", data: p("N.")},
		{name: "ordered dict", data: p("\x80\x02", odict, ")Rq\x00(X\x01\x00\x00\x00aK\x01u}X\x09\x00\x00\x00_metadataNsb.")},
		{name: "protocol 4", data: p("\x80\x04\x95"+u64(32), s("collections"), "\x94", s("OrderedDict"), "\x94\x93", ")R.")},

		// 1
		{name: "GLOBAL", data: p("\x80\x02cposix\nsystem\n(X\x04\x00\x00\x00truetR."), hazards: []hazard{{2, true, `"posix.system", which no state dict needs, called by REDUCE at 27`}}},
		{name: "STACK_GLOBAL", data: p("\x80\x04", s("os"), s("system"), "\x93)R."), hazards: []hazard{{14, true, `"os.system"`}}},
		{name: "INST", data: p("(S'true'\nios\nsystem\n."), hazards: []hazard{{9, true, `"os.system"`}, {9, false, "INST"}}},
		{name: "INST of an allowed class", data: p("(icollections\nOrderedDict\n."), hazards: []hazard{{1, false, "INST"}}},
		{name: "OBJ", data: p("(cos\nsystem\nS'true'\no."), hazards: []hazard{{1, true, "called by OBJ at 20"}, {20, false, `OBJ makes an instance of "os.system"`}}},
		{name: "NEWOBJ", data: p("\x80\x02cos\nsystem\n)\x81."), hazards: []hazard{{2, true, "called by NEWOBJ"}}},
		{name: "NEWOBJ of a function", data: p("\x80\x02ctorch._utils\n_rebuild_tensor\n)\x81."), hazards: []hazard{{33, false, "NEWOBJ calls"}}},
		{name: "NEWOBJ_EX", data: p("\x80\x04", odict, ")}\x92."), hazards: []hazard{{29, false, "NEWOBJ_EX"}}},
		{name: "BUILD on a class", data: p(odict, "}b."), hazards: []hazard{{26, false, "BUILD sets attributes"}}},
		{name: "BUILD on a list", data: p("]}b."), hazards: []hazard{{2, false, "of a list"}}},
		{name: "EXT", data: p("\x80\x02\x82\x01\x83\x01\x00\x84\x01\x00\x00\x0000."), hazards: []hazard{{2, false, "EXT1"}, {4, false, "EXT2"}, {7, false, "EXT4"}}},
		{name: "buffers", data: p("\x80\x05\x97\x98."), hazards: []hazard{{2, false, "NEXT_BUFFER"}, {3, false, "READONLY_BUFFER"}}},
		{name: "call a string", data: p("S'os'\n)R."), hazards: []hazard{{7, false, "REDUCE calls a string"}}},
		{name: "call a result", data: p(odict, ")R)R."), hazards: []hazard{{28, false, "an instance of"}}},
		{name: "call a storage type", data: p("ctorch\nFloatStorage\n)R."), hazards: []hazard{{21, false, "torch.FloatStorage"}}},
		// 2
		{name: "operands from the memo", data: p("\x80\x04", s("os"), "q\x05", s("system"), "r", u32(700), "00", "h\x05", "j", u32(700), "\x93)R."), hazards: []hazard{{30, true, `"os.system"`}}},
		{name: "operands memoized", data: p("\x80\x04", s("os"), "\x94", s("system"), "\x9400g0\ng1\n\x93."), hazards: []hazard{{24, true, `"os.system"`}}},
		{name: "operand DUP", data: p("\x80\x04", s("os"), "2\x93."), hazards: []hazard{{7, true, `"os.os"`}}},
		{name: "operands as text", data: p("S'os'\nVsystem\n\x93."), hazards: []hazard{{14, true, `"os.system"`}}},
		{name: "operand with escapes", data: p(`S'o\x73'`, "\nVsystem\n\x93."), hazards: []hazard{{17, false, "takes its names from a string"}}, err: "escapes"},
		{name: "operand not a string", data: p("\x80\x04K\x01", s("system"), "\x93."), hazards: []hazard{{12, false, "a plain value"}}},
		{name: "operand bytes", data: p("\x80\x04C\x02os", s("system"), "\x93."), hazards: []hazard{{14, false, "bytes"}}},
		{name: "operand computed", data: p("\x80\x04", odict, ")R", s("x"), "\x93."), hazards: []hazard{{32, false, "an instance of"}}},
		{name: "memo entry missing", data: p("\x80\x04h\x07", s("system"), "\x93)R."), hazards: []hazard{{12, false, "STACK_GLOBAL"}}, err: "memo entry 7 does not exist", errOff: 2},
		// 3
		{name: "dotted name", data: p("\x80\x04", s("torch"), s("serialization.os.system"), "\x93)R."), hazards: []hazard{{34, true, "serialization.os.system"}}},
		{name: "dotted allowed", data: p("\x80\x04", s("torch"), s("_utils._rebuild_tensor"), "\x93."), hazards: []hazard{{33, true, ""}}},
		// 4 - 8
		{name: "python 2 name", data: p("c__builtin__\neval\n(S'1'\ntR."), hazards: []hazard{{0, true, "__builtin__.eval"}}},
		{name: "getattr", data: p("cbuiltins\ngetattr\n."), hazards: []hazard{{0, true, ""}}},
		{name: "partial", data: p("cfunctools\npartial\n(ctorch\nload\ntR."), hazards: []hazard{{0, true, ""}, {20, true, ""}}},
		{name: "stdlib", data: p("crunpy\nrun_path\n."), hazards: []hazard{{0, true, ""}}},
		{name: "torch gadget", data: p("ctorch.utils.collect_env\nrun\n."), hazards: []hazard{{0, true, ""}}},
		{name: "load from bytes", data: p("ctorch.storage\n_load_from_bytes\n(C\x00tR."), hazards: []hazard{{0, true, ""}}},
		{name: "rebuild from type", data: p("ctorch._tensor\n_rebuild_from_type_v2\n."), hazards: []hazard{{0, true, ""}}},
		{name: "carriage return", data: p("ccollections\r\nOrderedDict\n."), hazards: []hazard{{0, true, ""}}},
		{name: "import only", data: p("cos\nsystem\n0N."), hazards: []hazard{{0, true, ""}}},
		// 10
		{name: "payload, then no STOP", data: p("cos\nsystem\n)R"), hazards: []hazard{{0, true, ""}}, err: "without STOP", errOff: 13},
		{name: "payload, then a bad opcode", data: p("cos\nsystem\n)R\xff"), hazards: []hazard{{0, true, ""}}, err: "unknown opcode 0xff", errOff: 13},
		{name: "payload after bad UTF-8", data: p("X\x01\x00\x00\x00\xff0cos\nsystem\n."), hazards: []hazard{{7, true, ""}}, err: "not UTF-8"},
		{name: "payload, then underflow", data: p("cos\nsystem\n)Rs."), hazards: []hazard{{0, true, ""}}, err: "SETITEM needs 3", errOff: 13},
		// 13
		{name: "opcode straddles a frame", data: p("\x80\x04\x95", u64(3), s("os"), s("system"), "\x93."), hazards: []hazard{{23, true, ""}}, err: "beyond the end of its frame", errOff: 11},
		{name: "frame in a frame", data: p("\x80\x04\x95", u64(11), "\x95", u64(2), "N."), err: "frame inside a frame", errOff: 11},
		{name: "frame too long", data: p("\x80\x04\x95", u64(1<<40), "N."), err: "FRAME declares", errOff: 2},
		{name: "frame beyond STOP", data: p("\x80\x04\x95", u64(3), "N.N"), err: "STOP before the end", errOff: 12},
		{name: "empty frame", data: p("\x80\x04\x95", u64(0), "N.")},
		// 15
		{name: "call popped", data: p("cos\nsystem\n)R0N."), hazards: []hazard{{0, true, "called by REDUCE"}}},
		{name: "values left over", data: p("]N."), hazards: []hazard{{2, false, "left unused: 1"}}},
		// 30
		{name: "BINBYTES8", data: p("\x8e", u64(1<<62)), err: "declares 4611686018427387904 bytes, 0 exist"},
		{name: "BINBYTES8 all ones", data: p("\x8e", u64(1<<64-1), "x"), err: "declares 18446744073709551615 bytes, 1 exist"},
		{name: "BYTEARRAY8", data: p("\x96", u64(1<<40)), err: "declares"},
		{name: "BINUNICODE8", data: p("\x8d", u64(1<<40)), err: "declares"},
		{name: "BINUNICODE", data: p("X", u32(1<<32-1), "abc"), err: "declares 4294967295 bytes, 3 exist"},
		{name: "BINSTRING negative", data: p("T", u32(1<<31)), err: "negative"},
		{name: "LONG4", data: p("\x8b", u32(1<<31-1)), err: "declares"},
		{name: "LONG4 negative", data: p("\x8b", u32(1<<32-1)), err: "negative"},
		{name: "LONG1 empty", data: p("\x8a\x00."), err: "LONG1 of 0 bytes"},
		{name: "LONG4 huge", data: p("\x8b", u32(5000), strings.Repeat("x", 5000), "."), err: "LONG4 of 5000 bytes"},
		{name: "LONG huge", data: p("L", strings.Repeat("9", 5000), "L\n."), err: "LONG of 5001 bytes"},
		{name: "LONG_BINPUT", data: p("Nr", u32(1<<32-1), "."), err: "memo index 4294967295", errOff: 1},
		{name: "PUT", data: p("Np99999999999\n."), err: "11 digits", errOff: 1},
		{name: "PUT negative", data: p("Np-1\n."), err: "memo index", errOff: 1},
		{name: "numbers", data: p("(I00\nI-7\nL12L\nF1e-3\nFnan\nt.")},
		{name: "number with an underscore", data: p("I1_0\n."), err: "not a number"},
		{name: "number in hexadecimal", data: p("F0x1p3\n."), err: "not a number"},
		{name: "argument cut", data: p("J\x00\x00"), err: "ends inside"},
		{name: "line cut", data: p("cos\nsystem"), err: "ends inside"},
		// 32, 33
		{name: "marks", data: p(strings.Repeat("(", 200_000)), err: "more than 1000 marks", errOff: 1000},

		{name: "empty", err: "without STOP"},
		{name: "STOP on nothing", data: p("."), err: "needs 1 values"},
		{name: "STOP in a mark", data: p("(N."), err: "1 open marks", errOff: 2},
		{name: "underflow under a mark", data: p("N(R."), err: "REDUCE needs 2", errOff: 2},
		{name: "TUPLE without MARK", data: p("t."), err: "without MARK"},
		{name: "odd SETITEMS", data: p("}(Nu."), err: "SETITEMS with 1", errOff: 3},
		{name: "odd DICT", data: p("(Nd."), err: "DICT with 1", errOff: 2},
		{name: "OBJ on nothing", data: p("(o."), err: "without a class", errOff: 1},
		{name: "REDUCE with a list", data: p(odict, "]R."), err: "with a list for arguments", errOff: 26},
		{name: "APPEND to a dict", data: p("}Na."), hazards: []hazard{{2, false, "APPEND calls a method of a dict"}}},
		{name: "SETITEM on a class", data: p(odict, "NNs."), hazards: []hazard{{27, false, ""}}},
		{name: "persistent id", data: p("\x80\x02)Q.")},
		{name: "persistent id of a string", data: p("S'x'\nQ."), err: "not a tuple", errOff: 5},
		{name: "PERSID", data: p("Px\n."), err: "PERSID"},
		{name: "protocol 6", data: p("\x80\x06N."), err: "protocol 6"},
		{name: "POP a mark", data: p("N(0.")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, err := Walk(t.Context(), tt.data, Limits{})
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			var pe *Error
			if errors.As(err, &pe) && pe.Off != tt.errOff {
				t.Errorf("error at %d, want %d: %v", pe.Off, tt.errOff, err)
			}
			if len(tr.Hazards) != len(tt.hazards) {
				t.Fatalf("hazards %+v, want %+v", tr.Hazards, tt.hazards)
			}
			for i, h := range tr.Hazards {
				w := tt.hazards[i]
				if h.Off != w.off || (h.Global >= 0) != w.global || !strings.Contains(h.Detail, w.says) {
					t.Errorf("hazard %d is %+v, want %+v", i, h, w)
				}
			}
			_, _, lerr := tr.Load()
			if safe := err == nil && len(tt.hazards) == 0; safe != (lerr == nil) {
				t.Errorf("Load: %v", lerr)
			}
		})
	}
}

func TestWalkStopsAtEnd(t *testing.T) {
	tr, err := Walk(t.Context(), p("\x80\x02K\x01.cos\nsystem\n."), Limits{})
	if err != nil || tr.End != 5 || len(tr.Hazards) != 0 {
		t.Errorf("End %d, hazards %v, error %v", tr.End, tr.Hazards, err)
	}
}

func TestWalkBudgets(t *testing.T) {
	tests := []struct {
		name string
		data []byte
		lim  Limits
	}{
		{"opcodes", bytes.Repeat([]byte("N0"), 1000), Limits{Opcodes: 100}},
		{"memory", bytes.Repeat([]byte("\x8f0"), 1000), Limits{Memory: 10_000}},
		{"default memory", bytes.Repeat([]byte("\x8f0"), 4<<20), Limits{}},
	}
	for _, tt := range tests {
		_, err := Walk(t.Context(), tt.data, tt.lim)
		var pe *Error
		if !errors.As(err, &pe) || !pe.Budget {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Walk(ctx, p("N."), Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

func TestForgedLengthsAllocateNothing(t *testing.T) {
	for _, data := range [][]byte{
		p("\x8e", u64(1<<62)), p("\x96", u64(1<<33)), p("X", u32(1<<32-1)), p("\x8b", u32(1<<31-1)),
		p("Nr", u32(1<<32-1), "."), p("Nr", u32(1<<12-1), "."), p("\x80\x04\x95", u64(1<<33), "N."),
	} {
		n := allocated(func() {
			tr, _ := Walk(t.Context(), data, Limits{})
			tr.Load()
		})
		if n > 256<<10 {
			t.Errorf("%q allocates %d bytes", data, n)
		}
	}
}

func TestExpansionIsFree(t *testing.T) {
	for name, data := range map[string][]byte{
		"DUP TUPLE2": p("N", strings.Repeat("2\x86", 60), "."),
		"memo":       p("]\x94", strings.Repeat("(h\x00h\x00l\x94", 1), "0", "."),
		"depth":      p("N", strings.Repeat("\x85", 200_000), "."),
		"cycle":      p("]\x94h\x00a."),
	} {
		n := allocated(func() {
			tr, err := Walk(t.Context(), data, Limits{})
			if err == nil {
				_, _, err = tr.Load()
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if limit := uint64(256<<10 + 200*len(data)); n > limit {
			t.Errorf("%s allocates %d bytes for %d", name, n, len(data))
		}
	}
}

func TestLoadPanicsBecomeErrors(t *testing.T) {
	for name, data := range map[string][]byte{
		"unhashable key": p(odict, ")RC\x01xNs."),
		"unhashable set": p("\x8f(C\x01x\x90."),
		"arguments":      p(odict, "(Nt", "R."),
	} {
		tr, err := Walk(t.Context(), data, Limits{})
		if err != nil || len(tr.Hazards) > 0 {
			t.Fatalf("%s: %v %v", name, err, tr.Hazards)
		}
		if _, _, err := tr.Load(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// bound is more than walking and loading n bytes may allocate: a byte of a
// stream can push a set.
func bound(n int) uint64 { return 1<<20 + 2000*uint64(n) }

func FuzzWalk(f *testing.F) {
	for _, seed := range [][]byte{
		p("\x80\x02cposix\nsystem\n(X\x04\x00\x00\x00truetR."),
		p("\x80\x04\x95"+u64(32), s("collections"), "\x94", s("OrderedDict"), "\x94\x93", ")R."),
		p("\x80\x02", odict, ")Rq\x00(X\x01\x00\x00\x00aK\x01u}X\x09\x00\x00\x00_metadataNsb."),
		p("(S'true'\nios\nsystem\n."), p("(I1\nL2L\nF3\nS'x'\nVy\np0\ng0\nld."), p("\x8f(K\x01\x90\x91."),
	} {
		f.Add(seed)
	}
	files, _ := filepath.Glob("../../testdata/torch/*.legacy.pt")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := allocated(func() {
			tr, err := Walk(t.Context(), data, Limits{})
			if tr == nil || err == nil && (tr.End <= 0 || tr.End > len(data)) {
				t.Fatalf("trace %+v, error %v", tr, err)
			}
			if err == nil && len(tr.Hazards) == 0 {
				tr.Load()
			}
		})
		if n > bound(len(data)) {
			t.Errorf("%d bytes allocate %d", len(data), n)
		}
	})
}
