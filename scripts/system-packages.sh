#!/bin/sh
# See that the programs that the demo or the tests need are there; on Debian, as root, install what is not.
#   sh scripts/system-packages.sh PROGRAM...
set -eu

package_of() {
    case $1 in
    ip) echo iproute2 ;;
    unshare | mount | setsid) echo util-linux ;;
    node) echo nodejs ;;
    go) echo golang-go ;;
    ksh93) echo ksh93u+m ;;
    *) echo "$1" ;;
    esac
}

lacking=
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || lacking="$lacking $(package_of "$program")"
done
[ -n "$lacking" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    printf 'islet: Programs are missing:%s\nwhy: the demo and the tests run them\nnext: Install these packages, then run make again.\n' "$lacking" >&2
    exit 5
fi
echo "Installing Debian packages:$lacking"
apt-get update -qq
# shellcheck disable=SC2086  # a list of package names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/dev/null
