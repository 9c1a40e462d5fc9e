#!/bin/sh
# Makes the locks of the peers' environments anew, with uv. They have the versions of aiohttp and msgspec that the
# project's own lock has, since these do the job itself; the rest is the newest that each peer asks for.
#
#   UV=/path/to/uv sh ops/bench/peers/locks/make.sh
set -eu
cd "$(dirname "$0")"
uv=${UV:-uv}
job=$(grep -E '^(aiohttp|aiohappyeyeballs|aiosignal|frozenlist|msgspec|multidict|propcache|yarl)==' ../../../test.lock | tr -d ' \\')

# lock NAME REQUIREMENT ...: write NAME.lock.
lock() {
    name=$1
    shift
    printf '%s\n' "$@" "$job" | "$uv" pip compile --quiet --universal --generate-hashes --python-version 3.11 \
        --no-annotate --no-header --no-emit-index-url --output-file "$name.lock" -
}

lock arq 'arq==0.28.0'
lock saq 'saq[redis,hiredis]==0.26.4'
lock taskiq 'taskiq==0.13.0' 'taskiq-redis==1.2.4' hiredis
lock taskiq-uvloop 'taskiq[uv]==0.13.0' 'taskiq-redis==1.2.4' hiredis
lock streaq 'streaq==7.2.0' uvloop
lock docket 'pydocket==0.27.0' hiredis
