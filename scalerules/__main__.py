"""`python -m scalerules` is the command `scalerules`."""

import sys

from scalerules.commands.main import main

sys.exit(main())
