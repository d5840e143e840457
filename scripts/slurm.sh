#!/bin/bash
# A run on many GPUs by Slurm, a task for each: sbatch --nodes=4 scripts/slurm.sh base --root /shared/runs
# Five minutes before the time limit all processes are told to end: they finish the step, save, and the job is queued
# again, where the same line goes on. --root and the data must lie on a file system that all nodes share.
#SBATCH --job-name=xfm
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -u

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 20000))}
export WORLD_SIZE=$SLURM_NTASKS OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# the others cannot go on without one that has died: --kill-on-bad-exit
srun --kill-on-bad-exit=1 bash -c '
    export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID
    export LOCAL_WORLD_SIZE=$((WORLD_SIZE / SLURM_NNODES))
    exec xfm pretrain "$@"' xfm "$@" &
step=$!

warned=
warn() {
    warned=1
    kill -TERM "$step" # srun hands it on to every task
}
trap warn USR1 TERM

status=0
wait "$step" || status=$?
while kill -0 "$step" 2>/dev/null; do # the trap has cut the wait short
    status=0
    wait "$step" || status=$?
done
# 143: ended by the signal, and saved
if [ -n "$warned" ] && [ "$status" -ne 0 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
