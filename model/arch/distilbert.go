package arch

var distilbertNames = names{
	layer: "transformer.layer.%d",
	q:     "attention.q_lin", k: "attention.k_lin", v: "attention.v_lin", o: "attention.out_lin",
	norm: "sa_layer_norm", up: "ffn.lin1", down: "ffn.lin2", out: "output_layer_norm",
}

// distilbert has other names for all fields, no token types, and a head with
// ReLU.
func distilbert(r *reader) *Network {
	c := &r.config
	r.findPrefix(wordEmbeddings, "distilbert.", "")
	e := encoder{
		hidden: r.size("dim", c.Dim), heads: r.size("n_heads", c.NHeads), inner: r.size("hidden_dim", c.HiddenDim),
		vocab: r.sizeUpTo("vocab_size", c.VocabSize, maxVocab), eps: 1e-12, act: r.activation("activation", c.Activation, GELU),
	}
	n := &Network{Task: r.task("classifier.weight", ""), Hidden: e.hidden.n}
	n.Embedding, n.MaxTokens = r.bertEmbedding(e, e.hidden, false)
	n.Layers = r.encoderLayers(e, r.size("n_layers", c.NLayers), distilbertNames, nil)
	r.classifier(n, e.hidden, "pre_classifier", ReLU, "classifier")
	return n
}
