package loader

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/btu-scan/btu-scan/loader/internal/zipdir"
)

const tarBlock = 512

// isTar reports whether data starts with a header of a tar archive, whose
// checksum fits. Archives from before 1988 have no magic.
func isTar(data []byte) bool {
	if len(data) < tarBlock {
		return false
	}
	h := data[:tarBlock]
	want, err := strconv.ParseUint(strings.Trim(string(h[148:156]), " \x00"), 8, 32)
	if err != nil || want == 0 {
		return false
	}
	sum := uint64(8 * ' ') // the checksum counts as spaces
	for i, b := range h {
		if i < 148 || i >= 156 {
			sum += uint64(b)
		}
	}
	return sum == want && h[0] != 0
}

// readTar looks at the members of a tar archive, as model.tar.gz holds one and
// PyTorch before 0.1.10 wrote it. After a damaged header it goes on at the next
// one that is not: what lies behind must still be seen.
func readTar(w *walker, name string, data []byte) (contents, error) {
	var found []Finding
	add := func(rule string, sev Severity, where, format string, args ...any) {
		found = append(found, Finding{Rule: rule, Severity: sev, Where: where, Detail: fmt.Sprintf(format, args...)})
	}
	seen := make(map[string]bool)
	base := 0
	r := bytes.NewReader(data)
	t := tar.NewReader(r)
	for w.part() {
		h, err := t.Next()
		at := len(data) - r.Len() // of the member's bytes, or where the header failed
		if err != nil {
			next := nextTar(data, max(at, base+tarBlock))
			if !errors.Is(err, io.EOF) {
				add(RuleMalformed, SeverityHigh, place{file: name}.at(at), "a damaged header: %v", err)
			} else if next >= 0 {
				add(RuleAmbiguous, SeverityHigh, place{file: name}.at(next), "another archive follows the end of the first: programs stop there, or go on")
			}
			if next < 0 {
				break
			}
			base = next
			r = bytes.NewReader(data[base:])
			t = tar.NewReader(r)
			continue
		}
		where := place{file: name, member: h.Name}.path()
		if zipdir.Traverses(h.Name) || (h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink) && zipdir.Traverses(h.Linkname) {
			add(RulePathTraversal, SeverityHigh, where, "the member or what it links to lies outside of the archive's folder")
		}
		if seen[h.Name] && h.Size > 0 {
			add(RuleAmbiguous, SeverityHigh, where, "the name occurs twice: programs take the first or the last")
		}
		seen[h.Name] = true
		switch {
		case h.Size == 0:
		case sparse(h) || h.Size > int64(r.Len()):
			found = append(found, unseen(where, "a member with holes, or longer than the archive"))
		default:
			found = append(found, w.inside(where, data[at:at+int(h.Size)], false)...)
		}
	}
	if err := w.err(name); err != nil {
		return contents{}, refuse(name, err, found)
	}
	return contents{findings: found}, refuse(name, fmt.Errorf("%s: %w: tar: unpack it first", name, errLooked), found)
}

// nextTar is where the next header starts at or after from, or -1.
func nextTar(data []byte, from int) int {
	for p := (from + tarBlock - 1) / tarBlock * tarBlock; p+tarBlock <= len(data); p += tarBlock {
		if isTar(data[p:]) {
			return p
		}
	}
	return -1
}

func sparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}
