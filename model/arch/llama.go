package arch

import (
	"math"

	"github.com/go-json-experiment/json"
)

// decoder holds what Llama and its descendants share.
type decoder struct {
	hidden, inner, vocab, positions dim
	heads, kvHeads, headDim         dim
	eps                             float32
	act                             Activation
}

func (r *reader) decoder(field string, act *string, otherwise Activation) decoder {
	c := &r.config
	d := decoder{
		hidden: r.size("hidden_size", c.Hidden), inner: r.size("intermediate_size", c.Inner),
		vocab: r.sizeUpTo("vocab_size", c.VocabSize, maxVocab), positions: r.sizeUpTo("max_position_embeddings", c.MaxPositions, maxPositions),
		heads: r.size("num_attention_heads", c.Heads),
		eps:   r.eps("rms_norm_eps", c.RMSNormEps, 1e-6),
		act:   r.activation(field, act, otherwise),
	}
	if isSet(c.RopeParameters) {
		r.unsupported("rope_parameters", "is not run")
	}
	d.kvHeads = r.sizeOr("num_key_value_heads", c.KVHeads, d.heads.n)
	if d.heads.n%d.kvHeads.n != 0 {
		r.fail(d.kvHeads.field, "", "%d key and value heads do not divide %d heads", d.kvHeads.n, d.heads.n)
	}
	if c.HeadDim != nil {
		d.headDim = r.size("head_dim", c.HeadDim)
	} else {
		d.headDim = dim{"num_attention_heads", r.heads(d.heads, d.hidden)}
	}
	if d.headDim.n%2 != 0 {
		r.fail(d.headDim.field, "", "heads of %d elements cannot be rotated", d.headDim.n)
	}
	if d.heads.n*d.headDim.n > maxSize {
		r.fail(d.headDim.field, "", "%d heads of %d are too wide", d.heads.n, d.headDim.n)
	}
	return d
}

// attention returns a layer's causal attention, but for its window and rotary.
func (r *reader) attention(d decoder, name string, qkvBias, oBias bool) *Attention {
	q := dim{"num_attention_heads", d.heads.n * d.headDim.n}
	kv := dim{"num_key_value_heads", d.kvHeads.n * d.headDim.n}
	return &Attention{
		Q: r.linear(name+".q_proj", d.hidden, q, qkvBias), K: r.linear(name+".k_proj", d.hidden, kv, qkvBias),
		V: r.linear(name+".v_proj", d.hidden, kv, qkvBias), O: r.linear(name+".o_proj", q, d.hidden, oBias),
		Heads: d.heads.n, KVHeads: d.kvHeads.n, HeadDim: d.headDim.n, Scale: rsqrt(d.headDim.n), Causal: true,
	}
}

func (r *reader) gatedMLP(d decoder, name string, bias bool) *MLP {
	return &MLP{
		Gate: r.linear(name+".gate_proj", d.hidden, d.inner, bias), Up: r.linear(name+".up_proj", d.hidden, d.inner, bias),
		Down: r.linear(name+".down_proj", d.inner, d.hidden, bias), Act: d.act,
	}
}

// llama is Llama, and Mistral and Qwen, which differ in which biases there are,
// in the window, and in norms of queries and keys.
func llama(r *reader) *Network {
	c := &r.config
	r.findPrefix("embed_tokens.weight", "model.", "")
	d := r.decoder("hidden_act", c.HiddenAct, SiLU)
	qkvBias, oBias := c.AttentionBias, c.AttentionBias
	switch c.ModelType { // transformers asks the config in the others alone
	case "qwen2":
		qkvBias, oBias = true, false
	case "mistral":
		qkvBias, oBias = false, false
	}
	if c.ModelType != "llama" {
		c.MLPBias = false
	}
	rotary := r.rotary("rope_theta", c.RopeTheta, 10000, d, c.RopeScaling)
	n := &Network{Task: r.task("score.weight", "lm_head.weight"), Hidden: d.hidden.n, MaxTokens: d.positions.n}
	n.Embedding = Embedding{Tokens: r.param("embed_tokens.weight", d.vocab, d.hidden), Dim: d.hidden.n, Scale: 1}
	layer := 0
	n.Layers = r.layers(r.size("num_hidden_layers", c.Layers), func(p string) []Layer {
		a := r.attention(d, p+".self_attn", qkvBias, oBias)
		a.Rotary, a.Window = rotary, r.window(layer)
		layer++
		if c.ModelType == "qwen3" {
			a.QNorm = r.rmsNorm(p+".self_attn.q_norm", d.headDim, d.eps, false)
			a.KNorm = r.rmsNorm(p+".self_attn.k_norm", d.headDim, d.eps, false)
		}
		return []Layer{
			{In: r.rmsNorm(p+".input_layernorm", d.hidden, d.eps, false), Attention: a},
			{In: r.rmsNorm(p+".post_attention_layernorm", d.hidden, d.eps, false), MLP: r.gatedMLP(d, p+".mlp", c.MLPBias)},
		}
	}, "layers.%d")
	n.Norm = r.rmsNorm(r.prefix+"norm", d.hidden, d.eps, false)
	r.decoderHead(n, d.vocab, d.hidden, false)
	return n
}

