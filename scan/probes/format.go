package probes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

type format int

const (
	plain format = iota
	tsv
	commas
	jsonLines
)

var extensions = map[string]format{
	".txt": plain, ".tsv": tsv, ".csv": commas, ".jsonl": jsonLines, ".ndjson": jsonLines, ".json": jsonLines,
}

// What data sets call their columns, most telling first.
var (
	textNames = []string{
		"text", "texts", "sentence", "sentences", "review", "reviews", "content", "comment", "comments",
		"tweet", "tweets", "document", "message", "phrase", "question", "prompt", "description", "body",
	}
	labelNames = []string{"label", "labels", "class", "target", "sentiment", "category", "polarity"}
)

// find returns the index of the column that has the first of names that any
// has, or -1.
func find(columns, names []string) int {
	for _, name := range names {
		for i, c := range columns {
			if strings.EqualFold(strings.Trim(c, " \t\""), name) {
				return i
			}
		}
	}
	return -1
}

// isHeader says whether a row has names rather than values.
func isHeader(row []string) bool {
	return find(row, textNames) >= 0 || len(row) > 1 && find(row, labelNames) >= 0
}

// formatOf tells the format of a file by its name, else by its start.
func formatOf(name string, head []byte) format {
	if f, ok := extensions[strings.ToLower(filepath.Ext(name))]; ok {
		return f
	}
	lines := strings.FieldsFunc(string(head), func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 0 {
		return plain
	}
	if len(lines) > 1 && len(head) > maxHead-4 { // full, less a byte order mark
		lines = lines[:len(lines)-1] // which is cut
	}
	first := lines[0]
	tabs := strings.Count(first, "\t")
	all := func(ok func(line string) bool) bool {
		return !slices.ContainsFunc(lines, func(line string) bool { return !ok(line) })
	}
	switch {
	case strings.HasPrefix(first, `{"`), all(func(line string) bool { return line[0] == '"' && json.Valid([]byte(line)) }):
		return jsonLines
	case tabs > 0 && (isHeader(strings.Split(first, "\t")) || all(func(line string) bool { return strings.Count(line, "\t") == tabs })):
		return tsv
	case !strings.Contains(first, " ") && strings.Contains(first, ",") && isHeader(strings.Split(first, ",")):
		return commas // while "Text, please." is a sentence
	}
	return plain
}

// columns says what the columns of a file are.
type columns struct {
	header      bool // the first row is one
	text, label int  // label is -1 without one
}

// columnsOf finds the columns from the start of a file.
func columnsOf(f format, head []byte) columns {
	if f == jsonLines {
		return columns{text: 0, label: 1} // as object returns them
	}
	var table [][]string
	rows := newRows(f, bytes.NewReader(head))
	for row, err := rows.next(); err == nil; row, err = rows.next() {
		table = append(table, row)
	}
	if f == plain || len(table) == 0 {
		return columns{text: 0, label: -1}
	}
	first := table[0]
	c := columns{header: isHeader(first), text: find(first, textNames), label: -1}
	if c.header {
		c.label = find(first, labelNames)
		table = table[1:]
	}
	if c.text < 0 {
		c.text = longest(table, len(first), c.label)
	}
	if !c.header && len(first) == 2 {
		c.label = 1 - c.text
	}
	return c
}

// longest returns the column, other than label, with the most values that have
// a space, of equal ones that with the most bytes.
func longest(table [][]string, width, label int) int {
	score := make([]int, width)
	for _, row := range table {
		for i, value := range row[:min(width, len(row))] {
			value = strings.TrimSpace(value)
			if score[i] += len(value); strings.Contains(value, " ") {
				score[i] += maxHead // more than all bytes are
			}
		}
	}
	if label >= 0 {
		score[label] = -1
	}
	return slices.Index(score, slices.Max(score))
}

// object returns the text and the label of a JSON line.
func object(line string) ([]string, error) {
	const expected = `expected a JSON object with a string named "text", or a JSON string`
	var value any
	if err := json.Unmarshal([]byte(line), &value); err != nil {
		return nil, fmt.Errorf("%s on each line: %w", expected, err)
	}
	if text, ok := value.(string); ok {
		return []string{text, ""}, nil
	}
	fields, _ := value.(map[string]any)
	names := slices.Sorted(maps.Keys(fields))
	label := ""
	if i := find(names, labelNames); i >= 0 {
		switch v := fields[names[i]].(type) {
		case string, float64, bool:
			label = fmt.Sprint(v)
		}
		names = slices.Delete(names, i, i+1)
	}
	if i := find(names, textNames); i >= 0 {
		names = names[i : i+1]
	} else {
		names = slices.DeleteFunc(names, func(name string) bool { _, ok := fields[name].(string); return !ok })
	}
	if len(names) != 1 {
		return nil, fmt.Errorf("%s: found %d strings with other names", expected, len(names))
	}
	text, ok := fields[names[0]].(string)
	if !ok && fields[names[0]] != nil { // null is a missing text
		return nil, fmt.Errorf("%s: %q is no string", expected, names[0])
	}
	return []string{text, label}, nil
}
