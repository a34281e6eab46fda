package loader

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"slices"
	"strings"

	"github.com/nlpodyssey/gopickle/types"

	"github.com/btu-scan/btu-scan/loader/internal/pickle"
)

// A storageRef is a persistent id: what the pickle says about a storage. Every
// number is checked to be sane, none against the bytes that exist.
type storageRef struct {
	key   string
	class string // "FloatStorage"
	kind  storageKind
	numel uint64
	bytes uint64
	view  *storageView // legacy files only
}

// A storageView is a part of a storage, in bytes.
type storageView struct{ off, bytes uint64 }

// A storage is a storageRef with the bytes it refers to.
type storage struct {
	ref  storageRef
	data []byte
	file string
	pos  int64
	big  bool
}

type storageKind struct {
	dtype DType // InvalidDType for what is not read
	width uint64
}

var storageKinds = map[string]storageKind{
	"DoubleStorage": {F64, 8}, "FloatStorage": {F32, 4}, "HalfStorage": {F16, 2}, "BFloat16Storage": {BF16, 2},
	"LongStorage": {I64, 8}, "IntStorage": {I32, 4}, "ShortStorage": {I16, 2}, "CharStorage": {I8, 1},
	"ByteStorage": {U8, 1}, "BoolStorage": {BOOL, 1}, "ComplexFloatStorage": {C64, 8},
	"UntypedStorage":       {U8, 1},
	"ComplexDoubleStorage": {InvalidDType, 16},
	"QInt8Storage":         {InvalidDType, 1}, "QUInt8Storage": {InvalidDType, 1}, "QInt32Storage": {InvalidDType, 4},
	"QUInt4x2Storage": {InvalidDType, 1}, "QUInt2x4Storage": {InvalidDType, 1},
}

// torchDTypes are the names that _rebuild_tensor_v3 is given.
var torchDTypes = map[string]DType{
	"float64": F64, "double": F64, "float32": F32, "float": F32, "float16": F16, "half": F16, "bfloat16": BF16,
	"int64": I64, "long": I64, "int32": I32, "int": I32, "int16": I16, "short": I16, "int8": I8,
	"uint8": U8, "uint16": U16, "uint32": U32, "uint64": U64, "bool": BOOL, "complex64": C64, "cfloat": C64,
	"float8_e4m3fn": F8E4M3, "float8_e5m2": F8E5M2, "float8_e4m3fnuz": F8E4M3FNUZ, "float8_e5m2fnuz": F8E5M2FNUZ,
	"float8_e8m0fnu": F8E8M0,
}

func parseStorage(p *pickle.Persistent) (storageRef, error) {
	id, ok := p.ID.(*types.Tuple)
	if !ok || id.Len() < 5 || id.Len() > 6 {
		return storageRef{}, errors.New("a persistent id that is not a storage's")
	}
	class, ok1 := id.Get(1).(*pickle.Class)
	key, ok2 := str(id.Get(2))
	numel, ok3 := natural(id.Get(4))
	if tag, _ := str(id.Get(0)); tag != "storage" || !ok1 || !ok2 || !ok3 {
		return storageRef{}, errors.New("a persistent id that is not a storage's")
	}
	r := storageRef{key: key, class: class.Name, numel: numel}
	if r.kind, ok = storageKinds[class.Name]; !ok {
		return storageRef{}, fmt.Errorf("storage %q has the type %q", clipped(key), class.Name)
	}
	hi, lo := bits.Mul64(numel, r.kind.width)
	if hi != 0 {
		return storageRef{}, fmt.Errorf("storage %q declares %d elements", clipped(key), numel)
	}
	r.bytes = lo
	if id.Len() == 6 && id.Get(5) != nil {
		v, ok := id.Get(5).(*types.Tuple)
		if !ok || v.Len() != 3 {
			return storageRef{}, fmt.Errorf("storage %q has a broken view", clipped(key))
		}
		off, ok1 := natural(v.Get(1))
		size, ok2 := natural(v.Get(2))
		if !ok1 || !ok2 || off > numel || size > numel-off {
			return storageRef{}, fmt.Errorf("a view of storage %q leaves it", clipped(key))
		}
		r.view = &storageView{off * r.kind.width, size * r.kind.width}
	}
	return r, nil
}

// str is a string; Python 2 pickled its own as bytes.
func str(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case []byte:
		return string(s), true
	}
	return "", false
}

func natural(v any) (uint64, bool) {
	switch n := v.(type) {
	case int:
		return uint64(n), n >= 0
	case *big.Int:
		return n.Uint64(), n.IsUint64()
	}
	return 0, false
}

