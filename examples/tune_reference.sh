#!/usr/bin/env bash
# Tune a reference under the protocol that candidates get: the first trial is the recipe as it stands, and
# the winner is trained again with a fresh seed and scored.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/examples/tuned}

lra-design tune mechanisms/local_window.py --task recall-probe --trials 3 --seeds 1 --out "$out/study"
for winner in "$out"/study/winners/*/; do
    lra-design score "$winner" --board "$out/board"
done
lra-design board show "$out/board"
