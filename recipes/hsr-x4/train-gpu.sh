#!/usr/bin/env bash
# The same network on one GPU, in slices of minutes:
#
#     STEPS=50000 recipes/hsr-x4/train-gpu.sh OUT [MINUTES]
#
# trains for so long (default 9), saves, and leaves the last checkpoint in OUT/run; the next call goes
# on from it. All photos are decoded once and kept on the GPU. It ends after STEPS, which also shape
# the learning rate; fewer may be given from one call to the next.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$(python3 -c "from hsr_hub.evaluation import data_root; print(data_root())")
[ -f "$1/start/config.json" ] || python3 -m recipes.widen "${START:-hsr-lite-x4}" "$1/start"
# Not by `accelerate launch`: of one process it passes no signal on, and would be gone too early.
ACCELERATE_MIXED_PRECISION=bf16 timeout --signal=TERM "$((${2:-9} * 60))" \
  python3 train_accelerate.py --train_data_dir "$data"/train/photos-* \
  --validation_data_dir "$data"/test/Set5 "$data"/test/Set14 \
  --output_dir "$1/run" --resume_from_checkpoint latest --save_last --cache_images "${CACHE:-device}" --seed 3 \
  --pretrained_model "$1/start" --crop_size "${CROP:-256}" --train_batch_size 32 \
  --learning_rate 1e-3 --lr_warmup_steps 500 \
  --max_train_steps "${STEPS:-50000}" --validation_steps 2500 \
  --checkpointing_steps 2500 --checkpoints_total_limit 1 || [ $? = 124 ]
