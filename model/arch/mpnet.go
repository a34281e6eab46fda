package arch

var mpnetNames = names{
	layer: "encoder.layer.%d",
	q:     "attention.attn.q", k: "attention.attn.k", v: "attention.attn.v", o: "attention.attn.o",
	norm: "attention.LayerNorm", up: "intermediate.dense", down: "output.dense", out: "output.LayerNorm",
}

// mpnetDistance is the distance from which on all share a bucket
// (transformers' modeling_mpnet.py, relative_position_bucket).
const mpnetDistance = 128

// mpnet is BERT with RoBERTa's positions and a bias by distance, which all
// layers share.
func mpnet(r *reader) *Network {
	r.findPrefix(wordEmbeddings, "mpnet.", "")
	e := r.encoder()
	n := &Network{Task: r.task("classifier.out_proj.weight", ""), Hidden: e.hidden.n}
	var positions int
	n.Embedding, positions = r.bertEmbedding(e, e.hidden, false)
	r.afterPadding(n, positions)
	buckets := r.sizeOr("relative_attention_num_buckets", r.config.RelativeBuckets, 32)
	if buckets.n%4 != 0 {
		r.fail(buckets.field, "", "%d is not a multiple of 4", buckets.n)
	}
	if buckets.n >= 4*mpnetDistance {
		r.fail(buckets.field, "", "%d leave none for distances of %d and more", buckets.n, mpnetDistance)
	}
	bias := &RelativeBias{Weight: r.param("encoder.relative_attention_bias.weight", buckets, e.heads), MaxDistance: mpnetDistance}
	n.Layers = r.encoderLayers(e, r.size("num_hidden_layers", r.config.Layers), mpnetNames, bias)
	r.classifier(n, e.hidden, "classifier.dense", Tanh, "classifier.out_proj")
	return n
}
