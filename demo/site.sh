#!/bin/sh
# What the people at the site type. The demo runs it in a network namespace without interfaces but
# loopback, with the builder's Python, environment and caches mounted over.
#
#   sh demo/site.sh MEDIUM SITE ANCHOR HIDE...
#
# MEDIUM: the bundle. SITE: a folder for this site, with the clinic's own data in clinic/.
# HIDE: what this machine has and an isolated box has not.
set -eu

medium=$1 site=$2 anchor=$3
shift 3
for hidden; do
    if [ -d "$hidden" ]; then mount -t tmpfs none "$hidden"; else mount --bind /dev/null "$hidden"; fi
done
ip link set lo up # engines and workers may speak to each other on loopback

stage() { # run a command as it is shown, with short names for the two folders, and keep its time
    shown=$(printf '%s' "$*" | sed "s#$site/opt/bin/##g; s#$site#SITE#g; s#$medium#MEDIUM#g")
    printf '\n$ %s\n' "$shown"
    started=$(date +%s)
    "$@"
    printf '%s\t%s\n' "$(($(date +%s) - started))" "$shown" >>"$site/times"
}
islet="$site/opt/bin/islet"

# The printed page came by another road: both files are copied to the box and compared there first.
cp "$medium"/install.sh "$medium"/root.1 "$site/"
stage sh "$site/install.sh" --check --prefix "$site/opt" --state "$site/state" --anchor "$anchor" "$medium"
stage sh "$site/install.sh" --prefix "$site/opt" --state "$site/state" --anchor "$anchor" "$medium"
stage "$islet" data check "$site/clinic/facts.json" "$site/clinic/rehearsal.csv"
stage "$islet" train --plan "$site/clinic/plan.toml"
run=$(ls "$site/state/runs")
stage "$islet" eval "$run"
stage "$islet" export "$run"
stage "$islet" audit verify
stage "$islet" report "$run"
