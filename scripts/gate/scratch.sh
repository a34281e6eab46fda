#!/usr/bin/env bash
# Shows that the program runs in the image of the Dockerfile, without Docker: an
# empty root with the static program and /tmp, a read-only model, no network and,
# where it may, another user. It exits with 77 where the system has no unshare.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
CGO_ENABLED=0 go build -ldflags="-s -w" -o "$root/btu-scan" ./cmd/btu-scan
mkdir -m 1777 "$root/tmp"
mkdir "$root/work"
"$root/btu-scan" demo --extract "$root/work/sample"
chmod -R a+rX "$root"

if [[ $(id -u) == 0 ]]; then
  inside=(unshare --net chroot --userspec=65532:65532 "$root")
else
  inside=(unshare --map-root-user --net chroot "$root")
fi
if ! "${inside[@]}" /btu-scan version; then
  echo "skipped: no namespaces here"
  exit 77
fi
code=0
"${inside[@]}" /btu-scan work/sample/backdoored --reference work/sample/base --evidence weights --quiet || code=$?
test "$code" = 1
code=0
"${inside[@]}" /btu-scan demo --quiet || code=$?
test "$code" = 1
test -z "$(find "$root/tmp" -mindepth 1)" # nothing is left behind
echo "runs in an empty root"
