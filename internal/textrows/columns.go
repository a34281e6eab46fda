package textrows

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
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
// has, or -1. A column that is written alike goes before others.
func find(columns, names []string) int {
	for _, name := range names {
		for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
			if i := slices.IndexFunc(columns, func(c string) bool { return same(strings.Trim(c, " \t\""), name) }); i >= 0 {
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
func columnsOf(f format, head []byte, opt Options) (columns, error) {
	if f == jsonLines {
		return columns{text: 0, label: 1}, nil // as object returns them
	}
	var table [][]string
	rows := newLines(f, bytes.NewReader(head), Options{MaxBytes: len(head)})
	line := 0 // of the first row
	for row, err := rows.next(); err == nil; row, err = rows.next() {
		if table = append(table, row); line == 0 {
			line = rows.start
		}
	}
	if len(table) == 0 {
		if opt.Text+opt.Label != "" && len(bytes.TrimSpace(head)) > 0 {
			return columns{}, errors.New("the columns cannot be told: the first row is too long or broken")
		}
		return columns{text: 0, label: -1}, nil
	}
	first := table[0]
	c := columns{header: f != plain && isHeader(first), text: -1, label: -1}
	for _, want := range []struct {
		name string
		at   *int
	}{{opt.Text, &c.text}, {opt.Label, &c.label}} {
		if want.name == "" {
			continue
		}
		i, named := column(first, want.name)
		if i < 0 {
			return c, fmt.Errorf("line %d: no column %q: the first row has %s", line, want.name, listed(first))
		}
		*want.at = i
		c.header = c.header || named
	}
	if c.text >= 0 && c.text == c.label {
		return c, fmt.Errorf("column %d cannot be both the text and the label", c.text+1)
	}
	if c.header {
		if c.text < 0 {
			if c.text = find(first, textNames); c.text == c.label {
				c.text = -1
			}
		}
		if c.label < 0 {
			if c.label = find(first, labelNames); c.label == c.text {
				c.label = -1
			}
		}
		table = table[1:]
	}
	if c.text < 0 {
		if len(first) == 1 && c.label == 0 {
			return c, errors.New("the only column cannot be both the text and the label")
		}
		c.text = longest(table, len(first), c.label)
	}
	if !c.header && c.label < 0 && len(first) == 2 {
		c.label = 1 - c.text
	}
	return c, nil
}

// column returns the column of a first row that is called name, or that the
// number name counts from 1, and whether it was the name.
func column(first []string, name string) (at int, named bool) {
	if i := find(first, []string{name}); i >= 0 {
		return i, true
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(first) {
		return n - 1, false
	}
	return -1, false
}

// listed shows the cells of a first row in a message.
func listed(first []string) string {
	var names []string
	for i, c := range first {
		if i == 8 {
			names = append(names, "...")
			break
		}
		if r := []rune(c); len(r) > 30 {
			c = string(r[:30]) + "..."
		}
		names = append(names, strconv.Quote(c))
	}
	return strings.Join(names, ", ")
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
func object(line string, opt Options) ([]string, error) {
	key := cmp.Or(opt.Text, "text")
	expected := fmt.Sprintf("expected a JSON object with a string named %q", key)
	if opt.Text == "" && opt.Label == "" {
		expected += ", or a JSON string"
	}
	var value any
	if err := json.Unmarshal([]byte(line), &value); err != nil {
		return nil, fmt.Errorf("%s on each line: %w", expected, err)
	}
	if text, ok := value.(string); ok && opt.Text == "" && opt.Label == "" {
		return []string{text, ""}, nil
	}
	fields, _ := value.(map[string]any)
	names := slices.Sorted(maps.Keys(fields))
	labels, texts := labelNames, textNames
	if opt.Label != "" {
		labels = []string{opt.Label}
	}
	if opt.Text != "" {
		texts = []string{opt.Text}
	}
	label := ""
	if i := find(names, labels); i >= 0 && names[i] != opt.Text {
		switch v := fields[names[i]].(type) {
		case string, float64, bool:
			label = fmt.Sprint(v)
		}
		names = slices.Delete(names, i, i+1)
	}
	if i := find(names, texts); i >= 0 {
		names = names[i : i+1]
	} else if opt.Text == "" {
		names = slices.DeleteFunc(names, func(name string) bool { _, ok := fields[name].(string); return !ok })
	} else {
		names = nil
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
