package gemm

import "unsafe"

// tileGo returns the tileFunc of so many rows and columns in plain Go. It is the
// definition of what the assembly does, but for the rounding of products.
func tileGo(rows, width int) tileFunc {
	return func(k int, a *float32, rs, cs int, b, from *float32, lf int, c *float32, lc int) {
		as := unsafe.Slice(a, (rows-1)*rs+(k-1)*cs+1)
		bs := unsafe.Slice(b, k*width)
		fs := unsafe.Slice(from, (rows-1)*lf+width)
		out := unsafe.Slice(c, (rows-1)*lc+width)
		var sums [maxWidth]float32
		sum := sums[:width]
		for r := range rows {
			copy(sum, fs[r*lf:])
			for i := range k {
				x := as[r*rs+i*cs]
				for j, y := range bs[i*width : (i+1)*width] {
					sum[j] += x * y
				}
			}
			copy(out[r*lc:], sum)
		}
	}
}
