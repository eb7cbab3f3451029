#!/usr/bin/env bash
# Installs what the tests need into .venv (Debian's chromium too, where no browser is there) and runs
# them. Arguments go to pytest: ./run-tests.sh -m 'not slow'
set -euo pipefail
cd "$(dirname "$0")"
has() { command -v "$1" >/dev/null; }
if ! has chromium && ! has chromium-browser && ! has google-chrome; then
  if ! has apt-get; then
    echo "The browser tests need Chromium or Chrome: install one and run this again." >&2
    exit 1
  fi
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
exec .venv/bin/python -m pytest "$@"
