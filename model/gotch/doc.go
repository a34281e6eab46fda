// Package gotch runs and differentiates transformers with libtorch, PyTorch's
// C++ library, on the processor or on an NVIDIA GPU. It is empty unless built
// with the tag gotch, which needs a C++ compiler and libtorch 2.1.0: see make
// gotch.
//
// It computes what model/cpu computes, of the same descriptions, to about 1e-6.
// What it does not promise is that a sequence has the same bits in any batch.
//
// # Hostile input
//
// It reads parameters through package loader, and nothing else of a checkpoint;
// libtorch's own loaders are never used. An error of libtorch is an error, and
// memory has the limits of model/cpu. But the library is 450 MB of C++: who
// scans what strangers sent is safer with the default engine.
package gotch
