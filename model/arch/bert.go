package arch

// encoder holds what BERT and its descendants share.
type encoder struct {
	hidden, heads, inner, vocab dim
	eps                         float32
	act                         Activation
}

func (r *reader) encoder() encoder {
	c := &r.config
	e := encoder{
		hidden: r.size("hidden_size", c.Hidden),
		heads:  r.size("num_attention_heads", c.Heads),
		inner:  r.size("intermediate_size", c.Inner),
		vocab:  r.sizeUpTo("vocab_size", c.VocabSize, maxVocab),
		eps:    r.eps("layer_norm_eps", c.LayerNormEps, 1e-12),
		act:    r.activation("hidden_act", c.HiddenAct, GELU),
	}
	if c.PositionType != nil && *c.PositionType != "absolute" {
		r.unsupported("position_embedding_type", "%q is not run", *c.PositionType)
	}
	if c.IsDecoder || c.CrossAttention {
		r.unsupported("is_decoder", "a decoder of an encoder's family is not run")
	}
	return e
}

// names are where a layer of an encoder has its parameters.
type names struct {
	layer                           string // format, with the layer's number
	q, k, v, o, norm, up, down, out string
}

var bertNames = names{
	layer: "encoder.layer.%d",
	q:     "attention.self.query", k: "attention.self.key", v: "attention.self.value",
	o: "attention.output.dense", norm: "attention.output.LayerNorm",
	up: "intermediate.dense", down: "output.dense", out: "output.LayerNorm",
}

// encoderLayers are post-norm layers with full attention.
func (r *reader) encoderLayers(e encoder, n dim, at names, bias *RelativeBias) []Layer {
	headDim := r.heads(e.heads, e.hidden)
	return r.layers(n, func(p string) []Layer {
		p += "."
		return []Layer{{
			Attention: &Attention{
				Q: r.linear(p+at.q, e.hidden, e.hidden, true), K: r.linear(p+at.k, e.hidden, e.hidden, true),
				V: r.linear(p+at.v, e.hidden, e.hidden, true), O: r.linear(p+at.o, e.hidden, e.hidden, true),
				Heads: e.heads.n, KVHeads: e.heads.n, HeadDim: headDim, Scale: rsqrt(headDim), Bias: bias,
			},
			Sum: r.layerNorm(p+at.norm, e.hidden, e.eps),
		}, {
			MLP: &MLP{Up: r.linear(p+at.up, e.hidden, e.inner, true), Down: r.linear(p+at.down, e.inner, e.hidden, true), Act: e.act},
			Sum: r.layerNorm(p+at.out, e.hidden, e.eps),
		}}
	}, at.layer)
}

const wordEmbeddings = "embeddings.word_embeddings.weight"

// bertEmbedding is the sum of tokens, positions and perhaps types, normalised. It
// also returns the number of positions.
func (r *reader) bertEmbedding(e encoder, width dim, types bool) (Embedding, int) {
	c := &r.config
	positions := r.size("max_position_embeddings", c.MaxPositions)
	emb := Embedding{
		Tokens: r.param(wordEmbeddings, e.vocab, width), Dim: width.n, Scale: 1,
		Positions: r.param("embeddings.position_embeddings.weight", positions, width),
	}
	if types {
		emb.Types = r.param("embeddings.token_type_embeddings.weight", r.size("type_vocab_size", c.TypeVocabSize), width)
	}
	emb.Norm = r.layerNorm(r.prefix+"embeddings.LayerNorm", width, e.eps)
	return emb, positions.n
}

func bert(r *reader) *Network {
	r.findPrefix(wordEmbeddings, "bert.", "")
	e := r.encoder()
	n := &Network{Task: r.task("classifier.weight", ""), Hidden: e.hidden.n}
	n.Embedding, n.MaxTokens = r.bertEmbedding(e, e.hidden, true)
	n.Layers = r.encoderLayers(e, r.size("num_hidden_layers", r.config.Layers), bertNames, nil)
	r.classifier(n, e.hidden, r.prefix+"pooler.dense", Tanh, "classifier")
	return n
}

// classifier is a head over the first token: a dense layer, an activation and
// the output layer. An encoder without one is pooled by the mean.
func (r *reader) classifier(n *Network, hidden dim, dense string, act Activation, out string) {
	if n.Task == Encode {
		n.Head = Head{Pool: PoolMean}
		return
	}
	labels := r.setLabels(n)
	n.Head = Head{
		Pool: PoolFirst, Dense: r.linear(dense, hidden, hidden, true), Act: act,
		Out: r.linear(out, hidden, labels, true),
	}
}

// roberta differs from BERT in its positions, which begin after the padding's,
// and in the names of its head.
func roberta(r *reader) *Network {
	r.findPrefix(wordEmbeddings, "roberta.", "")
	e := r.encoder()
	n := &Network{Task: r.task("classifier.out_proj.weight", ""), Hidden: e.hidden.n}
	var positions int
	n.Embedding, positions = r.bertEmbedding(e, e.hidden, true)
	r.afterPadding(n, positions)
	n.Layers = r.encoderLayers(e, r.size("num_hidden_layers", r.config.Layers), bertNames, nil)
	r.classifier(n, e.hidden, "classifier.dense", Tanh, "classifier.out_proj")
	return n
}

// afterPadding numbers positions from the padding id plus one.
func (r *reader) afterPadding(n *Network, positions int) {
	pad := 1
	if p := r.config.PadTokenID; p != nil {
		pad = *p
	}
	if pad < 0 || pad >= positions-1 {
		r.fail("pad_token_id", "", "%d leaves none of %d positions", pad, positions)
		return
	}
	n.Embedding.PadAware, n.Embedding.PadID, n.Embedding.FirstPosition = true, pad, pad+1
	n.MaxTokens = positions - pad - 1
}

// electra has rows narrower than the hidden states, and a head of its own.
func electra(r *reader) *Network {
	r.findPrefix(wordEmbeddings, "electra.", "")
	e := r.encoder()
	n := &Network{Task: r.task("classifier.out_proj.weight", ""), Hidden: e.hidden.n}
	width := r.sizeOr("embedding_size", r.config.EmbeddingSize, 128)
	n.Embedding, n.MaxTokens = r.bertEmbedding(e, width, true)
	if width.n != e.hidden.n {
		n.Embedding.Project = r.linear(r.prefix+"embeddings_project", width, e.hidden, true)
	}
	n.Layers = r.encoderLayers(e, r.size("num_hidden_layers", r.config.Layers), bertNames, nil)
	r.classifier(n, e.hidden, "classifier.dense", GELU, "classifier.out_proj")
	return n
}
