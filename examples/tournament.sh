#!/usr/bin/env bash
# A tournament of four agents whose llms are scripts: no network, no key. The same command goes on after
# Ctrl-C; examples/tournaments/study.toml is a field of twenty.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/examples/tournament}

lra-design tournament examples/tournaments/four.toml --tasks recall-probe --settings fixed \
    --test-seeds 1 --workers 2 --out "$out"
lra-design board show "$out"
