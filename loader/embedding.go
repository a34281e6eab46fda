package loader

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// inputNames are the last parts of the names of input embeddings, by family.
// Where a checkpoint has several, the first in this list wins.
var inputNames = []string{
	"embeddings.word_embeddings.weight", // BERT, RoBERTa, XLM-R, DistilBERT, ALBERT, ELECTRA, DeBERTa, MPNet
	"embeddings.tok_embeddings.weight",  // ModernBERT
	"wte.weight",                        // GPT-2, GPT-J, GPT-Neo
	"embed_in.weight",                   // GPT-NeoX
	"word_embeddings.weight",            // Bloom, Falcon
	"shared.weight",                     // T5, BART
	"encoder.embed_tokens.weight",       // T5, BART without the shared copy
	"decoder.embed_tokens.weight",       // OPT, and the copy in T5 and BART
	"embed_tokens.weight",               // Llama, Mistral, Qwen, Gemma, Phi
	"tok_embeddings.weight",             // Llama's and Mistral's own files
	"word_embedding.weight",             // XLNet
}

// headNames are the last parts of the names of output projections that may
// share the input embedding.
var headNames = []string{
	"lm_head.weight",
	"embed_out.weight",
	"cls.predictions.decoder.weight",
	"lm_head.decoder.weight",
	"generator_lm_head.weight",
	"vocab_projector.weight", // DistilBERT
}

// hasSuffix reports whether name is suffix or ends in "." and suffix, so that
// any prefix (module., model., a wrapper's field) is allowed.
func hasSuffix(name, suffix string) bool {
	return name == suffix || strings.HasSuffix(name, "."+suffix)
}

// InputEmbedding returns the input embedding matrix, one row per token. It is
// found by name; else by shape, where exactly one matrix has as many rows as
// config.json has tokens. Options.Tensor overrides both.
//
// Errors: *EmbeddingError, matching ErrNoEmbedding or ErrAmbiguousEmbedding.
func (c *Checkpoint) InputEmbedding() (*Tensor, error) {
	if c.opt.Tensor != "" {
		return c.Matrix(c.opt.Tensor)
	}
	for _, suffix := range inputNames {
		var found []*Tensor
		for _, t := range c.tensors {
			if hasSuffix(t.Name, suffix) && isMatrix(t) && !sameAsAny(t, found) {
				found = append(found, t)
			}
		}
		if t, err := choose(found); t != nil || err != nil {
			return t, err
		}
	}
	heads := c.heads()
	if t, err := choose(heads); t != nil || err != nil {
		if err == nil && c.config.TieWordEmbeddings != nil && !*c.config.TieWordEmbeddings {
			return nil, &EmbeddingError{Err: fmt.Errorf("%w: only an output projection is there, and config.json says it is not tied", ErrNoEmbedding), Candidates: describeAll(heads)}
		}
		return t, err
	}
	var shaped []*Tensor
	if n := c.config.VocabSize; n > 0 {
		for _, t := range c.tensors {
			if isMatrix(t) && t.Len() == n && !sameAsAny(t, shaped) {
				shaped = append(shaped, t)
			}
		}
	}
	if t, err := choose(shaped); t != nil || err != nil {
		return t, err
	}
	return nil, &EmbeddingError{Err: ErrNoEmbedding, Candidates: c.largest()}
}

// Matrix returns the matrix of that name.
//
// Errors: *EmbeddingError, matching ErrNoEmbedding, with the likeliest names.
func (c *Checkpoint) Matrix(name string) (*Tensor, error) {
	t := c.byName[name]
	if t == nil || !isMatrix(t) {
		return nil, &EmbeddingError{Err: fmt.Errorf("%w: no matrix is named %s", ErrNoEmbedding, quoted(name)), Candidates: c.largest()}
	}
	return t, nil
}

// Tied reports whether the rows of the input embedding are also the output
// projection's, so that every row gets a gradient at every step whether its
// token was read or not. It is so where a language-model head shares the bytes
// of the embedding or is absent from a model that has one.
func (c *Checkpoint) Tied() bool {
	emb, err := c.InputEmbedding()
	if err != nil {
		return false
	}
	if heads := c.heads(); len(heads) > 0 {
		return sameAsAny(emb, heads)
	}
	for _, a := range c.config.Architectures {
		for _, s := range []string{"ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForConditionalGeneration", "BertForPreTraining", "WithLMHead"} {
			if strings.Contains(a, s) {
				return true
			}
		}
	}
	return false
}

func (c *Checkpoint) heads() []*Tensor {
	var heads []*Tensor
	for _, t := range c.tensors {
		if slices.ContainsFunc(headNames, func(s string) bool { return hasSuffix(t.Name, s) }) && isMatrix(t) && !sameAsAny(t, heads) {
			heads = append(heads, t)
		}
	}
	return heads
}

func isMatrix(t *Tensor) bool { return len(t.Shape) == 2 && t.Shape[0] > 0 && t.Shape[1] > 0 }

func sameAsAny(t *Tensor, ts []*Tensor) bool {
	return slices.ContainsFunc(ts, func(o *Tensor) bool { return sameBytes(t, o) })
}

// sameBytes reports whether two tensors are the same numbers, by sharing their
// storage or by equal bytes in a sample of rows: writers of safetensors store
// tied tensors once or twice.
func sameBytes(a, b *Tensor) (same bool) {
	if a == b {
		return true
	}
	var fault error // leaves them not the same; whoever reads them reports it
	defer a.guard(&fault)()
	if a.DType != b.DType || !slices.Equal(a.Shape, b.Shape) || a.big != b.big || a.stride != nil || b.stride != nil || a.DType.Bits()%8 != 0 {
		return false
	}
	size := int(a.DType.Bits() / 8)
	x, y := a.data[a.offset*size:], b.data[b.offset*size:]
	row := a.Dim() * size
	for i := 0; i < a.Len(); i += max(1, a.Len()/64) {
		if !bytes.Equal(x[i*row:(i+1)*row], y[i*row:(i+1)*row]) {
			return false
		}
	}
	return true
}

// choose returns the only one of found, nil for none, an error for several.
func choose(found []*Tensor) (*Tensor, error) {
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, &EmbeddingError{Err: ErrAmbiguousEmbedding, Candidates: describeAll(found)}
}

// largest lists the matrices with the most rows, for an error message.
func (c *Checkpoint) largest() []string {
	var ms []*Tensor
	for _, t := range c.tensors {
		if isMatrix(t) {
			ms = append(ms, t)
		}
	}
	slices.SortStableFunc(ms, func(a, b *Tensor) int { return cmp.Compare(b.Len(), a.Len()) })
	return describeAll(ms[:min(len(ms), 5)])
}

func describeAll(ts []*Tensor) []string {
	var s []string
	for _, t := range ts {
		s = append(s, fmt.Sprintf("%s [%d x %d]", quoted(t.Name), t.Len(), t.Dim()))
	}
	return s
}
