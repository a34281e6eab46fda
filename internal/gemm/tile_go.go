package gemm

import "unsafe"

// tileGo returns the tileFunc of the generic arch with that many rows. It is
// the definition of what the assembly does, but for the rounding of products.
func tileGo(rows int) tileFunc {
	const w = 16
	return func(k int, a *float32, rs, cs int, b, from *float32, lf int, c *float32, lc int) {
		as := unsafe.Slice(a, (rows-1)*rs+(k-1)*cs+1)
		bs := unsafe.Slice(b, k*w)
		fs := unsafe.Slice(from, (rows-1)*lf+w)
		out := unsafe.Slice(c, (rows-1)*lc+w)
		for r := range rows {
			var sum [w]float32
			copy(sum[:], fs[r*lf:])
			for i := range k {
				x := as[r*rs+i*cs]
				row := (*[w]float32)(bs[i*w:])
				for j := range sum {
					sum[j] += x * row[j]
				}
			}
			copy(out[r*lc:], sum[:])
		}
	}
}
