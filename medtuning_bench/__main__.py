"""Start the command line, after checking that the packages it will import are its own."""

import gc
import sys

from medtuning_bench.place import find_foreign_package, put_first

OBJECTS = 10_000  # made until Python looks for garbage; 700 make imports a seventh longer


def main() -> int:
    """Run the command line and return the exit code."""
    put_first()
    foreign = find_foreign_package()
    if foreign is not None:
        sys.stderr.write(f"error: {foreign}\n")
        return 2
    gc.set_threshold(OBJECTS)
    from bench.cli.app import main as run_command

    code = run_command()
    # an interrupt in code that was made from a string, as dataclasses are while they are imported,
    # would else end the process by SIGINT, though it was caught; running a string forgets it
    exec("")
    return code


if __name__ == "__main__":
    sys.exit(main())
