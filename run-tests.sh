#!/usr/bin/env bash
# Install what the tests need into .venv and run the tests on three processes. Where Debian's apt is
# available, also install chromium and python3-venv if they are missing. Arguments go to pytest:
# ./run-tests.sh -m 'not slow'
set -euo pipefail
cd "$(dirname "$0")"
has() { command -v "$1" >/dev/null; }
missing=()
has chromium || has chromium-browser || has google-chrome || missing+=(chromium)
python3 -c "import ensurepip" 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  if ! has apt-get; then
    echo "The tests need ${missing[*]}: install them and run this script again." >&2
    exit 1
  fi
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi
.venv/bin/python -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
# A file's tests share servers and trained networks, so that a file stays on one process. Some tests
# wait for a network, so that three processes keep two cores busy.
exec .venv/bin/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder \
  --durations=10 "$@"
