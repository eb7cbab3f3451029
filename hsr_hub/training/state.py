"""What a run remembers from step to step."""

from __future__ import annotations

import logging
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
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
        self.best_measure = math.inf
        """Lowest `--patience_metric` of the validations so far."""
        self.best_step = 0
        """The step of that validation."""
        self.validations_since_best = 0
        self.skipped_steps = 0
        """Steps without a finite gradient."""
        self.adversarial_mean = math.nan
        """Mean adversarial loss between the last two validations."""

    def state_dict(self) -> dict[str, Any]:
        """Return all values."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the values of `state_dict`; values that this version lacks are ignored."""
        vars(self).update({key: value for key, value in state.items() if key in vars(self)})

    def forget_best(self) -> None:
        """Forget the best validation, because later ones cannot be compared with it."""
        self.best_measure, self.best_step, self.validations_since_best = math.inf, 0, 0

    def note_validation(self, measure: float) -> bool:
        """Return whether a validation is the best so far, and count those since the best.

        A measure that is not finite is neither better nor counted.
        """
        if not math.isfinite(measure):
            return False
        if measure < self.best_measure:
            self.best_measure, self.best_step = measure, self.global_step
            self.validations_since_best = 0
            return True
        self.validations_since_best += 1
        return False

    def converged(self, args: Namespace) -> bool:
        """Return whether there were `--patience` validations without improvement."""
        return (
            args.patience is not None
            and self.global_step >= args.pixel_steps
            and self.validations_since_best >= args.patience
        )


class AdversarialTrend:
    """Means of the adversarial loss and of D's ranking between validations.

    The adversarial loss rises while D improves, so it cannot tell when to stop. The two show
    whether G and D are in balance.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[float, float]] = []

    def add(self, values: Mapping[str, float]) -> None:
        """Add a line of the log."""
        if "loss_g/adversarial" in values and "d/real_over_fake" in values:
            self._lines.append((values["loss_g/adversarial"], values["d/real_over_fake"]))

    def report(self, state: RunState) -> dict[str, float]:
        """Return the means since the last report, and the loss's relative change."""
        if not self._lines:
            return {}
        loss, ranking = (sum(column) / len(column) for column in zip(*self._lines, strict=True))
        found = {"adversarial/mean": loss, "adversarial/real_over_fake": ranking}
        if math.isfinite(state.adversarial_mean) and state.adversarial_mean:
            old = state.adversarial_mean
            found["adversarial/change"] = (loss - old) / abs(old)
        state.adversarial_mean = loss
        self._lines.clear()
        return found


class StepCounter:
    """Counts the steps that this launch took, and those in a row that it skipped."""

    def __init__(self) -> None:
        self.taken = 0
        self.skipped = 0
        self.skipped_in_a_row = 0

    def note_taken(self) -> None:
        """Count a step with a finite gradient."""
        self.taken += 1
        self.skipped_in_a_row = 0

    def check(self) -> None:
        """Raise SystemExit if this launch made steps but took none."""
        if self.skipped and not self.taken:
            raise SystemExit(
                f"none of the {self.skipped} steps had a finite gradient, so nothing was learned "
                "and nothing is saved: lower --learning_rate or the weights of the losses."
            )

    def note_skipped(self, state: RunState, losses: Sequence[str], output_dir: Path) -> None:
        """Count and report a step without a finite gradient.

        Args:
            state: The run's state.
            losses: Names of the losses that were not finite.
            output_dir: Folder of the checkpoints.

        Raises:
            SystemExit: There were `MAX_SKIPPED_IN_A_ROW` skipped steps in a row.
        """
        self.skipped += 1
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
