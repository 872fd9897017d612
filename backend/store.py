"""Jobs on disk: one SQLite file in WAL mode, written before anything is acknowledged."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

import msgspec

from protocol.errors import QuotaExceeded
from protocol.specs import JobSpec

from .history import Measured, Question, question_of
from .jobs import Job

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    spec BLOB NOT NULL,
    created REAL NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    error TEXT NOT NULL,
    error_code TEXT NOT NULL,
    warnings BLOB NOT NULL,
    timings BLOB NOT NULL
) STRICT
"""

_SAVE = """
INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?)
ON CONFLICT(job_id) DO UPDATE SET state=excluded.state, attempt=excluded.attempt, error=excluded.error,
    error_code=excluded.error_code, warnings=excluded.warnings, timings=excluded.timings
"""


_RUNS = """
CREATE TABLE runs (
    question BLOB NOT NULL,
    timings BLOB NOT NULL
) STRICT
"""
RUNS_KEPT = 500
"""Of jobs that ran: what was asked and how long each stage took, to tell how long others will take."""


class NotStored(QuotaExceeded):
    """The disk is full, or the database is locked or gone."""


class JobStore:
    """The table of jobs. Every method is durable when it returns."""

    def __init__(self, path: Path) -> None:
        """Open or create the database at ``path``."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(_SCHEMA)
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name='runs'").fetchone():
            self._db.execute(_RUNS)
            for job in self.load():  # of a version that kept no runs
                self.keep_run(job)

    def save(self, job: Job) -> None:
        """Insert the job, or update what changes in its life. Raises NotStored."""
        row = (
            job.job_id,
            job.owner,
            msgspec.msgpack.encode(job.spec),
            job.created,
            job.state,
            job.attempt,
            job.error,
            job.error_code,
            msgspec.json.encode(job.warnings),
            msgspec.json.encode(job.timings),
        )
        try:
            self._db.execute(_SAVE, row)
        except sqlite3.OperationalError as error:
            problem = f"the job could not be written to disk ({error}): free the disk and submit it again"
            raise NotStored(problem) from error

    def remove(self, job_id: str) -> None:
        """Forget a job; no error when there is none. sqlite3.Error comes out as it is."""
        self._db.execute("DELETE FROM jobs WHERE job_id=?", (job_id,))

    def load(self) -> list[Job]:
        """All jobs, oldest first."""
        rows = self._db.execute("SELECT * FROM jobs ORDER BY created, rowid").fetchall()
        return [
            Job(
                job_id=row[0],
                owner=row[1],
                spec=msgspec.msgpack.decode(row[2], type=JobSpec),
                created=row[3],
                state=row[4],
                attempt=row[5],
                error=row[6],
                error_code=row[7],
                warnings=msgspec.json.decode(row[8], type=list[str]),
                timings=msgspec.json.decode(row[9], type=dict[str, float]),
            )
            for row in rows
        ]

    def keep_run(self, job: Job) -> None:
        """Remember how long a finished job took; nothing of one that was resumed, failed or made only a part anew. It
        outlives the job.
        """
        if job.state != "finished" or job.attempt != 1 or job.spec.redo is not None:
            return
        row = msgspec.msgpack.encode(question_of(job.spec)), msgspec.json.encode(job.timings)
        try:
            self._db.execute("INSERT INTO runs VALUES (?,?)", row)
            self._db.execute("DELETE FROM runs WHERE rowid <= (SELECT max(rowid) FROM runs) - ?", (RUNS_KEPT,))
        except sqlite3.OperationalError as error:  # a full disk: the job itself is told of elsewhere
            log.warning("how long job %s took could not be kept: %s", job.job_id, error)

    def runs(self) -> list[Measured]:
        """Those that are kept, oldest first."""
        return _runs(self._db)

    def close(self) -> None:
        """Fold the log back into the file and close it."""
        self._db.close()


def runs_of(path: Path) -> list[Measured]:
    """As ``JobStore.runs``, of a database that a server may have open; empty when there is none."""
    if not path.is_file():
        return []
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return _runs(db)
    except sqlite3.Error as error:
        log.info("%s tells of no runs: %s", path, error)
        return []


def _runs(db: sqlite3.Connection) -> list[Measured]:
    return [
        Measured(msgspec.msgpack.decode(row[0], type=Question), msgspec.json.decode(row[1], type=dict[str, float]))
        for row in db.execute("SELECT question, timings FROM runs ORDER BY rowid")
    ]
