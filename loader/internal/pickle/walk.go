package pickle

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits bound the work a stream may cause. The zero value of a field means
// its default.
type Limits struct {
	Opcodes int   // default 32 Mi
	Marks   int   // nesting of MARK, default 1,000
	Memory  int64 // bytes the virtual machine would need, estimated; default 1 GiB
}

func (l Limits) withDefaults() Limits {
	if l.Opcodes <= 0 {
		l.Opcodes = 32 << 20
	}
	if l.Marks <= 0 {
		l.Marks = 1000
	}
	if l.Memory <= 0 {
		l.Memory = 1 << 30
	}
	return l
}

const (
	maxStream  = math.MaxUint32 // offsets are kept in 32 bits
	maxNumber  = 1 << 10        // bytes of a number: arithmetic on longer ones is quadratic
	maxHazards = 200
	maxGlobals = 10_000
	maxText    = 200 // bytes of the stream's own text that is kept for messages
	memoSlack  = 1 << 12
)

// A Trace is what [Walk] saw.
type Trace struct {
	End      int      // the offset after STOP; 0 where STOP was not reached
	Protocol int      // the highest PROTO
	Ops      int      // opcodes gone through
	Cost     int      // of walking: opcodes, and one more for 64 bytes looked at
	Globals  []Global // in stream order
	Hazards  []Hazard // in stream order, the first 200
	Dropped  int      // further hazards, only counted

	data []byte
	err  error
}

// A Global is a name the stream reaches for.
type Global struct {
	Module, Name string // as far as 200 bytes
	Op           string // GLOBAL, STACK_GLOBAL or INST
	Off          int    // of Op
	Allowed      bool
	CalledBy     string // the first opcode that used it as a callable; "" if none
	CalledAt     int
}

// String is the quoted dotted name.
func (g Global) String() string { return strconv.QuoteToGraphic(g.Module + "." + g.Name) }

// A Hazard is something no plain state dict contains.
type Hazard struct {
	Global   int // index into Trace.Globals for a global outside the allowlist; -1 for an opcode
	Off      int // of the opcode
	Op       string
	Detail   string // one sentence
	Settings bool   // no more than a class of a trainer's settings is made, as the trainer does it
}

// Settings reports whether all that keeps the stream from being plain data are
// the classes in which trainers store their settings.
func (t *Trace) Settings() bool {
	return len(t.Hazards) > 0 && t.Dropped == 0 && !slices.ContainsFunc(t.Hazards, func(h Hazard) bool { return !h.Settings })
}

// An Error says where and why a stream was refused.
type Error struct {
	Off    int
	Msg    string
	Budget bool // a limit was reached, rather than a rule broken
}

func (e *Error) Error() string { return fmt.Sprintf("pickle offset %d: %s", e.Off, e.Msg) }

type kind uint8

const (
	absent kind = iota
	opaque      // a number, a bool, None, or anything else without behaviour
	text
	blob
	tuple
	list
	dict
	set
	global   // value.g
	object   // an instance made by value.g
	external // a persistent id
	unsafe   // came from something already reported
)

var kindNames = [...]string{
	absent: "nothing", opaque: "a plain value", text: "a string", blob: "bytes", tuple: "a tuple", list: "a list",
	dict: "a dict", set: "a set", global: "a global", object: "an object", external: "a persistent id", unsafe: "an unsafe value",
}

// A value stands for what an opcode pushed. Its parts are never kept: this is
// what makes expansion free.
type value struct {
	kind kind
	at   uint32 // offset of the opcode, for text
	g    uint32 // index of the global
}

type walker struct {
	data []byte
	lim  Limits
	t    *Trace

	pos      int // of the next byte
	at       int // of the current opcode
	op       byte
	frameEnd int // 0 outside a frame
	stack    []value
	marks    []int
	memo     []value
	memoized int // present entries
	puts     int
	memory   int64
	soft     *Error // the first error after which opcodes could still be told apart
	uses     []use  // beside t.Globals
}

