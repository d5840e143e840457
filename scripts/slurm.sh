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

warned= step=
warn() {
    warned=1
    [ -z "$step" ] || kill -TERM "$step" # srun hands it on to every task
}
trap warn USR1 TERM

# the others cannot go on without one that has died: --kill-on-bad-exit
srun --kill-on-bad-exit=1 bash -c '
    export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID
    export LOCAL_WORLD_SIZE=$((WORLD_SIZE / SLURM_NNODES))
    exec xfm pretrain "$@"' xfm "$@" &
step=$!
[ -z "$warned" ] || kill -TERM "$step"

status=0
ended() { # how srun ended, or that the trap has cut the wait short
    local now=0
    wait "$step" || now=$?
    [ "$now" -eq 127 ] || status=$now # 127: told already
}
ended
while kill -0 "$step" 2>/dev/null; do ended; done
ended

# what was told to end is saved, and not done
if [ -n "$warned" ] && [ "$status" -ne 0 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
