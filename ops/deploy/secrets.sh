#!/bin/sh
# Makes the files in ops/deploy/secrets that compose.yaml mounts, once: what is there stays. Run it as root, since
# users' API keys must belong to the user of the containers (10001) or to root.
#
# credentials.toml gets users 1001 to 1003 with made-up keys, for the exchange double. Replace it by your own file
# (worker/credentials/README.md) before workers send to the exchange.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
cd secrets
[ -z "${SUDO_GID:-}" ] || { chgrp "$SUDO_GID" . && chmod 750 .; }  # whoever runs docker compose
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

if [ ! -e users.acl ]; then
    producer=$(secret) worker=$(secret)
    sed -e "s/CHANGE-producer/$producer/" -e "s/CHANGE-worker/$worker/" \
        -e "s/CHANGE-keys/$(secret)/" -e "s/CHANGE-operator/$(secret)/" ../../redis.acl >users.acl
    echo "redis://copytrade-producer:$producer@valkey:6379/0" >producer_dsn
    echo "redis://copytrade-worker:$worker@valkey:6379/0" >worker_dsn
fi
[ -e grafana_password ] || secret >grafana_password
[ -e metrics_key ] || : >metrics_key
if [ ! -e credentials.toml ]; then
    for user in 1001 1002 1003; do
        printf '[users.%s]\napi_key = "key-%s"\nsecret_key = "secret-%s"\npassphrase = "pass-%s"\n' $user $user $user $user
    done >credentials.toml
fi
# The folder is closed to others. The files are open, since each container reads them as a user of its own.
chmod 444 users.acl producer_dsn worker_dsn grafana_password
chmod 644 metrics_key
chmod 400 credentials.toml
chown 10001:10001 credentials.toml || { echo "$0: run as root: chown 10001:10001 $PWD/credentials.toml" >&2; exit 1; }
