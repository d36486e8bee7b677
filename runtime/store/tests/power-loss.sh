#!/bin/bash
# Cuts the power of the embedded store and looks for what it had acknowledged.
#
#   runtime/store/tests/power-loss.sh CUTS [KIND...]      (kinds: creation small alone large payload backup archive; all by default)
#
# Needs what conformance/power-loss/README.md lists, above all root; where something is missing it says
# what, ends with `skipped` and the status 0. Otherwise the status is 0 only if nothing was lost.
# Environment: SUBJECT (a store_subject that is built already), WORK (a folder to work in, kept), and the harness's own.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 CUTS [KIND...]" >&2; exit 2; }
cuts=$1; shift
[ $# -gt 0 ] || set -- creation small alone large payload backup archive
root=$(cd "$(dirname "$0")/../../.." && pwd)
harness=$root/conformance/power-loss

skip() { echo "power loss: $1"; echo skipped; exit 0; }
[ "$(uname -s)" = Linux ] || skip "the harness needs Linux"
[ "$(id -u)" = 0 ] || skip "the harness needs root (it mounts file systems)"
[ -c /dev/fuse ] || skip "there is no /dev/fuse"
[ -c /dev/loop-control ] || skip "there is no /dev/loop-control"
for tool in python3 unshare losetup mount mkfs.ext4 e2fsck cmp; do
  command -v "$tool" >/dev/null || skip "there is no $tool"
done
unshare --mount true 2>/dev/null || skip "this root may not make a mount namespace"

if [ -z "${SUBJECT:-}" ]; then
  (cd "$root" && cargo build --quiet --package windlass-store --bin store_subject)
  SUBJECT=${CARGO_TARGET_DIR:-$root/target}/debug/store_subject
fi
work=${WORK:-}
if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work"
# A copy: a build that goes on meanwhile must not exchange the program under test.
cp "$SUBJECT" "$work/store_subject"

# Short rounds: every image is checked twice, and what it holds adds up from round to round; a full one cannot be opened.
export CHECK="$work/store_subject check" SIZE_MB="${SIZE_MB:-2048}" RUN_SECS="${RUN_SECS:-1}"
status=0
for kind in "$@"; do
  echo "== $kind"
  # Creations do not build on each other, so their rounds need not either.
  chain=${CHAIN:-1}
  [ "$kind" != creation ] || chain=${CHAIN:-0}
  KIND=$kind CHAIN=$chain "$harness/powerloss.sh" "$work/$kind" "$cuts" -- "$work/store_subject" write || status=1
  rm -f "$work/$kind"/*.img "$work/$kind"/log.*
done
exit $status
