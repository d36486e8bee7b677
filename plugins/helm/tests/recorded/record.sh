#!/usr/bin/env bash
# Records again what the real helm answers to the calls that the plugin makes, against a cluster of
# `conformance/kubernetes/start.sh`. `errors.txt` is written by hand from what helm said.
#
#   KUBECONFIG=…/kubeconfig record.sh HELM
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
chart=$here/../../../../workflows/charts/payments
helm=$1
namespace=recorded

# What nobody reads goes, so that the files stay small enough to be read.
keep() { jq 'walk(if type == "object" then del(.managedFields, .templates) else . end)' >"$here/$1"; }

upgrade() {
    "$helm" upgrade pay "$chart" --install --namespace "$namespace" --create-namespace --description "windlass $1" \
        --labels "windlass-key=$1" --values - --timeout 60s "${@:3}" <<<"$2"
}
history() { "$helm" history pay --output json --namespace "$namespace"; }
status() { "$helm" status pay --output json --show-resources --namespace "$namespace"; }
settle() { sleep 2; }

"$helm" uninstall pay --namespace "$namespace" >/dev/null 2>&1 || true
upgrade aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa '{"image":{"tag":"1.0.0"}}' >/dev/null
settle
history | keep history-1.json
status | keep status-1-ready.json
"$helm" get manifest pay --revision 1 --namespace "$namespace" >"$here/manifest-1.yaml"
"$helm" get values pay --revision 1 --output json --namespace "$namespace" >"$here/values-1.json"
"$helm" list --all --selector windlass-key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --filter '^pay$' --output json \
    --namespace "$namespace" | keep list-1.json
upgrade 0123456789abcdef0123456789abcdef '{"image":{"tag":"1.0.1"}}' --dry-run=server --output json |
    keep rendered-2.json
upgrade 0123456789abcdef0123456789abcdef '{"image":{"tag":"1.0.1"}}' >/dev/null
status | keep status-2-progressing.json
settle
history | keep history-2.json
status | keep status-2-ready.json
"$helm" rollback pay 1 --namespace "$namespace" >/dev/null
settle
history | keep history-3-rolled-back.json
status | keep status-3-rolled-back.json
upgrade 0123456789abcdef0123456789abcdef '{"image":{"tag":"1.0.2bad"}}' >/dev/null
settle
status | keep status-4-bad-image.json
"$helm" uninstall pay --namespace "$namespace" --keep-history >/dev/null
history | keep history-4-uninstalled.json
"$helm" uninstall pay --namespace "$namespace" >/dev/null
