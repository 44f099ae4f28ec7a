"""The streamz graph in front of the shards: accept, wait, learn.

    feed -> accept (log) -> buffer (bounded: back-pressure) -> learn (cut, shards, metrics)

Events wait in the log, and only the word of it in the buffer; :mod:`rtrec.engine.backlog` bounds their bytes.
An exception under a streamz buffer kills its loop and blocks whoever emits next for ever, and most nodes
lose the item. So the functions here never raise through streamz: :class:`guarded_map` awaits them and hands
what they raise to one place, which ends the run visibly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from streamz import Stream
from tornado import gen


@Stream.register_api()
class guarded_map(Stream):
    """Await a coroutine function for each element; what it raises goes to ``failed``, never up the stream."""

    def __init__(
        self,
        upstream: Stream,
        function: Callable[[Any], Awaitable[Any]],
        failed: Callable[[BaseException], None],
        **options: Any,
    ) -> None:
        self._function = function
        self._failed = failed
        super().__init__(upstream, ensure_io_loop=True, **options)

    @gen.coroutine
    def update(self, x: Any, who: Any = None, metadata: Any = None) -> Any:
        """Take one element."""
        try:
            result = yield self._function(x)
        except Exception as error:
            self._failed(error)
            return
        yield self._emit(result, metadata=metadata)


def build_flow(
    accept: Callable[[Any], Awaitable[Any]],
    learn: Callable[[Any], Awaitable[Any]],
    tap: Callable[[Any], None],
    failed: Callable[[BaseException], None],
    *,
    n_waiting: int,
) -> tuple[Stream, Any]:
    """Return the source to emit into, and the last node, which must be kept: streamz refers weakly.

    At most ``n_waiting`` accepted elements wait; then ``emit`` waits.
    """
    source = Stream(asynchronous=True, stream_name="feed")
    accepted = source.guarded_map(accept, failed, stream_name="accept")
    waiting = accepted.buffer(n_waiting, stream_name="waiting")
    return source, waiting.guarded_map(learn, failed, stream_name="learn").sink(tap)
