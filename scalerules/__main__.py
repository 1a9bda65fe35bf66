"""`python -m scalerules` is the command `scalerules`."""

import sys

from .cli import main

sys.exit(main())
