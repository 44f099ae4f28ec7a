"""The dashboard: watch a live run, ask it for recommendations, try a change before it goes live.

``state`` holds what pages show and nothing else, ``store`` fills it from one thread for the whole process,
``views`` draw it, ``app`` serves it. A page never calls the engine from the server's event loop: what may
block goes through :meth:`rtrec.dashboard.store.RunStore.ask`.
"""
