"""Start the command line from the repository: ``python -m bench``."""

import sys

if __name__ == "__main__":
    from medtuning_bench.__main__ import main

    sys.exit(main())
