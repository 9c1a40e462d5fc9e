# Sourced by the scripts beside it, from the top of the repository: Python environments of their own, made once from
# the locked requirements. A machine needs Python 3.11 or newer and a package registry, nothing else.

# environment NAME: makes .env/NAME, unless it is there and of the same lock, with this project installed in it (as a
# link to these files) for its command `copytrade`. Call it as path=$(environment NAME).
environment() {
    lock=ops/requirements.lock
    path=.env/$1
    # The copy of the lock is written last: without it the environment is half-made, with another it is out of date.
    if ! cmp -s "$lock" "$path/made-from.lock" || ! "$path/bin/python" -c '' 2>/dev/null; then
        python=$(find_python) || return 1
        echo "making the environment $path; this is done once and takes about half a minute" >&2
        "$python" -m venv --clear "$path" >&2 &&
            "$path/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock" >&2 &&
            cp "$lock" "$path/made-from.lock" || {
            echo "$0: the environment $path could not be made, for the reason above; mend it and run this again" >&2
            return 1
        }
    fi
    if ! cmp -s pyproject.toml "$path/installed-from.toml"; then
        "$path/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
            --editable . >&2 &&
            cp pyproject.toml "$path/installed-from.toml" || {
            echo "$0: the project could not be installed in $path, for the reason above; mend it and run this again" >&2
            return 1
        }
    fi
    echo "$path"
}

# find_python: prints the first Python that can make an environment.
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
