#!/usr/bin/env bash
# The main job on built-in data: procedural tissue, a generator for each fold, classifiers with and without its images,
# and the report. A linear probe learns ten times over, as in minutes no network can. Options are passed on, such as
# --workspace DIR.
source "$(dirname "$0")/environment.sh" "" # or it would take this script's options for its own
exec ganaug evaluate-augmentation --dataset phantom --preset quick --train-missing \
    --classifier probe:efficientnet_lite1 --seeds 10 "$@"
