#!/bin/sh
# The gateway with curl alone (7.76 or newer): one change, a fan-out from a file, and why a change waits.
#
#   GATEWAY=http://127.0.0.1:8321 GATEWAY_KEY=ct_... sh curl.sh followers.csv results.csv july-4711
#
# followers.csv has a column user_id. july-4711 names this piece of work: after any failure, run the script again with
# the same name, and it adds only what is missing. The key needs the scopes enqueue and read, and operate for the pause.
set -eu
[ $# -eq 3 ] && [ "${GATEWAY_KEY:-}" ] || {
    echo "usage: GATEWAY_KEY=ct_... sh $0 FOLLOWERS.csv RESULTS.csv NAME" >&2
    exit 2
}
gateway=${GATEWAY:-http://127.0.0.1:8321} followers=$1 results=$2 name=$3
trader=123123123 user=1001
settings='[{"symbol": "BTCUSDT", "productType": "USDT-FUTURES", "marginType": "trader", "leverType": "trader",
            "traceType": "amount", "traceValue": "330"}]'

# Call the gateway; its answer is then in $answer. Without a connection, after a time-out, a 429 or a 503, the call is
# repeated (curl waits as long as Retry-After says). Any other error ends the script, with the problem that the gateway
# answered. The access key is not on the command line of curl, where ps would show it.
call() {
    answer=$(printf 'header = "Authorization: Bearer %s"\n' "$GATEWAY_KEY" |
        curl --config - --silent --show-error --fail-with-body --connect-timeout 5 --max-time 90 \
            --retry 8 --retry-connrefused --retry-max-time 120 "$@") || {
        echo "$0: $answer" >&2
        exit 1
    }
}

# change NAME PREFERENCE: enqueue a change of $user. The same name with the same change again adds nothing.
change() {
    call "$gateway/v1/changes" --header 'Content-Type: application/json' --header "Idempotency-Key: $1" \
        --header "Prefer: $2" --data "{\"userId\": \"$user\", \"traderId\": \"$trader\", \"settings\": $settings}"
}

# field NAME: print a field of $answer that is a text; with jq: jq -r .NAME
field() {
    echo "$answer" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

# encoded TEXT: print JSON as a value in a query; with jq: jq -rn --arg text TEXT '$text | @uri'
encoded() {
    echo "$1" | tr -d '\n' |
        sed 's/%/%25/g; s/ /%20/g; s/"/%22/g; s/\[/%5B/g; s/\]/%5D/g; s/{/%7B/g; s/}/%7D/g; s/&/%26/g; s/+/%2B/g'
}

echo "One change, and its result if it comes within 30 s:"
change "$name-first" 'wait=30'
echo "$answer"

echo "A fan-out. --upload-file streams the file; the trader and the settings of all are in the query:"
call "$gateway/v1/batches?traderId=$trader&settings=$(encoded "$settings")" --request POST --upload-file "$followers" \
    --header 'Content-Type: text/csv' --header "Idempotency-Key: $name"
echo "$answer"
batch=$gateway/v1/batches/$(field batchId)

echo "Its progress, once a second until it is complete:"
while call "$batch"; do
    echo "$answer"
    case $answer in *'"complete":true'*) break ;; esac
    sleep 1
done
call "$batch/results" --header 'Accept: text/csv' --output "$results"
echo "Its results are in $results."

echo "Why a change waits (here, its user is paused until this script ends):"
trap 'call "$gateway/v1/users/$user/resume" --request POST' EXIT
trap 'exit 130' HUP INT TERM
call "$gateway/v1/users/$user/pause" --request POST
change "$name-waiting" 'respond-async'
call "$gateway/v1/changes/$(field jobId)"
echo "$answer"
