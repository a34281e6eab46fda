package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/reference"
	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
	"github.com/btu-scan/btu-scan/tokenizer"
)

// The exit codes. Only exitClean and exitFindings are verdicts.
const (
	exitClean       = 0
	exitFindings    = 1 // findings at or over --fail-on
	exitFailed      = 2 // failed or incomplete, also what a Go panic gives
	exitNoVerdict   = 3 // no reference, nothing to compare, evidence missing
	exitUsage       = 4
	exitHungUp      = 128 + 13 // the reader of standard output went away: what a shell calls SIGPIPE
	exitInterrupted = 130
)

// A usageError is a mistake in how the program was called.
type usageError struct{ msg, hint string }

func (e *usageError) Error() string { return e.msg }

func usagef(hint, format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...), hint: hint}
}

// A codeError ends the program with a code after all has been printed.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitCode is the code for an error that ended a command.
func exitCode(err error) int {
	var code codeError
	var child *childError
	var usage *usageError
	var config *arch.ConfigError
	switch {
	case err == nil:
		return exitClean
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &child):
		return child.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case hungUp(err):
		return exitHungUp
	case errors.Is(err, reference.ErrPinMismatch), errors.Is(err, reference.ErrUnsafeCache), errors.Is(err, reference.ErrCorrupt):
		return exitFailed
	case errors.As(err, &config), errors.Is(err, tokenizer.ErrUnsupported), errors.Is(err, tokenizer.ErrNoTokenizer),
		errors.Is(err, reference.ErrNotFound), errors.Is(err, reference.ErrDenied), errors.Is(err, reference.ErrSelf),
		errors.Is(err, loader.ErrNoEmbedding), errors.Is(err, loader.ErrAmbiguousEmbedding), errors.Is(err, scan.ErrDim), errors.Is(err, scan.ErrNoRows):
		return exitNoVerdict
	}
	return exitFailed
}

// hint is what a user can do about err, or "".
func hint(err error) string {
	var usage *usageError
	var child *childError
	switch {
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &child):
		return child.hint
	case errors.Is(err, loader.ErrAmbiguousEmbedding), errors.Is(err, loader.ErrNoEmbedding):
		return "name the matrix with --tensor NAME"
	case errors.Is(err, loader.ErrUnsafe):
		return "do not load this file with torch.load or pickle; ask its maker for safetensors"
	case errors.Is(err, tokenizer.ErrNoTokenizer):
		return "put the model's tokenizer beside it; run takes token ids with --ids, sanitize with --suspects"
	case errors.Is(err, scan.ErrDim):
		return "this is not the model the checkpoint was tuned from; name another with --reference"
	case errors.Is(err, sanitize.ErrOtherState):
		return "remove it, or finish that run with the command that it was started with"
	case errors.Is(err, reference.ErrPinMismatch):
		return "the base is not the one that was reviewed; see btu-scan reference verify"
	}
	return reference.Hint(err)
}

// complain prints err as the program's last word.
func complain(w io.Writer, err error) {
	var code codeError
	if errors.As(err, &code) || hungUp(err) {
		return
	}
	var paused *sanitize.InterruptedError
	if errors.As(err, &paused) {
		fmt.Fprintf(w, "btu-scan: %s\n", printable(paused.Error()))
		if paused.State != "" {
			fmt.Fprintln(w, "btu-scan: hint: the same command goes on from there")
		}
		return
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "btu-scan: interrupted: no verdict")
		return
	}
	fmt.Fprintf(w, "btu-scan: error: %s\n", printable(err.Error()))
	if h := hint(err); h != "" {
		fmt.Fprintf(w, "btu-scan: hint: %s\n", printable(h))
	}
}

// printable keeps the text of files from reaching the terminal as control
// characters; lines stay lines.
func printable(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = report.Plain(line)
	}
	return strings.Join(lines, "\n  ")
}
