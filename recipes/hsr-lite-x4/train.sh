#!/usr/bin/env bash
# The runs that made hsr_hub/weights/hsr-lite-x4, one from scratch and one on larger crops from its
# weights. Give it the folder for checkpoints and weights; started again after a stop it goes on from
# the last checkpoint. README.md beside it has machine, metrics, and how the real runs differed.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.evaluation import data_root; print(data_root())")
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
  --num_cpu_threads_per_process 2 train_accelerate.py \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 \
  --output_dir "$1/first" --resume_from_checkpoint latest --save_last --cache_images --seed 0 \
  --kernel_sizes 3 5 7 --widths 48 16 8 --fusion_width 48 --reconstruction_widths 24 12 \
  --crop_size 128 --train_batch_size 16 --learning_rate 2e-3 --lr_warmup_steps 500 \
  --max_train_steps 17000 --validation_steps 1000 --checkpointing_steps 500
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
  --num_cpu_threads_per_process 2 train_accelerate.py \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 \
  --output_dir "$1/second" --resume_from_checkpoint latest --save_last --cache_images --seed 1 \
  --pretrained_model "$1/first" --crop_size 192 --train_batch_size 16 \
  --learning_rate 7e-4 --lr_warmup_steps 200 \
  --max_train_steps 6000 --validation_steps 500 --checkpointing_steps 250