// Walk goes through the stream that starts at data[0], up to its STOP. The
// Trace is never nil: after an error, which is an [*Error] or ctx's, it holds
// what was seen up to it.
func Walk(ctx context.Context, data []byte, lim Limits) (*Trace, error) {
	w := &walker{data: data, lim: lim.withDefaults(), t: &Trace{data: data}}
	err := w.run(ctx)
	if w.soft != nil && ctx.Err() == nil {
		err = w.soft
	}
	for i := range w.t.Hazards {
		h := &w.t.Hazards[i]
		if h.Global < 0 {
			continue
		}
		if g := w.t.Globals[h.Global]; g.CalledBy != "" {
			h.Detail += fmt.Sprintf(", called by %s at %d", g.CalledBy, g.CalledAt)
		}
	}
	w.t.err = err
	w.t.Cost = w.t.Ops + w.pos/64
	if err != nil && w.pos < len(data) && opcodes[w.op].arg >= argLine && opcodes[w.op].arg <= argLines {
		w.t.Cost += (len(data) - w.pos) / 64 // in search of the line's end
	}
	return w.t, err
}

func (w *walker) errorf(format string, args ...any) error {
	return &Error{Off: w.at, Msg: fmt.Sprintf(format, args...)}
}

func (w *walker) budget(format string, args ...any) error {
	return &Error{Off: w.at, Msg: fmt.Sprintf(format, args...), Budget: true}
}

// softf notes an error that a reader would stop at, or that readers disagree
// about, and goes on: a payload behind it must still be seen.
func (w *walker) softf(format string, args ...any) {
	if w.soft == nil {
		w.soft = &Error{Off: w.at, Msg: fmt.Sprintf(format, args...)}
	}
}

func (w *walker) hazard(format string, args ...any) {
	w.addHazard(Hazard{Global: -1, Off: w.at, Op: opcodes[w.op].name, Detail: fmt.Sprintf(format, args...)})
}

func (w *walker) addHazard(h Hazard) {
	if len(w.t.Hazards) >= maxHazards {
		w.t.Dropped++
		return
	}
	w.t.Hazards = append(w.t.Hazards, h)
}

func (w *walker) run(ctx context.Context) error {
	if len(w.data) > maxStream {
		return &Error{Msg: fmt.Sprintf("%d bytes, the limit is %d", len(w.data), int64(maxStream)), Budget: true}
	}
	for {
		if w.t.Ops%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		w.at = w.pos
		if w.frameEnd != 0 && w.pos == w.frameEnd {
			w.frameEnd = 0
		}
		if w.pos >= len(w.data) {
			return w.errorf("the stream ends without STOP")
		}
		w.op = w.data[w.pos]
		w.pos++
		o := opcodes[w.op]
		if o.name == "" {
			return w.errorf("unknown opcode %#02x", w.op)
		}
		arg, next, err := argumentAt(w.data, w.at)
		if err != nil {
			err.Off = w.at
			err.Msg = o.name + ": " + err.Msg
			return err
		}
		w.pos = next
		if w.frameEnd != 0 && w.pos > w.frameEnd && w.op != opFrame {
			w.softf("%s reaches beyond the end of its frame at %d: readers disagree", o.name, w.frameEnd)
			w.frameEnd = 0
		}
		w.t.Ops++
		if w.t.Ops > w.lim.Opcodes {
			return w.budget("more than %d opcodes", w.lim.Opcodes)
		}
		if w.op == opStop {
			return w.stop()
		}
		if err := w.step(arg); err != nil {
			return err
		}
		// What the virtual machine keeps for an opcode is at most a boxed
		// value, its slot and a copy of the argument.
		w.memory += 32 + int64(len(arg))
		if w.memory > w.lim.Memory {
			return w.budget("building the value would need more than %d bytes", w.lim.Memory)
		}
	}
}

