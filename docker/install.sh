#!/bin/sh
# Makes one environment from docker/ENV, in a container image and on a host alike.
#   docker/install.sh ENV PREFIX
# Every package is installed without its dependencies and checked by its hash: uv (uv.txt), torch with what only it needs
# (torch.lock), all the rest (requirements.lock). The exceptions: pip and setuptools as Python itself brings them, and a build
# of torch that the machine's own pip configuration offers (a CPU build, a mirror), which no lock can know; its sha256 is kept
# in PREFIX/.torch (torch_build.py). python.txt names another Python than 3.11; prepare.py puts into the environment what is
# not a package. PREFIX/.ready is there when all is.
set -eu
name=$1
prefix=$2
here=$(cd "$(dirname "$0")" && pwd)
spec=$here/$name
fail() { echo "error: $1" >&2; exit 2; }
[ -f "$spec/requirements.lock" ] || fail "docker/$name/requirements.lock does not exist: the environments are $(cd "$here" && ls */requirements.lock | sed 's|/.*||' | paste -sd' ')"
version=3.11
if [ -f "$spec/python.txt" ]; then version=$(cut -d. -f1,2 "$spec/python.txt"); fi # a third number is the lock's: packages that want at least that

is_version() { "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" 2>/dev/null; }
# The first Python of a version that can make environments: the one that was named, or on PATH, in pyenv, in uv.
find_python() {
    for candidate in "${PYTHON:-}" "python$1" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$1".*/bin/python \
        "${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python/cpython-$1".*/bin/python; do
        if is_version "$candidate" "$1" && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then echo "$candidate"; return; fi
    done
    get="without root \`uv python install $1\`, \`pyenv install $1\` or conda gets one; then run this again, or name it: make PYTHON=/path/to/python$1"
    if is_version "python$1" "$1"; then fail "python$1 cannot make environments (it has no ensurepip): as root \`apt-get install python$1-venv\`; $get"; fi
    fail "$name needs Python $1, which is not on PATH, in pyenv or in uv: $get"
}
if [ "$version" = 3.11 ] && [ "${PYTHON:-python3.11}" != python3.11 ] && ! is_version "$PYTHON" 3.11; then
    fail "$PYTHON is not Python 3.11: name one, make PYTHON=/path/to/python3.11"
fi
python=$(find_python "$version") || exit 2

# One at a time: who waited for another command that builds the same environment has nothing left to do. Its processes hold the lock
# too, so that one that was killed is not met half alive.
mkdir -p "$(dirname "$prefix")"
exec 9>"$(dirname "$prefix")/.$(basename "$prefix").lock"
if ! flock -n 9; then
    echo "$name: another command builds it: waiting for that"
    flock 9
    if [ -f "$prefix/.ready" ]; then exit 0; fi
fi

umask 022 # programs in the sandbox read the environment as another user
rm -f "$prefix/.ready"
rm -rf "$prefix"
"$python" -m venv "$prefix"
maker=$prefix
if "$prefix/bin/python" -c 'import sys; sys.exit(sys.version_info >= (3, 8))'; then # uv's package wants 3.8: it has a home of its own then
    maker=$prefix/uv
    uv_python=$(find_python 3.11) || exit 2
    "$uv_python" -m venv "$maker"
fi
# a home that cannot be written to: packages are kept beside the environment until it is whole
cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/uv}
if [ -z "${UV_NO_CACHE:-}" ] && ! { mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null; then
    export UV_CACHE_DIR="$prefix/.uv" PIP_NO_CACHE_DIR=1
fi
# uv reads neither pip.conf nor PIP_*: what they say of the index, the proxy and the certificates is handed on.
of_pip() { "$maker/bin/python" -m pip config list 2>/dev/null | sed -n "s/^\(:env:\|global\|install\)\.$1='\(..*\)'$/\2/p" | head -n 1; }
UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$(of_pip index-url)}}
HTTPS_PROXY=${HTTPS_PROXY:-${https_proxy:-$(of_pip proxy)}}
SSL_CERT_FILE=${SSL_CERT_FILE:-$(of_pip cert)}
if [ -n "$UV_DEFAULT_INDEX" ]; then export UV_DEFAULT_INDEX; fi
if [ -n "$HTTPS_PROXY" ]; then export HTTPS_PROXY; fi
if [ -n "$SSL_CERT_FILE" ]; then export SSL_CERT_FILE; fi
# compiled here: a sandbox reads the environment and cannot write to it, and some machines forbid it (PYTHONDONTWRITEBYTECODE)
uv() { "$maker/bin/uv" pip install --quiet --compile-bytecode --python "$prefix/bin/python" --no-deps "$@"; }
no_package="a package could not be had (above: why): is the index reachable? pip's own configuration counts for all: index-url, proxy, cert"
"$maker/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps --require-hashes -r "$here/uv.txt" || fail "$no_package"
if [ -f "$spec/torch.txt" ]; then
    echo "$name: torch ($(sed -n 's/^torch==//p' "$spec/torch.txt")), by pip"
    "$prefix/bin/python" "$here/torch_build.py" "$spec" "$prefix"
fi
echo "$name: $(grep -c '^[a-z].*==' "$spec/requirements.lock") packages of the lock, by uv"
uv --require-hashes -r "$spec/requirements.lock" || fail "$no_package"
if [ -f "$spec/prepare.py" ]; then "$prefix/bin/python" "$spec/prepare.py" "$prefix"; fi
# The package itself is linked into the environments that stages run in (those with its build backend); a scorer's environment
# has nothing but the scorer.
if grep -q '^setuptools==' "$spec/requirements.lock"; then uv --no-build-isolation --editable "$here/.."; fi
rm -rf "$prefix/.uv"
chmod -R go+rX "$prefix" # files linked from a cache have the modes that they have there
sha256sum "$spec/requirements.lock" | cut -d' ' -f1 > "$prefix/.ready.new"
mv "$prefix/.ready.new" "$prefix/.ready"
echo "$name: ready in $prefix"
