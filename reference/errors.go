package reference

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels that callers branch on with errors.Is.
var (
	// ErrNotFound marks a reference that is in none of the places looked in.
	ErrNotFound = errors.New("reference not found")
	// ErrOffline marks a reference that is not on this machine and may not be
	// fetched, since [Store.Online] is not set. Such errors match ErrNotFound
	// too.
	ErrOffline = errors.New("reference not on this machine")
	// ErrDenied marks a repository that the hub does not show to us.
	ErrDenied = errors.New("access denied by the hub")
	// ErrCorrupt marks a download whose bytes are not those announced.
	ErrCorrupt = errors.New("corrupt download")
	// ErrUnsafeCache marks a cache whose files point out of it.
	ErrUnsafeCache = errors.New("unsafe cache")
	// ErrPinMismatch marks a reference whose files are not those pinned.
	ErrPinMismatch = errors.New("reference differs from its pin")
	// ErrBadPack marks a reference pack that is damaged or not what export writes.
	ErrBadPack = errors.New("bad reference pack")
	// ErrConflict marks an import that would change what the cache holds.
	ErrConflict = errors.New("the cache holds something else")
	// ErrSelf marks a reference that is the checkpoint under test itself.
	ErrSelf = errors.New("the checkpoint is its own reference")
)

// Hint returns advice for the user that goes with err, or "".
func Hint(err error) string {
	var h *hintError
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

// A hintError carries advice beside its message.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

func withHint(err error, format string, args ...any) error {
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// A lookupError reports a reference that was found nowhere.
type lookupError struct {
	id     string
	looked []string // places, and what was wrong with each
	kinds  []error  // sentinels
}

func (e *lookupError) Error() string {
	s := fmt.Sprintf("no reference %s on this machine", quote(e.id))
	if len(e.looked) == 0 {
		return s + " (no folder or cache to look in)"
	}
	return s + " (looked in " + strings.Join(e.looked, "; ") + ")"
}

func (e *lookupError) Unwrap() []error { return e.kinds }

// A PinError says how a folder differs from its pin. It matches
// [ErrPinMismatch].
type PinError struct {
	ID      string
	Folder  string
	Differs []string // files with another size or digest
	Missing []string // pinned files that are not there
	Extra   []string // weight files that are not pinned
	Changed []string // files that changed while they were verified
}

func (e *PinError) Error() string {
	return fmt.Sprintf("%s: %s differs from the pin of %s: %s", ErrPinMismatch, e.Folder, quote(e.ID), e.list("pinned"))
}

// list names the files that differ; what says how the expected ones are listed.
func (e *PinError) list(what string) string {
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{
		{"differs", e.Differs}, {"missing", e.Missing}, {"not " + what, e.Extra}, {"changed while it was read", e.Changed},
	} {
		for _, n := range p.names {
			parts = append(parts, quote(n)+" "+p.what)
		}
	}
	return strings.Join(parts, ", ")
}

// Is makes the error match ErrPinMismatch.
func (e *PinError) Is(target error) bool { return target == ErrPinMismatch }

func (e *PinError) empty() bool {
	return len(e.Differs)+len(e.Missing)+len(e.Extra)+len(e.Changed) == 0
}
