#!/usr/bin/env bash
# Installs btu-scan for the action: BTU_VERSION from the module proxy, or, if it
# is empty, what the checkout in BTU_SOURCE holds.
set -euo pipefail

bin=$RUNNER_TEMP/btu-scan
mkdir -p "$bin"
export CGO_ENABLED=0
if [[ -z $BTU_VERSION ]]; then
  go build -C "$BTU_SOURCE" -trimpath -o "$bin/" ./cmd/btu-scan
elif [[ $BTU_VERSION =~ ^(latest|v[0-9][0-9A-Za-z.+-]*|[0-9a-f]{7,40})$ ]]; then
  GOBIN=$bin go install "github.com/btu-scan/btu-scan/cmd/btu-scan@$BTU_VERSION"
else
  printf 'version %q: a tag such as v1.2.3, a commit, latest or installed\n' "$BTU_VERSION" >&2
  exit 4
fi
printf '%s\n' "$bin" >>"$GITHUB_PATH"
