package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
)

// tokenizerFiles are the files of a folder that a tokenizer is made of.
var tokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"}

// Where BERT has its parameters in a classifier.
const (
	prefix     = "bert."
	embeddings = prefix + "embeddings.word_embeddings.weight"
	pooler     = "pooler.dense."
	classifier = "classifier."
)

// writeStart writes to the folder dir, which exists, the model that training
// starts from: the encoder and the tokenizer of the folder base, with a head for
// the labels. A head of the base is kept where it has as many labels and its
// pooler where it has one; what is missing is drawn, unless head says that a head
// is needed.
func writeStart(ctx context.Context, dir, base string, labels []string, head bool, rng *rand.Rand) error {
	ck, err := loader.Open(ctx, base, loader.Options{})
	if err != nil {
		return err
	}
	defer ck.Close()
	m, err := model.Open(ck, model.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	net := m.Network()
	if net.Family != "bert" {
		return fmt.Errorf("%s: this trainer starts from models of type bert, not %s", base, net.Family)
	}
	if head && len(net.Labels) != len(labels) {
		return fmt.Errorf("%s: is a classifier of %d labels, not %d", base, len(net.Labels), len(labels))
	}
	tensors, err := start(ctx, ck, net, len(labels), rng)
	if err != nil {
		return err
	}
	config, err := ck.ReadFile("config.json")
	if err != nil {
		return err
	}
	if config, err = classifierConfig(config, base, labels); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		return err
	}
	for _, name := range tokenizerFiles {
		data, err := ck.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return err
	}
	return errors.Join(loader.WriteSafetensors(ctx, f, map[string]string{"format": "pt"}, tensors), f.Close())
}

// start returns the tensors that training starts from, in float32.
func start(ctx context.Context, ck *loader.Checkpoint, net *arch.Network, labels int, rng *rand.Rand) ([]*loader.Tensor, error) {
	var all []*loader.Tensor
	have := map[string]bool{}
	add := func(name string, shape []int, values []float32) error {
		t, err := loader.Floats(name, shape, values)
		all, have[name] = append(all, t), true
		return err
	}
	keep := func(name string, t *loader.Tensor) error {
		if t.DType == loader.F32 {
			all, have[name] = append(all, t.As(name)), true
			return nil
		}
		values := make([]float32, t.Len()*t.Dim())
		if err := t.ReadRows(ctx, values, 0); err != nil {
			return err
		}
		return add(name, t.Shape, values)
	}
	old := strings.NewReplacer("LayerNorm.gamma", "LayerNorm.weight", "LayerNorm.beta", "LayerNorm.bias")
	for _, p := range net.Params {
		name := old.Replace(p.Name)
		switch head, backbone := strings.HasPrefix(name, classifier), strings.HasPrefix(name, prefix); {
		case head && len(net.Labels) != labels:
			continue
		case !head && !backbone:
			name = prefix + name
		}
		if err := keep(name, ck.Tensor(p.Name)); err != nil {
			return nil, err
		}
	}
	fresh := func(name string, shape ...int) error {
		if have[name] {
			return nil
		}
		n := 1
		for _, d := range shape {
			n *= d
		}
		values := make([]float32, n)
		if len(shape) > 1 { // as transformers does: biases are zero
			for i := range values {
				values[i] = float32(0.02 * rng.NormFloat64())
			}
		}
		return add(name, shape, values)
	}
	// An encoder has no use for its pooler, but the file may have one.
	h := net.Hidden
	for name, shape := range map[string][]int{pooler + "weight": {h, h}, pooler + "bias": {h}} {
		for _, in := range []string{prefix + name, name} {
			t := ck.Tensor(in)
			if t == nil || have[prefix+name] {
				continue
			}
			if !slices.Equal(t.Shape, shape) {
				return nil, fmt.Errorf("tensor %q has the shape %v, not %v", in, t.Shape, shape)
			}
			if err := keep(prefix+name, t); err != nil {
				return nil, err
			}
		}
	}
	return all, errors.Join(
		fresh(prefix+pooler+"weight", h, h), fresh(prefix+pooler+"bias", h),
		fresh(classifier+"weight", labels, h), fresh(classifier+"bias", labels),
	)
}

// classifierConfig is the config of a base made one of a classifier.
func classifierConfig(config []byte, base string, labels []string) ([]byte, error) {
	fields := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.UseNumber() // keeps 1e-12 as it is written
	if err := dec.Decode(&fields); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	names, ids := map[string]string{}, map[string]int{}
	for i, l := range labels {
		names[fmt.Sprint(i)], ids[l] = l, i
	}
	for _, name := range []string{"dtype", "num_labels", "transformers_version"} {
		delete(fields, name)
	}
	fields["_name_or_path"] = base
	fields["architectures"] = []string{"BertForSequenceClassification"}
	fields["id2label"], fields["label2id"] = names, ids
	fields["problem_type"] = "single_label_classification"
	fields["torch_dtype"] = "float32"
	b, err := json.MarshalIndent(fields, "", " ")
	return append(b, '\n'), err
}
