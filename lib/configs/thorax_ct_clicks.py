"""Thorax CT by clicks: the structures of `thorax_ct`, drafted and then corrected by pointing at what is wrong."""

from __future__ import annotations

import dataclasses

from .thorax_ct import TASK as THORAX_CT

TASK = dataclasses.replace(
    THORAX_CT,
    name="thorax_ct_clicks",
    kind="deepedit",
    description="Lungs, heart, trachea, spine and nodules in chest CT, at 3 mm; clicks correct what is wrong.",
)
