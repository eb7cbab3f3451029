#!/usr/bin/env bash
# The run that made hsr_hub/weights/hsr-lite-x4. Give it the folder for checkpoints and weights; started
# again after a stop it goes on from the last checkpoint. The run began with STEPS=20000 and went on
# with 17000 from step 6500; README.md beside it has machine and figures.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.paths import data_root; print(data_root())")
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
  --num_cpu_threads_per_process 2 train_accelerate.py \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 \
  --output_dir "$1" --resume_from_checkpoint latest --cache_images --seed 0 \
  --kernel_sizes 3 5 7 --widths 48 16 8 --fusion_width 48 --reconstruction_widths 24 12 \
  --crop_size 128 --train_batch_size 16 --learning_rate 2e-3 --lr_warmup_steps 500 \
  --max_train_steps "${STEPS:-17000}" --validation_steps 1000 --checkpointing_steps 500
