package scan

// A Gate is what a policy decides of a report. It changes neither the verdict,
// which stays what the evidence says, nor what was found.
type Gate struct {
	Decision Decision `json:"decision"`
	Reasons  []string `json:"reasons"` // strongest first
	FailOn   string   `json:"fail_on"` // the verdict from which it fails, or never
	// Require is the evidence without which it does not pass.
	Require []string `json:"require"`
	// Counted is how many findings of high or critical severity count, Suppressed
	// how many findings of any were taken out whole.
	Counted    int `json:"counted"`
	Suppressed int `json:"suppressed"`
	// Policy lists the files that the decision rests on.
	Policy []PolicyFile `json:"policy"`
	// Notes says what of the policy has no effect, such as suppressions that
	// expired or that match nothing.
	Notes []string `json:"notes"`
}

// Decision is whether a report passes a gate.
type Decision string

// The decisions.
const (
	Pass      Decision = "pass"
	Fail      Decision = "fail"
	Undecided Decision = "undecided" // required evidence is missing: no pass
)

// A PolicyFile is a file that a gate's decision rests on.
type PolicyFile struct {
	Kind   PolicyKind `json:"kind"`
	Path   string     `json:"path"`
	SHA256 string     `json:"sha256"`
}

// PolicyKind says what a file of a policy is.
type PolicyKind string

// The kinds of files.
const (
	PolicyConfig   PolicyKind = "configuration"
	PolicyTarget   PolicyKind = "configuration of the checkpoint's folder" // it can only make the gate stricter
	PolicyTriage   PolicyKind = "triage"
	PolicyBaseline PolicyKind = "baseline"
)

// A Suppression takes a finding, or one token of it, out of what a gate counts.
// The finding stays in the report.
type Suppression struct {
	By SuppressedBy `json:"by"`
	// TokenIDs are the tokens of the finding that it is about. None: all of it.
	TokenIDs      []int  `json:"token_ids"`
	Justification string `json:"justification"`
	Expires       string `json:"expires,omitempty"` // the last day on which it counts, in UTC
	Source        string `json:"source"`            // the file that says so
}

// SuppressedBy says what took a finding out.
type SuppressedBy string

// What can take a finding out.
const (
	ByPolicy   SuppressedBy = "suppression"
	ByTriage   SuppressedBy = "triage"
	ByBaseline SuppressedBy = "baseline" // it was there before
	ByRule     SuppressedBy = "rule off"
)
