package scan

// A Repair says what had been done to the checkpoint when it was scanned, and
// what that did to triggers and answers.
type Repair struct {
	Source string  `json:"source"`                   // the checkpoint as it came
	Before Verdict `json:"verdict_before,omitempty"` // of the source; "" where it was not scanned
	Rows   []Row   `json:"rows"`                     // overwritten
	Trials []Trial `json:"trials"`
}

// A Row is one that a repair overwrote.
type Row struct {
	TokenID    int    `json:"token_id"`
	Token      string `json:"token"`
	Dimensions int    `json:"dimensions"`
}

// A Trial compares the source and the repaired checkpoint on the same texts.
// Rates are shares, from 0 to 1.
type Trial struct {
	Name  string `json:"name"` // of the texts
	Texts int    `json:"texts"`
	// Accuracies are null where no label is known.
	AccuracyBefore *float64      `json:"accuracy_before"`
	AccuracyAfter  *float64      `json:"accuracy_after"`
	Attacks        []TriedAttack `json:"attacks"`
}

// A TriedAttack is how often a trigger succeeds on texts of other labels.
type TriedAttack struct {
	Text   string  `json:"text"`
	Label  string  `json:"target_label"`
	Before float64 `json:"attack_success_before"`
	After  float64 `json:"attack_success_after"`
	// Without is how often such texts get the label without an attack, as they
	// are or with a random token put in: less cannot be had.
	Without float64 `json:"without_attack"`
}
