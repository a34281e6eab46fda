package arch

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// ErrUnsupported marks a model of a family, or with a setting, that is not run.
var ErrUnsupported = errors.New("model is not run by this version")

// A ConfigError reports that config.json and the tensors do not describe a
// network: which field, which tensor, and why.
type ConfigError struct {
	Field  string // of config.json; may be ""
	Tensor string // may be ""
	Msg    string
	Err    error // ErrUnsupported, or nil
}

func (e *ConfigError) Error() string {
	var s strings.Builder
	s.WriteString("config.json: ")
	if e.Field != "" {
		fmt.Fprintf(&s, "%s: ", e.Field)
	}
	if e.Tensor != "" {
		fmt.Fprintf(&s, "tensor %q: ", e.Tensor)
	}
	s.WriteString(e.Msg)
	return s.String()
}

func (e *ConfigError) Unwrap() error { return e.Err }

// Tensors are the tensors of a checkpoint, by name.
type Tensors interface {
	// Shape returns the shape of the tensor of that name, and whether there is
	// one. It must not be changed.
	Shape(name string) ([]int, bool)
	// Names lists the tensors.
	Names() []string
}

// A family reads the network of a config.
type family func(r *reader) *Network

// families by model_type.
var families = map[string]family{
	"bert":        bert,
	"roberta":     roberta,
	"xlm-roberta": roberta,
	"camembert":   roberta,
	"electra":     electra,
	"distilbert":  distilbert,
	"mpnet":       mpnet,
	"gpt2":        gpt2,
	"llama":       llama,
	"mistral":     llama,
	"qwen2":       llama,
	"qwen3":       llama,
	"gemma":       gemma,
	"gemma2":      gemma,
	"gemma3_text": gemma,
}

