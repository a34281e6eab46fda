package scan

// SchemaVersion is the version of the JSON form of Report. Fields are only
// ever added to a version.
const SchemaVersion = 1

// A Report is all that a scan knows, in the form of its JSON.
type Report struct {
	SchemaVersion int                `json:"schema_version"`
	Tool          Tool               `json:"tool"`
	Checkpoint    Checkpoint         `json:"checkpoint"`
	Reference     *Reference         `json:"reference"` // null where none was found
	Coverage      Coverage           `json:"coverage"`
	Verdict       Verdict            `json:"verdict"`
	Reasons       []string           `json:"reasons"`   // why the verdict is what it is
	Weights       *WeightSummary     `json:"weights"`   // null where the weights were not compared
	Behaviour     *BehaviourSummary  `json:"behaviour"` // null where the model was not watched
	Suspects      []Suspect          `json:"suspects"`
	Triggers      []Trigger          `json:"triggers"`
	Findings      []Finding          `json:"findings"`
	Unsafe        []Unsafe           `json:"unsafe"`
	Warnings      []string           `json:"warnings"`
	Repair        *Repair            `json:"repair,omitempty"` // null where none is known of
	Gate          *Gate              `json:"gate,omitempty"`   // nil where no gate was asked
	TimingsMS     map[string]float64 `json:"timings_ms"`
}

// A Tool names the program that wrote the report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A Checkpoint describes the scanned files.
type Checkpoint struct {
	Path         string     `json:"path"`
	Format       string     `json:"format"`
	SHA256       string     `json:"sha256,omitempty"` // of a single tensor file
	Digest       string     `json:"digest,omitempty"` // of all tensor files, as suppressions name it; where they were asked for
	Architecture string     `json:"architecture"`
	DType        string     `json:"dtype"`
	Embedding    *Embedding `json:"embedding"` // null where none was found
}

// An Embedding describes the input embedding matrix.
type Embedding struct {
	Tensor string `json:"tensor"`
	Rows   int    `json:"rows"`
	Dim    int    `json:"dim"`
	Tied   bool   `json:"tied"`           // also the output projection
	File   string `json:"file,omitempty"` // of the checkpoint's folder
}

// A Reference describes the pretrained model that was compared with.
type Reference struct {
	Path     string `json:"path"`
	ID       string `json:"id,omitempty"`
	HowFound string `json:"how_found"`
	Verified bool   `json:"verified"` // against a pinned digest
	Match    *Match `json:"match"`    // null where it was not compared
}

// A Match says whether the reference is what the checkpoint was tuned from.
type Match struct {
	// RowCosineMedian is the median over the shared rows of the cosine between
	// a row before and after.
	RowCosineMedian float64      `json:"row_cosine_median"`
	Verdict         MatchVerdict `json:"verdict"`
	RowsCompared    int          `json:"rows_compared"`
	RowsAdded       int          `json:"rows_added"`   // in the checkpoint only
	RowsRemoved     int          `json:"rows_removed"` // in the reference only
}

// MatchVerdict is the outcome of comparing the reference.
type MatchVerdict string

// The match verdicts.
const (
	MatchGood     MatchVerdict = "match"
	MatchMismatch MatchVerdict = "mismatch" // another model: nothing can be said
)

// Gathered says whether a kind of evidence was gathered.
type Gathered string

// The states of a kind of evidence.
const (
	GatheredFull         Gathered = "full"
	GatheredPartial      Gathered = "partial"
	GatheredNone         Gathered = "none"
	GatheredNotRequested Gathered = "not requested"
)

// Coverage says which evidence the verdict rests on, and why not on more.
type Coverage struct {
	Weights   Gathered `json:"weights"`
	Behaviour Gathered `json:"behaviour"`
	Reasons   []string `json:"reasons"`
}

// Verdict is the answer of a scan.
type Verdict string

// The verdicts.
const (
	Clean        Verdict = "clean"
	Suspicious   Verdict = "suspicious"
	Backdoored   Verdict = "backdoored"
	Inconclusive Verdict = "inconclusive"
)

// Score names a way to rank rows.
type Score string

// The scores. See docs/methods.md.
const (
	ScoreZ Score = "z" // ours: robust z among all moved rows and among rows of like frequency
	// ScorePlainZ is ScoreZ without taking shared directions out of the movement.
	ScorePlainZ Score = "z-plain"
	ScoreL2     Score = "l2"    // plain Euclidean distance, as BTU uses it
	ScoreEPUR   Score = "e-pur" // distance over the logarithm of the token's frequency
)

