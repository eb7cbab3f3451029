#!/usr/bin/env bash
# The run that makes hsr_hub/weights/hsr-x4 on a CPU, from hsr-lite-x4 made wider. Give it the folder
# for checkpoints and weights; started again after a stop it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.evaluation import data_root; print(data_root())")
[ -f "$1/start/config.json" ] || python -m recipes.widen hsr-lite-x4 "$1/start"
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
  --num_cpu_threads_per_process "$(nproc)" train_accelerate.py \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 \
  --output_dir "$1/run" --resume_from_checkpoint latest --save_last --cache_images --seed 2 \
  --pretrained_model "$1/start" --crop_size 128 --train_batch_size 16 \
  --learning_rate 1e-3 --lr_warmup_steps 200 \
  --max_train_steps "${STEPS:-8000}" --validation_steps 500 --checkpointing_steps 250
