"""Where the `dao` command begins: it makes sure that the packages it is about to import are DAO's own.

`flows`, `tasks` and `configs` are names that somebody else's package or folder may have too. Whichever stands first on
the path hides the other, and what follows would be an import error out of nowhere. This module is in `dao_core`, whose
name is nobody else's, and is the only one that reaches outward, by name and only after the check.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("flows", "tasks", "configs")
USER_ERROR = 2  # the exit code of a mistake that the user can mend


def foreign_packages() -> dict[str, str]:
    """Which of DAO's import names belong to somebody else here.

    Returns:
        The place of each that is not beside `dao_core`, or "nowhere" for one that cannot be imported at all.
    """
    from importlib.util import find_spec

    home = Path(__file__).resolve().parent.parent
    found = {}
    for name in NAMES:
        spec = find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin]
        place = next((Path(p).resolve() for p in places if p), None)
        if place is None or home / name != place:
            found[name] = "nowhere" if place is None else str(place)
    return found


def main() -> None:
    """Run `dao`, or say in one line whose package stands in its way."""
    import sys
    from importlib import import_module

    if foreign := foreign_packages():
        listed = "; ".join(f"{name} is {place}" for name, place in foreign.items())
        print(
            f"dao: another package has a name that DAO needs ({listed}): give DAO an environment of its own, "
            "or take that folder out of PYTHONPATH",
            file=sys.stderr,
        )
        raise SystemExit(USER_ERROR)
    import_module("flows.cli.main").main()
