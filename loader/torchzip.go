package loader

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/btu-scan/btu-scan/loader/internal/zipdir"
)

// isTorchZip reports whether data starts as PyTorch wants a zip archive to.
// PyTorch does not read archives with anything before the first member.
func isTorchZip(data []byte) bool { return bytes.HasPrefix(data, []byte("PK\x03\x04")) }

// readZip reads what torch.save has written since PyTorch 1.6: a zip archive
// with one folder, in it data.pkl, and a stored member data/<key> for every
// storage. Only pickles, version and byteorder are checked against their CRC:
// for storages that would mean reading the whole file, and PyTorch does not do
// it either. Other archives (.npz, .keras, downloads) are looked into.
func readZip(w *walker, name string, data []byte) (contents, error) {
	z := &torchZip{w: w, name: name}
	if start, _ := zipdir.Find(data); start > 0 && !isTorchZip(data) {
		z.add(RuleAmbiguous, SeverityHigh, name, "%d bytes lie before the archive, which only some programs read past", start)
		data = data[start:]
	}
	defer w.scattered(data)()
	dir, err := zipdir.Open(w.ctx, data, zipdir.Limits{Inflate: &w.bytes})
	if err != nil {
		return contents{}, refuse(name, zipError(name, "", err), z.findings)
	}
	z.dir, z.byName = dir, make(map[string]*zipdir.Entry, len(dir.Entries))
	for _, e := range dir.Entries {
		z.byName[e.Name] = e // the last one, as in PyTorch
	}
	z.notes()
	c, err := z.read()
	return c, refuse(name, err, z.findings)
}

// noTensors is for a file of a trainer's settings and nothing else.
func noTensors(name string) error {
	return &FormatError{Path: name, Off: -1, Msg: "a trainer's settings, which hold no tensors", Err: errLooked}
}

type torchZip struct {
	w        *walker
	name     string
	dir      *zipdir.Dir
	byName   map[string]*zipdir.Entry
	root     string // with its slash
	findings []Finding
	warnings []string
	unfit    int // members of which nothing was unpacked
}

func zipError(name, member string, err error) error {
	var ze *zipdir.Error
	if !errors.As(err, &ze) {
		return err
	}
	fe := &FormatError{Path: name, Off: int64(ze.Off), Msg: ze.Msg}
	if member != "" {
		fe.Msg = fmt.Sprintf("member %q: %s", member, ze.Msg)
	}
	if ze.Budget {
		fe.Err = ErrIncomplete
	}
	return fe
}

func (z *torchZip) add(rule string, sev Severity, where, format string, args ...any) {
	z.findings = append(z.findings, Finding{Rule: rule, Severity: sev, Where: where, Detail: fmt.Sprintf(format, args...)})
}

func (z *torchZip) notes() {
	for _, n := range z.dir.Notes {
		where := place{file: z.name}.at(n.Off)
		detail := n.Detail
		if n.Member != "" {
			detail = fmt.Sprintf("member %q: %s", n.Member, n.Detail)
		}
		switch n.Kind {
		case zipdir.Malformed:
			z.add(RuleMalformed, SeverityHigh, where, "%s", detail)
		case zipdir.Ambiguous:
			z.add(RuleAmbiguous, SeverityHigh, where, "%s", detail)
		case zipdir.Traversal:
			z.add(RulePathTraversal, SeverityHigh, where, "%s", detail)
		case zipdir.Curious:
			z.add(RuleAmbiguous, SeverityInfo, where, "%s", detail)
		}
	}
	if n := z.dir.Dropped; n > 0 {
		z.add(RuleAmbiguous, SeverityHigh, z.name, "%d more oddities of the archive", n)
	}
}