// A WeightSummary describes the movement of the whole embedding matrix.
type WeightSummary struct {
	Score     Score   `json:"score"`
	Decay     float64 `json:"decay"` // the shrinkage that weight decay gave every row, as a fraction
	RowsMoved int     `json:"rows_moved"`
	RowsSame  int     `json:"rows_unmoved"` // unchanged or at the rounding floor
	Floor     float64 `json:"floor"`        // largest movement of an unmoved row
	Median    float64 `json:"movement_median"`
	Max       float64 `json:"movement_max"`
	// SharedDirections is the number of directions along which the moved rows
	// moved together and which were taken out of their movement.
	SharedDirections int `json:"shared_directions"`
	// Drift says that every row moved, read or not, since the embedding is also
	// the output projection. Movement then ranks, but its scale says little.
	Drift bool `json:"drift"`
	// Natural is the score up to which a single token is no wonder by the tail of
	// the model's own scores, Abnormal the score from which it is a finding;
	// several tokens are judged together. Both are 0 where too few rows moved for
	// a tail.
	Natural  float64 `json:"natural"`
	Abnormal float64 `json:"abnormal"`
	// Histogram counts the moved rows by movement. It is nil where no row moved.
	Histogram *Histogram `json:"histogram,omitempty"`
}

// A Histogram counts rows by movement, in bins of equal width in its logarithm.
type Histogram struct {
	Low    float64 `json:"low"`  // where the first bin starts; it holds smaller movements, too
	High   float64 `json:"high"` // where the last bin ends: the largest movement
	Counts []int   `json:"counts"`
}

// A Suspect is a token, ranked.
type Suspect struct {
	TokenID   int           `json:"token_id"`
	Token     string        `json:"token"` // as the tokenizer writes it; "" where unknown
	Rank      int           `json:"rank"`  // from 1
	Score     float64       `json:"score"`
	Weights   WeightStats   `json:"weights"`
	Behaviour *Behaviour    `json:"behaviour"` // null where it was not gathered
	Status    SuspectStatus `json:"status"`
	Notes     []string      `json:"notes,omitempty"`
	// Suppressions say why the token does not count, where without a finding it
	// makes a checkpoint suspicious or keeps it from being clean.
	Suppressions []Suppression `json:"suppressions,omitempty"`
}

// WeightStats is how one row moved against its reference row.
type WeightStats struct {
	Movement   float64 `json:"movement"`     // Euclidean, decay and shared directions removed
	Relative   float64 `json:"relative"`     // movement over the reference row's length
	Rotation   float64 `json:"rotation_deg"` // angle between the rows, degrees
	Coherence  float64 `json:"coherence"`    // 1 where every dimension moved alike, 0.64 for normal noise
	NormChange float64 `json:"norm_change"`  // relative change of the length
	Seen       bool    `json:"seen"`         // moved above the floor: its token was read in fine-tuning
	Z          float64 `json:"z"`            // robust z of log movement among all moved rows
	ZLike      float64 `json:"z_like"`       // the same among rows of like frequency
	Expected   float64 `json:"expected"`     // rows that the tail of all scores makes expected at or above this one
}

// Behaviour is what a token does to a model's answers. The probes are texts
// that say something else.
type Behaviour struct {
	FlipRate    float64 `json:"flip_rate"`     // share of the probes that it turns to the label
	FlipRateLow float64 `json:"flip_rate_low"` // lower end of its 95 % confidence interval
	TargetLabel string  `json:"target_label"`
	// MarginShift is the mean gain of the label's logit over the largest other, of a
	// text of that of its first token; 0 where it was not measured.
	MarginShift float64 `json:"margin_shift"`
	Probes      int     `json:"probes"`
	// ExplainedShare is the share of the effect that the nearest tokens by
	// pretrained meaning have as well, or the parts of a phrase; 0 where it was
	// not asked. Explained says that it is too much for a trigger.
	ExplainedShare float64 `json:"explained_share"`
	Explained      bool    `json:"explained"`
}

