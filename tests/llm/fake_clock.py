"""A clock that moves only when somebody sleeps on it, so that minutes pass in no time."""

import asyncio
import heapq
import itertools


class Clock:
    """Seconds that start at 1000; `sleep` wakes its callers in the order of their times."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []
        self._order = itertools.count()
        self._sleepers = []
        self._driver = None

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + max(0.0, seconds), next(self._order), woken))
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        await woken

    async def _drive(self):
        while self._sleepers:
            # Everything that can run without time passing runs first; nothing of ours takes more turns of the loop than this.
            for _ in range(20):
                await asyncio.sleep(0)
            if not self._sleepers:
                return
            at, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self.now = max(self.now, at)
                woken.set_result(None)
