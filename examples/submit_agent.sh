#!/usr/bin/env bash
# Submit an agent: a class of three methods writes mechanisms behind the walls, its finalist is scored
# beside a reference, and the journal says how it came there.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/examples/agent}

lra-design design --agent "python examples/agents/climber.py" --attempts 3 --task recall-probe \
    --probes recall-probe --references softmax --seeds 1 --no-attribution --out "$out"
lra-design journal tree "$out"
lra-design journal show "$out" 0
