"""`python -m blackstart.cli`: what the launcher runs."""

from blackstart.cli.main import main

if __name__ == "__main__":
    main()
