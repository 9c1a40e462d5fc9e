#!/bin/sh
# Builds the image without Docker and without a registry of images, as root on Debian with buildah and debootstrap, and
# runs its programs as the image's user on a read-only root. The base image is a stand-in for python:slim: a minimal
# Debian with this machine's Python. It needs /tmp with 4 GB, and 5 minutes.
#
#   apt-get install --no-install-recommends buildah debootstrap
#   sh ops/deploy/try_image.sh [PYTHON]     such as python3.13
set -eu
cd "$(dirname "$0")/../.."
python=${1:-python3}
work=$(mktemp -d /tmp/copytrade-image.XXXXXX)
store="--root $work/store --runroot $work/run --storage-driver vfs"
# shellcheck disable=SC2086 # several options
trap 'buildah $store umount --all >/dev/null 2>&1 || :; rm -rf "$work"' EXIT

debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" >"$work/log" || { tail "$work/log"; exit 1; }
cp -a "$("$python" -c 'import sys; print(sys.base_prefix)')/." "$work/base/usr/local/"
cp /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/"
[ -e "$work/base/usr/local/bin/python" ] || ln -s "$(basename "$python")" "$work/base/usr/local/bin/python"
chroot "$work/base" ldconfig

# shellcheck disable=SC2086
{
    container=$(buildah $store from scratch)
    buildah $store add -q "$container" "$work/base" / >/dev/null
    buildah $store config --env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah $store commit -q --rm "$container" localhost/python-stand-in >/dev/null
    buildah $store bud --isolation chroot --network host --pull-never \
        --build-arg PYTHON_IMAGE=localhost/python-stand-in -f ops/deploy/Dockerfile -t localhost/copytrade-settings .
    container=$(buildah $store from --pull-never localhost/copytrade-settings)
    root=$(buildah $store mount "$container")
}

# unshare: mounts of this block only.
unshare --mount sh -eu -c '
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -t tmpfs -o noexec,nosuid,nodev tmpfs "$1/tmp"
    mount -o remount,bind,ro "$1"
    run() { chroot --userspec=10001:10001 "$1" /usr/bin/env PATH=/opt/copytrade/bin:/usr/bin:/bin sh -c "$2"; }
    run "$1" "! touch /opt/copytrade/x 2>/dev/null && touch /tmp/x && echo \"read-only but for /tmp\""
    run "$1" "copytrade --version && python -m worker --help >/dev/null && copytrade serve --help >/dev/null"
    run "$1" "! python -c \"import pip\" 2>/dev/null && ! python -c \"import pytest\" 2>/dev/null && echo \"neither pip nor tools of tests\""
' sh "$root"
