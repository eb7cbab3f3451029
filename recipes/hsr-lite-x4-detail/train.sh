#!/usr/bin/env bash
# The runs that made hsr_hub/weights/hsr-lite-x4-detail, from hsr-lite-x4, and the mean of their
# weights, which ends in $1/mean. Give it the folder for checkpoints and weights; started again
# after a stop it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.evaluation import data_root; print(data_root())")
train() {
  accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
    --num_cpu_threads_per_process "$(nproc)" train_accelerate.py \
    --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
    --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 --metric_weights "$data"/weights \
    --resume_from_checkpoint latest --save_last --cache_images --seed 0 \
    --pretrained_model hsr-lite-x4 --crop_size 96 --train_batch_size 8 \
    --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
    --perceptual_weight 3e-4 --adversarial_weight 0.015 --consistency_weight 1 \
    --discriminator_width 32 --checkpointing_steps 250 "$@"
}
train --output_dir "$1/first" --pixel_weight 0.5 --grid_weight 4 --strengths 1 1 1 1 1 0.5 \
  --learning_rate 4e-4 --ema_decay 0.995 --max_train_steps 2000
train --output_dir "$1/second" --pixel_weight 0.5 --grid_weight 3 --strengths 1 1 1 0.5 \
  --learning_rate 4e-4 --ema_decay 0.99 --lr_warmup_steps 50 --max_train_steps 700
# The third run was stopped after 1000 steps.
train --output_dir "$1/third" --pixel_weight 0.4 --grid_weight 3 --strengths 1 1 1 0.5 \
  --learning_rate 2e-4 --discriminator_learning_rate 2e-4 --adam_beta1 0.5 --ema_decay 0.997 \
  --max_train_steps 2300 --checkpoints_total_limit 99
python - "$1" <<'EOF'
import sys
from hsr_hub import HSRNet

first, second, third = (
    HSRNet.from_pretrained(f"{sys.argv[1]}/{run}")
    for run in ("first", "second", "third/checkpoint-1000")
)
mean = HSRNet.interpolate(HSRNet.interpolate(first, second, 0.5), third, 1 / 3)
mean.save_pretrained(f"{sys.argv[1]}/mean")
EOF
