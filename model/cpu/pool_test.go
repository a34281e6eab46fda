package cpu

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/btu-scan/btu-scan/model/arch"
)

func TestWorkers(t *testing.T) {
	for _, n := range []int{1, 2, 3, 16} {
		for _, tasks := range []int{0, 1, 2, 50} {
			done := make([]atomic.Int32, tasks)
			var running, most atomic.Int32
			workers(n)(tasks, func(i int) {
				now := running.Add(1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				runtime.Gosched()
				done[i].Add(1)
				running.Add(-1)
			})
			for i := range done {
				if done[i].Load() != 1 {
					t.Errorf("%d workers did task %d of %d %d times", n, i, tasks, done[i].Load())
				}
			}
			if int(most.Load()) > n {
				t.Errorf("%d tasks ran at once on %d workers", most.Load(), n)
			}
		}
	}
}

// A panic of a task reaches the caller, after the others have ended.
func TestWorkersPanic(t *testing.T) {
	var running atomic.Int32
	defer func() {
		if r := recover(); r != "task 7" || running.Load() != 0 {
			t.Errorf("recovered %v with %d tasks running", r, running.Load())
		}
	}()
	workers(4)(100, func(i int) {
		running.Add(1)
		defer running.Add(-1)
		if i == 7 {
			panic("task 7")
		}
	})
	t.Error("no panic")
}

// What an arena has handed out and not taken back does not overlap.
func TestArena(t *testing.T) {
	var a arena
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 30 {
		a.reset()
		if len(a.chunks) > 1 {
			t.Fatalf("%d chunks after reset", len(a.chunks))
		}
		var held [][]float32
		hold := func(n int) {
			x := a.get(n)
			if len(x) != n || cap(x) != n {
				t.Fatalf("%d of %d for %d", len(x), cap(x), n)
			}
			for i := range x {
				x[i] = float32(len(held))
			}
			held = append(held, x)
		}
		for range 1 + r.IntN(20) {
			hold(r.IntN(chunkLen / 3))
		}
		m, kept := a.mark(), len(held)
		for range 3 {
			for range r.IntN(9) {
				hold(r.IntN(2 * chunkLen))
			}
			for i, x := range held {
				if n := len(x); n > 0 && (x[0] != float32(i) || x[n/2] != float32(i) || x[n-1] != float32(i)) {
					t.Fatalf("round %d: slice %d was handed out twice", round, i)
				}
			}
			a.release(m)
			held = held[:kept]
		}
	}
}

// Backward needs a Forward that kept, once each.
func TestBackwardWithoutForward(t *testing.T) {
	b := newBuilder()
	net := b.network(arch.Layer{Attention: b.attention(hidden, 2, 2)})
	e := b.engine(net, 1)
	batch := arch.NewBatch([]int32{1, 2})
	panics := func(n int) (did bool) {
		defer func() { did = recover() != nil }()
		_, err := e.Backward(t.Context(), make([]float32, n), arch.AllGrads)
		if err != nil {
			t.Error(err)
		}
		return false
	}
	forward := func(keep bool) {
		if _, err := e.Forward(t.Context(), batch, keep); err != nil {
			t.Fatal(err)
		}
	}
	if !panics(2 * hidden) {
		t.Error("Backward before Forward")
	}
	forward(false)
	if !panics(2 * hidden) {
		t.Error("Backward of a Forward that did not keep")
	}
	forward(true)
	if !panics(hidden) {
		t.Error("Backward with too few gradients")
	}
	if panics(2 * hidden) {
		t.Error("Backward is refused")
	}
	if !panics(2 * hidden) {
		t.Error("Backward twice")
	}
}

// A pass takes the memory of the one before.
func TestPassesTakeTheSameMemory(t *testing.T) {
	b := newBuilder()
	net := b.network(arch.Layer{In: b.layerNorm(hidden), Attention: b.attention(hidden, 2, 2)})
	e := b.engine(net, 1)
	batch := arch.NewBatch(make([]int32, 900), make([]int32, 300))
	var used int
	for pass := range 5 {
		if _, err := e.Forward(t.Context(), batch, true); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Backward(t.Context(), make([]float32, 1200*hidden), arch.AllGrads); err != nil {
			t.Fatal(err)
		}
		if pass == 0 {
			used = e.arena.used
		}
		if e.arena.used != used || len(e.arena.chunks) > 1 {
			t.Fatalf("pass %d holds %d elements in %d chunks, the first %d", pass, e.arena.used, len(e.arena.chunks), used)
		}
	}
}
