package report

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/btu-scan/btu-scan/scan"
)

// bomSchema is the standard's own; testdata/cyclonedx/README.md tells its origin.
func bomSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schema.json"} {
		f, err := os.Open(filepath.Join("testdata", "cyclonedx", name+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(z)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+name, doc); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestCycloneDX(t *testing.T) {
	schema := bomSchema(t)
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			got := encode(t, "cyclonedx", Options{Top: 1, Color: true, Width: 40}, s.report)
			checkBOM(t, schema, s.report, got)
			golden(t, s.name+".cdx.json", got)
		})
	}
}

// checkBOM fails where an inventory would refuse the bill, or would show a model
// that was not cleared as one without vulnerabilities.
func checkBOM(t *testing.T, schema *jsonschema.Schema, r *scan.Report, got string) bom {
	t.Helper()
	plain(t, got)
	if schema != nil {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Fatal(err)
		}
	}
	var b bom
	if err := json.Unmarshal([]byte(got), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Components) != 1 || b.Components[0].Type != "machine-learning-model" || b.Components[0].Ref != bomModel {
		t.Fatalf("components %+v", b.Components)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(b.SerialNumber) {
		t.Errorf("serial number %q", b.SerialNumber)
	}
	if r.Verdict != scan.Clean && len(b.Vulnerabilities) == 0 {
		t.Errorf("verdict %q without a vulnerability", r.Verdict)
	}
	refs := map[string]bool{bomModel: true, "reference": true}
	for _, v := range b.Vulnerabilities {
		if refs[v.Ref] || len(v.Affects) != 1 || v.Affects[0].Ref != bomModel || v.Detail == "" {
			t.Errorf("%+v", v)
		}
		refs[v.Ref] = true
		if exploitable := v.Analysis.State == "exploitable"; exploitable && v.ID != scan.RuleTrigger {
			t.Errorf("%s is exploitable", v.ID)
		}
	}
	return b
}

// TestCycloneDXRejects: the schema is worth something.
func TestCycloneDXRejects(t *testing.T) {
	schema := bomSchema(t)
	good := encode(t, "cyclonedx", Options{Created: time.Unix(1_700_000_000, 0)}, backdoored())
	for _, tc := range []struct{ old, new string }{
		{`"specVersion": "1.6"`, `"specversion": "1.6"`},
		{`"type": "machine-learning-model"`, `"type": "model"`},
		{`"state": "exploitable"`, `"state": "proven"`},
		{`"severity": "critical"`, `"severity": "worst"`},
		{`"serialNumber": "urn:uuid:`, `"serialNumber": "urn:`},
		{`"timestamp": "2023-11-14T22:13:20Z"`, `"timestamp": "yesterday"`},
		{`"modelArchitecture"`, `"model_architecture"`},
		{`"ancestors": [`, `"parents": [`},
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
}

func TestCycloneDXSays(t *testing.T) {
	for _, tc := range []struct {
		report *scan.Report
		want   []string
	}{
		{backdoored(), []string{`"state": "exploitable"`, `"severity": "critical"`, `"type": "trigger flip rate"`, `"task": "text-classification"`, `"modelArchitecture": "BertForSequenceClassification"`}},
		{suspicious(), []string{`"id": "BTU002"`, `"state": "in_triage"`, `506`, `"btu-scan:suspect",`, `token 12160 \"cf\": abnormal, rank 1, score 9.84`,
			`"purl": "pkg:huggingface/nreimers/MiniLM-L6-H384-uncased@3276f0fac9d818781d7a1327b3ff818fc4e643c0"`}},
		{clean(), []string{`"vulnerabilities": []`, `"value": "clean"`}},
		{noReference(), []string{`"id": "BTU900"`, `"severity": "unknown"`}},
		{unsafePickle(), []string{`"content": "` + strings.Repeat("5e", 32), `"id": "BTU100"`, `"value": "pytorch_model.bin!archive/data.pkl@1042"`}},
		{tied(), []string{`"name": "smollm2-135m"`, `"task": "text-generation"`}},
	} {
		got := encode(t, "cyclonedx", Options{}, tc.report)
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s", tc.report.Verdict, want)
			}
		}
		if strings.Contains(got, "/home/ana") {
			t.Errorf("%s: tells where the files lay", tc.report.Verdict)
		}
	}
}

// TestCycloneDXSerial: the same scan has the same number whenever it is written,
// and another scan has another.
func TestCycloneDXSerial(t *testing.T) {
	schema := bomSchema(t)
	of := func(opt Options, change func(r *scan.Report)) bom {
		r := suspicious()
		change(r)
		return checkBOM(t, schema, r, encode(t, "cyclonedx", opt, r))
	}
	none := func(*scan.Report) {}
	first := of(Options{}, none)
	later := of(Options{Created: time.Date(2030, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600))}, none)
	if first.Metadata.Timestamp != "" || later.Metadata.Timestamp != "2030-01-02T02:04:05Z" {
		t.Errorf("timestamps %q and %q", first.Metadata.Timestamp, later.Metadata.Timestamp)
	}
	if later.SerialNumber != first.SerialNumber {
		t.Error("the time changes the serial number")
	}
	if of(Options{}, func(r *scan.Report) { r.TimingsMS["total"] = 9999 }).SerialNumber != first.SerialNumber {
		t.Error("how long it took changes the serial number")
	}
	if of(Options{}, func(r *scan.Report) { r.Verdict = scan.Backdoored }).SerialNumber == first.SerialNumber {
		t.Error("another verdict has the same serial number")
	}
}

// TestUUID: the number is of version 5 as others compute it:
// python3 -c 'import uuid; print(uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/btu-scan/btu-scan#x"))'
func TestUUID(t *testing.T) {
	if got, want := uuidOf([]byte("x")), "29d13186-744d-5c2b-94e1-d110ab79e535"; got != want {
		t.Errorf("uuidOf(x) = %s, want %s", got, want)
	}
}

func TestCycloneDXHostile(t *testing.T) {
	schema := bomSchema(t)
	for _, s := range attacks {
		r := attacked(s)
		checkBOM(t, schema, r, encode(t, "cyclonedx", Options{}, r))
	}
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		r := backdoored()
		r.Suspects[0].Score, r.Triggers[0].FlipRate, r.Reference.Match.RowCosineMedian = x, x, x
		checkBOM(t, schema, r, encode(t, "cyclonedx", Options{}, r))
	}
}

// TestCycloneDXLimits: a hostile checkpoint does not make a bill without end.
func TestCycloneDXLimits(t *testing.T) {
	r := unsafePickle()
	r.Unsafe = nil
	for range 10 * bomFindings {
		r.Unsafe = append(r.Unsafe, scan.Unsafe{Rule: "BTU201", Severity: scan.SeverityWarning, Where: "x", Detail: strings.Repeat("d", 10*bomText)})
	}
	r.Unsafe = append(r.Unsafe, scan.Unsafe{Rule: "BTU100", Severity: scan.SeverityCritical, Where: "y", Detail: "worst"})
	b := checkBOM(t, nil, r, encode(t, "cyclonedx", Options{}, r))
	if n := len(b.Vulnerabilities); n != bomFindings || b.Vulnerabilities[0].ID != "BTU100" {
		t.Errorf("%d vulnerabilities, the first %s", n, b.Vulnerabilities[0].ID)
	}
}

func FuzzCycloneDX(f *testing.F) {
	for _, s := range attacks {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := attackedBriefly(s)
		checkBOM(t, nil, r, encode(t, "cyclonedx", Options{}, r))
	})
}
