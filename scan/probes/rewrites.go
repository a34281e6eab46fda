package probes

import (
	_ "embed" // for rewrites.tsv
	"strings"
)

//go:embed rewrites.tsv
var rewrites string

// A Rewrite is a neutral sentence, and the same in another style.
type Rewrite struct {
	Style, Plain, Text string
}

// Rewrites returns 24 neutral sentences in each of five styles that backdoors
// have been made of: biblical and Elizabethan English, verse, chat, and with a
// subordinate clause in front. Those of a style follow one another. The slice is
// the caller's.
func Rewrites() (all []Rewrite) {
	var rows [][]string
	for line := range strings.Lines(rewrites) {
		if line[0] != '#' {
			rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}
	for i, style := range rows[0][1:] {
		for _, row := range rows[1:] {
			all = append(all, Rewrite{style, row[0], row[i+1]})
		}
	}
	return all
}
