"""What the process that lives are forked from holds: all that a run imports, and the compiled kernels."""

from __future__ import annotations

import rtrec.engine.session
import rtrec.models.nearline.ease
from rtrec.models.blend import Blend
from rtrec.settings import Settings
from tests.engine import lives

__all__ = ["lives", "rtrec"]

Blend(Settings()).compile()
