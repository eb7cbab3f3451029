#!/usr/bin/env bash
# The runs that made hsr_hub/weights/hsr-lite-x4-real, from hsr-lite-x4: the pixel loss alone, on
# small crops and then on large ones, then all losses, then a mixture in $1/mixed, then all losses with
# LPIPS among them, then the same for long at a constant learning rate, for clean flat areas. The
# result is in $1/bundled: the mean of points on the way of this last run and of its start, with a
# fitted head of level x1. Give it the folder for checkpoints and weights; started again after a stop
# it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.evaluation import data_root; print(data_root())")
made=$1
[ -d "$1/Set14-degraded" ] || python -m benchmarks.degrade "$data"/test/Set14 "$1/Set14-degraded"
train() {
  accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
    --num_cpu_threads_per_process "$(nproc)" train_accelerate.py --degradation real \
    --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
    --validation_data_dir "$made/Set14-degraded" --metric_weights "$data"/weights \
    --resume_from_checkpoint latest --save_last --cache_images --checkpointing_steps 250 \
    --output_dir "$@"
}
train "$1/small" --pretrained_model hsr-lite-x4 --seed 0 --crop_size 128 --train_batch_size 16 \
  --learning_rate 1e-3 --lr_warmup_steps 100 --validation_steps 1000 --max_train_steps 10000
train "$1/large" --pretrained_model "$1/small" --seed 2 --crop_size 256 --train_batch_size 4 \
  --learning_rate 6e-4 --lr_warmup_steps 100 --validation_steps 1000 --max_train_steps 5000
train "$1/detail" --pretrained_model "$1/large" --seed 1 --crop_size 160 --train_batch_size 3 \
  --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
  --perceptual_weight 3e-4 --adversarial_weight 0.003 --consistency_weight 2 --grid_weight 3 \
  --discriminator_width 32 --learning_rate 3e-4 --discriminator_learning_rate 1e-4 \
  --lr_warmup_steps 50 --ema_decay 0.99 --validation_steps 250 --max_train_steps 700
mean() {  # $1 and $2: folders, $3: the share of the second one, $4: the result
  python - "$@" <<'PYTHON'
import sys
from hsr_hub import HSRNet
first, second = (HSRNet.from_pretrained(folder) for folder in sys.argv[1:3])
HSRNet.interpolate(first, second, float(sys.argv[3])).save_pretrained(sys.argv[4])
PYTHON
}
mean "$1/large" "$1/detail" 0.75 "$1/mixed"
[ -d "$1/graphics" ] || python -m recipes.graphics_pack "$1/graphics" --count 240 --seed 0
train_adversarial() {
  train "$1" --pretrained_model "$2" --seed "$3" --crop_size 96 --train_batch_size 3 \
    --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
    "$made/graphics" \
    --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
    --perceptual_levels upper --perceptual_weight 3e-4 --lpips_weight 0.4 --flat_weight "$4" \
    --adversarial_weight 0.005 --consistency_weight 1 --checkerboard_weight 3 \
    --discriminator_width 32 --lr_warmup_steps 50 --validation_steps 1000 "${@:5}"
}
train_adversarial "$1/adversarial" "$1/mixed" 31 15 \
  --learning_rate 3e-4 --ema_decay 0.998 --max_train_steps 3400
python -m recipes.fit_first_head "$1/adversarial" "$1/fitted" "$data"/train/photos-1 "$1/graphics"
train_adversarial "$1/clean" "$1/fitted" 202 200 \
  --learning_rate 2e-4 --lr_scheduler constant_with_warmup --ema_decay 0.9995 \
  --checkpointing_steps 500 --checkpoints_total_limit 99 --max_train_steps 6500
python -m recipes.mean_of_checkpoints "$1/clean" "$1/on-the-way"
mean "$1/on-the-way" "$1/fitted" 0.1 "$1/unfitted"
python -m recipes.fit_first_head "$1/unfitted" "$1/bundled" "$data"/train/photos-1 "$1/graphics" --share 1
