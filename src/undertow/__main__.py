"""`python -m undertow`."""

from undertow.cli.main import run

if __name__ == "__main__":
    run()
