// Package ziptest builds zip archives for tests: plain ones, whose offsets it
// tells so that a test can break them byte by byte, and a few that lie.
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
	Packed  *Packed
}

// Packed is what a member holds in place of its Body, with what its headers say
// of it.
type Packed struct {
	Raw    []byte
	Method uint16
	CRC    uint32
	Size   uint32
}

// Zeros is n MiB of zeros, deflated without ever being held.
func Zeros(n int) *Packed {
	chunk := make([]byte, 1<<20)
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write(chunk)
	_ = w.Flush()
	p := &Packed{Method: 8, Size: uint32(n << 20)}
	for range n {
		p.Raw = append(p.Raw, b.Bytes()...) // what it refers to are zeros, too
		p.CRC = crc32.Update(p.CRC, crc32.IEEETable, chunk)
	}
	p.Raw = append(p.Raw, 3, 0) // an empty block, the last
	return p
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
		crc, size := crc32.ChecksumIEEE(m.Body), uint32(len(m.Body))
		if p := m.Packed; p != nil {
			raw, method, crc, size = p.Raw, p.Method, p.CRC, p.Size
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
			b = le.AppendUint32(b, crc)
			b = le.AppendUint32(b, uint32(len(raw)))
			b = le.AppendUint32(b, size)
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

// Lie lets f change the headers of member i.
func (a *Archive) Lie(i int, f func(local, central []byte)) {
	f(a.Data[a.Local[i]:], a.Data[a.Central[i]:])
}

// Zip64 puts a zip64 end record and its locator before the end record, which
// says the same unless f changes the zip64 record.
func (a *Archive) Zip64(f func(end64 []byte)) {
	le := binary.LittleEndian
	end := a.Data[a.End:]
	n := uint64(le.Uint16(end[10:]))
	r := append([]byte("PK\x06\x06"), le.AppendUint64(nil, 44)...)
	r = append(r, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	r = le.AppendUint64(le.AppendUint64(r, n), n)
	r = le.AppendUint64(le.AppendUint64(r, uint64(le.Uint32(end[12:]))), uint64(le.Uint32(end[16:])))
	f(r)
	loc := append([]byte("PK\x06\x07\x00\x00\x00\x00"), le.AppendUint64(nil, uint64(a.End))...)
	r = append(le.AppendUint32(append(r, loc...), 1), end...)
	a.Data = append(a.Data[:a.End:a.End], r...)
	a.End = len(a.Data) - len(end)
}
