package loader

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type wantTensor struct {
	DType  string    `json:"dtype"`
	Shape  []int     `json:"shape"`
	Values []float64 `json:"values"`
}

func torchReader(data []byte) reader {
	if isTorchZip(data) {
		return readZip
	}
	return readTorchLegacy
}

func TestTorchFixtures(t *testing.T) {
	dir := filepath.Join("testdata", "torch")
	raw, err := os.ReadFile(filepath.Join(dir, "want.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Tensors map[string]wantTensor `json:"tensors"`
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	warned := map[string]string{"sparse.zip.pt": "sparse"}
	for name, w := range want {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if isTorchZip(data) != strings.HasSuffix(name, ".zip.pt") || newWalker(t.Context(), Options{}).isPickle(data) != strings.HasSuffix(name, ".legacy.pt") {
				t.Errorf("isTorchZip %v, isPickle %v", isTorchZip(data), newWalker(t.Context(), Options{}).isPickle(data))
			}
			c, err := torchReader(data)(newWalker(t.Context(), Options{}), name, data)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.findings) > 0 {
				t.Errorf("findings %+v", c.findings)
			}
			if s := strings.Join(c.warnings, "; "); (s == "") != (warned[name] == "") || !strings.Contains(s, warned[name]) {
				t.Errorf("warnings %q", s)
			}
			if len(c.tensors) != len(w.Tensors) {
				t.Errorf("%d tensors, want %d", len(c.tensors), len(w.Tensors))
			}
			for _, ten := range c.tensors {
				wt, ok := w.Tensors[ten.Name]
				if !ok {
					t.Errorf("unexpected tensor %q", ten.Name)
					continue
				}
				checkTensor(t, ten, wt)
			}
		})
	}
}

func checkTensor(t *testing.T, ten *Tensor, want wantTensor) {
	t.Helper()
	if ten.DType.String() != want.DType {
		t.Errorf("%q is %s, want %s", ten.Name, ten.DType, want.DType)
	}
	if len(ten.Shape) != len(want.Shape) {
		t.Fatalf("%q has shape %v, want %v", ten.Name, ten.Shape, want.Shape)
	}
	for i := range ten.Shape {
		if ten.Shape[i] != want.Shape[i] {
			t.Fatalf("%q has shape %v, want %v", ten.Name, ten.Shape, want.Shape)
		}
	}
	if ten.DType == C64 {
		return
	}
	got := make([]float32, ten.Len()*ten.Dim())
	if err := ten.ReadRows(t.Context(), got, 0); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want.Values) {
		t.Fatalf("%q has %d values, want %d", ten.Name, len(got), len(want.Values))
	}
	for i := range got {
		if got[i] != float32(want.Values[i]) {
			t.Fatalf("%q[%d] is %v, want %v", ten.Name, i, got[i], want.Values[i])
		}
	}
}
