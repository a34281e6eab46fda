package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// Bounds of SARIF, of which the first is GitHub's: of a larger file it takes
// nothing.
const (
	sarifResults   = 25_000
	sarifTokens    = 100 // logical locations of a result, and notifications
	sarifMessage   = 4000
	sarifNameBytes = 200
)

// sarifEncoder writes SARIF 2.1.0 in the form that GitHub's code scanning takes.
// The structs hold what is written and no more of the standard.
type sarifEncoder struct{}

func newSARIF(Options) Encoder { return sarifEncoder{} }

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool              sarifTool         `json:"tool"`
	AutomationDetails sarifID           `json:"automationDetails"`
	Invocations       []sarifInvocation `json:"invocations"`
	Artifacts         []sarifArtifact   `json:"artifacts"`
	Results           []sarifResult     `json:"results"`
	Properties        map[string]any    `json:"properties"`
}

type sarifID struct {
	ID string `json:"id"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name            string            `json:"name"`
	Version         string            `json:"version,omitempty"`
	SemanticVersion string            `json:"semanticVersion,omitempty"`
	InformationURI  string            `json:"informationUri"`
	Rules           []sarifDescriptor `json:"rules"`
	Notifications   []sarifDescriptor `json:"notifications"`
}

type sarifDescriptor struct {
	ID                   string          `json:"id"`
	Name                 string          `json:"name"`
	ShortDescription     sarifText       `json:"shortDescription"`
	FullDescription      sarifText       `json:"fullDescription"`
	HelpURI              string          `json:"helpUri,omitempty"`
	Help                 *sarifText      `json:"help,omitempty"`
	DefaultConfiguration sarifLevel      `json:"defaultConfiguration"`
	Properties           *sarifRuleFacts `json:"properties,omitempty"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifRuleFacts struct {
	Tags             []string `json:"tags"`
	Precision        string   `json:"precision"`
	SecuritySeverity string   `json:"security-severity"`
}

type sarifText struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown,omitempty"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool                `json:"executionSuccessful"`
	Notifications       []sarifNotification `json:"toolExecutionNotifications"`
}

type sarifNotification struct {
	Descriptor sarifReference `json:"descriptor"`
	Level      string         `json:"level"`
	Message    sarifText      `json:"message"`
}

type sarifReference struct {
	ID    string `json:"id"`
	Index int    `json:"index"`
}

type sarifArtifact struct {
	Location sarifURI          `json:"location"`
	Roles    []string          `json:"roles"`
	Hashes   map[string]string `json:"hashes,omitempty"`
}

type sarifURI struct {
	URI       string `json:"uri"`
	URIBaseID string `json:"uriBaseId,omitempty"`
	Index     *int   `json:"index,omitempty"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    *int              `json:"ruleIndex,omitempty"`
	Level        string            `json:"level"`
	Message      sarifText         `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints"`
	Properties   sarifResultFacts  `json:"properties"`

	Suppressions  []sarifSuppression `json:"suppressions,omitempty"`
	BaselineState string             `json:"baselineState,omitempty"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification"`
}

