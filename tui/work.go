package tui

import (
	"context"
	"maps"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
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
	if b.p.Tried != nil {
		maps.Copy(b.p.Tried, p.Tried)
		p.Tried = b.p.Tried
	}
	b.p, b.fresh = p, true
}

// take returns what is new since the last time.
func (b *mailbox) take() (p Progress, fresh bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, fresh = b.p, b.fresh
	b.p.Report, b.p.Tried, b.fresh = nil, nil, false
	return p, fresh
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
