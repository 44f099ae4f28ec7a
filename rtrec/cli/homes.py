"""Which deployment a command is about."""

from __future__ import annotations

from pathlib import Path

from rtrec.engine.deployment import Deployment
from rtrec.errors import InputError

#: Deployments live here unless --home or RTREC_HOME says otherwise.
HOMES = Path(".rtrec")


def find_deployment(home: Path | None) -> Deployment:
    """Return the deployment at ``home``, or the only one under ``.rtrec``.

    Raises
    ------
    InputError
        If there is none at ``home``, or none is given and it is not clear which one is meant.
    """
    if home is not None:
        deployment = Deployment(home)
        if not deployment.exists:
            raise InputError(
                f"{home}: no deployment here; make one with `rtrec run FILE ... --home {home}`, or name "
                "another with --home DIR or RTREC_HOME"
            )
        _ = deployment.manifest  # of this version
        return deployment
    found = sorted(path for path in HOMES.iterdir() if Deployment(path).exists) if HOMES.is_dir() else []
    if len(found) != 1:
        there = (
            f"{HOMES} has {', '.join(path.name for path in found)}"
            if found
            else f"there is none under {HOMES}"
        )
        raise InputError(f"which deployment? {there}; name one with --home DIR or RTREC_HOME")
    return Deployment(found[0])
