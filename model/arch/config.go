package arch

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A config is the part of config.json that a network follows from. Pointers
// tell what the file leaves out.
type config struct {
	ModelType     string            `json:"model_type"`
	Architectures []string          `json:"architectures"`
	ID2Label      map[string]string `json:"id2label"`
	NumLabels     *int              `json:"num_labels"`
	ProblemType   *string           `json:"problem_type"`
	Quantization  jsontext.Value    `json:"quantization_config"`
	PadTokenID    *int              `json:"pad_token_id"`
	Tie           *bool             `json:"tie_word_embeddings"`

	VocabSize     *int `json:"vocab_size"`
	Hidden        *int `json:"hidden_size"`
	Layers        *int `json:"num_hidden_layers"`
	Heads         *int `json:"num_attention_heads"`
	Inner         *int `json:"intermediate_size"`
	MaxPositions  *int `json:"max_position_embeddings"`
	TypeVocabSize *int `json:"type_vocab_size"`
	EmbeddingSize *int `json:"embedding_size"` // ELECTRA

	HiddenAct        *string  `json:"hidden_act"`
	HiddenActivation *string  `json:"hidden_activation"` // Gemma
	LayerNormEps     *float64 `json:"layer_norm_eps"`
	PositionType     *string  `json:"position_embedding_type"`
	IsDecoder        bool     `json:"is_decoder"`
	CrossAttention   bool     `json:"add_cross_attention"`

	// DistilBERT
	Dim        *int    `json:"dim"`
	NLayers    *int    `json:"n_layers"`
	NHeads     *int    `json:"n_heads"`
	HiddenDim  *int    `json:"hidden_dim"`
	Activation *string `json:"activation"`

	// MPNet
	RelativeBuckets *int `json:"relative_attention_num_buckets"`

	// GPT-2
	NEmbd            *int     `json:"n_embd"`
	NLayer           *int     `json:"n_layer"`
	NHead            *int     `json:"n_head"`
	NInner           *int     `json:"n_inner"`
	NPositions       *int     `json:"n_positions"`
	ActivationFunc   *string  `json:"activation_function"`
	LayerNormEpsilon *float64 `json:"layer_norm_epsilon"`
	ScaleAttn        *bool    `json:"scale_attn_weights"`
	ScaleByLayer     bool     `json:"scale_attn_by_inverse_layer_idx"`

	// Llama, Mistral, Qwen, Gemma
	KVHeads        *int           `json:"num_key_value_heads"`
	HeadDim        *int           `json:"head_dim"`
	RMSNormEps     *float64       `json:"rms_norm_eps"`
	RopeTheta      *float64       `json:"rope_theta"`
	RopeScaling    *ropeScaling   `json:"rope_scaling"`
	RopeLocalTheta *float64       `json:"rope_local_base_freq"`
	AttentionBias  bool           `json:"attention_bias"`
	MLPBias        bool           `json:"mlp_bias"`
	Window         jsontext.Value `json:"sliding_window"` // null is not what none at all is
	UseWindow      *bool          `json:"use_sliding_window"`
	WindowLayers   *int           `json:"max_window_layers"`
	LayerTypes     []string       `json:"layer_types"`
	WindowPattern  *int           `json:"sliding_window_pattern"`
	WindowPattern2 *int           `json:"_sliding_window_pattern"`
	QueryScalar    *float64       `json:"query_pre_attn_scalar"`
	AttnCap        jsontext.Value `json:"attn_logit_softcapping"` // null is not what none at all is
	LogitCap       jsontext.Value `json:"final_logit_softcapping"`
	Bidirectional  bool           `json:"use_bidirectional_attention"`

	RopeParameters jsontext.Value `json:"rope_parameters"` // transformers 5: all of the above about rotary embeddings
}

// A ropeScaling stretches the rotary embedding to longer sequences.
type ropeScaling struct {
	RopeType    string   `json:"rope_type"`
	Type        string   `json:"type"` // before transformers 4.43
	Factor      *float64 `json:"factor"`
	LowFactor   *float64 `json:"low_freq_factor"`
	HighFactor  *float64 `json:"high_freq_factor"`
	OriginalMax *float64 `json:"original_max_position_embeddings"`
}

// task is what the first architecture's name says, or what the tensors do.
func (r *reader) task(classifier, lm string) Task {
	name := ""
	if len(r.config.Architectures) > 0 {
		name = r.config.Architectures[0]
	}
	switch {
	case strings.HasSuffix(name, "ForSequenceClassification"):
		return Classify
	case strings.HasSuffix(name, "ForCausalLM"), strings.HasSuffix(name, "LMHeadModel") && lm != "":
		if lm == "" {
			r.unsupported("architectures", "%q is not run", name)
		}
		return Generate
	case strings.HasSuffix(name, "Model"), strings.HasSuffix(name, "ForMaskedLM"), strings.HasSuffix(name, "ForPreTraining"):
		return Encode
	case name != "":
		r.unsupported("architectures", "%q is not run", name)
		return Encode
	case r.has(classifier):
		return Classify
	case lm != "":
		return Generate
	}
	return Encode
}

// setLabels names the labels: as many as id2label has, as in transformers, else
// num_labels, else 2.
func (r *reader) setLabels(n *Network) dim {
	c := &r.config
	count := dim{"id2label", len(c.ID2Label)}
	switch {
	case c.ID2Label == nil:
		count = r.sizeOr("num_labels", c.NumLabels, 2)
	case count.n == 0:
		r.fail("id2label", "", "names no label")
	}
	if count.n > maxLabels {
		r.fail(count.field, "", "%d labels are over the limit of %d", count.n, maxLabels)
		return count
	}
	switch {
	case c.ProblemType != nil:
		n.Problem = Problem(*c.ProblemType)
	case count.n == 1: // as transformers guesses when it trains
		n.Problem = Regression
	default:
		n.Problem = SingleLabel
	}
	switch n.Problem {
	case SingleLabel, MultiLabel, Regression:
	default:
		r.unsupported("problem_type", "%q is not run", n.Problem)
	}
	for i := range count.n {
		name, ok := c.ID2Label[strconv.Itoa(i)]
		if !ok {
			name = "LABEL_" + strconv.Itoa(i)
		}
		n.Labels = append(n.Labels, name)
	}
	return count
}

// maxLabels caps the labels of a classifier.
const maxLabels = 1 << 16

// eps returns a norm's epsilon, which is above 0 as a float32 too.
func (r *reader) eps(field string, x *float64, otherwise float64) float32 {
	if x == nil {
		return float32(otherwise)
	}
	if !(float32(*x) > 0 && *x < 1) {
		r.fail(field, "", "%v is not between 0 and 1", *x)
	}
	return float32(*x)
}

// positive returns a number that must be above zero and finite, in float32 too.
func (r *reader) positive(field string, x *float64, otherwise float64) float64 {
	if x == nil {
		return otherwise
	}
	if !(*x > 1e-30 && *x < 1e30) {
		r.fail(field, "", "%v is not a positive number", *x)
		return 1
	}
	return *x
}
