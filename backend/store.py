"""Jobs on disk: one SQLite file in WAL mode, written before anything is acknowledged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from protocol.errors import QuotaExceeded
from protocol.specs import JobSpec

from .jobs import Job

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

    def close(self) -> None:
        """Fold the log back into the file and close it."""
        self._db.close()
