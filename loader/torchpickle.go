package loader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/btu-scan/btu-scan/loader/internal/pickle"
)

// A place is where a byte stream lies, for messages.
type place struct {
	file   string
	member string // "" for the file itself
	base   int    // offset of the stream in file or member
}

func (p place) path() string {
	if p.member == "" {
		return p.file
	}
	return p.file + "!" + p.member
}

func (p place) at(off int) string { return fmt.Sprintf("%s@%d", p.path(), p.base+off) }

// walked is what walkPickle saw of one stream.
type walked struct {
	place    place
	trace    *pickle.Trace
	findings []Finding
	err      error // a *FormatError, or the context's
}

// walkPickle checks the stream at the start of data without building anything.
func (w *walker) walkPickle(p place, data []byte) walked {
	cut := int64(len(data)) > w.opt.MaxPickle
	if cut {
		data = data[:w.opt.MaxPickle]
	}
	t, err := w.walk(data, pickle.Limits{})
	s := walked{place: p, trace: t}
	if t.Settings() {
		s.findings = []Finding{settingsFinding(p, t)}
	} else {
		for _, h := range t.Hazards {
			s.findings = append(s.findings, hazardFinding(p, t, h))
		}
	}
	if t.Dropped > 0 {
		s.findings = append(s.findings, Finding{Rule: RuleUnsafeOpcode, Severity: SeverityCritical, Where: p.path(),
			Detail: fmt.Sprintf("%d more of the same", t.Dropped)})
	}
	var pe *pickle.Error
	switch {
	case errors.As(err, &pe):
		fe := &FormatError{Path: p.path(), Off: int64(p.base + pe.Off), Msg: pe.Msg}
		if pe.Budget {
			fe.Err = ErrIncomplete
		}
		if cut && t.End == 0 && !pe.Budget {
			fe.Msg = fmt.Sprintf("the pickle does not end within %d bytes: %s", w.opt.MaxPickle, pe.Msg)
			fe.Err = ErrIncomplete
		}
		s.err = fe
	case err != nil:
		s.err = err
	}
	return s
}

// hazardFinding says first what happens to whoever loads the file.
func hazardFinding(p place, t *pickle.Trace, h pickle.Hazard) Finding {
	f := Finding{Rule: RuleUnsafeOpcode, Severity: SeverityCritical, Where: p.at(h.Off), Detail: "a pickle of tensors has no need of this: " + h.Detail}
	if h.Global >= 0 {
		g := t.Globals[h.Global]
		d := dangerOf(g.Module, g.Name)
		f.Rule, f.Severity = RuleUnsafeGlobal, d.severity
		f.Detail = fmt.Sprintf("loading the file %s: %s", d.does, h.Detail)
	}
	return f
}

// settingsFinding explains an object of a trainer's settings, which is no
// danger by what it names, but can only be loaded as dangerous files are.
func settingsFinding(p place, t *pickle.Trace) Finding {
	var classes []string
	for _, h := range t.Hazards {
		if c := t.Globals[h.Global].String(); !slices.Contains(classes, c) {
			classes = append(classes, c)
		}
	}
	return Finding{Rule: RuleTrainerSettings, Severity: SeverityInfo, Where: p.at(t.Hazards[0].Off),
		Detail: fmt.Sprintf("a trainer's settings, made of classes of known libraries alone: %s. No model needs this file", strings.Join(classes, ", "))}
}

// load builds the value of a stream that walkPickle passed.
func (w walked) load() (any, []*pickle.Persistent, error) {
	v, refs, err := w.trace.Load()
	var pe *pickle.Error
	if errors.As(err, &pe) {
		return nil, nil, &FormatError{Path: w.place.path(), Off: int64(w.place.base + pe.Off), Msg: pe.Msg}
	}
	return v, refs, err
}

// A refusedError is an error about a file together with what was found in it
// before. It is what its err is.
type refusedError struct {
	err      error
	findings []Finding
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// refuse is the error for a file of which findings were made: an UnsafeError
// where one of them would run code in another reader, otherwise err with the
// findings beside it. It is nil where err is and no code would run.
func refuse(path string, err error, findings []Finding) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var ue *UnsafeError
	if errors.As(err, &ue) {
		return err
	}
	var first, rest []Finding
	for _, f := range findings {
		if runsCode(f) {
			first = append(first, f)
		} else {
			rest = append(rest, f)
		}
	}
	if len(first) == 0 {
		if err == nil || len(findings) == 0 {
			return err
		}
		return &refusedError{err, capped(path, findings)}
	}
	if err != nil && !errors.Is(err, ErrUnsupported) {
		rest = append(rest, findingOf(path, err))
	}
	return &UnsafeError{Path: path, Findings: capped(path, append(first, rest...))}
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// sniffLimits keep sniffing cheap; what they cut off was a pickle so far.
var sniffLimits = pickle.Limits{Opcodes: 1 << 20, Memory: 64 << 20}

// isPickle reports whether data starts with a pickle: a stream that reaches
// its STOP and either declares its protocol or names a global, or one that
// breaks off after it used a global, or named one that is dangerous. Weights
// that happen to start with a protocol byte do neither, nor does a list of words
// that starts with a c.
func (w *walker) isPickle(data []byte) bool {
	if len(data) == 0 || data[0] == 'P' {
		return false // PERSID, where pickle.load ends; every zip archive starts so
	}
	if bytes.HasPrefix(data, []byte("L119547037146038801333356L\n.")) {
		return true // the legacy magic number in protocol 0, which declares nothing
	}
	t, err := w.walk(data, sniffLimits)
	for _, g := range t.Globals {
		used := err == nil || t.Protocol > 0 || g.CalledBy != "" || dangerOf(g.Module, g.Name).severity == SeverityCritical
		if used && identifier.MatchString(g.Module) && identifier.MatchString(g.Name) {
			return true
		}
	}
	var pe *pickle.Error
	if errors.As(err, &pe) {
		return pe.Budget && t.Protocol > 0 && t.Ops > 1000
	}
	return t.Protocol > 0 && t.Ops > 1
}

// scriptOnly drops the hazards that every TorchScript archive has: its classes
// are looked up in the archive's own code, by a reader of its own.
func scriptOnly(w walked) []Finding {
	own := make(map[string]bool)
	for _, h := range w.trace.Hazards {
		if h.Global < 0 {
			continue
		}
		if g := w.trace.Globals[h.Global]; strings.HasPrefix(g.Module, "__torch__") || g.Module == "torch.jit._pickle" {
			own[w.place.at(h.Off)] = true
		}
	}
	var out []Finding
	for _, f := range w.findings {
		if !(f.Rule == RuleUnsafeGlobal && own[f.Where]) {
			out = append(out, f)
		}
	}
	return out
}
