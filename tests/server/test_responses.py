"""Errors become answers in one place."""

from __future__ import annotations

import asyncio
import errno

import httpx
import pytest
from fastapi import FastAPI

from carina.server.responses import install_error_handlers


@pytest.mark.parametrize(
    ("number", "status", "error"),
    [(errno.ENOSPC, 507, "StorageError"), (errno.EDQUOT, 507, "StorageError"), (errno.EIO, 500, "Error")],
)
def test_a_full_disk_is_said_so_wherever_it_is_noticed(number, status, error):
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/fails")
    def fails():
        raise OSError(number, "secret path")

    answer = asyncio.run(ask(app))
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert "secret" not in answer.text


async def ask(app: FastAPI) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://carina") as client:
        return await client.get("/fails")
