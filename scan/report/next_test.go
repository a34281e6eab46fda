package report

import (
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

// What to review is marked, or named by the verdict's reasons.
func TestNextOfSuspicious(t *testing.T) {
	for status, want := range map[scan.SuspectStatus]string{
		scan.StatusAbnormal:   "next:         review the tokens marked !:",
		scan.StatusBorderline: "next:         review the tokens marked ~:",
		scan.StatusNatural:    "next:         review what is named above:",
	} {
		r := suspicious()
		for i := range r.Suspects {
			r.Suspects[i].Status = status
		}
		if got := encode(t, "text", Options{}, r); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", status, want, got)
		}
	}
}
