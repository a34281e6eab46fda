#!/usr/bin/env bash
# A real session of btu-scan triage in tmux, on the embedded sample: open, filter,
# look closely, mark, try, map, repair, leave; the window changes its size in
# between. It fails where a screen does not show what it should, and where the
# repair does not leave its proof and the input as it was.
# scripts/tui/session.sh [WIDTH [HEIGHT]]; SHOW=1 prints each screen.
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
fail() { echo "$1" >&2; exit 1; }
digests() { (cd "$tmp/sample/backdoored" && find . -type f -exec cksum {} + | sort); }

before=$(digests)
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
shows 'What its row did'
key G
shows 'class: ascii'
key t
shows '"cf": trigger'
key n r a r e Tab 9 0 d Enter
shows 'with a note'
tmux -L "$socket" resize-window -t triage -x 44 -y 12
shows ' 1  2 [3Token] 4  5  6'
tmux -L "$socket" resize-window -t triage -x 20 -y 5
shows 'too small'
tmux -L "$socket" resize-window -t triage -x "$width" -y "$height"
key g
shows 'you say trigger, until 2'
key 5 i b a d
shows '"cf" flips the answer'
key Escape 4
shows '▲ "cf", token 1927'
key : o v e r v i e w Enter
shows '[1'
key 6
shows 'sample/backdoored-clean'
[ ! -e "$tmp/sample/backdoored-clean" ] || fail "the plan alone has written"
key y
shows 'before suspicious' # the result is there
shows 'sample/backdoored-clean'
key '?'
shows 'shift+tab'
key Escape q
shows 'left with 0'

grep -q '"mark": "trigger"' "$tmp/btu-scan.triage.json" || fail "the mark is not in the file"
grep -q '"expires": "2' "$tmp/btu-scan.triage.json" || fail "the expiry is not in the file"
echo "ok: the decision is saved"
[ -f "$tmp/sample/backdoored-clean/model.safetensors" ] && [ -f "$tmp/sample/backdoored-clean/btu-scan.sanitize.json" ] || fail "there is no repaired copy"
! cmp -s "$tmp/sample/backdoored-clean/model.safetensors" "$tmp/sample/backdoored/model.safetensors" || fail "the copy is the input"
[ "$before" = "$(digests)" ] || fail "the input was changed"
[ "$(ls "$tmp/sample")" = "$(printf 'backdoored\nbackdoored-clean\nbase')" ] || fail "something was left behind: $(ls "$tmp/sample")"
echo "ok: the copy is there, and the input is as it was"
