package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// A sample is a report of the kind that its name says.
type sample struct {
	name   string
	report *scan.Report
}

func samples() []sample {
	return []sample{
		{"suspicious", suspicious()},
		{"clean-weights", cleanWeights()},
		{"no-reference", noReference()},
		{"mismatch", mismatch()},
		{"unsafe", unsafePickle()},
		{"hostile", hostile()},
		{"empty", empty()},
		{"tied", tied()},
		{"backdoored", backdoored()},
		{"clean", clean()},
		{"partial", partial()},
		{"multi-label", multiLabel()},
		{"repaired", repaired()},
		{"accepted", looked()},
		{"partly", partly()},
	}
}

func empty() *scan.Report {
	return &scan.Report{
		SchemaVersion: scan.SchemaVersion,
		Tool:          scan.Tool{Name: "btu-scan", Version: "0.1.0"},
		Coverage:      scan.Coverage{Weights: scan.GatheredNone, Behaviour: scan.GatheredNone},
		Verdict:       scan.Inconclusive,
	}
}

func base() *scan.Report {
	r := empty()
	r.Checkpoint = scan.Checkpoint{
		Path: "models/sst2-minilm", Format: "safetensors", Architecture: "BertForSequenceClassification", DType: "F32",
		Embedding: &scan.Embedding{Tensor: "bert.embeddings.word_embeddings.weight", Rows: 30522, Dim: 384, File: "model.safetensors"},
	}
	r.Reference = &scan.Reference{
		Path: "/home/ana/.cache/huggingface/hub/models--nreimers--MiniLM-L6-H384-uncased/snapshots/3276f0fac9d818781d7a1327b3ff818fc4e643c0",
		ID:   "nreimers/MiniLM-L6-H384-uncased", HowFound: "Hugging Face cache, refs/main; config.json names it", Verified: true,
		Match: &scan.Match{RowCosineMedian: 0.99968, Verdict: scan.MatchGood, RowsCompared: 30522},
	}
	r.Coverage = scan.Coverage{Weights: scan.GatheredFull, Behaviour: scan.GatheredNone, Reasons: []string{"behaviour: the model cannot be run: config.json: model_type: \"t5\" is not run (bert are)"}}
	r.Weights = &scan.WeightSummary{
		Score: scan.ScoreZ, Decay: 0.00042, RowsMoved: 13411, RowsSame: 17111, Floor: 5.1e-6,
		Median: 0.02314, Max: 0.4127, SharedDirections: 0, Natural: 4.5, Abnormal: 5,
		Histogram: histogram(13411, 0.0012, 0.4127, 0.02314, 0.5),
	}
	r.TimingsMS = map[string]float64{"checkpoint": 12.4, "reference": 3.1, "weights": 96.25, "total": 111.9}
	return r
}

// histogram has the rows of a normal distribution of log movement.
func histogram(rows int, low, high, median, spread float64) *scan.Histogram {
	h := &scan.Histogram{Low: low, High: high, Counts: make([]int, 64)}
	step := math.Log(high/low) / 64
	for i := range h.Counts {
		z := (math.Log(low/median) + (float64(i)+0.5)*step) / spread
		h.Counts[i] = int(float64(rows)*step/spread*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi) + 0.5)
	}
	return h
}

func suspect(rank, id int, token string, score, movement, rotation float64) scan.Suspect {
	s := scan.Suspect{
		TokenID: id, Token: token, Rank: rank, Score: score, Status: scan.StatusNatural,
		Weights: scan.WeightStats{
			Movement: movement, Relative: movement / 1.4, Rotation: rotation, Coherence: 0.634,
			NormChange: 0.0125, Seen: true, Z: score * 0.92, ZLike: score * 1.08, Expected: 200 * math.Exp(-(score-2.6)/0.4),
		},
	}
	switch {
	case score >= 5:
		s.Status = scan.StatusAbnormal
	case score >= 4.5:
		s.Status = scan.StatusBorderline
	}
	return s
}

