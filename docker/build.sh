#!/usr/bin/env bash
# Build an image and try it: docker/build.sh [OPTION]... [-- OPTION OF THE BUILD]...
#
#     --engine COMMAND   docker, podman, 'podman --runtime runc', ...; default: the first that works
#     --cuda             docker/cuda.Dockerfile in place of docker/cpu.Dockerfile
#     --tag NAME         default: lra-design:cpu or lra-design:cuda
#     --no-build         try an image that is there
#     --no-smoke         build only
#     --help
#
# What the build needs of your machine goes through: -- --network host --build-arg BASE=... , or
# pip's configuration, which no layer keeps: -- --secret id=pip.conf,src="$HOME/.config/pip/pip.conf"
#
# Exit codes: 0; 1: the image was built and does not do what it should; 2: wrong usage, or no engine.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

engine=()
flavour=cpu
tag=
build=yes
smoke=yes

fail() {
    echo "error: $*" >&2
    exit 2
}

say() {
    echo "== $*"
}

options() {
    while [ $# -gt 0 ]; do
        case "$1" in
            --engine) read -ra engine <<<"${2:?--engine needs a command}" && shift ;;
            --tag) tag="${2:?--tag needs a name}" && shift ;;
            --cuda) flavour=cuda ;;
            --no-build) build=no ;;
            --no-smoke) smoke=no ;;
            --help) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" && exit 0 ;;
            --) shift && break ;;
            *) fail "no option '$1'; docker/build.sh --help names them" ;;
        esac
        shift
    done
    tag="${tag:-lra-design:$flavour}"
    build_options=("$@")
}

# The first engine that answers. `docker` without its daemon does not.
choose_engine() {
    local found
    if [ ${#engine[@]} -gt 0 ]; then
        "${engine[@]}" info >/dev/null 2>&1 || fail "'${engine[*]} info' fails: is it installed, and its daemon running?"
        return
    fi
    for found in docker podman; do
        if command -v "$found" >/dev/null && "$found" info >/dev/null 2>&1; then
            engine=("$found")
            return
        fi
    done
    fail "no container engine: expected Podman, or Docker with its daemon running. Install one, or use lra-design without (make setup)"
}

is_podman() {
    [[ "$(basename "${engine[0]}")" == podman* ]]
}

build_image() {
    local version more=()
    version="$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' lra_design/__init__.py)"
    is_podman && more=(--format docker) # the other format of Podman knows no HEALTHCHECK
    say "building $tag of docker/$flavour.Dockerfile"
    "${engine[@]}" build --file "docker/$flavour.Dockerfile" --tag "$tag" "${more[@]}" \
        --build-arg "VERSION=$version" \
        --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
        "${build_options[@]}" .
    print_digests
}

# What to pin the bases by, as far as the engine knows.
print_digests() {
    local name digest
    while read -r name; do
        if is_podman; then
            digest="$("${engine[@]}" image inspect --format '{{.Digest}}' "$name" 2>/dev/null)" || digest=
        else
            digest="$("${engine[@]}" buildx imagetools inspect --format '{{.Manifest.Digest}}' "$name" 2>/dev/null)" || digest=
        fi
        echo "base $name: ${digest:-not asked for by this build, or not known}"
    done < <(sed -n 's/^ARG \(BASE\|DEVEL\|RUNTIME\)=//p' "docker/$flavour.Dockerfile")
}

# inside [OPTION]... -- ARGUMENT...: lra-design in a container as compose.yaml makes it.
inside() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    "${engine[@]}" run --rm --network none --read-only --cap-drop ALL \
        --security-opt no-new-privileges --memory 8g --pids-limit 2048 \
        --tmpfs /tmp:size=2g,mode=1777,exec "${cards[@]}" "${options[@]}" "$tag" "$@"
}

choose_cards() {
    cards=()
    [ "$flavour" = cuda ] || return 0
    if ! command -v nvidia-smi >/dev/null; then
        say "no NVIDIA card here: what needs one is not tried"
    elif is_podman; then
        cards=(--device nvidia.com/gpu=all)
    else
        cards=(--gpus all)
    fi
}

try_commands() {
    say "version"
    inside -- --version
    say "user"
    inside --entrypoint id -- | grep --color=never uid=10001
    say "sandbox"
    inside -- sandbox selftest | grep --color=never -v "cannot stop"
    say "validate"
    inside -- validate mechanisms/linear.py
    say "train"
    inside -- train mechanisms/linear.py --task recall-probe --out /runs/smoke
    [ ${#cards[@]} -gt 0 ] || return 0
    say "kernels"
    inside --entrypoint python -- -c \
        "from lra_design.kernels import load_kernel; print(load_kernel('flash-attn'))"
}

# The image's own health check, as the engine runs it.
is_healthy() {
    if is_podman; then
        "${engine[@]}" healthcheck run "$1" >/dev/null
    else
        [ "$("${engine[@]}" inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]
    fi
}

try_board() {
    board="lra-design-smoke-$$"
    say "board"
    "${engine[@]}" run --detach --name "$board" --network none --read-only --cap-drop ALL \
        --security-opt no-new-privileges --memory 1g --pids-limit 256 --tmpfs /tmp \
        --health-interval 5s "$tag" serve --host 0.0.0.0 /runs >/dev/null
    for _ in $(seq 60); do
        if is_healthy "$board"; then
            say "the board is healthy"
            return
        fi
        sleep 2
    done
    "${engine[@]}" logs "$board"
    echo "error: the board did not turn healthy within two minutes" >&2
    return 1
}

remove_board() {
    [ -z "$board" ] || "${engine[@]}" rm --force "$board" >/dev/null
}

smoke() {
    board=
    trap 'echo "error: $tag does not do what it should; see above" >&2; exit 1' ERR
    trap remove_board EXIT
    choose_cards
    try_commands
    try_board
    say "$tag does what it should"
}

options "$@"
choose_engine
[ "$build" = no ] || build_image
[ "$smoke" = no ] || smoke
