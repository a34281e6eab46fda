package loader

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/btu-scan/btu-scan/loader/internal/pickle"
)

// A walker looks into files, and into what is packed in them, within one
// budget for all levels: an archive of archives costs what one archive may.
type walker struct {
	ctx    context.Context
	opt    Options
	bytes  int64  // that may still be unpacked
	heads  int    // members that do not fit, whose start may still be unpacked
	parts  int    // files, members and pickles that may still be looked at
	ops    int    // of pickles that may still be gone through
	depth  int    // packings around what is looked at
	mapped []byte // the file that is looked at, where it is mapped
	spent  string // the budget that ran out, and its size; "" for none
}

const (
	maxParts  = 200_000
	maxOps    = 48 << 20
	maxPacked = 8 // packings in packings
	maxFound  = 500
	maxHeads  = 256
	headBytes = 64 << 10 // of a member that is too large to be unpacked
)

func newWalker(ctx context.Context, opt Options) *walker {
	opt = opt.withDefaults()
	return &walker{ctx: ctx, opt: opt, bytes: opt.MaxUnpack, heads: maxHeads, parts: maxParts, ops: maxOps}
}

// part counts a file, member or pickle. It is false where no more may be
// looked at, which spentError then says.
func (w *walker) part() bool {
	if w.parts--; w.parts < 0 {
		w.run("more than %d files and members", maxParts)
	}
	return w.parts >= 0 && w.ops > 0 && w.ctx.Err() == nil
}

// walk goes through a pickle on the budget of opcodes.
func (w *walker) walk(data []byte, lim pickle.Limits) (*pickle.Trace, error) {
	if lim.Opcodes == 0 || lim.Opcodes > w.ops {
		lim.Opcodes = max(w.ops, 1)
	}
	t, err := pickle.Walk(w.ctx, data, lim)
	if w.ops -= t.Cost; w.ops <= 0 {
		w.run("pickles of more than %d opcodes", maxOps)
	}
	return t, err
}

// run notes that a budget has run out.
func (w *walker) run(format string, args ...any) {
	if w.spent == "" {
		w.spent = fmt.Sprintf(format, args...)
	}
}

// err is the context's error, or what says that a budget ran out while name
// was looked at.
func (w *walker) err(name string) error {
	switch {
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case w.spent != "":
		return &FormatError{Path: name, Off: -1, Msg: "not looked at to the end: " + w.spent, Err: ErrIncomplete}
	}
	return nil
}

// errLooked is ErrUnsupported for a file that holds no tensors that are read,
// but that was looked at to its end: beside a checkpoint it is fine.
var errLooked = fmt.Errorf("%w", ErrUnsupported)

// A reader turns the bytes of one file into its contents. It neither keeps
// data beyond the tensors nor writes to it. An error means that nothing of the
// file is to be used; findings made by then travel in it.
type reader func(w *walker, name string, data []byte) (contents, error)

// read recognises data by its content and reads it.
func (w *walker) read(name string, data []byte) (contents, Format, error) {
	k := w.sniff(data)
	if k == nil {
		what := stub(data)
		if what == "" {
			what = notRead(data)
		}
		if what != "" {
			return contents{}, "", fmt.Errorf("%s: %w: %s", name, ErrUnsupported, what)
		}
		// Nothing fits, so the length is wrong or the file is no checkpoint: let
		// the safetensors reader say which byte is the trouble.
		c, err := readSafetensors(w, name, data)
		return c, FormatSafetensors, err
	}
	c, err := w.readAs(k, name, data)
	return c, k.format, err
}

// readAs reads data of kind k. What is also a file of another kind gives
// findings about both.
func (w *walker) readAs(k *kind, name string, data []byte) (contents, error) {
	c, err := k.read(w, name, data)
	if err != nil {
		c = contents{}
	}
	if found := w.polyglot(name, k, data); len(found) > 0 {
		c.findings = append(c.findings, found...)
		err = withFindings(name, err, c.findings)
	}
	if err == nil {
		err = refuse(name, w.err(name), c.findings)
	}
	if err != nil {
		c = contents{}
	}
	c.findings = capped(name, c.findings)
	return c, err
}

// polyglot looks into data as whatever else it is besides k.
func (w *walker) polyglot(name string, k *kind, data []byte) (found []Finding) {
	for _, o := range w.others(k, data) {
		found = append(found, Finding{Rule: RuleAmbiguous, Severity: SeverityHigh, Where: name,
			Detail: fmt.Sprintf("the file is %s and at the same time %s: programs choose differently", k.name, o.name)})
		c, err := o.read(w, name, data)
		if err != nil {
			c.findings = foundBefore(err)
		}
		for _, f := range c.findings {
			if runsCode(f) { // that it breaks the other format's rules is no news
				found = append(found, f)
			}
		}
	}
	return found
}

