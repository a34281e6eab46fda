package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/btu-scan/btu-scan/internal/gemm"
)

// workers runs tasks on at most n goroutines, the caller's included.
func workers(n int) gemm.Parallel {
	return func(tasks int, task func(int)) {
		if min(n, tasks) <= 1 {
			for i := range tasks {
				task(i)
			}
			return
		}
		var next atomic.Int64
		var failure atomic.Pointer[any]
		work := func() {
			defer func() { // to the caller's goroutine, which someone may guard
				if r := recover(); r != nil {
					failure.CompareAndSwap(nil, &r)
				}
			}()
			for failure.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= tasks {
					return
				}
				task(i)
			}
		}
		var wg sync.WaitGroup
		for range min(n, tasks) - 1 {
			wg.Go(work)
		}
		work()
		wg.Wait()
		if r := failure.Load(); r != nil {
			panic(*r)
		}
	}
}

// An arena hands out matrices whose memory is used again after release. What it
// hands out is not cleared.
type arena struct {
	chunks [][]float32
	chunk  int // of the next element
	at     int
	used   int // elements handed out
	most   int // of them, since reset
}

// A mark is a state of an arena.
type mark struct{ chunk, at, used int }

// chunkLen is the number of elements of a chunk, unless more are asked for.
const chunkLen = 1 << 20

func (a *arena) get(n int) []float32 {
	a.used += n
	a.most = max(a.most, a.used)
	for ; a.chunk < len(a.chunks); a.chunk, a.at = a.chunk+1, 0 {
		if c := a.chunks[a.chunk]; len(c)-a.at >= n {
			a.at += n
			return c[a.at-n : a.at : a.at]
		}
	}
	a.chunks = append(a.chunks, make([]float32, max(n, chunkLen)))
	a.at = n
	return a.chunks[a.chunk][:n:n]
}

// reset takes everything back, and makes one chunk of many: matrices of another
// size would not fill those.
func (a *arena) reset() {
	a.release(mark{})
	if len(a.chunks) > 1 {
		a.chunks = nil
		if a.most > 16*chunkLen { // seldom, and worth it: do not hold both
			runtime.GC()
		}
		a.chunks = [][]float32{make([]float32, a.most)}
	}
	a.most = 0
}

// matrix is rows x cols without gaps.
func (a *arena) matrix(rows, cols int) gemm.Matrix { return gemm.Dense(a.get(rows*cols), rows, cols) }

func (a *arena) mark() mark { return mark{a.chunk, a.at, a.used} }

// release takes back everything handed out since the mark.
func (a *arena) release(m mark) { a.chunk, a.at, a.used = m.chunk, m.at, m.used }
