#!/usr/bin/env bash
# Verify a row of a board: softmax attention of the demo's board as one file, validated again, scored again
# from its weights, and one seed trained again. Run `make demo` first.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
demo=${1:-runs/demo}
out=${2:-runs/examples/row}
mkdir -p "$out"

# A training's folder is named by its run; its run.json says of what.
mapfile -t trainings < <(python - "$demo"/trainings/*/run.json << 'END'
import json, pathlib, sys

for path in map(pathlib.Path, sys.argv[1:]):
    run = json.loads(path.read_text())
    if (run["name"], run["task"]) == ("softmax", "listops-mini"):
        print(path.parent)
END
)
lra-design submit "${trainings[@]}" --board "$demo/board" --weights -o "$out/softmax.lra.zip"
lra-design verify "$out/softmax.lra.zip" --retrain
