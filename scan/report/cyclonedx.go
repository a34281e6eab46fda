package report

import (
	"crypto/sha1"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/btu-scan/btu-scan/scan"
)

// Bounds of a bill of materials: what a hostile report can make of it.
const (
	bomText     = 2000 // bytes
	bomItems    = 100  // suspects, warnings and the like, of each
	bomFindings = 1000
)

// cyclonedxEncoder writes a CycloneDX 1.6 bill of materials of one machine
// learning model. The model's issues are its vulnerabilities, so that an
// inventory that takes the file shows them. The structs hold what is written
// and no more of the standard.
type cyclonedxEncoder struct{ created time.Time }

func newCycloneDX(opt Options) Encoder { return cyclonedxEncoder{opt.Created} }

type bom struct {
	Schema          string             `json:"$schema"`
	Format          string             `json:"bomFormat"`
	SpecVersion     string             `json:"specVersion"`
	SerialNumber    string             `json:"serialNumber,omitempty"`
	Version         int                `json:"version"`
	Metadata        bomMetadata        `json:"metadata"`
	Components      []bomComponent     `json:"components"`
	Vulnerabilities []bomVulnerability `json:"vulnerabilities"`
}

type bomMetadata struct {
	Timestamp string   `json:"timestamp,omitempty"`
	Tools     bomTools `json:"tools"`
}

type bomTools struct {
	Components []bomComponent `json:"components"`
}

type bomComponent struct {
	Type       string        `json:"type"`
	Ref        string        `json:"bom-ref,omitempty"`
	Name       string        `json:"name"`
	Version    string        `json:"version,omitempty"`
	Hashes     []bomHash     `json:"hashes,omitempty"`
	PURL       string        `json:"purl,omitempty"`
	Pedigree   *bomPedigree  `json:"pedigree,omitempty"`
	External   []bomExternal `json:"externalReferences,omitempty"`
	ModelCard  *bomModelCard `json:"modelCard,omitempty"`
	Properties bomProperties `json:"properties,omitempty"`
}

type bomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type bomExternal struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

type bomPedigree struct {
	Ancestors []bomComponent `json:"ancestors"`
}

type bomModelCard struct {
	Parameters     bomModelParameters `json:"modelParameters"`
	Quantitative   *bomQuantitative   `json:"quantitativeAnalysis,omitempty"`
	Considerations *bomConsiderations `json:"considerations,omitempty"`
}

type bomModelParameters struct {
	Task         string `json:"task,omitempty"`
	Architecture string `json:"modelArchitecture,omitempty"`
}

type bomQuantitative struct {
	Metrics []bomMetric `json:"performanceMetrics"`
}

type bomMetric struct {
	Type       string      `json:"type"`
	Value      string      `json:"value"`
	Slice      string      `json:"slice"`
	Confidence bomInterval `json:"confidenceInterval"`
}

type bomInterval struct {
	Lower string `json:"lowerBound"`
}

type bomConsiderations struct {
	Limitations []string `json:"technicalLimitations"`
}

type bomVulnerability struct {
	Ref            string        `json:"bom-ref"`
	ID             string        `json:"id"`
	Source         bomSource     `json:"source"`
	Ratings        []bomRating   `json:"ratings"`
	CWEs           []int         `json:"cwes,omitempty"`
	Description    string        `json:"description"`
	Detail         string        `json:"detail"`
	Recommendation string        `json:"recommendation,omitempty"`
	Analysis       bomAnalysis   `json:"analysis"`
	Affects        []bomAffected `json:"affects"`
	Properties     bomProperties `json:"properties,omitempty"`
}

type bomSource struct {
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
}

type bomRating struct {
	Source   bomSource `json:"source"`
	Severity string    `json:"severity"`
	Method   string    `json:"method"`
}

type bomAnalysis struct {
	State  string `json:"state"`
	Detail string `json:"detail"`
}

type bomAffected struct {
	Ref string `json:"ref"`
}

type bomProperties []bomProperty

type bomProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// add appends a property of ours, unless its value is empty.
func (p *bomProperties) add(name, value string) {
	if value = bomSafe(value); value != "" {
		*p = append(*p, bomProperty{"btu-scan:" + name, value})
	}
}

func (p *bomProperties) addAll(name string, values []string) {
	for _, v := range values[:min(len(values), bomItems)] {
		p.add(name, v)
	}
}

// bomModel is how the bill refers to the model.
const bomModel = "model"

func (e cyclonedxEncoder) Encode(w io.Writer, r *scan.Report) error {
	if r == nil {
		return errNil
	}
	doc := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Components: []bomComponent{modelComponent(r)}, Vulnerabilities: vulnerabilities(r),
	}
	doc.Metadata.Tools.Components = []bomComponent{{
		Type: "application", Name: orElse(bomSafe(r.Tool.Name), "btu-scan"), Version: Plain(clip(r.Tool.Version, sarifNameBytes)), // at most 1024 characters
		External: []bomExternal{{"website", homepage}},
	}}
	content, err := JSON(doc, "  ")
	if err != nil {
		return err
	}
	// The same scan is the same bill, whenever it is written.
	doc.SerialNumber = "urn:uuid:" + uuidOf(content)
	if !e.created.IsZero() {
		doc.Metadata.Timestamp = e.created.UTC().Format(time.RFC3339)
	}
	return writeJSON(w, doc, "  ")
}

