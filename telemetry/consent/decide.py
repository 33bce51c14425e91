"""The rules of consent: everything that was said goes in, one decision comes out. Pure.

First come the voices, each of which may say no (`off`), `local` or yes (`on`). The most restrictive of what
they say decides; of two that say the same, the upper one names the rule.

    voice                  no                       local     yes    nothing said
    DO_NOT_TRACK           any other value          -         -      unset, empty, 0
    TELEMETRY_DISABLED     any other value          -         -      unset, empty, 0
    the stored choice      off, any other value     local     on     none stored
    <PRODUCT>_TELEMETRY    off, any other value     local     on     unset, empty
    the host's `consent`   off, any other value     local     on     None

So a value that nobody knows is a no: DO_NOT_TRACK=false is one, and so is TELEMETRY_DISABLED=false. A no that
was not meant costs a few statistics; a yes that was not meant costs somebody's trust. DO_NOT_TRACK=0 only
takes a no back. Capitals and spaces around the word do not matter in <PRODUCT>_TELEMETRY, where 1, true and
yes say on too.

When no voice said anything, the first line that fits decides:

    situation                              decision
    in CI                                  off
    deployment is not "cloud"              off     (self-hosted, enterprise, unknown, None, anything else)
    cloud, today's notice not yet shown    local
    cloud, notice shown                    on
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from telemetry.consent.notice import NOTICE_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOTICE_NOT_SHOWN = "notice not shown"
"""The rule of a decision that lacks nothing but the notice."""

_NO_VARIABLES = ("DO_NOT_TRACK", "TELEMETRY_DISABLED")
_DEPLOYMENTS = ("cloud", "self-hosted", "enterprise")
_CI_VARIABLES = (
    "CI",
    "CONTINUOUS_INTEGRATION",
    "APPVEYOR",
    "BITBUCKET_BUILD_NUMBER",
    "BUILDKITE",
    "CIRCLECI",
    "CIRRUS_CI",
    "CODEBUILD_BUILD_ID",
    "DRONE",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "HUDSON_URL",
    "JENKINS_URL",
    "SEMAPHORE",
    "TEAMCITY_VERSION",
    "TF_BUILD",
    "TRAVIS",
    "WOODPECKER_CI",
)


class State(StrEnum):
    """What may happen to an event."""

    ON = "on"  # collected and uploaded
    LOCAL = "local"  # kept on this machine for its owner to see, never uploadable later
    OFF = "off"  # not collected


class Decision(NamedTuple):
    """What holds for this process, and why.

    Attributes:
        state: on, local or off.
        rule: what decided, for people (`telemetry status`): `DO_NOT_TRACK=1`, `stored choice`, `CI`, …
        basis: who allowed or refused it, for the receipt: `stored`, `environment`, `host`, `cloud-default`;
            `none` when nobody did.
        notice: the version of the notice that the decision rests on; 0 when it needs none.
        deployment: `cloud`, `self-hosted`, `enterprise` or `unknown`.
    """

    state: State
    rule: str
    basis: str
    notice: int
    deployment: str


class _Voice(NamedTuple):
    state: State
    rule: str
    basis: str


_STATES = {state.value: state for state in State}
_VARIABLE_WORDS = _STATES | {"1": State.ON, "true": State.ON, "yes": State.ON}
_STRICTEST_FIRST = (State.OFF, State.LOCAL, State.ON)


def decide(
    *,
    product: str,
    environ: Mapping[str, str],
    stored: str | None,
    host: str | None,
    deployment: str | None,
    notice_shown: int,
) -> Decision:
    """Decide by the table above. Never raises, whatever the strings hold.

    Args:
        product: the product's name; it names the variable `<PRODUCT>_TELEMETRY`.
        environ: the environment of the process that wants to collect.
        stored: the user's stored choice, None when there is none.
        host: the host's own `consent`, None when it leaves the matter open.
        deployment: what the host says of itself; None is unknown.
        notice_shown: the version of the notice this user has seen; 0 for none.
    """
    kind = deployment if deployment in _DEPLOYMENTS else "unknown"
    voices = list(_voices(product, environ, stored, host))
    if not voices:
        return _default(environ, kind, notice_shown)
    strictest = min(voices, key=lambda voice: _STRICTEST_FIRST.index(voice.state))  # of equals, the first
    return Decision(*strictest, notice=0, deployment=kind)


def _voices(product: str, environ: Mapping[str, str], stored: str | None, host: str | None) -> Iterator[_Voice]:
    for variable in _NO_VARIABLES:
        value = environ.get(variable, "")
        if value not in {"", "0"}:
            yield _Voice(State.OFF, _setting(variable, value), "environment")
    if stored is not None:
        yield _Voice(_STATES.get(stored, State.OFF), "stored choice", "stored")
    variable = product_variable(product)
    if value := environ.get(variable, ""):
        state = _VARIABLE_WORDS.get(value.strip().lower(), State.OFF)
        yield _Voice(state, _setting(variable, value), "environment")
    if host is not None:
        yield _Voice(_STATES.get(host, State.OFF), "host", "host")


def _default(environ: Mapping[str, str], deployment: str, notice_shown: int) -> Decision:
    if _in_ci(environ):
        return Decision(State.OFF, "CI", "none", 0, deployment)
    if deployment != "cloud":
        return Decision(State.OFF, f"deployment {deployment}", "none", 0, deployment)
    if notice_shown < NOTICE_VERSION:
        return Decision(State.LOCAL, NOTICE_NOT_SHOWN, "none", 0, deployment)
    return Decision(State.ON, "cloud default", "cloud-default", notice_shown, deployment)


def product_variable(product: str) -> str:
    """The variable that speaks for one product: `ACME_DB_TELEMETRY` for acme-db."""
    return re.sub("[^A-Z0-9]", "_", product.upper()) + "_TELEMETRY"


def _in_ci(environ: Mapping[str, str]) -> bool:
    return any(environ.get(variable, "").lower() not in {"", "0", "false"} for variable in _CI_VARIABLES)


def _setting(variable: str, value: str) -> str:
    """Name a setting for `telemetry status`; a value that is no plain word stays out of the text."""
    word = value.strip()
    return f"{variable}={word}" if re.fullmatch("[A-Za-z0-9]{1,16}", word) else f"{variable} (unknown value)"
