// Command picture turns the coloured output of a terminal program on standard
// input into an SVG on standard output, for the README. See make picture.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"html"
	"log"
	"os"
	"regexp"
	"strings"
)

const (
	charWidth, lineHeight = 8.4, 19.0
	margin                = 16.0
)

var escape = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// styles are the parts of SGR that btu-scan uses.
var styles = map[string]string{
	"1": "font-weight:bold", "2": "fill:#8b949e", "31": "fill:#ff7b72", "32": "fill:#7ee787", "33": "fill:#e3b341", "36": "fill:#79c0ff",
}

func main() {
	log.SetFlags(0)
	command := flag.String("command", "", "what was typed, shown as the first line")
	flag.Parse()
	lines := []string{"\x1b[32m$\x1b[0m " + *command, ""}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
	columns := 0
	for _, l := range lines {
		columns = max(columns, len([]rune(escape.ReplaceAllString(l, ""))))
	}
	w, h := 2*margin+charWidth*float64(columns), 2*margin+lineHeight*float64(len(lines))
	fmt.Printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f">`+"\n", w, h, w, h)
	fmt.Println(`<rect width="100%" height="100%" rx="8" fill="#0d1117"/>`)
	fmt.Println(`<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="#e6edf3" xml:space="preserve">`)
	for i, l := range lines {
		fmt.Printf(`<text x="%.0f" y="%.0f" textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n", margin, margin+lineHeight*(float64(i)+0.75),
			charWidth*float64(len([]rune(escape.ReplaceAllString(l, "")))), spans(l))
	}
	fmt.Println("</g>\n</svg>")
}

// spans is one line with its colours.
func spans(line string) string {
	var b strings.Builder
	var on []string
	emit := func(text string) {
		if text == "" {
			return
		}
		text = strings.ReplaceAll(html.EscapeString(text), " ", "\u00a0")
		if len(on) == 0 {
			b.WriteString(text)
			return
		}
		fmt.Fprintf(&b, `<tspan style="%s">%s</tspan>`, strings.Join(on, ";"), text)
	}
	at := 0
	for _, m := range escape.FindAllStringSubmatchIndex(line, -1) {
		emit(line[at:m[0]])
		at = m[1]
		for code := range strings.SplitSeq(line[m[2]:m[3]], ";") {
			if s, ok := styles[code]; ok {
				on = append(on, s)
			} else {
				on = nil
			}
		}
	}
	emit(line[at:])
	return b.String()
}
