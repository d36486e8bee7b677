#!/bin/sh
# A native tool for the suite's own tests: entries, each a file in the folder that is its first argument.
state=$1
shift
cd "$state" || exit 3
json() { printf '"%s"' "$1"; }
case $1 in
put | peek) # KEY: once; without one, another entry each time. Half of one is in the way of a whole one
  if [ -n "$2" ] && [ -e "$2.half" ]; then
    echo "desk: half of $2 is there: remove it" >&2
    exit 4
  fi
  if [ -n "$2" ] && [ -n "$WINDLASS_CERTIFY_HALFWAY" ]; then
    : >"$2.half"
    kill -KILL $$
  fi
  if [ -n "$2" ]; then : >"$2"; else set -- "$1" "$(mktemp entry-XXXXXXXX)"; fi
  printf '{ "id": %s }\n' "$(json "$2")"
  ;;
list) # [KEY]
  first=1
  printf '['
  for entry in *; do
    [ -e "$entry" ] && [ "${2:-$entry}" = "$entry" ] || continue
    [ $first = 1 ] || printf ', '
    first=0
    json "$entry"
  done
  printf ']\n'
  ;;
remove) # KEY, or half of it
  rm -f "./$2" "./$2.half"
  ;;
whoami) # the credential, backwards
  left=$(sed -n 's/.*token: *"\([^"]*\)".*/\1/p' "$KUBECONFIG")
  said=
  while [ -n "$left" ]; do
    said=${left%"${left#?}"}$said
    left=${left#?}
  done
  json "$said"
  ;;
*)
  echo "desk: put, peek, list, remove or whoami" >&2
  exit 2
  ;;
esac
