package zipdir

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits bound an archive. The zero value of a field means its default.
type Limits struct {
	Members int    // default 100,000
	Inflate *int64 // bytes that may still be inflated, counted down; default 256 MiB of its own
}

// A Kind says what a Note is about.
type Kind uint8

// The kinds of notes.
const (
	Malformed Kind = iota // a strict reader refuses it
	Ambiguous             // two readers see two archives
	Traversal             // a name that points out of the archive
	Curious               // harmless, but no writer of checkpoints does it
)

// A Note is something odd about an archive that can be read nevertheless.
type Note struct {
	Kind   Kind
	Member string // "" for the archive
	Off    int    // in the archive
	Detail string // one sentence
}

// An Error says where and why an archive or a member cannot be read.
type Error struct {
	Off    int
	Msg    string
	Budget bool // a limit was reached, rather than a rule broken
}

func (e *Error) Error() string { return fmt.Sprintf("zip offset %d: %s", e.Off, e.Msg) }

// A Dir is the directory of an archive.
type Dir struct {
	Entries []*Entry // in the order of the central directory
	Notes   []Note   // the first 200
	Dropped int      // further notes, only counted

	data   []byte
	budget *int64
	flate  io.ReadCloser // lent to one member at a time
	cd     int           // where the central directory starts
	cdEnd  int
}

const (
	sigLocal   = "PK\x03\x04"
	sigCentral = "PK\x01\x02"
	sigEnd     = "PK\x05\x06"
	sigEnd64   = "PK\x06\x06"
	sigLoc64   = "PK\x06\x07"

	sigDescriptor = "PK\x07\x08"

	localLen   = 30
	centralLen = 46
	endLen     = 22
	end64Len   = 56
	loc64Len   = 20

	maxNotes = 200
)

var le = binary.LittleEndian

// Open reads the directory of the archive in data, which must not change while
// the Dir is used. The error is an [*Error] or ctx's.
func Open(ctx context.Context, data []byte, lim Limits) (*Dir, error) {
	if lim.Members <= 0 {
		lim.Members = 100_000
	}
	if lim.Inflate == nil {
		own := int64(256 << 20)
		lim.Inflate = &own
	}
	d := &Dir{data: data, budget: lim.Inflate}
	count, err := d.end(lim)
	if err != nil {
		return nil, err
	}
	if err := d.central(ctx, count); err != nil {
		return nil, err
	}
	for i, e := range d.Entries {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d.local(e)
	}
	d.names()
	d.layout()
	return d, nil
}

func (d *Dir) note(k Kind, member string, off int, format string, args ...any) {
	if len(d.Notes) >= maxNotes {
		d.Dropped++
		return
	}
	d.Notes = append(d.Notes, Note{k, member, off, fmt.Sprintf(format, args...)})
}

func bad(off int, format string, args ...any) error {
	return &Error{Off: off, Msg: fmt.Sprintf(format, args...)}
}

// Find looks for an archive at the end of data, as readers do that start from
// the end record, and returns where in data its first byte lies: offsets in an
// archive that was appended to other bytes may count from either.
func Find(data []byte) (start int, ok bool) {
	if len(data) < endLen {
		return 0, false
	}
	from := max(0, len(data)-endLen-math.MaxUint16)
	last := bytes.LastIndex(data[from:len(data)-endLen+len(sigEnd)], []byte(sigEnd))
	if last < 0 {
		return 0, false
	}
	end := from + last
	r := data[end:]
	size, off := uint64(le.Uint32(r[12:])), uint64(le.Uint32(r[16:]))
	at := func(p uint64) bool { return p <= uint64(end) && bytes.HasPrefix(data[p:end], []byte(sigCentral)) }
	switch shift := uint64(end) - size - off; {
	case size < centralLen:
		return 0, false
	case at(off):
		return 0, true
	case size+off <= uint64(end) && at(shift+off):
		return int(shift), true
	}
	// A zip64 end record and its locator lie between.
	p := end - loc64Len
	if p < end64Len || string(data[p:p+4]) != sigLoc64 || string(data[p-end64Len:p-end64Len+4]) != sigEnd64 {
		return 0, false
	}
	q := data[p-end64Len:]
	size, off = le.Uint64(q[40:]), le.Uint64(q[48:])
	room := uint64(p - end64Len)
	switch {
	case size < centralLen || size > room || off > room-size:
		return 0, false
	case at(off):
		return 0, true
	case at(room - size):
		return int(room - size - off), true
	}
	return 0, false
}

