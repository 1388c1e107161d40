"""`python -m nepxy`."""

from nepxy.cli.main import app

if __name__ == "__main__":
    app()
