"""What endpoints may say and operators may do: rollouts with any knobs that go together, and all else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from hypothesis import strategies as st

from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.versions import Version
from tests.properties.referees import CLOSES, OPENS
from tests.properties.worlds import APP_VERSION, START, TOKENS
from tests.unit.orchestrator.application.desks import APP, endpoint_body

if TYPE_CHECKING:
    from tests.properties.worlds import World

# What a body holds is JSON.
Body: TypeAlias = dict[str, Any]

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0", "1.1.0+built.again", "0.9.0")
ZONES = ("Asia/Tokyo", "America/Bogota")
"""Their clocks run evenly."""
_WINDOW = {"cron": f"0 {OPENS} * * *", "duration": f"PT{CLOSES - OPENS}H"}
_SHARES: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"percent": 100},),
    ({"percent": 30}, {"percent": 100}),
    ({"percent": 0.01}, {"percent": 50}, {"percent": 100}),
    ({"count": 1}, {"count": 3}, {"percent": 100}),
    ({"filter": "lab"}, {"count": 4}, {"percent": 100}),
    ({"count": 2}, {"filter": "lab"}),
)

_terms = st.fixed_dictionaries(
    {
        "soak": st.sampled_from(("PT0S", "PT10M", "PT1H")),
        "maxFailureRate": st.sampled_from((0.05, 0.05, 0.3, 0)),
        "minAttempted": st.sampled_from((1, 1, 2, 50)),
    },
    optional={"soakReports": st.sampled_from((0, 1)), "approval": st.just("manual")},
)


@st.composite
def _stages(draw: st.DrawFn) -> list[dict[str, Any]]:
    stages = [{**share, **draw(_terms)} for share in draw(st.sampled_from(_SHARES))]
    for stage in stages:
        if stage["soak"] != "PT0S" and draw(st.booleans()):
            stage["maxUnhealthyRate"] = 0.3
    return stages


_limits = st.sampled_from(
    (
        {"inProgress": 1},
        {"inProgress": 2, "claim": "PT1M"},
        {"perMinute": 2},
        {"perMinute": 60, "inProgress": 3},
        {"exponential": {"base": 2, "factor": 2, "notified": 2}},
        {"exponential": {"base": 6, "factor": 1.5, "succeeded": 1}},
    )
)
_windows = st.sampled_from(
    tuple(
        {**_WINDOW, "timeZone": zone, "onClose": close}
        for zone in ("UTC", "Europe/Berlin", "endpoint")
        for close in ("keep", "withdraw")
    )
)


def _instant(hours: int) -> str:
    return START.replace(day=START.day + 1, hour=hours).isoformat()


_knobs: dict[str, st.SearchStrategy[Any]] = {
    "limits": _limits,
    "deadline": st.just({"installing": "PT2H"}),
    "window": st.none() | _windows,
    "consent": st.sampled_from(("none", "none", "required")),
    "onFailure": st.sampled_from(("pause", "abort", "revert")),
    "start": st.sampled_from((None, None, _instant(1))),
    "end": st.sampled_from((None, None, _instant(8))),
}
_attempts = st.sampled_from(({"max": 1}, {"max": 3}, {"max": 2, "returns": 2}))
_staged = st.fixed_dictionaries({"attempts": _attempts, "stages": _stages()}, optional=_knobs)
_plain = st.fixed_dictionaries({"attempts": _attempts, "stages": _stages()})
_unjudged = st.none() | st.fixed_dictionaries({"attempts": _attempts}, optional=_knobs)
rollouts: st.SearchStrategy[Body | None] = _plain | _staged | _unjudged
_software = st.fixed_dictionaries(
    {
        "upgradableFrom": st.lists(
            st.sampled_from(("1.0.0", "1.1.0", "1.2.0", "2.0.0", "^1.0.0", "*")), min_size=1, max_size=2, unique=True
        ),
        "rollout": rollouts,
    },
    optional={
        "rolloutStrategy": st.sampled_from(("suspended", "general", "targeted")),
        "filters": st.just([{"filterId": "lab"}]),
    },
)
_shared_limits = st.sampled_from(
    (None, None, {"inProgress": 3}, {"perMinute": 6}, {"perMinute": 60, "inProgress": 2}),
)
_settings = st.fixed_dictionaries(
    {}, optional={"consent": st.sampled_from(("none", "none", "required")), "limits": _shared_limits}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An application, and the software that it has at first."""

    application: Body
    software: dict[str, Body]


@st.composite
def _starts(draw: st.DrawFn) -> Start:
    # One of the two bases lets endpoints go back.
    base: Body = draw(st.sampled_from(({"rolloutStrategy": "suspended"}, {"upgradableFrom": ["1.1.0", "2.0.0"]})))
    software = {"1.0.0": base, "1.1.0": {"upgradableFrom": ["1.0.0"], "rollout": draw(_plain | _staged)}}
    if draw(st.booleans()):
        software["2.0.0"] = {"upgradableFrom": ["1.1.0", "^1.0.0"], "rollout": draw(rollouts)}
    return Start(application=draw(st.just({}) | _settings), software=software)