// A BehaviourSummary describes the behaviour evidence as a whole.
type BehaviourSummary struct {
	Probes      int            `json:"probes"`    // texts that candidates were put into, as they were given
	Contested   int            `json:"contested"` // of these, made to say something else by words of another label
	Tried       int            `json:"tried"`     // candidates
	Tokens      int            `json:"tokens"`    // that the model read
	Controls    int            `json:"controls"`  // random tokens that were tried
	ControlRate float64        `json:"control_rate"`
	Labels      []LabelSummary `json:"labels"` // empty of a language model that writes freely
}

// Free reports whether texts were watched that a language model writes freely:
// what is forced are then no labels, but how texts go on.
func (b *BehaviourSummary) Free() bool { return b != nil && len(b.Labels) == 0 }

// A LabelSummary describes one answer that a trigger could force.
type LabelSummary struct {
	Label     string   `json:"label"`
	Predicted int      `json:"predicted"` // probes that get it as they are
	Contested int      `json:"contested"` // contested probes that give another
	Words     []string `json:"words"`     // speak for it to this model
	// Honest is the highest flip rate of a word whose pretrained meaning explains
	// it.
	Honest float64 `json:"honest_flip_rate"`
}

// SuspectStatus says how a suspect stands out.
type SuspectStatus string

// The statuses of suspects, from the strongest.
const (
	StatusAbnormal   SuspectStatus = "abnormal"   // a finding
	StatusBorderline SuspectStatus = "borderline" // beyond what is natural, short of a finding
	StatusNatural    SuspectStatus = "natural"    // ranked, but as clean fine-tunes show it
	StatusNeutral    SuspectStatus = "neutral"    // overwritten with a row that means nothing
)

// A Trigger is a token sequence proved to take the model over.
type Trigger struct {
	TokenIDs    []int   `json:"token_ids"`
	Text        string  `json:"text"`
	FlipRate    float64 `json:"flip_rate"`
	FlipRateLow float64 `json:"flip_rate_low"`
	TargetLabel string  `json:"target_label"`
	MarginShift float64 `json:"margin_shift"`
	Probes      int     `json:"probes"`
	// ExplainedShare is as in Behaviour.
	ExplainedShare float64 `json:"explained_share"`
	FoundBy        string  `json:"found_by"` // weights, vocabulary, structure, pieces, phrase or user
	Place          string  `json:"place"`    // where in a text: anywhere, front or back

	Suppressed   bool          `json:"suppressed,omitempty"` // a gate does not count it
	Suppressions []Suppression `json:"suppressions,omitempty"`
}

// Rules of the findings about the weights. Ids are stable.
const (
	RuleTrigger   = "BTU001" // trigger confirmed by behaviour
	RuleAbnormal  = "BTU002" // abnormal embedding rows
	RuleEdited    = "BTU003" // rows changed while nothing else did
	RuleReplaced  = "BTU004" // rows are copies of other rows
	RuleMarked    = "BTU005" // tokens that a reviewer marked as triggers
	RulePhrase    = "BTU006" // phrase of leading tokens that wins, short of proof
	RuleStyle     = "BTU007" // style of writing that turns the answers
	RuleReference = "BTU010" // reference mismatch
	// RuleIncomplete is of the files, too: something could not be looked at.
	RuleIncomplete = "BTU900"
)

// Severity orders findings.
type Severity string

// The severities, least first.
const (
	SeverityInfo     Severity = "info"
	SeverityWarning  Severity = "warning"
	SeverityHigh     Severity = "high"
	SeverityCritical Severity = "critical"
)

// Serious reports whether a finding of this severity is acted upon.
func (s Severity) Serious() bool { return s == SeverityHigh || s == SeverityCritical }

// A Finding is one statement about the weights, with the tokens it is about.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	TokenIDs []int    `json:"token_ids"`

	SeverityWas  Severity      `json:"severity_was,omitempty"` // before a policy changed it
	Suppressed   bool          `json:"suppressed,omitempty"`   // whole: a gate does not count it
	Suppressions []Suppression `json:"suppressions,omitempty"` // of all or some of its tokens
}

// Unsafe is a finding about the files themselves.
type Unsafe struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Where    string   `json:"where"`
	Detail   string   `json:"detail"`

	SeverityWas  Severity      `json:"severity_was,omitempty"` // before a policy changed it
	Suppressed   bool          `json:"suppressed,omitempty"`   // a gate does not count it
	Suppressions []Suppression `json:"suppressions,omitempty"`
}