type sarifResultFacts struct {
	Severity string `json:"severity,omitempty"`
	TokenIDs []int  `json:"tokenIds,omitempty"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifURI    `json:"artifactLocation"`
	Region   sarifRegion `json:"region"`
}

// A sarifRegion of a binary file has a byte offset where one is known. GitHub
// ignores it, and shows no message where there is no line: there is always the
// first. The standard keeps the two kinds of properties independent (3.30.4).
type sarifRegion struct {
	StartLine  int    `json:"startLine"`
	ByteOffset *int64 `json:"byteOffset,omitempty"`
}

type sarifLogical struct {
	Name               string `json:"name,omitempty"`
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

func (sarifEncoder) Encode(w io.Writer, r *scan.Report) error {
	if r == nil {
		return errNil
	}
	s := sarifWriter{Report: r, names: TokenNames(r), artifacts: map[string]int{}, seen: map[string]int{}}
	return writeJSON(w, s.log(), " ")
}

// A sarifWriter turns one report into SARIF.
type sarifWriter struct {
	*scan.Report
	names     map[int]string
	run       sarifRun
	artifacts map[string]int // by path
	seen      map[string]int // how often a fingerprint occurred
}

func (s *sarifWriter) log() sarifLog {
	s.run = sarifRun{
		Tool:              sarifTool{s.driver()},
		AutomationDetails: sarifID{"btu-scan/" + escapePath(artifact(s.Report, "")) + "/"},
		Artifacts:         []sarifArtifact{}, Results: []sarifResult{},
		Properties: map[string]any{
			"verdict":  orElse(Plain(clip(string(s.Verdict), sarifNameBytes)), "none"),
			"reasons":  s.texts(s.Reasons),
			"coverage": map[string]string{"weights": Plain(clip(string(s.Coverage.Weights), sarifNameBytes)), "behaviour": Plain(clip(string(s.Coverage.Behaviour), sarifNameBytes))},
		},
	}
	if g := s.Gate; g != nil {
		s.run.Properties["gate"] = orElse(Plain(clip(string(g.Decision), sarifNameBytes)), "none")
		s.run.Properties["gateReasons"] = s.texts(g.Reasons)
	}
	whole := s.artifact("")
	if sha := s.Checkpoint.SHA256; isFile(s.Checkpoint.Path) && hexDigest.MatchString(sha) {
		s.run.Artifacts[*whole.Index].Hashes = map[string]string{"sha-256": sha}
	}
	all, left := issues(s.Report), 0
	if len(all) > sarifResults {
		serious(all)
		left, all = len(all)-sarifResults, all[:sarifResults]
	}
	for _, i := range all {
		s.run.Results = append(s.run.Results, s.result(i))
	}
	s.run.Invocations = []sarifInvocation{s.invocation(left)}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{s.run}}
}

var (
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	semver    = regexp.MustCompile(`^v?([0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(-[0-9A-Za-z.-]{1,64})?)$`)
)

func (s *sarifWriter) driver() sarifDriver {
	d := sarifDriver{
		Name: orElse(Plain(clip(s.Tool.Name, sarifNameBytes)), "btu-scan"), Version: Plain(clip(s.Tool.Version, sarifNameBytes)), InformationURI: homepage,
		Notifications: []sarifDescriptor{
			{
				ID: "coverage", Name: "Coverage", DefaultConfiguration: sarifLevel{"warning"},
				ShortDescription: sarifText{Text: "Evidence is missing"},
				FullDescription:  sarifText{Text: "Evidence that was not gathered, and why. Where the verdict needs it, the run has no answer."},
			},
			{
				ID: "warning", Name: "Warning", DefaultConfiguration: sarifLevel{"note"},
				ShortDescription: sarifText{Text: "What a reader should know besides"},
				FullDescription:  sarifText{Text: "A fact about the files or the scan that changes how the results are to be read."},
			},
		},
	}
	if m := semver.FindStringSubmatch(s.Tool.Version); m != nil {
		d.SemanticVersion = m[1]
	}
	for i := range rules {
		r := &rules[i]
		d.Rules = append(d.Rules, sarifDescriptor{
			ID: r.id, Name: r.name, ShortDescription: sarifText{Text: r.short}, FullDescription: sarifText{Text: r.full},
			HelpURI: homepage + "/blob/main/docs/methods.md", Help: &sarifText{Text: r.helpText(), Markdown: r.helpMarkdown()},
			DefaultConfiguration: sarifLevel{r.level},
			Properties:           &sarifRuleFacts{Tags: append([]string{"security"}, r.tags...), Precision: "high", SecuritySeverity: r.score},
		})
	}
	return d
}

// invocation says whether the scan came to an answer, and what it lacked.
func (s *sarifWriter) invocation(left int) sarifInvocation {
	in := sarifInvocation{ExecutionSuccessful: answered(s.Verdict), Notifications: []sarifNotification{}}
	add := func(kind, level, text string) {
		if len(in.Notifications) < sarifTokens {
			index := map[string]int{"coverage": 0, "warning": 1}[kind]
			in.Notifications = append(in.Notifications, sarifNotification{sarifReference{kind, index}, level, sarifText{Text: sarifSafe(text)}})
		}
	}
	if left > 0 {
		add("coverage", "warning", fmt.Sprintf("%d results of the least severity were left out: a file holds at most %d", left, sarifResults))
	}
	level := "warning"
	if !in.ExecutionSuccessful {
		level = "error"
		for _, reason := range orNone(s.Reasons) {
			add("coverage", level, headline(s.Verdict)+": "+reason)
		}
	}
	for _, reason := range s.Coverage.Reasons {
		add("coverage", level, reason)
	}
	if s.Gate != nil {
		for _, n := range gateNotes(s.Report) {
			add("warning", "note", n)
		}
	}
	for _, w := range s.Warnings {
		add("warning", "note", w)
	}
	return in
}

func (s *sarifWriter) result(i issue) sarifResult {
	at := site{offset: -1}
	if i.unsafe {
		at = parseSite(i.where, s.Checkpoint.Path)
	} else if e := s.Checkpoint.Embedding; e != nil {
		at.file = e.File
	}
	res := sarifResult{
		RuleID: orElse(Plain(clip(i.rule, sarifNameBytes)), ruleIncomplete), Level: sarifLevelOf(i.severity), Message: sarifText{Text: sarifSafe(s.message(i))},
		Locations:    []sarifLocation{{Physical: sarifPhysical{Artifact: s.artifact(at.file), Region: sarifRegion{StartLine: 1}}, Logical: s.logical(i, at)}},
		Fingerprints: s.fingerprints(i, at),
		Properties:   sarifResultFacts{Severity: Plain(clip(string(i.severity), sarifNameBytes)), TokenIDs: i.tokens[:min(len(i.tokens), sarifTokens)]},
	}
	res.Suppressions, res.BaselineState = s.suppressions(i)
	if index := ruleIndex(res.RuleID); index >= 0 {
		res.RuleIndex = &index
	}
	// An offset inside a member of an archive is none in the file.
	if at.offset >= 0 && at.member == "" {
		res.Locations[0].Physical.Region.ByteOffset = &at.offset
	}
	return res
}

// message says what was found and which tokens it is about, since code scanning
// shows little else.
func (s *sarifWriter) message(i issue) string {
	text := orElse(clip(i.message, sarifMessage/2), "no message") + i.marks()
	if i.unsafe {
		if i.where != "" {
			text += " (" + clip(Place(s.Report, i.where), sarifMessage/4) + ")"
		}
		return text
	}
	var names []string
	for _, id := range i.tokens[:min(len(i.tokens), maxList)] {
		if name := s.names[id]; name != "" {
			names = append(names, quote(clip(name, sarifNameBytes)))
		} else {
			names = append(names, "token "+strconv.Itoa(id))
		}
	}
	if more := len(i.tokens) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	if len(names) > 0 {
		text += ". Tokens: " + strings.Join(names, ", ")
	}
	return text
}

// suppressions are those of a result that does not count at all: to the standard
// one that has any is suppressed. The state compares it with the baseline, where
// there is one.
func (s *sarifWriter) suppressions(i issue) (all []sarifSuppression, state string) {
	known := 0
	for _, x := range i.suppressions {
		known += bit(x.By == scan.ByBaseline)
		if i.suppressed && len(all) < sarifTokens {
			text := Plain(clip(x.Justification, sarifMessage/2) + " (" + clip(x.Source, sarifNameBytes) + ")")
			if s := (sarifSuppression{"external", "accepted", text}); !slices.Contains(all, s) { // they are distinct
				all = append(all, s)
			}
		}
	}
	if s.Gate != nil && slices.ContainsFunc(s.Gate.Policy, func(f scan.PolicyFile) bool { return f.Kind == scan.PolicyBaseline }) {
		switch {
		case known == 0:
			state = "new"
		case known >= max(1, len(i.tokens)):
			state = "unchanged"
		default:
			state = "updated"
		}
	}
	return all, state
}

// logical names the tensor and the tokens, or the member of an archive.
func (s *sarifWriter) logical(i issue, at site) []sarifLogical {
	if at.member != "" {
		name := Plain(clip(at.member, sarifNameBytes))
		l := sarifLogical{Name: name, FullyQualifiedName: name, Kind: "member"}
		if at.offset >= 0 {
			l.FullyQualifiedName += "@" + strconv.FormatInt(at.offset, 10)
		}
		return []sarifLogical{l}
	}
	if i.unsafe {
		return nil
	}
	tensor := "embedding"
	var all []sarifLogical
	if e := s.Checkpoint.Embedding; e != nil {
		tensor = orElse(Plain(clip(e.Tensor, sarifNameBytes)), tensor)
		all = append(all, sarifLogical{Name: tensor, FullyQualifiedName: tensor, Kind: "array"})
	}
	known := map[int]bool{} // the standard wants them distinct
	for _, id := range i.tokens[:min(len(i.tokens), sarifTokens)] {
		if known[id] {
			continue
		}
		known[id] = true
		all = append(all, sarifLogical{
			Name: Plain(clip(s.names[id], sarifNameBytes)), FullyQualifiedName: tensor + "[" + strconv.Itoa(id) + "]", Kind: "element",
		})
	}
	return all
}

// fingerprints recognise a result in the next run: by its rule, the file in the
// checkpoint, the place there and the tokens, not by the message, whose numbers
// change. GitHub knows only primaryLocationLineHash, which it would else make of
// the first line of a binary file, the same for all results.
func (s *sarifWriter) fingerprints(i issue, at site) map[string]string {
	tokens := slices.Clone(i.tokens)
	slices.Sort(tokens)
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %d %d", i.rule, within(s.Report, at.file), at.member, at.offset, tokens)
	sum := hex.EncodeToString(h.Sum(nil)[:16])
	s.seen[sum]++
	sum += ":" + strconv.Itoa(s.seen[sum])
	return map[string]string{"btuScan/v1": sum, "primaryLocationLineHash": sum}
}

// artifact refers to a file of the checkpoint.
func (s *sarifWriter) artifact(file string) sarifURI {
	p := artifact(s.Report, file)
	index, known := s.artifacts[p]
	if !known {
		index = len(s.run.Artifacts)
		s.artifacts[p] = index
		s.run.Artifacts = append(s.run.Artifacts, sarifArtifact{Location: sarifURI{URI: escapePath(p), URIBaseID: "%SRCROOT%"}, Roles: []string{"analysisTarget"}})
	}
	return sarifURI{URI: escapePath(p), URIBaseID: "%SRCROOT%", Index: &index}
}

// escapePath percent-encodes a relative path. A colon in it must not become a
// scheme's.
func escapePath(p string) string {
	return strings.ReplaceAll((&url.URL{Path: p}).EscapedPath(), ":", "%3A")
}

func sarifLevelOf(s scan.Severity) string {
	return []string{"note", "warning", "error", "error"}[weight(s)]
}

// texts makes texts safe.
func (s *sarifWriter) texts(list []string) []string {
	out := []string{}
	for _, text := range list[:min(len(list), sarifTokens)] {
		out = append(out, Plain(clip(text, sarifMessage)))
	}
	return out
}

// sarifSafe makes text safe for a message. There "[text](target)" is a link and
// braces are placeholders, so neither is let through as such.
func sarifSafe(s string) string {
	return sarifMarks.Replace(Plain(clip(s, sarifMessage)))
}

var sarifMarks = strings.NewReplacer("](", `]\x28`, "{", `\x7b`, "}", `\x7d`)
