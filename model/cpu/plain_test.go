package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
)

// plain computes a network in float64, as simply as can be: what the engine's
// results and, by differences, its gradients are held against.
type plain struct {
	net    *arch.Network
	params map[string][]float64
	batch  *arch.Batch
	inputs []float64 // in place of the rows of the embedding; may be nil
}

func doubles(x []float32) []float64 {
	d := make([]float64, len(x))
	for i := range x {
		d[i] = float64(x[i])
	}
	return d
}

func (m *plain) linear(l *arch.Linear, x []float64) []float64 {
	y := make([]float64, l.Out)
	if l.Bias.Name != "" {
		copy(y, m.params[l.Bias.Name])
	}
	w := m.params[l.Weight.Name]
	for o := range y {
		for i := range x {
			if l.Transposed {
				y[o] += x[i] * w[i*l.Out+o]
			} else {
				y[o] += x[i] * w[o*l.In+i]
			}
		}
	}
	return y
}

func (m *plain) norm(n *arch.Norm, x []float64) []float64 {
	if n == nil {
		return x
	}
	var mean, square float64
	if !n.RMS {
		for _, v := range x {
			mean += v / float64(len(x))
		}
	}
	for _, v := range x {
		square += (v - mean) * (v - mean) / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		w := m.params[n.Weight.Name][i]
		if n.PlusOne {
			w++
		}
		y[i] = (v - mean) / math.Sqrt(square+float64(n.Eps)) * w
		if n.Bias.Name != "" {
			y[i] += m.params[n.Bias.Name][i]
		}
	}
	return y
}

func activate(a arch.Activation, x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		switch a {
		case arch.Identity:
			y[i] = v
		case arch.GELU:
			y[i] = v / 2 * (1 + math.Erf(v/math.Sqrt2))
		case arch.GELUTanh:
			y[i] = v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
		case arch.SiLU:
			y[i] = v / (1 + math.Exp(-v))
		case arch.ReLU:
			y[i] = max(0, v)
		case arch.Tanh:
			y[i] = math.Tanh(v)
		}
	}
	return y
}

func (m *plain) mlp(l *arch.MLP, x []float64) []float64 {
	up := m.linear(l.Up, x)
	if l.Gate == nil {
		return m.linear(l.Down, activate(l.Act, up))
	}
	for i, g := range activate(l.Act, m.linear(l.Gate, x)) {
		up[i] *= g
	}
	return m.linear(l.Down, up)
}

// heads cuts a vector.
func heads(x []float64, dim int) [][]float64 { return slices.Collect(slices.Chunk(x, dim)) }

func (m *plain) rotate(r *arch.Rotary, x []float64, position int) {
	half := len(x) / 2
	for i, f := range r.Frequencies {
		sin, cos := math.Sincos(float64(position) * f)
		a, b := x[i], x[i+half]
		x[i] = (a*cos - b*sin) * float64(r.Factor)
		x[i+half] = (b*cos + a*sin) * float64(r.Factor)
	}
}

func (m *plain) bias(b *arch.RelativeBias, distance, head int) float64 {
	buckets, n := b.Weight.Shape[0], b.Weight.Shape[1]
	row, half := 0, buckets/2
	if distance > 0 {
		row = half
	}
	if d, exact := math.Abs(float64(distance)), half/2; int(d) < exact {
		row += int(d)
	} else {
		far := math.Log(d/float64(exact)) / math.Log(float64(b.MaxDistance)/float64(exact))
		row += min(half-1, exact+int(far*float64(half-exact)))
	}
	return m.params[b.Weight.Name][row*n+head]
}

// attention returns the output for the tokens of one sequence.
func (m *plain) attention(a *arch.Attention, x [][]float64) [][]float64 {
	var queries, keys, values [][][]float64
	for t, row := range x {
		var q, k, v []float64
		if a.QKV != nil {
			all := m.linear(a.QKV, row)
			nq, nk := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
			q, k, v = all[:nq], all[nq:nq+nk], all[nq+nk:]
		} else {
			q, k, v = m.linear(a.Q, row), m.linear(a.K, row), m.linear(a.V, row)
		}
		qs, ks := heads(q, a.HeadDim), heads(k, a.HeadDim)
		for _, some := range []struct {
			heads [][]float64
			norm  *arch.Norm
		}{{qs, a.QNorm}, {ks, a.KNorm}} {
			for h := range some.heads {
				some.heads[h] = m.norm(some.norm, some.heads[h])
				if a.Rotary != nil {
					m.rotate(a.Rotary, some.heads[h], t)
				}
			}
		}
		queries, keys, values = append(queries, qs), append(keys, ks), append(values, heads(v, a.HeadDim))
	}
	out := make([][]float64, len(x))
	for t := range x {
		var row []float64
		for h, q := range queries[t] {
			shared := h / (a.Heads / a.KVHeads)
			sum, mixed := 0.0, make([]float64, a.HeadDim)
			for s := range x {
				if a.Causal && s > t || a.Window > 0 && t-s >= a.Window {
					continue
				}
				var p float64
				for i := range q {
					p += q[i] * keys[s][shared][i] * float64(a.Scale)
				}
				if a.SoftCap > 0 {
					p = float64(a.SoftCap) * math.Tanh(p/float64(a.SoftCap))
				}
				if a.Bias != nil {
					p += m.bias(a.Bias, s-t, h)
				}
				p = math.Exp(p)
				sum += p
				for i, v := range values[s][shared] {
					mixed[i] += p * v
				}
			}
			for i := range mixed {
				mixed[i] /= sum
			}
			row = append(row, mixed...)
		}
		out[t] = m.linear(a.O, row)
	}
	return out
}

