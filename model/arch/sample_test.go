package arch

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parityDir holds small models of every family, made by transformers.
const parityDir = "../../testdata/parity"

// A sample is the description of one of them: a config and the shapes of its
// tensors, for a test to spoil.
type sample struct {
	config map[string]any
	raw    []byte // stands in place of config, if set
	shapes shapes
}

func (s *sample) read() (*Network, error) { return Read(s.json(), s.shapes) }

func (s *sample) json() []byte {
	if s.raw != nil {
		return s.raw
	}
	data, err := json.Marshal(s.config)
	if err != nil {
		panic(err)
	}
	return data
}

// shapes are Tensors.
type shapes map[string][]int

func (s shapes) Shape(name string) ([]int, bool) {
	shape, ok := s[name]
	return shape, ok
}

func (s shapes) Names() []string { return slices.Sorted(maps.Keys(s)) }

// models are the names of the samples.
func models(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(parityDir, "*", "config.json"))
	if err != nil || len(files) < 26 {
		t.Fatalf("%d models in %s: %v", len(files), parityDir, err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names
}

// load reads a sample. Only the header of the tensors' file is looked at.
func load(t testing.TB, model string) *sample {
	t.Helper()
	s := &sample{config: map[string]any{}, shapes: shapes{}}
	if err := json.Unmarshal(file(t, model, "config.json"), &s.config); err != nil {
		t.Fatal(err)
	}
	data := file(t, model, "model.safetensors")
	var header map[string]struct{ Shape []int }
	if err := json.Unmarshal(data[8:8+binary.LittleEndian.Uint64(data)], &header); err != nil {
		t.Fatal(err)
	}
	delete(header, "__metadata__")
	for name, x := range header {
		s.shapes[name] = x.Shape
	}
	return s
}

func file(t testing.TB, model, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parityDir, model, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// change spoils a sample.
type change func(s *sample)

func set(field string, value any) change { return func(s *sample) { s.config[field] = value } }
func unset(field string) change          { return func(s *sample) { delete(s.config, field) } }
func raw(config string) change           { return func(s *sample) { s.raw = []byte(config) } }
func tensor(name string, shape ...int) change {
	return func(s *sample) { s.shapes[name] = shape }
}
func drop(name string) change { return func(s *sample) { delete(s.shapes, name) } }

func all(changes ...change) change {
	return func(s *sample) {
		for _, c := range changes {
			c(s)
		}
	}
}

// rename replaces a part of the names of all tensors.
func rename(old, new string) change {
	return func(s *sample) {
		renamed := shapes{}
		for name, shape := range s.shapes {
			renamed[strings.ReplaceAll(name, old, new)] = shape
		}
		s.shapes = renamed
	}
}

// checker looks for contradictions in a network that was accepted.
type checker struct {
	t       testing.TB
	params  map[string]Param
	tensors Tensors
}

// checkNetwork fails the test unless an engine may take the network at its
// word.
func checkNetwork(t testing.TB, n *Network, tensors Tensors) {
	t.Helper()
	c := checker{t, map[string]Param{}, tensors}
	for _, p := range n.Params {
		if _, twice := c.params[p.Name]; twice {
			t.Errorf("parameter %q is listed twice", p.Name)
		}
		c.params[p.Name] = p
		shape, ok := tensors.Shape(p.Name)
		if !ok || !slices.Equal(shape, p.Shape) {
			t.Errorf("parameter %q is %v, the tensor %v", p.Name, p.Shape, shape)
		}
		size := uint64(1)
		for _, d := range p.Shape {
			hi, lo := bits.Mul64(size, uint64(d))
			if size = lo; d < 1 || hi != 0 || lo > math.MaxInt64/8 {
				t.Fatalf("parameter %q of shape %v has no sensible size", p.Name, p.Shape)
			}
		}
	}
	for _, name := range n.Unused {
		_, exists := tensors.Shape(name)
		_, used := c.params[name]
		c.is(exists && !used, "%q is listed as unused: it exists %t, is used %t", name, exists, used)
	}
	c.is(n.Width() > 0 && n.Hidden > 0 && n.MaxTokens > 0, "%d outputs of %d hidden for %d tokens", n.Width(), n.Hidden, n.MaxTokens)
	c.is(len(n.Layers) > 0 && len(n.Layers) <= len(n.Params), "%d layers of %d parameters", len(n.Layers), len(n.Params))
	c.embedding(n)
	for i := range n.Layers {
		c.layer(n, &n.Layers[i])
	}
	c.norm(n.Norm, n.Hidden)
	c.head(n)
}

func (c checker) is(ok bool, format string, args ...any) {
	c.t.Helper()
	if !ok {
		c.t.Errorf(format, args...)
	}
}

// param checks that p is a known parameter of that shape.
func (c checker) param(p Param, shape ...int) {
	c.t.Helper()
	known, ok := c.params[p.Name]
	c.is(ok && slices.Equal(known.Shape, shape) && slices.Equal(p.Shape, shape), "parameter %q is %v and listed as %v, not %v", p.Name, p.Shape, known.Shape, shape)
}

func (c checker) linear(l *Linear, in, out int) {
	c.t.Helper()
	if l == nil {
		c.t.Errorf("a layer from %d to %d is missing", in, out)
		return
	}
	c.is(l.In == in && l.Out == out, "%q goes from %d to %d, not from %d to %d", l.Weight.Name, l.In, l.Out, in, out)
	if l.Transposed {
		c.param(l.Weight, in, out)
	} else {
		c.param(l.Weight, out, in)
	}
	if l.Bias.Name != "" {
		c.param(l.Bias, out)
	}
}

func (c checker) norm(n *Norm, width int) {
	c.t.Helper()
	if n == nil {
		return
	}
	c.is(n.Eps > 0 && n.Eps < 1, "the epsilon of %q is %v", n.Weight.Name, n.Eps)
	c.param(n.Weight, width)
	if n.Bias.Name != "" {
		c.param(n.Bias, width)
	}
}

func (c checker) embedding(n *Network) {
	e := &n.Embedding
	if len(e.Tokens.Shape) != 2 {
		c.t.Fatalf("the embedding is %v", e.Tokens.Shape)
	}
	c.param(e.Tokens, e.Tokens.Shape[0], e.Dim)
	c.is(e.Scale > 0, "rows are scaled by %v", e.Scale)
	if e.Positions.Name != "" {
		c.param(e.Positions, e.Positions.Shape[0], e.Dim)
		c.is(e.FirstPosition >= 0 && e.FirstPosition+n.MaxTokens <= e.Positions.Shape[0], "%d tokens from position %d of %d", n.MaxTokens, e.FirstPosition, e.Positions.Shape[0])
		c.is(!e.PadAware || e.PadID >= 0 && e.PadID < e.Positions.Shape[0], "padding has position %d of %d", e.PadID, e.Positions.Shape[0])
	}
	if e.Types.Name != "" {
		c.param(e.Types, e.Types.Shape[0], e.Dim)
	}
	c.norm(e.Norm, e.Dim)
	if e.Project != nil {
		c.linear(e.Project, e.Dim, n.Hidden)
	} else {
		c.is(e.Dim == n.Hidden, "rows of %d for %d hidden", e.Dim, n.Hidden)
	}
}

func (c checker) layer(n *Network, l *Layer) {
	for _, norm := range []*Norm{l.In, l.Out, l.Sum} {
		c.norm(norm, n.Hidden)
	}
	c.is((l.Attention == nil) != (l.MLP == nil), "a layer is neither or both of attention and MLP")
	if m := l.MLP; m != nil {
		c.linear(m.Up, n.Hidden, m.Up.Out)
		c.linear(m.Down, m.Up.Out, n.Hidden)
		if m.Gate != nil {
			c.linear(m.Gate, n.Hidden, m.Up.Out)
		}
		return
	}
	a := l.Attention
	if a.Heads < 1 || a.KVHeads < 1 || a.HeadDim < 1 || a.Heads%a.KVHeads != 0 {
		c.t.Fatalf("%d heads of %d share %d", a.Heads, a.HeadDim, a.KVHeads)
	}
	q, kv := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	if a.QKV != nil {
		c.linear(a.QKV, n.Hidden, q+2*kv)
	} else {
		c.linear(a.Q, n.Hidden, q)
		c.linear(a.K, n.Hidden, kv)
		c.linear(a.V, n.Hidden, kv)
	}
	c.linear(a.O, q, n.Hidden)
	finite := func(x float32) bool { return x-x == 0 }
	c.is(a.Scale > 0 && finite(a.Scale) && a.SoftCap >= 0 && finite(a.SoftCap) && a.Window >= 0, "scale %v, cap %v, window %d", a.Scale, a.SoftCap, a.Window)
	c.is((a.QNorm == nil) == (a.KNorm == nil), "only one of queries and keys has a norm")
	c.norm(a.QNorm, a.HeadDim)
	c.norm(a.KNorm, a.HeadDim)
	if a.Rotary != nil {
		c.is(2*len(a.Rotary.Frequencies) == a.HeadDim, "%d angles for heads of %d", len(a.Rotary.Frequencies), a.HeadDim)
	}
	if a.Bias != nil {
		buckets := a.Bias.Weight.Shape[0]
		c.param(a.Bias.Weight, buckets, a.Heads)
		c.is(buckets%4 == 0 && buckets/4 < a.Bias.MaxDistance, "%d buckets for distances to %d", buckets, a.Bias.MaxDistance)
	}
}

func (c checker) head(n *Network) {
	h := &n.Head
	width := n.Hidden
	if h.Dense != nil {
		width = h.Dense.Out
		c.linear(h.Dense, n.Hidden, width)
	}
	if h.Out != nil {
		c.linear(h.Out, width, n.Width())
	}
	c.is(h.SoftCap >= 0, "the cap of the logits is %v", h.SoftCap)
	c.is(h.Tied == (h.Out != nil && h.Out.Weight.Name == n.Embedding.Tokens.Name), "tied is %t", h.Tied)
	switch n.Task {
	case Classify:
		c.is(len(n.Labels) == n.Width() && h.Pool != PoolNone, "%d labels for %d logits, pool %q", len(n.Labels), n.Width(), h.Pool)
	case Generate:
		c.is(n.Width() == n.Embedding.Tokens.Shape[0] && h.Pool == PoolNone, "%d logits for %d tokens, pool %q", n.Width(), n.Embedding.Tokens.Shape[0], h.Pool)
	case Encode:
		c.is(h.Out == nil && h.Pool == PoolMean, "an encoder has an output layer or the pool %q", h.Pool)
	default:
		c.t.Errorf("task %q", n.Task)
	}
}
