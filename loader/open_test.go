package loader

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoByTwo is a checkpoint with one matrix.
func twoByTwo(name string) []byte {
	return st("{"+tensorOf(name, "F32", "[2,2]", 0, 16)+"}", f32bytes(1, 2, 3, 4)...)
}

func TestOpenFolder(t *testing.T) {
	dir := write(t, map[string][]byte{
		"model.safetensors":   twoByTwo("bert.embeddings.word_embeddings.weight"),
		"pytorch_model.bin":   []byte("ignored"),
		"config.json":         []byte(`{"model_type":"bert","architectures":["BertForSequenceClassification"],"vocab_size":2,"hidden_size":2,"_name_or_path":"org/base","id2label":{"0":"neg","1":"pos"},"pad_token_id":0}`),
		"README.md":           []byte("---\nlicense: mit\nbase_model:\n- org/one\n- org/two\n---\n# Model\n"),
		"adapter_config.json": []byte(`{"base_model_name_or_path":"org/adapted"}`),
		"vocab.txt":           []byte("[PAD]\ncf\n"),
	})
	for _, path := range []string{dir, filepath.Join(dir, "model.safetensors")} {
		c, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cfg := c.Config()
		if cfg.NameOrPath != "org/base" || cfg.VocabSize != 2 || !slices.Equal(cfg.Labels, []string{"neg", "pos"}) || *cfg.PadTokenID != 0 {
			t.Errorf("config %+v", cfg)
		}
		if !slices.Equal(c.Card().BaseModel, []string{"org/one", "org/two"}) || c.AdapterBase() != "org/adapted" {
			t.Errorf("card %+v, adapter %q", c.Card(), c.AdapterBase())
		}
		emb, err := c.InputEmbedding()
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float32, 2)
		if err := emb.ReadRows(t.Context(), row, 1); err != nil || !slices.Equal(row, []float32{3, 4}) {
			t.Errorf("row %v, %v", row, err)
		}
		v, err := c.Vocabulary()
		if err != nil || v.Token(1) != "cf" || !v.Special(0) || v.Special(1) || v.Token(2) != "" || v.Token(-1) != "" {
			t.Errorf("vocabulary %+v, %v", v, err)
		}
	}
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if w := strings.Join(c.Warnings(), "\n"); !strings.Contains(w, "pytorch_model.bin") {
		t.Errorf("warnings %q do not name the file that was passed over", w)
	}
}

