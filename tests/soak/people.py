"""People during the storm: they look at pages and ask for runs, and ask again when they got no answer (I24)."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from random import Random
from typing import Any

from tests.soak.jobs import BY_HAND
from tests.soak.records import Records

LOOKS = ("/health", "/", "/api/jobs", "/api/runs?limit=50", "/api/metrics-summary")


class People:
    """A thread that asks the web again and again; what it was promised goes into the records."""

    def __init__(self, port: int, key: str, records: Records, rng: Random) -> None:
        self._port = port
        self._key = key
        self._records = records
        self._rng = rng
        self._over = threading.Event()
        self._alarmed = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, name="people", daemon=True)
        self._unanswered: list[tuple[str, str]] = []
        self._asked = 0
        self.answers: Counter[int] = Counter()

    def __enter__(self) -> People:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)

    def heal(self) -> None:
        """Have them press the button that heals, now."""
        self._alarmed.set()

    def _ask_on(self) -> None:
        while not self._over.is_set():
            if self._alarmed.wait(self._rng.uniform(0.2, 0.8)):
                self._alarmed.clear()
                self._ask("POST", "/api/self-heal")
                continue
            choice = self._rng.random()
            if choice < 0.4:
                self._ask("GET", self._rng.choice(LOOKS))
            elif choice < 0.65:
                self._ask("POST", "/api/self-heal")
            else:
                self._ask_for_run()

    def _ask_for_run(self) -> None:
        """A new request, or one that nobody has answered yet, under its old key."""
        if not self._unanswered:
            self._asked += 1
            self._unanswered.append((self._rng.choice(BY_HAND), f"ask-{self._asked}"))
        job, key = self._unanswered[0]
        status, body = self._ask("POST", f"/api/jobs/{job}/run", key)
        if status in (200, 202):
            self._records.add("promised", job=job, key=key, run=body["run"]["id"], status=status)
        if status in (200, 202, 409, 429):
            self._unanswered.pop(0)

    def _ask(self, method: str, path: str, key: str | None = None) -> tuple[int, Any]:
        """Status and JSON of the answer; status 0 when there was none."""
        headers = {"X-Dash-Key": self._key, "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path, body="{}" if method == "POST" else None, headers=headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
            body = json.loads(text) if "json" in (answer.headers.get("Content-Type") or "") else None
        except (OSError, http.client.HTTPException, ValueError):  # ValueError: an answer cut off in the middle
            status, body = 0, None
        finally:
            connection.close()
        self.answers[status] += 1
        if status == 500:
            self._records.add("web_error", path=path, answer=body)
        return status, body