starts = _starts()


# What endpoints say


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One reports any version."""

    token: str
    version: str
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Some have started."""

    tokens: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """All whose offer was withdrawn say what has become of it."""

    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """All report what they run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One asks."""

    token: str
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One has other attributes."""

    token: str
    attributes: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One says how it is."""

    token: str
    healthy: bool


Word: TypeAlias = Report | Progress | Late | Again | Asked | Moved | Health

_tokens = st.sampled_from(TOKENS)
_versions = st.sampled_from(VERSIONS)
_places = st.fixed_dictionaries(
    {}, optional={"site": st.sampled_from(("lab", "field")), "timeZone": st.sampled_from(ZONES)}
)
words: st.SearchStrategy[Word] = (
    st.builds(Report, token=_tokens, version=_versions, code=st.sampled_from((200, 200, 500)))
    | st.builds(Progress, tokens=st.lists(_tokens, min_size=3, unique=True))
    | st.builds(Late, code=st.sampled_from((200, 500)))
    | st.just(Again())
    | st.builds(Asked, token=_tokens, body=st.sampled_from(({}, {"observe": True}, {"observe": False})))
    | st.builds(Moved, token=_tokens, attributes=_places)
    | st.builds(Health, token=_tokens, healthy=st.booleans())
)


# What operators do


@dataclass(frozen=True, slots=True, kw_only=True)
class Define:
    """A software, new or anew."""

    version: str
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """The rollout of a software, if there is one."""

    version: str
    rollout: Body | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """A rollout, or its software."""

    version: str
    verb: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """The application, or lift that."""

    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """The application."""

    settings: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """An endpoint, or let it go."""

    token: str
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Treat:
    """An endpoint."""

    token: str
    verb: str


Order: TypeAlias = Define | Edit | Steer | Freeze | Configure | Pin | Treat

_main = st.sampled_from(("1.1.0", "1.1.0", "2.0.0", "1.2.0"))
orders: st.SearchStrategy[Order] = (
    st.builds(Define, version=_versions, body=_software)
    | st.builds(Edit, version=_main, rollout=rollouts)
    | st.builds(Steer, version=_main, verb=st.sampled_from(("pause", "resume", "resume", "approve", "approve")))
    | st.builds(Steer, version=_main, verb=st.sampled_from(("abort", "recall", "delete")))
    | st.builds(Freeze, frozen=st.booleans())
    | st.builds(Configure, settings=_settings)
    | st.builds(Pin, token=_tokens, version=st.none() | _versions)
    | st.builds(
        Treat,
        token=_tokens,
        verb=st.sampled_from(("retry", "suspended", "active", "consent", "consent", "refuse", "delete")),
    )
)


async def carry_out(order: Order, world: World) -> None:
    """Do what operators order."""
    match order:
        case Define():
            await world.define(order.version, order.body)
        case Edit():
            known = world.entry.software.get(Version.parse(order.version))
            if known is not None:
                sources = {"upgradableFrom": list(known.upgradable_from)}
                await world.define(known.software.version.text, {**sources, "rollout": order.rollout})
        case Steer():
            await _steer(world, Version.parse(order.version), order.verb)
        case Freeze():
            await (world.freezes.set(APP, ANONYMOUS) if order.frozen else world.freezes.lift(APP, ANONYMOUS))
        case Configure():
            await world.configure(**order.settings)
        case Pin() | Treat():
            await _treat(world, order)
        case _:
            assert_never(order)


async def _steer(world: World, version: Version, verb: str) -> None:
    match verb:
        case "recall":
            await world.definitions.recall(APP, version)
        case "delete":
            await world.definitions.delete(APP, version, UNCONDITIONAL)
        case _:
            await getattr(world.rollouts, verb)(APP, version, by=ANONYMOUS)


async def _treat(world: World, order: Pin | Treat) -> None:
    endpoints, token = world.endpoints, order.token
    if isinstance(order, Pin):
        body = endpoint_body(pinned=order.version, token=token, appVersion=APP_VERSION)
        await endpoints.put(APP, token, body, UNCONDITIONAL)
        return
    match order.verb:
        case "retry":
            await endpoints.retry(APP, token, None)
        case "consent" | "refuse":
            await endpoints.consent(APP, token, None, granted=order.verb == "consent")
        case "delete":
            await endpoints.delete(APP, token, UNCONDITIONAL)
        case _:
            await endpoints.change_token(APP, token, TokenState(order.verb), None)
