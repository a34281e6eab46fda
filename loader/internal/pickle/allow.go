package pickle

import "strings"

// use is what a stream may do with a global.
type use uint8

const (
	useName  use = 1 << iota // mention it
	useCall                  // REDUCE
	useNew                   // NEWOBJ
	useBuild                 // BUILD on its instances
	useItems                 // SETITEM(S) on its instances
)

// A name is a global as the stream spells it: exactly, because a reader of
// protocol 4 splits dots in it and walks attributes.
type name struct{ module, name string }

// allowed is the closed list. PyTorch 2.8's weights_only list
// (torch/_weights_only_unpickler.py) is the guide. Left out of it on purpose:
// _rebuild_from_type_v2, _rebuild_wrapper_subclass and the device rebuilds,
// whose arguments are callables or classes. Put in: numpy's scalars and arrays,
// which trainers store beside the weights.
var allowed = func() map[name]use {
	m := map[name]use{
		{"collections", "OrderedDict"}: useName | useCall | useNew | useBuild | useItems,
		{"collections", "Counter"}:     useName | useCall,

		{"torch._utils", "_rebuild_tensor"}:               useName | useCall,
		{"torch._utils", "_rebuild_tensor_v2"}:            useName | useCall,
		{"torch._utils", "_rebuild_tensor_v3"}:            useName | useCall,
		{"torch._utils", "_rebuild_parameter"}:            useName | useCall,
		{"torch._utils", "_rebuild_parameter_with_state"}: useName | useCall,
		// Not read, but no danger: skipped with a warning.
		{"torch._utils", "_rebuild_qtensor"}:                useName | useCall,
		{"torch._utils", "_rebuild_sparse_tensor"}:          useName | useCall,
		{"torch._utils", "_rebuild_meta_tensor_no_storage"}: useName | useCall,
		{"torch.serialization", "_get_layout"}:              useName | useCall,

		{"torch.nn.parameter", "Parameter"}:  useName | useCall | useNew | useBuild,
		{"torch", "Size"}:                    useName | useCall,
		{"torch", "device"}:                  useName | useCall,
		{"torch.storage", "UntypedStorage"}:  useName,
		{"numpy.core.multiarray", "scalar"}:  useName | useCall,
		{"numpy._core.multiarray", "scalar"}: useName | useCall,
		{"numpy", "dtype"}:                   useName | useCall | useBuild,
		// numpy's arrays: random states, the metrics of a trainer.
		{"numpy.core.multiarray", "_reconstruct"}:     useName | useCall | useBuild,
		{"numpy._core.multiarray", "_reconstruct"}:    useName | useCall | useBuild,
		{"numpy.core.numeric", "_frombuffer"}:         useName | useCall,
		{"numpy._core.numeric", "_frombuffer"}:        useName | useCall,
		{"numpy", "ndarray"}:                          useName,
		{"_codecs", "encode"}:                         useName | useCall, // bytes under protocol 2
		{"torch", "per_tensor_affine"}:                useName,
		{"torch", "per_tensor_symmetric"}:             useName,
		{"torch", "per_channel_affine"}:               useName,
		{"torch", "per_channel_symmetric"}:            useName,
		{"torch", "per_channel_affine_float_qparams"}: useName,
	}
	for _, mod := range []string{"builtins", "__builtin__"} {
		for _, n := range []string{"set", "bytearray", "complex"} {
			m[name{mod, n}] = useName | useCall
		}
	}
	for _, n := range strings.Fields(`Double Float Half BFloat16 Long Int Short Char Byte Bool
		ComplexFloat ComplexDouble QInt8 QUInt8 QInt32 QUInt4x2 QUInt2x4`) {
		m[name{"torch", n + "Storage"}] = useName
		m[name{"torch.cuda", n + "Storage"}] = useName
	}
	for _, n := range strings.Fields(`float64 float32 float16 bfloat16 double float half
		int64 int32 int16 int8 uint8 uint16 uint32 uint64 long int short bool
		complex32 complex64 complex128 cfloat cdouble chalf
		float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2
		qint8 quint8 qint32 quint4x2 quint2x4 bits1x8 bits2x4 bits4x2 bits8 bits16
		uint1 uint2 uint3 uint4 uint5 uint6 uint7 int1 int2 int3 int4 int5 int6 int7`) {
		m[name{"torch", n}] = useName
	}
	return m
}()
