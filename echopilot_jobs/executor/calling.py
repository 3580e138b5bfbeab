"""How a function is called as a job: with the run's context or without it, awaited where it asks for that."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from echopilot_jobs.context import RunContext

STARS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def result_of(target: str, function: Callable[..., Any], context: RunContext) -> Any:
    """What *function* returns, called with the run's context if it takes one; what it awaits is awaited.

    *target* is its name for a person. Raises `TypeError` for a function that takes other arguments, or is a generator.
    """
    result = function(context) if _wants_context(target, function) else function()
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise TypeError(
            f"'{target}' is a generator, and nobody would run it; wanted: a function that does its work and returns"
        )
    return _run(result) if inspect.isawaitable(result) else result


def _run(result: Awaitable[Any]) -> Any:
    import asyncio  # here, because in the server it would make every other child dearer

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_awaited(result))
    return _run_elsewhere(result)


def _run_elsewhere(result: Awaitable[Any]) -> Any:
    """In a thread of its own: a test that runs a job may have a loop going in this one."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(lambda: asyncio.run(_awaited(result))).result()


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _wants_context(target: str, function: Callable[..., Any]) -> bool:
    """Whether *function* takes the context: its one argument without a default, or a first one named like it."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        raise TypeError(
            f"'{target}' does not say what arguments it takes; wrap it in a function that takes none"
        ) from None
    needed = [each for each in parameters if each.default is each.empty and each.kind not in STARS]
    if len(needed) > 1 or any(each.kind is each.KEYWORD_ONLY for each in needed):
        names = ", ".join(each.name for each in needed)
        raise TypeError(f"'{target}' needs the arguments {names}; wanted: no argument, or one, the run's context")
    first = parameters[0] if parameters else None
    by_name = first is not None and first.kind is not first.KEYWORD_ONLY and first.name in ("ctx", "context")
    return bool(needed) or by_name
