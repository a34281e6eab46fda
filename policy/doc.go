// Package policy turns a scan's report into a gate's decision: pass, fail or
// undecided. It reads what a team wrote down (a configuration, suppressions, a
// baseline, a reviewer's decisions) and marks in a report what does not count
// and why. It opens no file, reads no environment and prints nothing.
//
// # What a policy cannot do
//
//   - A verdict stays what the evidence says, and every finding stays in the
//     report. Only the decision changes.
//   - Missing evidence is no finding, so it cannot be suppressed. A policy that
//     asks for less evidence says so in its require.
//   - A suppression holds for the very bytes of one checkpoint, one rule and one
//     token or place. It needs a reason, and one that is expired counts no more.
//   - A configuration that lies beside the checkpoint is its maker's word. It can
//     make the gate stricter and nothing else: see [Config.Tighten].
//
// # Hostile input
//
// Configurations and baselines are bounded in size and depth. YAML's anchors,
// aliases, tags and merge keys are refused, keys are strict, and an error says
// line and column.
package policy
