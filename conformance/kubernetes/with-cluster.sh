#!/usr/bin/env bash
# Runs a command beside a Kubernetes API server and the real helm, and stops the server afterwards.
#
#   with-cluster.sh cargo test -p windlass-plugin-helm
#
# The command finds them in WINDLASS_TEST_HELM and WINDLASS_TEST_KUBECONFIG. helm is the one that WINDLASS_HELM names, of
# the environment WINDLASS_KUBERNETES_VENV (see setup.sh), or on the PATH. Exits with the command's code, or 3 with the
# reason when this machine has not what it takes.
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: with-cluster.sh COMMAND…" >&2
    exit 2
fi
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

helm=${WINDLASS_HELM:-}
if [ -z "$helm" ] && [ -n "${WINDLASS_KUBERNETES_VENV:-}" ]; then
    helm=$WINDLASS_KUBERNETES_VENV/bin/helm
fi
[ -n "$helm" ] || helm=$(command -v helm || true)
if [ -z "$helm" ] || [ ! -x "$helm" ]; then
    echo "not available here: helm is missing: put it on the PATH, name it in WINDLASS_HELM, or run setup.sh and set WINDLASS_KUBERNETES_VENV" >&2
    exit 3
fi

dir=$(mktemp -d)
trap '"$here/stop.sh" "$dir" >/dev/null; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$here/start.sh" "$dir" >/dev/null

WINDLASS_TEST_HELM=$helm WINDLASS_TEST_KUBECONFIG=$dir/kubeconfig \
    WINDLASS_TEST_KUBECONFIG_VIEWER=$dir/kubeconfig-viewer "$@"
