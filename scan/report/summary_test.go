package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

func summary() *Summary {
	s := &Summary{
		SchemaVersion: SummarySchemaVersion, Tool: scan.Tool{Name: "btu-scan", Version: "v1.2.3"}, ExitCode: 1,
		Outcomes: map[string]int{"clean": 2, "backdoored": 1, "unfinished": 1, "inconclusive": 1},
		Models: []Scanned{
			{Path: "models/a", Outcome: OutcomeClean, Verdict: scan.Clean, Reasons: []string{"weights and behaviour were gathered and nothing is unexplained"}, Reports: []string{"reports/a.json"}, Seconds: 21.4},
			{Path: "models/b", Outcome: OutcomeBackdoored, ExitCode: 1, Verdict: scan.Backdoored, Reasons: []string{"2 triggers proved by behaviour"}, Reports: []string{"reports/b.json"}, Seconds: 33.1},
			{Path: "models/\x1b[31mc|`x`", Outcome: OutcomeUnfinished, ExitCode: 2, Reasons: []string{}, Error: "models/c/model.safetensors: offset 0 (0x0): header of 14823904823 bytes, the file has 3000", Reports: []string{}, Seconds: 0.02},
			{Path: "models/d", Outcome: OutcomeInconclusive, ExitCode: 3, Verdict: scan.Inconclusive, Reasons: []string{"the weights could not be compared", "no reference: the files of the model name none, and none was named with --reference"}, Reports: []string{}, Seconds: 0.1},
			{Path: "models/e", Outcome: OutcomeClean, Verdict: scan.Clean, Reasons: []string{}, Reports: []string{}, Seconds: 9.96},
		},
	}
	return s
}

func TestSummary(t *testing.T) {
	files := map[string]string{"text": "txt", "json": "json", "markdown": "md"}
	for _, format := range Summaries() {
		var b bytes.Buffer
		if err := summary().Encode(&b, format, Options{Width: 72}); err != nil {
			t.Fatal(err)
		}
		golden(t, "summary."+files[format], b.String())
		if strings.Contains(b.String(), "\x1b") {
			t.Errorf("%s lets an escape through", format)
		}
	}
	var b bytes.Buffer
	if err := summary().Encode(&b, "sarif", Options{}); err == nil || !strings.Contains(err.Error(), "text, json, markdown") {
		t.Errorf("sarif: %v", err)
	}
	if err := summary().Encode(&b, "text", Options{Color: true}); err != nil || !strings.Contains(b.String(), "\x1b[31mbackdoored") {
		t.Errorf("colour: %v, %q", err, b.String())
	}
}

func TestSummaryOfMany(t *testing.T) {
	s := summary()
	for i := range 5000 {
		s.Models = append(s.Models, Scanned{Path: fmt.Sprintf("models/%d", i), Outcome: OutcomeClean, Verdict: scan.Clean})
	}
	var b bytes.Buffer
	if err := s.Encode(&b, "markdown", Options{}); err != nil || b.Len() > 1<<20 || !strings.Contains(b.String(), "and 4,505 more") {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}
