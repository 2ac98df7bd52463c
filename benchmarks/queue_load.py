"""Many people ask the queue at once, and its server is killed in the middle: what is lost, how fair, how fast.

python benchmarks/queue_load.py --people 200 --json queue-load.json

Each person sends three pictures: the first all at the same instant, the second all within one second, the third while
the server is killed. The models are toys, so that the queue is measured and not the painting. With --waves N nobody is
killed: N times all send at the same instant, and the processor time that the server takes is measured too (on Linux).
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vqclip_nb.queue import Store  # noqa: E402

STEPS = 3
LIMITS = 'jobs_a_person = 3\njobs_in_all = 100000\ncanvases = ["pixels"]\n'
BODY = json.dumps({"prompt": "red", "size": [32, 32], "steps": STEPS, "cutn": 2}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--waves", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = (
            measure_waves(Path(folder), arguments.people, arguments.waves)
            if arguments.waves
            else measure(Path(folder), arguments.people)
        )
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(folder: Path, people: int) -> dict[str, object]:
    """The figures of one run with so many people."""
    (folder / "limits.toml").write_text(LIMITS)
    store = Store(folder)
    tokens = [store.add_person(f"person {number}") for number in range(people)]
    port = free_port()
    server = begin(folder, port)
    began = time.perf_counter()
    first = asyncio.run(send_at_once(port, tokens))
    second = asyncio.run(send_at_once(port, tokens, within=1.0))
    wait_for(lambda: ended(store) > people // 2)
    third = asyncio.run(send_at_once(port, tokens, meanwhile=lambda: kill(server)))
    server = begin(folder, port)
    promised = [job for _, job in [*first, *second, *third] if job]
    wait_for(lambda: not store.open_jobs())
    seconds = time.perf_counter() - began
    server.send_signal(signal.SIGINT)
    server.wait(60)
    return {
        "people": people,
        "jobs promised": len(promised),
        **outcome(store, promised),
        **answers("at the same instant", [lasted for lasted, job in first if job]),
        **answers("within one second", [lasted for lasted, job in second if job]),
        "promised while the server was killed": sum(1 for _, job in third if job),
        "seconds in all": round(seconds, 1),
    }


def measure_waves(folder: Path, people: int, waves: int) -> dict[str, object]:
    """How long the answers take when all send at the same instant, several times; the middle of the waves."""
    (folder / "limits.toml").write_text(LIMITS.replace("= 3", f"= {waves}"))
    store = Store(folder)
    tokens = [store.add_person(f"person {number}") for number in range(people)]
    store.close()
    port = free_port()
    server = begin(folder, port)
    each, taken = [], []
    try:
        for _ in range(waves):
            before = processor_time(server.pid)
            sent = asyncio.run(send_at_once(port, tokens))
            each.append(answers("at the same instant", [lasted for lasted, job in sent if job]))
            taken.append(processor_time(server.pid) - before)
    finally:
        server.terminate()
        server.wait(60)
    return {
        "people": people,
        "waves": waves,
        "load average": round(os.getloadavg()[0], 1),
        **{name: median(wave[name] for wave in each) for name in each[0]},
        "processor time of the server for a request, ms": round(1000 * median(taken) / people, 2),
    }


def processor_time(process: int) -> float:
    """The seconds of a processor that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def outcome(store: Store, promised: list[str]) -> dict[str, object]:
    """Whether every promised job was painted, once, and in fair turns."""
    jobs = {job.id: job for job in store.jobs_of(most=10**9)}
    begun = Counter((store.folder / "begun.log").read_text().split())
    painted = [job for job in jobs.values() if job.state == "done" and (store.runs / job.run / "result.png").is_file()]
    taken = [store.job(job).person for job in (store.folder / "taken.log").read_text().split()]
    people = len({job.person for job in jobs.values()})
    return {
        "lost": len(set(promised) - {job.id for job in painted}),
        "begun twice": sum(1 for count in begun.values() if count > 1),
        "run folders too many": sum(1 for _ in store.runs.iterdir()) - len(jobs),
        "people among the first turns, one for each": len(set(taken[:people])),
        "people among the second turns": len(set(taken[people : 2 * people])),
    }