// argumentAt is the argument of the opcode at data[at], without its count or
// newline (both lines and the newline between them, where there are two), and
// the offset of what follows.
func argumentAt(data []byte, at int) (arg []byte, next int, _ *Error) {
	p := at + 1
	rest := data[p:]
	o := opcodes[data[at]]
	count := func(width int, n uint64) ([]byte, int, *Error) {
		if have := uint64(len(rest) - width); n > have {
			return nil, 0, &Error{Msg: fmt.Sprintf("declares %d bytes, %d exist", n, have)}
		}
		return rest[width : width+int(n)], p + width + int(n), nil
	}
	short := func() ([]byte, int, *Error) {
		return nil, 0, &Error{Msg: "the stream ends inside the argument"}
	}
	switch o.arg {
	case argNone:
		return nil, p, nil
	case argFixed:
		if len(rest) < o.width {
			return short()
		}
		return rest[:o.width], p + o.width, nil
	case argCount1:
		if len(rest) < 1 {
			return short()
		}
		return count(1, uint64(rest[0]))
	case argCount4, argCount4s:
		if len(rest) < 4 {
			return short()
		}
		n := binary.LittleEndian.Uint32(rest)
		if o.arg == argCount4s && n > math.MaxInt32 {
			return nil, 0, &Error{Msg: "declares a negative length"}
		}
		return count(4, uint64(n))
	case argCount8:
		if len(rest) < 8 {
			return short()
		}
		return count(8, binary.LittleEndian.Uint64(rest))
	case argLine, argNumber:
		n := bytes.IndexByte(rest, '\n')
		if n < 0 {
			return short()
		}
		return rest[:n], p + n + 1, nil
	default: // argLines
		n := bytes.IndexByte(rest, '\n')
		if n < 0 {
			return short()
		}
		m := bytes.IndexByte(rest[n+1:], '\n')
		if m < 0 {
			return short()
		}
		return rest[:n+1+m], p + n + 1 + m + 1, nil
	}
}

func (w *walker) stop() error {
	if err := w.need(1); err != nil {
		return err
	}
	if len(w.marks) > 0 {
		return w.errorf("STOP with %d open marks", len(w.marks))
	}
	if w.frameEnd != 0 && w.frameEnd != w.pos {
		w.softf("STOP before the end of its frame at %d: readers disagree", w.frameEnd)
	}
	if n := len(w.stack) - 1; n > 0 {
		w.hazard("beside the result, values are left unused: %d", n)
	}
	w.t.End = w.pos
	return nil
}

// need checks that n values lie above the topmost mark.
func (w *walker) need(n int) error {
	floor := 0
	if len(w.marks) > 0 {
		floor = w.marks[len(w.marks)-1]
	}
	if len(w.stack)-floor < n {
		return w.errorf("%s needs %d values on the stack, %d are there", opcodes[w.op].name, n, len(w.stack)-floor)
	}
	return nil
}

func (w *walker) push(k kind) { w.stack = append(w.stack, value{kind: k, at: uint32(w.at)}) }

func (w *walker) top() *value { return &w.stack[len(w.stack)-1] }

func (w *walker) drop(n int) { w.stack = w.stack[:len(w.stack)-n] }

// popMark takes the values above the topmost mark off the stack and returns
// how many there were.
func (w *walker) popMark() (int, error) {
	if len(w.marks) == 0 {
		return 0, w.errorf("%s without MARK", opcodes[w.op].name)
	}
	floor := w.marks[len(w.marks)-1]
	w.marks = w.marks[:len(w.marks)-1]
	n := len(w.stack) - floor
	w.stack = w.stack[:floor]
	return n, nil
}

// make replaces the topmost n values by one of kind k.
func (w *walker) make(n int, k kind) error {
	if err := w.need(n); err != nil {
		return err
	}
	w.drop(n)
	w.push(k)
	return nil
}

