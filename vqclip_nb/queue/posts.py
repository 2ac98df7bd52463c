"""Posts: which message on Discord belongs to which job. A restarted bot reads them and continues."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

FILE = "bot.sqlite3"


@dataclass(frozen=True)
class Post:
    """A job's message, and the channel that it is in."""

    job: str
    channel: int
    message: int


class Posts:
    """The posts of jobs that have not ended, in an SQLite file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / FILE, isolation_level=None)
        self._base.execute("CREATE TABLE IF NOT EXISTS posts (job TEXT PRIMARY KEY, channel INTEGER, message INTEGER)")

    def add(self, post: Post) -> None:
        """Save a post."""
        row = (post.job, post.channel, post.message)
        self._base.execute("INSERT OR REPLACE INTO posts VALUES (?, ?, ?)", row)

    def forget(self, post: Post) -> None:
        """Delete a post whose job has ended."""
        self._base.execute("DELETE FROM posts WHERE job = ?", (post.job,))

    def all(self) -> list[Post]:
        """The saved posts."""
        return [Post(*row) for row in self._base.execute("SELECT job, channel, message FROM posts")]

    def close(self) -> None:
        """Close the file."""
        self._base.close()
