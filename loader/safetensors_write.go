package loader

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Floats returns a float32 tensor in memory. It keeps values.
func Floats(name string, shape []int, values []float32) (*Tensor, error) {
	v := view{name: name, dtype: F32, file: name}
	for _, n := range shape {
		v.shape = append(v.shape, uint64(n))
	}
	v.data = make([]byte, 0, 4*len(values))
	for _, x := range values {
		v.data = binary.LittleEndian.AppendUint32(v.data, math.Float32bits(x))
	}
	if n, ok := product(v.shape); !ok || n != uint64(len(values)) {
		return nil, fmt.Errorf("tensor %s: %d numbers for the shape %v", quoted(name), len(values), shape)
	}
	return newTensor(v)
}

// As returns the tensor under another name. Both are the same numbers.
func (t *Tensor) As(name string) *Tensor {
	return &Tensor{
		Name: name, DType: t.DType, Shape: t.Shape,
		file: t.file, pos: t.pos, data: t.data, offset: t.offset, stride: t.stride, big: t.big,
	}
}

// WriteSafetensors writes tensors as a safetensors file: as the reference writer
// orders them, by falling alignment and then by name. metadata becomes
// __metadata__ unless it is nil.
func WriteSafetensors(ctx context.Context, w io.Writer, metadata map[string]string, tensors []*Tensor) error {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b *Tensor) int {
		return cmp.Or(cmp.Compare(b.DType.Bits(), a.DType.Bits()), strings.Compare(a.Name, b.Name))
	})
	header, err := header(metadata, tensors)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	if _, err := out.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.writeTo(ctx, out); err != nil {
			return err
		}
	}
	return out.Flush()
}

// header is the length and the JSON of a safetensors file.
func header(metadata map[string]string, tensors []*Tensor) ([]byte, error) {
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	var b strings.Builder
	enc := jsontext.NewEncoder(&b)
	var err error
	put := func(tok jsontext.Token) {
		if err == nil {
			err = enc.WriteToken(tok)
		}
	}
	put(jsontext.BeginObject)
	if metadata != nil {
		put(jsontext.String("__metadata__"))
		if err == nil {
			err = json.MarshalEncode(enc, metadata, json.Deterministic(true))
		}
	}
	var at int64
	for _, t := range tensors {
		size := int64(t.Len()*t.Dim()) * int64(t.DType.Bits()/8)
		if t.DType.Bits()%8 != 0 {
			return nil, fmt.Errorf("tensor %s: %w: elements of type %v are not written", quoted(t.Name), ErrUnsupported, t.DType)
		}
		put(jsontext.String(t.Name))
		if err == nil {
			err = json.MarshalEncode(enc, entry{t.DType.String(), slices.Clip(append([]int{}, t.Shape...)), [2]int64{at, at + size}})
		}
		at += size
	}
	put(jsontext.EndObject)
	if err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	text := strings.TrimRight(b.String(), "\n")
	text += strings.Repeat(" ", -len(text)&7)
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

// writeTo writes the elements in order, little-endian.
func (t *Tensor) writeTo(ctx context.Context, w io.Writer) (err error) {
	defer t.guard(&err)()
	size, dim := int(t.DType.Bits()/8), t.Dim()
	if t.stride == nil && (!t.big || size == 1) {
		const part = 16 << 20
		data := t.data[t.offset*size : (t.offset+t.Len()*dim)*size]
		for len(data) > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(len(data), part)
			if _, err := w.Write(data[:n]); err != nil {
				return err
			}
			data = data[n:]
		}
		return nil
	}
	unit := size // that a byte order turns around
	if t.DType == C64 {
		unit = 4
	}
	row := make([]byte, dim*size)
	for r := range t.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range dim {
			e := row[i*size : (i+1)*size]
			copy(e, t.data[t.element(r, i)*size:])
			for p := 0; t.big && p < size; p += unit {
				slices.Reverse(e[p : p+unit])
			}
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return nil
}
