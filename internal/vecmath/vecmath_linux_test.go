package vecmath

import (
	"syscall"
	"testing"
	"unsafe"
)

// Rows that begin or end where memory does: one read outside them ends the test.
func TestNothingOutsideIsRead(t *testing.T) {
	page := syscall.Getpagesize()
	edges := func() (first, last []float32) {
		mem, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Munmap(mem) })
		for _, out := range [][]byte{mem[:page], mem[2*page:]} {
			if err := syscall.Mprotect(out, syscall.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		all := unsafe.Slice((*float32)(unsafe.Pointer(&mem[page])), page/4)
		return all[:80], all[len(all)-80:]
	}
	var rows [6][2][]float32
	for i := range rows {
		rows[i][0], rows[i][1] = edges()
	}
	eachWay(t, func(t *testing.T) {
		for n := range 71 {
			for side := range 2 {
				row := func(i int) []float32 {
					if side == 0 {
						return rows[i][0][:n]
					}
					return rows[i][1][80-n:]
				}
				a, b, c, d, e, f := row(0), row(1), row(2), row(3), row(4), row(5)
				for _, g := range elementwise {
					g.run(a, [][]float32{b, c}[:g.rows]...)
				}
				Softmax(a, b, 1)
				SoftmaxGrad(a, b, c, 1)
				LogSumExp(a)
				LayerNorm(a, b, c, d, 1)
				LayerNorm(a, b, c, nil, 1)
				LayerNormGrad(a, b, c, d, e, f, 0, 1)
				RMSNorm(a, b, c, 1)
				RMSNormGrad(a, b, c, d, e, 1)
				SumSquares(a)
				AdamW(a, b, c, d, AdamWStep{GradScale: 1, Bias1: 1, Bias2: 1})
				if h := n / 2; n%2 == 0 {
					Rotate(a, b[:h], c[n-h:])
					RotateBack(a, b[n-h:], c[:h])
				}
			}
		}
	})
}
