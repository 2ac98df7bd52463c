"""`python -m vqclip_nb` is `vqclip`."""

import sys

from vqclip_nb.cli import main

if __name__ == "__main__":
    sys.exit(main())
