#!/usr/bin/env bash
# The runs behind hsr_hub/weights/hsr-x4-real: the pixel loss alone on degraded images, then all
# losses on small crops. $1 is the folder for checkpoints and weights, $2 the weights of
# hsr-lite-x4-real before its last two stages ("mixed" of its own train.sh). The last run is a long one
# at a constant learning rate, for clean flat areas. The result is in $1/bundled: the mean of points
# on its way and of its start, with a fitted head of level x1. Started again after a stop, it goes on
# from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.evaluation import data_root; print(data_root())")
[ -d "$1/graphics" ] || python -m recipes.graphics_pack "$1/graphics" --count 240 --seed 0
[ -f "$1/start/config.json" ] || python -m recipes.transfer hsr-x4 hsr-lite-x4 "$2" "$1/start"
train() {
  accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
    --num_cpu_threads_per_process "$(nproc)" train_accelerate.py --degradation real \
    --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
    "$made/graphics" --metric_weights "$data"/weights \
    --resume_from_checkpoint latest --save_last --cache_images --checkpointing_steps 250 --output_dir "$@"
}
made=$1
train "$1/pixel" --pretrained_model "$1/start" --seed 11 --crop_size 128 --train_batch_size 16 \
  --learning_rate 6e-4 --lr_warmup_steps 50 --max_train_steps 1500
train_adversarial() {
  train "$1" --pretrained_model "$2" --seed "$3" --crop_size 96 --train_batch_size 3 \
    --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
    --perceptual_levels upper --perceptual_weight 3e-4 --lpips_weight 0.4 --flat_weight "$4" \
    --adversarial_weight 0.005 --consistency_weight 1 --checkerboard_weight 3 \
    --discriminator_width 32 --learning_rate 3e-4 --lr_warmup_steps 50 --ema_decay 0.998 \
    --max_train_steps "$5" "${@:6}"
}
train_adversarial "$1/first" "$1/pixel" 21 40 "${STEPS:-3150}"
train_adversarial "$1/second" "$1/first" 22 60 "${STEPS:-3250}"
mean() {  # $1 and $2: folders, $3: the share of the second one, $4: the result
  python - "$@" <<'PYTHON'
import sys
from hsr_hub import HSRNet
first, second = (HSRNet.from_pretrained(folder) for folder in sys.argv[1:3])
HSRNet.interpolate(first, second, float(sys.argv[3])).save_pretrained(sys.argv[4])
PYTHON
}
mean "$1/first" "$1/second" 0.5 "$1/mean"
train_adversarial "$1/third" "$1/mean" 23 40 "${STEPS:-1500}"
mean "$1/mean" "$1/third" 0.7 "$1/mixed"
python -m recipes.fit_first_head "$1/mixed" "$1/fitted" "$data"/train/photos-1 "$1/graphics"
train_adversarial "$1/fourth" "$1/fitted" 201 150 "${STEPS:-6000}" --learning_rate 2e-4 \
  --lr_scheduler constant_with_warmup --ema_decay 0.9995 --checkpointing_steps 500 \
  --checkpoints_total_limit 99
python -m recipes.mean_of_checkpoints "$1/fourth" "$1/on-the-way"
mean "$1/on-the-way" "$1/fitted" 0.3 "$1/unfitted"
python -m recipes.fit_first_head "$1/unfitted" "$1/bundled" "$data"/train/photos-1 "$1/graphics" --share 1
