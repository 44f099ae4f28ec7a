"""`python -m rtrec` is `rtrec`."""

from rtrec.cli import main

if __name__ == "__main__":
    main()
