// Package loader opens model checkpoints from strangers and presents their
// tensors lazily, without executing anything the files say.
//
// # Formats
//
// A checkpoint is a safetensors file, a PyTorch file (zip or legacy pickle), a
// shard index of either, or a Hugging Face model folder that holds one of
// them. The content decides, never the file's extension.
//
// Other files (archives, compressed streams, numpy arrays) are recognised to be
// looked into: [Open] of a folder looks at everything in it.
//
// # Hostile input
//
// Every length, offset, shape, name and index in a file is chosen by an
// attacker. The package promises:
//
//   - nothing in a file is ever executed, imported or looked up;
//   - sizes are checked in uint64 against bytes that exist before anything is
//     allocated from them, so a forged length costs an error, not memory;
//   - a malformed file gives a [*FormatError] with the file and the offset,
//     never a panic, and never a partial result presented as whole;
//   - what cannot be looked at, or goes beyond a budget, is a finding
//     ([RuleIncomplete]), never nothing;
//   - a file that is well formed but dangerous or ambiguous to another reader
//     opens (if it can) with [Finding] values that say so;
//   - paths named inside a file never leave the folder it lies in.
//
// # Memory
//
// Files are mapped, not read. A [Tensor] refers into the mapping and is valid
// until its [Checkpoint] is closed; only the pages of the rows asked for are
// ever touched.
package loader
