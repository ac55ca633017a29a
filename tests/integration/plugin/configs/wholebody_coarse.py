"""The whole-body task with its labels and network at larger voxels: everything as it is, in a tenth of the time."""

from __future__ import annotations

import dataclasses

from carina.configs.wholebody_ct import TASK as WHOLE

TASK = dataclasses.replace(WHOLE, name="wholebody_coarse", spacing_mm=(4.5, 4.5, 4.5))
