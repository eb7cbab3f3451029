"""Models that the page offers: the bundled ones, or those that the environment or a file names."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import constants, errors, get_session

from hsr_hub import HSRNet
from hsr_hub.hub import AUTO, DETAIL, LABELS, REAL, bundled_models, cleans, default_model, model_for
from hsr_hub.webapp.limits import MAX_MIXED_MODELS

HUB_SECONDS = 5
"""How long to wait for the Hub at start."""

log = logging.getLogger(__name__)


@dataclass
class ModelStore:
    """Models by name, with the detail models of those that have one."""

    plain: dict[str, HSRNet]
    detail: dict[str, HSRNet]
    notices: list[str]
    """Messages for visitors about models that could not be loaded."""
    auto: bool = False
    """Whether the models are the bundled ones, among which the page can choose."""
    _mixed: OrderedDict[tuple[str, float], HSRNet] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> list[str]:
        """Names that can be chosen, the default first."""
        return list(self.plain)

    @property
    def default(self) -> str:
        """Name of the default model."""
        return self.names[0]

    @property
    def choices(self) -> list[str]:
        """Code names that a request can give, the default first."""
        details = [name + DETAIL for name in self.detail]
        return [*([AUTO] if self.auto else []), *self.names, *details]

    @property
    def labels(self) -> dict[str, str]:
        """What visitors read, by code name: the choices of the page, the default first."""
        if not self.auto:
            return {name: name for name in self.names}
        clean, photo = self.default, model_for("photo", self.names, self.default)
        labels = {AUTO: LABELS[AUTO], clean: LABELS["clean"]}
        if photo != clean:
            labels[photo] = LABELS["photo"]
        if clean in self.detail:
            labels[clean + DETAIL] = LABELS["detail"]
        for name in self.names:
            kind = "photo" if name.endswith(REAL) else "clean"
            network = "small network" if "-lite-" in name else "large network"
            labels.setdefault(name, f"{LABELS[kind]}, {network}")
        return labels

    def split(self, name: Any) -> tuple[Any, bool]:
        """Return the plain model of a code name, and whether its detail model was meant."""
        if isinstance(name, str) and name not in self.plain:
            plain = name.removesuffix(DETAIL)
            if plain != name and plain in self.detail:
                return plain, True
        return name, False

    def has_detail(self, name: Any) -> bool:
        """Return whether a choice has a detail model, so that a strength can be set."""
        if name == AUTO:
            return self.auto and bool(self.detail)
        return isinstance(name, str) and self.split(name)[0] in self.detail

    def cleans(self, name: Any, strength: float) -> bool:
        """Return whether a choice removes noise, blur and blocks, so that 1x is of use."""
        if name == AUTO:
            return not strength and any(plain.endswith(REAL) for plain in self.names)
        return not strength and isinstance(name, str) and cleans(name)

    def candidates(self, strength: float) -> list[str]:
        """Return the code names among which Auto can choose: above strength 0 those with detail."""
        if strength:
            return [name for name in self.names if name in self.detail]
        return [*self.names, *(name + DETAIL for name in self.detail)]

    def check(self, name: Any, strength: float = 0) -> None:
        """Raise if a choice cannot be served.

        Raises:
            ValueError: There is no such model, the strength is out of range, or it is above 0 and
                the model has no detail model.
        """
        known = isinstance(name, str) and (name in self.plain or (name == AUTO and self.auto))
        if not known:
            choices = " or ".join(self.choices)
            raise ValueError(f"there is no model {str(name)[:80]!r} here; choose {choices}")
        if not 0 <= strength <= 1:  # true for NaN too
            raise ValueError(f"strength must be between 0 and 1, not {strength!r}")
        if strength and not self.has_detail(name):
            raise ValueError(f"{name} has no detail model here: strength must be 0")

    def get(self, name: str, strength: float = 0) -> HSRNet:
        """Return the model at strength 0, its detail model at 1, an interpolation between.

        Raises:
            ValueError: As for `check`.
        """
        self.check(name, strength)
        if strength == 0:
            return self.plain[name]
        if strength == 1:
            return self.detail[name]
        key = (name, strength)
        with self._lock:
            if key not in self._mixed:
                self._mixed[key] = HSRNet.interpolate(self.plain[name], self.detail[name], strength)
            self._mixed.move_to_end(key)
            if len(self._mixed) > MAX_MIXED_MODELS:
                self._mixed.popitem(last=False)
            return self._mixed[key]


@dataclass(frozen=True)
class ModelChoice:
    """Names of the models to load: Hub ids, folders or bundled names."""

    models: list[str] = field(default_factory=list)
    """Empty: the bundled models."""
    revision: str | None = None
    detail_model: str | None = None
    """Detail model of the first model."""


def read_choice(environment: Mapping[str, str], space_file: Path | None = None) -> ModelChoice:
    """Return what the environment names, else what the file names.

    Args:
        environment: HSR_MODEL_ID holds Hub ids, folders or bundled names, separated by commas;
            HSR_REVISION a branch, tag or commit of theirs; HSR_DETAIL_MODEL_ID the detail model of
            the first.
        space_file: JSON file that `hsr-hub push-space` writes: {"models": [...], "detail_model":
            ...}. Read only if HSR_MODEL_ID is not set.

    Raises:
        ValueError: The file is not such a file.
    """
    models = [part.strip() for part in environment.get("HSR_MODEL_ID", "").split(",")]
    detail = environment.get("HSR_DETAIL_MODEL_ID", "").strip() or None
    if "HSR_MODEL_ID" not in environment and space_file is not None and space_file.is_file():
        content = json.loads(space_file.read_text(encoding="utf-8"))
        models = content.get("models") if isinstance(content, dict) else None
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            raise ValueError(f'{space_file.name} must hold {{"models": ["org/name", ...]}}')
        detail = detail or content.get("detail_model")
        if detail is not None and not isinstance(detail, str):
            raise ValueError(f"detail_model in {space_file.name} must be a name or null")
    revision = environment.get("HSR_REVISION", "").strip() or None
    return ModelChoice([name for name in models if name], revision, detail)


def load_models(
    environment: Mapping[str, str], device: str, space_file: Path | None = None
) -> ModelStore:
    """Load the models that are asked for, else the bundled ones.

    Models that cannot be loaded are left out. If none is left, the bundled models are used, so that
    the page starts and says what is missing.

    Args:
        environment: As for `read_choice`.
        device: Where to put the models.
        space_file: As for `read_choice`.
    """
    store, hub = ModelStore({}, {}, []), _Hub()
    choice = ModelChoice()
    try:
        choice = read_choice(environment, space_file)
    except ValueError as error:  # json.JSONDecodeError among them
        log.warning("the choice of models could not be read: %s", error)
        store.notices.append("The choice of models could not be read: see the log.")

    for source in choice.models:
        if network := _load(store.notices, hub, source, choice.revision, device):
            store.plain[_label(source)] = network
    if not store.plain:
        store.auto = True
        for name in _choices(device):
            store.plain[name] = HSRNet.from_pretrained(name, map_location=device)
        if store.notices:
            store.notices.append(f"Bundled weights ({store.default}) are used instead.")

    bundled = bundled_models()
    details = {name: name + DETAIL for name in store.plain if name + DETAIL in bundled}
    if choice.detail_model:
        first = _label(choice.models[0]) if choice.models else store.default
        details[first] = choice.detail_model
    for name, source in details.items():
        if name not in store.plain:
            continue  # the model itself could not be loaded
        network = _load(store.notices, hub, source, None, device)
        if network and network.config != store.plain[name].config:
            store.notices.append(
                f"{_label(source)} has another shape than {name}: they cannot be mixed."
            )
        elif network:
            store.detail[name] = network
    return store


def _choices(device: str) -> list[str]:
    """Return the bundled models that are not detail models, the device's default first."""
    names = [name for name in bundled_models() if not name.endswith(DETAIL)]
    return sorted(names, key=lambda name: name != default_model(device))


