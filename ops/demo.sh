#!/bin/sh
# Runs the demo, in about 20 seconds, and serves its console meanwhile:
#
#   sh ops/demo.sh [--stay] [--followers N] [--lane N] [--seed N] [--json]
set -eu
cd "$(dirname "$0")/.."
. ops/environment.sh
env=$(environment demo)
exec "$env/bin/python" -m ops.demo "$@"
