// Package ziptest builds zip archives for tests: plain ones, whose offsets it
// tells so that a test can break them byte by byte.
package ziptest

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
)

// A Member is one member to write.
type Member struct {
	Name    string
	Body    []byte
	Deflate bool
	Local   string // the name in the local header; "" for Name
}

// An Archive is a written archive.
type Archive struct {
	Data    []byte
	Local   []int // offsets of the local headers
	Central []int // offsets of the central directory's records
	End     int   // offset of the end record
}

// Build writes an archive that nothing is wrong with, but for differing names.
func Build(members ...Member) *Archive {
	le := binary.LittleEndian
	a := &Archive{}
	var central []byte
	for _, m := range members {
		raw, method := m.Body, uint16(0)
		if m.Deflate {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, flate.BestCompression)
			_, _ = w.Write(m.Body)
			w.Close()
			raw, method = b.Bytes(), 8
		}
		local := m.Local
		if local == "" {
			local = m.Name
		}
		off := len(a.Data)
		a.Local = append(a.Local, off)
		head := func(b []byte, name string) []byte {
			b = le.AppendUint16(b, 20)
			b = le.AppendUint16(b, 0)
			b = le.AppendUint16(b, method)
			b = le.AppendUint32(b, 0)
			b = le.AppendUint32(b, crc32.ChecksumIEEE(m.Body))
			b = le.AppendUint32(b, uint32(len(raw)))
			b = le.AppendUint32(b, uint32(len(m.Body)))
			b = le.AppendUint16(b, uint16(len(name)))
			return le.AppendUint16(b, 0)
		}
		a.Data = append(head(append(a.Data, "PK\x03\x04"...), local), local...)
		a.Data = append(a.Data, raw...)
		a.Central = append(a.Central, len(central))
		central = head(append(central, "PK\x01\x02\x14\x00"...), m.Name)
		central = append(central, make([]byte, 10)...)
		central = append(le.AppendUint32(central, uint32(off)), m.Name...)
	}
	cd := len(a.Data)
	for i := range a.Central {
		a.Central[i] += cd
	}
	a.Data = append(a.Data, central...)
	a.End = len(a.Data)
	a.Data = append(a.Data, "PK\x05\x06\x00\x00\x00\x00"...)
	n := uint16(len(members))
	a.Data = le.AppendUint16(le.AppendUint16(a.Data, n), n)
	a.Data = le.AppendUint32(le.AppendUint32(a.Data, uint32(len(central))), uint32(cd))
	a.Data = le.AppendUint16(a.Data, 0)
	return a
}
