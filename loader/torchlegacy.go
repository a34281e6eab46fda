package loader

import (
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/nlpodyssey/gopickle/types"

	"github.com/btu-scan/btu-scan/loader/internal/pickle"
)

// The magic number and the protocol that torch.save wrote before PyTorch 1.6.
var legacyMagic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

const legacyProtocol = 1001

// legacyPickles is how many pickles a legacy file starts with: magic number,
// protocol, system, object, storage keys.
const legacyPickles = 5

// readTorchLegacy reads what torch.save wrote before PyTorch 1.6, and looks
// through any other file that starts with a pickle: that one gives
// ErrUnsupported at best.
func readTorchLegacy(w *walker, name string, data []byte) (contents, error) {
	l := &legacy{w: w, name: name, data: data}
	c, err := l.read()
	return c, refuse(name, err, l.findings)
}

type legacy struct {
	w        *walker
	name     string
	data     []byte
	pos      int
	findings []Finding
	warnings []string
}

// next walks the pickle at pos and goes past it.
func (l *legacy) next() walked {
	w := l.w.walkPickle(place{file: l.name, base: l.pos}, l.data[l.pos:])
	l.findings = append(l.findings, w.findings...)
	l.pos += w.trace.End
	return w
}

func (l *legacy) errorf(off int, format string, args ...any) error {
	return &FormatError{Path: l.name, Off: int64(off), Msg: fmt.Sprintf(format, args...)}
}

func (l *legacy) read() (contents, error) {
	first := l.next()
	if first.err != nil {
		return contents{}, first.err
	}
	torch := false
	if len(first.findings) == 0 {
		v, _, err := first.load()
		n, ok := v.(*big.Int)
		torch = err == nil && ok && n.Cmp(legacyMagic) == 0
	}
	if !torch {
		if err := l.rest(); err != nil {
			return contents{}, err
		}
		if n := len(l.data) - l.pos; n > 0 {
			l.findings = append(l.findings, Finding{Rule: RuleAmbiguous, Severity: SeverityHigh, Where: place{file: l.name}.at(l.pos),
				Detail: fmt.Sprintf("%d bytes follow the end of the pickle", n)})
		}
		return contents{findings: l.findings}, &FormatError{Path: l.name, Off: 0, Msg: "a pickle, but not of PyTorch", Err: errLooked}
	}

	ws := []walked{first}
	for len(ws) < legacyPickles {
		w := l.next()
		if w.err != nil {
			return contents{}, w.err
		}
		ws = append(ws, w)
	}
	if settings := ws[3].trace.Settings(); len(l.findings) > 0 {
		err := l.rest()
		if err == nil && settings {
			err = noTensors(l.name)
		}
		return contents{}, err
	}
	if err := l.header(ws); err != nil {
		return contents{}, err
	}
	object, refs, err := ws[3].load()
	if err != nil {
		return contents{}, err
	}
	keys, _, err := ws[4].load()
	if err != nil {
		return contents{}, err
	}
	at, err := l.storages(ws[4], keys, refs)
	if err != nil {
		return contents{}, err
	}
	if tail := l.data[l.pos:]; len(tail) > 0 {
		l.findings = append(l.findings, Finding{Rule: RuleAmbiguous, Severity: SeverityHigh, Where: place{file: l.name}.at(l.pos),
			Detail: fmt.Sprintf("%d bytes follow the last storage", len(tail))})
		if err := l.rest(); err != nil {
			return contents{}, err
		}
	}
	if err := refuse(l.name, nil, l.findings); err != nil {
		return contents{}, err
	}
	s := newState(l.w.ctx, l.name, l.w.opt)
	if err := s.register(refs, func(r storageRef) (storage, error) { return l.storage(r, at) }); err != nil {
		return contents{}, err
	}
	if err := s.read(object); err != nil {
		return contents{}, err
	}
	return contents{tensors: s.tensors, findings: l.findings, warnings: append(l.warnings, s.warnings...)}, nil
}

