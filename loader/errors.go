package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Sentinels that callers branch on with errors.Is.
var (
	// ErrUnsupported marks a file whose format is recognised but not read, or
	// not recognised at all.
	ErrUnsupported = errors.New("unsupported checkpoint format")
	// ErrUnsafe marks a file that was refused because loading it elsewhere
	// would run code. [Checkpoint.Findings] or [UnsafeError] say where.
	ErrUnsafe = errors.New("unsafe checkpoint")
	// ErrNoEmbedding marks a checkpoint in which no input embedding was found.
	ErrNoEmbedding = errors.New("no input embedding found")
	// ErrAmbiguousEmbedding marks a checkpoint with several tensors that could
	// be the input embedding.
	ErrAmbiguousEmbedding = errors.New("several tensors could be the input embedding")
	// ErrIncomplete marks a checkpoint with parts missing, such as a shard.
	ErrIncomplete = errors.New("incomplete checkpoint")
)

// A FormatError reports a malformed file: which one, at which byte, and why.
type FormatError struct {
	Path string // the file, or "archive!member" inside a zip
	Off  int64  // byte offset in Path; -1 where no single offset applies
	Msg  string
	Err  error // optional cause
}

func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Off >= 0 {
		fmt.Fprintf(&b, ": offset %d (%#x)", e.Off, e.Off)
	}
	b.WriteString(": ")
	b.WriteString(e.Msg)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *FormatError) Unwrap() error { return e.Err }

// An UnsafeError reports a file that was refused because a standard reader
// would run code on loading it. It matches [ErrUnsafe].
type UnsafeError struct {
	Path     string
	Findings []Finding // at least one
}

func (e *UnsafeError) Error() string {
	f := e.Findings[0]
	s := fmt.Sprintf("%s: %s (%s, %s)", e.Path, f.Detail, f.Rule, f.Where)
	if n := len(e.Findings) - 1; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// Is makes errors.Is(err, ErrUnsafe) true.
func (e *UnsafeError) Is(target error) bool { return target == ErrUnsafe }

// An EmbeddingError reports that the input embedding could not be chosen. It
// matches [ErrNoEmbedding] or [ErrAmbiguousEmbedding].
type EmbeddingError struct {
	Candidates []string // "name [rows x dim]", most likely first
	Err        error
}

func (e *EmbeddingError) Error() string {
	if len(e.Candidates) == 0 {
		return e.Err.Error()
	}
	return e.Err.Error() + ": " + strings.Join(e.Candidates, ", ")
}

func (e *EmbeddingError) Unwrap() error { return e.Err }

// FindingsOf returns what an error of [Open] says about the files, as findings:
// those made before it, else the error itself as malformed (BTU200) or
// incomplete (BTU900).
func FindingsOf(err error) []Finding {
	var ue *UnsafeError
	var re *refusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ue):
		return ue.Findings
	case errors.As(err, &re):
		return append(slices.Clip(re.findings), findingOf("", err))
	}
	return []Finding{findingOf("", err)}
}

// foundBefore are the findings that were made before err.
func foundBefore(err error) []Finding {
	var ue *UnsafeError
	var re *refusedError
	switch {
	case errors.As(err, &ue):
		return ue.Findings
	case errors.As(err, &re):
		return slices.Clip(re.findings)
	}
	return nil
}

// withFindings is err, which may be nil, with further findings about the same
// file or its neighbours.
func withFindings(path string, err error, more []Finding) error {
	before := foundBefore(err)
	var ue *UnsafeError
	var re *refusedError
	switch {
	case errors.As(err, &ue):
		return &UnsafeError{Path: ue.Path, Findings: append(slices.Clip(before), more...)}
	case errors.As(err, &re):
		err = re.err
	}
	return refuse(path, err, append(slices.Clip(before), more...))
}

// findingOf is err about the file at path as a finding.
func findingOf(path string, err error) Finding {
	f := Finding{Rule: RuleIncomplete, Severity: SeverityWarning, Where: path, Detail: err.Error()}
	var fe *FormatError
	if errors.As(err, &fe) {
		f = Finding{Rule: RuleMalformed, Severity: SeverityHigh, Where: fe.Path, Detail: fe.Msg}
		if fe.Off >= 0 {
			f.Where = where(fe.Path, fe.Off)
		}
	}
	if errors.Is(err, ErrIncomplete) || errors.Is(err, ErrUnsupported) {
		f.Rule, f.Severity = RuleIncomplete, SeverityWarning
	}
	return f
}

// isNotExist reports whether err says that a file is missing.
func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
