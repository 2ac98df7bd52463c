"""The application: the queue over HTTP. `application` returns an ASGI application, which paints nothing itself."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from fastapi.routing import APIRoute

from vqclip_nb import __version__
from vqclip_nb.errors import PictureError, RunError, SettingsError
from vqclip_nb.queue import documentation, job_requests, uploads
from vqclip_nb.queue.access import COOKIE, Access, NotAllowed
from vqclip_nb.queue.batch_writer import BatchWriter
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.records import NoSuchJob, QueueFull, StoreBroken, UnknownToken
from vqclip_nb.queue.store import Store
from vqclip_nb.queue.views import FILES, QueueViews
from vqclip_nb.queue.workers import delete

PAGE = Path(__file__).parent / "page"
STATUS: dict[type[Exception], int] = {
    UnknownToken: 401,
    NotAllowed: 403,
    NoSuchJob: 404,
    QueueFull: 429,
    StoreBroken: 503,
    RunError: 409,
    SettingsError: 422,
    PictureError: 422,
}
SAFE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"),
]
MOST_JSON = 64 * 2**10  # bytes
TYPES = {"picture": "image/png", "film": "video/mp4", "settings": "application/json"}


def application(store: Store, limits: Limits, *, guests: bool = False, hosts: Collection[str] = ()) -> FastAPI:
    """The queue's ASGI application. `guests` and `hosts` are those of `Access`."""
    app = FastAPI(
        title="vqclip queue",
        version=__version__,
        description="Ask for pictures, watch them grow, and fetch them. Each request carries `Authorization: Bearer "
        "TOKEN`, or the cookie that `POST /api/session` sets.",
        docs_url=None,
        redoc_url=None,
    )
    access, views = Access(store, guests=guests, hosts=hosts), QueueViews(store, limits)
    app.state.views = views
    app.add_middleware(SafeHeaders)
    _handle_errors(app)
    _serve_jobs(app, access, views)  # first, because routes are tried in order and this one is used most
    _serve_uploads(app, access, views)
    _serve_page(app, access, limits)
    _serve_progress(app, access, views)
    _serve_files(app, access, views)
    return app


def _serve_page(app: FastAPI, access: Access, limits: Limits) -> None:
    for name in ("page.html", "page.css", "page.js", "docs.css"):
        app.get("/" if name == "page.html" else f"/{name}", include_in_schema=False)(_file(PAGE / name))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(documentation.page(app.openapi()))

    @app.get("/api/form", summary="What may be asked for, and who you are")
    async def form(request: Request) -> dict[str, Any]:
        person = access.person(request)
        return {"name": person.name, "guest": person.name.startswith("guest "), **documentation.form(limits)}

    @app.post(
        "/api/session",
        summary="Give a browser a cookie with its token",
        status_code=204,
        openapi_extra={"requestBody": documentation.body(token={"type": "string", "description": "the token"})},
    )
    async def begin(request: Request) -> Response:
        response = Response(status_code=204)
        access.remember(request, response, str((await _json(request)).get("token", "")))
        return response

    @app.delete("/api/session", summary="Take the cookie away", status_code=204)
    async def leave(request: Request) -> Response:
        access.check(request)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE)
        return response


def _serve_uploads(app: FastAPI, access: Access, views: QueueViews) -> None:
    few = asyncio.Semaphore(2)  # decoding a large picture takes much memory

    @app.post("/api/pictures", summary="Send a picture to begin with: its bytes are the body", status_code=201)
    async def send(request: Request) -> dict[str, str]:
        access.person(request)
        data = bytearray()
        async for block in request.stream():
            data += block
            if len(data) > uploads.MOST_BYTES:
                break
        async with few:
            return {"picture": await asyncio.to_thread(uploads.save_upload, views.store, bytes(data), views.limits)}


