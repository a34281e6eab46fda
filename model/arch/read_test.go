package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A badRow is a sound description with one thing changed, and what the error
// must say.
type badRow struct {
	name        string
	model       string
	change      change
	field       string
	tensor      string
	unsupported bool
}

// run reads the changed sample. Besides the error, it checks that reading takes
// no more memory than the file warrants, whatever the numbers in it.
func (b badRow) run(t *testing.T) {
	t.Helper()
	s := load(t, b.model)
	b.change(s)
	config := s.json()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := Read(config, s.shapes)
	runtime.ReadMemStats(&after)
	if n != nil || err == nil {
		t.Fatalf("accepted, with the error %v", err)
	}
	var bad *ConfigError
	if !errors.As(err, &bad) {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	if bad.Field != b.field || bad.Tensor != b.tensor {
		t.Errorf("the error names field %q and tensor %q, not %q and %q: %v", bad.Field, bad.Tensor, b.field, b.tensor, err)
	}
	if got := errors.Is(err, ErrUnsupported); got != b.unsupported {
		t.Errorf("ErrUnsupported is %t: %v", got, err)
	}
	if !strings.HasPrefix(err.Error(), "config.json: ") || !strings.Contains(err.Error(), b.field) {
		t.Errorf("message %q", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+64*uint64(len(config)) {
		t.Errorf("took %d bytes for a config of %d", used, len(config))
	}
}

// notSizes are values that no size of a model can have.
var notSizes = []any{
	0, -1, math.MinInt64, maxPositions + 1, 1 << 62, json.Number("18446744073709551616"), 1e99, 2.5,
	"7", "", true, []int{7}, map[string]int{},
}

// notNumbers are values that no epsilon, factor or cap can have.
var notNumbers = []any{0, -1, -1e-9, 1e300, 1e-60, json.Number("1e999"), "NaN", "0.1", false, []int{1}, map[string]int{}}

// The sizes that a config must state, and those it may, by model.
var (
	sizes = map[string][]string{
		"bert":       {"hidden_size", "num_attention_heads", "intermediate_size", "vocab_size", "max_position_embeddings", "type_vocab_size", "num_hidden_layers"},
		"mpnet":      {"hidden_size", "num_attention_heads", "intermediate_size", "vocab_size", "max_position_embeddings", "num_hidden_layers"},
		"distilbert": {"dim", "n_heads", "hidden_dim", "vocab_size", "max_position_embeddings", "n_layers"},
		"gpt2":       {"n_embd", "n_head", "vocab_size", "n_positions", "n_layer"},
		"llama":      {"hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers"},
	}
	optionalSizes = map[string][]string{
		"mpnet":   {"relative_attention_num_buckets"},
		"electra": {"embedding_size"},
		"gpt2":    {"n_inner"},
		"llama":   {"num_key_value_heads", "head_dim"},
		"mistral": {"sliding_window"},
		"gemma2":  {"sliding_window"},
	}
	numbers = map[string][]string{
		"bert":   {"layer_norm_eps"},
		"gpt2":   {"layer_norm_epsilon"},
		"llama":  {"rms_norm_eps", "rope_theta"},
		"gemma2": {"query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"},
		"gemma3": {"rope_local_base_freq", "query_pre_attn_scalar", "final_logit_softcapping"},
	}
)

func init() {
	sizes["roberta"], sizes["electra"], sizes["gemma2"] = sizes["bert"], sizes["bert"], sizes["llama"]
}

// valueRows change each field of some to each of values.
func valueRows(fields map[string][]string, values []any) (table []badRow) {
	for _, model := range slices.Sorted(maps.Keys(fields)) {
		for _, field := range fields[model] {
			for _, v := range values {
				table = append(table, badRow{name: fmt.Sprintf("%s=%v", field, v), model: model, change: set(field, v), field: field})
			}
		}
	}
	return table
}

// missingRows leave each field out, or make it null.
func missingRows(fields map[string][]string) (table []badRow) {
	for model, names := range fields {
		for _, field := range names {
			table = append(table,
				badRow{name: "no " + field, model: model, change: unset(field), field: field},
				badRow{name: field + "=null", model: model, change: set(field, nil), field: field})
		}
	}
	return table
}

func rope(fields string) change {
	return func(s *sample) {
		var v map[string]any
		if err := json.Unmarshal([]byte("{"+fields+"}"), &v); err != nil {
			panic(err)
		}
		s.config["rope_scaling"] = v
	}
}

// labels is an id2label of n names.
func labels(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)] = "x"
	}
	return m
}

const (
	bertLayer  = "bert.encoder.layer.1."
	llamaLayer = "model.layers.1."
)

