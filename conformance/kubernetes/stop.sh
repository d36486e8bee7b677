#!/usr/bin/env bash
# Stops what `start.sh DIR` started and removes what it wrote; the logs stay. Says nothing ran when nothing did.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: stop.sh DIR" >&2
    exit 2
fi
if [ ! -f "$1/pids" ]; then
    echo "nothing runs in $1"
    exit 0
fi
dir=$(cd -- "$1" && pwd -P)

# A process id may belong to somebody else by now: only a process that was started with this folder is stopped.
ours() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "$dir/"; }

signal_all() {
    local pid name
    while read -r pid name; do
        if ours "$pid"; then
            kill "-$1" "$pid" 2>/dev/null || true
        fi
    done <"$dir/pids"
}
any_left() {
    local pid name
    while read -r pid name; do
        if ours "$pid"; then
            return 0
        fi
    done <"$dir/pids"
    return 1
}

rm -f "$dir/ready"
# etcd ends last by itself; the API server may take its grace period, and nothing here is worth waiting for.
signal_all TERM
for _ in $(seq 30); do
    any_left || break
    sleep 0.1
done
signal_all KILL
for _ in $(seq 50); do
    any_left || break
    sleep 0.1
done
if any_left; then
    echo "a process of $dir does not end: $(cat "$dir/pids")" >&2
    exit 1
fi

rm -rf "$dir/etcd" "$dir/certs"
rm -f "$dir/pids" "$dir/kubeconfig" "$dir/kubeconfig.new" "$dir/kubeconfig.next" "$dir/kubeconfig-viewer" \
    "$dir/ready.new" "$dir/tokens.csv" "$dir/service-account.key" "$dir/service-account.pub"
echo "stopped what ran in $dir"