def _serve_jobs(app: FastAPI, access: Access, views: QueueViews) -> None:
    store, limits = views.store, views.limits
    writer = BatchWriter(store, limits)

    async def ask(request: Request) -> JSONResponse:
        person = access.person(request)
        job_request = await _json(request)
        job, place = await writer.add(person, job_requests.settings_from(job_request, limits))
        return JSONResponse(views.view(job, place), status_code=201)

    app.router.add_api_route(
        "/api/jobs",
        ask,
        methods=["POST"],
        route_class_override=PlainRoute,
        summary="Ask for a picture",
        description="Only the prompt is needed. `picture` is the name that `POST /api/pictures` gave. "
        "Answers at once, with the place in the queue.",
        status_code=201,
        openapi_extra={"requestBody": documentation.job_request_body(limits)},
    )

    @app.get("/api/jobs", summary="Your pictures, the latest first")
    async def jobs(request: Request) -> list[dict[str, Any]]:
        person = access.person(request)
        records = [
            job for job in store.jobs_of(None if limits.shared_gallery else person.id) if views.may_see(person, job)
        ]
        order = {job: place for place, job in enumerate(store.order(), start=1)}
        return [{**views.view(job, order.get(job.id, 0)), "mine": job.person == person.id} for job in records]

    @app.get("/api/jobs/{job}", summary="One picture: how far it is, and where its files are")
    async def one(request: Request, job: str) -> dict[str, Any]:
        job_record = views.visible_job(access.person(request), job)
        return views.view(job_record, store.place(job))

    @app.post(
        "/api/jobs/{job}/more",
        summary="Paint a picture that is done on to so many steps in all",
        openapi_extra={"requestBody": documentation.body(steps={"type": "integer", "description": "steps in all"})},
    )
    async def more(request: Request, job: str) -> dict[str, Any]:
        views.own_job(access.person(request), job)
        steps = (await _json(request)).get("steps")
        if type(steps) is not int:
            raise SettingsError(f"steps must be a whole number, got {str(steps)[:40]!r}")
        job_requests.check_number("steps", steps, limits.most_steps)
        job_record = await asyncio.to_thread(store.continue_job, job, steps, limits)
        return views.view(job_record, store.place(job))

    @app.delete("/api/jobs/{job}", summary="Cancel a picture; one that has ended is deleted", status_code=204)
    async def cancel(request: Request, job: str) -> Response:
        job_record = views.own_job(access.person(request), job)
        if job_record.is_open:
            await asyncio.to_thread(store.cancel, job)
        else:
            await asyncio.to_thread(store.forget, job)
            await asyncio.to_thread(delete, store, job_record.run)
        return Response(status_code=204)


def _serve_progress(app: FastAPI, access: Access, views: QueueViews) -> None:
    @app.get("/api/events", summary="The queue as server-sent events, whenever it changes")
    async def events(request: Request) -> StreamingResponse:
        person = access.person(request)
        return _stream(views.stream("queue", lambda: views.queue(person), until=lambda view: False))

    @app.get("/api/jobs/{job}/events", summary="One picture's progress as server-sent events, until it has ended")
    async def progress(request: Request, job: str) -> StreamingResponse:
        views.visible_job(access.person(request), job)
        ended = lambda view: view["state"] not in ("waiting", "painting")  # noqa: E731
        return _stream(views.stream("progress", lambda: views.progress(job), until=ended))


def _serve_files(app: FastAPI, access: Access, views: QueueViews) -> None:
    @app.get("/api/jobs/{job}/preview", summary="The picture on its way, as it was at this step or just before")
    async def preview(request: Request, job: str, step: int) -> FileResponse:
        job_record = views.visible_job(access.person(request), job)
        path = views.preview(job_record, step)
        if path is None:
            raise NoSuchJob("there is no preview yet")
        return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    def fetch(name: str) -> Callable[..., Any]:
        async def file(request: Request, job: str) -> FileResponse:
            job_record = views.visible_job(access.person(request), job)
            path = views.file(job_record, name)
            if path is None:
                raise NoSuchJob(f"there is no {name} of this picture{' yet' if job_record.is_open else ''}")
            filename = f"{job_record.run}{path.suffix}" if name != "settings" else f"{job_record.run}-settings.json"
            return FileResponse(path, media_type=TYPES[name], filename=filename, content_disposition_type="inline",
                                headers={"Cache-Control": "private, no-cache"})  # fmt: skip

        return file

    for name in FILES:
        app.get(f"/api/jobs/{{job}}/{name}", summary=f"The {name} of a picture", name=name)(fetch(name))


def _handle_errors(app: FastAPI) -> None:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        kind = next(kind for kind in type(error).__mro__ if kind in STATUS)
        message = " ".join(str(error).split())
        if kind is StoreBroken:
            logging.getLogger(__name__).error(message)
            message = "the server cannot use its disk; its log says why"
        return JSONResponse({"detail": message}, status_code=STATUS[kind])

    async def unreadable(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return JSONResponse({"detail": f"{where}: {first['msg']}"}, status_code=422)

    for kind in STATUS:
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(RequestValidationError, unreadable)


def _stream(events: AsyncIterator[str]) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _json(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises SettingsError."""
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MOST_JSON:
            raise SettingsError(f"the body may have {MOST_JSON} bytes; shorten it")
    try:
        value = json.loads(bytes(body))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise SettingsError('the body must be a JSON object, such as {"prompt": "a castle"}')
    return value


def _file(path: Path) -> Callable[..., Any]:
    async def file() -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return file


class PlainRoute(APIRoute):
    """A route that FastAPI calls without parsing parameters: its endpoint takes the request and returns the response.

    This halves FastAPI's own time per request under load.
    """

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the endpoint itself."""
        return self.endpoint  # type: ignore[no-any-return]


class SafeHeaders:
    """Adds security headers to every response: no type guessing, no framing, nothing loaded from other sites."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the wrapped ASGI application."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SAFE_HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)
