#!/usr/bin/env bash
# Compares what the real helm and the stand-in answer to the calls that the helm plugin makes: the same fields, of the
# same types.
#
#   with-cluster.sh helm-shapes.sh STAND_IN      STAND_IN is the program `windlass-standin-helm`
#
# Exits 0 when they agree, 1 with the differences when they do not, 3 with the reason where there is nothing to compare.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: helm-shapes.sh STAND_IN" >&2
    exit 2
fi
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${WINDLASS_TEST_HELM:-}" ] || [ -z "${WINDLASS_TEST_KUBECONFIG:-}" ]; then
    echo "not available here: WINDLASS_TEST_HELM and WINDLASS_TEST_KUBECONFIG name no helm and no cluster; use with-cluster.sh" >&2
    exit 3
fi
if [ ! -x "$1" ]; then
    echo "not available here: $1 is no program; build the package windlass-counterparts" >&2
    exit 3
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: simulated
    cluster: { server: "file://$dir/cluster" }
users:
  - name: nobody
    user: {}
contexts:
  - name: simulated
    context: { cluster: simulated, user: nobody }
current-context: simulated
YAML
mkdir "$dir/cluster"

python3 "$here/helm_shapes.py" "$here/../../workflows/charts/payments" \
    "$WINDLASS_TEST_HELM" "$WINDLASS_TEST_KUBECONFIG" "$1" "$dir/kubeconfig"
