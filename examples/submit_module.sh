#!/usr/bin/env bash
# Submit a module: from a file to an entry that anybody can verify.
# Two seeds, to be quick: a rank takes five (0 to 4).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
mechanism=examples/mechanisms/decaying_mean.py
out=${1:-runs/examples/module}

lra-design validate "$mechanism"
for seed in 0 1; do
    lra-design train "$mechanism" --task recall-probe --seed "$seed" --out "$out/trainings"
done
for training in "$out"/trainings/*/; do
    lra-design score "$training" --board "$out/board"
done
lra-design submit "$out"/trainings/*/ --board "$out/board" --weights -o "$out/entry.lra.zip"
lra-design verify "$out/entry.lra.zip"
lra-design board show "$out" --site "$out/site"
