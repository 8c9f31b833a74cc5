#!/bin/bash
# Submits a pipeline as three jobs, each after the one before: submit.sh PIPELINE.toml [PARTS]
#
# Run it in the folder that the pipeline's relative paths start from, with headwater on PATH. PARTS (64) is the number of array
# tasks, CONCURRENT (32) how many of them run at once. What your site asks for goes into sbatch's own variables, for all three
# jobs: SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_CONSTRAINT, SBATCH_GPUS. Where compute nodes have no internet, fetch the model
# first: `headwater model fetch NAME`.
#
# To go on after a failure, submit again: what is done is skipped.
set -euo pipefail

usage="usage: submit.sh PIPELINE.toml [PARTS]"
export PIPELINE=${1:?$usage} PARTS=${2:-64}
HEADWATER_JOBS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) # jobs run from copies, and find attempt.sh by this
export HEADWATER_JOBS
concurrent=${CONCURRENT:-32}

refuse() {
    echo "submit.sh: $*" >&2
    exit 1
}
[[ -r $PIPELINE ]] || refuse "cannot read $PIPELINE"
# Slurm's MaxArraySize is 1,001 unless a site has raised it.
[[ $PARTS =~ ^[1-9][0-9]{0,3}$ && $PARTS -le 1001 ]] || refuse "PARTS is $PARTS, not a number from 1 to 1001"
command -v headwater >/dev/null || refuse "headwater is not on PATH"

mkdir -p logs
submit() {
    local id
    id=$(sbatch --parsable --export=ALL --kill-on-invalid-dep=yes "$@") || return
    echo "${id%%;*}" # ID;CLUSTER where there are several clusters
}
heads=$(submit --output=logs/%x-%j.log "$HEADWATER_JOBS/heads.sbatch")
score=$(submit --output=logs/%x-%A_%a.log --dependency="afterok:$heads" --array="0-$((PARTS - 1))%$concurrent" \
    "$HEADWATER_JOBS/score.sbatch")
finish=$(submit --output=logs/%x-%j.log --dependency="afterok:$score" "$HEADWATER_JOBS/finish.sbatch")
echo "heads $heads, score $score ($PARTS parts, $concurrent at once), finish $finish; logs in logs/"
