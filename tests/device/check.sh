#!/usr/bin/env bash
# Checks scoring on a device in less than six minutes: the golden losses, then tokens/s. Builds nothing.
#
#     tests/device/check.sh [DEVICE] [BINARY] [GOLDENS]
#
# DEVICE is `cuda:0` unless given, BINARY is target/release/headwater, built with `--features cuda` or `metal`, and GOLDENS is the folder of
# scores.json and documents.parquet. Needs python3 with pyarrow, and the model: `headwater model fetch smollm2-135m-instruct-q4`.
# Ends with 1 if a golden is missed or a step takes too long.
set -euo pipefail
cd "$(dirname "$0")/../.."

device=${1:-cuda:0}
binary=${2:-target/release/headwater}
goldens=${3:-../shared/goldens}
[[ -x $binary ]] || { echo "$binary: there is no such program; build it with \`cargo build --release --features cuda\`" >&2; exit 1; }
python3 -c "import pyarrow" 2> /dev/null || { echo "python3 has no pyarrow: \`pip install pyarrow\`" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ $device == cuda* ]] && command -v nvidia-smi > /dev/null; then
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
fi

for precision in f32 bf16; do
    timeout 80 python3 -B tests/device/goldens.py "$binary" "$device" "$precision" "$goldens" "$work/$precision"
done
for precision in f32 bf16; do
    timeout 90 "$binary" --quiet bench pipelines/quickstart.toml --seconds 30 --set run.output="$work/bench" --set heads.file="$work/f32/head-set.json" \
        --set model.engine=candle --set model.device="$device" --set model.precision=$precision
done
