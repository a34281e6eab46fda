package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a configuration. A thousand suppressions take 200 kB.
const (
	MaxConfig  = 256 << 10 // bytes
	maxDepth   = 8         // of lists and maps in flow style
	maxIndent  = 64        // columns: in block style each level takes at least one
	maxEntries = 10_000
)

// An Error is a mistake in a configuration.
type Error struct {
	Path      string
	Line, Col int // from 1; 0 where the whole file is meant
	Msg       string
	Hint      string // what to do; may be ""
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Col, e.Msg)
}

// A node is a value of the file, without what YAML has beyond lists and maps of
// texts. Scalars are texts: what they mean is up to their key.
type node struct {
	line, col int
	kind      kind
	text      string  // of a scalar
	items     []*node // of a list
	fields    []field // of a map, in the order of the file
}

type kind int

const (
	null kind = iota
	scalar
	list
	mapping
)

func (k kind) String() string { return [...]string{"nothing", "a single value", "a list", "a map"}[k] }

type field struct {
	key       string
	line, col int
	value     *node
}

// A reader turns one file into nodes and notes the first mistake.
type reader struct {
	path string
	left int // values that may still come
}

func (r *reader) errorf(n *node, format string, args ...any) *Error {
	return &Error{Path: r.path, Line: n.line, Col: n.col, Msg: fmt.Sprintf(format, args...)}
}

func (r *reader) at(t *token.Token, format string, args ...any) *Error {
	e := &Error{Path: r.path, Msg: fmt.Sprintf(format, args...)}
	if t != nil && t.Position != nil {
		e.Line, e.Col = t.Position.Line, t.Position.Column
	}
	return e
}

// read parses data. An empty file is an empty map.
func (r *reader) read(data []byte) (n *node, err error) {
	if len(data) > MaxConfig {
		return nil, &Error{Path: r.path, Msg: fmt.Sprintf("the file is larger than %d kB", MaxConfig>>10)}
	}
	defer func() { // a bug of the parser must not end the scan of a hostile folder
		if p := recover(); p != nil {
			n, err = nil, &Error{Path: r.path, Msg: "this is no YAML that can be read"}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := r.bounds(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			return nil, r.at(syntax.Token, "%s", syntax.Message)
		}
		return nil, &Error{Path: r.path, Msg: "this is no YAML that can be read"}
	}
	r.left = maxEntries
	n = &node{line: 1, col: 1, kind: mapping}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			return nil, r.at(doc.Start, "a second document; one is read")
		}
		if doc.Body == nil {
			continue
		}
		if n, err = r.node(doc.Body); err != nil {
			return nil, err
		}
	}
	if n.kind == null {
		n.kind = mapping
	}
	return n, nil
}

// bounds refuses, before anything recurses over it, what nests too deeply and
// what a list of settings has no use for.
func (r *reader) bounds(tokens token.Tokens) error {
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return r.at(t, "anchors and aliases are not read: write the value out")
		case token.TagType, token.DirectiveType, token.MappingKeyType:
			return r.at(t, "%q is not read: only lists and maps of plain values are", strings.TrimSpace(t.Value))
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		column := 0
		if t.Type == token.SequenceEntryType {
			column = t.Position.Column
		} else if t.Type == token.MappingValueType && depth <= 0 && t.Prev != nil {
			column = t.Prev.Position.Column
		}
		if depth > maxDepth || column > maxIndent {
			return r.at(t, "nested too deeply")
		}
	}
	return nil
}

func (r *reader) node(a ast.Node) (*node, error) {
	if r.left--; r.left < 0 {
		return nil, r.at(a.GetToken(), "more than %d values", maxEntries)
	}
	n := &node{}
	if t := a.GetToken(); t != nil && t.Position != nil {
		n.line, n.col = t.Position.Line, t.Position.Column
	}
	var err error
	switch a := a.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		err = r.mapping(n, a.Values)
	case *ast.MappingValueNode:
		err = r.mapping(n, []*ast.MappingValueNode{a})
	case *ast.SequenceNode:
		n.kind = list
		for _, v := range a.Values {
			item, err := r.node(v)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case *ast.StringNode:
		n.kind, n.text = scalar, a.Value
	case *ast.LiteralNode:
		n.kind, n.text = scalar, strings.TrimRight(a.Value.Value, "\n")
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = scalar, a.GetToken().Value
	default:
		err = r.errorf(n, "only lists and maps of plain values are read")
	}
	return n, err
}

func (r *reader) mapping(n *node, values []*ast.MappingValueNode) error {
	n.kind = mapping
	for i, v := range values {
		k, err := r.node(v.Key)
		if err != nil {
			return err
		}
		if i == 0 { // the library gives a map the place of its first colon
			n.line, n.col = k.line, k.col
		}
		if k.kind != scalar {
			return r.errorf(k, "a key is a word")
		}
		if slices.ContainsFunc(n.fields, func(f field) bool { return f.key == k.text }) {
			return r.errorf(k, "%s is given twice", quote(k.text))
		}
		value, err := r.node(v.Value)
		if err != nil {
			return err
		}
		n.fields = append(n.fields, field{k.text, k.line, k.col, value})
	}
	return nil
}

// quote shows a text of the file and bounds it.
func quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Nearest is the word of known that name is most likely meant to be, or "".
func Nearest(name string, known []string) string {
	best, least := "", len(name)/3+2 // a third of the letters may be wrong
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k), least); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's, or limit where it is no less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
