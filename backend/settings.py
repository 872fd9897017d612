"""What the server is told at start, and the numbers it keeps to. Everything has a default but the folders."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from protocol import limits
from protocol.errors import WanstageError
from wan_models.options import Options

CONNECTION_VARIABLE = "WANSTAGE_CONNECTION"
MIB = limits.MIB


class SettingsProblem(WanstageError):
    """A setting that cannot be used; the message says what is allowed."""


@dataclass(frozen=True)
class Settings:
    """Seconds, bytes, counts. ``min_free_bytes`` stay free on the disk; ``max_disk_bytes`` 0 = no quota.

    ``workers``: a device for each worker process (cpu:N, cuda:N). ``cancel_grace_s`` None = as each engine's row says.
    ``models``: what the video models are told; each worker gets its device in the place of the one named there.
    """

    data: Path
    connection_file: Path
    bind: str = "tcp://127.0.0.1:*"
    insecure_loopback: bool = False
    idle_exit_s: float | None = None
    workers: tuple[str, ...] = ("cpu:0",)
    models: Options = field(default_factory=Options)
    test_engine: bool = False
    min_free_bytes: int = 512 * MIB
    max_disk_bytes: int = 0
    cancel_grace_s: float | None = None
    max_attempts: int = 3
    client_expiry_s: float = limits.CLIENT_EXPIRY_S
    max_part_bytes: int = limits.MAX_PART_BYTES
    new_clients: tuple[str, ...] = field(default=())

    @property
    def loopback(self) -> bool:
        """True when only this machine can reach ``bind``."""
        host = self.bind.removeprefix("tcp://").rpartition(":")[0].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:  # a name, or *: whatever it means today, it may mean more tomorrow
            return False

    def check(self) -> None:
        """Raise SettingsProblem for settings that contradict each other or would expose the machine."""
        if not self.bind.startswith("tcp://"):
            problem = f"--bind is {self.bind}: give tcp://ADDRESS:PORT, for example tcp://127.0.0.1:*"
            raise SettingsProblem(problem)
        if self.insecure_loopback and not self.loopback:
            problem = f"--insecure-loopback without keys cannot serve {self.bind}: drop it, or bind tcp://127.0.0.1:*"
            raise SettingsProblem(problem)


def default_data() -> Path:
    """Where jobs, frames, assets and keys live unless told otherwise."""
    import platformdirs

    return Path(platformdirs.user_data_dir("wanstage", appauthor=False))


def default_connection() -> Path:
    """``$WANSTAGE_CONNECTION``, else ``connection.json`` in the user's data folder."""
    told = os.environ.get(CONNECTION_VARIABLE)
    return Path(told) if told else default_data() / "connection.json"


def known_backends() -> Path:
    """Where the command line keeps the connection files of the backends that it was paired with."""
    return default_data() / "backends"
