#!/bin/sh
# Make a clean Debian 12 in a folder: what every installation of it has, and openssl; no Python. Kept once made.
#   sh scripts/debian-root.sh FOLDER
# As root, with mmdebstrap or debootstrap and apt's own mirror; about a minute and 180 MB.
set -eu

final=$1
mkdir -p "${final%/*}"
exec 9>"$final.lock" # two at once: the second waits, and finds it made
flock 9
if [ -f "$final/.whole" ]; then exit 0; fi
folder=$(mktemp -d "$final.XXXXXX")
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
if command -v mmdebstrap >/dev/null 2>&1; then
    mmdebstrap --quiet --variant=minbase --include=openssl bookworm "$folder"
elif command -v debootstrap >/dev/null 2>&1; then
    debootstrap --variant=minbase --include=openssl bookworm "$folder" >/dev/null
else
    printf 'islet: A clean Debian cannot be made.\nwhy: neither mmdebstrap nor debootstrap is here\nnext: apt-get install mmdebstrap\n' >&2
    exit 5
fi
rm -rf "$folder"/var/cache/apt/* "$folder"/var/lib/apt/lists/*
: >"$folder/.whole"
rm -rf "$final"
mv "$folder" "$final"