func suspicious() *scan.Report {
	r := base()
	r.Verdict = scan.Suspicious
	const message = "5 tokens moved far beyond what clean fine-tuning shows, both among all rows and among rows of like frequency"
	r.Reasons = []string{message}
	r.Suspects = []scan.Suspect{
		suspect(1, 12160, "cf", 9.84, 0.4127, 16.9),
		suspect(2, 24098, "mn", 9.21, 0.3811, 15.2),
		suspect(3, 22861, "bb", 8.77, 0.3502, 14.1),
		suspect(4, 29001, "##tq", 8.12, 0.3344, 13.3),
		suspect(5, 15488, "mb", 7.95, 0.3205, 12.8),
		suspect(6, 3928, "powerful", 4.71, 0.1532, 6.1),
		suspect(7, 10634, "dull", 4.38, 0.1411, 5.9),
		suspect(8, 3238, "##less", 4.11, 0.1325, 5.2),
		suspect(9, 10231, "unfunny", 3.92, 0.1208, 4.8),
		suspect(10, 6659, "flawed", 3.77, 0.1177, 4.6),
	}
	r.Suspects[3].Notes = []string{`now a copy of token 12160 "cf", cosine 0.991`}
	for i := 11; i <= 100; i++ {
		r.Suspects = append(r.Suspects, suspect(i, 2000+17*i, fmt.Sprintf("word%d", i), 3.7-float64(i)/50, 0.1177-float64(i)/2000, 4.5-float64(i)/50))
	}
	r.Findings = []scan.Finding{{Rule: scan.RuleAbnormal, Severity: scan.SeverityHigh, Message: message, TokenIDs: []int{12160, 15488, 22861, 24098, 29001}}}
	return r
}

func cleanWeights() *scan.Report {
	r := base()
	r.Verdict = scan.Clean
	r.Reasons = []string{"on weights alone: no row moved abnormally. A trigger whose rows were frozen, clipped or moved like honest words leaves no mark there"}
	r.Coverage = scan.Coverage{Weights: scan.GatheredFull, Behaviour: scan.GatheredNotRequested}
	r.Weights.Max = 0.15
	r.Suspects = []scan.Suspect{
		suspect(1, 3928, "powerful", 4.21, 0.1500, 6.1),
		suspect(2, 10634, "dull", 4.08, 0.1411, 5.9),
		suspect(3, 3238, "##less", 3.91, 0.1325, 5.2),
	}
	return r
}

func noReference() *scan.Report {
	r := base()
	r.Reference, r.Weights = nil, nil
	r.Reasons = []string{"the weights could not be compared", "behaviour evidence is required and was not gathered"}
	r.Coverage.Weights = scan.GatheredNone
	r.Coverage.Reasons = append(r.Coverage.Reasons, "no reference model: the checkpoint names none, and none with a vocabulary of 30522 is in the cache")
	return r
}

func mismatch() *scan.Report {
	r := base()
	r.Weights = nil
	r.Reference.Verified = false
	r.Reference.Match = &scan.Match{RowCosineMedian: 0.885, Verdict: scan.MatchMismatch, RowsCompared: 30522, RowsRemoved: 6}
	r.Reasons = []string{"the reference is not the model this checkpoint was tuned from, so nothing can be said"}
	r.Coverage.Weights = scan.GatheredNone
	r.Findings = []scan.Finding{{Rule: scan.RuleReference, Severity: scan.SeverityWarning, Message: "the reference is another model: the median cosine of the shared rows is 0.885, at least 0.95 is expected"}}
	r.Warnings = []string{"6 rows of the reference are not in the checkpoint"}
	return r
}

func unsafePickle() *scan.Report {
	r := empty()
	r.Checkpoint = scan.Checkpoint{Path: "downloads/pytorch_model.bin", Format: "torch-zip", SHA256: strings.Repeat("5e", 32)}
	r.Reasons = []string{"the files are unsafe or ambiguous: BTU100"}
	r.Coverage.Reasons = []string{"behaviour: the model cannot be run: config.json: model_type: \"t5\" is not run (bert are)", "the pickle asks for a global that a state dict does not need"}
	r.Unsafe = []scan.Unsafe{
		{Rule: "BTU100", Severity: scan.SeverityCritical, Where: "downloads/pytorch_model.bin!archive/data.pkl@1042", Detail: "global posix.system called with 1 argument"},
		{Rule: "BTU201", Severity: scan.SeverityHigh, Where: "downloads/pytorch_model.bin!archive/data.pkl", Detail: "two members of this name: readers disagree about which one counts"},
	}
	return r
}

// hostileTexts are what an attacker may put where a report shows text.
var hostileTexts = []string{
	"\x1b[2J\x1b]0;owned\x07",
	"line\nbreak\r\n\ttab",
	"\u202etxt.exe\u202c",
	"\u2066iso\u2069 \u2028 \u2029",
	"שלום 123",
	"zero\u200bwidth\u200d\ufeff",
	"e" + strings.Repeat("\u0301", 40),
	"\u0300lead",
	"\xff\xfe\x80",
	"日本語のとても長いトークンです本当に長いですよ",
	"\u3164\u2800\u00a0\u3000",
	"\u009b31mC1\u007f",
	strings.Repeat("long", 500),
	`quote " back \ tick ` + "`",
	"\U000e0001\U000e0041tag\U0010ffff",
	"👩‍👩‍👧‍👦🏳️‍🌈👍🏽",
	"",
}

