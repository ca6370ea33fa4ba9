"""Train the built-in prior from the public data sets.

    python benches/prior.py --data ../shared/data --out python/inhabit/priors/builtin.safetensors

All people of all eight tasks, the ten default features, the recipe
`inhabit.empirical_bayes.GENERAL`; the initial weights of the experts are judged across tasks, so
that the network is trusted as far as it was right about kinds of habit that it had not seen. Same
data, same bytes. Who these people are, and whom to credit, is in
``python/inhabit/priors/CARD.md``; how good it is, in ``benches/README.md``.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from convert import TASKS
from inhabit import priors
from inhabit.empirical_bayes import GENERAL, train_prior
from inhabit.features import DEFAULT_FEATURES
from quality_inhabit import Cohort

ROOT = Path(__file__).resolve().parent.parent
DATA_SETS = {
    "heartsteps_v1": "HeartSteps V1 (Klasnja et al. 2019), CC BY 4.0",
    "robas2": "ROBAS 2 (ROBAS.2 authors 2022), MIT",
    "fitbit_mobius": "Fitbit Fitness Tracker Data (Furberg et al. 2016), CC BY 4.0",
    "lifesnaps_daily": "LifeSnaps (Yfantidou et al. 2022), CC BY 4.0",
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "python/inhabit/priors/builtin.safetensors"
    )
    options = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        cohorts = [
            Cohort.read(task, task.people(options.data), (), {}, Path(folder))
            for task in TASKS.values()
        ]
    people = [own for cohort in cohorts for own in cohort.general]
    tasks = [cohort.task.name for cohort in cohorts for _ in cohort.general]
    with Progress() as progress:
        bar = progress.add_task("prior")
        prior = train_prior(
            people,
            GENERAL,
            groups=tasks,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    individuals = {(c.task.folder, s.user) for c in cohorts for s in c.subjects}
    packed = priors.pack(
        prior,
        DEFAULT_FEATURES,
        counts={
            "people": len(individuals),
            "tasks": len(cohorts),
            "samples": sum(int((own.matured_label >= 0).sum()) for own in people),
        },
        settings={"data_sets": DATA_SETS, "tasks": list(TASKS)},
    )
    options.out.write_bytes(packed.data)
    print(f"{options.out.name}: {len(packed.data)} bytes, id {packed.id}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
