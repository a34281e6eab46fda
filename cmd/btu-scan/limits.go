package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/scan"
)

// limitFlags bound what the scan of one model may take.
type limitFlags struct {
	timeout time.Duration // 0: none
	memory  byteSize      // 0: none
}

// leastMemory is the least bound of memory: below it the program itself does not fit.
const leastMemory = 64e6

func (f *limitFlags) register(fs *pflag.FlagSet) {
	fs.DurationVar(&f.timeout, "timeout", 0, "end the scan of a model after `TIME`, such as 5m, as unfinished")
	fs.Var(&f.memory, "max-memory", "end it where it needs more than `SIZE`, such as 2GB, beside the mapped files")
}

func (f *limitFlags) set() bool { return f.timeout > 0 || f.memory > 0 }

func (f *limitFlags) check() error {
	if f.timeout < 0 {
		return usagef("", "--timeout %v: a time such as 5m", f.timeout)
	}
	if f.memory > 0 && f.memory < leastMemory {
		return usagef("", "--max-memory %s: at least %s", f.memory, byteSize(leastMemory))
	}
	return nil
}

// A byteSize is a flag such as 512MB or 2GiB.
type byteSize uint64

func (s *byteSize) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<62 {
		return errors.New("want a size such as 512MB or 2GiB")
	}
	*s = byteSize(n)
	return nil
}

func (s *byteSize) Type() string { return "size" }

// String is what Set reads, without loss.
func (s byteSize) String() string {
	switch {
	case s == 0:
		return ""
	case s%1e6 == 0:
		return fmt.Sprintf("%dMB", s/1e6)
	case s%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", s>>20)
	}
	return fmt.Sprintf("%dB", uint64(s))
}

// A limitError says which limit of the user's ended a scan.
type limitError struct{ flag, limit string }

func (e *limitError) Error() string {
	return fmt.Sprintf("the scan was ended by %s %s: it is unfinished", e.flag, e.limit)
}

// finding is the error as one about the files at path.
func (e *limitError) finding(path string) scan.Unsafe {
	return scan.Unsafe{Rule: loader.RuleIncomplete, Severity: scan.SeverityWarning, Where: path, Detail: e.Error()}
}

func (f *limitFlags) timedOut() *limitError { return &limitError{"--timeout", f.timeout.String()} }
func (f *limitFlags) full() *limitError     { return &limitError{"--max-memory", f.memory.String()} }

// memoryEvery is how often the memory is looked at. Pages are taken at no more
// than some GB a second.
const memoryEvery = 5 * time.Millisecond

// within returns a context that ends, with a *limitError as its cause, where a
// limit is hit.
func (f *limitFlags) within(ctx context.Context) (limited context.Context, stop func()) {
	if !f.set() {
		return ctx, func() {}
	}
	limited, cancel := context.WithCancelCause(ctx)
	var undo []func()
	if f.timeout > 0 {
		timer := time.AfterFunc(f.timeout, func() { cancel(f.timedOut()) })
		undo = append(undo, func() { timer.Stop() })
	}
	if f.memory > 0 {
		limit := uint64(f.memory)
		before := debug.SetMemoryLimit(int64(limit / 10 * 9)) // #nosec G115 -- Set bounds it
		undo = append(undo, func() { debug.SetMemoryLimit(before) })
		go watchMemory(limited, limit, func() { cancel(f.full()) })
	}
	return limited, func() {
		cancel(nil)
		for _, f := range undo {
			f()
		}
	}
}

// watchMemory calls over once the program holds more than limit bytes. It
// returns when it has, or when ctx ends.
func watchMemory(ctx context.Context, limit uint64, over func()) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if memoryHeld() > limit {
				over()
				return
			}
		}
	}
}

// memoryHeld is how many bytes the program holds, without mapped files.
func memoryHeld() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// limitOf is the limit that ended ctx, or nil.
func limitOf(ctx context.Context) *limitError {
	var limit *limitError
	errors.As(context.Cause(ctx), &limit)
	return limit
}