func (w *walker) step(arg []byte) error {
	switch w.op {
	case opProto:
		if arg[0] > 5 {
			return w.errorf("protocol %d is not known", arg[0])
		}
		w.t.Protocol = max(w.t.Protocol, int(arg[0]))
	case opFrame:
		w.frame(binary.LittleEndian.Uint64(arg))
	case opMark:
		if len(w.marks) >= w.lim.Marks {
			return w.budget("more than %d marks are open", w.lim.Marks)
		}
		w.marks = append(w.marks, len(w.stack))
	case opPop:
		if n := len(w.marks); n > 0 && w.marks[n-1] == len(w.stack) {
			w.marks = w.marks[:n-1]
			return nil
		}
		if err := w.need(1); err != nil {
			return err
		}
		w.drop(1)
	case opPopMark:
		_, err := w.popMark()
		return err
	case opDup:
		if err := w.need(1); err != nil {
			return err
		}
		w.stack = append(w.stack, *w.top())

	case opNone, opNewTrue, opNewFalse, opBinInt, opBinInt1, opBinInt2, opBinFloat:
		w.push(opaque)
	case opInt, opLong, opFloat, opLong1, opLong4:
		if len(arg) == 0 || len(arg) > maxNumber {
			w.softf("%s of %d bytes", opcodes[w.op].name, len(arg))
		} else if !number(w.op, string(arg)) {
			w.softf("%s %q is not a number", opcodes[w.op].name, clip(string(arg)))
		}
		w.push(opaque)
	case opBinUnicode, opShortBinUnicode, opBinUnicode8, opBinString, opShortBinString:
		if !utf8.Valid(arg) {
			w.softf("%s is not UTF-8", opcodes[w.op].name)
		}
		w.push(text)
	case opString, opUnicode:
		s, ok := literal(w.op, arg)
		if !ok {
			w.softf("STRING without quotes")
		} else if bytes.IndexByte(s, '\\') >= 0 || !ascii(s) {
			w.softf("%s with escapes is not read", opcodes[w.op].name)
		}
		w.push(text)
	case opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		w.push(blob)

	case opEmptyTuple:
		w.memory += 48
		w.push(tuple)
	case opTuple1, opTuple2, opTuple3:
		w.memory += 72
		return w.make(int(w.op-opTuple1)+1, tuple)
	case opEmptyList:
		w.memory += 88
		w.push(list)
	case opEmptyDict:
		w.memory += 152
		w.push(dict)
	case opEmptySet:
		w.memory += 400
		w.push(set)
	case opTuple, opList, opFrozenSet, opDict:
		return w.collect()
	case opAppend:
		return w.mutate(2, 1)
	case opSetItem:
		return w.mutate(3, 2)
	case opAppends, opSetItems, opAddItems:
		n, err := w.popMark()
		if err != nil {
			return err
		}
		if w.op == opSetItems && n%2 != 0 {
			return w.errorf("SETITEMS with %d values", n)
		}
		w.memory += 160 * int64(n)
		return w.mutate(1, 0)

	case opPut, opBinPut, opLongBinPut, opMemoize:
		return w.put(arg)
	case opGet, opBinGet, opLongBinGet:
		return w.get(arg)

	case opGlobal:
		m, n, _ := bytes.Cut(arg, []byte{'\n'})
		return w.global(string(m), string(n))
	case opStackGlobal:
		return w.stackGlobal()
	case opInst:
		if _, err := w.popMark(); err != nil {
			return err
		}
		m, n, _ := bytes.Cut(arg, []byte{'\n'})
		if err := w.global(string(m), string(n)); err != nil {
			return err
		}
		w.called(*w.top())
		w.hazard("INST makes an instance of %s", w.t.Globals[w.top().g])
		w.top().kind = unsafe
	case opObj:
		n, err := w.popMark()
		if err != nil {
			return err
		}
		if n == 0 {
			return w.errorf("OBJ without a class")
		}
		class := w.stack[:len(w.stack)+1][len(w.stack)]
		w.called(class)
		w.hazard("OBJ makes an instance of %s", w.describe(class))
		w.push(unsafe)
	case opReduce, opNewObj:
		return w.call()
	case opNewObjEx:
		if err := w.need(3); err != nil {
			return err
		}
		w.called(w.stack[len(w.stack)-3])
		w.hazard("NEWOBJ_EX makes an instance of %s", w.describe(w.stack[len(w.stack)-3]))
		return w.make(3, unsafe)
	case opBuild:
		return w.build()
	case opExt1, opExt2, opExt4:
		w.hazard("%s takes a global from the extension registry", opcodes[w.op].name)
		w.push(unsafe)
	case opNextBuffer:
		w.hazard("NEXT_BUFFER takes data from outside the stream")
		w.push(unsafe)
	case opReadOnlyBuffer:
		w.hazard("READONLY_BUFFER has no place in a state dict")
		return w.make(1, unsafe)
	case opBinPersID:
		if err := w.need(1); err != nil {
			return err
		}
		if k := w.top().kind; k != tuple && k != unsafe {
			w.softf("the persistent id is %s, not a tuple", kindNames[k])
		}
		w.memory += 96
		return w.make(1, external)
	case opPersID:
		w.softf("PERSID: PyTorch's persistent ids are tuples")
		w.push(external)
	default:
		return w.errorf("unknown opcode %#02x", w.op)
	}
	return nil
}