// window is how far back a layer sees; 0 for all.
func (r *reader) window(layer int) int {
	c := &r.config
	if c.ModelType == "llama" {
		return 0
	}
	w := r.windowSize()
	switch {
	case c.ModelType == "mistral":
		return w
	case c.UseWindow == nil || !*c.UseWindow: // Qwen's default
		return 0
	case c.LayerTypes != nil:
		return r.windowOfType(layer, w)
	case layer < r.sizeOr("max_window_layers", c.WindowLayers, 28).n:
		return 0
	}
	return w
}

// windowSize is the size of windows: 0, for none, where the config says null, and
// 4096, transformers' default for all families that have them, where it is
// silent.
func (r *reader) windowSize() int {
	n := new(int)
	*n = 4096
	if raw := r.config.Window; raw != nil {
		if err := json.Unmarshal(raw, &n); err != nil {
			r.fail("sliding_window", "", "is not a 64-bit integer")
		}
		if n == nil {
			return 0
		}
	}
	return r.size("sliding_window", n).n
}

// windowOfType is the window of a layer whose type the config lists.
func (r *reader) windowOfType(layer, window int) int {
	types := r.config.LayerTypes
	if layer >= len(types) {
		r.fail("layer_types", "", "lists %d of the layers", len(types))
		return 0
	}
	switch types[layer] {
	case "sliding_attention":
		return window
	case "full_attention":
		return 0
	}
	r.unsupported("layer_types", "%q is not run", types[layer])
	return 0
}

// maxHeadDim caps the elements of a head that is rotated; known ones have 256.
const maxHeadDim = 1 << 12

// rotary returns the angles of the rotary embedding, stretched as the config
// asks (transformers' modeling_rope_utils.py).
func (r *reader) rotary(field string, theta *float64, otherwise float64, d decoder, s *ropeScaling) *Rotary {
	base := r.positive(field, theta, otherwise)
	half := d.headDim.n / 2
	rot := &Rotary{Factor: 1}
	if d.headDim.n > maxHeadDim { // before the tensors are asked
		r.fail(d.headDim.field, "", "heads of %d elements are over the limit of %d", d.headDim.n, maxHeadDim)
	}
	if r.err != nil {
		return rot
	}
	for i := range half {
		rot.Frequencies = append(rot.Frequencies, math.Pow(base, -float64(i)/float64(half)))
	}
	if s == nil {
		return rot
	}
	kind := s.RopeType
	if kind == "" {
		kind = s.Type
	}
	factor := r.positive("rope_scaling.factor", s.Factor, 1)
	switch kind {
	case "default":
	case "linear":
		for i := range rot.Frequencies {
			rot.Frequencies[i] /= factor
		}
	case "llama3":
		low, high := r.positive("rope_scaling.low_freq_factor", s.LowFactor, 1), r.positive("rope_scaling.high_freq_factor", s.HighFactor, 4)
		original := r.positive("rope_scaling.original_max_position_embeddings", s.OriginalMax, 8192)
		if high <= low {
			r.fail("rope_scaling.high_freq_factor", "", "%v is not above low_freq_factor %v", high, low)
		}
		for i, f := range rot.Frequencies {
			length := 2 * math.Pi / f
			switch {
			case length > original/low:
				rot.Frequencies[i] = f / factor
			case length >= original/high:
				smooth := (original/length - low) / (high - low)
				rot.Frequencies[i] = (1-smooth)*f/factor + smooth*f
			}
		}
	default:
		r.unsupported("rope_scaling.rope_type", "%q is not run", kind)
	}
	return rot
}
