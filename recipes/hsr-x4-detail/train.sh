#!/usr/bin/env bash
# Makes hsr_hub/weights/hsr-x4-detail: transfers the detail of the lite model, trains from hsr-x4,
# and writes a mean of both weights to $1/mean. Give it the folder for checkpoints and
# weights; started again after a stop it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.evaluation import data_root; print(data_root())")
[ -f "$1/carried/config.json" ] ||
  python -m recipes.transfer hsr-x4 hsr-lite-x4 hsr-lite-x4-detail "$1/carried"
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
  --num_cpu_threads_per_process "$(nproc)" train_accelerate.py \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 --metric_weights "$data"/weights \
  --output_dir "$1/run" --resume_from_checkpoint latest --save_last --cache_images --seed 0 \
  --pretrained_model hsr-x4 --crop_size 96 --train_batch_size 8 --strengths 1 1 0.5 \
  --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
  --pixel_weight 0.5 --perceptual_weight 3e-4 --adversarial_weight 0.015 --consistency_weight 1 \
  --grid_weight 3 --discriminator_width 32 --learning_rate 3e-4 \
  --discriminator_learning_rate 1e-4 --lr_warmup_steps 50 --ema_decay 0.99 \
  --checkpointing_steps 100 --validation_steps 300 --max_train_steps 500
python - "$1" <<'PYTHON'
import sys
from hsr_hub import HSRNet
trained, carried = (HSRNet.from_pretrained(f"{sys.argv[1]}/{name}") for name in ("run", "carried"))
HSRNet.interpolate(trained, carried, 0.25).save_pretrained(f"{sys.argv[1]}/mean")
PYTHON
