package report

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/btu-scan/btu-scan/scan"
)

const schemaPath = "../../docs/report.schema.json"

func TestSchemaAccepts(t *testing.T) {
	schema := compile(t)
	for _, s := range samples() {
		r := *s.report
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(encode(t, "json", Options{}, &r)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

// TestSchemaRejects: the schema is worth something.
func TestSchemaRejects(t *testing.T) {
	schema := compile(t)
	good := encode(t, "json", Options{}, backdoored())
	for _, tc := range []struct{ old, new string }{
		{`"schema_version": 1`, `"schema_version": 2`},
		{`"verdict": "backdoored"`, `"verdict": "fine"`},
		{`"verdict": "match"`, `"verdict": "maybe"`},
		{`"behaviour": "full"`, `"behaviour": "some"`},
		{`"score": "z"`, `"score": "zz"`},
		{`"status": "abnormal"`, `"status": "odd"`},
		{`"severity": "high"`, `"severity": "higher"`},
		{`"rule": "BTU002"`, `"rule": "X1"`},
		{`"token_id": 12160`, `"token_id": "12160"`},
		{`"token_id": 12160`, `"token_id": 1.5`},
		{`"rank": 1,`, `"rank": 0,`},
		{`"token": "cf",`, ``},
		{`"warnings": []`, `"warnings": null`},
		{`"unsafe": []`, `"unsafe": [1]`},
		{`"place": "front"`, `"place": "middle"`},
		{`"found_by": "phrase"`, `"found_by": "luck"`},
		{`"honest_flip_rate": 0.125`, `"honest_flip_rate": 1.5`},
		{`"control_rate": 0.08,`, ``},
		{`"total": 111.9`, `"total": "long"`},
	} {
		bad := strings.Replace(good, tc.old, tc.new, 1)
		if bad == good {
			t.Errorf("%s is not in the sample", tc.old)
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("%s instead of %s is accepted", tc.new, tc.old)
		}
	}
	more, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(good, `"tool": {`, `"new": 1, "tool": {"new": 1,`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(more); err != nil {
		t.Errorf("an added field is rejected: %v", err)
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	schema, err := c.Compile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// A node is the part of JSON Schema that the schema uses.
type node struct {
	Schema      string `json:"$schema"`
	Ref         string `json:"$ref"`
	Type        string
	Description string
	Const       any
	Enum        []string
	OneOf       []*node
	Items       *node
	Required    []string
	Properties  map[string]*node
	Additional  *node            `json:"additionalProperties"`
	Defs        map[string]*node `json:"$defs"`
}

func readSchema(t *testing.T) *node {
	t.Helper()
	data, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	root := new(node)
	if err := json.Unmarshal(data, root); err != nil {
		t.Fatal(err)
	}
	if root.Schema != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %q", root.Schema)
	}
	return root
}

// TestSchemaDescribesStruct: every field of scan.Report is in the schema, with
// its type and with required where it is always written, and nothing else is.
func TestSchemaDescribesStruct(t *testing.T) {
	w := &schemaWalk{T: t, root: readSchema(t), used: map[string]bool{}, enums: map[string][]string{}}
	w.walk("report", reflect.TypeFor[scan.Report](), w.root)
	for name := range w.root.Defs {
		if !w.used[name] {
			t.Errorf("$defs/%s is used by no field", name)
		}
	}
	// The constants of scan are the enums of the schema.
	consts := scanConsts(t)
	for name, want := range w.enums {
		if got := consts[name]; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("scan.%s is %q, its enum %q", name, got, want)
		}
	}
	for name := range consts {
		if w.enums[name] == nil && name != "Evidence" { // of the policy, not of the report
			t.Errorf("scan.%s has no enum", name)
		}
	}
}

type schemaWalk struct {
	*testing.T
	root  *node
	used  map[string]bool
	enums map[string][]string // by type of package scan
}

func (w *schemaWalk) resolve(n *node) *node {
	for n.Ref != "" {
		name, ok := strings.CutPrefix(n.Ref, "#/$defs/")
		if n = w.root.Defs[name]; !ok || n == nil {
			w.Fatalf("%q leads nowhere", name)
		}
		w.used[name] = true
	}
	return n
}

func (w *schemaWalk) walk(path string, typ reflect.Type, n *node) {
	described := n.Description != ""
	n = w.resolve(n)
	if !described && n.Description == "" {
		w.Errorf("%s has no description", path)
	}
	want := map[reflect.Kind]string{
		reflect.Struct: "object", reflect.Map: "object", reflect.Slice: "array",
		reflect.String: "string", reflect.Int: "integer", reflect.Float64: "number", reflect.Bool: "boolean",
	}[typ.Kind()]
	switch {
	case typ.Kind() == reflect.Pointer:
		if len(n.OneOf) != 2 || n.OneOf[1].Type != "null" {
			w.Errorf("%s: want one of two, the second null", path)
			return
		}
		w.walk(path, typ.Elem(), n.OneOf[0])
		return
	case n.Const != nil:
		if n.Const != float64(scan.SchemaVersion) || path != "report.schema_version" {
			w.Errorf("%s: const %v", path, n.Const)
		}
		return
	case typ.Kind() == reflect.String && typ.PkgPath() != "":
		w.enums[typ.Name()] = n.Enum
		return
	case n.Type != want:
		w.Errorf("%s: type %q, want %q", path, n.Type, want)
		return
	}
	switch typ.Kind() {
	case reflect.Slice:
		items := *w.resolve(n.Items)
		items.Description = "an item"
		w.walk(path+"[]", typ.Elem(), &items)
	case reflect.Map:
		items := *n.Additional
		items.Description = "a value"
		w.walk(path+"{}", typ.Elem(), &items)
	case reflect.Struct:
		left, required := maps.Clone(n.Properties), []string{}
		for i := range typ.NumField() {
			name, opts, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "" {
				w.Errorf("%s.%s has no json tag", path, typ.Field(i).Name)
			}
			if left[name] == nil {
				w.Errorf("%s.%s is not in the schema", path, name)
				continue
			}
			w.walk(path+"."+name, typ.Field(i).Type, left[name])
			delete(left, name)
			if opts != "omitempty" {
				required = append(required, name)
			}
		}
		for name := range left {
			w.Errorf("%s.%s is in the schema only", path, name)
		}
		if got := slices.Sorted(slices.Values(n.Required)); !slices.Equal(got, slices.Sorted(slices.Values(required))) {
			w.Errorf("%s: required %q, want %q", path, got, required)
		}
	}
}

// scanConsts reads the typed string constants of package scan.
func scanConsts(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, name := range []string{"../report.go", "../verdict.go", "../gate.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			typ, ok := spec.Type.(*ast.Ident)
			lit, isLit := spec.Values[0].(*ast.BasicLit)
			if ok && isLit && lit.Kind == token.STRING {
				value, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				found[typ.Name] = append(found[typ.Name], value)
			}
			return true
		})
	}
	return found
}
