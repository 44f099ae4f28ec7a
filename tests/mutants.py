"""``make mutants``: break the code that must not lose or repeat anything, line by line, and see a test fail.

mutmut changes one thing at a time (a comparison, a number, an argument) in the modules named under
``[tool.mutmut]`` in pyproject.toml, and runs for each the tests that touch the changed function. A mutant
that no test notices *survives*: either a test is missing, or the code is not needed, or the change makes no
difference. By hand only: it takes a quarter of an hour on one core.

Everything is tried anew each time, but for what names choose: ``make mutants ARGS='*guard*'``.
"""

from __future__ import annotations

import os
import re
import shutil
import sys

LEAST_KILLED = 0.85
_KERNEL = re.compile(r"^@kernel\n", re.MULTILINE)


def main() -> int:
    """Run mutmut, print what became of the mutants, and return 1 if too many of a module survive."""
    # A compiled kernel would call the function that it was compiled from, whatever mutmut puts in its place.
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    import mutmut.__main__ as mutmut
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.stats import status_by_exit_code

    mutate = mutmut.mutate_file_contents

    def mutate_kernels_too(filename: str, code: str, *lines: set[int] | None) -> mutmut.MutatedFile:
        # mutmut passes over decorated functions; uncompiled, a kernel is what it is without its decorator.
        return mutate(filename, _KERNEL.sub("", code), *lines)

    mutmut.mutate_file_contents = mutate_kernels_too
    names = sys.argv[1:]
    if not names:
        shutil.rmtree("mutants", ignore_errors=True)  # it would let a verdict stand though tests have changed
    mutmut._run(names, max_children=1)

    too_few = False
    for path in sorted(mutmut.walk_mutatable_files()):
        found = SourceFileMutationData(path=path)
        found.load()
        tried = {
            name: status_by_exit_code[code]
            for name, code in found.exit_code_by_key.items()
            if code is not None
        }
        if not tried:
            continue
        alive = [name for name, status in tried.items() if status not in ("killed", "timeout")]
        share = 1 - len(alive) / len(tried)
        too_few |= share < LEAST_KILLED
        print(f"\n{path}: {len(tried)} mutants, {len(tried) - len(alive)} killed ({share:.1%})")
        for name in alive:
            diff = mutmut.get_diff_for_mutant(name, path=path).splitlines()
            changed = [line for line in diff if re.match(r"[-+](?![-+])", line)]
            print(f"  {tried[name]}: {name}", *changed, sep="\n    ")
    return int(too_few)


if __name__ == "__main__":
    sys.exit(main())
