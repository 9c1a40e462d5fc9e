#!/bin/sh
# Makes the files in ops/deploy/secrets that compose.yaml mounts, once: what is there stays. Run it as root, since
# users' API keys must belong to the user of the containers (10001) or to root.
#
# NAME_dsn has the password of the user copytrade-NAME of users.acl. Keep a copy of the folder: after ACL SAVE, users.acl has
# hashes only.
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

password() { sed -n "s/^user copytrade-$1 on >\([^ ]*\) .*/\1/p" users.acl; }

if [ ! -e users.acl ]; then
    sed -e "s/CHANGE-producer/$(secret)/" -e "s/CHANGE-worker/$(secret)/" \
        -e "s/CHANGE-keys/$(secret)/" -e "s/CHANGE-operator/$(secret)/" ../../redis.acl >users.acl
fi
for user in producer worker keys operator; do
    [ ! -e "${user}_dsn" ] || continue
    [ -n "$(password $user)" ] || { echo "$0: users.acl has no password of copytrade-$user: write ${user}_dsn" >&2; exit 1; }
    echo "redis://copytrade-$user:$(password $user)@valkey:6379/0" >"${user}_dsn"
done
[ -e operator_password ] || sed 's|^redis://copytrade-operator:\([^@]*\)@.*|\1|' operator_dsn >operator_password
[ -e grafana_password ] || secret >grafana_password
[ -e metrics_key ] || : >metrics_key
if [ ! -e credentials.toml ]; then
    for user in 1001 1002 1003; do
        printf '[users.%s]\napi_key = "key-%s"\nsecret_key = "secret-%s"\npassphrase = "pass-%s"\n' $user $user $user $user
    done >credentials.toml
fi
# The folder is closed to others. These files are open, since each container reads them as a user of its own.
chmod 444 users.acl producer_dsn worker_dsn grafana_password
chmod 644 metrics_key
chmod 400 credentials.toml
own="operator_dsn operator_password keys_dsn"
chmod 600 $own
chown 10001:10001 credentials.toml $own || { echo "$0: run as root: cd $PWD && chown 10001:10001 credentials.toml $own" >&2; exit 1; }