func (w *walker) frame(size uint64) {
	switch have := uint64(len(w.data) - w.pos); {
	case w.frameEnd != 0:
		w.softf("a frame inside a frame: readers disagree")
	case size > have:
		w.softf("FRAME declares %d bytes, %d exist", size, have)
	case size > 0:
		w.frameEnd = w.pos + int(size)
	}
}

func (w *walker) collect() error {
	n, err := w.popMark()
	if err != nil {
		return err
	}
	w.memory += 300 + 16*int64(n) // the virtual machine keeps the slice it collected in
	k := tuple
	switch w.op {
	case opList:
		k = list
	case opFrozenSet:
		w.memory += 160 * int64(n)
		k = set
	case opDict:
		if n%2 != 0 {
			return w.errorf("DICT with %d values", n)
		}
		k = dict
	}
	w.push(k)
	return nil
}

// mutate checks the container below the items that an opcode adds to it. It is
// the lowest of the topmost n values, of which the items are taken off.
func (w *walker) mutate(n, items int) error {
	if err := w.need(n); err != nil {
		return err
	}
	w.drop(items)
	w.memory += 160
	v := *w.top()
	ok := v.kind == unsafe // already reported
	switch w.op {
	case opAppend, opAppends:
		ok = ok || v.kind == list
	case opAddItems:
		ok = ok || v.kind == set
	default:
		ok = ok || v.kind == dict || v.kind == object && w.uses[v.g]&useItems != 0
	}
	if !ok {
		w.hazard("%s calls a method of %s", opcodes[w.op].name, w.describe(v))
		w.top().kind = unsafe
	}
	return nil
}

func (w *walker) index(arg []byte) (int, error) {
	switch w.op {
	case opBinPut, opBinGet:
		return int(arg[0]), nil
	case opLongBinPut, opLongBinGet:
		return int(int64(binary.LittleEndian.Uint32(arg))), nil
	}
	if len(arg) > 10 {
		return 0, w.errorf("memo index of %d digits", len(arg))
	}
	n, err := strconv.ParseUint(string(arg), 10, 32)
	if err != nil {
		return 0, w.errorf("memo index %q", arg)
	}
	return int(int64(n)), nil
}

func (w *walker) put(arg []byte) error {
	if err := w.need(1); err != nil {
		return err
	}
	i := w.memoized
	if w.op != opMemoize {
		var err error
		if i, err = w.index(arg); err != nil {
			return err
		}
	}
	// Picklers number from 0 or 1 without gaps. A reader that keeps the memo
	// in an array allocates what the largest index says.
	if i >= memoSlack+2*w.puts {
		return w.budget("memo index %d after %d entries", i, w.puts)
	}
	w.puts++
	w.memory += 64
	if i >= len(w.memo) {
		w.memo = append(w.memo, make([]value, i+1-len(w.memo))...)
	}
	if w.memo[i].kind == absent {
		w.memoized++
	}
	w.memo[i] = *w.top()
	return nil
}

func (w *walker) get(arg []byte) error {
	i, err := w.index(arg)
	if err != nil {
		return err
	}
	if i >= len(w.memo) || w.memo[i].kind == absent {
		w.softf("memo entry %d does not exist", i)
		w.push(opaque)
		return nil
	}
	w.stack = append(w.stack, w.memo[i])
	return nil
}

func (w *walker) global(module, nam string) error {
	if len(w.t.Globals) >= maxGlobals {
		return w.budget("more than %d globals", maxGlobals)
	}
	u := allowed[name{module, nam}]
	known := settings[name{module, nam}]
	g := len(w.t.Globals)
	w.uses = append(w.uses, u|known)
	w.t.Globals = append(w.t.Globals, Global{
		Module: clip(module), Name: clip(nam),
		Op: opcodes[w.op].name, Off: w.at, Allowed: u != 0,
	})
	w.memory += 96
	w.stack = append(w.stack, value{kind: global, at: uint32(w.at), g: uint32(g)})
	if u == 0 {
		w.addHazard(Hazard{Global: g, Off: w.at, Op: opcodes[w.op].name, Settings: known != 0,
			Detail: fmt.Sprintf("%s reaches %s, which no state dict needs", opcodes[w.op].name, w.t.Globals[g])})
	}
	return nil
}

