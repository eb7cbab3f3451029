"""`python -m hsr_hub` is `hsr-hub`."""

import sys

from hsr_hub.cli import main

sys.exit(main())