// namespaceURL is RFC 9562's namespace of names that are URLs.
var namespaceURL = [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// uuidOf is a UUID of version 5 (RFC 9562, 5.5), made of the homepage's URL with
// content behind it. That it is SHA-1 is the standard's choice; nothing is
// secured by it.
func uuidOf(content []byte) string {
	h := sha1.New()
	h.Write(namespaceURL[:])
	io.WriteString(h, homepage+"#") //nolint:errcheck // a hash takes everything
	h.Write(content)
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// modelComponent describes the checkpoint.
func modelComponent(r *scan.Report) bomComponent {
	c := bomComponent{
		Type: "machine-learning-model", Ref: bomModel, Name: orElse(bomSafe(path.Base(artifact(r, ""))), "checkpoint"),
		ModelCard: &bomModelCard{Parameters: bomModelParameters{Task: task(r.Checkpoint.Architecture), Architecture: bomSafe(r.Checkpoint.Architecture)}},
	}
	if sha := r.Checkpoint.SHA256; hexDigest.MatchString(sha) {
		c.Hashes = []bomHash{{"SHA-256", sha}}
	}
	for _, t := range r.Triggers[:min(len(r.Triggers), bomItems)] {
		if c.ModelCard.Quantitative == nil {
			c.ModelCard.Quantitative = new(bomQuantitative)
		}
		q := c.ModelCard.Quantitative
		q.Metrics = append(q.Metrics, bomMetric{
			Type: "trigger flip rate", Value: decimal(t.FlipRate, 3), Confidence: bomInterval{decimal(t.FlipRateLow, 3)},
			Slice: bomSafe(quote(clip(t.Text, sarifNameBytes)) + " to " + quote(clip(t.TargetLabel, sarifNameBytes))),
		})
	}
	if limits := r.Coverage.Reasons; len(limits) > 0 {
		c.ModelCard.Considerations = new(bomConsiderations)
		for _, l := range limits[:min(len(limits), bomItems)] {
			c.ModelCard.Considerations.Limitations = append(c.ModelCard.Considerations.Limitations, "not scanned in full: "+bomSafe(l))
		}
	}
	if ref := r.Reference; ref != nil {
		c.Pedigree = &bomPedigree{Ancestors: []bomComponent{ancestor(ref)}}
	}
	p := &c.Properties
	p.add("verdict", headline(r.Verdict))
	p.addAll("reason", r.Reasons)
	p.add("coverage:weights", string(r.Coverage.Weights))
	p.add("coverage:behaviour", string(r.Coverage.Behaviour))
	p.add("format", r.Checkpoint.Format)
	p.add("dtype", r.Checkpoint.DType)
	if e := r.Checkpoint.Embedding; e != nil {
		p.add("embedding:tensor", e.Tensor)
		p.add("embedding:file", within(r, e.File))
		p.add("embedding:rows", strconv.Itoa(e.Rows))
		p.add("embedding:dim", strconv.Itoa(e.Dim))
		p.add("embedding:tied", strconv.FormatBool(e.Tied))
	}
	shown := 0
	for _, s := range r.Suspects {
		if s.Status == scan.StatusNatural || shown == bomItems {
			continue
		}
		shown++
		name := "token " + strconv.Itoa(s.TokenID)
		if s.Token != "" {
			name += " " + quote(clip(s.Token, sarifNameBytes))
		}
		for _, x := range s.Suppressions[:min(len(s.Suppressions), bomItems)] {
			p.add("suspect:accepted", name+": "+x.Justification+" ("+x.Source+")")
		}
		p.add("suspect", fmt.Sprintf("%s: %s, rank %d, score %s", name, clip(string(s.Status), sarifNameBytes), s.Rank, decimal(s.Score, 2)))
	}
	p.addAll("warning", r.Warnings)
	p.addGate(r.Gate)
	return c
}

// addGate says what a policy decided, and by which files.
func (p *bomProperties) addGate(g *scan.Gate) {
	if g == nil {
		return
	}
	p.add("gate", string(g.Decision))
	p.addAll("gate:reason", g.Reasons)
	p.addAll("gate:note", g.Notes)
	for _, f := range g.Policy[:min(len(g.Policy), bomItems)] {
		p.add("gate:policy", f.Path+" sha256:"+f.SHA256)
	}
}

var (
	// hubID is an id of the Hugging Face hub, with its owner or, of old models,
	// without.
	hubID = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	// hubCommit is in the paths of the hub's cache.
	hubCommit = regexp.MustCompile(`(?:^|[/\\])snapshots[/\\]([0-9a-f]{40})(?:[/\\]|$)`)
)

// ancestor describes the model that the checkpoint was compared with. The
// folders above it are not told.
func ancestor(ref *scan.Reference) bomComponent {
	c := bomComponent{
		Type: "machine-learning-model", Ref: "reference",
		Name: orElse(bomSafe(ref.ID), orElse(bomSafe(path.Base(relative(ref.Path))), "reference")),
	}
	if m := hubCommit.FindStringSubmatch(ref.Path); m != nil && ref.ID != "" {
		c.Version = m[1]
	}
	if hubID.MatchString(ref.ID) {
		c.PURL = "pkg:huggingface/" + ref.ID // of which the pattern leaves nothing to encode
		if c.Version != "" {
			c.PURL += "@" + c.Version
		}
	}
	c.Properties.add("verified", strconv.FormatBool(ref.Verified))
	if m := ref.Match; m != nil {
		c.Properties.add("match", string(m.Verdict))
		c.Properties.add("match:row-cosine-median", decimal(m.RowCosineMedian, 5))
	}
	return c
}

// tasks tells what a model does by the end of its architecture's name, in the
// words of the hub's pipelines.
var tasks = []struct{ suffix, task string }{
	{"ForSequenceClassification", "text-classification"},
	{"ForTokenClassification", "token-classification"},
	{"ForQuestionAnswering", "question-answering"},
	{"ForMaskedLM", "fill-mask"},
	{"ForCausalLM", "text-generation"},
	{"LMHeadModel", "text-generation"},
	{"ForConditionalGeneration", "text2text-generation"},
}

func task(architecture string) string {
	for _, t := range tasks {
		if strings.HasSuffix(architecture, t.suffix) {
			return t.task
		}
	}
	return ""
}

// vulnerabilities are the issues of the report. A model that was not cleared has
// at least one.
func vulnerabilities(r *scan.Report) []bomVulnerability {
	all := issues(r)
	out := []bomVulnerability{}
	if len(all) > bomFindings {
		serious(all)
		all = all[:bomFindings]
	}
	w := sarifWriter{Report: r, names: TokenNames(r)}
	for n, i := range all {
		id := orElse(bomSafe(i.rule), ruleIncomplete)
		v := bomVulnerability{
			Ref: "finding-" + strconv.Itoa(n+1), ID: id, Source: bomSource{"btu-scan", homepage + "/blob/main/docs/methods.md"},
			Ratings:     []bomRating{{bomSource{Name: "btu-scan"}, bomSeverity(i), "other"}},
			Description: "a finding of another version of btu-scan", Detail: bomSafe(w.message(i)),
			Analysis: analysis(i), Affects: []bomAffected{{bomModel}},
		}
		if at := ruleIndex(id); at >= 0 {
			rule := rules[at]
			v.Description, v.Recommendation = rule.short, strings.Join(rule.advice, " ")
			v.CWEs = rule.cwes()
		}
		if i.unsafe {
			v.Properties.add("place", Place(r, i.where))
		}
		for _, s := range i.suppressions[:min(len(i.suppressions), bomItems)] {
			v.Properties.add("suppressed-by", s.Justification+" ("+s.Source+")")
		}
		for _, token := range i.tokens[:min(len(i.tokens), bomItems)] {
			v.Properties.add("token-id", strconv.Itoa(token))
		}
		out = append(out, v)
	}
	return out
}

// cwes are the weaknesses among the rule's tags.
func (r *rule) cwes() (ids []int) {
	for _, tag := range r.tags {
		if s, ok := strings.CutPrefix(tag, "external/cwe/cwe-"); ok {
			if n, err := strconv.Atoi(s); err == nil {
				ids = append(ids, n)
			}
		}
	}
	return ids
}

// bomSeverity is unknown where nothing was found but the scan has no answer.
func bomSeverity(i issue) string {
	if i.rule == ruleIncomplete && !i.severity.Serious() {
		return "unknown"
	}
	return []string{"info", "medium", "high", "critical"}[weight(i.severity)]
}

// analysis says how sure it is. Only a trigger that was seen to work is
// exploitable; all else is for a person to look at.
func analysis(i issue) bomAnalysis {
	switch {
	case i.suppressed:
		return bomAnalysis{"not_affected", "Accepted by the policy; the justifications are among the properties."}
	case i.rule == scan.RuleTrigger && !i.unsafe:
		return bomAnalysis{"exploitable", "The model was run, and the trigger took it over."}
	case i.rule == ruleIncomplete:
		return bomAnalysis{"in_triage", "The scan has no answer: the model is neither cleared nor accused."}
	case i.unsafe:
		return bomAnalysis{"in_triage", "Read from the files, which were not executed."}
	}
	return bomAnalysis{"in_triage", "Read from the weights: the model was not seen to obey a token."}
}

// bomSafe clips a text of a report and makes it visible.
func bomSafe(s string) string { return Plain(clip(s, bomText)) }
