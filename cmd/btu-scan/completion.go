package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/scan"
	"github.com/btu-scan/btu-scan/scan/report"
)

// flagValues are the values of flags that have few, by the flag's name.
var flagValues = map[string][]cobra.Completion{
	"color": {"auto", "always", "never"},
	"device": {
		cobra.CompletionWithDesc("auto", "CUDA where there is one"), "cpu", "cuda", "cuda:0",
	},
	"donor":  {"pad", "mean", "reference"},
	"edit":   {"auto", "dimensions", "rows", "none"},
	"engine": {"auto", "go", "gotch"},
	"evidence": {
		cobra.CompletionWithDesc(string(scan.EvidenceWeights), "compare rows alone: under a second"),
		cobra.CompletionWithDesc(string(scan.EvidenceAuto), "run the model, too"),
		cobra.CompletionWithDesc(string(scan.EvidenceFull), "search more thoroughly"),
	},
	"fail-on": {string(scan.Suspicious), string(scan.Backdoored), "never"},
	"score": {
		cobra.CompletionWithDesc(string(scan.ScoreZ), "ours"), string(scan.ScorePlainZ), string(scan.ScoreL2), string(scan.ScoreEPUR),
	},
}

// completeFlags tells shells what the flags of cmd and of the commands below it
// take: values, folders, files, or nothing that a shell could know.
func completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		// An error says that the flag has a function already.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, flagCompletion(f))
	})
	for _, c := range cmd.Commands() {
		completeFlags(c)
	}
}

func flagCompletion(f *pflag.Flag) cobra.CompletionFunc {
	what, _ := pflag.UnquoteUsage(f)
	if values, ok := flagValues[f.Name]; ok {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	switch what {
	case "FORMAT":
		return cobra.FixedCompletions(report.Formats(), cobra.ShellCompDirectiveNoFileComp)
	case "FORMAT=FILE":
		return completeReport
	case "DIR":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	case "FILE", "MODEL", "REPORT":
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	}
	if f.Name == "format" {
		return cobra.FixedCompletions([]cobra.Completion{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)
	}
	return cobra.NoFileCompletions
}

// completeReport completes the format; the file after "=" is the user's to name.
func completeReport(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if strings.Contains(typed, "=") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	formats := slices.Clone(report.Formats())
	for i := range formats {
		formats[i] += "="
	}
	return formats, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