func (w *walker) stackGlobal() error {
	if err := w.need(2); err != nil {
		return err
	}
	m, n := w.stack[len(w.stack)-2], w.stack[len(w.stack)-1]
	w.drop(2)
	module, ok1 := w.text(m)
	nam, ok2 := w.text(n)
	if ok1 && ok2 {
		return w.global(module, nam)
	}
	part := func(v value, s string, ok bool) string {
		if ok {
			return strconv.QuoteToGraphic(clip(s))
		}
		return w.describe(v)
	}
	w.hazard("STACK_GLOBAL takes its names from %s and %s", part(m, module, ok1), part(n, nam, ok2))
	w.push(unsafe)
	return nil
}

// text is the string a value stands for, if it is one that all readers decode
// alike.
func (w *walker) text(v value) (string, bool) {
	if v.kind != text {
		return "", false
	}
	arg, _, err := argumentAt(w.data, int(v.at))
	if err != nil {
		return "", false
	}
	op := w.data[v.at]
	s, ok := literal(op, arg)
	if !ok || (op == opString || op == opUnicode) && bytes.IndexByte(s, '\\') >= 0 {
		return "", false
	}
	return string(s), true
}

// number reports whether s is a number as a pickler writes it. Readers take
// more (underscores, spaces, hexadecimal), each something else.
func number(op byte, s string) bool {
	switch op {
	case opLong:
		s = strings.TrimSuffix(s, "L")
	case opFloat:
		_, err := strconv.ParseFloat(s, 64)
		return err == nil && !strings.ContainsAny(s, "xX_")
	case opLong1, opLong4:
		return true
	}
	s = strings.TrimPrefix(s, "-")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// literal strips the quotes of a STRING.
func literal(op byte, arg []byte) ([]byte, bool) {
	if op != opString {
		return arg, true
	}
	n := len(arg)
	if n < 2 || arg[0] != arg[n-1] || arg[0] != '\'' && arg[0] != '"' {
		return nil, false
	}
	return arg[1 : n-1], true
}

func ascii(s []byte) bool {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// called notes which opcode used a global as a callable.
func (w *walker) called(v value) {
	if v.kind != global {
		return
	}
	if g := &w.t.Globals[v.g]; g.CalledBy == "" {
		g.CalledBy, g.CalledAt = opcodes[w.op].name, w.at
	}
}

func (w *walker) describe(v value) string {
	switch v.kind {
	case global:
		return w.t.Globals[v.g].String()
	case object:
		return "an instance of " + w.t.Globals[v.g].String()
	}
	return kindNames[v.kind]
}

func (w *walker) call() error {
	if err := w.need(2); err != nil {
		return err
	}
	f, args := w.stack[len(w.stack)-2], w.stack[len(w.stack)-1]
	w.drop(2)
	w.called(f)
	if args.kind != tuple && args.kind != unsafe {
		w.softf("%s with %s for arguments", opcodes[w.op].name, kindNames[args.kind])
	}
	want := useCall
	if w.op == opNewObj {
		want = useNew
	}
	w.memory += 600 // an OrderedDict, the largest result
	switch {
	case f.kind == global && w.uses[f.g]&want != 0:
		w.stack = append(w.stack, value{kind: object, at: uint32(w.at), g: f.g})
	case f.kind == unsafe, f.kind == global && w.uses[f.g] == 0: // already reported
		w.push(unsafe)
	default:
		w.hazard("%s calls %s", opcodes[w.op].name, w.describe(f))
		w.push(unsafe)
	}
	return nil
}

func (w *walker) build() error {
	if err := w.need(2); err != nil {
		return err
	}
	w.drop(1)
	w.memory += 160
	v := *w.top()
	w.called(v)
	switch {
	case v.kind == object && w.uses[v.g]&useBuild != 0:
	case v.kind == unsafe, v.kind == global && w.uses[v.g] == 0:
		w.top().kind = unsafe
	default:
		w.hazard("BUILD sets attributes of %s", w.describe(v))
		w.top().kind = unsafe
	}
	return nil
}

// clip cuts the stream's own text for messages, and copies it.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return s[:maxText] + "..."
}