// Families lists the model types that are run, sorted.
func Families() []string {
	var names []string
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Read returns the network that config, the bytes of config.json, and the
// tensors describe.
//
// Errors: *ConfigError, matching ErrUnsupported where the model may be sound
// but is not run.
func Read(config []byte, tensors Tensors) (*Network, error) {
	r := &reader{tensors: tensors, used: map[string]bool{}}
	if err := json.Unmarshal(config, &r.config); err != nil {
		return nil, badJSON(err)
	}
	if isSet(r.config.Quantization) {
		r.unsupported("quantization_config", "quantized models are not run")
		return nil, r.err
	}
	build, ok := families[r.config.ModelType]
	if !ok {
		return nil, &ConfigError{
			Field: "model_type", Err: ErrUnsupported,
			Msg: fmt.Sprintf("%q is not run (%s are)", r.config.ModelType, strings.Join(Families(), ", ")),
		}
	}
	n := build(r)
	if r.err == nil {
		r.finish(n)
	}
	if r.err != nil {
		return nil, r.err
	}
	return n, nil
}

// badJSON is the error of a config that is not the JSON it should be, with the
// field whose value is of another type.
func badJSON(err error) *ConfigError {
	s, ok := errors.AsType[*json.SemanticError](err)
	if !ok || s.JSONPointer == "" || s.GoType == nil {
		return &ConfigError{Msg: err.Error()}
	}
	field, inner, _ := strings.Cut(string(s.JSONPointer[1:]), "/")
	if field == "rope_scaling" && inner != "" {
		field += "." + inner
	}
	what := "of its type"
	switch s.GoType.Kind() {
	case reflect.Int:
		what = "a 64-bit integer"
	case reflect.Float64:
		what = "a 64-bit number"
	case reflect.Bool:
		what = "true or false"
	case reflect.String:
		what = "a string"
	case reflect.Slice:
		what = "a list"
	case reflect.Map, reflect.Struct:
		what = "an object"
	}
	return &ConfigError{Field: field, Msg: "is not " + what}
}

// A reader builds a Network. It keeps the first error; the layers it returns
// after one are of no use.
type reader struct {
	config  config
	tensors Tensors
	prefix  string // of the names of the backbone's tensors
	params  []Param
	used    map[string]bool
	err     *ConfigError
}

func (r *reader) fail(field, tensor, format string, args ...any) {
	if r.err == nil {
		r.err = &ConfigError{Field: field, Tensor: tensor, Msg: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) unsupported(field, format string, args ...any) {
	if r.err == nil {
		r.err = &ConfigError{Field: field, Msg: fmt.Sprintf(format, args...), Err: ErrUnsupported}
	}
}

// A dim is a size and the field of config.json that it comes from.
type dim struct {
	field string
	n     int
}

// Caps of the sizes that a config states: above the largest public models' by a
// factor of ten, and small enough that a product of two is an int.
const (
	maxVocab     = 8 << 20
	maxPositions = 64 << 20 // of models without a row for each
	maxSize      = 1 << 20
)

// size returns a size that must be stated, at least 1 and at most maxSize.
func (r *reader) size(field string, n *int) dim { return r.sizeUpTo(field, n, maxSize) }

func (r *reader) sizeUpTo(field string, n *int, limit int) dim {
	switch {
	case n == nil:
		r.fail(field, "", "is missing")
	case *n < 1 || *n > limit:
		r.fail(field, "", "%d is not between 1 and %d", *n, limit)
	default:
		return dim{field, *n}
	}
	return dim{field, 1}
}

// sizeOr is size with a default where the field is missing.
func (r *reader) sizeOr(field string, n *int, otherwise int) dim {
	if n == nil {
		return dim{field, otherwise}
	}
	return r.size(field, n)
}

// has reports whether there is a tensor of that name.
func (r *reader) has(name string) bool {
	_, ok := r.tensors.Shape(name)
	return ok
}

// findPrefix sets the prefix of the backbone's names: the first of those given
// with which name exists.
func (r *reader) findPrefix(name string, prefixes ...string) {
	for _, p := range prefixes {
		if r.has(p + name) {
			r.prefix = p
			return
		}
	}
	r.fail("", prefixes[0]+name, "is missing")
}

// oldNames are how the first releases of BERT wrote a norm's parameters.
var oldNames = strings.NewReplacer("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta")

// tensor returns the parameter of that full name and shape.
func (r *reader) tensor(name string, dims ...dim) Param {
	if r.err != nil {
		return Param{}
	}
	shape, ok := r.tensors.Shape(name)
	if old := oldNames.Replace(name); old != name {
		if other, both := r.tensors.Shape(old); both {
			if ok {
				r.fail("", name, "is there under its old name, %q, too", old)
				return Param{}
			}
			shape, ok, name = other, true, old
		}
	}
	if !ok {
		r.fail("", name, "is missing")
		return Param{}
	}
	if len(shape) != len(dims) {
		r.fail("", name, "has %d dimensions, not %d", len(shape), len(dims))
		return Param{}
	}
	for i, d := range dims {
		if shape[i] != d.n {
			r.fail(d.field, name, "dimension %d is %d, not %d", i, shape[i], d.n)
			return Param{}
		}
	}
	p := Param{name, slices.Clone(shape)}
	if !r.used[name] {
		r.used[name] = true
		r.params = append(r.params, p)
	}
	return p
}

// param returns a parameter of the backbone.
func (r *reader) param(name string, dims ...dim) Param { return r.tensor(r.prefix+name, dims...) }

// linear returns the layer whose weight, [out x in], and bias have that full
// name.
func (r *reader) linear(name string, in, out dim, bias bool) *Linear {
	l := &Linear{Weight: r.tensor(name+".weight", out, in), In: in.n, Out: out.n}
	if bias {
		l.Bias = r.tensor(name+".bias", out)
	}
	return l
}

// layerNorm returns the norm of that full name.
func (r *reader) layerNorm(name string, n dim, eps float32) *Norm {
	return &Norm{Weight: r.tensor(name+".weight", n), Bias: r.tensor(name+".bias", n), Eps: eps}
}

// rmsNorm returns the norm of that full name.
func (r *reader) rmsNorm(name string, n dim, eps float32, plusOne bool) *Norm {
	return &Norm{Weight: r.tensor(name+".weight", n), RMS: true, PlusOne: plusOne, Eps: eps}
}

// layers calls build for each of n layers, until an error: so a false number
// costs no more than the tensors that exist.
func (r *reader) layers(n dim, build func(prefix string) []Layer, format string) []Layer {
	var all []Layer
	for i := 0; i < n.n && r.err == nil; i++ {
		all = append(all, build(r.prefix+fmt.Sprintf(format, i))...)
		if r.err != nil && r.err.Field == "" && i > 0 && strings.HasSuffix(r.err.Msg, "is missing") {
			r.err.Field = n.field
		}
	}
	// What a config leaves out, another loader may not.
	if next := r.prefix + fmt.Sprintf(format, n.n); r.err == nil {
		for _, name := range r.tensors.Names() {
			if strings.HasPrefix(name, next+".") {
				r.fail(n.field, name, "belongs to a layer beyond the %d of the config", n.n)
				break
			}
		}
	}
	return all
}

// heads checks that n heads divide a width.
func (r *reader) heads(n, width dim) int {
	if width.n%n.n != 0 {
		r.fail(n.field, "", "%d heads do not divide %s %d", n.n, width.field, width.n)
	}
	return width.n / n.n
}

// activations by the names that Hugging Face gives them.
var activations = map[string]Activation{
	"gelu": GELU, "gelu_python": GELU, "gelu_new": GELUTanh, "gelu_pytorch_tanh": GELUTanh, "gelu_fast": GELUTanh,
	"relu": ReLU, "silu": SiLU, "swish": SiLU, "tanh": Tanh,
}

// activation returns the activation a field names.
func (r *reader) activation(field string, name *string, otherwise Activation) Activation {
	if name == nil {
		return otherwise
	}
	a, ok := activations[*name]
	if !ok {
		r.unsupported(field, "activation %q is unknown", *name)
	}
	return a
}

// unusedBuffers end the names of tensors that hold no parameter.
var unusedBuffers = []string{".position_ids", ".token_type_ids", ".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"}

// finish lists the parameters and what is left over. A parameter inside a layer
// that the network does not use means that the network is another.
func (r *reader) finish(n *Network) {
	n.Family, n.Params = r.config.ModelType, r.params
	for _, name := range r.tensors.Names() {
		if r.used[name] || slices.ContainsFunc(unusedBuffers, func(s string) bool { return strings.HasSuffix("."+name, s) }) {
			continue
		}
		if r.inLayer(name) {
			r.fail("", name, "is part of a layer, but a %s with this config has no use for it", n.Family)
			return
		}
		n.Unused = append(n.Unused, name)
	}
	slices.Sort(n.Unused)
}

// inLayer reports whether a tensor of the backbone belongs to a layer: whether a
// part of its name is a number.
func (r *reader) inLayer(name string) bool {
	rest, ok := strings.CutPrefix(name, r.prefix)
	if !ok {
		return false
	}
	for part := range strings.SplitSeq(rest, ".") {
		if part != "" && strings.Trim(part, "0123456789") == "" {
			return true
		}
	}
	return false
}
