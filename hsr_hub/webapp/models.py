"""Which networks the page offers: shipped ones, or those that the environment names."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from huggingface_hub import constants, errors, get_session

from hsr_hub import HSRNet
from hsr_hub.hub import DETAIL, checkpoint, default_model

MIXED_KEPT = 4
"""Networks between a set and its twin that stay in memory."""
HUB_SECONDS = 5
"""How long the Hub may take to answer at all before the page starts without it."""

log = logging.getLogger(__name__)


@dataclass
class Networks:
    """Networks by name, with the detail twins of those that have one."""

    plain: dict[str, HSRNet]
    detail: dict[str, HSRNet]
    notices: list[str]
    """What the page must say: weights that were asked for and are not here."""
    _mixed: OrderedDict[tuple[str, float], HSRNet] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> list[str]:
        """What can be chosen, the default first."""
        return list(self.plain)

    def get(self, name: str, strength: float = 0) -> HSRNet:
        """A network: the set itself at strength 0, its twin at 1, a mixture between.

        Raises:
            ValueError: There is no such set, or it has no twin and a strength was asked for.
        """
        if name not in self.plain:
            raise ValueError(f"there is no model {name!r} here; choose {' or '.join(self.plain)}")
        if not 0 <= strength <= 1:  # true for NaN too
            raise ValueError(f"strength must be between 0 and 1, not {strength!r}")
        if strength == 0:
            return self.plain[name]
        if name not in self.detail:
            raise ValueError(f"{name} has no detail twin here: strength must be 0")
        if strength == 1:
            return self.detail[name]
        key = (name, strength)
        with self._lock:
            if key not in self._mixed:
                self._mixed[key] = HSRNet.interpolate(self.plain[name], self.detail[name], strength)
            self._mixed.move_to_end(key)
            if len(self._mixed) > MIXED_KEPT:
                self._mixed.popitem(last=False)
            return self._mixed[key]


def load(environment: Mapping[str, str], device: str) -> Networks:
    """The networks that the environment asks for, else the shipped ones, on a device.

    HSR_MODEL_ID holds Hub ids, folders or shipped names (several with commas between), HSR_REVISION
    a branch, tag or commit of theirs, HSR_DETAIL_MODEL_ID the twin of the first. What cannot be had
    is left out, and the shipped set stands in where nothing is left: a page that works and says
    what is missing is better than none.
    """
    wanted = [part.strip() for part in environment.get("HSR_MODEL_ID", "").split(",")]
    wanted = [name for name in wanted if name]
    revision = environment.get("HSR_REVISION", "").strip() or None
    shipped = checkpoint.bundled_models()
    networks = Networks({}, {}, [])
    hub = _Hub()

    for source in wanted:
        if network := _load(networks.notices, hub, source, revision, device):
            networks.plain[_label(source)] = network
    if not networks.plain:
        for name in _choices(shipped, device):
            networks.plain[name] = HSRNet.from_pretrained(name, map_location=device)
        if wanted:
            networks.notices.append(f"Shipped weights ({networks.names[0]}) are used instead.")

    twins = {name: name + DETAIL for name in networks.plain if name + DETAIL in shipped}
    if twin := environment.get("HSR_DETAIL_MODEL_ID", "").strip():
        twins[_label(wanted[0]) if wanted else networks.names[0]] = twin
    for name, twin in twins.items():
        if name not in networks.plain:
            continue  # the twin of a set that could not be had is of no use
        network = _load(networks.notices, hub, twin, None, device)
        if network and network.config != networks.plain[name].config:
            text = f"{_label(twin)} has another shape than {name}: they cannot be mixed."
            networks.notices.append(text)
        elif network:
            networks.detail[name] = network
    return networks


def _choices(shipped: list[str], device: str) -> list[str]:
    """Shipped sets that are nobody's twin, the device's default first."""
    names = [name for name in shipped if not name.endswith(DETAIL)]
    return sorted(names, key=lambda name: name != default_model(device))


def _load(
    notices: list[str], hub: _Hub, name: str, revision: str | None, device: str
) -> HSRNet | None:
    """A network, or a notice that it is not to be had."""
    local = Path(name).is_dir() or name in checkpoint.bundled_models() or name.count("/") != 1
    try:
        return HSRNet.from_pretrained(
            name,
            revision=revision,
            map_location=device,
            local_files_only=not local and not hub.answers,  # what was downloaded before will do
        )
    except Exception as error:  # whatever it is, a page that says so is better than none
        log.warning("%s could not be loaded: %s", name, error)
        notices.append(f"{_label(name)} could not be loaded: {_reason(error)}.")
        return None


def _label(source: str) -> str:
    """What visitors read: a folder's name without the way there, else the id itself."""
    return Path(source).name if Path(source).is_absolute() or Path(source).is_dir() else source


class _Hub:
    """Whether the Hub answers; asked once, and only if something is wanted from it.

    Its library tries six times with growing pauses, for every file: too long for a page to start.
    """

    @cached_property
    def answers(self) -> bool:
        try:
            get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
        except Exception:  # of whatever HTTP library it uses; offline mode raises here too
            return False
        return True


def _reason(error: Exception) -> str:
    """A few words for visitors, who must see no address, path or trace."""
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