func TestOpenIsNoCheckpoint(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		msg  string
	}{
		"empty":   {"", "the file is empty"},
		"lfs":     {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer"},
		"html":    {"<!DOCTYPE html><html></html>", "web page"},
		"gzip":    {"\x1f\x8b\x08\x00aaaaaaaaaaaa", "gzip"},
		"zeros":   {strings.Repeat("\x00", 4096), "all zeros"},
		"gguf":    {"GGUF\x03\x00\x00\x00aaaaaaaaaaaa", "GGUF"},
		"numpy":   {"\x93NUMPY\x01\x00aaaaaaa", "numpy"},
		"unknown": {"hello, this is no checkpoint", "header length"},
	} {
		dir := write(t, map[string][]byte{"model.bin": []byte(c.data)})
		_, err := Open(t.Context(), filepath.Join(dir, "model.bin"), Options{})
		var fe *FormatError
		if err == nil || !strings.Contains(err.Error(), c.msg) || !errors.Is(err, ErrUnsupported) && !errors.As(err, &fe) {
			t.Errorf("%s: %v, want %q", name, err, c.msg)
		}
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(t.Context(), t.TempDir(), Options{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := Open(t.Context(), write(t, map[string][]byte{"a.bin": nil, "b.bin": nil}), Options{}); err == nil || !strings.Contains(err.Error(), "2 tensor files") {
		t.Errorf("two files: %v", err)
	}
}

func TestOpenShards(t *testing.T) {
	index := `{"metadata":{"total_size":32},"weight_map":{"wte.weight":"model-1.safetensors","h.0":"model-2.safetensors"}}`
	one, two := twoByTwo("wte.weight"), twoByTwo("h.0")
	dir := write(t, map[string][]byte{"model.safetensors.index.json": []byte(index), "model-1.safetensors": one, "model-2.safetensors": two})
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.Files()) != 2 || c.Tensor("h.0") == nil {
		t.Errorf("files %v", c.Files())
	}
	outside := write(t, map[string][]byte{"secret.safetensors": two})
	for _, bad := range []struct {
		name  string
		files map[string][]byte
		is    error
		msg   string
	}{
		{"missing shard", map[string][]byte{"model-1.safetensors": one}, ErrIncomplete, "model-2.safetensors"},
		{"tensor missing", map[string][]byte{"model-1.safetensors": one, "model-2.safetensors": st("{}")}, ErrIncomplete, "h.0"},
		{"tensor elsewhere", map[string][]byte{"model-1.safetensors": two, "model-2.safetensors": one}, nil, "the index says"},
		{"damaged shard", map[string][]byte{"model-1.safetensors": one, "model-2.safetensors": two[:20]}, nil, "bytes follow"},
		{"no weight_map", map[string][]byte{"model.safetensors.index.json": []byte(`{"a":1}`)}, nil, "no shard index"},
		{"named twice", map[string][]byte{"model.safetensors.index.json": []byte(`{"weight_map":{"a":"x","a":"y"}}`)}, nil, "invalid JSON"},
		{"traversal", map[string][]byte{"model.safetensors.index.json": []byte(`{"weight_map":{"a":"../../../etc/passwd"}}`)}, ErrUnsafe, RulePathTraversal},
		{"absolute", map[string][]byte{"model.safetensors.index.json": []byte(`{"weight_map":{"a":"/etc/passwd"}}`)}, ErrUnsafe, RulePathTraversal},
		{"windows", map[string][]byte{"model.safetensors.index.json": []byte(`{"weight_map":{"a":"..\\x"}}`)}, ErrUnsafe, RulePathTraversal},
	} {
		t.Run(bad.name, func(t *testing.T) {
			if bad.files["model.safetensors.index.json"] == nil {
				bad.files["model.safetensors.index.json"] = []byte(index)
			}
			_, err := Open(t.Context(), write(t, bad.files), Options{})
			if err == nil || !strings.Contains(err.Error(), bad.msg) || bad.is != nil && !errors.Is(err, bad.is) {
				t.Errorf("%v, want %q, %v", err, bad.msg, bad.is)
			}
		})
	}
	t.Run("link out of the folder", func(t *testing.T) {
		dir := write(t, map[string][]byte{"model.safetensors.index.json": []byte(index), "model-1.safetensors": one})
		if err := os.Symlink(filepath.Join(outside, "secret.safetensors"), filepath.Join(dir, "model-2.safetensors")); err != nil {
			t.Skip(err)
		}
		if _, err := Open(t.Context(), dir, Options{}); err == nil {
			t.Error("a shard outside the folder was read")
		}
	})
	t.Run("links of the hub cache", func(t *testing.T) {
		hub := write(t, map[string][]byte{
			"models--org--name/blobs/a": []byte(index), "models--org--name/blobs/b": one, "models--org--name/blobs/c": two,
			"models--org--name/snapshots/0123/config.json": []byte(`{"model_type":"gpt2"}`),
		})
		snapshot := filepath.Join(hub, "models--org--name", "snapshots", "0123")
		for name, blob := range map[string]string{"model.safetensors.index.json": "a", "model-1.safetensors": "b", "model-2.safetensors": "c"} {
			if err := os.Symlink(filepath.Join("..", "..", "blobs", blob), filepath.Join(snapshot, name)); err != nil {
				t.Skip(err)
			}
		}
		c, err := Open(t.Context(), snapshot, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.Tensor("h.0") == nil || c.Config().ModelType != "gpt2" {
			t.Error("not read whole")
		}
	})
}

func TestInputEmbeddingByFamily(t *testing.T) {
	for _, c := range []struct {
		family string
		names  []string // all 2 x 2 and different
		want   string   // "" for ambiguous
	}{
		{"BERT", []string{"bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight", "bert.embeddings.token_type_embeddings.weight", "classifier.weight"}, "bert.embeddings.word_embeddings.weight"},
		{"RoBERTa", []string{"roberta.embeddings.word_embeddings.weight", "lm_head.dense.weight"}, "roberta.embeddings.word_embeddings.weight"},
		{"DistilBERT", []string{"distilbert.embeddings.word_embeddings.weight", "vocab_transform.weight"}, "distilbert.embeddings.word_embeddings.weight"},
		{"sentence encoder", []string{"embeddings.word_embeddings.weight"}, "embeddings.word_embeddings.weight"},
		{"wrapped classifier", []string{"module.model.encoder.bert.embeddings.word_embeddings.weight", "module.head.weight"}, "module.model.encoder.bert.embeddings.word_embeddings.weight"},
		{"GPT-2", []string{"transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"}, "transformer.wte.weight"},
		{"GPT-2 base", []string{"wte.weight", "wpe.weight"}, "wte.weight"},
		{"GPT-NeoX", []string{"gpt_neox.embed_in.weight", "embed_out.weight"}, "gpt_neox.embed_in.weight"},
		{"OPT", []string{"model.decoder.embed_tokens.weight", "model.decoder.embed_positions.weight"}, "model.decoder.embed_tokens.weight"},
		{"Bloom", []string{"transformer.word_embeddings.weight", "transformer.word_embeddings_layernorm.weight"}, "transformer.word_embeddings.weight"},
		{"Llama", []string{"model.embed_tokens.weight", "lm_head.weight"}, "model.embed_tokens.weight"},
		{"Llama with a PEFT prefix", []string{"base_model.model.model.embed_tokens.weight"}, "base_model.model.model.embed_tokens.weight"},
		{"T5", []string{"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}, "shared.weight"},
		{"BART", []string{"model.shared.weight", "model.encoder.embed_tokens.weight", "model.encoder.embed_positions.weight"}, "model.shared.weight"},
		{"Mistral's own", []string{"tok_embeddings.weight", "output.weight"}, "tok_embeddings.weight"},
		{"head only", []string{"lm_head.weight", "x.weight"}, "lm_head.weight"},
		{"dual encoder", []string{"question_encoder.embeddings.word_embeddings.weight", "ctx_encoder.embeddings.word_embeddings.weight"}, ""},
		{"name that only ends alike", []string{"not_wte.weight", "wte.weight"}, "wte.weight"},
	} {
		t.Run(c.family, func(t *testing.T) {
			var entries []string
			var body []byte
			for i, name := range c.names {
				entries = append(entries, tensorOf(name, "F32", "[2,2]", 16*i, 16*i+16))
				body = append(body, f32bytes(float32(i), 2, 3, 4)...)
			}
			ck, err := Open(t.Context(), write(t, map[string][]byte{"m.safetensors": st("{"+strings.Join(entries, ",")+"}", body...)}), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			got, err := ck.InputEmbedding()
			if c.want == "" {
				if !errors.Is(err, ErrAmbiguousEmbedding) || !strings.Contains(err.Error(), c.names[0]) {
					t.Errorf("%v, want ambiguity with its candidates", err)
				}
				return
			}
			if err != nil || got.Name != c.want {
				t.Errorf("%v, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestTied(t *testing.T) {
	open := func(config, header string, body []byte) *Checkpoint {
		c, err := Open(t.Context(), write(t, map[string][]byte{"model.safetensors": st(header, body...), "config.json": []byte(config)}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	both := "{" + tensorOf("model.embed_tokens.weight", "F32", "[2,2]", 0, 16) + "," + tensorOf("lm_head.weight", "F32", "[2,2]", 16, 32) + "}"
	one := "{" + tensorOf("model.embed_tokens.weight", "F32", "[2,2]", 0, 16) + "}"
	row := f32bytes(1, 2, 3, 4)
	for name, c := range map[string]struct {
		ck   *Checkpoint
		want bool
	}{
		"equal head":              {open(`{}`, both, append(slices.Clone(row), row...)), true},
		"other head":              {open(`{}`, both, append(slices.Clone(row), f32bytes(5, 6, 7, 8)...)), false},
		"language model, no head": {open(`{"architectures":["LlamaForCausalLM"]}`, one, row), true},
		"classifier":              {open(`{"architectures":["LlamaForSequenceClassification"]}`, one, row), false},
	} {
		if got := c.ck.Tied(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTensorOptionOverrides(t *testing.T) {
	dir := write(t, map[string][]byte{"m.safetensors": twoByTwo("strange")})
	c, err := Open(t.Context(), dir, Options{Tensor: "strange"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if e, err := c.InputEmbedding(); err != nil || e.Name != "strange" {
		t.Errorf("%v, %v", e, err)
	}
	c2, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	if _, err := c2.InputEmbedding(); !errors.Is(err, ErrNoEmbedding) || !strings.Contains(err.Error(), `"strange" [2 x 2]`) {
		t.Errorf("%v, want the candidates", err)
	}
}

func TestBadMetadataIsAWarning(t *testing.T) {
	dir := write(t, map[string][]byte{
		"model.safetensors": twoByTwo("wte.weight"), "config.json": []byte(`{"vocab_size":`), "README.md": []byte("---\n\t: [\n---\n"),
	})
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if w := strings.Join(c.Warnings(), "\n"); !strings.Contains(w, "config.json is ignored") || !strings.Contains(w, "README.md is ignored") {
		t.Errorf("warnings %q", w)
	}
}

func TestVocabularyFiles(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       []string // by id
		special    []int
		err        string
	}{
		{"tokenizer.json", `{"added_tokens":[{"id":3,"content":"<s>","special":true},{"id":1,"content":"b2"}],"model":{"type":"BPE","vocab":{"a":0,"b":1,"\u0120c\"\\,}" : 2}}}`, []string{"a", "b2", "\u0120c\"\\,}", "<s>"}, []int{3}, ""},
		{"tokenizer.json", `{"model":{"vocab":[["<unk>",0],["\u2581the",-3.5]]}}`, []string{"<unk>", "\u2581the"}, nil, ""},
		{"tokenizer.json", `{"model":{"vocab":{}}}`, nil, nil, ""},
		{"tokenizer.json", `{"model":{"vocab":{"a":-1}}}`, nil, nil, "over the limit"},
		{"tokenizer.json", `{"model":{"vocab":{"a":4294967296}}}`, nil, nil, "over the limit"},
		{"tokenizer.json", `{"model":{"vocab":{"a":1.5}}}`, nil, nil, "no token id"},
		{"tokenizer.json", `{"model":{"vocab":{"a":{"b":1}}}}`, nil, nil, "no token id"},
		{"tokenizer.json", `{"model":{"vocab":7}}`, nil, nil, "expected"},
		{"tokenizer.json", `{"model":{"vocab":{"a":0`, nil, nil, "unexpected EOF"},
		{"vocab.json", `{"a":0,"c":2}`, []string{"a", "", "c"}, nil, ""},
		{"vocab.txt", "[PAD]\r\ncf\n\n##x", []string{"[PAD]", "cf", "", "##x"}, []int{0}, ""},
	} {
		t.Run(c.name+" "+c.data, func(t *testing.T) {
			ck, err := Open(t.Context(), write(t, map[string][]byte{"model.safetensors": twoByTwo("wte.weight"), c.name: []byte(c.data)}), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			v, err := ck.Vocabulary()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || v.Len() != len(c.want) {
				t.Fatalf("%d tokens, %v", v.Len(), err)
			}
			for id, want := range c.want {
				if got := v.Token(id); got != want || v.Special(id) != slices.Contains(c.special, id) {
					t.Errorf("token %d is %q, special %v", id, got, v.Special(id))
				}
			}
		})
	}
}

// A pipe in a model folder does not make the program wait for its writer.
func TestPipesAreNotOpened(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a folder holds no pipes")
	}
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "testdata", "clean"))); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		os.Remove(path)
		if err := exec.Command("mkfifo", path).Run(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			ck, err := Open(context.Background(), dir, Options{})
			if err == nil {
				_, err = ck.ReadFile(name)
				ck.Vocabulary()
				ck.Close()
			}
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s is a pipe: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s is a pipe, and the loader waits for its writer", name)
		}
	}
}
