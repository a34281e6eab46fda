package arch

import "math"

// gpt2 is a pre-norm decoder with learned positions, whose matrices are stored
// [in x out].
func gpt2(r *reader) *Network {
	c := &r.config
	r.findPrefix("wte.weight", "transformer.", "")
	hidden, heads := r.size("n_embd", c.NEmbd), r.size("n_head", c.NHead)
	vocab, positions := r.sizeUpTo("vocab_size", c.VocabSize, maxVocab), r.size("n_positions", c.NPositions)
	headDim := r.heads(heads, hidden)
	inner := r.sizeOr("n_inner", c.NInner, 4*hidden.n)
	eps := r.eps("layer_norm_epsilon", c.LayerNormEpsilon, 1e-5)
	act := r.activation("activation_function", c.ActivationFunc, GELUTanh)
	if c.CrossAttention {
		r.unsupported("add_cross_attention", "is not run")
	}
	if c.ScaleByLayer {
		r.unsupported("scale_attn_by_inverse_layer_idx", "is not run")
	}
	scale := rsqrt(headDim)
	if c.ScaleAttn != nil && !*c.ScaleAttn {
		scale = 1
	}
	n := &Network{Task: r.task("score.weight", "lm_head.weight"), Hidden: hidden.n, MaxTokens: positions.n}
	n.Embedding = Embedding{
		Tokens: r.param("wte.weight", vocab, hidden), Dim: hidden.n, Scale: 1,
		Positions: r.param("wpe.weight", positions, hidden),
	}
	conv := func(name string, in, out dim) *Linear {
		return &Linear{Weight: r.tensor(name+".weight", in, out), Bias: r.tensor(name+".bias", out), In: in.n, Out: out.n, Transposed: true}
	}
	n.Layers = r.layers(r.size("n_layer", c.NLayer), func(p string) []Layer {
		return []Layer{{
			In: r.layerNorm(p+".ln_1", hidden, eps),
			Attention: &Attention{
				QKV: conv(p+".attn.c_attn", hidden, dim{hidden.field, 3 * hidden.n}), O: conv(p+".attn.c_proj", hidden, hidden),
				Heads: heads.n, KVHeads: heads.n, HeadDim: headDim, Scale: scale, Causal: true,
			},
		}, {
			In:  r.layerNorm(p+".ln_2", hidden, eps),
			MLP: &MLP{Up: conv(p+".mlp.c_fc", hidden, inner), Down: conv(p+".mlp.c_proj", inner, hidden), Act: act},
		}}
	}, "h.%d")
	n.Norm = r.layerNorm(r.prefix+"ln_f", hidden, eps)
	r.decoderHead(n, vocab, hidden, true)
	return n
}

// decoderHead is a language model's output layer, or a classifier over the last
// token.
func (r *reader) decoderHead(n *Network, vocab, hidden dim, tied bool) {
	switch n.Task {
	case Encode:
		n.Head = Head{Pool: PoolMean}
	case Classify:
		n.Head = Head{Pool: PoolLast, PadID: -1, Out: r.linear("score", hidden, r.setLabels(n), false)}
		if p := r.config.PadTokenID; p != nil {
			n.Head.PadID = *p
		}
	case Generate:
		n.Head.Pool = PoolNone
		if t := r.config.Tie; t != nil {
			tied = *t
		}
		if tied {
			// A head that is stored none the less is not used, nor is it by
			// transformers.
			n.Head.Out = &Linear{Weight: n.Embedding.Tokens, In: hidden.n, Out: vocab.n}
			n.Head.Tied = true
			return
		}
		n.Head.Out = r.linear("lm_head", hidden, vocab, false)
	}
}

func rsqrt(n int) float32 { return float32(1 / math.Sqrt(float64(n))) }
