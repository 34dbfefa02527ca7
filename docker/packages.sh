#!/bin/sh
# Installs packages of the distribution into an image, without what they only recommend: docker/packages.sh PACKAGE...
# SNAPSHOT=20261101T000000Z takes them as Debian had them then. Not from before the base was made: packages cannot go back.
set -eu
if [ -n "${SNAPSHOT:-}" ]; then
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ ! -f "$list" ] || sed -i "s|https\?://[^ ]*/\(debian[a-z-]*\)/\?|http://snapshot.debian.org/archive/\1/$SNAPSHOT|" "$list"
    done
    grep -rqF "/$SNAPSHOT" /etc/apt || { echo "error: SNAPSHOT=$SNAPSHOT: the base's /etc/apt names no archive of Debian" >&2; exit 2; }
    echo 'Acquire::Check-Valid-Until "false";' > /etc/apt/apt.conf.d/snapshot # an old list is what is asked for
fi
apt-get update --quiet=2
DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/*
