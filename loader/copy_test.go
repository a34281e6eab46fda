package loader

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// writeFiles makes files below dir.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, body := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func names(c *Copy) (all []string) {
	for _, f := range c.Files {
		all = append(all, f.Name)
	}
	return all
}

// A copy is the same bytes, and nothing that was not looked at.
func TestCopyTo(t *testing.T) {
	from := t.TempDir()
	model, err := os.ReadFile("../testdata/clean/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, from, map[string]string{
		"model.safetensors": string(model), "config.json": "{}", "vocab.txt": "a\nb\n", "onnx/model.onnx": "x", "pytorch_model.bin": "x",
		"tf_model.h5": "x", "1_Pooling/config.json": "{}", "2_Dense/model.safetensors": "x", ".git/config": "x", ".secret": "x",
		"pytorch_model.bin.index.json": "{}", "old/model.safetensors": "x", "training_args.bin": "x", "modeling.py": "x",
	})
	outside := filepath.Join(t.TempDir(), "outside")
	writeFiles(t, filepath.Dir(outside), map[string]string{"outside": "secret"})
	links := os.Symlink(outside, filepath.Join(from, "link.txt")) == nil && os.Symlink("vocab.txt", filepath.Join(from, "inner.txt")) == nil
	for _, c := range []struct {
		path, open    string
		want, leftOut []string
	}{
		{
			from, "",
			[]string{"1_Pooling/config.json", "2_Dense/model.safetensors", "config.json", "model.safetensors", "modeling.py", "vocab.txt"},
			[]string{"old/model.safetensors", "onnx/model.onnx", "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "training_args.bin"},
		},
		{
			filepath.Join(from, "model.safetensors"), "model.safetensors",
			[]string{"config.json", "model.safetensors", "modeling.py", "vocab.txt"},
			[]string{"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "training_args.bin"},
		},
	} {
		if links {
			c.want, c.leftOut = append(slices.Clone(c.want), "inner.txt"), append(slices.Clone(c.leftOut), "link.txt")
			slices.Sort(c.want)
			slices.Sort(c.leftOut)
		}
		ck, err := Open(t.Context(), c.path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		got, err := ck.CopyTo(t.Context(), to, CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(names(got), c.want) {
			t.Errorf("copied %q, want %q", names(got), c.want)
		}
		slices.Sort(got.LeftOut)
		if !slices.Equal(got.LeftOut, c.leftOut) {
			t.Errorf("left out %q, want %q", got.LeftOut, c.leftOut)
		}
		if got.Path != filepath.Join(to, c.open) {
			t.Errorf("opens as %s", got.Path)
		}
		for _, f := range got.Files {
			a, err := os.ReadFile(filepath.Join(from, f.Name))
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(to, f.Name))
			if err != nil || !bytes.Equal(a, b) || f.Size != int64(len(a)) || f.Tensors != (f.Name == "model.safetensors") {
				t.Errorf("%+v: %v", f, err)
			}
		}
		if _, err := Open(t.Context(), got.Path, Options{}); err != nil {
			t.Error(err)
		}
		if _, err := ck.CopyTo(t.Context(), to, CopyOptions{}); !errors.Is(err, os.ErrExist) {
			t.Errorf("a second copy to the same place: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ck.CopyTo(ctx, t.TempDir(), CopyOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		ck.Close()
	}
}

// Shards and their index stay as they are.
func TestCopyShards(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	weights := map[string]string{}
	for i, name := range []string{"a", "b"} {
		x, err := Floats(name, []int{2, 2}, []float32{1, 2, 3, float32(i)})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteSafetensors(t.Context(), &b, nil, []*Tensor{x}); err != nil {
			t.Fatal(err)
		}
		weights[name+".safetensors"] = b.String()
	}
	writeFiles(t, from, weights)
	writeFiles(t, from, map[string]string{"model.safetensors.index.json": `{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}`})
	ck, err := Open(t.Context(), from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	got, err := ck.CopyTo(t.Context(), to, CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a.safetensors", "b.safetensors", "model.safetensors.index.json"}; !slices.Equal(names(got), want) || got.Files[2].Tensors {
		t.Errorf("copied %+v", got.Files)
	}
	again, err := Open(t.Context(), got.Path, Options{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Tensor("b").WriteRows(t.Context(), []float32{5, 6}, 0); err != nil {
		t.Fatal(err)
	}
	if err := again.Sync(); err != nil {
		t.Fatal(err)
	}
	if x := allOf(t, ck.Tensor("b")); x[0] != 1 {
		t.Errorf("the original changed: %v", x)
	}
}

func TestTwins(t *testing.T) {
	ck, err := Open(t.Context(), "../testdata/parity/llama-tied", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	emb, err := ck.InputEmbedding()
	if err != nil {
		t.Fatal(err)
	}
	if twins := ck.Twins(emb); len(twins) != 0 {
		t.Errorf("a matrix that is stored once has twins: %v", twins)
	}
	ck.tensors = append(ck.tensors, emb.As("lm_head.weight"))
	if twins := ck.Twins(emb); len(twins) != 1 || twins[0].Name != "lm_head.weight" {
		t.Errorf("twins %v", twins)
	}
}
