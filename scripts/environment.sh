# Sourced by the other scripts: makes the virtual environment .venv where it is missing or out of date, and activates it.
# $1 names the extras, such as [test]. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras="${1:-}"
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "Python 3.11 to 3.13 is needed, $python is $("$python" -V 2>&1); name another one: PYTHON=python3.12 $0" >&2
    exit 2
}
key="$("$python" -V) $(cksum <pyproject.toml)"
if [ "$(cat ".venv/ready$extras" 2>/dev/null)" != "$key" ]; then
    echo "Setting up .venv; this takes some minutes the first time." >&2
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras"
    echo "$key" | tee ".venv/ready$extras" >.venv/ready
fi
# shellcheck disable=SC1091
source .venv/bin/activate
