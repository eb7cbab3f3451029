#!/usr/bin/env bash
# The runs that made hsr_hub/weights/hsr-lite-x4-real, from hsr-lite-x4: the pixel loss alone, then
# all losses, then a mixture of both, which ends in $1/mixed. Give it the folder for checkpoints and
# weights; started again after a stop it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python -c "from hsr_hub.paths import data_root; print(data_root())")
[ -d "$1/Set14-degraded" ] || python benchmarks/degrade.py "$data"/test/Set14 "$1/Set14-degraded"
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
  --num_cpu_threads_per_process "$(nproc)" train_accelerate.py --degradation real \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$1/Set14-degraded" --metric_weights "$data"/weights \
  --output_dir "$1/first" --resume_from_checkpoint latest --cache_images --seed 0 \
  --pretrained_model hsr-lite-x4 --crop_size 128 --train_batch_size 16 \
  --learning_rate 1e-3 --lr_warmup_steps 100 \
  --max_train_steps "${STEPS:-2400}" --validation_steps 500 --checkpointing_steps 250
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision bf16 --dynamo_backend no \
  --num_cpu_threads_per_process "$(nproc)" train_accelerate.py --degradation real \
  --train_data_dir "$data"/train/photos-1 "$data"/train/photos-2 "$data"/train/photos-3 \
  --validation_data_dir "$1/Set14-degraded" --metric_weights "$data"/weights \
  --output_dir "$1/second" --resume_from_checkpoint latest --cache_images --seed 1 \
  --pretrained_model "$1/first" --crop_size 96 --train_batch_size 8 \
  --perceptual_weights_path "$data"/weights/vgg19_caffe_conv1_1-conv3_4.fp16.safetensors \
  --perceptual_weight 3e-4 --adversarial_weight 0.003 --consistency_weight 1 --grid_weight 3 \
  --discriminator_width 32 --learning_rate 3e-4 --discriminator_learning_rate 1e-4 \
  --lr_warmup_steps 50 --ema_decay 0.99 \
  --max_train_steps "${DETAIL_STEPS:-700}" --validation_steps 250 --checkpointing_steps 250
python - "$1" <<'EOF'
import sys
from hsr_hub import HSRNet
first, second = (HSRNet.from_pretrained(f"{sys.argv[1]}/{run}") for run in ("first", "second"))
HSRNet.interpolate(first, second, 0.8).save_pretrained(f"{sys.argv[1]}/mixed")
EOF
