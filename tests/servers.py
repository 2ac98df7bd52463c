"""A local HTTP server that does what mirrors do wrong, by the first word of the path."""

import gzip
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror(ThreadingHTTPServer):
    """Serves `content` under /good; `requests` are the (path, Range) it was asked."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.requests: list[tuple[str, str | None]] = []

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, *_) -> None:
        """A client that leaves is what is tested here."""


@contextmanager
def mirror(content: bytes):
    """The server, running until the block ends."""
    server = Mirror(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Mirror

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        getattr(self, "do_" + self.path.strip("/").partition("?")[0])()

    def send(
        self, body: bytes, status: int = 200, kind: str = "application/octet-stream", length: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def rest(self) -> bytes:
        """What was asked for by Range, its header already sent."""
        content, asked = self.server.content, self.headers.get("Range")
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if begin >= len(content):
            self.send(b"", 416)
            return b""
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        return content[begin:]

    def do_good(self) -> None:
        self.wfile.write(self.rest())

    def do_missing(self) -> None:
        self.send(b"gone", 404)

    def do_broken(self) -> None:
        self.send(b"oops", 500)

    def do_page(self) -> None:
        self.send(b"<!DOCTYPE html><p>Link does not exist.", kind="text/html; charset=utf-8")

    def do_pointer(self) -> None:
        self.send(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3000000\n", kind="text/plain")

    def do_disguised(self) -> None:
        page = b"\n  <html><p>Link does not exist."
        self.send(page + b" " * (len(self.server.content) - len(page)))

    def do_truncated(self) -> None:
        """Half, from a server without ranges, every time."""
        self.send(self.server.content[: len(self.server.content) // 2], length=len(self.server.content))

    def do_short(self) -> None:
        self.send(self.server.content[:-1])

    def do_wrong(self) -> None:
        self.send(bytes(len(self.server.content)))

    def do_rangeless(self) -> None:
        self.send(self.server.content)

    def do_silent(self) -> None:
        """A third, then nothing."""
        rest = self.rest()
        self.wfile.write(rest[: len(rest) // 3])
        time.sleep(3)

    def do_trickle(self) -> None:
        for block in _blocks(self.rest(), 100):
            self.wfile.write(block)
            time.sleep(0.02)

    def do_paced(self) -> None:
        """All of it in about a second."""
        rest = self.rest()
        for block in _blocks(rest, max(1, len(self.server.content) // 50)):
            self.wfile.write(block)
            time.sleep(0.02)

    def do_flaky(self) -> None:
        """A quarter of the file at each request."""
        self.wfile.write(self.rest()[: len(self.server.content) // 4])

    def do_moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/good")
        self.send_header("Connection", "close")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_loop(self) -> None:
        """Round and round."""
        self.send_response(302)
        self.send_header("Location", "/loop")
        self.send_header("Connection", "close")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_compressed(self) -> None:
        """Though it was asked not to."""
        body = gzip.compress(self.server.content, 1)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_endless(self) -> None:
        """Chunks that say no length, and do not end."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = bytes(1 << 16)
        for _ in range(10_000):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))

    def do_more(self) -> None:
        """Chunks that are more than the file."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.server.content) + 1, self.server.content + b"!"))

    def do_chunks(self) -> None:
        """All of it, in chunks that say no length."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.server.content), self.server.content))

    def do_nonsense(self) -> None:
        """A length that is no number, and then all of it."""
        self.send_response(200)
        self.send_header("Content-Length", "many")
        self.end_headers()
        self.wfile.write(self.server.content)

    def do_huge(self) -> None:
        """A length that no disk has."""
        self.send(self.server.content, length=10**18)

    def do_slow_headers(self) -> None:
        """Headers that go on and on, a few letters at a time."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for _ in range(100):
            self.wfile.write(b"aa")
            self.wfile.flush()
            time.sleep(0.1)

    def do_crumbs(self) -> None:
        """A byte at each request."""
        self.wfile.write(self.rest()[:1])

    def do_drip(self) -> None:
        """A byte at a time, for a minute."""
        for block in _blocks(self.rest()[:600], 1):
            self.wfile.write(block)
            time.sleep(0.1)


def _blocks(content: bytes, size: int):
    return (content[begin : begin + size] for begin in range(0, len(content), size))


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
