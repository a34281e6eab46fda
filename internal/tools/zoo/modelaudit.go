package main

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/btu-scan/btu-scan/internal/zoo"
)

// modelaudit.py calls the weight-distribution check alone: modelaudit's own
// scan runs it on neither model.safetensors nor pytorch_model.bin.
//
//go:embed modelaudit.py
var weightCheck string

// An audit is what modelaudit says about a model.
type audit struct {
	version string
	scan    []finding // of the folder, as users run it
	check   []finding // of the weight-distribution check, called by itself
	failed  string    // why the check could not be run, or ""
}

type finding struct {
	Severity string `json:"severity"` // debug, info, warning or critical
	Message  string `json:"message"`
}

// serious are findings that modelaudit exits with 1 for.
func serious(fs []finding) bool {
	return slices.ContainsFunc(fs, func(f finding) bool { return f.Severity == "warning" || f.Severity == "critical" })
}

func runModelaudit(executable, dir string) (*audit, error) {
	var scanned struct {
		Issues []finding `json:"issues"`
	}
	if err := zoo.RunJSON(&scanned, executable, "scan", "--format", "json", "--quiet", "--strict", dir); err != nil {
		return nil, err
	}
	var checked struct {
		Version  string    `json:"version"`
		Findings []finding `json:"findings"`
		Error    string    `json:"error"`
	}
	python := filepath.Join(filepath.Dir(executable), "python")
	if err := zoo.RunJSON(&checked, python, "-c", weightCheck, filepath.Join(dir, "model.safetensors")); err != nil {
		return nil, err
	}
	return &audit{version: checked.Version, scan: scanned.Issues, check: checked.Findings, failed: checked.Error}, nil
}

func auditDetectors(all []result) []detector {
	var unread []string
	for _, r := range all {
		if r.audit.failed != "" {
			unread = append(unread, fmt.Sprintf("%s (%s)", r.name, r.audit.failed))
		}
	}
	const note = "its scan does not run this check on the files of these models"
	return []detector{
		{"modelaudit " + all[0].audit.version + ", `scan --strict`: any finding from warning up", "", func(r result) bool { return serious(r.audit.scan) }},
		{"modelaudit, weight-distribution check by itself: from warning up", note, func(r result) bool { return serious(r.audit.check) }},
		{"the same: any finding, even info", few("not run on", unread), func(r result) bool { return len(r.audit.check) > 0 }},
	}
}
