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
python=${PYTHON:-python3.11}

fail() { echo "error: $1" >&2; exit 2; }
[ -f "$spec/requirements.lock" ] || fail "docker/$name/requirements.lock does not exist: the environments are $(cd "$here" && ls */requirements.lock | sed 's|/.*||' | paste -sd' ')"
version=3.11
if [ -f "$spec/python.txt" ]; then
    version=$(cut -d. -f1,2 "$spec/python.txt") # a third number is the lock's: packages that want at least that
    python=
    for candidate in "${PYTHON:-}" "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python \
        "$HOME/.local/share/uv/python/cpython-$version".*/bin/python; do
        if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then python=$candidate; break; fi
    done
    [ -n "$python" ] || fail "$name needs Python $version, which is not on PATH, in pyenv or in uv: \`uv python install $version\` or \`pyenv install $version\` gets it, then run this again"
fi
command -v "$python" >/dev/null || fail "$python is not on PATH: install Python 3.11 or name one, make PYTHON=/path/to/python3.11"
"$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" || fail "$python is not Python $version: name one, make PYTHON=/path/to/python$version"
"$python" -c 'import ensurepip' 2>/dev/null || fail "$python cannot make environments: install python3-venv"

umask 022 # programs in the sandbox read the environment as another user
rm -f "$prefix/.ready"
rm -rf "$prefix"
"$python" -m venv "$prefix"
maker=$prefix
if "$prefix/bin/python" -c 'import sys; sys.exit(sys.version_info >= (3, 8))'; then # uv's package wants 3.8: it has a home of its own then
    maker=$prefix/uv
    for candidate in "${PYTHON:-}" python3.11; do
        if "$candidate" -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 8))" 2>/dev/null; then "$candidate" -m venv "$maker"; break; fi
    done
    [ -d "$maker" ] || fail "$name needs Python 3.11 with venv as well, for uv: install it, or name one, make PYTHON=/path/to/python3.11"
fi
# compiled here: a sandbox reads the environment and cannot write to it, and some machines forbid it (PYTHONDONTWRITEBYTECODE)
uv() { "$maker/bin/uv" pip install --quiet --compile-bytecode --python "$prefix/bin/python" --no-deps "$@"; }
"$maker/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps --require-hashes -r "$here/uv.txt"
if [ -f "$spec/torch.txt" ]; then
    echo "$name: torch ($(sed -n 's/^torch==//p' "$spec/torch.txt")), by pip"
    "$prefix/bin/python" "$here/torch_build.py" "$spec" "$prefix"
fi
echo "$name: $(grep -c '^[a-z].*==' "$spec/requirements.lock") packages of the lock, by uv"
uv --require-hashes -r "$spec/requirements.lock"
if [ -f "$spec/prepare.py" ]; then "$prefix/bin/python" "$spec/prepare.py" "$prefix"; fi
# The package itself is linked into the environments that stages run in (those with its build backend); a scorer's environment
# has nothing but the scorer.
if grep -q '^setuptools==' "$spec/requirements.lock"; then uv --no-build-isolation --editable "$here/.."; fi
chmod -R go+rX "$prefix" # files linked from a cache have the modes that they have there
sha256sum "$spec/requirements.lock" | cut -d' ' -f1 > "$prefix/.ready.new"
mv "$prefix/.ready.new" "$prefix/.ready"
echo "$name: ready in $prefix"
