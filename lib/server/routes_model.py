"""Model files: `/model`, for those who want the weights that are in use."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from ..errors import MissingDependencyError, NoModelError
from ..models.version import ModelVersion
from .services import Services
from .wiring import ServicesOf

router = APIRouter(prefix="/model", tags=["Models"])


@router.get("/info/{model}")
def info(services: ServicesOf, model: str) -> dict[str, Any]:
    """Check sum and facts of the version in use."""
    version = _served(services, model)
    return {
        "checksum": f"SHA256:{version.sha256}",
        "modified_time": int(version.weights_path.stat().st_mtime),
        **version.to_json(),
    }


@router.get("/{model}")
def download(services: ServicesOf, model: str) -> FileResponse:
    """The weights in use, as safetensors."""
    version = _served(services, model)
    name = f"{model}-{version.version}.safetensors"
    return FileResponse(version.weights_path, media_type="application/octet-stream", filename=name)


@router.put("/{model}")
@router.delete("/{model}")
def change(services: ServicesOf, model: str) -> None:
    """Refused: versions are never replaced or deleted through the network."""
    services.tasks.get(model)
    raise MissingDependencyError(
        "Model versions must not be replaced or deleted over the network. "
        "Put public weights into the task's model folder, or use 'carina models'."
    )


def _served(services: Services, model: str) -> ModelVersion:
    services.tasks.get(model)
    version = services.models.served(model)
    if version is None:
        raise NoModelError(f"Task '{model}' must have a trained model, got none. Train it, or add public weights.")
    return version
