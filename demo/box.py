"""What stands for an isolated box: new namespaces in which this machine's own tools are mounted over."""

ENTER = """
set -eu
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mount -t tmpfs none "$1"; else mount --bind /dev/null "$1"; fi
    shift
done
shift
ip link set lo up
exec "$@"
"""
"""sh ENTER HIDDEN... -- COMMAND...: in new namespaces, mount over what an isolated box has not, and run."""
