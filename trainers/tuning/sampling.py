"""In which order a study tries values, and which trials it ends early.

The first trial is that of the defaults. NUM_QUASI_RANDOM points of a scrambled Sobol sequence
follow, which cover the space more evenly than chance (Bergstra & Bengio, 2012); the tree-structured
Parzen estimator (Bergstra et al., 2011) chooses the others, each parameter by itself: a joint
density has nothing to hold on to with a dozen trials.

Pruning is asynchronous successive halving, ASHA (Li et al., 2020), one bracket of what Hyperband
runs several of. Hyperband hedges over brackets by giving each of them trials of its own, and
Optuna's also lets its sampler learn within a bracket alone: of twelve trials each would see four.
The single bracket is a mild one: nobody is judged before a quarter of the training, and the better
half goes on. The trial of the defaults is never pruned, because every study reports its score.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lra_design.records import Scalar
from trainers.recipes import Space
from trainers.tuning.space import suggest

if TYPE_CHECKING:
    import optuna

NUM_QUASI_RANDOM = 4
"""A power of 2, for which a Sobol sequence is balanced."""
REDUCTION = 2
"""One in so many trials goes on from a rung."""
FIRST_RUNG = 4
"""The first rung is at one in so many of the steps."""
SAMPLER = f"defaults, Sobol {NUM_QUASI_RANDOM}, then TPE"
PRUNER = f"ASHA 1/{REDUCTION} from 1/{FIRST_RUNG} of the steps"
"""Both as they are written into the ledger: other words stand for another protocol."""


def make_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of the trials that come after those laid out beforehand."""
    from optuna.samplers import TPESampler

    return TPESampler(
        n_startup_trials=NUM_QUASI_RANDOM,  # at random while fewer than this have ended
        n_ei_candidates=24,
        multivariate=False,
        group=False,
        constant_liar=True,  # keeps trials that run side by side apart
        seed=seed,
    )


def make_pruner(num_steps: int) -> optuna.pruners.BasePruner:
    """The pruner of trainings of `num_steps` steps."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(
        min_resource=-(-num_steps // FIRST_RUNG),
        reduction_factor=REDUCTION,
        min_early_stopping_rate=0,
        bootstrap_count=0,
    )


def quasi_random_values(space: Space, seed: int) -> list[dict[str, Scalar]]:
    """NUM_QUASI_RANDOM points of `space`, the same whenever they are asked for.

    Categorical entries have no order to cover evenly and are drawn at random.
    """
    import optuna

    scratch = optuna.create_study(sampler=_sobol(seed))
    points = []
    for _ in range(1 + NUM_QUASI_RANDOM):  # from its first trial Optuna only learns the space
        trial = scratch.ask()
        points.append({name: suggest(trial, name, entry) for name, entry in space.items()})
        scratch.tell(trial, 0.0)
    return points[1:]


def _sobol(seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(
            qmc_type="sobol",
            scramble=True,
            seed=seed,
            independent_sampler=optuna.samplers.RandomSampler(seed=seed),
            warn_independent_sampling=False,
        )
