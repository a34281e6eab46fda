package tui

import (
	"context"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/btu-scan/btu-scan/scan"
)

// crew counts the goroutines that work, so that Run can wait for them.
type crew struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// cmd is a command that close waits for once it runs.
func (c *crew) cmd(f func() tea.Msg) tea.Cmd {
	return func() tea.Msg {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil
		}
		c.wg.Add(1)
		c.mu.Unlock()
		defer c.wg.Done()
		return f()
	}
}

func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wg.Wait()
}

// A job is one kind of work, of which one runs at a time: what an earlier run
// says is stale.
type job struct {
	run    int
	busy   bool
	began  time.Time
	cancel context.CancelFunc
}

// start cancels the run before and returns the number and context of a new one.
func (j *job) start(ctx context.Context) (int, context.Context) {
	if j.cancel != nil {
		j.cancel()
	}
	ctx, j.cancel = context.WithCancel(ctx)
	j.run++
	j.busy, j.began = true, time.Now()
	return j.run, ctx
}

// end takes note of a run's end, and reports whether it is the current one.
func (j *job) end(run int) bool {
	if run != j.run || !j.busy {
		return false
	}
	j.busy = false
	j.cancel()
	return true
}

// stop cancels the run; its result still comes.
func (j *job) stop() {
	if j.busy {
		j.cancel()
	}
}

// A mailbox holds the latest progress until the screen is drawn again: however
// often a worker tells, it is looked at ten times a second.
type mailbox struct {
	mu    sync.Mutex
	p     Progress
	fresh bool
}

func (b *mailbox) put(p Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Report == nil {
		p.Report = b.p.Report
	}
	b.p, b.fresh = p, true
}

// take returns what is new since the last time.
func (b *mailbox) take() (stage string, r *scan.Report, fresh bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stage, r, fresh = b.p.Stage, b.p.Report, b.fresh
	b.p.Report, b.fresh = nil, false
	return stage, r, fresh
}

// How often progress is looked at, and how long typing rests before the model is
// asked.
const (
	tickEvery   = 100 * time.Millisecond
	typingPause = 150 * time.Millisecond
)

type tickMsg struct{}

func (m *model) tickLater() tea.Cmd {
	return tea.Tick(m.tickEvery, func(time.Time) tea.Msg { return tickMsg{} })
}
