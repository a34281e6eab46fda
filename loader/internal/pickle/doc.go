// Package pickle reads pickle streams from strangers without executing them.
//
// [Walk] goes through the opcodes of a stream first. It checks every length,
// index, frame and stack access against the bytes and values that exist, names
// every global the stream reaches for, and reports whatever a plain state dict
// does not need. Only a stream that passed it without a hazard or an error can
// be given to the virtual machine, by [Trace.Load], and there the allowed
// globals are inert records of how they were called.
//
// Walk promises, for any input: no panic, memory within a small multiple of
// the part of the stream it went through, and time linear in it. Values are
// never built, so streams that describe astronomically large objects cost what
// their bytes cost.
package pickle
