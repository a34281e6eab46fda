package loader

import "fmt"

// DType is the stored element type of a tensor, by its safetensors name.
type DType uint8

// The element types of safetensors 0.8; PyTorch's map onto them.
const (
	InvalidDType DType = iota
	BOOL
	F4 // F4_E2M1, two to a byte
	F6E2M3
	F6E3M2
	U8
	I8
	F8E5M2
	F8E4M3
	F8E8M0
	F8E5M2FNUZ
	F8E4M3FNUZ
	I16
	U16
	F16
	BF16
	I32
	U32
	F32
	C64
	F64
	I64
	U64
)

var dtypes = [...]struct {
	name string
	bits uint64
}{
	InvalidDType: {"invalid", 0},
	BOOL:         {"BOOL", 8},
	F4:           {"F4", 4},
	F6E2M3:       {"F6_E2M3", 6},
	F6E3M2:       {"F6_E3M2", 6},
	U8:           {"U8", 8},
	I8:           {"I8", 8},
	F8E5M2:       {"F8_E5M2", 8},
	F8E4M3:       {"F8_E4M3", 8},
	F8E8M0:       {"F8_E8M0", 8},
	F8E5M2FNUZ:   {"F8_E5M2FNUZ", 8},
	F8E4M3FNUZ:   {"F8_E4M3FNUZ", 8},
	I16:          {"I16", 16},
	U16:          {"U16", 16},
	F16:          {"F16", 16},
	BF16:         {"BF16", 16},
	I32:          {"I32", 32},
	U32:          {"U32", 32},
	F32:          {"F32", 32},
	C64:          {"C64", 64},
	F64:          {"F64", 64},
	I64:          {"I64", 64},
	U64:          {"U64", 64},
}

// String is the safetensors name of d, such as "BF16".
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Bits is the size of one element in bits; 0 for an invalid type.
func (d DType) Bits() uint64 {
	if int(d) < len(dtypes) {
		return dtypes[d].bits
	}
	return 0
}

// ParseDType returns the type with the given safetensors name, which is case
// sensitive, as in the reference reader.
func ParseDType(name string) (DType, bool) {
	for d := BOOL; int(d) < len(dtypes); d++ {
		if dtypes[d].name == name {
			return d, true
		}
	}
	return InvalidDType, false
}

// Epsilon is the largest relative rounding error of storing a number as d
// (half a unit in the last place), or 0 where rounding is no matter of scale.
func (d DType) Epsilon() float64 {
	switch d {
	case F64:
		return 1.0 / (1 << 53)
	case F32:
		return 1.0 / (1 << 24)
	case F16:
		return 1.0 / (1 << 11)
	case BF16:
		return 1.0 / (1 << 8)
	case F8E4M3, F8E4M3FNUZ:
		return 1.0 / (1 << 4)
	case F8E5M2, F8E5M2FNUZ:
		return 1.0 / (1 << 3)
	}
	return 0
}
