"""The store: people and their jobs in one SQLite file, which several processes may use at once.

The order is round robin by person. Each person's first waiting picture comes before anybody's second. Among these, the
person who was served longest ago comes first.
"""

import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vqclip_nb.errors import RunError
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.records import Ending, Job, NoSuchJob, Person, QueueFull, StoreBroken, UnknownToken
from vqclip_nb.runs.creation import slug
from vqclip_nb.settings import Settings

FILE, RUNS, UPLOADS = "queue.sqlite3", "runs", "uploads"
WITHOUT_TOKEN = ("guest ", "discord ")  # prefixes of the names of people without a token
MOST_TRIES = 3  # worker deaths at the same step of a job before the job fails
_TABLES = """
CREATE TABLE IF NOT EXISTS people (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token_hash TEXT UNIQUE, served INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, person INTEGER NOT NULL REFERENCES people,
    settings TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', run TEXT NOT NULL, step INTEGER NOT NULL DEFAULT 0,
    steps INTEGER NOT NULL, error TEXT NOT NULL DEFAULT '', cancel INTEGER NOT NULL DEFAULT 0, worker TEXT,
    tries INTEGER NOT NULL DEFAULT 0, joined REAL NOT NULL, line INTEGER NOT NULL DEFAULT 0, ended REAL);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, person);
"""
_ORDER = """
SELECT id FROM (
    SELECT jobs.id, served, row_number() OVER (PARTITION BY person ORDER BY line) AS nth,
        min(line) OVER (PARTITION BY person) AS first
    FROM jobs JOIN people ON people.id = jobs.person WHERE state = 'waiting')
ORDER BY nth, served, first
"""
# One statement for all rows: sqlite3 releases the GIL at each, and a busy server takes milliseconds to return it.
_INSERT = """
INSERT INTO jobs (id, person, settings, run, steps, joined, line)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM json_each(?)
"""


_COLUMNS = ", ".join(f"jobs.{name}" for name in Job.__dataclass_fields__)