var badRows = []badRow{
	// JSON.
	{name: "empty", model: "bert", change: raw("")},
	{name: "truncated", model: "bert", change: raw(`{"model_type": "bert", "hidden_size": 2`)},
	{name: "two values", model: "bert", change: raw(`{"model_type": "bert"} {}`)},
	{name: "a list", model: "bert", change: raw(`["bert"]`)},
	{name: "a string", model: "bert", change: raw(`"bert"`)},
	{name: "null", model: "bert", change: raw(`null`), field: "model_type", unsupported: true},
	{name: "not UTF-8", model: "bert", change: raw("{\"model_type\": \"\xff\"}")},
	{name: "NaN", model: "bert", change: raw(`{"model_type": "bert", "layer_norm_eps": NaN}`)},
	{name: "Infinity", model: "bert", change: raw(`{"model_type": "bert", "layer_norm_eps": -Infinity}`)},
	{name: "twice the same key", model: "bert", change: raw(`{"model_type": "bert", "hidden_size": 24, "hidden_size": 32}`)},
	{name: "twice an unknown key", model: "bert", change: raw(`{"model_type": "bert", "x": 1, "x": 2}`)},
	{name: "deep lists", model: "bert", change: raw(`{"model_type": "bert", "x": ` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`)},
	{name: "deep objects", model: "bert", change: raw(`{"model_type": "bert", "x": ` + strings.Repeat(`{"x":`, 10_000) + "0" + strings.Repeat("}", 10_000) + `}`)},
	{name: "open lists", model: "bert", change: raw(strings.Repeat("[", 1<<20))},

	// Values of another type.
	{name: "model_type is a list", model: "bert", change: set("model_type", []string{"bert"}), field: "model_type"},
	{name: "architectures is a string", model: "bert", change: set("architectures", "BertModel"), field: "architectures"},
	{name: "an architecture is a number", model: "bert", change: set("architectures", []int{1}), field: "architectures"},
	{name: "id2label is a list", model: "bert", change: set("id2label", []string{"a", "b"}), field: "id2label"},
	{name: "a label is a list", model: "bert", change: set("id2label", map[string]any{"0/\x1b": []int{}}), field: "id2label"},
	{name: "num_labels is a string", model: "bert", change: set("num_labels", "3"), field: "num_labels"},
	{name: "is_decoder is a string", model: "bert", change: set("is_decoder", "no"), field: "is_decoder"},
	{name: "hidden_act is an object", model: "bert", change: set("hidden_act", map[string]int{}), field: "hidden_act"},
	{name: "tie_word_embeddings is a number", model: "llama", change: set("tie_word_embeddings", 1), field: "tie_word_embeddings"},
	{name: "rope_scaling is a list", model: "llama", change: set("rope_scaling", []int{2}), field: "rope_scaling"},
	{name: "rope_scaling.factor is a string", model: "llama", change: rope(`"rope_type": "linear", "factor": "2"`), field: "rope_scaling.factor"},
	{name: "layer_types is an object", model: "gemma2", change: set("layer_types", map[string]int{}), field: "layer_types"},
	{name: "a layer type is a number", model: "gemma2", change: set("layer_types", []any{"full_attention", 1}), field: "layer_types"},

	// Which model.
	{name: "no model_type", model: "bert", change: unset("model_type"), field: "model_type", unsupported: true},
	{name: "unknown model_type", model: "bert", change: set("model_type", "t5"), field: "model_type", unsupported: true},
	{name: "case of model_type", model: "bert", change: set("model_type", "BERT"), field: "model_type", unsupported: true},
	{name: "another family", model: "bert", change: set("model_type", "roberta"), tensor: "roberta.embeddings.word_embeddings.weight"},
	{name: "another family of the same names", model: "llama", change: set("model_type", "qwen2"), tensor: "model.layers.0.self_attn.q_proj.bias"},
	{name: "Llama as Gemma 2", model: "llama", change: set("model_type", "gemma2"), tensor: "model.layers.0.pre_feedforward_layernorm.weight"},
	{name: "Qwen 3 as Mistral", model: "qwen3", change: set("model_type", "mistral"), tensor: "model.layers.0.self_attn.k_norm.weight"},
	{name: "token classification", model: "bert", change: set("architectures", []string{"BertForTokenClassification"}), field: "architectures", unsupported: true},
	{name: "question answering", model: "distilbert", change: set("architectures", []string{"DistilBertForQuestionAnswering"}), field: "architectures", unsupported: true},
	{name: "T5", model: "bert", change: set("architectures", []string{"T5ForConditionalGeneration"}), field: "architectures", unsupported: true},
	{name: "a causal encoder", model: "bert", change: set("architectures", []string{"BertForCausalLM"}), field: "architectures", unsupported: true},
	{name: "is_decoder", model: "bert", change: set("is_decoder", true), field: "is_decoder", unsupported: true},
	{name: "cross attention of BERT", model: "bert", change: set("add_cross_attention", true), field: "is_decoder", unsupported: true},
	{name: "cross attention of GPT-2", model: "gpt2", change: set("add_cross_attention", true), field: "add_cross_attention", unsupported: true},
	{name: "scale by layer", model: "gpt2", change: set("scale_attn_by_inverse_layer_idx", true), field: "scale_attn_by_inverse_layer_idx", unsupported: true},
	{name: "relative positions", model: "bert", change: set("position_embedding_type", "relative_key"), field: "position_embedding_type", unsupported: true},
	{name: "bidirectional", model: "gemma3", change: set("use_bidirectional_attention", true), field: "use_bidirectional_attention", unsupported: true},
	{name: "rope_parameters", model: "llama", change: set("rope_parameters", map[string]any{"rope_theta": 5e5}), field: "rope_parameters", unsupported: true},
	{name: "rope_parameters of Gemma", model: "gemma3", change: set("rope_parameters", map[string]any{}), field: "rope_parameters", unsupported: true},

	// Activations.
	{name: "unknown hidden_act", model: "bert", change: set("hidden_act", "mish"), field: "hidden_act", unsupported: true},
	{name: "empty hidden_act", model: "llama", change: set("hidden_act", ""), field: "hidden_act", unsupported: true},
	{name: "unknown activation", model: "distilbert", change: set("activation", "GELU"), field: "activation", unsupported: true},
	{name: "unknown activation_function", model: "gpt2", change: set("activation_function", "gelu\x00"), field: "activation_function", unsupported: true},
	{name: "unknown hidden_activation", model: "gemma2", change: set("hidden_activation", "quick_gelu"), field: "hidden_activation", unsupported: true},

	// Labels.
	{name: "no labels", model: "bert", change: set("id2label", map[string]string{}), field: "id2label"},
	{name: "more labels than logits", model: "bert", change: set("id2label", labels(4)), field: "id2label", tensor: "classifier.weight"},
	{name: "300,000 labels", model: "bert", change: set("id2label", labels(300_000)), field: "id2label"},
	{name: "num_labels of others", model: "bert", change: all(unset("id2label"), set("num_labels", 4)), field: "num_labels", tensor: "classifier.weight"},
	{name: "neither", model: "bert", change: unset("id2label"), field: "num_labels", tensor: "classifier.weight"},
	{name: "num_labels 0", model: "gpt2-classifier", change: all(unset("id2label"), set("num_labels", 0)), field: "num_labels"},
	{name: "num_labels over the limit", model: "llama-classifier", change: all(unset("id2label"), set("num_labels", maxLabels+1)), field: "num_labels"},

	// Padding.
	{name: "pad_token_id -1", model: "roberta", change: set("pad_token_id", -1), field: "pad_token_id"},
	{name: "pad_token_id is the last position", model: "roberta", change: set("pad_token_id", 47), field: "pad_token_id"},
	{name: "pad_token_id overflows", model: "mpnet", change: set("pad_token_id", math.MaxInt64), field: "pad_token_id"},
	{name: "pad_token_id is a float", model: "gpt2-classifier", change: set("pad_token_id", 0.5), field: "pad_token_id"},

	// Sizes that contradict each other or the tensors.
	{name: "heads", model: "bert", change: set("num_attention_heads", 7), field: "num_attention_heads"},
	{name: "heads of GPT-2", model: "gpt2", change: set("n_head", 48), field: "n_head"},
	{name: "heads of Llama", model: "llama", change: set("num_attention_heads", 8), field: "num_attention_heads", tensor: "model.layers.0.self_attn.q_proj.weight"},
	{name: "heads do not divide", model: "qwen2", change: set("num_attention_heads", 6), field: "num_attention_heads"},
	{name: "key heads do not divide", model: "llama", change: set("num_key_value_heads", 3), field: "num_key_value_heads"},
	{name: "more key heads than heads", model: "llama", change: set("num_key_value_heads", 8), field: "num_key_value_heads"},
	{name: "other key heads", model: "llama", change: set("num_key_value_heads", 4), field: "num_key_value_heads", tensor: "model.layers.0.self_attn.k_proj.weight"},
	{name: "no key heads", model: "llama", change: unset("num_key_value_heads"), field: "num_key_value_heads", tensor: "model.layers.0.self_attn.k_proj.weight"},
	{name: "odd head_dim", model: "llama", change: set("head_dim", 7), field: "head_dim"},
	{name: "odd heads", model: "qwen2", change: all(set("num_attention_heads", 32), set("num_key_value_heads", 32)), field: "num_attention_heads"},
	{name: "wide heads", model: "llama", change: set("head_dim", maxSize), field: "head_dim"},
	{name: "one wide head", model: "llama", change: all(set("head_dim", maxSize), set("num_attention_heads", 1), set("num_key_value_heads", 1)), field: "head_dim"},
	{name: "hidden_size", model: "bert", change: set("hidden_size", 48), field: "hidden_size", tensor: "bert.embeddings.word_embeddings.weight"},
	{name: "hidden_size of Llama", model: "llama", change: set("hidden_size", 64), field: "hidden_size", tensor: "model.embed_tokens.weight"},
	{name: "embedding_size", model: "electra", change: set("embedding_size", 24), field: "embedding_size", tensor: "electra.embeddings.word_embeddings.weight"},
	{name: "no embedding_size", model: "electra", change: unset("embedding_size"), field: "embedding_size", tensor: "electra.embeddings.word_embeddings.weight"},
	{name: "a projection for none", model: "electra", change: all(set("embedding_size", 24), tensor("electra.embeddings.word_embeddings.weight", 61, 24)), field: "embedding_size", tensor: "electra.embeddings.position_embeddings.weight"},
	{name: "intermediate_size", model: "bert", change: set("intermediate_size", 41), field: "intermediate_size", tensor: "bert.encoder.layer.0.intermediate.dense.weight"},
	{name: "no n_inner", model: "gpt2", change: set("n_inner", nil), field: "n_inner", tensor: "transformer.h.0.mlp.c_fc.weight"},
	{name: "type_vocab_size", model: "bert", change: set("type_vocab_size", 3), field: "type_vocab_size", tensor: "bert.embeddings.token_type_embeddings.weight"},
	{name: "max_position_embeddings", model: "bert", change: set("max_position_embeddings", 49), field: "max_position_embeddings", tensor: "bert.embeddings.position_embeddings.weight"},
	{name: "vocab_size", model: "llama", change: set("vocab_size", 60), field: "vocab_size", tensor: "model.embed_tokens.weight"},
	{name: "vocab_size of the largest", model: "llama", change: set("vocab_size", maxVocab), field: "vocab_size", tensor: "model.embed_tokens.weight"},
	{name: "buckets not in fours", model: "mpnet", change: set("relative_attention_num_buckets", 30), field: "relative_attention_num_buckets"},
	{name: "more buckets than distances", model: "mpnet", change: all(set("relative_attention_num_buckets", 512), tensor("mpnet.encoder.relative_attention_bias.weight", 512, 3)), field: "relative_attention_num_buckets"},

	// Layers.
	{name: "one layer more", model: "bert", change: set("num_hidden_layers", 3), field: "num_hidden_layers", tensor: "bert.encoder.layer.2.attention.self.query.weight"},
	{name: "1e9 layers", model: "bert", change: set("num_hidden_layers", 1_000_000_000), field: "num_hidden_layers"},
	{name: "as many layers as may be", model: "bert", change: set("num_hidden_layers", maxSize), field: "num_hidden_layers", tensor: "bert.encoder.layer.2.attention.self.query.weight"},
	{name: "as many layers of GPT-2 as may be", model: "gpt2", change: set("n_layer", maxSize), field: "n_layer", tensor: "transformer.h.2.ln_1.weight"},
	{name: "as many layers of Llama as may be", model: "llama", change: set("num_hidden_layers", maxSize), field: "num_hidden_layers", tensor: "model.layers.2.self_attn.q_proj.weight"},
	{name: "fewer layers than tensors", model: "bert", change: set("num_hidden_layers", 1), field: "num_hidden_layers", tensor: "bert.encoder.layer.1.attention.output.LayerNorm.bias"},
	{name: "fewer layers of Llama", model: "llama", change: set("num_hidden_layers", 1), field: "num_hidden_layers", tensor: "model.layers.1.input_layernorm.weight"},
	{name: "a far layer", model: "bert", change: tensor("bert.encoder.layer.7.output.dense.bias", 24), tensor: "bert.encoder.layer.7.output.dense.bias"},

	// Tensors too many: what is run would not be the model.
	{name: "LoRA", model: "bert", change: tensor(bertLayer+"attention.self.query.lora_A", 8, 24), tensor: bertLayer + "attention.self.query.lora_A"},
	{name: "an adapter", model: "llama", change: tensor(llamaLayer+"adapter.weight", 8, 32), tensor: llamaLayer + "adapter.weight"},
	{name: "a bias", model: "llama", change: tensor(llamaLayer+"mlp.up_proj.bias", 40), tensor: llamaLayer + "mlp.up_proj.bias"},
	{name: "both names of a norm", model: "bert", change: tensor(bertLayer+"output.LayerNorm.gamma", 24), tensor: bertLayer + "output.LayerNorm.weight"},
	{name: "biases that Mistral ignores", model: "mistral", change: all(set("attention_bias", true),
		tensor(llamaLayer+"self_attn.q_proj.bias", 32)), tensor: llamaLayer + "self_attn.q_proj.bias"},
	{name: "biases that Llama lacks", model: "llama", change: set("attention_bias", true), tensor: "model.layers.0.self_attn.q_proj.bias"},
	{name: "biases of Llama's MLP", model: "llama", change: set("mlp_bias", true), tensor: "model.layers.0.mlp.gate_proj.bias"},

	// Tensors missing.
	{name: "no tensors", model: "bert", change: func(s *sample) { s.shapes = shapes{} }, tensor: "bert.embeddings.word_embeddings.weight"},
	{name: "no classifier", model: "bert", change: drop("classifier.weight"), tensor: "classifier.weight"},
	{name: "no head", model: "llama", change: drop("lm_head.weight"), tensor: "lm_head.weight"},
	{name: "no pooler", model: "bert", change: drop("bert.pooler.dense.bias"), tensor: "bert.pooler.dense.bias"},
	{name: "no norm", model: "bert", change: drop("bert.embeddings.LayerNorm.weight"), tensor: "bert.embeddings.LayerNorm.weight"},

	// Rotary embeddings.
	{name: "rope_scaling of no type", model: "llama", change: rope(`"factor": 2`), field: "rope_scaling.rope_type", unsupported: true},
	{name: "yarn", model: "llama", change: rope(`"rope_type": "yarn", "factor": 2`), field: "rope_scaling.rope_type", unsupported: true},
	{name: "dynamic, by its old name", model: "llama", change: rope(`"type": "dynamic", "factor": 2`), field: "rope_scaling.rope_type", unsupported: true},
	{name: "factor -2", model: "llama", change: rope(`"rope_type": "linear", "factor": -2`), field: "rope_scaling.factor"},
	{name: "factor 0", model: "gemma3", change: rope(`"rope_type": "linear", "factor": 0`), field: "rope_scaling.factor"},
	{name: "factor 1e300", model: "llama", change: rope(`"rope_type": "llama3", "factor": 1e300`), field: "rope_scaling.factor"},
	{name: "high equals low", model: "llama", change: rope(`"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4`), field: "rope_scaling.high_freq_factor"},
	{name: "high below low", model: "llama", change: rope(`"rope_type": "llama3", "factor": 2, "low_freq_factor": 5`), field: "rope_scaling.high_freq_factor"},
	{name: "low 0", model: "llama", change: rope(`"rope_type": "llama3", "low_freq_factor": 0`), field: "rope_scaling.low_freq_factor"},
	{name: "original_max negative", model: "llama", change: rope(`"rope_type": "llama3", "original_max_position_embeddings": -1`), field: "rope_scaling.original_max_position_embeddings"},

	// Limits of some sizes, meanings of logits, and what is stored.
	{name: "hidden_size over the limit", model: "bert", change: set("hidden_size", maxSize+1), field: "hidden_size"},
	{name: "vocab_size over the limit", model: "bert", change: set("vocab_size", maxVocab+1), field: "vocab_size"},
	{name: "positions of BERT over the limit", model: "bert", change: set("max_position_embeddings", maxSize+1), field: "max_position_embeddings"},
	{name: "another problem", model: "bert", change: set("problem_type", "ranking"), field: "problem_type", unsupported: true},
	{name: "quantized", model: "llama", change: set("quantization_config", map[string]int{"bits": 4}), field: "quantization_config", unsupported: true},
	{name: "a norm under both names", model: "bert", change: tensor("bert.embeddings.LayerNorm.gamma", 24), tensor: "bert.embeddings.LayerNorm.weight"},
	{name: "mrope", model: "llama", change: rope(`"rope_type": "mrope"`), field: "rope_scaling.rope_type", unsupported: true},

	// Windows.
	{name: "sliding_window 0", model: "qwen2", change: all(set("sliding_window", 0), set("use_sliding_window", true)), field: "sliding_window"},
	{name: "too few layer_types", model: "gemma2", change: set("layer_types", []string{"full_attention"}), field: "layer_types"},
	{name: "empty layer_types", model: "gemma3", change: set("layer_types", []string{}), field: "layer_types"},
	{name: "unknown layer type", model: "gemma2", change: set("layer_types", []string{"full_attention", "chunked_attention"}), field: "layer_types", unsupported: true},
	{name: "unknown layer type of Qwen", model: "qwen2", change: all(set("sliding_window", 8), set("use_sliding_window", true), set("layer_types", []string{"full_attention", ""})), field: "layer_types", unsupported: true},
	{name: "pattern 0", model: "gemma3", change: all(unset("layer_types"), set("sliding_window_pattern", 0)), field: "sliding_window_pattern"},
	{name: "max_window_layers -1", model: "qwen2", change: all(unset("layer_types"), set("use_sliding_window", true), set("sliding_window", 8), set("max_window_layers", -1)), field: "max_window_layers"},
}

func TestReadRejects(t *testing.T) {
	table := slices.Concat(badRows, valueRows(sizes, notSizes), valueRows(optionalSizes, notSizes), valueRows(numbers, notNumbers), missingRows(sizes))
	for _, row := range table {
		t.Run(row.model+"/"+row.name, row.run)
	}
}

// Every parameter of every model must be there, with its very shape.
func TestReadChecksEveryTensor(t *testing.T) {
	for _, model := range models(t) {
		t.Run(model, func(t *testing.T) {
			s := load(t, model)
			n, err := s.read()
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range n.Params {
				wrong := map[string][]int{
					"missing":        nil,
					"without shape":  {},
					"one more":       append(slices.Clone(p.Shape), 1),
					"one less":       p.Shape[1:],
					"in front":       append([]int{1}, p.Shape...),
					"without tokens": make([]int, len(p.Shape)),
				}
				for i := range p.Shape {
					for _, by := range []int{-1, 1, 1 << 40} {
						shape := slices.Clone(p.Shape)
						shape[i] += by
						wrong[fmt.Sprintf("dimension %d is %d", i, shape[i])] = shape
					}
				}
				transposed := slices.Clone(p.Shape)
				if slices.Reverse(transposed); !slices.Equal(transposed, p.Shape) {
					wrong["transposed"] = transposed
				}
				for how, shape := range wrong {
					spoilt := shapes(maps.Clone(s.shapes))
					if delete(spoilt, p.Name); how != "missing" {
						spoilt[p.Name] = shape
					}
					_, err := Read(s.json(), spoilt)
					var bad *ConfigError
					switch {
					case !errors.As(err, &bad):
						t.Errorf("%s %s: %v", p.Name, how, err)
					case !strings.HasSuffix(bad.Tensor, p.Name) || errors.Is(err, ErrUnsupported):
						t.Errorf("%s %s: %v", p.Name, how, err)
					case how == "missing" && strings.Contains(p.Name, ".1.") != strings.Contains(bad.Field, "layer"):
						t.Errorf("%s is missing, which the field %q explains", p.Name, bad.Field)
					case strings.HasPrefix(how, "dimension") && bad.Field == "":
						t.Errorf("%s %s: no field is named", p.Name, how)
					}
				}
			}
		})
	}
}

func TestReadAccepts(t *testing.T) {
	for _, model := range models(t) {
		t.Run(model, func(t *testing.T) {
			s := load(t, model)
			n, err := s.read()
			if err != nil {
				t.Fatal(err)
			}
			checkNetwork(t, n, s.shapes)
			if got := len(n.Params) + len(n.Unused); got != len(s.shapes) {
				t.Errorf("%d tensors are accounted for, there are %d", got, len(s.shapes))
			}
			for i := 1; i < len(n.Layers); i++ {
				if (n.Layers[i].Attention == nil) == (n.Layers[i-1].Attention == nil) {
					t.Errorf("layers %d and %d are of the same kind", i-1, i)
				}
			}
		})
	}
}

// Variants of configs and tensors that are sound.
func TestReadVariants(t *testing.T) {
	attention := func(n *Network, layer int) *Attention { return n.Layers[2*layer].Attention }
	activation := func(a Activation) func(n *Network) bool {
		return func(n *Network) bool { return n.Layers[1].MLP.Act == a }
	}
	task := func(want Task) func(n *Network) bool { return func(n *Network) bool { return n.Task == want } }
	angle := func(layer, i int, want float64) func(n *Network) bool {
		return func(n *Network) bool {
			return math.Abs(attention(n, layer).Rotary.Frequencies[i]/want-1) < 1e-12
		}
	}
	windows := func(a, b int) func(n *Network) bool {
		return func(n *Network) bool { return attention(n, 0).Window == a && attention(n, 1).Window == b }
	}
	for _, row := range []struct {
		name   string
		model  string
		change change
		is     func(n *Network) bool
	}{
		{"norms by their old names", "bert", all(rename("LayerNorm.weight", "LayerNorm.gamma"), rename("LayerNorm.bias", "LayerNorm.beta")), func(n *Network) bool {
			return n.Embedding.Norm.Weight.Name == "bert.embeddings.LayerNorm.gamma" && n.Layers[0].Sum.Bias.Name == "bert.encoder.layer.0.attention.output.LayerNorm.beta"
		}},
		{"no prefix", "bert", rename("bert.", ""), func(n *Network) bool { return n.Embedding.Tokens.Name == wordEmbeddings }},
		{"a prefix", "bert-encoder", func(s *sample) {
			prefixed := shapes{}
			for name, shape := range s.shapes {
				prefixed["bert."+name] = shape
			}
			s.shapes = prefixed
		}, func(n *Network) bool { return n.Embedding.Tokens.Name == "bert."+wordEmbeddings }},
		{"no prefix of GPT-2", "gpt2", rename("transformer.", ""), task(Generate)},

		{"buffers of BERT", "bert", all(tensor("bert.embeddings.position_ids", 1, 48), tensor("bert.embeddings.token_type_ids", 1, 48)), func(n *Network) bool { return len(n.Unused) == 0 }},
		{"buffers of Llama", "llama", tensor("model.layers.0.self_attn.rotary_emb.inv_freq", 4), func(n *Network) bool { return len(n.Unused) == 0 }},
		{"buffers of GPT-2", "gpt2", all(tensor("transformer.h.1.attn.bias", 1, 1, 48, 48), tensor("transformer.h.1.attn.masked_bias")), func(n *Network) bool { return len(n.Unused) == 0 }},
		{"pretraining heads", "bert-encoder", all(tensor("cls.predictions.bias", 61), tensor("cls.seq_relationship.weight", 2, 24)), func(n *Network) bool {
			return slices.Contains(n.Unused, "cls.predictions.bias") && slices.Contains(n.Unused, "cls.seq_relationship.weight") && slices.IsSorted(n.Unused)
		}},
		{"a stored head of a tied model", "llama-tied", tensor("lm_head.weight", 61, 32), func(n *Network) bool { return n.Head.Tied && slices.Equal(n.Unused, []string{"lm_head.weight"}) }},

		{"logits of several labels", "bert", set("problem_type", "multi_label_classification"), func(n *Network) bool { return n.Problem == MultiLabel }},
		{"logits of one label", "bert", set("problem_type", nil), func(n *Network) bool { return n.Problem == SingleLabel }},
		{"one logit", "bert", all(set("id2label", map[string]string{"0": "x"}), tensor("classifier.weight", 1, 24), tensor("classifier.bias", 1)), func(n *Network) bool { return n.Problem == Regression }},

		{"no architectures of a classifier", "bert", unset("architectures"), task(Classify)},
		{"no architectures of an encoder", "bert-encoder", unset("architectures"), task(Encode)},
		{"no architectures of a decoder", "llama", unset("architectures"), task(Generate)},
		{"no architectures of a decoder's classifier", "llama-classifier", unset("architectures"), task(Classify)},
		{"empty architectures", "roberta", set("architectures", []string{}), task(Classify)},
		{"a masked language model", "bert", set("architectures", []string{"BertForMaskedLM"}), task(Encode)},
		{"pretraining", "electra", set("architectures", []string{"ElectraForPreTraining"}), task(Encode)},
		{"a backbone", "llama", set("architectures", []string{"LlamaModel"}), task(Encode)},

		{"num_labels", "bert", all(unset("id2label"), set("num_labels", 3)), func(n *Network) bool { return slices.Equal(n.Labels, []string{"LABEL_0", "LABEL_1", "LABEL_2"}) }},
		{"names of labels", "bert", set("id2label", map[string]string{"0": "neg", "2": "pos", "x": "?"}), func(n *Network) bool { return slices.Equal(n.Labels, []string{"neg", "LABEL_1", "pos"}) }},
		{"labels of an encoder", "bert-encoder", set("id2label", map[string]string{}), func(n *Network) bool { return n.Labels == nil }},
		{"two labels", "bert", all(unset("id2label"), tensor("classifier.weight", 2, 24), tensor("classifier.bias", 2)), func(n *Network) bool { return n.Width() == 2 }},

		{"no pad_token_id", "roberta", unset("pad_token_id"), func(n *Network) bool { return n.Embedding.PadID == 1 && n.MaxTokens == 46 }},
		{"another pad_token_id", "mpnet", set("pad_token_id", 0), func(n *Network) bool { return n.Embedding.FirstPosition == 1 && n.MaxTokens == 63 }},
		{"no pad_token_id of a decoder", "gpt2-classifier", set("pad_token_id", nil), func(n *Network) bool { return n.Head.PadID == -1 }},

		{"hidden_act of Gemma", "gemma", all(set("hidden_act", "gelu"), unset("hidden_activation")), activation(GELUTanh)},
		{"hidden_activation of Gemma", "gemma", all(set("hidden_act", "gelu_pytorch_tanh"), set("hidden_activation", "gelu")), activation(GELU)},
		{"null activation", "bert", set("hidden_act", nil), activation(GELU)},
		{"swish", "llama", set("hidden_act", "swish"), activation(SiLU)},
		{"relu", "distilbert", set("activation", "relu"), activation(ReLU)},

		{"no epsilon", "bert", unset("layer_norm_eps"), func(n *Network) bool { return n.Embedding.Norm.Eps == 1e-12 }},
		{"no epsilon of GPT-2", "gpt2", unset("layer_norm_epsilon"), func(n *Network) bool { return n.Norm.Eps == 1e-5 }},
		{"no scale", "gpt2", set("scale_attn_weights", false), func(n *Network) bool { return attention(n, 0).Scale == 1 }},

		{"deep unknown field", "bert", set("x", json.RawMessage(strings.Repeat("[", 9_000)+strings.Repeat("]", 9_000))), task(Classify)},

		{"no head_dim", "llama", unset("head_dim"), func(n *Network) bool { return attention(n, 0).HeadDim == 8 }},
		{"default rope", "llama", rope(`"rope_type": "default"`), angle(0, 1, 0.1)},
		{"linear rope by its old name", "llama", rope(`"type": "linear", "factor": 4`), angle(1, 1, 0.025)},
		{"null rope_parameters", "llama", set("rope_parameters", nil), task(Generate)},
		{"no theta", "llama", unset("rope_theta"), angle(0, 1, 0.1)},
		{"no theta of Gemma 3", "gemma3", unset("rope_theta"), angle(1, 3, 1e-3)},
		{"no local theta of Gemma 3", "gemma3", unset("rope_local_base_freq"), angle(0, 3, 1e-2)},

		{"windows of Mistral", "mistral", nil, windows(8, 8)},
		{"no window", "mistral", set("sliding_window", nil), windows(0, 0)},
		{"windows of no use to Llama", "llama", set("sliding_window", 0), windows(0, 0)},
		{"windows of Gemma 2 by layer_types", "gemma2", set("layer_types", []string{"full_attention", "sliding_attention"}), windows(0, 8)},
		{"windows of Gemma 2", "gemma2", unset("layer_types"), windows(8, 0)},
		{"windows of Gemma 3", "gemma3", unset("layer_types"), windows(8, 8)},
		{"windows of Gemma 3 by the pattern", "gemma3", all(unset("layer_types"), set("_sliding_window_pattern", 1)), windows(0, 0)},
		{"windows of Qwen", "qwen2", all(unset("layer_types"), set("sliding_window", 5), set("use_sliding_window", true), set("max_window_layers", 1)), windows(0, 5)},
		{"windows of Qwen turned off", "qwen2", all(set("sliding_window", 5)), windows(0, 0)},

		{"no caps", "gemma2", all(set("attn_logit_softcapping", nil), set("final_logit_softcapping", nil)), func(n *Network) bool { return attention(n, 0).SoftCap == 0 && n.Head.SoftCap == 0 }},
		{"caps that Gemma 2 has unsaid", "gemma2", all(unset("attn_logit_softcapping"), unset("final_logit_softcapping")), func(n *Network) bool { return attention(n, 0).SoftCap == 50 && n.Head.SoftCap == 30 }},
		{"caps of Gemma 3", "gemma3", all(set("attn_logit_softcapping", 4), set("final_logit_softcapping", 5)), func(n *Network) bool { return attention(n, 0).SoftCap == 0 && n.Head.SoftCap == 5 }},
		{"caps that Gemma 3 has not", "gemma3", all(unset("attn_logit_softcapping"), unset("final_logit_softcapping")), func(n *Network) bool { return n.Head.SoftCap == 0 }},
		{"no cap of a classifier", "gemma2", all(set("architectures", []string{"Gemma2ForSequenceClassification"}), tensor("score.weight", 3, 32)), func(n *Network) bool { return n.Task == Classify && n.Head.SoftCap == 0 }},
		{"no cap of hidden states", "gemma2", set("architectures", []string{"Gemma2Model"}), func(n *Network) bool { return n.Task == Encode && n.Head.SoftCap == 0 }},
		{"no query_pre_attn_scalar", "gemma2", unset("query_pre_attn_scalar"), func(n *Network) bool { return attention(n, 0).Scale == 1.0/16 }},
		{"the most buckets", "mpnet", all(set("relative_attention_num_buckets", 508), tensor("mpnet.encoder.relative_attention_bias.weight", 508, 3)), task(Classify)},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := load(t, row.model)
			if row.change != nil {
				row.change(s)
			}
			n, err := s.read()
			if err != nil {
				t.Fatal(err)
			}
			checkNetwork(t, n, s.shapes)
			if !row.is(n) {
				t.Error("read, but not as it should be")
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	names := Families()
	if len(names) != len(families) || !slices.IsSorted(names) || !slices.Contains(names, "bert") {
		t.Errorf("%q", names)
	}
}
