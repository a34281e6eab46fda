package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// missing stands for a number that is not known.
const missing = "-"

// integer writes n with commas.
func integer(n int) string {
	s := strconv.Itoa(n)
	start := len(s) % 3
	if n < 0 {
		start = (len(s)-1)%3 + 1
	}
	parts := []string{}
	if start > 0 {
		parts = append(parts, s[:start])
	}
	for ; start < len(s); start += 3 {
		parts = append(parts, s[start:start+3])
	}
	return strings.Replace(strings.Join(parts, ","), "-,", "-", 1)
}

// count writes n things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return integer(n) + " " + thing
}

// decimal writes x with a number of decimals, and huge numbers short.
func decimal(x float64, decimals int) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 0):
		return strings.TrimSuffix(fmt.Sprintf("%+f", x), "Inf") + "inf"
	case math.Abs(x) >= 1e6:
		return fmt.Sprintf("%.1e", x)
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}

// decimals is how many decimals give the numbers xs of one column three
// significant digits at the median of their sizes, at most 6.
func decimals(xs []float64) int {
	sizes := make([]float64, 0, len(xs))
	for _, x := range xs {
		if x = math.Abs(x); x > 0 && !math.IsInf(x, 0) {
			sizes = append(sizes, x)
		}
	}
	if len(sizes) == 0 {
		return 1
	}
	slices.Sort(sizes)
	return min(6, max(0, 2-int(math.Floor(math.Log10(sizes[len(sizes)/2])))))
}

// signed writes x with its sign.
func signed(x float64) string {
	s := decimal(x, 1)
	if x > 0 && s[0] != '+' {
		s = "+" + s
	}
	return s
}

func percent(x float64) string     { return decimal(100*x, 0) + "%" }
func percentFine(x float64) string { return decimal(100*x, 3) + "%" }

// bar shows x of limit in n cells, to an eighth of one.
func bar(x, limit float64, n int) string {
	if !(x > 0) || !(limit > 0) {
		return ""
	}
	eighths := int(math.Round(math.Min(x/limit, 1) * float64(8*n)))
	s := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return s
}

// timings lists the stages of the scan by name.
func (t *text) timings() string {
	var parts []string
	for _, stage := range slices.Sorted(maps.Keys(t.TimingsMS)) {
		parts = append(parts, stage+" "+decimal(t.TimingsMS[stage], 1))
	}
	return strings.Join(parts, ", ")
}

// join puts commas between the parts that are not empty.
func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
