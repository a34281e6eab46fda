package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/btu-scan/btu-scan/sanitize"
	"github.com/btu-scan/btu-scan/scan"
)

// maxReport caps the bytes of a report that is read.
const maxReport = 256 << 20

// readJSON reads a file of JSON into v.
func readJSON(flag, path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return usagef("", "%s: %v", flag, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxReport+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", flag, err)
	case len(data) > maxReport:
		return usagef("", "%s: %s is larger than %d MiB", flag, path, maxReport>>20)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return usagef("write one with --format json --output FILE", "%s: %s is not what btu-scan writes: %v", flag, path, err)
	}
	return nil
}

// readReport reads the report of a scan.
func readReport(path string) (*scan.Report, error) {
	r := &scan.Report{}
	if err := readJSON("--from", path, r); err != nil {
		return nil, err
	}
	if r.SchemaVersion != scan.SchemaVersion || r.Verdict == "" {
		return nil, usagef("", "--from: %s is no report of schema version %d", path, scan.SchemaVersion)
	}
	return r, nil
}

// A suspectsFile is what readSuspects needs of a scan's report or of what expose
// writes.
type suspectsFile struct {
	Verdict  scan.Verdict    `json:"verdict"` // a report's
	Suspects []listedSuspect `json:"suspects"`
	Others   []listedSuspect `json:"others"` // expose's
}

type listedSuspect struct {
	TokenID *int               `json:"token_id"`
	Status  scan.SuspectStatus `json:"status"` // in a report
	Strong  bool               `json:"strong"` // of expose
}

// readSuspects reads the suspects of a scan's report, or of btu-scan expose: the
// first n of them, or for n = 0 those that are abnormal or strong. Where expose
// calls none strong, they are all that it has, as in BTU.
func readSuspects(path string, n int) (rows []sanitize.Row, err error) {
	var file suspectsFile
	if err := readJSON("--suspects", path, &file); err != nil {
		return nil, err
	}
	list := file.Suspects
	switch {
	case n > 0:
		list = list[:min(n, len(list))]
	case file.Verdict != "":
		list = slices.DeleteFunc(list, func(s listedSuspect) bool { return s.Status != scan.StatusAbnormal })
	default:
		strong := slices.DeleteFunc(slices.Concat(list, file.Others), func(s listedSuspect) bool { return !s.Strong })
		if len(strong) > 0 {
			list = strong
		}
	}
	for i, s := range list {
		if s.TokenID == nil {
			return nil, usagef("", "--suspects: suspect %d of %s has no token_id", i+1, path)
		}
		rows = append(rows, sanitize.Row{TokenID: *s.TokenID, Why: "a suspect of " + path})
	}
	return rows, nil
}
