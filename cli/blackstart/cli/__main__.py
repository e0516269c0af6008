"""`python -m blackstart.cli`: what the launcher runs."""

import sys

try:
    # Importing takes a moment, and a Ctrl-C in it is as good as one later.
    from blackstart.cli.main import main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    main()
