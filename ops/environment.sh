# Functions for the scripts in this folder, which run at the top of the repository. They need Python 3.11 or newer and a
# package registry.

# environment NAME: print the path of the Python environment .env/NAME. It has the locked requirements and this project,
# as an editable install. It is made if it is missing or was made from another lock.
environment() {
    lock=ops/$1.lock
    path=.env/$1
    # The copy of the lock is written last. Without it, the environment is incomplete.
    if ! cmp -s "$lock" "$path/made-from.lock" || ! "$path/bin/python" -c '' 2>/dev/null; then
        python=$(find_python) || return 1
        echo "making the environment $path (once, about half a minute)" >&2
        "$python" -m venv --clear "$path" >&2 &&
            "$path/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock" >&2 &&
            cp "$lock" "$path/made-from.lock" || {
            echo "$0: making the environment $path failed, see above" >&2
            return 1
        }
    fi
    if ! cmp -s pyproject.toml "$path/installed-from.toml"; then
        "$path/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
            --editable . >&2 &&
            cp pyproject.toml "$path/installed-from.toml" || {
            echo "$0: installing the project in $path failed, see above" >&2
            return 1
        }
    fi
    echo "$path"
}

# find_python: print the first Python that can make an environment.
find_python() {
    incapable=
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
        incapable=${incapable:-$candidate}
    done
    if [ "$incapable" ]; then
        echo "$0: $incapable has no venv or ensurepip; install them (Debian, Ubuntu: apt install python3-venv)" >&2
    else
        echo "$0: found no Python 3.11 or newer; install one, and have it on the PATH as python3 or python3.N" >&2
    fi
    return 1
}