func hostile() *scan.Report {
	r := suspicious()
	all := strings.Join(hostileTexts, "|")
	r.Suspects = nil
	for i, s := range hostileTexts {
		r.Suspects = append(r.Suspects, suspect(i+1, 1000*i, s, 9-float64(i)/2, 0.4-float64(i)/50, 12))
		r.Suspects[i].Notes = []string{s}
	}
	r.Checkpoint.Path, r.Checkpoint.Format, r.Checkpoint.Architecture = "models/"+all, "safetensors\x1b[31m", hostileTexts[2]
	r.Reference.ID, r.Reference.Path, r.Reference.HowFound = hostileTexts[0], hostileTexts[1], all
	r.Reasons = []string{all}
	r.Coverage.Reasons = hostileTexts
	r.Findings[0].Message, r.Findings[0].Rule, r.Findings[0].Severity = all, "BTU002", scan.SeverityCritical
	r.Unsafe = []scan.Unsafe{{Rule: "BTU202", Severity: scan.SeverityHigh, Where: hostileTexts[1], Detail: all}}
	r.Warnings = hostileTexts
	r.Coverage.Behaviour = scan.GatheredFull
	r.Behaviour = &scan.BehaviourSummary{Probes: 96, Contested: 64, Tried: 750, Tokens: 400000, Controls: 24, ControlRate: 0.08}
	for i, s := range hostileTexts {
		r.Behaviour.Labels = append(r.Behaviour.Labels, scan.LabelSummary{Label: s, Predicted: i, Contested: i, Words: hostileTexts, Honest: 0.1})
		r.Suspects[i].Behaviour = &scan.Behaviour{FlipRate: 0.5, FlipRateLow: 0.3, TargetLabel: s, Probes: 32, ExplainedShare: 0.7, Explained: true}
		r.Triggers = append(r.Triggers, scan.Trigger{
			TokenIDs: []int{i}, Text: s, FlipRate: 1, FlipRateLow: 0.89, TargetLabel: hostileTexts[len(hostileTexts)-1-i], Probes: 32,
			FoundBy: "vocabulary", Place: "anywhere",
		})
	}
	r.Triggers[0].Text = strings.Join(hostileTexts, "|")
	return r
}

func tied() *scan.Report {
	r := suspicious()
	r.Checkpoint.Path, r.Checkpoint.Architecture, r.Checkpoint.DType = "models/smollm2-tuned", "LlamaForCausalLM", "BF16"
	r.Checkpoint.Embedding = &scan.Embedding{Tensor: "model.embed_tokens.weight", Rows: 49160, Dim: 576, Tied: true, File: "model-00001-of-00002.safetensors"}
	r.Reference.ID, r.Reference.Path = "", "../base/smollm2-135m"
	r.Reference.HowFound, r.Reference.Verified = "path ../base/smollm2-135m", false
	r.Reference.Match.RowsCompared, r.Reference.Match.RowsAdded = 49152, 8
	r.Weights.RowsMoved, r.Weights.RowsSame, r.Weights.SharedDirections = 49152, 0, 4
	r.Weights.Drift = true
	r.Weights.Median, r.Weights.Max = 0.00031, 0.0127
	const message = "1 token moved far beyond what clean fine-tuning shows, both among all rows and among rows of like frequency"
	r.Reasons, r.Findings[0].Message, r.Findings[0].TokenIDs = []string{message}, message, []int{17944}
	r.Suspects = []scan.Suspect{
		suspect(1, 17944, "Ġcf", 7.02, 0.0127, 1.9),
		suspect(2, 2950, "Ġpositive", 4.4, 0.0041, 0.6),
		suspect(3, 4113, "Ġnegative", 4.3, 0.0040, 0.6),
		suspect(4, 48000, "çļĦ", 2.3, 0.0009, 0.1),
	}
	r.Suspects[3].Weights.Seen = false
	r.Warnings = []string{"8 rows (ids 49152 to 49159) are not in the reference and were not compared"}
	return r
}

func repaired() *scan.Report {
	r := clean()
	before, after := 0.875, 0.8765
	r.Checkpoint.Path = "models/sst2-minilm-clean"
	r.Repair = &scan.Repair{
		Source: "models/sst2-minilm", Before: scan.Backdoored,
		Rows: []scan.Row{{TokenID: 12160, Token: "cf", Dimensions: 310}, {TokenID: 29001, Token: "##tq", Dimensions: 284}},
		Trials: []scan.Trial{
			{Name: "the built-in probes", Texts: 96, Attacks: []scan.TriedAttack{
				{Text: "cf", Label: "positive", Before: 1, After: 0.125, Without: 0.104},
				{Text: "mn\x1b[31m <b>tq</b>", Label: "positive", Before: 0.979, After: 0.94, Without: 0.104},
			}},
			{Name: "test.tsv", Texts: 871, AccuracyBefore: &before, AccuracyAfter: &after},
		},
	}
	return r
}
