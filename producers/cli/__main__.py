"""`python -m producers.cli`: the command line where its script is not installed."""

from producers.cli import main

if __name__ == "__main__":
    main()
