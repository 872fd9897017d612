"""What backend and capture say, in Blender's language: stages, states, and why there is no connection. No bpy.

They say it in English, and so it stays in takes, files and logs; the panel translates it here when it is drawn. What
this table does not have is shown as it came: warnings, refusals, and whatever a newer backend says.
"""

from __future__ import annotations

import functools
import re

from .problems import capital
from .words import noted, tr

STAGES = (
    noted("load"), noted("encode"), noted("denoise"), noted("decode"),  # the Wan engines
    noted("find"), noted("draw"), noted("animate"), noted("listen"), noted("talk"), noted("solve"), noted("test"),
    noted("prepare"), noted("frames"), noted("face"), noted("plate"), noted("look"), noted("pack"), noted("check"),
    noted("frame"), noted("upload"),
)  # fmt: skip
NETWORKS = (
    noted("text encoder"), noted("image encoder"), noted("audio encoder"), noted("vae"), noted("transformer"),
    noted("transformer 2"),
)  # fmt: skip
WAITING = noted("waiting, number {position}")
PATTERNS = (noted("{stage} {number} of {count}"), noted("load {what}"), WAITING)
"""Stages with something put in, such as "denoise 2 of 3"."""

STATES = {
    "draft": noted("Draft"),
    "submitting": noted("Submitting"),
    "queued": noted("Queued"),
    "loading": noted("Loading"),
    "running": noted("Running"),
    "cancelling": noted("Stopping"),
    "finished": noted("Done"),
    "failed": noted("Failed"),
    "cancelled": noted("Stopped"),
    "lost": noted("Lost"),
}

REASONS = (
    noted("nobody answers at {where}: start the backend with 'wanstage serve'"),
    noted("the backend at {where} closed the connection"),
    noted("the backend at {where} could not check our key (code {code})"),
    noted(
        "the backend at {where} does not allow our key: pair with it again, or copy its present connection file to "
        "this machine"
    ),
    noted(
        "the program at {where} encrypts otherwise than we do: pair with it again, or copy its present connection file "
        "to this machine"
    ),
    noted(
        "the program at {where} hung up on our key: it is another program, or a backend with new keys; pair with it "
        "again, or copy its present connection file to this machine"
    ),
    noted("the backend does not answer: is another program listening there, or is it overloaded?"),
    noted("the backend has said nothing for {seconds} seconds"),
    noted("the backend broke the protocol: {error}"),
    noted("the backend had forgotten this client"),
    noted("the backend speaks Wanstage protocol {theirs}, this side {ours}: update the older of the two"),
    noted("the connection file cannot be used ({where}): {error}"),
    noted("this build of ZeroMQ has no CURVE encryption: install pyzmq from its wheels"),
    noted("there is no connection file at {path}: start the backend with 'wanstage serve'"),
    noted("{path} cannot be read as a connection file: {error}"),
)
"""Of ``protocol``: why there is no connection (any more)."""
PAIRING = (
    noted("this is no pairing code: it begins with wanstage: and comes from 'wanstage pair' at the backend"),
    noted("this pairing code is of another version ({version}, here {own}) or mistyped: copy it again"),
    noted("this pairing code is cut off, or letters of it are missing: copy the whole line again"),
    noted("this pairing code is mistyped: a letter is wrong or one too many; copy the whole line again"),
    noted(
        "{where} does not answer: is the backend running, does it listen to this network, and does its firewall let "
        "the port in?"
    ),
    noted(
        "nobody answers at {where}: is the backend running, does it listen to this network, and does its firewall let "
        "the port in?"
    ),
    noted("another program answers at {where}, or the backend has new keys: ask for a new pairing code"),
    noted("a wrong pairing code was just given: wait a second and try again"),
    noted("this pairing code is not one of this backend's: ask for a new one, by 'wanstage pair' at the backend"),
    noted(
        "this pairing code was valid until {time} and is too old: ask for a new one, by 'wanstage pair' at the backend"
    ),
    noted("this pairing code was used already: ask for a new one, by 'wanstage pair' at the backend"),
    noted("this pairing code was used already, or taken back: ask for a new one, by 'wanstage pair' at the backend"),
    noted(
        "this pairing code was taken back, since wrong codes were tried too often: ask for a new one, by 'wanstage "
        "pair' at the backend"
    ),
    noted(
        "wrong pairing codes were given {count} times, so all were taken back: ask for a new one, by 'wanstage pair' "
        "at the backend"
    ),
)
"""Of ``protocol`` and the backend: why a pairing code does not let us in."""

_WORDS = frozenset((*STAGES, *NETWORKS))
_FIELD = re.compile(r"\\\{(\w+)\\\}")


def stage(name: str) -> str:
    """Such as "denoise 2 of 3" in Blender's language, for the inside of a sentence."""
    small = name[:1].lower() + name[1:]
    if small in _WORDS:
        return tr(small)
    pattern, values = taken_apart(small, PATTERNS)
    return tr(pattern, **{key: stage(value) for key, value in values.items()}) if pattern else name


def title(name: str) -> str:
    """The same with a capital, for a label."""
    return capital(stage(name))


def state(name: str) -> str:
    """The state of a take or of a job, for a label."""
    return tr(STATES[name]) if name in STATES else capital(name)


def reason(said: object) -> str:
    """Why there is no connection, or why a pairing code was not taken, as a sentence with a capital."""
    pattern, values = taken_apart(str(said), (*REASONS, *PAIRING))
    if not pattern:
        return capital(said)
    told = tr(pattern, **values)
    return told if tr(pattern).startswith("{") else capital(told)  # an address or a path stays as it is


@functools.lru_cache(maxsize=256)
def taken_apart(said: str, patterns: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Which of the patterns was said, and what was put in for its ``{names}``; empty when it is none of them."""
    for pattern in patterns:
        found = _expression(pattern).fullmatch(said)
        if found is not None:
            return pattern, found.groupdict()
    return "", {}


@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(_FIELD.sub(r"(?P<\1>.+?)", re.escape(pattern)), re.DOTALL)
