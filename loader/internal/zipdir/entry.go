package zipdir

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Compression methods that are read.
const (
	Store   = 0
	Deflate = 8
)

const (
	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3
	flagPatched    = 1 << 5
	flagStrong     = 1 << 6
	flagMasked     = 1 << 13
)

// An Entry is one member.
type Entry struct {
	Name      string
	Method    uint16
	Flags     uint16 // of the central directory
	CRC       uint32
	Size      uint64 // as declared, uncompressed
	HeaderOff int    // of the local header in the archive
	DataOff   int    // of the stored bytes in the archive
	Bad       string // why the bytes cannot be had; "" for a readable member

	raw    []byte
	end    int // of the member's bytes in the archive
	dir    *Dir
	record int // of the central directory, in the archive
}

// Raw is the member's bytes as they lie in the archive: a part of the archive,
// not a copy. It is nil for a member whose place is not known.
func (e *Entry) Raw() []byte { return e.raw }

// Encrypted reports whether the central directory says so.
func (e *Entry) Encrypted() bool {
	return e.Flags&(flagEncrypted|flagPatched|flagStrong|flagMasked) != 0
}

// Bytes is the content of e. A stored member is a part of the archive, not a
// copy. A deflated one is inflated if its declared size is at most limit and
// the archive's budget allows; otherwise, and where it holds more or less than
// it declares, the error is an [*Error]. The CRC is not checked: see CheckCRC.
func (e *Entry) Bytes(limit uint64) ([]byte, error) {
	switch {
	case e.Bad != "":
		return nil, &Error{Off: e.HeaderOff, Msg: e.Bad}
	case e.Size > limit:
		return nil, &Error{Off: e.HeaderOff, Msg: fmt.Sprintf("%d bytes, the limit is %d", e.Size, limit), Budget: true}
	case e.Method == Store:
		return e.raw, nil
	case e.Size > uint64(max(*e.dir.budget, 0)):
		return nil, &Error{Off: e.HeaderOff, Msg: "the members inflate to more than the budget", Budget: true}
	case e.Size/maxRatio > uint64(len(e.raw)):
		return nil, &Error{Off: e.HeaderOff, Msg: fmt.Sprintf("%d bytes cannot inflate to %d", len(e.raw), e.Size)}
	}
	*e.dir.budget -= int64(e.Size)
	var b bytes.Buffer
	b.Grow(int(min(e.Size, maxGuess)) + bytes.MinRead)
	n, err := io.Copy(&b, io.LimitReader(e.dir.inflate(e.raw), int64(e.Size)+1))
	switch {
	case err != nil:
		return nil, &Error{Off: e.DataOff, Msg: "cannot be inflated: " + err.Error()}
	case uint64(n) != e.Size:
		return nil, &Error{Off: e.DataOff, Msg: fmt.Sprintf("does not inflate to the %d bytes it declares", e.Size)}
	}
	return b.Bytes(), nil
}

// inflate reads raw until the next call.
func (d *Dir) inflate(raw []byte) io.Reader {
	if d.flate == nil {
		d.flate = flate.NewReader(bytes.NewReader(raw))
	} else {
		_ = d.flate.(flate.Resetter).Reset(bytes.NewReader(raw), nil) // which does not fail
	}
	return d.flate
}

// maxGuess is the most that is allocated because a size was declared.
const maxGuess = 1 << 20

// maxRatio is the most that deflate can expand, rounded up (zlib's technical
// notes say 1032).
const maxRatio = 1100

// Head is up to n bytes from the start of the content, for sniffing: inflated
// where needed, without a charge to the budget. What cannot be read is empty.
func (e *Entry) Head(n int) []byte {
	if e.Method == Store || e.raw == nil {
		return e.raw[:min(n, len(e.raw))]
	}
	b := make([]byte, n)
	m, err := io.ReadFull(e.dir.inflate(e.raw), b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return b[:max(m, 0)]
	}
	return b[:m]
}

// CheckCRC reports whether content has the CRC that e declares. It reads all
// of it, so it is for small members.
func (e *Entry) CheckCRC(content []byte) bool { return crc32.ChecksumIEEE(content) == e.CRC }

// Checksums returns the CRC of a stored member's bytes as they are now, and where
// in the archive it is stated: in the central directory, and in the local header
// or the descriptor that follows the bytes, or both.
func (e *Entry) Checksums() (at []int, crc uint32) {
	at = append(at, e.record+16)
	if h := e.HeaderOff + 14; e.Flags&flagDescriptor == 0 || le.Uint32(e.dir.data[h:]) == e.CRC {
		at = append(at, h)
	}
	if e.Flags&flagDescriptor != 0 {
		off := e.end
		if rest := e.dir.data[off:]; len(rest) >= 4 && string(rest[:4]) == sigDescriptor {
			off += 4
		}
		if rest := e.dir.data[off:e.dir.cd]; len(rest) >= 4 && le.Uint32(rest) == e.CRC {
			at = append(at, off)
		}
	}
	return at, crc32.ChecksumIEEE(e.raw)
}