def _load(
    notices: list[str], hub: _Hub, name: str, revision: str | None, device: str
) -> HSRNet | None:
    """Return a model, or None after adding a notice."""
    local = Path(name).is_dir() or name in bundled_models() or name.count("/") != 1
    try:
        return HSRNet.from_pretrained(
            name,
            revision=revision,
            map_location=device,
            local_files_only=not local and not hub.answers,  # use what was downloaded before
        )
    except Exception as error:  # the page must start, whatever is wrong with one model
        log.warning("%s could not be loaded: %s", name, error)
        notices.append(f"{_label(name)} could not be loaded: {_reason(error)}.")
        return None


def _label(source: str) -> str:
    """Return the name for visitors: a folder's own name without its path, else the id."""
    return Path(source).name if Path(source).is_absolute() or Path(source).is_dir() else source


class _Hub:
    """Whether the Hub answers. Asked at most once, and only if something is needed from it.

    huggingface_hub retries six times with growing pauses for every file, which would delay the
    start by minutes.
    """

    @cached_property
    def answers(self) -> bool:
        try:
            get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
        except Exception:  # errors of its HTTP library, or offline mode
            return False
        return True


def _reason(error: Exception) -> str:
    """Return a few words for visitors, without addresses, paths or a stack trace."""
    reasons = [
        (errors.LocalEntryNotFoundError, "the Hub cannot be reached"),
        (errors.RevisionNotFoundError, "it has no such revision"),
        (errors.RepositoryNotFoundError, "it does not exist, or is private"),
        (errors.HfHubHTTPError, "the Hub refused"),
        (FileNotFoundError, "it does not exist, or lacks config.json or model.safetensors"),
        (OSError, "it could not be downloaded"),
        (ValueError, "its files are broken, or of another kind of network"),
    ]
    return next((text for kind, text in reasons if isinstance(error, kind)), "see the log")