// rest looks through the pickles that follow pos, as a reader that calls load
// repeatedly would meet them. Its error is the context's or a budget's.
func (l *legacy) rest() error {
	const most = 1000
	for range most {
		if l.pos >= len(l.data) || !l.w.isPickle(l.data[l.pos:min(len(l.data), l.pos+int(l.w.opt.MaxPickle))]) {
			return l.w.ctx.Err()
		}
		if w := l.next(); w.err != nil {
			return w.err
		}
	}
	return &FormatError{Path: l.name, Off: int64(l.pos), Msg: fmt.Sprintf("more than %d pickles", most), Err: ErrIncomplete}
}

// header checks the protocol and looks at the system.
func (l *legacy) header(ws []walked) error {
	v, _, err := ws[1].load()
	if err != nil {
		return err
	}
	if v != legacyProtocol {
		return l.errorf(ws[1].place.base, "protocol %v, not %d", clipped(fmt.Sprint(v)), legacyProtocol)
	}
	v, _, err = ws[2].load()
	if err != nil {
		return err
	}
	d, ok := v.(*types.Dict)
	if !ok {
		return l.errorf(ws[2].place.base, "the third pickle is not the system's description")
	}
	for _, e := range *d {
		// PyTorch writes the storages of a legacy file little-endian on every
		// machine, and ignores this entry on reading.
		if e.Key == "little_endian" && e.Value == false {
			l.warnings = append(l.warnings, "written on a big-endian machine; legacy storages are little-endian all the same")
		}
	}
	return nil
}

// A span is the bytes of a storage.
type span struct{ from, to int }

// storages goes through the raw storages that follow the pickles, in the order
// of keys.
func (l *legacy) storages(w walked, keys any, refs []*pickle.Persistent) (map[string]span, error) {
	list, ok := keys.(*types.List)
	if !ok {
		return nil, l.errorf(w.place.base, "the fifth pickle is not a list of storage keys")
	}
	declared := make(map[string]storageRef)
	for _, p := range refs {
		r, err := parseStorage(p)
		if err != nil {
			return nil, l.errorf(-1, "%v", err)
		}
		if _, ok := declared[r.key]; !ok {
			declared[r.key] = r
		}
	}
	at := make(map[string]span, min(list.Len(), len(declared)))
	for i, k := range *list {
		if i%4096 == 0 && l.w.ctx.Err() != nil {
			return nil, l.w.ctx.Err()
		}
		key, ok := k.(string)
		if !ok {
			return nil, l.errorf(w.place.base, "storage key %d is not a string", i)
		}
		if _, twice := at[key]; twice {
			return nil, l.errorf(w.place.base, "storage key %q occurs twice", clipped(key))
		}
		r, ok := declared[key]
		if !ok {
			return nil, l.errorf(w.place.base, "storage %q is stored but never used", clipped(key))
		}
		rest := l.data[l.pos:]
		if len(rest) < 8 {
			return nil, l.errorf(l.pos, "the file ends before storage %q", clipped(key))
		}
		if n := binary.LittleEndian.Uint64(rest); n != r.numel {
			return nil, l.errorf(l.pos, "storage %q has %d elements, its tensors say %d", clipped(key), n, r.numel)
		}
		if r.bytes > uint64(len(rest)-8) {
			return nil, l.errorf(l.pos+8, "storage %q declares %d bytes, %d exist", clipped(key), r.bytes, len(rest)-8)
		}
		from := l.pos + 8
		l.pos = from + int(r.bytes)
		at[key] = span{from, l.pos}
	}
	return at, nil
}

func (l *legacy) storage(r storageRef, at map[string]span) (storage, error) {
	sp, ok := at[r.key]
	if !ok {
		return storage{}, &FormatError{Path: l.name, Off: -1, Msg: fmt.Sprintf("storage %q is used but not stored", clipped(r.key)), Err: ErrIncomplete}
	}
	if v := r.view; v != nil {
		size := uint64(sp.to - sp.from)
		if v.off > size || v.bytes > size-v.off {
			return storage{}, l.errorf(sp.from, "a view of storage %q leaves it", clipped(r.key))
		}
		sp.from += int(v.off)
		sp.to = sp.from + int(v.bytes)
	}
	return storage{ref: r, data: l.data[sp.from:sp.to:sp.to], file: l.name, pos: int64(sp.from)}, nil
}
