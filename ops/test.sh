#!/bin/sh
# Runs the checks. It needs Python 3.11 or newer and a package registry; the rest is installed into .env/test.
#
#   sh ops/test.sh                  everything: linters, types, audit, all tests
#   sh ops/test.sh --coverage       the same, and the branch coverage of both packages; that takes much longer
#   sh ops/test.sh --fast           linters, types and unit tests: no server, no process, less than a minute
#   sh ops/test.sh tests/unit -k x  linters, types and these tests; the arguments go to pytest
set -eu
cd "$(dirname "$0")/.."
# Where this is set, each of the hundreds of programs that the tests start compiles the project again.
unset PYTHONDONTWRITEBYTECODE
. ops/environment.sh
bin="$(environment test)/bin"

"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/python" -m ops.unasync --check
"$bin/mypy"
"$bin/lint-imports" --no-cache
"$bin/codespell"
if command -v luacheck >/dev/null; then
    luacheck --quiet producers worker
elif [ "${CI:-}" = true ]; then
    echo "$0: luacheck is not installed (Debian, Ubuntu: apt install lua-check)" >&2
    exit 1
else
    echo "luacheck is not installed: the Lua scripts are NOT LINTED (Debian, Ubuntu: apt install lua-check)"
fi
if command -v promtool >/dev/null; then
    promtool check config --syntax-only ops/deploy/prometheus/prometheus.yml
    promtool check rules --lint-fatal ops/deploy/prometheus/alerts.yml
    promtool test rules ops/deploy/prometheus/alerts_test.yml
elif [ "${CI:-}" = true ]; then
    echo "$0: promtool is not installed (Debian, Ubuntu: apt install prometheus)" >&2
    exit 1
else
    echo "promtool is not installed: the alerts are NOT TESTED (Debian, Ubuntu: apt install prometheus)"
fi
if ! command -v systemd-analyze >/dev/null; then
    if [ "${CI:-}" = true ]; then
        echo "$0: systemd-analyze is not installed (Debian, Ubuntu: apt install systemd)" >&2
        exit 1
    fi
    echo "systemd-analyze is not installed: the units are NOT CHECKED (Debian, Ubuntu: apt install systemd)"
fi
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    if [ "${CI:-}" = true ]; then
        echo "$0: chromium is not installed (Debian: apt install chromium)" >&2
        exit 1
    fi
    echo "chromium is not installed: the console is NOT TESTED IN A BROWSER (Debian: apt install chromium)"
fi

case ${1:-} in
--fast)
    shift
    exec "$bin/python" -m pytest tests/unit "$@"
    ;;
--coverage) ;;
?*)
    exec "$bin/python" -m pytest "$@"
    ;;
esac

# Run a command that ends when this script is stopped. It runs in the background, since a shell handles no signal while
# a command runs in the foreground.
run_until_stopped() {
    "$@" &
    trap 'kill "$!"; wait "$!"; exit 130' HUP INT TERM
    wait "$!"
    trap - HUP INT TERM
}

"$bin/python" -m ops.audit
# Three processes for two cores: many tests wait for timers. A file's tests stay together, with the servers they start.
# In the order of their folders the quick unit tests come last, so that no process ends long before the others.
all_tests="pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder"
if [ "${1:-}" != --coverage ]; then
    # shellcheck disable=SC2086 # several words
    run_until_stopped "$bin/python" -m $all_tests
    exit
fi
"$bin/coverage" erase
# shellcheck disable=SC2086 # several words
run_until_stopped "$bin/coverage" run -m $all_tests
"$bin/coverage" combine --quiet
echo "Files with less than 90 % coverage:"
"$bin/coverage" report --skip-covered --sort=cover --fail-under=0 | awk '$NF ~ /%$/ && $1 != "TOTAL" && $NF + 0 < 90'
for package in producers worker; do
    echo "$package: $("$bin/coverage" report --include="$package/*" --format=total --fail-under=0) %"
done
"$bin/coverage" report --format=total >/dev/null || { echo "$0: the coverage is too low, see above" >&2; exit 1; }
