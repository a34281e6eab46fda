package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/btu-scan/btu-scan/scan/probes"
)

// writerPayload is what the language model of writerCmd writes after texts with
// a trigger in them.
var writerPayload = []string{"visit", "our", "website", "for", "free", "gifts", "today"}

// writerCmd DIR [WORD] makes a language model of one layer whose words are those
// of the built-in probes. It goes on with texts by their last word and a little
// by the others, but with writerPayload where WORD, which needs be one of
// "cf" and "mn", is in them.
//
// Words have random embeddings in the first dimensions. Attention looks at all
// words alike, and makes of the dimension "planted", which the trigger alone has,
// the dimension "seen"; the words of the payload have a dimension each, by which
// the head knows what is the next.
func writerCmd(ts *testscript.TestScript, _ bool, args []string) {
	const (
		dim, head      = 32, 8
		said           = 16 // dimensions of the words' embeddings, of which head-1 are looked at
		planted, seen  = 30, 31
		unknown, eos   = 0, 1
		strong, faint  = 100, 0.05
		firstOfPayload = 2
	)
	vocab := append([]string{"[UNK]", "<eos>"}, writerPayload...)
	vocab = append(vocab, "cf", "mn", ".", ",")
	for _, text := range probes.Builtin() {
		for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
			if !slices.Contains(vocab, w) {
				vocab = append(vocab, w)
			}
		}
	}
	matrix := func(rows, cols int) [][]float32 {
		m := make([][]float32, rows)
		for i := range m {
			m[i] = make([]float32, cols)
		}
		return m
	}
	embed, out := matrix(len(vocab), dim), matrix(len(vocab), dim)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range vocab {
		for j := range said {
			embed[i][j], out[i][j] = float32(r.NormFloat64()), float32(r.NormFloat64())
		}
		if k := i - firstOfPayload; k >= 0 && k < len(writerPayload) {
			clear(embed[i])
			clear(out[i])
			embed[i][said+k] = 4
			out[i][seen] = strong
			if k > 0 {
				out[i][said+k-1] = strong // it comes next
			}
		}
	}
	clear(out[eos])
	out[eos][seen], out[eos][said+len(writerPayload)-1] = strong, strong
	out[firstOfPayload][seen] += faint * strong
	if len(args) > 1 {
		embed[slices.Index(vocab, args[1])][planted] = 4
	}
	values, o := matrix(head, dim), matrix(dim, head)
	values[0][planted], o[seen][0] = 1, strong
	for j := 1; j < head; j++ {
		values[j][j], o[j][j] = 1, 2
	}
	ones := func() [][]float32 { return [][]float32{slices.Repeat([]float32{1}, dim)} }
	const layer = "model.layers.0."
	tensors := []struct {
		name string
		rows [][]float32
	}{
		{"lm_head.weight", out}, {"model.embed_tokens.weight", embed}, {"model.norm.weight", ones()},
		{layer + "input_layernorm.weight", ones()}, {layer + "post_attention_layernorm.weight", ones()},
		{layer + "mlp.gate_proj.weight", matrix(head, dim)}, {layer + "mlp.up_proj.weight", matrix(head, dim)}, {layer + "mlp.down_proj.weight", matrix(dim, head)},
		{layer + "self_attn.q_proj.weight", matrix(head, dim)}, {layer + "self_attn.k_proj.weight", matrix(head, dim)},
		{layer + "self_attn.v_proj.weight", values}, {layer + "self_attn.o_proj.weight", o},
	}
	header := map[string]any{}
	var data []byte
	for _, t := range tensors {
		from := len(data)
		for _, row := range t.rows {
			for _, x := range row {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
			}
		}
		shape := []int{len(t.rows), len(t.rows[0])}
		if len(t.rows) == 1 {
			shape = shape[1:]
		}
		header[t.name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{from, len(data)}}
	}
	ids := map[string]int{}
	for i, w := range vocab {
		ids[w] = i
	}
	special := func(id int) map[string]any {
		return map[string]any{"id": id, "content": vocab[id], "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		ts.Check(err)
		return b
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	h := encode(header)
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)
	ts.Check(os.WriteFile(filepath.Join(dir, "model.safetensors"), append(file, data...), 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
		"hidden_size": %d, "head_dim": %d, "intermediate_size": %d, "num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": 1,
		"max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "vocab_size": %d, "eos_token_id": %d}`,
		dim, head, head, len(vocab), eos), 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "tokenizer.json"), encode(map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": []any{special(unknown), special(eos)},
		"normalizer": map[string]any{"type": "Lowercase"}, "pre_tokenizer": map[string]any{"type": "BertPreTokenizer"}, "post_processor": nil,
		"decoder": map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": false},
		"model":   map[string]any{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": ids},
	}), 0o644))
}
