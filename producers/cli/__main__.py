"""`python -m producers.cli`: the command line without its installed script."""

from producers.cli import main

if __name__ == "__main__":
    main()
