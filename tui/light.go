package tui

import (
	"regexp"
	"strings"
)

// Of the terminal's 16 colours green, yellow and cyan are hard to read on white
// in many palettes. These of the 256 are dark enough there; red is, as it is.
var onWhite = map[string]string{"32": "38;5;28", "33": "38;5;130", "36": "38;5;25"}

var styleSequence = regexp.MustCompile("\x1b\\[[0-9;]*m")

// forLight is a drawn screen in colours for a light background. The terminal's
// own are kept on a dark one, where themes are made for them.
func forLight(s string) string {
	return styleSequence.ReplaceAllStringFunc(s, func(seq string) string {
		params := strings.Split(seq[2:len(seq)-1], ";")
		for i, p := range params {
			if darker, ok := onWhite[p]; ok {
				params[i] = darker
			}
		}
		return "\x1b[" + strings.Join(params, ";") + "m"
	})
}
