"""``python -m inhabit``: the same as ``inhabit``."""

from inhabit.cli import main

if __name__ == "__main__":
    main(prog_name="inhabit")
