"""Access: who sends a request. A token comes in a header or in the page's cookie; guests have none."""

from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import Request, Response

from vqclip_nb.errors import RunError
from vqclip_nb.queue.records import Person, UnknownToken
from vqclip_nb.queue.store import Store

COOKIE = "vqclip_token"
YEAR = 365 * 86_400
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


class NotAllowed(RunError):
    """A request from another site's page, or for another host name than the server's."""


class Access:
    """Identifies the sender of a request.

    guests: whether people without a token are allowed; they are told apart by IP address. hosts: the allowed host
    names; empty allows any.
    """

    def __init__(self, store: Store, *, guests: bool = False, hosts: Collection[str] = ()) -> None:
        self.store, self.guests, self.hosts = store, guests, hosts

    def person(self, request: Request) -> Person:
        """The person who sent a request. Raises UnknownToken, and NotAllowed as `check` does."""
        self.check(request)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")
        if token:
            return self.store.person(token)
        if self.guests:
            return self.store.without_token("guest", request.client.host if request.client else "unknown")
        raise UnknownToken("a token is needed; `vqclip serve --add-person NAME` makes one")

    def check(self, request: Request) -> None:
        """Raise NotAllowed for a request that a page of another site made the browser send."""
        host = request.headers.get("host", "")
        if self.hosts and (urlsplit(f"//{host}").hostname or "") not in self.hosts:
            raise NotAllowed(f"the server is not called {host[:60]!r}; ask for {next(iter(self.hosts))}")
        origin = request.headers.get("origin")
        if request.method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            raise NotAllowed(f"a page of {origin[:60]!r} may not do this")

    def remember(self, request: Request, response: Response, token: str) -> Person:
        """Give a browser a cookie with its token, which scripts cannot read. Raises UnknownToken, NotAllowed."""
        self.check(request)
        person = self.store.person(token)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, max_age=YEAR, httponly=True, samesite="strict", secure=secure)
        return person
