#!/bin/sh
# See that there is room for what is about to be made, below this folder and where temporary files go.
#   sh scripts/room.sh GB
set -eu

need=$1
for folder in "$(dirname "$0")/.." "${TMPDIR:-/tmp}"; do
    free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1000000 * 1.024) }')
    [ "$free" -lt "$need" ] || continue
    printf 'islet: The disk has too little room.\nwhy: %s has %s GB free of the %s GB that this needs\n' \
        "$folder" "$free" "$need" >&2
    printf 'next: Make room (make clean removes what earlier runs made in build/), then run make again.\n' >&2
    exit 5
done
