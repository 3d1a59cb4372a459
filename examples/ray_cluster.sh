#!/usr/bin/env bash
# A Ray cluster on one machine: a head and a second node as processes, a study whose trials run on either.
# Needs the extra: pip install -c constraints.txt -e '.[ray]'.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/examples/ray}
if ! command -v ray > /dev/null; then
    echo "error: expected Ray, found none. Install it: pip install -c constraints.txt -e '.[ray]'" >&2
    exit 2
fi
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex(32))")
export RAY_ADDRESS=127.0.0.1:6399
trap 'ray stop > /dev/null' EXIT

ray start --head --port=6399 --num-cpus=1 --include-dashboard=false > /dev/null
ray start --address="$RAY_ADDRESS" --num-cpus=1 > /dev/null
lra-design tune mechanisms/mean.py --task recall-probe --trials 4 --seeds 1 --workers 2 \
    --executor 'ray?cpus=1' --out "$out"