func (z *torchZip) read() (contents, error) {
	mains, script := z.mains()
	var main *walked
	var firstErr error
	for _, e := range z.dir.Entries {
		if !z.w.part() {
			return contents{}, z.w.err(z.name)
		}
		isMain := isMainPickle(e.Name)
		body, err := z.pickleBytes(e, isMain, isStorage(mains, e.Name))
		if err != nil && firstErr == nil {
			firstErr = err
		}
		if body == nil {
			continue
		}
		w := z.w.walkPickle(place{file: z.name, member: e.Name}, body)
		fs := w.findings
		if script {
			fs = scriptOnly(w)
		}
		z.findings = append(z.findings, fs...)
		if firstErr == nil && errors.Is(w.err, ErrIncomplete) {
			firstErr = w.err
		}
		if isMain {
			if w.err != nil && firstErr == nil {
				firstErr = w.err
			}
			main = &w // the last one, as in PyTorch
			if err == nil && !e.CheckCRC(body) {
				z.add(RuleMalformed, SeverityHigh, w.place.path(), "the checksum does not match")
			}
			if rest := len(body) - w.trace.End; w.err == nil && rest > 0 {
				z.add(RuleAmbiguous, SeverityHigh, w.place.at(w.trace.End), "%d bytes follow the end of the pickle", rest)
				if z.w.isPickle(body[w.trace.End:]) {
					p := w.place
					p.base = w.trace.End
					z.findings = append(z.findings, z.w.walkPickle(p, body[w.trace.End:]).findings...)
				}
			}
		}
	}
	if z.unfit > 0 {
		z.findings = append(z.findings, unseen(z.name, fmt.Sprintf("%d members that are compressed and do not fit the budget, or are damaged", z.unfit)))
	}
	switch {
	case script:
		if firstErr = refuse(z.name, nil, z.findings); firstErr != nil {
			return contents{}, firstErr
		}
		return contents{}, &FormatError{Path: z.name, Off: -1, Msg: "a TorchScript archive, which holds a program: save its state_dict instead", Err: ErrUnsupported}
	case len(mains) == 0:
		if firstErr != nil {
			return contents{}, firstErr
		}
		return contents{}, &FormatError{Path: z.name, Off: -1, Msg: "a zip archive without data.pkl in its folder, so not of PyTorch", Err: errLooked}
	case len(mains) > 1:
		z.add(RuleAmbiguous, SeverityCritical, z.name, "%q and %q: readers choose differently", mains[0], mains[1])
		return contents{}, &FormatError{Path: z.name, Off: -1, Msg: fmt.Sprintf("several folders with a data.pkl: %q, %q", mains[0], mains[1])}
	case firstErr != nil:
		return contents{}, firstErr
	}
	if err := refuse(z.name, nil, z.findings); err != nil {
		return contents{}, err
	}
	if main.trace.Settings() {
		return contents{}, noTensors(z.name)
	}
	z.root = strings.TrimSuffix(mains[0], "data.pkl")
	if first := z.dir.Entries[0].Name; !strings.HasPrefix(first, z.root) || z.root == "" {
		z.add(RuleAmbiguous, SeverityHigh, z.name, "PyTorch takes the archive's folder from the first member, %q, not from %q", first, mains[0])
	}
	z.version()
	big, err := z.byteOrder()
	if err != nil {
		return contents{}, err
	}
	v, refs, err := main.load()
	if err != nil {
		return contents{}, err
	}
	s := newState(z.w.ctx, main.place.path(), z.w.opt)
	if err := s.register(refs, func(r storageRef) (storage, error) { return z.storage(r, big) }); err != nil {
		return contents{}, err
	}
	if err := s.read(v); err != nil {
		return contents{}, err
	}
	if big && s.untypedWide {
		z.add(RuleAmbiguous, SeverityWarning, main.place.path(), "PyTorch does not swap the bytes of untyped big-endian storages, this reader does")
	}
	return contents{tensors: s.tensors, findings: z.findings, warnings: append(z.warnings, s.warnings...)}, nil
}

// mains lists the distinct names of main pickles, and whether the archive is
// TorchScript.
func (z *torchZip) mains() (mains []string, script bool) {
	seen := make(map[string]bool)
	for _, e := range z.dir.Entries {
		if isMainPickle(e.Name) && !seen[e.Name] {
			seen[e.Name] = true
			mains = append(mains, e.Name)
		}
	}
	for _, m := range mains {
		if z.byName[strings.TrimSuffix(m, "data.pkl")+"constants.pkl"] != nil {
			script = true
		}
	}
	return mains, script
}

func isMainPickle(name string) bool {
	root, ok := strings.CutSuffix(name, "data.pkl")
	return ok && strings.Count(root, "/") <= 1 && (root == "" || strings.HasSuffix(root, "/"))
}

// isStorage reports whether a member holds the numbers of tensors.
func isStorage(mains []string, name string) bool {
	for _, m := range mains {
		if strings.HasPrefix(name, strings.TrimSuffix(m, "data.pkl")+"data/") {
			return true
		}
	}
	return false
}

