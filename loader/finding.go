package loader

// Rules of the findings this package reports. Ids are stable: they are used in
// reports and suppressions.
const (
	// RuleUnsafeGlobal: a pickle names a global outside the closed allowlist of
	// what a state dict needs.
	RuleUnsafeGlobal = "BTU100"
	// RuleUnsafeOpcode: a pickle uses an opcode that no state dict needs (INST,
	// OBJ, EXT, NEXT_BUFFER, ...) or reaches a global in a hidden way.
	RuleUnsafeOpcode = "BTU101"
	// RuleTrainerSettings: a pickle of a trainer's settings, made of classes of
	// known libraries alone. Nothing that a model needs.
	RuleTrainerSettings = "BTU102"
	// RuleCustomCode: the folder brings, or asks for, Python code that a library
	// runs when told to trust it.
	RuleCustomCode = "BTU110"
	// RuleTemplate: a chat template that reaches for Python's internals or for
	// endless output.
	RuleTemplate = "BTU111"
	// RuleMalformed: a container that a strict reader refuses.
	RuleMalformed = "BTU200"
	// RuleAmbiguous: a container that two readers read differently (duplicate
	// names, central directory against local header, trailing bytes).
	RuleAmbiguous = "BTU201"
	// RulePathTraversal: a name inside a file that points out of its folder.
	RulePathTraversal = "BTU202"
	// RuleIncomplete: a budget was spent or a part is missing.
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

// A Finding is something about the files themselves that is dangerous or
// ambiguous, whatever the weights say.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Where    string   `json:"where"`  // "file", "archive!member", with "@offset" where one applies
	Detail   string   `json:"detail"` // one sentence; quoted where it repeats the file's own text
}