// end finds the end record and sets where the central directory lies. It
// returns the number of members.
func (d *Dir) end(lim Limits) (int, error) {
	data := d.data
	if len(data) < endLen {
		return 0, bad(0, "too short for a zip archive")
	}
	from := max(0, len(data)-endLen-math.MaxUint16)
	// miniz (PyTorch) and Python take the last signature that leaves room for
	// a record.
	last := bytes.LastIndex(data[from:len(data)-endLen+len(sigEnd)], []byte(sigEnd))
	if last < 0 {
		return 0, bad(len(data), "no end of central directory: truncated, or not a zip archive")
	}
	pos := from + last
	r := data[pos:]
	if le.Uint16(r[4:]) != 0 && le.Uint16(r[4:]) != math.MaxUint16 || le.Uint16(r[6:]) != 0 && le.Uint16(r[6:]) != math.MaxUint16 {
		return 0, bad(pos, "an archive in several volumes")
	}
	here, count := uint64(le.Uint16(r[8:])), uint64(le.Uint16(r[10:]))
	size, off := uint64(le.Uint32(r[12:])), uint64(le.Uint32(r[16:]))
	comment := int(le.Uint16(r[20:]))
	switch tail := len(data) - pos - endLen; {
	case comment < tail:
		d.note(Ambiguous, "", pos+endLen+comment, "%d bytes follow the end of the archive", tail-comment)
	case comment > tail:
		d.note(Ambiguous, "", pos, "the archive's comment declares %d bytes, %d exist", comment, tail)
	case comment > 0:
		d.note(Curious, "", pos+endLen, "the archive has a comment of %d bytes", comment)
	}

	stop := uint64(pos) // where the central directory must end
	if p := pos - loc64Len; p >= 0 && string(data[p:p+4]) == sigLoc64 {
		at := le.Uint64(data[p+8:])
		if at > uint64(p) || uint64(p)-at < end64Len || string(data[at:at+4]) != sigEnd64 {
			return 0, bad(p, "the zip64 locator does not lead to a zip64 end record")
		}
		q := data[at:]
		if n := le.Uint64(q[4:]); n != uint64(p)-at-12 {
			d.note(Ambiguous, "", int(at), "the zip64 end record declares %d bytes, %d lie before its locator", n, uint64(p)-at-12)
		}
		here64, count64 := le.Uint64(q[24:]), le.Uint64(q[32:])
		size64, off64 := le.Uint64(q[40:]), le.Uint64(q[48:])
		differ := func(narrow, full, wide uint64) bool { return narrow != full && narrow != wide }
		if differ(here, math.MaxUint16, here64) || differ(count, math.MaxUint16, count64) ||
			differ(size, math.MaxUint32, size64) || differ(off, math.MaxUint32, off64) {
			d.note(Ambiguous, "", pos, "the end record and the zip64 end record disagree")
		}
		here, count, size, off, stop = here64, count64, size64, off64, at
	}
	if here != count {
		return 0, bad(pos, "the end record counts %d members in this volume and %d in all", here, count)
	}
	if size > stop || off > stop-size {
		return 0, bad(pos, "the central directory (offset %d, %d bytes) does not lie before its end record", off, size)
	}
	if gap := stop - size - off; gap != 0 {
		// Python and Go shift every offset by this much, miniz does not.
		d.note(Ambiguous, "", int(off+size), "%d bytes lie between the central directory and its end record", gap)
	}
	if count > size/centralLen {
		return 0, bad(pos, "%d members are declared, the central directory has room for %d", count, size/centralLen)
	}
	if count > uint64(lim.Members) {
		return 0, &Error{Off: pos, Msg: fmt.Sprintf("%d members, the limit is %d", count, lim.Members), Budget: true}
	}
	d.cd, d.cdEnd = int(off), int(off+size)
	d.otherEnds(from, pos)
	return int(count), nil
}

// otherEnds looks for a second end record that a reader with another search
// could take.
func (d *Dir) otherEnds(from, pos int) {
	for at := from; at < pos; at++ {
		i := bytes.Index(d.data[at:pos], []byte(sigEnd))
		if i < 0 {
			return
		}
		at += i
		if len(d.data)-at < endLen {
			return
		}
		r := d.data[at:]
		size, off := uint64(le.Uint32(r[12:])), uint64(le.Uint32(r[16:]))
		comment := uint64(le.Uint16(r[20:]))
		whole := comment+endLen == uint64(len(r))
		leads := off+size <= uint64(at) && (size == 0 || size >= centralLen && string(d.data[off:off+4]) == sigCentral)
		if whole || leads {
			d.note(Ambiguous, "", at, "a second end of central directory")
		}
	}
}

