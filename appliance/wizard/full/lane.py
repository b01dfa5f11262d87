"""A thread that does one thing after another, so that the screen never waits."""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


class Lane:
    """Calls run here in the order in which they came. The thread does not keep the program from ending."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What `work` returns, or raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result | None, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]  # None only where Result is None

        def take() -> None:
            result, error = None, None
            try:
                result = work(*arguments)
            except BaseException as raised:  # handed to whoever waits
                error = raised
            with suppress(RuntimeError):  # the screen is gone; nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        self._calls.put(take)
        return await done

    def rest(self, timeout_s: float) -> None:
        """Wait until what was called is done, at most `timeout_s`."""
        idle = threading.Event()
        self._calls.put(idle.set)
        idle.wait(timeout_s)

    def _work(self) -> None:
        while True:
            self._calls.get()()
