#!/usr/bin/env bash
# Validate in CI, by hand: what the workflow and the hook in examples/ci do, and pytest besides. Findings
# for people, for code scanning (SARIF) and for CI's test reports (JUnit); exit code 1 when one is invalid.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/examples/ci}
mkdir -p "$out"

lra-design validate examples/mechanisms --format sarif --output "$out/findings.sarif"
lra-design validate examples/mechanisms --fast --format junit --output "$out/junit.xml"
python -m pytest -q --lra-mechanism examples/mechanisms/decaying_mean.py "$out"
if lra-design validate tests/broken/circular_fft.py --fast; then
    echo "expected a mechanism that sees the future to be refused" >&2
    exit 1
fi