func (m *plain) embedding() (rows [][]float64) {
	e := &m.net.Embedding
	for s := range m.batch.Len() {
		next := e.FirstPosition
		for t := m.batch.Starts[s]; t < m.batch.Starts[s+1]; t++ {
			id := int(m.batch.IDs[t])
			row := make([]float64, e.Dim)
			if m.inputs != nil {
				copy(row, m.inputs[t*e.Dim:])
			} else {
				copy(row, m.params[e.Tokens.Name][id*e.Dim:])
			}
			position := next
			if e.PadAware && id == e.PadID {
				position = e.PadID
			} else {
				next++
			}
			for i := range row {
				row[i] *= float64(e.Scale)
				if e.Positions.Name != "" {
					row[i] += m.params[e.Positions.Name][position*e.Dim+i]
				}
				if e.Types.Name != "" {
					row[i] += m.params[e.Types.Name][i]
				}
			}
			row = m.norm(e.Norm, row)
			if e.Project != nil {
				row = m.linear(e.Project, row)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (m *plain) layer(l *arch.Layer, x [][]float64) [][]float64 {
	var in, out [][]float64
	for _, row := range x {
		in = append(in, m.norm(l.In, row))
	}
	if l.Attention != nil {
		for s := range m.batch.Len() {
			out = append(out, m.attention(l.Attention, in[m.batch.Starts[s]:m.batch.Starts[s+1]])...)
		}
	} else {
		for _, row := range in {
			out = append(out, m.mlp(l.MLP, row))
		}
	}
	for t := range out {
		sum := slices.Clone(m.norm(l.Out, out[t]))
		for i := range sum {
			sum[i] += x[t][i]
		}
		out[t] = m.norm(l.Sum, sum)
	}
	return out
}

// pool are the rows that the head sees.
func (m *plain) pool(x [][]float64) (rows [][]float64) {
	h, b := &m.net.Head, m.batch
	if h.Pool == arch.PoolNone {
		if b.Positions == nil {
			return x
		}
		for _, p := range b.Positions {
			rows = append(rows, x[p])
		}
		return rows
	}
	for s := range b.Len() {
		from, to := b.Starts[s], b.Starts[s+1]
		switch h.Pool {
		case arch.PoolFirst:
			rows = append(rows, x[from])
		case arch.PoolLast:
			for to-1 > from && int(b.IDs[to-1]) == h.PadID {
				to--
			}
			rows = append(rows, x[to-1])
		case arch.PoolMean:
			mean := make([]float64, len(x[from]))
			for _, row := range x[from:to] {
				for i := range mean {
					mean[i] += row[i] / float64(to-from)
				}
			}
			rows = append(rows, mean)
		}
	}
	return rows
}

func (m *plain) forward() (out []float64) {
	x := m.embedding()
	for i := range m.net.Layers {
		x = m.layer(&m.net.Layers[i], x)
	}
	for t := range x {
		x[t] = m.norm(m.net.Norm, x[t])
	}
	h := &m.net.Head
	for _, row := range m.pool(x) {
		if h.Dense != nil {
			row = activate(h.Act, m.linear(h.Dense, row))
		}
		if h.Out != nil {
			row = m.linear(h.Out, row)
		}
		for _, y := range row {
			if h.SoftCap > 0 {
				y = float64(h.SoftCap) * math.Tanh(y/float64(h.SoftCap))
			}
			out = append(out, y)
		}
	}
	return out
}

// loss is a weighted sum of the outputs.
func (m *plain) loss(weights []float32) (sum float64) {
	for i, y := range m.forward() {
		sum += float64(weights[i]) * y
	}
	return sum
}

// A builder describes a network with parameters of its own.
type builder struct {
	params []arch.Param
	values map[string][]float32
	random *rand.Rand
}

func newBuilder() *builder {
	return &builder{values: map[string][]float32{}, random: rand.New(rand.NewPCG(1, 2))}
}

// param has numbers about mean, of that deviation.
func (b *builder) param(mean, deviation float64, shape ...int) arch.Param {
	p := arch.Param{Name: fmt.Sprintf("p%d", len(b.params)), Shape: shape}
	b.params = append(b.params, p)
	w := make([]float32, p.Len())
	for i := range w {
		w[i] = float32(mean + deviation*b.random.NormFloat64())
	}
	b.values[p.Name] = w
	return p
}

func (b *builder) linear(in, out int) *arch.Linear {
	return &arch.Linear{Weight: b.param(0, 1/math.Sqrt(float64(in)), out, in), Bias: b.param(0, 0.3, out), In: in, Out: out}
}

func (b *builder) unbiased(in, out int) *arch.Linear {
	l := b.linear(in, out)
	b.params = b.params[:len(b.params)-1]
	l.Bias = arch.Param{}
	return l
}

func (b *builder) transposed(in, out int) *arch.Linear {
	return &arch.Linear{Weight: b.param(0, 1/math.Sqrt(float64(in)), in, out), Bias: b.param(0, 0.3, out), In: in, Out: out, Transposed: true}
}

func (b *builder) layerNorm(n int) *arch.Norm {
	return &arch.Norm{Weight: b.param(1, 0.3, n), Bias: b.param(0, 0.3, n), Eps: 1e-3}
}

func (b *builder) rmsNorm(n int) *arch.Norm {
	return &arch.Norm{Weight: b.param(1, 0.3, n), RMS: true, Eps: 1e-3}
}

func (b *builder) plusOne(n int) *arch.Norm {
	return &arch.Norm{Weight: b.param(0, 0.3, n), RMS: true, PlusOne: true, Eps: 1e-3}
}

// attention is of heads of 4 elements.
func (b *builder) attention(hidden, heads, kvHeads int) *arch.Attention {
	return &arch.Attention{
		Q: b.linear(hidden, 4*heads), K: b.linear(hidden, 4*kvHeads), V: b.linear(hidden, 4*kvHeads), O: b.linear(4*heads, hidden),
		Heads: heads, KVHeads: kvHeads, HeadDim: 4, Scale: 0.9,
	}
}

// The sizes of the networks that the tests build.
const (
	hidden = 8
	vocab  = 11
)

// network embeds tokens, and gives out the hidden states of each, until more is
// added.
func (b *builder) network(layers ...arch.Layer) *arch.Network {
	return &arch.Network{
		Task: arch.Generate, Hidden: hidden, MaxTokens: 1000, Layers: layers,
		Embedding: arch.Embedding{Tokens: b.param(0, 1, vocab, hidden), Dim: hidden, Scale: 1},
		Head:      arch.Head{Pool: arch.PoolNone, PadID: -1},
	}
}

func (b *builder) engine(net *arch.Network, workers int) *Engine {
	net.Params = b.params
	e := New(net, func(string) *loader.Tensor { return nil }, Options{Workers: workers, Train: true})
	for name, p := range e.params {
		p.w = slices.Clone(b.values[name])
	}
	return e
}

// difference is how far numbers are off, as a share of the largest. Gradients of
// the biases of keys are zero but for rounding.
func difference(got []float32, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	largest, worst := 0.1, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		if d := math.Abs(float64(got[i]) - w); !(d <= worst) {
			worst = d
		}
	}
	return worst / largest
}

// check holds an engine against plain arithmetic: its output, and its gradients,
// of which it looks at most at so many numbers of a parameter.
func (b *builder) check(t *testing.T, net *arch.Network, batch *arch.Batch, most int) {
	t.Helper()
	e := b.engine(net, 2)
	m := &plain{net: net, params: map[string][]float64{}, batch: batch}
	for name, w := range b.values {
		m.params[name] = doubles(w)
	}
	out, err := e.Forward(t.Context(), batch, true)
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(out, m.forward()); !(d < 1e-5) {
		t.Errorf("the output is off by %.2g", d)
	}
	weights := make([]float32, len(out))
	for i := range weights {
		weights[i] = float32(math.Sin(float64(2*i + 1)))
	}
	inputs, err := e.Backward(t.Context(), weights, arch.AllGrads)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(what string, got []float32, x []float64) {
		t.Helper()
		var some []float32
		var want []float64
		for i := 0; i < len(x); i += 1 + len(x)/most {
			const h = 1e-4
			was := x[i]
			x[i] = was + h
			up := m.loss(weights)
			x[i] = was - h
			down := m.loss(weights)
			x[i] = was
			some, want = append(some, got[i]), append(want, (up-down)/(2*h))
		}
		if d := difference(some, want); !(d < 3e-5) {
			t.Errorf("the gradient of %s is off by %.2g", what, d)
		}
	}
	for _, p := range net.Params {
		g, err := e.Gradient(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		compare(fmt.Sprintf("%s, of shape %v,", p.Name, p.Shape), g, m.params[p.Name])
	}
	tokens := m.params[net.Embedding.Tokens.Name]
	for _, id := range batch.IDs {
		m.inputs = append(m.inputs, tokens[int(id)*net.Embedding.Dim:][:net.Embedding.Dim]...)
	}
	compare("the inputs", inputs, m.inputs)
}
