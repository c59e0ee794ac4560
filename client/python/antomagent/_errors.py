"""The one error."""
from __future__ import annotations

from typing import Any, Mapping, Optional

BAD_FRAME, BUSY, RETRY, DEADLINE, UNREACHABLE, TIMEOUT = 100, 500, 501, 503, 505, 506
BAD_PARAM = 104
_CLASSES = {1: "caller", 2: "denied", 3: "state", 4: "verify", 5: "retry"}


def class_of(code: int) -> str:
    return _CLASSES.get(code // 100, "internal")


class AntomError(Exception):
    """Why a call has no result.

    code            the number of PROTOCOL.md section 5: decide by it where you know it
    name            its name there; of a code that this version does not know, as the agent gave it
    error_class     caller, denied, state, verify, retry or internal: decide by it otherwise
    message         a sentence: what was wrong and what is allowed
    field           the parameter at fault, or None
    retry_after_ms  when it may be repeated, or None
    """

    def __init__(self, code: int, name: str, error_class: str, message: str, field: Optional[str] = None,
                 retry_after_ms: Optional[int] = None):
        super().__init__(f"{name}: {message}")
        self.code, self.name, self.error_class, self.message = code, name, error_class, message
        self.field, self.retry_after_ms = field, retry_after_ms
        self._is_answer = False  # the agent's, not made here

    @property
    def is_worth_repeating(self) -> bool:
        """A second try may succeed; one was made already where there was time for it."""
        return self.error_class == "retry"

    @classmethod
    def from_map(cls, error: Mapping[str, Any]) -> AntomError:
        code = error.get("code")
        if not isinstance(code, int) or isinstance(code, bool):
            return bad_frame("an error without a code")
        text = {k: error[k] if isinstance(error.get(k), str) else None for k in ("name", "class", "message", "field")}
        retry = error.get("retry_after_ms")
        made = cls(code, text["name"] or "UNKNOWN", text["class"] or class_of(code), text["message"] or "",
                   text["field"], retry if isinstance(retry, int) and not isinstance(retry, bool) else None)
        made._is_answer = True
        return made

    def _pause(self) -> Optional[float]:
        """Seconds before the one repetition; None: there is none."""
        if not self._is_answer or self.error_class != "retry" or self.code in (TIMEOUT, DEADLINE):
            return None
        return (self.retry_after_ms or 0) / 1000

    def _shown(self) -> AntomError:
        """As the caller gets it."""
        return self


class ConnectionLost(AntomError):
    """The connection ended before the answer. `said`: what the agent gave as the reason, in place of this."""

    def __init__(self, said: Optional[AntomError] = None, why: str = "the agent closed the connection before it answered"):
        super().__init__(RETRY, "RETRY", "retry", why)
        self._said = said

    def _pause(self) -> Optional[float]:
        return 0 if self._said is None else self._said._pause()

    def _shown(self) -> AntomError:
        return self._said or self


def bad_frame(what: str) -> AntomError:
    return AntomError(BAD_FRAME, "BAD_FRAME", "caller", f"the agent sent {what}; the connection was closed")


def timed_out() -> AntomError:
    return AntomError(TIMEOUT, "TIMEOUT", "retry", "no answer came in time")


def unreachable(path: str, why: object) -> AntomError:
    return AntomError(UNREACHABLE, "UNREACHABLE", "retry", f"{path}: {why}")


def bad_param(field: str, message: str) -> AntomError:
    return AntomError(BAD_PARAM, "BAD_PARAM", "caller", message, field)
