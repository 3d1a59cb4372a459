#!/bin/sh
# The steps that both images are made of, one for each call, so that they can be run anywhere:
#
#     docker/install.sh system [PACKAGE]...              Debian or Ubuntu, as root: interpreter and tools
#     docker/install.sh dependencies PROJECT VENV EXTRAS a venv with all that the project needs, but not it
#     docker/install.sh kernels PROJECT VENV             CUDA kernels, built against the venv's PyTorch
#     docker/install.sh wheel PROJECT DIST VENV          the project as a wheel
#     docker/install.sh package DIST VENV                that wheel into the venv; needs no network
#     docker/install.sh user                             the user `lra` and the folders that are theirs
#
# EXTRAS: names of pyproject.toml with commas between, such as data,postgres; "" for none.
# pip is configured as everywhere: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, /etc/pip.conf and so on.
set -eu

USER_ID=10001

fail() {
    echo "error: $*" >&2
    exit 2
}

system() {
    [ "$(id -u)" = 0 ] || fail "'system' installs packages: expected root, found user id $(id -u)"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install --yes --no-install-recommends \
        bubblewrap ca-certificates python3 python3-venv tini "$@"
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log
}

# requirements PROJECT EXTRAS: a line for each requirement of pyproject.toml.
requirements() {
    python3 - "$1/pyproject.toml" "$2" <<'PYTHON'
import sys
import tomllib

path, extras = sys.argv[1:]
with open(path, "rb") as file:
    project = tomllib.load(file)["project"]
offered = project["optional-dependencies"]
chosen = [name for name in extras.split(",") if name]
if unknown := [name for name in chosen if name not in offered]:
    sys.exit(f"error: no extra {unknown[0]!r} in {path}; there are {', '.join(offered)}")
for wanted in (project["dependencies"], *(offered[name] for name in chosen)):
    print(*wanted, sep="\n")
PYTHON
}

dependencies() {
    list="$(requirements "$1" "$3")"
    python3 -m venv "$2"
    printf '%s\n' "$list" >"$2/requirements.txt"
    "$2/bin/python" -m pip install --disable-pip-version-check -c "$1/constraints.txt" \
        -r "$2/requirements.txt"
    "$2/bin/python" -c 'import torch; print("torch", torch.__version__)'
}

# The builds import the PyTorch that is there, hence no isolation; what they need is here before.
kernels() {
    requirements "$1" kernels >"$2/kernels.txt"
    "$2/bin/python" -m pip install --disable-pip-version-check -c "$1/constraints.txt" \
        ninja packaging psutil setuptools wheel
    "$2/bin/python" -m pip install --disable-pip-version-check -c "$1/constraints.txt" \
        --no-build-isolation -r "$2/kernels.txt"
}

wheel() {
    PIP_CONSTRAINT="$1/constraints.txt" "$3/bin/python" -m pip wheel --disable-pip-version-check \
        --no-deps --wheel-dir "$2" "$1"
}

package() {
    "$2/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --no-index \
        --no-deps "$1"/lra_design-*.whl
    "$2/bin/python" -m pip check
    "$2/bin/lra-design" --version
}

user() {
    groupadd --gid "$USER_ID" lra
    useradd --uid "$USER_ID" --gid lra --home-dir /home/lra --create-home --shell /usr/sbin/nologin lra
    install --directory --owner lra --group lra /runs /lra
}

[ $# -gt 0 ] || fail "expected a step: system, dependencies, kernels, wheel, package or user"
step="$1"
shift
case "$step:$#" in
    system:* | dependencies:3 | kernels:2 | wheel:3 | package:2 | user:0) "$step" "$@" ;;
    *) fail "no step '$step' with $# arguments; the head of $0 names them" ;;
esac
