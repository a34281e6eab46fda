package cpu

import (
	"fmt"
	"testing"

	"github.com/btu-scan/btu-scan/model/arch"
)

// Every layer, and every way to set it, computes what plain arithmetic does and
// has the gradients of it.
func TestLayers(t *testing.T) {
	type build = func(b *builder) *arch.Network
	attention := func(change func(b *builder, a *arch.Attention)) build {
		return func(b *builder) *arch.Network {
			a := b.attention(hidden, 4, 2)
			change(b, a)
			return b.network(arch.Layer{Attention: a})
		}
	}
	mlp := func(m func(b *builder) *arch.MLP) build {
		return func(b *builder) *arch.Network { return b.network(arch.Layer{MLP: m(b)}) }
	}
	// around puts a norm at each place of both kinds of layers.
	around := func(norm func(b *builder, n int) *arch.Norm) build {
		return func(b *builder) *arch.Network {
			mlp := func() *arch.MLP {
				return &arch.MLP{Up: b.linear(hidden, 5), Down: b.linear(5, hidden), Act: arch.Tanh}
			}
			n := b.network(
				arch.Layer{In: norm(b, hidden), Attention: b.attention(hidden, 2, 2)},
				arch.Layer{Out: norm(b, hidden), MLP: mlp()},
				arch.Layer{Sum: norm(b, hidden), MLP: mlp()},
				arch.Layer{In: norm(b, hidden), Out: norm(b, hidden), Attention: b.attention(hidden, 2, 1)},
				arch.Layer{In: norm(b, hidden), Out: norm(b, hidden), Sum: norm(b, hidden), MLP: mlp()},
			)
			n.Norm = norm(b, hidden)
			return n
		}
	}
	tests := map[string]build{
		"embedding alone": func(b *builder) *arch.Network { return b.network() },

		"linear": mlp(func(b *builder) *arch.MLP { return &arch.MLP{Up: b.linear(hidden, 3), Down: b.linear(3, hidden)} }),
		"linear without biases": mlp(func(b *builder) *arch.MLP {
			return &arch.MLP{Up: b.unbiased(hidden, 3), Down: b.unbiased(3, hidden)}
		}),
		"linear, stored [in x out]": mlp(func(b *builder) *arch.MLP {
			return &arch.MLP{Up: b.transposed(hidden, 70), Down: b.transposed(70, hidden)}
		}),

		"LayerNorm":      around((*builder).layerNorm),
		"RMSNorm":        around((*builder).rmsNorm),
		"RMSNorm of 1+w": around((*builder).plusOne),
		"unbiased norm": around(func(b *builder, n int) *arch.Norm {
			return &arch.Norm{Weight: b.param(1, 0.3, n), Eps: 1e-3}
		}),

		"attention":                           attention(func(*builder, *arch.Attention) {}),
		"attention, causal":                   attention(func(_ *builder, a *arch.Attention) { a.Causal = true }),
		"attention, window":                   attention(func(_ *builder, a *arch.Attention) { a.Causal, a.Window = true, 3 }),
		"attention, window 1":                 attention(func(_ *builder, a *arch.Attention) { a.Causal, a.Window = true, 1 }),
		"attention, window of the past alone": attention(func(_ *builder, a *arch.Attention) { a.Window = 2 }),
		"attention, soft cap":                 attention(func(_ *builder, a *arch.Attention) { a.SoftCap = 0.7 }),
		"attention, soft cap and window":      attention(func(_ *builder, a *arch.Attention) { a.SoftCap, a.Causal, a.Window = 0.7, true, 4 }),
		"attention, norms of queries and keys": attention(func(b *builder, a *arch.Attention) {
			a.QNorm, a.KNorm = b.rmsNorm(4), b.plusOne(4)
		}),
		"attention, rotary": attention(func(_ *builder, a *arch.Attention) {
			a.Causal, a.Rotary = true, &arch.Rotary{Frequencies: []float64{0.9, 0.2}, Factor: 1.25}
		}),
		"attention, rotary and norms": attention(func(b *builder, a *arch.Attention) {
			a.Rotary = &arch.Rotary{Frequencies: []float64{0.9, 0.2}, Factor: 1}
			a.QNorm, a.KNorm = b.plusOne(4), b.rmsNorm(4)
		}),
		"attention, bias by distance": attention(func(b *builder, a *arch.Attention) {
			a.Bias = &arch.RelativeBias{Weight: b.param(0, 1, 8, 4), MaxDistance: 11}
		}),
		"attention, bias of all layers": func(b *builder) *arch.Network {
			bias := &arch.RelativeBias{Weight: b.param(0, 1, 4, 2), MaxDistance: 100}
			one, two := b.attention(hidden, 2, 2), b.attention(hidden, 2, 1)
			one.Bias, two.Bias = bias, bias
			return b.network(arch.Layer{Attention: one}, arch.Layer{Attention: two})
		},
		"attention, queries, keys and values in one": func(b *builder) *arch.Network {
			return b.network(arch.Layer{Attention: &arch.Attention{
				QKV: b.transposed(hidden, 4*4+2*2*4), O: b.transposed(4*4, hidden), Heads: 4, KVHeads: 2, HeadDim: 4, Scale: 0.5, Causal: true,
			}})
		},
		"attention, one head": func(b *builder) *arch.Network {
			return b.network(arch.Layer{Attention: b.attention(hidden, 1, 1)})
		},

		"embedding with all": func(b *builder) *arch.Network {
			n := b.network()
			n.Embedding = arch.Embedding{
				Tokens: b.param(0, 1, vocab, 5), Dim: 5, Scale: 1.7, Positions: b.param(0, 1, 30, 5), Types: b.param(0, 1, 2, 5),
				Norm: b.layerNorm(5), Project: b.linear(5, hidden),
			}
			return n
		},
		"embedding that counts no padding": func(b *builder) *arch.Network {
			n := b.network()
			n.Embedding.Positions, n.Embedding.PadAware, n.Embedding.PadID, n.Embedding.FirstPosition = b.param(0, 1, 30, hidden), true, 1, 2
			return n
		},
		"embedding with a scale": func(b *builder) *arch.Network {
			n := b.network()
			n.Embedding.Scale, n.Embedding.Norm = 3, b.rmsNorm(hidden)
			return n
		},

		"head that is tied": func(b *builder) *arch.Network {
			n := b.network()
			n.Head.Out, n.Head.Tied = &arch.Linear{Weight: n.Embedding.Tokens, In: hidden, Out: vocab}, true
			return n
		},
		"head with a cap": func(b *builder) *arch.Network {
			n := b.network()
			n.Head.Out, n.Head.SoftCap = b.unbiased(hidden, vocab), 1.5
			return n
		},
	}
	for _, a := range []arch.Activation{arch.Identity, arch.GELU, arch.GELUTanh, arch.SiLU, arch.ReLU, arch.Tanh} {
		tests["mlp, "+string(a)] = mlp(func(b *builder) *arch.MLP {
			return &arch.MLP{Up: b.linear(hidden, 7), Down: b.linear(7, hidden), Act: a}
		})
		tests["mlp, gated, "+string(a)] = mlp(func(b *builder) *arch.MLP {
			return &arch.MLP{Up: b.unbiased(hidden, 7), Gate: b.linear(hidden, 7), Down: b.linear(7, hidden), Act: a}
		})
		for _, pool := range []arch.Pool{arch.PoolFirst, arch.PoolLast, arch.PoolMean} {
			tests[fmt.Sprintf("head, pool %s, %s", pool, a)] = func(b *builder) *arch.Network {
				n := b.network()
				n.Task = arch.Classify
				n.Head = arch.Head{Pool: pool, PadID: 1, Dense: b.linear(hidden, 6), Act: a, Out: b.linear(6, 3)}
				return n
			}
		}
	}
	for _, pool := range []arch.Pool{arch.PoolFirst, arch.PoolLast, arch.PoolMean} {
		tests[fmt.Sprintf("head, pool %s, alone", pool)] = func(b *builder) *arch.Network {
			n := b.network()
			n.Task, n.Head = arch.Encode, arch.Head{Pool: pool, PadID: 1}
			return n
		}
		tests[fmt.Sprintf("head, pool %s, output", pool)] = func(b *builder) *arch.Network {
			n := b.network()
			n.Task, n.Head = arch.Classify, arch.Head{Pool: pool, PadID: 1, Out: b.unbiased(hidden, 3)}
			return n
		}
	}
	// Id 1 is padding to those who know one: within, at the end, and alone.
	batch := arch.NewBatch([]int32{3, 1, 4, 10, 5, 9, 2, 6, 5, 3, 7, 0}, []int32{8}, []int32{9, 7, 1, 1}, []int32{1, 1})
	some := *batch
	some.Positions = []int{2, 3, 5, 14, 16} // in runs, and none of the second sequence
	for name, build := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBuilder()
			b.check(t, build(b), batch, 16)
			if net := build(b); net.Task == arch.Generate {
				b.check(t, net, &some, 16)
			}
		})
	}
}

