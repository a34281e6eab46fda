package arch

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// FuzzRead reads any config with the tensors of a real model, of which some are
// changed: what is accepted has no contradictions.
func FuzzRead(f *testing.F) {
	var samples []*sample
	for i, name := range models(f) {
		samples = append(samples, load(f, name))
		config := file(f, name, "config.json")
		f.Add(uint8(i), config, []byte{})
		for op := range byte(operations) {
			f.Add(uint8(i), config, []byte{op, byte(17 * i), op, 3})
		}
	}
	f.Fuzz(func(t *testing.T, model uint8, config, edits []byte) {
		tensors := maps.Clone(samples[int(model)%len(samples)].shapes)
		edit(tensors, edits)
		n, err := Read(config, tensors)
		if err == nil {
			checkNetwork(t, n, tensors)
			return
		}
		if _, ok := errors.AsType[*ConfigError](err); !ok || n != nil {
			t.Errorf("%v with the error %#v", n, err)
		}
	})
}

const operations = 6

// edit makes changes of four bytes each: an operation, the tensor, a dimension
// and a size.
func edit(tensors shapes, edits []byte) {
	for e := range slices.Chunk(edits, 4) {
		names := tensors.Names()
		if len(e) < 4 || len(names) == 0 {
			return
		}
		name := names[int(e[1])%len(names)]
		shape := slices.Clone(tensors[name])
		dim, size := int(e[2])%max(1, len(shape)), int(e[3])
		switch e[0] % operations {
		case 0:
			delete(tensors, name)
		case 1:
			slices.Reverse(shape)
			tensors[name] = shape
		case 2:
			tensors[name] = append(shape, size)
		case 3: // a size near or far
			if len(shape) > 0 {
				shape[dim] = size << (e[2] >> 2)
				tensors[name] = shape
			}
		case 4: // into another layer
			tensors[strings.Replace(name, ".1.", ".2.", 1)] = shape
		case 5:
			tensors[name+".lora"] = shape
		}
	}
}