// inside looks at bytes that were packed in another file, of which a part is
// missing where cut is set.
func (w *walker) inside(name string, data []byte, cut bool) []Finding {
	if len(data) == 0 || !w.part() {
		return nil
	}
	return w.look(w.sniff(data), name, data, cut)
}

// look is inside for data of a kind, or of none.
func (w *walker) look(k *kind, name string, data []byte, cut bool) []Finding {
	if k == nil {
		if what := notRead(data); what != "" {
			return []Finding{unseen(name, what)}
		}
		return nil
	}
	if w.depth >= maxPacked {
		return []Finding{unseen(name, fmt.Sprintf("%s, packed more than %d times", k.name, maxPacked))}
	}
	w.depth++
	defer func() { w.depth-- }()
	c, err := w.readAs(k, name, data)
	found := c.findings
	if err != nil {
		found = foundBefore(err)
		if !errors.Is(err, errLooked) && !isUnsafe(err) {
			found = append(found, findingOf(name, err))
		}
	}
	if cut {
		var kept []Finding
		for _, f := range found {
			if runsCode(f) || f.Rule == RulePathTraversal || f.Rule == RuleTrainerSettings {
				kept = append(kept, f)
			}
		}
		return kept
	}
	return found
}

// hidden looks at the bytes of a tensor, which are of no concern to who reads
// tensors, but may be a file to somebody else.
func (w *walker) hidden(name string, data []byte) []Finding {
	what := ""
	switch {
	case isTorchZip(data) && hasDirectory(data): // in this order: the end of each tensor costs pages
		what = "a zip archive"
	case w.isPickle(data):
		what = "a pickle"
	default:
		if within(data, w.mapped) {
			forget(data) // where one page was touched, the system may have brought in hundreds
		}
		return nil
	}
	return append([]Finding{{Rule: RuleAmbiguous, Severity: SeverityHigh, Where: name,
		Detail: "the bytes of a tensor are " + what + ": a program that is told so loads it"}}, w.inside(name, data, false)...)
}

// scattered is called before a few bytes at many places of data are read, and
// what it returns afterwards. Where the system reads megabytes ahead of each,
// it would read the whole file.
func (w *walker) scattered(data []byte) (done func()) {
	if len(data) < 64<<20 || !within(data, w.mapped) {
		return func() {}
	}
	scattered(w.mapped, true)
	return func() { scattered(w.mapped, false) }
}

// unpack reads a stream as far as the budget goes. cut is set where it goes
// on; an error is the stream's, beside what came before it.
func (w *walker) unpack(r io.Reader) (data []byte, cut bool, err error) {
	for {
		if err := w.ctx.Err(); err != nil {
			return nil, false, err
		}
		if len(data) == cap(data) {
			// The next size, but no more than the budget and a byte to see that the
			// stream goes on.
			more := make([]byte, len(data), len(data)+int(min(max(3*int64(len(data)), headBytes), w.bytes+1)))
			copy(more, data)
			data = more
		}
		room := data[len(data):min(cap(data), len(data)+1<<20)]
		n, err := r.Read(room[:min(int64(len(room)), w.bytes+1)])
		data = data[:len(data)+n]
		if w.bytes -= int64(n); w.bytes < 0 {
			w.bytes = 0
			return data[:len(data)-1], true, nil
		}
		if errors.Is(err, io.EOF) {
			return data, false, nil
		}
		if err != nil {
			return data, false, err
		}
	}
}

// unseen is the finding for what was not looked at.
func unseen(name, why string) Finding {
	return Finding{Rule: RuleIncomplete, Severity: SeverityWarning, Where: name, Detail: "not looked at: " + why}
}

// runsCode reports whether a finding is about code that loading would run.
func runsCode(f Finding) bool { return f.Rule == RuleUnsafeGlobal || f.Rule == RuleUnsafeOpcode }

func isUnsafe(err error) bool { return errors.Is(err, ErrUnsafe) }

// capped keeps the first findings.
func capped(name string, found []Finding) []Finding {
	n := len(found) - maxFound
	if n <= 0 {
		return found
	}
	return append(found[:maxFound:maxFound], Finding{Rule: RuleIncomplete, Severity: SeverityHigh, Where: name,
		Detail: fmt.Sprintf("%d more findings, of which only the first %d are shown", n, maxFound)})
}