func naturals(v any) ([]uint64, bool) {
	if o, ok := v.(*pickle.Object); ok && o.Class.Module == "torch" && o.Class.Name == "Size" && len(o.Args) == 1 {
		v = o.Args[0]
	}
	t, ok := v.(*types.Tuple)
	if !ok || t.Len() > maxDims {
		return nil, false
	}
	out := make([]uint64, t.Len())
	for i, e := range *t {
		if out[i], ok = natural(e); !ok {
			return nil, false
		}
	}
	return out, true
}

const (
	maxNest     = 8       // mappings in mappings, for names
	maxDepth    = 1000    // the same, for counting
	maxVisits   = 8 << 20 // entries looked at
	maxKey      = 4 << 10 // bytes of a key
	maxState    = 1 << 30 // bytes of names and shapes
	maxOverlap  = 1 << 24 // elements of a tensor that repeats its storage
	maxWarnings = 100
)

// A state turns an unpickled value into tensors.
type state struct {
	ctx      context.Context
	path     string // of the pickle, for messages
	opt      Options
	storages map[*pickle.Persistent]storage
	tensors  []*Tensor
	warnings []string

	untypedWide bool // a tensor of wide elements lies in an untyped storage

	names   map[string]bool
	counted map[any]tally
	visits  int
	size    int
	dropped int
}

func newState(ctx context.Context, path string, opt Options) *state {
	return &state{
		ctx: ctx, path: path, opt: opt,
		storages: make(map[*pickle.Persistent]storage),
		names:    make(map[string]bool),
		counted:  make(map[any]tally),
	}
}

func (s *state) errorf(format string, args ...any) error {
	return &FormatError{Path: s.path, Off: -1, Msg: fmt.Sprintf(format, args...)}
}

func (s *state) warn(format string, args ...any) {
	if len(s.warnings) < maxWarnings {
		s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
	} else {
		s.dropped++
	}
}

// register finds the bytes of every storage that the pickle refers to, also of
// those that no tensor we read lies in: a reader that loads everything fails
// where one is missing.
func (s *state) register(refs []*pickle.Persistent, find func(storageRef) (storage, error)) error {
	type identity struct {
		class string
		numel uint64
	}
	seen := make(map[string]identity)
	for i, p := range refs {
		if i%4096 == 0 && s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		r, err := parseStorage(p)
		if err != nil {
			return s.errorf("%v", err)
		}
		id := identity{r.class, r.numel}
		// PyTorch takes the first description for all.
		if old, ok := seen[r.key]; ok && old != id {
			return s.errorf("storage %q is %d x %s and %d x %s", clipped(r.key), old.numel, old.class, id.numel, id.class)
		}
		seen[r.key] = id
		st, err := find(r)
		if err != nil {
			return err
		}
		s.storages[p] = st
	}
	return nil
}

// read collects the tensors of the value a checkpoint holds.
func (s *state) read(v any) error {
	err := s.root(v)
	if err == nil && s.dropped > 0 {
		s.warnings = append(s.warnings, fmt.Sprintf("%d more warnings", s.dropped))
	}
	sortTensors(s.tensors)
	return err
}

func (s *state) root(v any) error {
	if isTensor(v) {
		return s.add("tensor", v)
	}
	v, err := s.choose(v)
	if err != nil {
		return err
	}
	if l, ok := v.(*types.List); ok {
		return s.sequence(*l)
	}
	if t, ok := v.(*types.Tuple); ok {
		return s.sequence(*t)
	}
	return s.flatten("", v, 0)
}