// The same for sequences that attention takes in several blocks.
func TestLongAttention(t *testing.T) {
	ids := make([]int32, 2*blockQueries+70)
	for i := range ids {
		ids[i] = int32(i * i % vocab)
	}
	const two, three = blockQueries + 30, 2*blockQueries + 70
	for _, row := range []struct {
		name   string
		tokens int
		change func(b *builder, a *arch.Attention)
	}{
		{"all", two, func(*builder, *arch.Attention) {}},
		{"causal", two, func(_ *builder, a *arch.Attention) { a.Causal = true }},
		{"window", three, func(_ *builder, a *arch.Attention) { a.Causal, a.Window = true, 40 }},
		{"window of the past alone", two, func(_ *builder, a *arch.Attention) { a.Window = 90 }},
		{"window and cap", two, func(_ *builder, a *arch.Attention) { a.Causal, a.Window, a.SoftCap = true, blockQueries+9, 0.6 }},
		{"bias by distance", two, func(b *builder, a *arch.Attention) {
			a.Bias = &arch.RelativeBias{Weight: b.param(0, 1, 16, 2), MaxDistance: 137}
		}},
		{"rotary", two, func(_ *builder, a *arch.Attention) {
			a.Causal, a.Rotary = true, &arch.Rotary{Frequencies: []float64{0.03, 0.002}, Factor: 1}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBuilder()
			a := b.attention(hidden, 2, 1)
			row.change(b, a)
			batch := arch.NewBatch(ids[:9], ids[:row.tokens])
			batch.Positions = []int{3, 8, 9 + blockQueries - 1, 9 + blockQueries, 9 + row.tokens - 1}
			b.check(t, b.network(arch.Layer{Attention: a}), batch, 2)
		})
	}
}
