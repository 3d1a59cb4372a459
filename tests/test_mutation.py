"""No check is dead: with it switched off, a module that cheats gets through.

For each check the table names a module that it alone refuses (or, where it only warns, warns of).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.registry import CHECKS, RULES
from agent_sandbox.validator.render import render_report
from agent_sandbox.validator.validate import validate

HERE = Path(__file__).parent
SEED = 7
ALONE = {
    "LRA102": "attacks/imports_inside_a_method",
    "LRA103": "attacks/two_mechanisms",
    "LRA104": "attacks/argument_filled_in_later",
    "LRA105": "attacks/search_space_runs_code",
    "LRA106": "attacks/mode_is_computed",
    "LRA107": "attacks/evaluates_text",
    "LRA108": "attacks/reaches_globals",
    "LRA109": "attacks/adds_to_torch",
    "LRA111": "attacks/weights_as_numbers",
    "LRA201": "attacks/lone_token_under_autocast",
    "LRA202": "attacks/leak_at_a_middling_size",
    "LRA203": "attacks/one_short_of_full",
    "LRA204": "attacks/padding_seen_when_huge",
    "LRA205": "attacks/largest_over_padding",
    "LRA206": "attacks/no_mask_differs_in_training",
    "LRA207": "attacks/paired_rows_by_relu",
    "LRA208": "attacks/noise_under_autocast",
    "LRA209": "attacks/counts_in_a_buffer",
    "LRA210": "broken/written_input",
    "LRA211": "attacks/ninth_power",
    "LRA212": "broken/dtype_branch",
    "LRA213": "broken/rounds_inside",
    "LRA214": "broken/wrong_step",
    "LRA215": "attacks/scaled_when_recorded",
    "LRA216": "broken/rare_trigger",
    "LRA217": "broken/finite_mask",
    "LRA218": "broken/leak_in_whole_blocks",
    "LRA219": "attacks/leak_in_inference_mode",
    "LRA220": "broken/padded_row",
    "LRA221": "broken/false_claim",
    "LRA301": "broken/unused_parameter",
    "LRA302": "broken/root_at_zero",
    "LRA303": "broken/half_gradient",
    "LRA304": "broken/backward_leak",
    "LRA305": "broken/huge_table",
    "LRA306": "attacks/made_when_long",
    "LRA307": "broken/hidden_weights",
    "LRA308": "broken/never_trains",
    "LRA309": "broken/forgets_at_once",
    "LRA310": "broken/sliced_parameter",
    "LRA411": "broken/consumes_randomness",
}
"""Check -> the module, without `.py`, that nothing else refuses."""
QUICK = {"LRA102"}
"""Asked by default; the others take minutes together."""


def test_every_check_that_can_be_switched_off_is_in_the_table() -> None:
    assert set(ALONE) == {check.id for check in (*RULES, *CHECKS)}


@pytest.mark.parametrize(
    "check", [id if id in QUICK else pytest.param(id, marks=pytest.mark.slow) for id in ALONE]
)
def test_without_the_check_its_module_gets_through(check: str, isolation: Isolation) -> None:
    source = (HERE / f"{ALONE[check]}.py").read_bytes()
    report = validate(source, isolation, seed=SEED)
    assert check in {finding.check for finding in report.findings}, render_report(report)
    without = validate(
        source,
        isolation,
        seed=SEED,
        checks=tuple(other for other in CHECKS if other.id != check),
        rules=tuple(other for other in RULES if other.id != check),
    )
    assert without.valid, render_report(without)
    assert check not in {finding.check for finding in without.findings}