class Store:
    """The people and jobs of a folder. Safe for several threads and processes at once.

    Reads use a connection of their own, so that they do not wait for a write to reach the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock, self._reading_lock = threading.RLock(), threading.RLock()
        self._writer: int | None = None  # the thread that has a transaction open
        try:
            for path in (folder, self.runs, self.uploads):
                path.mkdir(parents=True, exist_ok=True)
            self._base, self._reader = (
                sqlite3.connect(folder / FILE, timeout=30, check_same_thread=False, isolation_level=None)
                for _ in range(2)
            )
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")  # an accepted job survives a power cut
            self._base.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise RunError(f"the queue's folder {str(folder)!r} cannot be used: {error}") from None

    @property
    def runs(self) -> Path:
        """The folder of run folders."""
        return self.folder / RUNS

    @property
    def uploads(self) -> Path:
        """The folder of uploaded pictures."""
        return self.folder / UPLOADS

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._reading_lock:
            self._base.close()
            self._reader.close()

    # people

    def add_person(self, name: str) -> str:
        """Add a person and return a new token, stored only as a hash. A token that the person had becomes invalid."""
        name = " ".join(name.split())
        if not name or len(name) > 60 or not name.isprintable() or name.startswith(WITHOUT_TOKEN):
            raise RunError(f"a person's name must have 1 to 60 letters, and begin otherwise than guest, got {name!r}")
        token = secrets.token_urlsafe(24)
        with self._writing() as base:
            base.execute(
                "INSERT INTO people (name, token_hash) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash",
                (name, _hash(token)),
            )
        return token

    def remove_person(self, name: str) -> None:
        """Invalidate a person's token and cancel the open jobs. Raises RunError if there is no such person."""
        with self._writing() as base:
            row = base.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise RunError(f"there is no person {name!r}; `vqclip serve --people` lists them")
            base.execute("UPDATE people SET token_hash = NULL WHERE id = ?", row)
            self._cancel_open("person = ?", row)

    def people(self) -> list[str]:
        """The names of people with a token."""
        rows = self._rows("SELECT name FROM people WHERE token_hash IS NOT NULL ORDER BY name")
        return [name for (name,) in rows]

    def person(self, token: str) -> Person:
        """The person with this token. Raises UnknownToken."""
        rows = self._rows("SELECT id, name FROM people WHERE token_hash = ?", (_hash(token),))
        if not rows:
            raise UnknownToken("the token is wrong; `vqclip serve --add-person NAME` makes a new one")
        return Person(*rows[0])

    def without_token(self, kind: str, name: str) -> Person:
        """A person without a token, added if new. kind: guest or discord."""
        whole = f"{kind} {name}"
        if not (rows := self._rows("SELECT id, name FROM people WHERE name = ?", (whole,))):
            with self._writing() as base:
                base.execute("INSERT INTO people (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (whole,))
                rows = self._rows("SELECT id, name FROM people WHERE name = ?", (whole,))
        return Person(*rows[0])

    # jobs

    def add(self, person: Person, settings: Settings, limits: Limits) -> Job:
        """Put a job into the queue. Raises QueueFull."""
        (added,) = self.add_all([(person, settings)], limits)
        if isinstance(added, QueueFull):
            raise added
        return added

    def add_all(self, requests: Sequence[tuple[Person, Settings]], limits: Limits) -> list[Job | QueueFull]:
        """Put jobs into the queue with one write to the disk. Returns each request's job, or why it was refused."""
        results: list[Job | QueueFull] = []
        rows: list[list[Any]] = []
        with self._writing() as base:
            open_now, line = self._open_counts(), self._end_of_line()
            for person, settings in requests:
                if full := _full(open_now, person.id, limits):
                    results.append(full)
                    continue
                open_now[person.id] += 1
                job, now = secrets.token_hex(8), time.time()
                run = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(settings.prompt)}-{settings.seed}-{job[:6]}"
                values = settings.to_dict()
                text = json.dumps(values, ensure_ascii=False)
                rows.append([job, person.id, text, run, settings.steps, now, line + len(results)])
                results.append(Job(job, person.id, values, "waiting", run, 0, settings.steps, "", now, None))
            base.execute(_INSERT, (json.dumps(rows, ensure_ascii=False),))
        return results

    def continue_job(self, job: str, steps: int, limits: Limits) -> Job:
        """Put a finished job into the queue again, to continue up to `steps`. Raises RunError, QueueFull."""
        with self._writing() as base:
            now = self.job(job)
            if now.state != "done" or steps <= now.steps:
                raise RunError(f"only a picture that is done can get more steps, and more than its {now.steps}")
            if full := _full(self._open_counts(), now.person, limits):
                raise full
            base.execute(
                "UPDATE jobs SET state = 'waiting', steps = ?, line = ?, ended = NULL, tries = 0 WHERE id = ?",
                (steps, self._end_of_line(), job),
            )
        return self.job(job)

    def job(self, job: str) -> Job:
        """One job by its id. Raises NoSuchJob."""
        rows = self._jobs("WHERE id = ?", (job,))
        if not rows:
            raise NoSuchJob(f"there is no picture {job[:40]!r}")
        return rows[0]

    def jobs_of(self, person: int | None = None, *, most: int = 200) -> list[Job]:
        """The newest `most` jobs of a person, or of everybody, the latest first."""
        where, values = ("", ()) if person is None else ("WHERE person = ?", (person,))
        return self._jobs(f"{where} ORDER BY number DESC LIMIT {most}", values)

    def open_jobs(self) -> list[tuple[Job, str, int]]:
        """The open jobs in order, each with its person's name and its place: 0 while it is painted, else from 1."""
        with self._snapshot():
            places = {job: place for place, job in enumerate(self.order(), start=1)}
            jobs = self._jobs("WHERE state IN ('waiting', 'painting')")
            names = dict(self._rows("SELECT id, name FROM people"))
        rows = [(job, names[job.person], places.get(job.id, 0)) for job in jobs]
        return sorted(rows, key=lambda each: each[2])

    def order(self) -> list[str]:
        """The ids of the waiting jobs, in the order in which they will be painted."""
        return [job for (job,) in self._rows(_ORDER)]

    def place(self, job: str) -> int:
        """A waiting job's place in the queue, from 1; 0 if it does not wait."""
        order = self.order()
        return order.index(job) + 1 if job in order else 0

    def cancel(self, job: str) -> Job:
        """Cancel a job: at once if it waits, after its step if it is being painted. An ended job does not change."""
        with self._writing():
            self._cancel_open("id = ?", (job,))
        return self.job(job)

    def forget(self, job: str) -> None:
        """Delete an ended job from the list. The caller deletes its folder."""
        with self._writing() as base:
            base.execute("DELETE FROM jobs WHERE id = ? AND state NOT IN ('waiting', 'painting')", (job,))

    def last_ended(self) -> dict[int, float]:
        """The time when each person's last job ended, by the person's id."""
        return dict(self._rows("SELECT person, max(ended) FROM jobs WHERE ended IS NOT NULL GROUP BY person"))

    def input_pictures(self) -> set[str]:
        """The names of the uploaded pictures that jobs begin with."""
        rows = self._rows("SELECT DISTINCT json_extract(settings, '$.init_image') FROM jobs")
        return {name for (name,) in rows if name}

    def ended_before(self, moment: float) -> list[Job]:
        """The jobs that ended before a time, in seconds as from `time.time`."""
        return self._jobs("WHERE ended < ?", (moment,))

    # for workers

    def claim(self, worker: str) -> Job | None:
        """Claim the next job for this worker: one that it or a lost worker left unfinished, else the first that waits.

        Returns None if no job waits.
        """
        unfinished = "SELECT id FROM jobs WHERE state = 'painting' AND (worker = ? OR worker IS NULL) ORDER BY line"
        with self._writing() as base:
            rows = base.execute(unfinished, (worker,)).fetchall()
            jobs = [job for (job,) in rows]
            for job in [*jobs, *self.order()]:
                tries = base.execute("SELECT tries FROM jobs WHERE id = ?", (job,)).fetchone()[0]
                if tries >= MOST_TRIES:
                    self.end(job, Ending("failed", f"the painting stopped the server's worker {tries} times"))
                    continue
                base.execute(
                    "UPDATE jobs SET state = 'painting', worker = ?, tries = tries + 1 WHERE id = ?", (worker, job)
                )
                if job not in jobs:
                    base.execute(
                        "UPDATE people SET served = (SELECT max(served) + 1 FROM people) "
                        "WHERE id = (SELECT person FROM jobs WHERE id = ?)",
                        (job,),
                    )
                return self.job(job)
        return None

    def release_jobs(self, workers: list[str]) -> None:
        """Release the unfinished jobs of all workers except these, for any worker to claim."""
        marks = ", ".join("?" * len(workers))
        with self._writing() as base:
            base.execute(f"UPDATE jobs SET worker = NULL WHERE state = 'painting' AND worker NOT IN ({marks})", workers)

    def progress(self, job: str, step: int) -> bool:
        """Record the step that a job has reached. Returns False if the job was cancelled."""
        with self._writing() as base:
            base.execute("UPDATE jobs SET step = ?, tries = 0 WHERE id = ? AND step < ?", (step, job, step))
            return not base.execute("SELECT cancel FROM jobs WHERE id = ?", (job,)).fetchone()[0]

    def end(self, job: str, ending: Ending) -> None:
        """Record how a job ended."""
        with self._writing() as base:
            base.execute(
                "UPDATE jobs SET state = ?, error = ?, ended = ?, worker = NULL, cancel = 0 WHERE id = ?",
                (ending.state, ending.error, time.time(), job),
            )

    # inside

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """An exclusive transaction; a nested call joins the open one. Raises StoreBroken."""
        with self._lock:
            if self._base.in_transaction:
                yield self._base
                return
            try:
                self._base.execute("BEGIN IMMEDIATE")
                self._writer = threading.get_ident()
                yield self._base
                self._base.execute("COMMIT")
            except BaseException as error:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise StoreBroken(f"the queue in {str(self.folder)!r} cannot be written to: {error}") from None
                raise
            finally:
                self._writer = None

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """All reads inside this context see the same state."""
        with self._reading_lock:
            self._reader.execute("BEGIN")
            try:
                yield
            finally:
                self._reader.execute("COMMIT")

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if self._writer == threading.get_ident():  # a transaction must see its own writes
            return self._base.execute(query, values).fetchall()
        with self._reading_lock:
            return self._reader.execute(query, values).fetchall()

    def _jobs(self, rest: str, values: tuple[Any, ...] = ()) -> list[Job]:
        rows = self._rows(f"SELECT {_COLUMNS} FROM jobs {rest}", values)
        return [Job(*(json.loads(value) if index == 2 else value for index, value in enumerate(row))) for row in rows]

    def _open_counts(self) -> Counter[int]:
        """The number of open jobs of each person."""
        query = "SELECT person, count(*) FROM jobs WHERE state IN ('waiting', 'painting') GROUP BY person"
        return Counter(dict(self._rows(query)))

    def _end_of_line(self) -> int:
        return self._rows("SELECT coalesce(max(line), 0) + 1 FROM jobs")[0][0]  # type: ignore[no-any-return]

    def _cancel_open(self, where: str, values: tuple[Any, ...]) -> None:
        self._base.execute(
            f"UPDATE jobs SET state = 'cancelled', ended = ? WHERE state = 'waiting' AND {where}",
            (time.time(), *values),
        )
        self._base.execute(f"UPDATE jobs SET cancel = 1 WHERE state = 'painting' AND {where}", values)


def _full(open_now: Counter[int], person: int, limits: Limits) -> QueueFull | None:
    if open_now[person] >= limits.jobs_a_person:
        return QueueFull(f"you have {open_now[person]} pictures in the queue, the most allowed; wait, or cancel one")
    if open_now.total() >= limits.jobs_in_all:
        return QueueFull(f"the queue is full with {open_now.total()} pictures; try again later")
    return None


def _hash(token: str) -> str:
    """The stored form of a token. A plain digest is enough, because the token is long and random."""
    return hashlib.sha256(token.encode()).hexdigest()
