"""One target under atheris, in a process of its own: ``python -m tests.fuzz.libfuzzer NAME libFuzzer-options``.

libFuzzer ends the process, so this returns only by an error; `tests.fuzz.__main__` starts it and reads what it prints.
"""

import sys

import atheris  # pyright: ignore[reportMissingImports]  only in the fuzzer's own environment

with atheris.instrument_imports(include=["headgate"]):
    from tests.fuzz.target import check
    from tests.fuzz.targets import TARGETS

CPU_S = 5.0
"""Instrumented code is a few times slower than the bound is meant for."""


def main() -> None:
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *options], lambda data: check(target, data, CPU_S))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
