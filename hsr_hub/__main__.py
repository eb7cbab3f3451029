"""Run `hsr-hub` as `python -m hsr_hub`."""

import sys

from hsr_hub.cli import main

sys.exit(main())
