package arch

import (
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// gemma is Gemma, Gemma 2 and the text part of Gemma 3: Llama with scaled
// embeddings, norms whose factor is 1 + weight, and from 2 on norms after each
// part, capped products or norms of queries and keys, and windows.
func gemma(r *reader) *Network {
	c := &r.config
	r.findPrefix("embed_tokens.weight", "model.", "")
	// hidden_act of Gemma's first configs said "gelu" and meant the approximation.
	d := r.decoder("hidden_activation", c.HiddenActivation, GELUTanh)
	if c.Bidirectional {
		r.unsupported("use_bidirectional_attention", "is not run")
	}
	version := 1
	switch c.ModelType {
	case "gemma2":
		version = 2
	case "gemma3_text":
		version = 3
	}
	n := &Network{Task: r.task("score.weight", "lm_head.weight"), Hidden: d.hidden.n, MaxTokens: d.positions.n}
	n.Embedding = Embedding{
		Tokens: r.param("embed_tokens.weight", d.vocab, d.hidden), Dim: d.hidden.n,
		Scale: float32(math.Sqrt(float64(d.hidden.n))),
	}
	theta := 1e4
	if version == 3 {
		theta = 1e6
	}
	global := r.rotary("rope_theta", c.RopeTheta, theta, d, c.RopeScaling)
	local := global
	if version == 3 {
		local = r.rotary("rope_local_base_freq", c.RopeLocalTheta, 1e4, d, nil)
	}
	norm := func(name string, n dim) *Norm { return r.rmsNorm(name, n, d.eps, true) }
	layer := 0
	n.Layers = r.layers(r.size("num_hidden_layers", c.Layers), func(p string) []Layer {
		a := r.attention(d, p+".self_attn", c.AttentionBias, c.AttentionBias)
		a.Rotary = global
		mlp := Layer{MLP: r.gatedMLP(d, p+".mlp", false)}
		if version == 1 {
			mlp.In = norm(p+".post_attention_layernorm", d.hidden)
			return []Layer{{In: norm(p+".input_layernorm", d.hidden), Attention: a}, mlp}
		}
		a.Scale = float32(1 / math.Sqrt(r.positive("query_pre_attn_scalar", c.QueryScalar, 256)))
		if a.Window = r.gemmaWindow(layer, version); a.Window > 0 {
			a.Rotary = local
		}
		layer++
		if version == 2 {
			a.SoftCap = r.softCap("attn_logit_softcapping", c.AttnCap, 50)
		} else {
			a.QNorm, a.KNorm = norm(p+".self_attn.q_norm", d.headDim), norm(p+".self_attn.k_norm", d.headDim)
		}
		mlp.In, mlp.Out = norm(p+".pre_feedforward_layernorm", d.hidden), norm(p+".post_feedforward_layernorm", d.hidden)
		return []Layer{{
			In: norm(p+".input_layernorm", d.hidden), Out: norm(p+".post_attention_layernorm", d.hidden), Attention: a,
		}, mlp}
	}, "layers.%d")
	n.Norm = norm(r.prefix+"norm", d.hidden)
	r.decoderHead(n, d.vocab, d.hidden, true)
	if n.Task == Generate { // a classifier's logits are not capped
		switch version {
		case 2:
			n.Head.SoftCap = r.softCap("final_logit_softcapping", c.LogitCap, 30)
		case 3:
			n.Head.SoftCap = r.softCap("final_logit_softcapping", c.LogitCap, 0)
		}
	}
	return n
}

// isSet reports whether a config states a field, and not as null.
func isSet(raw jsontext.Value) bool { return raw != nil && raw.Kind() != 'n' }

// softCap is a soft cap, of which a config that says null has none; nor has one
// that says nothing, if otherwise is 0.
func (r *reader) softCap(field string, raw jsontext.Value, otherwise float64) float32 {
	var x *float64
	if raw != nil {
		if err := json.Unmarshal(raw, &x); err != nil {
			r.fail(field, "", "is not a 64-bit number")
		}
		if x == nil {
			return 0
		}
	}
	return float32(r.positive(field, x, otherwise))
}

// gemmaWindow: Gemma 2 alternates, Gemma 3 has one full layer in six.
func (r *reader) gemmaWindow(layer, version int) int {
	c := &r.config
	w := r.windowSize()
	if c.LayerTypes != nil {
		return r.windowOfType(layer, w)
	}
	every := 2
	if version == 3 {
		every = 6
		for _, p := range []*int{c.WindowPattern, c.WindowPattern2} {
			if p != nil {
				every = r.size("sliding_window_pattern", p).n
			}
		}
	}
	if (layer+1)%every == 0 {
		return 0
	}
	return w
}
