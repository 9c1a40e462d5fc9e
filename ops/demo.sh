#!/bin/sh
# Runs the demo, in about 20 seconds, and serves its console: sh ops/demo.sh [--followers N] [--lane N] [--seed N] [--json] [--stay]
set -eu
cd "$(dirname "$0")/.."
. ops/environment.sh
env=$(environment demo)
exec "$env/bin/python" -m ops.demo "$@"
