"""What a run remembers from step to step."""

from __future__ import annotations

import logging
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsr_hub.training.checkpoints import find_checkpoints

logger = logging.getLogger(__name__)

MAX_SKIPPED_IN_A_ROW = 20
"""Steps in a row without a finite gradient before a run gives up."""


class RunState:
    """The state of a run besides weights, optimizers and random states; part of checkpoints."""

    def __init__(self) -> None:
        self.global_step = 0
        self.best_loss = math.inf
        """Lowest validation loss so far."""
        self.validations_since_best = 0
        self.skipped_steps = 0
        """Steps without a finite gradient."""

    def state_dict(self) -> dict[str, Any]:
        """Return all values."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the values of `state_dict`; values that this version lacks are ignored."""
        vars(self).update({key: value for key, value in state.items() if key in vars(self)})

    def expect_other_losses(self) -> None:
        """Forget the best validation, because later ones measure other losses."""
        self.best_loss, self.validations_since_best = math.inf, 0

    def note_validation(self, loss: float) -> None:
        """Count validations without improvement; a value that is not finite does not count."""
        if loss < self.best_loss:
            self.best_loss, self.validations_since_best = loss, 0
        elif math.isfinite(loss):
            self.validations_since_best += 1

    def converged(self, args: Namespace) -> bool:
        """Return whether there were `--patience` validations without improvement."""
        return (
            args.patience is not None
            and self.global_step >= args.pixel_steps
            and self.validations_since_best >= args.patience
        )


class StepCounter:
    """Counts the steps that this launch took, and those in a row that it skipped."""

    def __init__(self) -> None:
        self.taken = 0
        self.skipped_in_a_row = 0

    def note_taken(self) -> None:
        """Count a step with a finite gradient."""
        self.taken += 1
        self.skipped_in_a_row = 0

    def note_skipped(self, state: RunState, losses: Sequence[str], output_dir: Path) -> None:
        """Count and report a step without a finite gradient.

        Args:
            state: The run's state.
            losses: Names of the losses that were not finite.
            output_dir: Folder of the checkpoints.

        Raises:
            SystemExit: There were `MAX_SKIPPED_IN_A_ROW` skipped steps in a row.
        """
        self.skipped_in_a_row += 1
        state.skipped_steps += 1
        logger.warning(
            "step %d: gradient not finite, step skipped (not finite: %s; %d skipped so far)",
            state.global_step,
            ", ".join(losses) or "no loss of this process",
            state.skipped_steps,
        )
        if self.skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
            kept = find_checkpoints(output_dir)
            raise SystemExit(
                f"{self.skipped_in_a_row} steps in a row had no finite gradient: lower "
                "--learning_rate or train without mixed precision. "
                + (f"{kept[-1].name} is intact." if kept else "There is no checkpoint yet.")
            )
