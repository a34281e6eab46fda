#!/usr/bin/env bash
# A real session of btu-scan triage in tmux, on the embedded sample: filter, look
# closely, mark, try, map, leave. It fails where a screen does not show what it
# should. scripts/tui/session.sh [WIDTH [HEIGHT]]; SHOW=1 prints each screen.
set -euo pipefail
cd "$(dirname "$0")/../.."
width=${1:-80} height=${2:-24}
command -v tmux >/dev/null || { echo "skipped: tmux is not installed"; exit 0; }
tmp=$(mktemp -d)
socket=btu-scan-$$
cleanup() { tmux -L "$socket" kill-server 2>/dev/null || true; rm -rf "$tmp"; }
trap cleanup EXIT
CGO_ENABLED=0 go build -o "$tmp/btu-scan" ./cmd/btu-scan
"$tmp/btu-scan" demo --extract "$tmp/sample" 2>/dev/null

key() { for k in "$@"; do tmux -L "$socket" send-keys -t triage "$k"; sleep 0.2; done; }
screen() { tmux -L "$socket" capture-pane -p -t triage; }
# shows TEXT: waits until the screen does.
shows() {
  for _ in $(seq "${PATIENCE:-600}"); do
    if screen | grep -qF -- "$1"; then
      echo "ok: $1"
      [ -z "${SHOW:-}" ] || screen
      return
    fi
    sleep 0.1
  done
  screen
  echo "the screen does not show: $1" >&2
  exit 1
}

cat >"$tmp/run" <<END
cd "$tmp"
TERM=screen-256color ./btu-scan triage sample/backdoored --reference sample/base --evidence weights
echo "left with \$?"
sleep 600
END
tmux -L "$socket" new-session -d -x "$width" -y "$height" -s triage "bash $tmp/run"
shows SUSPICIOUS
key 2
shows '"mn"'
shows '2,560 of 2,560 rows'
key / c f Enter
shows 'text "cf"'
key Enter
shows 'Movement by dimension'
key t
shows '"cf": trigger'
key 5 i b a d
shows '"cf" flips the answer'
key Escape 4
shows '▲ "cf", token 1927'
key 6
shows 'sample/backdoored-clean'
key '?'
shows 'shift+tab'
key Escape q
shows 'left with 0'
grep -q '"mark": "trigger"' "$tmp/btu-scan.triage.json"
echo "ok: the decision is saved"
