#!/bin/sh
# Make .venv with exactly what requirements.lock pins. Run by make; does nothing when nothing changed.
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
want=$(cat requirements.lock pyproject.toml scripts/setup.sh | openssl dgst -sha256 -r | cut -c1-64)
if [ -f .venv/ready ] && [ "$(cat .venv/ready)" = "$want" ]; then exit 0; fi

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    printf 'islet: Python 3.11 is needed to set up.\nwhy: %s is %s\nnext: Run make PYTHON=python3.11 ...\n' \
        "$python" "$("$python" -V 2>&1)" >&2
    exit 5
}
echo "Setting up .venv (once; one to three minutes)"
rm -rf .venv
"$python" -m venv .venv || {
    printf 'islet: A virtual environment could not be made.\nwhy: see above\nnext: On Debian: apt-get install python3-venv\n' >&2
    exit 5
}
pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet "$@" 2>.venv/pip.log || { cat .venv/pip.log >&2; exit 7; }; }
echo "  torch"
pip install torch==2.13.0 # first and by itself: a CPU build is taken where one is offered
echo "  everything else, by hash"
pip install --require-hashes --no-deps -r requirements.lock
pip install --no-deps --no-build-isolation -e .
printf '%s\n' "$want" >.venv/ready