func (d *Dir) central(ctx context.Context, count int) error {
	d.Entries = make([]*Entry, 0, count)
	p := d.cd
	for i := range count {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r := d.data[p:d.cdEnd]
		if len(r) < centralLen || string(r[:4]) != sigCentral {
			return bad(p, "member %d of %d has no central directory record", i, count)
		}
		n, m, k := int(le.Uint16(r[28:])), int(le.Uint16(r[30:])), int(le.Uint16(r[32:]))
		if len(r)-centralLen < n+m+k {
			return bad(p, "the central directory record of member %d runs over its end", i)
		}
		e := &Entry{
			Name:   string(r[centralLen : centralLen+n]),
			Flags:  le.Uint16(r[8:]),
			Method: le.Uint16(r[10:]),
			CRC:    le.Uint32(r[16:]),
			dir:    d,
			record: p,
		}
		csize, size, off := uint64(le.Uint32(r[20:])), uint64(le.Uint32(r[24:])), uint64(le.Uint32(r[42:]))
		x, ok := zip64(r[centralLen+n:centralLen+n+m], &size, &csize, &off)
		if !ok {
			return bad(p, "member %d has a broken zip64 field", i)
		}
		if x > 1 {
			d.note(Ambiguous, e.Name, p, "several zip64 fields")
		}
		e.Size = size
		if off > uint64(d.cd) || csize > uint64(d.cd) {
			e.Bad = "the member does not lie before the central directory"
			e.HeaderOff = p
			d.note(Malformed, e.Name, p, "%s", e.Bad)
		} else {
			e.HeaderOff = int(off)
			e.end = int(csize) // until local knows where the bytes start
		}
		if e.Encrypted() {
			d.note(Malformed, e.Name, p, "the central directory says the member is encrypted (flags %#x)", e.Flags)
			e.Bad = cmp.Or(e.Bad, "the member is encrypted")
		}
		switch e.Method {
		case Store:
			if size != csize {
				d.note(Ambiguous, e.Name, p, "a stored member of %d bytes declares %d", csize, size)
				e.Bad = cmp.Or(e.Bad, "a stored member with two sizes")
			}
		case Deflate:
		default:
			d.note(Malformed, e.Name, p, "compression method %d", e.Method)
			e.Bad = cmp.Or(e.Bad, fmt.Sprintf("compression method %d is not read", e.Method))
		}
		d.Entries = append(d.Entries, e)
		p += centralLen + n + m + k
	}
	if p != d.cdEnd {
		return bad(p, "the central directory goes on for %d bytes after its last member", d.cdEnd-p)
	}
	return nil
}

// zip64 replaces those of the values that are at their 32-bit maximum, in this
// order, from the zip64 field of extra. It returns how many there were.
func zip64(extra []byte, values ...*uint64) (fields int, ok bool) {
	need := false
	for _, v := range values {
		need = need || *v == math.MaxUint32
	}
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if n > len(extra)-4 {
			break // archive/zip and miniz leave odd extra fields alone, too
		}
		body := extra[4 : 4+n]
		extra = extra[4+n:]
		if id != 1 {
			continue
		}
		fields++
		if fields > 1 {
			continue
		}
		for _, v := range values {
			if *v != math.MaxUint32 {
				continue
			}
			if len(body) < 8 {
				return fields, false
			}
			*v = le.Uint64(body)
			body = body[8:]
		}
	}
	return fields, fields > 0 || !need
}

// local compares e with its local header and finds its bytes.
func (d *Dir) local(e *Entry) {
	if e.HeaderOff >= d.cd {
		e.Bad = cmp.Or(e.Bad, "the member does not lie before the central directory")
		d.note(Malformed, e.Name, e.HeaderOff, "%s", e.Bad)
		return
	}
	csize := e.end
	e.end = 0
	r := d.data[e.HeaderOff:d.cd]
	if len(r) < localLen || string(r[:4]) != sigLocal {
		e.Bad = cmp.Or(e.Bad, "no local header where the central directory says")
		d.note(Malformed, e.Name, e.HeaderOff, "no local header where the central directory says")
		return
	}
	n, m := int(le.Uint16(r[26:])), int(le.Uint16(r[28:]))
	if len(r)-localLen < n+m || len(r)-localLen-n-m < csize {
		e.Bad = cmp.Or(e.Bad, "the member runs into the central directory")
		d.note(Malformed, e.Name, e.HeaderOff, "the member runs into the central directory")
		return
	}
	e.DataOff = e.HeaderOff + localLen + n + m
	e.end = e.DataOff + csize
	e.raw = d.data[e.DataOff:e.end:e.end]

	if local := r[localLen : localLen+n]; string(local) != e.Name {
		d.note(Ambiguous, e.Name, e.HeaderOff, "the local header names the member %q", clip(string(local)))
	}
	if f := le.Uint16(r[6:]); f != e.Flags {
		d.note(Ambiguous, e.Name, e.HeaderOff, "the local header has flags %#x, the central directory %#x", f, e.Flags)
	}
	if method := le.Uint16(r[8:]); method != e.Method {
		d.note(Ambiguous, e.Name, e.HeaderOff, "the local header has method %d, the central directory %d", method, e.Method)
	}
	crc := le.Uint32(r[14:])
	lcsize, lsize := uint64(le.Uint32(r[18:])), uint64(le.Uint32(r[22:]))
	if _, ok := zip64(r[localLen+n:localLen+n+m], &lsize, &lcsize); !ok {
		d.note(Malformed, e.Name, e.HeaderOff, "a broken zip64 field in the local header")
		return
	}
	// With a descriptor the header may leave these fields empty.
	deferred := le.Uint16(r[6:])&flagDescriptor != 0 && crc == 0 && lcsize == 0 && lsize == 0
	if !deferred && (lcsize != uint64(csize) || lsize != e.Size) {
		d.note(Ambiguous, e.Name, e.HeaderOff, "the local header has %d bytes (%d stored), the central directory %d (%d stored)", lsize, lcsize, e.Size, csize)
	}
	if !deferred && crc != e.CRC {
		d.note(Ambiguous, e.Name, e.HeaderOff, "the local header and the central directory have two checksums")
	}
}

