"""The rules of consent: all that the user, the environment and the host have said becomes one decision. Pure.

First come the voices, each of which may say no (`off`), `local`, `technical` or yes (`on`). The most restrictive word
decides; of two voices that say the same, the upper one names the rule.

    voice                  no                       between             yes    nothing said
    DO_NOT_TRACK           any other value          -                   -      unset, empty, 0
    TELEMETRY_DISABLED     any other value          -                   -      unset, empty, 0
    the stored choice      off, any other value     local, technical    on     none stored
    <PRODUCT>_TELEMETRY    off, any other value     local, technical    on     unset, empty
    one that the catalog   any value that it does   -                   -      unset, or a value that it lists
    names (`no_unless`)    not list, also empty
    the host's `consent`   off, any other value     local, technical    on     None

An unknown value is thus a no: DO_NOT_TRACK=false is one, and so is TELEMETRY_DISABLED=false. A no that was not meant
costs a few statistics; a yes that was not meant costs somebody's trust. DO_NOT_TRACK=0 only takes a no back. Capitals
and spaces around the word do not matter in <PRODUCT>_TELEMETRY, where 1, true and yes say on too.

If no voice said anything, the first line that fits decides:

    situation                              decision
    in CI                                  off
    deployment is not "cloud"              off     (self-hosted, enterprise, unknown, None, anything else)
    under pytest                           off
    cloud, today's notice not yet shown    local
    cloud, notice shown                    on
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from telemetry.consent.notice import NOTICE_VERSION
from telemetry.ground import CLOUD_DEFAULT, DEPLOYMENTS, NOBODY, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_MAX_WORD_CHARACTERS = 16

NOTICE_NOT_SHOWN = "notice not shown"
"""The rule of a decision that lacks nothing but the notice."""

_NO_VARIABLES = ("DO_NOT_TRACK", "TELEMETRY_DISABLED")
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
_TEST_VARIABLES = ("PYTEST_CURRENT_TEST", "PYTEST_VERSION")
"""The variables that pytest sets, for itself and for the processes that a test starts."""


class State(StrEnum):
    """A state of consent, which says what may happen to an event of either sensitivity."""

    ON = "on"  # collected and uploaded
    TECHNICAL = "technical"  # the same for what is about machine and program; all else as under "local"
    LOCAL = "local"  # kept on this machine for its owner to see, never uploadable later
    OFF = "off"  # not collected


class Decision(NamedTuple):
    """The decision for a process, with its reason.

    Attributes:
        state: on, technical, local or off.
        rule: the rule that decided, for people (`telemetry status`): `DO_NOT_TRACK=1`, `stored choice`, `CI`, …
        basis: the voice that allowed or refused it, for the receipt: `stored`, `environment`, `host`, `cloud-default`;
            `none` when nobody did.
        notice: the version of the notice that the decision rests on; 0 when it needs none.
        deployment: `cloud`, `self-hosted`, `enterprise` or `unknown`.
    """

    state: State
    rule: str
    basis: str
    notice: int
    deployment: str


_Voice = tuple[State, str, str]
"""The state, rule and basis of the decision that a voice asks for."""


_STATES = {state.value: state for state in State}
_VARIABLE_WORDS = _STATES | {"1": State.ON, "true": State.ON, "yes": State.ON}
_STRICTEST_FIRST = (State.OFF, State.LOCAL, State.TECHNICAL, State.ON)


def strictest(*states: State) -> State:
    """Return the one of several states that permits the least."""
    return min(states, key=_STRICTEST_FIRST.index)


def decide(
    *,
    product: str,
    environ: Mapping[str, str],
    stored: str | None,
    host: str | None,
    deployment: str | None,
    notice_shown: int,
    no_unless: Mapping[str, Collection[str]] | None = None,
) -> Decision:
    """Decide by the table above. Never raises, whatever the strings hold.

    Args:
        product: the product's name; it names the variable `<PRODUCT>_TELEMETRY`.
        environ: the environment of the process that wants to collect.
        stored: the user's stored choice, None for none.
        host: the host's own `consent`, None if it leaves the matter open.
        deployment: the kind of deployment that the host says it is; None is unknown.
        notice_shown: the version of the notice that this user has seen; 0 for none.
        no_unless: further variables that may say no, from the catalog.
    """
    kind = deployment if deployment in DEPLOYMENTS else UNKNOWN
    voices = list(_voices(product, environ, stored, host, no_unless or {}))
    if not voices:
        return _default(environ, kind, notice_shown)
    decisive = min(voices, key=lambda voice: _STRICTEST_FIRST.index(voice[0]))  # of equals, the first
    return Decision(*decisive, notice=0, deployment=kind)


def _voices(
    product: str,
    environ: Mapping[str, str],
    stored: str | None,
    host: str | None,
    no_unless: Mapping[str, Collection[str]],
) -> Iterator[_Voice]:
    for variable in _NO_VARIABLES:
        value = environ.get(variable, "")
        if value not in {"", "0"}:
            yield State.OFF, _setting(variable, value), "environment"
    if stored is not None:
        yield _STATES.get(stored, State.OFF), "stored choice", "stored"
    variable = product_variable(product)
    if value := environ.get(variable, ""):
        state = _VARIABLE_WORDS.get(value.strip().lower(), State.OFF)
        yield state, _setting(variable, value), "environment"
    for variable, words in no_unless.items():
        said = environ.get(variable)
        if said is not None and said.strip().lower() not in {word.strip().lower() for word in words}:
            yield State.OFF, _setting(variable, said), "environment"
    if host is not None:
        yield _STATES.get(host, State.OFF), "host", "host"


def _default(environ: Mapping[str, str], deployment: str, notice_shown: int) -> Decision:
    if _says(_CI_VARIABLES, environ):
        return Decision(State.OFF, "CI", NOBODY, 0, deployment)
    if deployment != "cloud":
        return Decision(State.OFF, f"deployment {deployment}", NOBODY, 0, deployment)
    if _says(_TEST_VARIABLES, environ):
        return Decision(State.OFF, "pytest", NOBODY, 0, deployment)
    if notice_shown < NOTICE_VERSION:
        return Decision(State.LOCAL, NOTICE_NOT_SHOWN, NOBODY, 0, deployment)
    return Decision(State.ON, "cloud default", CLOUD_DEFAULT, notice_shown, deployment)


def product_variable(product: str) -> str:
    """Return the name of the variable that speaks for one product: `ACME_DB_TELEMETRY` for acme-db."""
    letters = (letter if letter.isascii() and letter.isalnum() else "_" for letter in product.upper())
    return "".join(letters) + "_TELEMETRY"


def _says(variables: tuple[str, ...], environ: Mapping[str, str]) -> bool:
    return any(environ.get(variable, "").lower() not in {"", "0", "false"} for variable in variables)


def _setting(variable: str, value: str) -> str:
    """Name a setting for `telemetry status`; a value that is no plain word is left out of the text."""
    word = value.strip()
    is_plain = word.isascii() and word.isalnum() and len(word) <= _MAX_WORD_CHARACTERS
    return f"{variable}={word}" if is_plain else f"{variable} (unknown value)"
