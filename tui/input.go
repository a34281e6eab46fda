package tui

import (
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/btu-scan/btu-scan/scan/report"
)

// A lineInput is a line that the user types. It is not bubbles' textinput, which
// starts programs to read the clipboard.
type lineInput struct {
	value []rune
	at    int
}

const maxInput = 2000 // characters

func (in *lineInput) set(s string) {
	in.value = []rune(s)
	in.at = len(in.value)
}

func (in *lineInput) String() string { return string(in.value) }

func (in *lineInput) insert(s string) {
	var more []rune
	for _, r := range strings.ToValidUTF8(s, "") {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		more = append(more, r)
	}
	more = more[:min(len(more), max(0, maxInput-len(in.value)))]
	in.value = append(in.value[:in.at:in.at], append(more, in.value[in.at:]...)...)
	in.at += len(more)
}

// key edits the line, and reports whether it knew the key.
func (in *lineInput) key(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		in.at = max(0, in.at-1)
	case "right", "ctrl+f":
		in.at = min(len(in.value), in.at+1)
	case "home", "ctrl+a":
		in.at = 0
	case "end", "ctrl+e":
		in.at = len(in.value)
	case "backspace", "ctrl+h":
		if in.at > 0 {
			in.value = append(in.value[:in.at-1:in.at-1], in.value[in.at:]...)
			in.at--
		}
	case "delete", "ctrl+d":
		if in.at < len(in.value) {
			in.value = append(in.value[:in.at:in.at], in.value[in.at+1:]...)
		}
	case "ctrl+u":
		in.value, in.at = in.value[in.at:], 0
	case "ctrl+k":
		in.value = in.value[:in.at]
	case "ctrl+w":
		head := strings.TrimRight(string(in.value[:in.at]), " ")
		head = head[:strings.LastIndexByte(head, ' ')+1]
		in.value = append([]rune(head), in.value[in.at:]...)
		in.at = utf8.RuneCountInString(head)
	default:
		if k.Text == "" {
			return false
		}
		in.insert(k.Text)
	}
	return true
}

// Render shows the line with its cursor, the part around it if it is long.
func (in *lineInput) Render(w int, active bool) string {
	before, after := report.Plain(string(in.value[:in.at])), report.Plain(string(in.value[in.at:]))
	if !active {
		return fit(before+after, w)
	}
	cursor := " "
	if r, size := utf8.DecodeRuneInString(after); size > 0 {
		cursor, after = string(r), after[size:]
	}
	ahead := 1 + min(8, w/5) // the cursor, and what is seen behind it
	if over := ansi.StringWidth(before) - max(1, w-ahead); over > 0 {
		before = ansi.TruncateLeft(before, over+1, "…")
	}
	return fit(before+selected.Render(cursor)+after, w)
}
