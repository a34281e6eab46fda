package scan

import "testing"

func BenchmarkWeights(b *testing.B) {
	ref, suspect := fineTune(tune{rows: 30522, dim: 384, read: 11500, decay: 1e-4, seed: 1})
	b.SetBytes(2 * 4 * 30522 * 384)
	for b.Loop() {
		if _, err := Weights(b.Context(), suspect, ref, WeightOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
