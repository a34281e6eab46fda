package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/btu-scan/btu-scan/reference"
	"github.com/btu-scan/btu-scan/scan/report"
)

// A progress tells of long work: it keeps one line of a terminal up to date, or
// writes events for programs. The line is silent where standard error is no
// terminal, and until the work takes long enough to wonder.
type progress struct {
	w     io.Writer         // nil: no line
	tell  func(text string) // is told each stage. Optional.
	mu    sync.Mutex
	text  string
	start time.Time
	shown bool
	quit  chan struct{}
	wg    sync.WaitGroup
}

const (
	progressAfter = 400 * time.Millisecond
	progressEvery = 100 * time.Millisecond
)

func (a *app) progress(quiet bool) *progress {
	p := &progress{start: time.Now(), quit: make(chan struct{})}
	if quiet || !terminal(a.stderr) || a.getenv("TERM") == "dumb" {
		return p
	}
	p.w = a.stderr
	p.wg.Go(p.loop)
	return p
}

func (p *progress) loop() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			if time.Since(p.start) < progressAfter {
				continue
			}
			p.mu.Lock()
			fmt.Fprintf(p.w, "\r\x1b[K%s (%.0f s)", report.Plain(p.text), time.Since(p.start).Seconds())
			p.shown = true
			p.mu.Unlock()
		}
	}
}

// stage says what is going on now.
func (p *progress) stage(text string) {
	p.mu.Lock()
	p.text = text
	p.mu.Unlock()
	if p.tell != nil {
		p.tell(text)
	}
}

// bytes says how far a download or a verification is.
func (p *progress) bytes(x reference.Progress) {
	text := fmt.Sprintf("%s: %.1f MB", x.File, float64(x.Done)/1e6)
	if x.Total > 0 {
		text += fmt.Sprintf(" of %.1f MB, %d %%", float64(x.Total)/1e6, 100*x.Done/x.Total)
	}
	p.stage(text)
}

// eta says how long something will take that is done to a part.
func eta(began time.Time, done, total int) string {
	if done < total/20 || done == 0 {
		return ""
	}
	left := time.Duration(float64(time.Since(began)) * float64(total-done) / float64(done))
	return fmt.Sprintf(", about %v left", left.Round(time.Second))
}

// done takes the line away.
func (p *progress) done() {
	close(p.quit)
	p.wg.Wait()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// withProgress calls f with a progress line that is gone when it returns.
func (a *app) withProgress(quiet bool, f func(p *progress) error) error {
	p := a.progress(quiet)
	defer p.done()
	return f(p)
}
