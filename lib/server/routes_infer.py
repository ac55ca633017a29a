"""Drafts: `/infer/{task}` as MONAI Label's clients call it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from ..annotations.drafts import remember_draft
from ..errors import InvalidInputError
from .inference import OUTPUTS, finished, inference_options, keep_label, locate_image, result_suffix
from .inputs import json_object, user_of
from .responses import file_response, multipart_response
from .tickets import InferenceRequest, InferenceResult
from .uploads import temporary_folder
from .wiring import ServicesOf

router = APIRouter(tags=["Inference"])


@router.post("/infer/{model}")
async def infer(
    request: Request,
    services: ServicesOf,
    model: str,
    image: str = "",
    session_id: str = "",
    output: str = "all",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Segment an image of the datastore, of a session or sent along; prompts and strokes are those of the task's kind.

    The answer is a form of JSON and label map (`output=all`), or one of the two, or a DICOM SEG.
    """
    spec = services.tasks.get(model)
    if output not in OUTPUTS:
        raise InvalidInputError(f"Output must be one of {', '.join(OUTPUTS)}, got '{output[:32]}'.")
    sent = json_object(params)
    options, user = inference_options(sent, spec), user_of(sent)
    with temporary_folder(services.settings) as folder:
        source = await run_in_threadpool(locate_image, services, folder, image=image, session_id=session_id, file=file)
        painted = await run_in_threadpool(keep_label, spec, label, folder)
        ticket = services.pool.submit(
            InferenceRequest(
                request_id=options["request_id"],
                task=model,
                image=source,
                output=folder / f"{options['request_id']}{result_suffix(options, output)}",
                options=options,
                label=painted,
            )
        )
        result = await finished(request, services, ticket)
        content = await run_in_threadpool(result.path.read_bytes)
    if image and file is None and not session_id:
        await run_in_threadpool(
            remember_draft, services.annotations, image, task=model, params=result.params, user=user
        )
    answer = {**result.params, "request_id": options["request_id"]}
    if len(spec.labels):  # all of them: Slicer takes the n-th name for voxel value n
        answer["label_names"] = spec.labels.indices
    return _response(output, answer, result, content)


def _response(output: str, answer: dict[str, Any], result: InferenceResult, content: bytes) -> Response:
    if output == "json":
        return JSONResponse(answer)
    if output == "all":
        return multipart_response(answer, result.path.name, content)
    return file_response(result.path.name, content)
