// Package scratch lends memory to tasks that run at once.
package scratch

import "sync"

var pool = sync.Pool{New: func() any { return new([]float32) }}

// Get returns n numbers, not cleared, and what to give to Put when they are no
// longer needed.
func Get(n int) (mem []float32, back *[]float32) {
	back = pool.Get().(*[]float32)
	if cap(*back) < n {
		*back = make([]float32, n)
	}
	return (*back)[:n], back
}

// Put takes back what Get lent.
func Put(back *[]float32) { pool.Put(back) }
