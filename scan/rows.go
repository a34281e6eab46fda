package scan

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/btu-scan/btu-scan/internal/kernel"
)

// Rows is an embedding matrix: Len rows of Dim numbers. Implementations are
// safe for concurrent use.
type Rows interface {
	Len() int
	Dim() int
	// ReadRows decodes rows from, from+1, ... into dst, as many as fit.
	ReadRows(ctx context.Context, dst []float32, from int) error
}

// A visitor is a Rows that can show its rows without copying them.
type visitor interface {
	VisitRows(ctx context.Context, from, n int, buf []float32, visit func(rows []float32)) error
}

// visit calls f with rows from, from+1, ... from+n-1, in buf or in place.
func visit(ctx context.Context, r Rows, from, n int, buf []float32, f func(rows []float32)) error {
	if v, ok := r.(visitor); ok {
		return v.VisitRows(ctx, from, n, buf, f)
	}
	buf = buf[:n*r.Dim()]
	if err := r.ReadRows(ctx, buf, from); err != nil {
		return err
	}
	f(buf)
	return nil
}

// blockFloats is the size of a block of rows: small enough that a block of
// each matrix stays in a core's own cache between decoding and use.
const blockFloats = 1 << 15

// parallel calls f for 0 to n-1 on up to workers goroutines (0: one per core)
// and returns when all are done. f writes its results by i.
func parallel(n, workers int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range crew(n, workers) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// parts is how many parts work is cut into where each has a result of its own.
const parts = 8

// inParts calls f in parallel for the parts, from and to being of n.
func inParts(n, workers int, f func(part, from, to int)) {
	parallel(parts, workers, func(p int) { f(p, p*n/parts, (p+1)*n/parts) })
}

// crew is the number of goroutines for n pieces of work.
func crew(n, workers int) int {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return min(workers, n)
}

// forBlocks calls f for consecutive blocks of n rows of dim numbers on up to
// workers goroutines, each with its own pair of buffers with room for a block.
// The first error ends it. f writes its results by row, so they do not depend
// on the number of workers.
func forBlocks(ctx context.Context, n, dim, workers int, f func(ctx context.Context, from, to int, a, b []float32) error) error {
	rows := max(1, blockFloats/max(1, dim))
	blocks := (n + rows - 1) / rows
	type buffers struct{ a, b []float32 }
	free := make(chan buffers, crew(blocks, workers))
	for range cap(free) {
		free <- buffers{make([]float32, rows*dim), make([]float32, rows*dim)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parallel(blocks, workers, func(i int) {
		if ctx.Err() != nil {
			return
		}
		buf := <-free
		defer func() { free <- buf }()
		if err := f(ctx, i*rows, min(n, (i+1)*rows), buf.a, buf.b); err != nil {
			cancel(err)
		}
	})
	return context.Cause(ctx)
}

// forRowPairs calls f for the first n rows of both matrices, a the reference's.
func forRowPairs(ctx context.Context, ref, suspect Rows, n, workers int, f func(i int, a, b []float32)) error {
	dim := ref.Dim()
	return forBlocks(ctx, n, dim, workers, func(ctx context.Context, from, to int, bufA, bufB []float32) error {
		var inner error
		err := visit(ctx, ref, from, to-from, bufA, func(a []float32) {
			inner = visit(ctx, suspect, from, to-from, bufB, func(b []float32) {
				for i := range to - from {
					f(from+i, a[i*dim:(i+1)*dim], b[i*dim:(i+1)*dim])
				}
			})
		})
		if err == nil {
			err = inner
		}
		return err
	})
}

// EachRow calls f with every row of r, in order. The rows are f's only for the
// call, and not to be changed.
func EachRow(ctx context.Context, r Rows, f func(id int, row []float32)) error {
	dim := r.Dim()
	block := max(1, blockFloats/max(1, dim))
	buf := make([]float32, block*dim)
	for from := 0; from < r.Len(); from += block {
		n := min(block, r.Len()-from)
		err := visit(ctx, r, from, n, buf, func(rows []float32) {
			for i := range n {
				f(from+i, rows[i*dim:(i+1)*dim])
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// MeanRow is the mean of the rows of r.
func MeanRow(ctx context.Context, r Rows) ([]float64, error) {
	mean := make([]float64, r.Dim())
	err := EachRow(ctx, r, func(_ int, row []float32) {
		for d, x := range row {
			mean[d] += float64(x)
		}
	})
	for d := range mean {
		mean[d] /= float64(r.Len())
	}
	return mean, err
}

// readRow returns row i of r in a slice of its own.
func readRow(ctx context.Context, r Rows, i int) ([]float32, error) {
	row := make([]float32, r.Dim())
	return row, r.ReadRows(ctx, row, i)
}

// Distance is the Frobenius norm of the difference of two matrices, over the
// rows that both have.
func Distance(ctx context.Context, a, b Rows) (float64, error) {
	if a.Dim() != b.Dim() {
		return 0, fmt.Errorf("%w: %d and %d", ErrDim, a.Dim(), b.Dim())
	}
	n := min(a.Len(), b.Len())
	moved := make([]float64, n)
	err := forRowPairs(ctx, a, b, n, 0, func(i int, x, y []float32) { moved[i] = kernel.RowSums(x, y).DD })
	var sum float64
	for _, m := range moved {
		sum += m
	}
	return math.Sqrt(sum), err
}
