"""What is known of the installed base models before any library reads them: names, sizes, licences, fit."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from appliance.bundle.safetensors import read_safetensors
from appliance.errors import ApplianceError
from appliance.model.base import check_base, context_tokens, installed_models
from appliance.site.layout import Site
from appliance.site.releases import current_release
from appliance.training.memory import ModelShape, find_shape


@dataclass(frozen=True)
class ModelFacts:
    """One installed model."""

    name: str
    """`org/name`, as a plan names it."""
    folder: Path
    parameters: int
    size: int
    """Bytes of its weights."""
    licence: str
    """As the bundle's sender recorded it; empty when nothing was."""
    shape: ModelShape | None
    """None where its config does not give its sizes by the usual names."""
    context_tokens: int | None
    refused: ApplianceError | None
    """Why it cannot be tuned; None when it can."""


def read_models(site: Site) -> tuple[ModelFacts, ...]:
    """The installed models, the smallest first; reads headers and JSON only."""
    licences = _licences(site)
    found = [
        _read(site.models / name, name, licences.get(name, "")) for name in installed_models(site.models)
    ]
    return tuple(sorted(found, key=lambda model: (model.parameters, model.name)))


def _read(folder: Path, name: str, licence: str) -> ModelFacts:
    parameters = size = 0
    shape, context, refused = None, None, None
    try:
        check_base(folder)
        for file in folder.glob("*.safetensors"):
            size += file.stat().st_size
            parameters += sum(prod(tensor.shape) for tensor in read_safetensors(file).tensors)
        shape, context = find_shape(folder), context_tokens(folder)
    except ApplianceError as error:
        refused = error
    return ModelFacts(name, folder, parameters, size, licence, shape, context, refused)


def _licences(site: Site) -> dict[str, str]:
    """Licence of each model, from the signed contents; none where the release cannot be read."""
    try:
        entries = current_release(site).contents().entries
    except (ApplianceError, OSError, ValueError, KeyError):
        return {}
    return {entry.component: entry.licence for entry in entries if entry.kind == "model" and entry.licence}
