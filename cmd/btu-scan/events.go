package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// How --progress tells of long work.
const (
	progressAuto = "auto" // a line, on a terminal
	progressNone = "none"
	progressJSON = "json" // events, a line each
)

// An event is a line of --progress json on standard error.
type event struct {
	Event   string  `json:"event"` // start, stage, error or done
	Model   string  `json:"model"`
	Seconds float64 `json:"seconds"` // since the scan of the model began

	Text string `json:"text,omitempty"` // stage, error
	Hint string `json:"hint,omitempty"` // error
	Kind string `json:"kind,omitempty"` // error: malformed, where the file is at fault

	Verdict  string `json:"verdict,omitempty"`   // done
	ExitCode *int   `json:"exit_code,omitempty"` // done, error
}

// kindMalformed is the Kind of an error about a file that is not well-formed.
const kindMalformed = "malformed"

// events writes events, whole lines at a time, from several goroutines.
type events struct {
	mu sync.Mutex
	w  io.Writer
}

func (e *events) write(x event) {
	line, err := report.JSON(x, "")
	if err != nil {
		return // a NaN of seconds, which there is none
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = e.w.Write(line) // whoever closes standard error does not want to know
}

// stages returns a function that writes an event for each stage of a model's
// scan that lasts.
func (e *events) stages(model string) func(text string) {
	began, last := time.Now(), time.Time{}
	var mu sync.Mutex
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(last) < progressEvery {
			return
		}
		last = now
		e.write(event{Event: "stage", Model: model, Text: text, Seconds: seconds(now.Sub(began))})
	}
}

// failed writes an event for an error.
func (e *events) failed(model string, began time.Time, err error) {
	code := exitCode(err)
	x := event{Event: "error", Model: model, Text: err.Error(), Hint: hint(err), ExitCode: &code, Seconds: seconds(time.Since(began))}
	if malformed(err) {
		x.Kind = kindMalformed
	}
	e.write(x)
}

// scanTelling is a scan that tells of itself in events, of its errors too.
func (a *app) scanTelling(ctx context.Context, path string, f scanFlags) error {
	ev, began := &events{w: a.stderr}, time.Now()
	ev.write(event{Event: "start", Model: path})
	f.tell = ev.stages(path)
	done := event{Event: "done", Model: path}
	f.result = func(r *scan.Report, failure error) {
		done.Verdict = string(r.Verdict)
		if failure != nil {
			ev.failed(path, began, failure)
		}
	}
	err := a.scanOne(ctx, path, f)
	var code codeError
	if err != nil && !errors.As(err, &code) {
		ev.failed(path, began, err)
		err = codeError(exitCode(err))
	}
	last := exitCode(err)
	done.ExitCode, done.Seconds = &last, seconds(time.Since(began))
	ev.write(done)
	return err
}

// malformed reports whether err is about a file that is not well-formed.
func malformed(err error) bool {
	var format *loader.FormatError
	var child *childError
	return errors.As(err, &format) || errors.As(err, &child) && child.malformed
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
