r"""The dashboard of one deployment as a script for Panel's own server.

Look at a deployment that is not running: resume the one that RTREC_HOME names and watch it::

    RTREC_HOME=deployments/demo panel serve dashboards/live.py --address 127.0.0.1 \
        --unused-session-lifetime 15000

There is no login: without ``--address`` Panel's server would answer other machines too.
All pages share one run and one reader; ``rtrec run`` serves the same page without this script.
"""

from __future__ import annotations

import os
from pathlib import Path

import panel as pn

from rtrec.dashboard.app import make_page
from rtrec.dashboard.store import RunStore
from rtrec.engine.live import LiveRun
from rtrec.errors import DeploymentError


def open_store() -> RunStore:
    """Start the deployment's run in a thread of its own, so that no page has to wait, and read it."""
    home = os.environ.get("RTREC_HOME")
    if not home:
        raise DeploymentError("RTREC_HOME is not set: name the directory of a deployment")
    store = RunStore(lambda: LiveRun.start(Path(home), None))
    store.start()
    return store


make_page(pn.state.as_cached("rtrec", open_store)).servable()
