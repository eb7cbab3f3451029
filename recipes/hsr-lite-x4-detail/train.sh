#!/usr/bin/env bash
# The run that made hsr_hub/weights/hsr-lite-x4-detail, from hsr-lite-x4. Give it the folder for
# checkpoints and weights; started again after a stop it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.paths import data_root; print(data_root())")
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
  --num_cpu_threads_per_process "$(nproc)" train_accelerate.py \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 --metric_weights "$data"/weights \
  --output_dir "$1/run" --resume_from_checkpoint latest --cache_images --seed 0 \
  --pretrained_model hsr-lite-x4 --crop_size 96 --train_batch_size 8 \
  --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
  --perceptual_weight 3e-4 --adversarial_weight 0.015 --consistency_weight 1 \
  --discriminator_width 32 --learning_rate 5e-4 --discriminator_learning_rate 1e-4 \
  --lr_warmup_steps 100 --ema_decay 0.995 \
  --max_train_steps "${STEPS:-1900}" --validation_steps 500 --checkpointing_steps 250