func (s *state) sequence(items []any) error {
	for i, it := range items {
		if err := s.visit(); err != nil {
			return err
		}
		if isTensor(it) {
			if err := s.add(fmt.Sprint(i), it); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *state) visit() error {
	s.visits++
	if s.visits%4096 == 0 && s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if s.visits > maxVisits {
		return &FormatError{Path: s.path, Off: -1, Msg: fmt.Sprintf("more than %d entries", maxVisits), Err: ErrIncomplete}
	}
	return nil
}

type entry struct {
	key   any
	value any
}

// entries lists a mapping in its order, the last value for a repeated string
// key, as Python does. ok is false for anything else.
func (s *state) entries(v any) (es []entry, ok bool, err error) {
	switch m := v.(type) {
	case *types.Dict:
		at := make(map[string]int)
		for _, e := range *m {
			if err := s.visit(); err != nil {
				return nil, true, err
			}
			if k, ok := e.Key.(string); ok {
				if i, twice := at[k]; twice {
					es[i].value = e.Value
					continue
				}
				at[k] = len(es)
			}
			es = append(es, entry{e.Key, e.Value})
		}
		return es, true, nil
	case *types.OrderedDict:
		for l := m.List.Front(); l != nil; l = l.Next() {
			if err := s.visit(); err != nil {
				return nil, true, err
			}
			e := l.Value.(*types.OrderedDictEntry)
			es = append(es, entry{e.Key, e.Value})
		}
		return es, true, nil
	}
	return nil, false, nil
}

// A tally is how much a mapping holds.
type tally struct{ tensors, elements int }

func (t tally) less(u tally) bool {
	if t.elements != u.elements {
		return t.elements < u.elements
	}
	return t.tensors < u.tensors
}

// count tallies the tensors in v, however deep within reason.
func (s *state) count(v any, depth int) (tally, error) {
	if isTensor(v) {
		n := 1
		if sz, ok := naturals(sizeOf(v)); ok {
			if p, ok := product(sz); ok {
				n = int(min(p, 1<<40))
			}
		}
		return tally{1, n}, nil
	}
	if depth > maxDepth {
		return tally{}, nil
	}
	switch v.(type) {
	case *types.Dict, *types.OrderedDict:
	default:
		return tally{}, nil
	}
	if t, ok := s.counted[v]; ok {
		return t, nil
	}
	s.counted[v] = tally{} // a mapping inside itself counts once
	es, _, err := s.entries(v)
	if err != nil {
		return tally{}, err
	}
	var sum tally
	for _, e := range es {
		t, err := s.count(e.value, depth+1)
		if err != nil {
			return tally{}, err
		}
		sum.tensors = min(sum.tensors+t.tensors, 1<<40)
		sum.elements = min(sum.elements+t.elements, 1<<50)
	}
	s.counted[v] = sum
	return sum, nil
}

// wrappers are the keys under which trainers put the state dict.
var wrappers = []string{
	"state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params", "model_weights",
}

// aside reports whether a key of a training checkpoint holds tensors that are
// not the model's.
func aside(key string) bool {
	k := strings.ToLower(key)
	return strings.Contains(k, "optim") || strings.Contains(k, "scheduler") || strings.Contains(k, "rng_state") || k == "grad_scaler" || k == "scaler"
}

// choose goes from a training checkpoint down to the mapping that is the
// model's state dict. Where nothing says which, it stays.
func (s *state) choose(v any) (any, error) {
	for range 3 {
		es, ok, err := s.entries(v)
		if err != nil || !ok {
			return v, err
		}
		direct := 0
		type candidate struct {
			key   string
			value any
			size  tally
		}
		var found []candidate
		for _, e := range es {
			if isTensor(e.value) {
				direct++
				continue
			}
			k, ok := e.key.(string)
			if !ok || !slices.Contains(wrappers, k) {
				continue
			}
			t, err := s.count(e.value, 0)
			if err != nil {
				return nil, err
			}
			if t.tensors > 0 {
				found = append(found, candidate{k, e.value, t})
			}
		}
		if len(found) == 0 {
			return v, nil
		}
		best, names := found[0], []string{}
		for _, c := range found {
			names = append(names, fmt.Sprintf("%q", c.key))
			if best.size.less(c.size) {
				best = c
			}
		}
		if best.size.tensors <= direct {
			return v, nil
		}
		if len(found) > 1 {
			s.warn("tensors under %s: reading the largest, %q", strings.Join(names, " and "), best.key)
		}
		v = best.value
	}
	return v, nil
}

// flatten adds the tensors of a mapping and of the mappings in it, with their
// keys joined by dots.
func (s *state) flatten(prefix string, v any, depth int) error {
	es, ok, err := s.entries(v)
	if err != nil || !ok {
		return err
	}
	direct := slices.ContainsFunc(es, func(e entry) bool { return isTensor(e.value) })
	odd := 0
	for _, e := range es {
		t, err := s.count(e.value, 0)
		if err != nil {
			return err
		}
		if t.tensors == 0 {
			continue
		}
		k, ok := e.key.(string)
		switch {
		case !ok:
			odd++
			continue
		case len(k) > maxKey:
			s.warn("the tensors under a key of %d bytes are skipped", len(k))
			continue
		}
		switch {
		case isTensor(e.value):
			err = s.add(prefix+k, e.value)
		case depth == 0 && !direct && aside(k):
		case depth >= maxNest:
			s.warn("the tensors under %q are nested too deeply and skipped", prefix+k)
		default:
			err = s.flatten(prefix+k+".", e.value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	if odd > 0 {
		s.warn("%d keys under %q that are not strings hold tensors, which are skipped", odd, prefix)
	}
	return nil
}

// rebuild returns the record of the call that makes a tensor, if v is one.
func rebuild(v any) (*pickle.Object, bool) {
	for range 4 { // a parameter of a tensor
		o, ok := v.(*pickle.Object)
		if !ok {
			return nil, false
		}
		switch o.Class.Module + "." + o.Class.Name {
		case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
			"torch._utils._rebuild_qtensor", "torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_meta_tensor_no_storage":
			return o, true
		case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state", "torch.nn.parameter.Parameter":
			if len(o.Args) == 0 {
				return nil, false
			}
			v = o.Args[0]
		default:
			return nil, false
		}
	}
	return nil, false
}

func isTensor(v any) bool {
	_, ok := rebuild(v)
	return ok
}

func sizeOf(v any) any {
	if o, ok := rebuild(v); ok && len(o.Args) > 2 {
		return o.Args[2]
	}
	return nil
}

// add checks a tensor and adds it.
func (s *state) add(name string, v any) error {
	o, _ := rebuild(v)
	if s.names[name] {
		s.warn("two entries come to the name %q: only the first is read", name)
		return nil
	}
	bad := func(format string, args ...any) error {
		return s.errorf("tensor %q: %s", clipped(name), fmt.Sprintf(format, args...))
	}
	fn, args := o.Class.Name, o.Args
	switch fn {
	case "_rebuild_qtensor":
		s.warn("tensor %q is quantized and skipped", name)
		return nil
	case "_rebuild_sparse_tensor":
		s.warn("tensor %q is sparse and skipped", name)
		return nil
	case "_rebuild_meta_tensor_no_storage":
		s.warn("tensor %q has no data (device meta) and is skipped", name)
		return nil
	}
	if least := map[string]int{"_rebuild_tensor": 4, "_rebuild_tensor_v2": 6, "_rebuild_tensor_v3": 7}[fn]; len(args) < least || len(args) > least+1 {
		return bad("%s with %d arguments", fn, len(args))
	}
	ref, ok := args[0].(*pickle.Persistent)
	if !ok {
		return bad("it does not lie in a storage")
	}
	st, ok := s.storages[ref]
	if !ok {
		return bad("its storage is not known")
	}
	offset, ok1 := natural(args[1])
	shape, ok2 := naturals(args[2])
	stride, ok3 := naturals(args[3])
	if !ok1 || !ok2 || !ok3 {
		return bad("its offset, size or strides are not natural numbers, or more than %d", maxDims)
	}
	dt := st.ref.kind.dtype
	meta := 6
	if fn == "_rebuild_tensor_v3" {
		meta = 7
		c, ok := args[6].(*pickle.Class)
		if !ok || c.Module != "torch" {
			return bad("its element type is not one")
		}
		if st.ref.class != "UntypedStorage" && torchDTypes[c.Name] != dt {
			return bad("%s elements in a %s", c.Name, st.ref.class)
		}
		if dt = torchDTypes[c.Name]; dt == InvalidDType {
			s.warn("tensor %q has elements of type %s and is skipped", name, c.Name)
			return nil
		}
		s.untypedWide = s.untypedWide || dt.Bits() > 8
	}
	if dt == InvalidDType {
		s.warn("tensor %q lies in a %s and is skipped", name, st.ref.class)
		return nil
	}
	if fn != "_rebuild_tensor" && len(args) > meta {
		set, err := s.flagged(args[meta])
		if err != nil {
			return err
		}
		if set {
			s.warn("tensor %q is a conjugate or negative view and is skipped", name)
			return nil
		}
	}
	t, err := newTensor(view{name: name, dtype: dt, shape: shape, stride: stride, offset: offset, big: st.big, file: st.file, pos: st.pos, data: st.data})
	if err != nil {
		return err
	}
	if n, _ := product(shape); n > max(maxOverlap, uint64(len(st.data))*8/dt.Bits()) {
		return bad("%d elements in a storage of %d bytes", n, len(st.data))
	}
	s.size += len(name) + 16*len(shape) + 200
	if len(s.tensors) >= s.opt.MaxTensors || s.size > maxState {
		return &FormatError{Path: s.path, Off: -1, Msg: fmt.Sprintf("more than %d tensors", len(s.tensors)), Err: ErrIncomplete}
	}
	s.names[name] = true
	s.tensors = append(s.tensors, t)
	return nil
}

// flagged reports whether a tensor's metadata says that its values are not its
// bytes: the conj and neg bits.
func (s *state) flagged(v any) (bool, error) {
	es, ok, err := s.entries(v)
	if err != nil || !ok {
		return v != nil && !ok, err
	}
	for _, e := range es {
		if e.value != false {
			return true, nil
		}
	}
	return false, nil
}