// pickleBytes returns the content of a member that is the main pickle or looks
// like one, else nil, after it has looked for other files in it. Where the
// directory forbids reading the member, the bytes as they lie there are looked
// at: other readers ignore what forbids it.
func (z *torchZip) pickleBytes(e *zipdir.Entry, isMain, storage bool) ([]byte, error) {
	limit := uint64(z.w.opt.MaxPickle)
	if isMain {
		body, err := e.Bytes(limit)
		if err != nil {
			return head(e.Raw(), limit), zipError(z.name, e.Name, err)
		}
		return body, nil
	}
	if raw := head(e.Raw(), limit); z.w.isPickle(raw) {
		return raw, nil // another reader may take a compressed member for a stored one
	}
	where := place{file: z.name, member: e.Name}.path()
	switch {
	case storage && e.Method == zipdir.Store:
		z.findings = append(z.findings, z.w.hidden(where, e.Raw())...)
		return nil, nil
	case storage && !z.maybePickle(e.Head(4096)):
		return nil, nil
	case e.Method == zipdir.Store:
		z.findings = append(z.findings, z.w.inside(where, e.Raw(), false)...)
		return nil, nil
	case e.Method != zipdir.Deflate || e.Raw() == nil:
		return nil, nil // which the directory's notes say
	}
	body, err := e.Bytes(limit)
	if err == nil && z.w.isPickle(body) {
		return body, nil
	}
	if err == nil {
		z.findings = append(z.findings, z.w.inside(where, body, false)...)
		return nil, nil
	}
	// What can be had of a damaged member, or of one that is too large.
	if z.w.heads--; z.w.heads < 0 {
		z.unfit++
		return nil, nil
	}
	z.findings = append(z.findings, z.w.inside(where, e.Head(headBytes), true)...)
	var ze *zipdir.Error
	if errors.As(err, &ze) && ze.Budget {
		z.findings = append(z.findings, unseen(where, fmt.Sprintf("beyond its first %d bytes: %s", headBytes, ze.Msg)))
		return nil, nil
	}
	return nil, zipError(z.name, e.Name, err)
}

// maybePickle reports whether a pickle could start with b, which may be cut.
func (z *torchZip) maybePickle(b []byte) bool {
	t, err := z.w.walk(b, sniffLimits)
	return err == nil || t.Protocol > 0 || len(t.Globals) > 0 || t.Ops > 16
}

func head(b []byte, n uint64) []byte { return b[:min(uint64(len(b)), n)] }

// small reads a short member of the root folder; ok is false where there is
// none.
func (z *torchZip) small(name string) (body []byte, ok bool, err error) {
	e := z.byName[z.root+name]
	if e == nil {
		return nil, false, nil
	}
	body, err = e.Bytes(1 << 10)
	if err != nil {
		return nil, true, zipError(z.name, e.Name, err)
	}
	if !e.CheckCRC(body) {
		z.add(RuleMalformed, SeverityHigh, place{file: z.name, member: e.Name}.path(), "the checksum does not match")
	}
	return body, true, nil
}

func (z *torchZip) version() {
	_, ok, err := z.small("version")
	if !ok {
		_, ok, err = z.small(".data/version")
	}
	if !ok {
		z.add(RuleMalformed, SeverityWarning, z.name, "no version record, which PyTorch requires")
	} else if err != nil {
		z.add(RuleMalformed, SeverityWarning, z.name, "the version record cannot be read: %v", err)
	}
}

func (z *torchZip) byteOrder() (big bool, _ error) {
	body, ok, err := z.small("byteorder")
	switch {
	case err != nil:
		return false, err
	case !ok, string(body) == "little":
		return false, nil
	case string(body) == "big":
		return true, nil
	}
	return false, &FormatError{Path: z.name + "!" + z.root + "byteorder", Off: 0, Msg: fmt.Sprintf("unknown byte order %q", body)}
}

// storage finds the member of a storage by its exact full name.
func (z *torchZip) storage(r storageRef, big bool) (storage, error) {
	bad := func(format string, args ...any) (storage, error) {
		return storage{}, &FormatError{Path: z.name, Off: -1, Msg: fmt.Sprintf("storage %q: ", clipped(r.key)) + fmt.Sprintf(format, args...)}
	}
	if r.key == "" || r.key == "." || r.key == ".." || strings.ContainsAny(r.key, "/\\\x00") {
		z.add(RulePathTraversal, SeverityHigh, z.name+"!"+z.root+"data.pkl", "the storage key %q is not a plain name", clipped(r.key))
		return bad("the key is not a plain name")
	}
	if r.view != nil {
		return bad("a view of a storage, which only legacy files have")
	}
	e := z.byName[z.root+"data/"+r.key]
	if e == nil {
		return storage{}, &FormatError{Path: z.name, Off: -1, Msg: fmt.Sprintf("storage %q: no member %q", clipped(r.key), clipped(z.root+"data/"+r.key)), Err: ErrIncomplete}
	}
	if e.Method == zipdir.Deflate {
		return storage{}, &FormatError{Path: z.name, Off: int64(e.HeaderOff), Msg: fmt.Sprintf("storage %q is compressed: PyTorch stores, so it was packed anew", clipped(r.key)), Err: ErrUnsupported}
	}
	body, err := e.Bytes(^uint64(0))
	if err != nil {
		return storage{}, zipError(z.name, e.Name, err)
	}
	if r.bytes > uint64(len(body)) {
		return bad("%d bytes are declared, the member has %d", r.bytes, len(body))
	}
	return storage{ref: r, data: body[:r.bytes:r.bytes], file: place{file: z.name, member: e.Name}.path(), big: big}, nil
}

func clipped(s string) string {
	if len(s) <= 200 {
		return s
	}
	return s[:200] + "..."
}
