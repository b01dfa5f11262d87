"""`python -m bundler` is `islet-bundle`."""

from bundler.cli import main

if __name__ == "__main__":
    main(prog_name="islet-bundle")
