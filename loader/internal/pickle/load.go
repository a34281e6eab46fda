package pickle

import (
	"bytes"
	"errors"
	"fmt"

	gopickle "github.com/nlpodyssey/gopickle/pickle"
)

// A Class is an allowed global. Calling it records the call.
type Class struct{ Module, Name string }

// An Object is what a Class gave when it was called: a record, not a result.
type Object struct {
	Class *Class
	Args  []any
	State any // of BUILD
}

// A Persistent is an object kept outside the stream, by its id.
type Persistent struct{ ID any }

// Call records a call.
func (c *Class) Call(args ...any) (any, error) { return &Object{Class: c, Args: args}, nil }

// PyNew records a call of __new__.
func (c *Class) PyNew(args ...any) (any, error) { return &Object{Class: c, Args: args}, nil }

// PySetState records the state.
func (o *Object) PySetState(state any) error {
	o.State = state
	return nil
}

// Load builds the value that the stream describes, from records and from the
// types of gopickle (types.Dict, types.OrderedDict, types.Tuple, types.List,
// ...), and lists the persistent ids in stream order. It refuses a trace with hazards or an error. The value may be cyclic,
// and shares parts wherever the stream does: whoever walks it must bound the
// walk.
func (t *Trace) Load() (v any, refs []*Persistent, err error) {
	switch {
	case t.err != nil:
		return nil, nil, t.err
	case t.End == 0 || len(t.Hazards) > 0:
		return nil, nil, errors.New("the pickle was not found safe")
	}
	// The virtual machine panics on input it did not expect, such as a list
	// used as a key.
	defer func() {
		if r := recover(); r != nil {
			v, refs, err = nil, nil, &Error{Off: t.End, Msg: "cannot be built: " + clip(fmt.Sprint(r))}
		}
	}()
	refuse := errors.New("refused")
	u := gopickle.NewUnpickler(bytes.NewReader(t.data[:t.End]))
	classes := make(map[name]*Class)
	u.FindClass = func(module, n string) (any, error) {
		k := name{module, n}
		if allowed[k] == 0 {
			return nil, refuse
		}
		if classes[k] == nil {
			classes[k] = &Class{Module: module, Name: n}
		}
		return classes[k], nil
	}
	u.PersistentLoad = func(id any) (any, error) {
		refs = append(refs, &Persistent{ID: id})
		return refs[len(refs)-1], nil
	}
	u.GetExtension = func(int) (any, error) { return nil, refuse }
	u.NextBuffer = func() (any, error) { return nil, refuse }
	u.MakeReadOnly = func(any) (any, error) { return nil, refuse }
	v, err = u.Load()
	if err != nil {
		return nil, nil, &Error{Off: t.End, Msg: "cannot be built: " + clip(err.Error())}
	}
	return v, refs, nil
}
