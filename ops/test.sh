#!/bin/sh
# Runs every check, in an environment of its own. Needs Python 3.11 or newer and a package registry, nothing else.
# Arguments go to pytest: sh ops/test.sh tests/unit -k rules
set -eu
cd "$(dirname "$0")/.."
. ops/environment.sh
bin="$(environment test)/bin"

"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/lint-imports" --no-cache
"$bin/python" -m ops.audit
"$bin/python" -m pytest "$@"
