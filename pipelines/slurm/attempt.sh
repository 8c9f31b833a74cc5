#!/bin/bash
# Runs one attempt at a stage and makes of its exit code what Slurm should do: attempt.sh COMMAND [ARGUMENT...]
#
#    0  done
#    2  finished, with rejects above the limit or shards skipped; a retry would find the same. A part of an array counts as done,
#       so that the last job runs: it ends with 2 for the whole.
#   75  stopped before the time limit, or transient: back into the queue, most_restarts times at most. Finished units are kept.
#    1 (something to change), 70 (a bug), others: failed, and the jobs that wait for this one are cancelled.
#
# There is no srun: one process on one node needs no job step, and srun answers SIGTERM by sending its task SIGKILL.
set -uo pipefail

most_restarts=20 # Slurm's own (preemption, a lost node) count too; a part that needs more is too large
export RAYON_NUM_THREADS=$SLURM_CPUS_PER_TASK

# SLURM_JOB_ID of one task is that of the whole array, and requeueing it would requeue every task.
job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}

signalled='' cancelled='' child=''
# USR1 is --signal: the time limit is near.
trap 'signalled=yes; kill -TERM "$child" 2>/dev/null' USR1
# TERM is scancel or preemption. A requeue from here would bring a cancelled job back; preempted ones Slurm requeues itself.
trap 'signalled=yes cancelled=yes; kill -TERM "$child" 2>/dev/null' TERM

"$@" &
child=$!
[[ ! $signalled ]] || kill -TERM "$child" # it came before there was a child

wait "$child"
code=$?
while [[ $signalled ]]; do # a signal ends `wait` before the child has
    signalled=''
    wait "$child"
    code=$?
done

restarts=${SLURM_RESTART_COUNT:-0}
if [[ $code -eq 2 && ${SLURM_ARRAY_TASK_ID-} ]]; then
    echo "part $SLURM_ARRAY_TASK_ID: done, with the warnings above (exit code 2)"
    code=0
elif [[ $code -eq 75 && ! $cancelled && $restarts -lt $most_restarts ]]; then
    echo "stopped early (exit code 75): requeueing $job, restart $((restarts + 1)) of $most_restarts"
    scontrol requeue "$job"
fi
exit "$code"
