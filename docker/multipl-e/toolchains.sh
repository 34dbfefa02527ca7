#!/bin/sh
# Installs the compilers and interpreters of MultiPL-E's languages that the distribution has and this machine lacks (Debian, Ubuntu).
set -eu
fail() { echo "error: $1" >&2; exit 2; }
command -v apt-get >/dev/null || fail "no apt-get here: install g++, a JDK with javatuples 1.2, node, PHP with mbstring, rustc and swiftc by hand"
[ "$(id -u)" = 0 ] || fail "installing needs root: sudo make toolchains"
missing=""
want() { # want COMMAND PACKAGE...
    command -v "$1" >/dev/null && return
    shift
    for package; do
        if apt-cache show "$package" >/dev/null 2>&1; then missing="$missing $package"; else echo "$package: not in this distribution"; fi
    done
}
apt-get update --quiet=2
want g++ g++
want javac default-jdk-headless
[ -e /usr/share/java/javatuples.jar ] || missing="$missing libjavatuples-java"
want node nodejs
want php php-cli
php -m 2>/dev/null | grep -q '^mbstring$' || missing="$missing php-mbstring"
want rustc rustc
want swiftc swiftlang libc6-dev libstdc++-14-dev
[ -z "$missing" ] || DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $missing
for tool in g++ javac node php rustc swiftc; do
    if command -v "$tool" >/dev/null; then "$tool" --version 2>&1 | sed -n 1p; else echo "$tool: missing"; fi
done
