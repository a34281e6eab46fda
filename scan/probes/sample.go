package probes

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

// A sample keeps the Max texts with the lowest hashes: an even draw from any
// number of texts, the same each time. A text that comes again has the hash it
// had, so it is known if it is kept, and stays out if it is not.
type sample struct {
	kept  []*probe // lowest hash first
	empty int
	more  bool // than Max came
}

type hash [sha256.Size]byte

type probe struct {
	hash        hash
	line        int
	text, label string
	repeats     int
}

func (s *sample) add(line int, text, label string) {
	text, label = strings.TrimSpace(text), strings.TrimSpace(label)
	if text == "" {
		s.empty++
		return
	}
	h := hash(sha256.Sum256([]byte(text)))
	i, known := slices.BinarySearchFunc(s.kept, h, func(p *probe, h hash) int { return bytes.Compare(p.hash[:], h[:]) })
	if known {
		s.kept[i].repeats++
		return
	}
	if len(s.kept) == Max {
		s.more = true
		if i == Max {
			return
		}
		s.kept = s.kept[:Max-1]
	}
	// What came is part of a line, and a clone does not hold the rest of it.
	p := &probe{hash: h, line: line, text: strings.Clone(text), label: strings.Clone(label)}
	s.kept = slices.Insert(s.kept, i, p)
}

// set returns the texts that were kept, in the order of their lines.
func (s *sample) set() *Set {
	slices.SortFunc(s.kept, func(a, b *probe) int { return a.line - b.line })
	set := &Set{Skipped: s.empty, Truncated: s.more}
	labelled := false
	for _, p := range s.kept {
		set.Texts = append(set.Texts, p.text)
		set.Labels = append(set.Labels, p.label)
		set.Skipped += p.repeats
		labelled = labelled || p.label != ""
	}
	if !labelled {
		set.Labels = nil
	}
	return set
}