func (d *Dir) names() {
	first := make(map[string]int, len(d.Entries))
	folded := make(map[string]int, len(d.Entries))
	for i, e := range d.Entries {
		switch {
		case Traverses(e.Name):
			d.note(Traversal, e.Name, e.HeaderOff, "the name points out of the archive")
		case !utf8.ValidString(e.Name):
			d.note(Malformed, e.Name, e.HeaderOff, "the name is not UTF-8")
		case strings.ContainsFunc(e.Name, unicode.IsControl):
			// A reader in C ends the name at a NUL.
			d.note(Ambiguous, e.Name, e.HeaderOff, "the name contains control characters")
		case e.Name == "":
			d.note(Malformed, e.Name, e.HeaderOff, "a member without a name")
		}
		if j, ok := first[e.Name]; ok {
			d.note(Ambiguous, e.Name, e.HeaderOff, "the name occurs twice, first at offset %d", d.Entries[j].HeaderOff)
			continue
		}
		first[e.Name] = i
		f := strings.ToLower(e.Name)
		if j, ok := folded[f]; ok {
			d.note(Ambiguous, e.Name, e.HeaderOff, "the name differs from %q only in case", clip(d.Entries[j].Name))
			continue
		}
		folded[f] = i
	}
}

// Traverses reports whether a name in an archive, zip or other, leaves the folder
// that it is unpacked to.
func Traverses(name string) bool {
	if strings.HasPrefix(name, "/") || strings.Contains(name, "\\") || len(name) > 1 && name[1] == ':' {
		return true
	}
	return slices.Contains(strings.Split(name, "/"), "..")
}

// layout looks for bytes that no member accounts for, or two do.
func (d *Dir) layout() {
	placed := make([]*Entry, 0, len(d.Entries))
	for _, e := range d.Entries {
		if e.raw != nil {
			placed = append(placed, e)
		}
	}
	slices.SortStableFunc(placed, func(a, b *Entry) int { return cmp.Compare(a.HeaderOff, b.HeaderOff) })
	end := 0
	var prev *Entry
	gap := func(to int, member string) {
		n := to - end
		if n <= 0 {
			return
		}
		switch {
		case prev == nil:
			d.note(Ambiguous, "", 0, "%d bytes lie before the first member", n)
		case prev.Flags&flagDescriptor != 0 && descriptor(d.data[end:to], prev):
		default:
			d.note(Ambiguous, member, end, "%d bytes before it belong to no member", n)
		}
	}
	for _, e := range placed {
		if e.HeaderOff < end {
			d.note(Ambiguous, e.Name, e.HeaderOff, "the member overlaps the one before it")
		}
		gap(e.HeaderOff, e.Name)
		if e.end >= end {
			end, prev = e.end, e
		}
	}
	gap(d.cd, "")
}

// descriptor reports whether b is the data descriptor of e: with or without
// its optional signature, with sizes of 4 or 8 bytes.
func descriptor(b []byte, e *Entry) bool {
	switch len(b) {
	case 16, 24:
		if string(b[:4]) != sigDescriptor {
			return false
		}
		b = b[4:]
	case 12, 20:
	default:
		return false
	}
	csize, size := uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[len(b)-4:]))
	if len(b) == 20 {
		csize, size = le.Uint64(b[4:]), le.Uint64(b[12:])
	}
	return le.Uint32(b) == e.CRC && csize == uint64(len(e.raw)) && size == e.Size
}

func clip(s string) string {
	if len(s) <= 200 {
		return s
	}
	return s[:200] + "..."
}
