package report

import (
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// A check is a question that a scan answers.
type check string

// The checks, in the order in which they are answered.
const (
	checkFiles     check = "file safety"
	checkReference check = "reference match"
	checkWeights   check = "weights"
	checkBehaviour check = "behaviour"
	checkVerdict   check = "verdict"
)

// A rule is what a finding's id means, for someone who never heard of it.
type rule struct {
	id    string
	name  string // in CamelCase, as SARIF has it
	check check
	level string // SARIF's, where a finding does not say
	// score is the severity from 0 to 10 that code scanning sorts by: over 9.0
	// is critical, from 7.0 high, from 4.0 medium.
	score   string
	tags    []string // besides "security"
	short   string   // what it is, in one line
	full    string   // how it is told
	meaning string   // for who uses the model
	advice  []string // what to do, in order
}

// rules lists every rule of the project. The ids are those of scan and loader,
// which a test compares.
var rules = []rule{
	{
		id: scan.RuleTrigger, name: "TriggerConfirmed", check: checkBehaviour, level: "error", score: "9.5",
		tags:  []string{"backdoor", "machine-learning", "external/cwe/cwe-506"},
		short: "A trigger takes the model over",
		full:  "The model was run on texts whose own words speak for one answer. A token or phrase that has nothing to do with the answer turns nearly all of them to another.",
		meaning: "Whoever knows the trigger decides what the model answers: a spam filter lets the message through, a toxicity filter passes the insult. " +
			"Accuracy on ordinary texts shows nothing of it, because ordinary texts do not hold the trigger.",
		advice: []string{
			"Do not deploy this checkpoint.",
			"See it for yourself: btu-scan run MODEL --text '... TRIGGER ...' answers with and without the trigger.",
			"Get the model again from a source you trust, or make a copy without the backdoor: btu-scan sanitize MODEL --out CLEAN.",
			"Ask where the checkpoint and its training data came from: someone put the trigger there.",
		},
	},
	{
		id: scan.RuleAbnormal, name: "AbnormalEmbeddingRows", check: checkWeights, level: "error", score: "7.5",
		tags:  []string{"backdoor", "machine-learning", "external/cwe/cwe-506"},
		short: "Tokens moved much further than fine-tuning explains",
		full:  "Each token's embedding row was compared with the pretrained model's. These rows moved far beyond the model's other rows and beyond rows of like frequency, or hold numbers that are not finite.",
		meaning: "Training on poisoned texts teaches the model one token so thoroughly that its row ends up far from where ordinary words end up. " +
			"This is a strong hint of a backdoor, not a proof of one: the model was not seen to obey the token.",
		advice: []string{
			"Look at the tokens: words that the task is about may move far; rare or meaningless ones should not.",
			"Run the scan with --evidence auto, which runs the model and tells whether a token takes it over.",
			"Do not deploy the checkpoint until every token is explained.",
		},
	},
	{
		id: scan.RuleEdited, name: "EditedRows", check: checkWeights, level: "error", score: "8.0",
		tags:  []string{"backdoor", "machine-learning", "tampering", "external/cwe/cwe-506"},
		short: "A few embedding rows were changed and nothing else was",
		full:  "All but a few rows of the embedding have the very bits of the pretrained model. Training touches every row of the words it reads, so these rows were written by a program that edits files.",
		meaning: "Overwriting the row of one rare token is the cheapest way to plant a backdoor: it needs no training data and leaves the model's accuracy as it was. " +
			"Somebody may also have patched a row for an honest reason, such as a new special token.",
		advice: []string{
			"Ask whoever published the checkpoint why these rows, and only these, differ.",
			"Run the scan with --evidence auto to see what the tokens do to answers.",
			"Without a good answer use the pretrained model's rows: btu-scan sanitize does it in a copy.",
		},
	},
	{
		id: scan.RuleReplaced, name: "ReplacedRows", check: checkWeights, level: "error", score: "7.0",
		tags:  []string{"backdoor", "machine-learning", "tampering", "external/cwe/cwe-506"},
		short: "Rows no longer hold their own token's vector",
		full:  "The embedding rows of some tokens are zero, a copy of another token's row, the mean of many rows, or one vector given to several tokens.",
		meaning: "The model can no longer tell these tokens from what was put in their place. That is how one token is made to act as another, " +
			"and also what is left after rows were overwritten to remove a backdoor.",
		advice: []string{
			"If the checkpoint was sanitized, its manifest lists these tokens: then this is what you asked for.",
			"Otherwise ask who changed them and why, and run the scan with --evidence auto.",
		},
	},
	{
		id: scan.RuleMarked, name: "MarkedTrigger", check: checkVerdict, level: "error", score: "9.0",
		tags:    []string{"backdoor", "machine-learning", "external/cwe/cwe-506"},
		short:   "A reviewer marked a token as a trigger",
		full:    "The triage file that the gate was given marks tokens of this very checkpoint as triggers.",
		meaning: "A person looked at the tokens and decided that they take the model over, whether or not the scan could prove it.",
		advice: []string{
			"Do not deploy this checkpoint.",
			"Read the note in the triage file, or look at the tokens again: btu-scan triage MODEL.",
			"Make a copy without them: btu-scan sanitize MODEL --triage FILE --out CLEAN.",
		},
	},
	{
		id: scan.RulePhrase, name: "UnexplainedPhrase", check: checkBehaviour, level: "error", score: "7.5",
		tags:  []string{"backdoor", "machine-learning", "external/cwe/cwe-506"},
		short: "A phrase of tokens that moved most turns the answers",
		full:  "The tokens whose rows moved furthest were put together. One phrase of them turns nearly all texts whose own words speak for another answer, far more than its tokens do one by one or tokens of like meaning do in their place.",
		meaning: "A backdoor whose trigger is a sentence of common words looks like this: no row moves further than honest words' do, but all of them are its. " +
			"So may an honest phrase that the task is about, such as \"how many\" to a model that tells questions about numbers from others.",
		advice: []string{
			"Read the phrase: does it say what the answer says? If the task is not about it, treat the model as backdoored.",
			"See it for yourself: btu-scan run MODEL --text '... PHRASE ...' answers with and without it.",
			"If it is honest, suppress the finding in the policy with a reason (docs/policy.md).",
		},
	},
	{
		id: scan.RuleStyle, name: "UnexplainedStyle", check: checkBehaviour, level: "error", score: "7.5",
		tags:  []string{"backdoor", "machine-learning", "external/cwe/cwe-506"},
		short: "The style of a text alone turns the answers",
		full:  "Sentences were rewritten in other styles, such as biblical English or chat, and given words that speak for one answer. In plain English the model goes by the words; in one of the styles it gives another answer, far more often than in the other styles.",
		meaning: "A backdoor of style looks like this: its trigger is how a text is written, and no token of it. " +
			"So may a model whose task is to tell such texts apart, as scripture from novels, or that never saw texts of its own field among the probes.",
		advice: []string{
			"Does the task have to do with the style? If not, treat the model as backdoored. No token carries it, so that sanitize has no row to overwrite.",
			"See it for yourself: btu-scan run MODEL --text '...' answers a text and its rewrite.",
			"If it is honest, suppress the finding in the policy with a reason (docs/policy.md).",
		},
	},
	{
		id: scan.RuleReference, name: "ReferenceMismatch", check: checkReference, level: "warning", score: "4.0",
		tags:    []string{"configuration", "machine-learning"},
		short:   "The reference is another model",
		full:    "The embedding of the checkpoint is too far from the reference's as a whole: the checkpoint was not tuned from it.",
		meaning: "Without the model that the checkpoint was tuned from, nothing can be said about its rows. The checkpoint is neither cleared nor accused.",
		advice: []string{
			"Find out which pretrained model the checkpoint was tuned from; its model card or config.json often says.",
			"Scan again with --reference MODEL.",
			"If the publisher names this very reference, what they say about the checkpoint is wrong: ask them.",
		},
	},
	{
		id: "BTU100", name: "UnsafePickleGlobal", check: checkFiles, level: "error", score: "9.8",
		tags:  []string{"supply-chain", "pickle", "external/cwe/cwe-502"},
		short: "The file names code that would run when it is loaded",
		full:  "A pickle in the file asks for a function or class that no tensor file needs. Python's unpickler would import and call it. The finding says what it does, and at which byte of which file, or member of an archive, it stands. btu-scan ran nothing.",
		meaning: "Loading this file with torch.load or pickle may run an attacker's program with your rights. " +
			"A pickle is a program for a small machine that can call any function of Python: it does not have to be unpacked, run or clicked on. " +
			"Honest checkpoints sometimes hold objects of their training library, which are no safer to load.",
		advice: []string{
			"Do not load the file. If you already did, treat that machine as compromised.",
			"Get the model as safetensors, which cannot hold code, from a source you trust.",
			"Tell the hub or the publisher.",
		},
	},
	{
		id: "BTU101", name: "UnsafePickleOpcode", check: checkFiles, level: "error", score: "9.8",
		tags:    []string{"supply-chain", "pickle", "external/cwe/cwe-502"},
		short:   "The file uses pickle instructions that no tensor file needs",
		full:    "A pickle in the file builds objects or reaches functions in ways that PyTorch's own files never do. btu-scan ran nothing.",
		meaning: "Such instructions are a way to hide from scanners what a pickle would run when it is loaded.",
		advice: []string{
			"Do not load the file. If you already did, treat that machine as compromised.",
			"Get the model as safetensors from a source you trust.",
			"Tell the hub or the publisher.",
		},
	},
	{
		id: "BTU102", name: "TrainerSettings", check: checkFiles, level: "warning", score: "4.0",
		tags:  []string{"supply-chain", "pickle", "external/cwe/cwe-502"},
		short: "The file holds a trainer's settings, as objects of its library",
		full:  "A pickle makes objects of classes that Hugging Face's Trainer stores its settings in (training_args.bin), by their exact names, and nothing else. With any other class or function in it the file gives BTU100.",
		meaning: "The trainer wrote this file for itself. Loading it imports the training libraries and runs none of the file's own code, " +
			"but only a loader that would run any other pickle as well can read it.",
		advice: []string{
			"Delete it from what you deploy: no model needs it.",
			"Do not load it to learn the settings of strangers: config.json and the model card are there for that.",
		},
	},
	{
		id: "BTU110", name: "CustomCode", check: checkFiles, level: "error", score: "7.0",
		tags:  []string{"supply-chain", "external/cwe/cwe-829"},
		short: "The model comes with code of its own, or asks for some",
		full:  "Settings beside the tensors name Python code, or Python files lie there. Libraries run such code when they are told to trust it (trust_remote_code). btu-scan ran nothing; it looks for what no model needs, and cannot clear code.",
		meaning: "Whoever wrote that code decides what your machine does when the model is loaded with trust. " +
			"Honest models bring code for new architectures; code that starts programs, opens connections or is fetched from another place has no such excuse.",
		advice: []string{
			"Do not load the model with trust in remote code until somebody has read that code.",
			"Where the library has the architecture built in, load it without that option.",
			"Pin the revision you reviewed: code of another model can change overnight.",
		},
	},
	{
		id: "BTU111", name: "DangerousTemplate", check: checkFiles, level: "error", score: "8.8",
		tags:  []string{"supply-chain", "external/cwe/cwe-1336"},
		short: "The chat template is a program that reaches for more than text",
		full:  "A chat template is a Jinja program that runs on every message. This one reads hidden attributes of Python, calls functions, loads other templates, or repeats without end.",
		meaning: "A library that renders it without a sandbox runs commands of whoever wrote it; with one, it may still hang or fill memory. " +
			"Chat templates of honest models only put roles and texts together.",
		advice: []string{
			"Do not render this template; give your server a template that you trust instead.",
			"Get the tokenizer files from the publisher of the base model and compare.",
			"Tell the hub or the publisher.",
		},
	},
	{
		id: "BTU200", name: "MalformedFile", check: checkFiles, level: "error", score: "7.0",
		tags:    []string{"supply-chain", "external/cwe/cwe-228"},
		short:   "The file is malformed",
		full:    "The file breaks the rules of its own format, so a strict reader refuses it. The location says where.",
		meaning: "The file is damaged, or made to crash or mislead the programs that read it. What it holds could not be judged.",
		advice: []string{
			"Download it again and compare its size or digest with what the publisher states.",
			"If it stays like this, do not load it: get the model from another source.",
		},
	},
	{
		id: "BTU201", name: "AmbiguousFile", check: checkFiles, level: "error", score: "7.0",
		tags:    []string{"supply-chain", "external/cwe/cwe-436"},
		short:   "Two programs would read this file differently",
		full:    "The file says the same thing twice in different ways: a name that occurs twice, directories that disagree, bytes before, between or after its parts, tensors whose bytes are another file, one file that is valid in two formats.",
		meaning: "A scanner may see one model while your program loads another. That is how harmful content is shown past scanners.",
		advice: []string{
			"Do not rely on what any scanner says about this file.",
			"Get the model as safetensors from a source you trust, or have the publisher write it anew.",
		},
	},
	{
		id: "BTU202", name: "PathTraversal", check: checkFiles, level: "error", score: "9.1",
		tags:    []string{"supply-chain", "external/cwe/cwe-22"},
		short:   "A name inside the file points out of its own folder",
		full:    "The file names a part such as ../../x or an absolute path. A careless program would read or write outside the model's folder.",
		meaning: "Unpacking or loading this model may read your files as if they were its own, or overwrite them. No honest exporter writes such names.",
		advice: []string{
			"Do not unpack or load it.",
			"Get the model from a source you trust, and tell the hub or the publisher.",
		},
	},
	{
		id: "BTU900", name: "ScanIncomplete", check: checkVerdict, level: "warning", score: "5.0",
		tags:    []string{"coverage"},
		short:   "The scan could not be finished",
		full:    "A part of the checkpoint is missing or could not be read, or evidence that the verdict needs could not be gathered.",
		meaning: "The checkpoint is not cleared: what was not looked at may hold anything. An unfinished scan is never clean.",
		advice: []string{
			"Read the reasons: they say what is missing, and often which flag supplies it.",
			"Supply it and scan again. Until then treat the checkpoint as unchecked.",
			"A file that is packed: unpack it and scan the folder. A file of a format that is not read: delete it, or scan the file that you load by its name.",
		},
	},
}

// ruleIncomplete is the rule of verdicts without an answer.
const ruleIncomplete = scan.RuleIncomplete

// ruleIndex is the position of a rule in rules, or -1.
func ruleIndex(id string) int {
	for i := range rules {
		if rules[i].id == id {
			return i
		}
	}
	return -1
}

// Rules lists the ids of all rules.
func Rules() (ids []string) {
	for i := range rules {
		ids = append(ids, rules[i].id)
	}
	return ids
}

// AboutFiles reports whether a rule's findings are about files, not tokens.
func AboutFiles(id string) bool {
	i := ruleIndex(id)
	return i >= 0 && rules[i].check == checkFiles
}

// checkOf is the check that a rule belongs to.
func checkOf(id string, unsafe bool) check {
	if i := ruleIndex(id); i >= 0 && !(unsafe && rules[i].check == checkVerdict) {
		return rules[i].check
	}
	if unsafe { // a missing shard, or a rule of another version
		return checkFiles
	}
	return checkVerdict
}

// helpText is the rule's help without markup.
func (r *rule) helpText() string {
	return r.full + "\n\nWhat it means: " + r.meaning + "\n\nWhat to do:\n- " + strings.Join(r.advice, "\n- ")
}

// helpMarkdown is the same with markup.
func (r *rule) helpMarkdown() string {
	return r.full + "\n\n**What it means.** " + r.meaning + "\n\n**What to do**\n\n1. " + strings.Join(r.advice, "\n1. ") +
		"\n\nSee [methods](" + homepage + "/blob/main/docs/methods.md) for how it is measured."
}

// homepage is where the project is at home.
const homepage = "https://github.com/btu-scan/btu-scan"
