#!/usr/bin/env bash
# A Slurm of one node on this machine, all in one folder: scripts/slurm.sh start FOLDER, then export
# SLURM_CONF=FOLDER/slurm.conf; scripts/slurm.sh stop FOLDER. Needs root, and Debian's slurm-wlm and munge.
set -euo pipefail
action="$1" folder="$(realpath -m "$2")"
export PATH="$PATH:/usr/sbin" SLURM_CONF="$folder/slurm.conf"

stop() {
    scancel --user=root 2>/dev/null || true # or their steps would outlive the daemons
    for _ in $(seq 20); do
        [ -z "$(squeue --noheader 2>/dev/null)" ] && break
        sleep 0.5
    done
    for name in slurmd slurmctld munged; do
        [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
}

start() {
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    head -c 1024 /dev/urandom >"$folder/munge.key" && chmod 400 "$folder/munge.key"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>/dev/null
    memory="$(awk '/MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)"
    cat >"$SLURM_CONF" <<EOF
ClusterName=tests
SlurmctldHost=$(hostname -s)
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmctldPort=${SLURMCTLD_PORT:-16817}
SlurmdPort=${SLURMD_PORT:-16818}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2
KillWait=5
MinJobAge=300
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=60 State=UP
EOF
    slurmctld -c
    slurmd -N "$(hostname -s)"
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && return
        sleep 0.5
    done
    tail -n 3 "$folder"/slurm*.log >&2
    stop
    echo "scripts/slurm.sh: the node is not idle after 30 seconds" >&2
    return 1
}

"$action"
