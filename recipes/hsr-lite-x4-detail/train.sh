#!/usr/bin/env bash
# The run behind hsr_hub/weights/hsr-lite-x4-detail: from hsr-lite-x4, with all losses on small clean
# crops. $1 is the folder for checkpoints and weights; the result is in $1/mean. Started again after a
# stop, it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.evaluation import data_root; print(data_root())")
[ -d "$1/graphics" ] || python -m recipes.graphics_pack "$1/graphics" --count 240 --seed 0
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
  --num_cpu_threads_per_process "$(nproc)" train_accelerate.py \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 "$1/graphics" \
  --metric_weights "$data"/weights --output_dir "$1/run" --resume_from_checkpoint latest --save_last \
  --cache_images --checkpointing_steps 250 --pretrained_model hsr-lite-x4 --seed 42 \
  --crop_size 96 --train_batch_size 3 --strengths 1 1 0.5 \
  --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
  --perceptual_levels upper --perceptual_weight 3e-4 --lpips_weight 0.4 --flat_weight 3 \
  --adversarial_weight 0.01 --consistency_weight 4 --checkerboard_weight 3 \
  --discriminator_width 32 --learning_rate 3e-4 --lr_warmup_steps 50 --ema_decay 0.998 \
  --max_train_steps "${STEPS:-2800}"
python - "$1" <<'PYTHON'
import sys
from hsr_hub import HSRNet
start, trained = HSRNet.from_pretrained("hsr-lite-x4"), HSRNet.from_pretrained(f"{sys.argv[1]}/run")
HSRNet.interpolate(start, trained, 0.7).save_pretrained(f"{sys.argv[1]}/mean")
PYTHON
