package report

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// cells measures text as terminals show it. Characters of ambiguous width
// count as one cell, as nearly all terminals in UTF-8 have it: the package's
// own default would follow the locale.
var cells = &runewidth.Condition{StrictEmojiNeutral: true}

func displayWidth(s string) int { return cells.StringWidth(s) }

// head returns the longest start of s that fits in width cells. It adds up
// characters, so that where a terminal joins some of them the start is rather
// too short than too long.
func head(s string, width int) string {
	for i, r := range s {
		if width -= cells.RuneWidth(r); width < 0 {
			return s[:i]
		}
	}
	return s
}

// fits reports whether s fits in width cells. It looks at no more of s than that.
func fits(s string, width int) bool { return len(head(s, width)) == len(s) }

// shorten cuts s to width cells, the last of them an ellipsis. The closing
// quote of a quoted text stays.
func shorten(s string, width int) string {
	if displayWidth(s) <= width {
		return s
	}
	if n := len(s) - 1; n > 0 && s[0] == '"' && s[n] == '"' && width > 2 {
		return head(s[:n], width-2) + `…"`
	}
	return head(s, width-1) + "…"
}

// pad fills s with spaces to width cells.
func pad(s string, width int, right bool) string {
	fill := strings.Repeat(" ", max(0, width-displayWidth(s)))
	if right {
		return fill + s
	}
	return s + fill
}

// wrap breaks text into lines at spaces, and words that are too long for a
// line anywhere. The first line has first cells, the others rest.
func wrap(text string, first, rest int) (lines []string) {
	room := max(first, 2) // of a wide character
	for line := ""; ; {
		word, more, found := strings.Cut(text, " ")
		switch joined := line + word; {
		case fits(joined, room):
			if line = joined + " "; !found {
				return append(lines, joined)
			}
			text = more
			continue
		case strings.TrimSpace(line) != "" && (fits(word, rest) || displayWidth(line) > room-2):
			lines, line = append(lines, strings.TrimRight(line, " ")), ""
		default:
			part := head(word, room-displayWidth(line))
			lines, text, line = append(lines, line+part), text[len(part):], ""
		}
		room = max(rest, 2)
	}
}