def answers(name: str, lasted: list[float]) -> dict[str, float]:
    """How long the answers took, in milliseconds."""
    ordered = sorted(lasted)
    at = {"half": 0.5, "99 %": 0.99}
    return {
        f"{name}: {share} of the answers within, ms": round(1000 * ordered[int(part * (len(ordered) - 1))], 1)
        for share, part in at.items()
    }


async def send_at_once(
    port: int, tokens: list[str], *, within: float = 0.0, meanwhile=lambda: None
) -> list[tuple[float, str | None]]:
    """A picture of each person, sent within so many seconds: the seconds to each answer, and the job or None."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in tokens]

    async def later(number: int) -> tuple[float, str | None]:
        await asyncio.sleep(within * number / len(tokens))
        return await send(*connections[number], tokens[number])

    sent = [asyncio.create_task(later(number)) for number in range(len(tokens))]
    await asyncio.sleep(0.02)
    meanwhile()
    answered = await asyncio.gather(*sent)
    for _, writer in connections:
        writer.close()
    return answered


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> tuple[float, str | None]:
    """One request over a connection that is open."""
    head = f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(BODY)}"
    began = time.perf_counter()
    writer.write(head.encode() + b"\r\n\r\n" + BODY)
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
        lasted = time.perf_counter() - began
        if b" 201 " not in answer.partition(b"\r\n")[0]:
            return lasted, None
        fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:] if line)
        return lasted, json.loads(await reader.readexactly(int(fields[b"content-length"])))["id"]
    except (asyncio.IncompleteReadError, ConnectionError):
        return time.perf_counter() - began, None


def ended(store: Store) -> int:
    """How many jobs have ended."""
    return sum(1 for job in store.jobs_of(most=10**9) if not job.is_open)


def begin(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """A server that listens."""
    command = [sys.executable, __file__, "--serve", "--data", str(folder), "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(folder / "server.log", "ab") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    wait_for(lambda: server.poll() is not None or listens(port))
    if server.poll() is not None:
        raise SystemExit((folder / "server.log").read_text())
    return server


def kill(server: subprocess.Popen[bytes]) -> None:
    """End a server as a crash does."""
    server.kill()
    server.wait()


def listens(port: int) -> bool:
    """Whether somebody listens on this port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition) -> None:
    """Wait until it holds, half an hour at most."""
    for _ in range(18_000):
        if condition():
            return
        time.sleep(0.1)
    raise SystemExit("it did not come")


def serve() -> int:
    """The server itself, whose workers have toy models."""
    from vqclip_nb import cli
    from vqclip_nb.queue import workers

    workers.PROGRAM = (sys.executable, __file__, "--work")
    return cli.main(["serve", *sys.argv[2:]])


def work() -> int:
    """A worker with toy models, which writes down each job that it takes and each that it begins."""
    import torch

    from tests.toys import toy_models
    from vqclip_nb import session
    from vqclip_nb.queue import painter, worker

    torch.set_num_threads(1)
    folder = Path(sys.argv[2])

    def note(name: str, job: str) -> None:
        with (folder / name).open("a") as file:
            file.write(f"{job}\n")

    def paint(store, job, *, whole=painter.paint, **more):
        if not (store.runs / job.run).exists():
            note("taken.log", job.id)
        return whole(store, job, **more)

    def start(settings, *, whole=session.start, **more):
        note("begun.log", more["name"])
        return whole(settings, **more)

    with (
        toy_models(),
        mock.patch("vqclip_nb.video._encode", lambda frames, path, *rest: path.write_bytes(b"film")),
        mock.patch("vqclip_nb.runs.metadata.model_hashes", return_value={}),
        mock.patch.object(painter, "paint", paint),
        mock.patch.object(session, "start", start),
    ):
        return worker.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit({"--serve": serve, "--work": work}.get((*sys.argv, "")[1], main)())
