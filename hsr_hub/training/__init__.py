"""The modules of `train_accelerate.py`.

Command line: `arguments` with `flags`, `checks` and `presets`. Data: `photos`, `data` (crops and
labels), `degradations`. Step: `networks`, `discriminator`, `losses`, `adversarial`, `mixing`,
`optimizers`, `ema`. Run: `session`, `state`, `meter`, `stop`, `validation`, `checkpoints`,
`resume`. Result: `publishing`, `summary`.
"""
