#!/usr/bin/env bash
# Runs a scan for the action, with its inputs in BTU_*. It exits as btu-scan does.
set -euo pipefail

for path in "$BTU_SARIF" "$BTU_REPORT"; do
  if [[ $path == *$'\n'* ]]; then # it would become an output of its own
    echo "a path is one line" >&2
    exit 4
  fi
done
if [[ -z $BTU_REPORT ]]; then
  echo "report: name a file" >&2
  exit 4
fi

summary=$RUNNER_TEMP/btu-scan-summary.md
rm -f -- "$BTU_REPORT" "$summary" # not an older run's
args=(--evidence "$BTU_EVIDENCE" --fail-on "$BTU_FAIL_ON" --report "json=$BTU_REPORT" --report "markdown=$summary")
if [[ -n $BTU_SARIF ]]; then
  rm -f -- "$BTU_SARIF"
  args+=(--report "sarif=$BTU_SARIF")
fi
if [[ -n $BTU_REFERENCE ]]; then
  args+=(--reference "$BTU_REFERENCE")
fi
while IFS= read -r arg || [[ -n $arg ]]; do
  arg=${arg%$'\r'}
  if [[ -n $arg ]]; then args+=("$arg"); fi
done <<<"$BTU_ARGS"

code=0
btu-scan "${args[@]}" -- "$BTU_MODEL" || code=$?

verdict=none
if [[ -f $BTU_REPORT ]]; then
  # Two blanks: the report's own verdict, not that of a part of it.
  verdict=$(sed -n 's/^  "verdict": "\([a-z]*\)",*$/\1/p' "$BTU_REPORT")
fi
{
  printf 'verdict=%s\n' "$verdict"
  printf 'exit-code=%s\n' "$code"
  if [[ -f $BTU_REPORT ]]; then printf 'report=%s\n' "$BTU_REPORT"; fi
  if [[ -n $BTU_SARIF && -f $BTU_SARIF ]]; then printf 'sarif=%s\n' "$BTU_SARIF"; fi
} >>"$GITHUB_OUTPUT"
if [[ $BTU_SUMMARY == true && -f $summary ]]; then
  cat "$summary" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
