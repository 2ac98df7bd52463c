"""`vqclip serve` with workers that have toy models: `python tests/toy_server.py OPTIONS`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from vqclip_nb import cli  # noqa: E402
from vqclip_nb.queue import workers  # noqa: E402

if __name__ == "__main__":
    workers.PROGRAM = (sys.executable, str(ROOT / "tests" / "toy_worker.py"))
    sys.exit(cli.main(["serve", "--device", "cpu", *sys.argv[1:]]))
