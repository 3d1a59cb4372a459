"""Every check there is: its stable id and name, what it asks, and what it costs.

Ids are never reused. LRA1xx read the text, LRA2xx the outputs, LRA3xx gradients and parameters,
LRA4xx what the candidate did to its process. Costs: `text` runs nothing, `calls` makes up to some
thirty calls, `process` needs a fresh process besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from agent_sandbox.validator import behaviour_checks as behaviour
from agent_sandbox.validator import causality_checks as causality
from agent_sandbox.validator import gradient_checks as gradient
from agent_sandbox.validator import process_checks as process
from agent_sandbox.validator import search_space_rules as search_space
from agent_sandbox.validator import static_rules as rules
from agent_sandbox.validator.examination import Examination
from agent_sandbox.validator.syntax import Syntax
from agent_sandbox.validator.violation import Violation
from lra_design.errors import FaultKind


@dataclass(frozen=True)
class Entry:
    """What is said of a check wherever it is named."""

    id: str
    name: str
    description: str
    cost: Literal["text", "calls", "process"]


@dataclass(frozen=True)
class Rule(Entry):
    """A check of the syntax tree."""

    run: Callable[[Syntax], Iterator[Violation]]


@dataclass(frozen=True)
class Check(Entry):
    """A check of behaviour."""

    run: Callable[[Examination], Iterator[Violation]]
    unless: tuple[str, ...] = ()
    """Left out when one of these has been found: its verdict would repeat theirs."""


READABLE = Entry(
    "LRA101",
    "readable",
    "The file is UTF-8 text of at most 256 KiB and parses as Python.",
    "text",
)

RULES: tuple[Rule, ...] = (
    Rule(
        "LRA102",
        "imports",
        "Only torch, einops, math, typing, dataclasses, functools and the contract are imported, "
        "and of torch nothing that starts processes, loads code or reads files.",
        "text",
        rules.check_imports,
    ),
    Rule(
        "LRA103",
        "single_mechanism",
        "The file defines exactly one concrete subclass of Mechanism.",
        "text",
        rules.check_single_mechanism,
    ),
    Rule(
        "LRA104",
        "signatures",
        "__init__ takes config and keyword arguments with defaults; forward takes x and "
        "key_padding_mask=None.",
        "text",
        rules.check_signatures,
    ),
    Rule(
        "LRA105",
        "search_space",
        "search_space is a literal dictionary of well-formed entries, each named after a keyword "
        "argument of __init__ with a default.",
        "text",
        search_space.check_search_space,
    ),
    Rule(
        "LRA106",
        "modes",
        "supports_causal and supports_bidirectional are literal, and at least one is True.",
        "text",
        rules.check_modes,
    ),
    Rule(
        "LRA107",
        "builtins",
        "No builtin is used that executes text, opens files or reaches the interpreter.",
        "text",
        rules.check_builtins,
    ),
    Rule(
        "LRA108",
        "escapes",
        "No attribute is used that leads into the interpreter, the system, or a part of torch "
        "that is not allowed.",
        "text",
        rules.check_escapes,
    ),
    Rule(
        "LRA109",
        "patching",
        "Nothing is assigned to an imported module or class.",
        "text",
        rules.check_patching,
    ),
)

MODE_SUPPORTED = Entry(
    "LRA110",
    "mode_supported",
    "The mechanism declares that it supports the mode it is validated for.",
    "text",
)

REMEMBERS = ("LRA208", "LRA209")
"""With these found, no two calls can be compared."""

CHECKS: tuple[Check, ...] = (
    Check(
        "LRA201",
        "shape",
        "Shape, dtype and device of the output are right for one position, one example and the "
        "full length, in float64, float32 and bfloat16 autocast, in both supported modes.",
        "calls",
        behaviour.check_shape,
    ),
    Check(
        "LRA208",
        "deterministic",
        "In eval mode the same input gives the same output, whatever the random seed, also "
        "with dropout in the config and under autocast.",
        "calls",
        behaviour.check_deterministic,
    ),
    Check(
        "LRA209",
        "stateless",
        "Calls with other inputs, lengths, batch sizes and modes, and a backward, change neither "
        "the output nor state_dict(), and a twin that saw them first agrees.",
        "calls",
        behaviour.check_stateless,
        unless=("LRA208",),
    ),
    Check(
        "LRA202",
        "causal",
        "Outputs up to t stay the same when everything after t is replaced, at several lengths, "
        "positions and sizes, in training mode, under a mask, in float32 and under autocast.",
        "calls",
        causality.check_causal,
        unless=REMEMBERS,
    ),
    Check(
        "LRA203",
        "length",
        "A prefix run alone gives the prefix of the full run: not even the length reaches back.",
        "calls",
        causality.check_length,
        unless=("LRA202", *REMEMBERS),
    ),
    Check(
        "LRA204",
        "padding_content",
        "Outputs at real positions do not depend on what stands under the padding, in eval and in "
        "training mode.",
        "calls",
        causality.check_padding_content,
        unless=REMEMBERS,
    ),
    Check(
        "LRA205",
        "padding_amount",
        "Outputs at real positions do not depend on how much padding follows.",
        "calls",
        causality.check_padding_amount,
        unless=("LRA204", *REMEMBERS),
    ),
    Check(
        "LRA206",
        "mask_none",
        "A mask that is all False gives what no mask gives.",
        "calls",
        causality.check_mask_none,
        unless=REMEMBERS,
    ),
    Check(
        "LRA207",
        "batch_independent",
        "An example gives the same output alone, in another order, and beside other examples, "
        "there in training mode, too.",
        "calls",
        behaviour.check_batch_independent,
        unless=REMEMBERS,
    ),
    Check(
        "LRA210",
        "inputs_unchanged",
        "The call leaves x and key_padding_mask as they were.",
        "calls",
        behaviour.check_inputs_unchanged,
    ),
    Check(
        "LRA211",
        "finite",
        "Outputs are finite for zero, constant, tiny, large and fully padded inputs, in float64, "
        "float32 and under bfloat16 autocast.",
        "calls",
        behaviour.check_finite,
    ),
    Check(
        "LRA212",
        "same_in_float32",
        "float32 and float64 give the same function up to rounding.",
        "calls",
        behaviour.check_same_in_float32,
        unless=REMEMBERS,
    ),
    Check(
        "LRA213",
        "precision",
        "Arithmetic is float64 throughout when the input is (a warning).",
        "calls",
        behaviour.check_precision,
        unless=REMEMBERS,
    ),
    Check(
        "LRA214",
        "decoding",
        "init_state and step give what forward gives, when they are there, for sequences that take "
        "turns.",
        "calls",
        behaviour.check_decoding,
        unless=("LRA202", *REMEMBERS),
    ),
    Check(
        "LRA215",
        "same_with_gradient",
        "A call that records a gradient gives the output of one that does not, in eval and in "
        "training mode.",
        "calls",
        gradient.check_same_with_gradient,
        unless=REMEMBERS,
    ),
    Check(
        "LRA301",
        "gradient_reaches",
        "A gradient reaches the input and every parameter.",
        "calls",
        gradient.check_gradient_reaches,
    ),
    Check(
        "LRA302",
        "gradient_finite",
        "Gradients are finite for ordinary, zero and padded inputs.",
        "calls",
        gradient.check_gradient_finite,
    ),
    Check(
        "LRA304",
        "gradient_causal",
        "What is asked of outputs up to t sends no gradient to inputs after t.",
        "calls",
        gradient.check_gradient_causal,
        unless=("LRA202",),
    ),
    Check(
        "LRA303",
        "gradient_correct",
        "The gradient agrees with a finite difference along a random direction (a warning).",
        "calls",
        gradient.check_gradient_correct,
        unless=("LRA301", "LRA304", *REMEMBERS),
    ),
    Check(
        "LRA305",
        "parameter_cap",
        "The mechanism has no more parameters than any honest one of its size.",
        "calls",
        gradient.check_parameter_cap,
    ),
    Check(
        "LRA306",
        "parameters_made_in_init",
        "No parameter appears, vanishes or changes its shape by calling the mechanism.",
        "calls",
        gradient.check_parameters_made_in_init,
    ),
    Check(
        "LRA411",
        "global_state",
        "Functions, settings, hooks and random generators of the process are left alone.",
        "calls",
        process.check_global_state,
    ),
    Check(
        "LRA307",
        "weights_complete",
        "A mechanism built in a fresh process from other random numbers, with the same "
        "state_dict(), is the same mechanism.",
        "process",
        gradient.check_weights_complete,
        unless=("LRA306", *REMEMBERS),
    ),
)

FAULTS: dict[FaultKind, Entry] = {
    "timeout": Entry("LRA401", "timeout", "Every call is answered in its time.", "calls"),
    "exited": Entry("LRA402", "exited", "The process survives every call.", "calls"),
    "process": Entry("LRA403", "process", "No process or program is touched.", "calls"),
    "network": Entry("LRA404", "network", "No socket is opened.", "calls"),
    "filesystem": Entry("LRA405", "filesystem", "No file is written.", "calls"),
    "output": Entry("LRA406", "output", "Output stays under its limit.", "calls"),
    "memory": Entry("LRA407", "memory", "Memory stays under its limit.", "calls"),
    "protocol": Entry("LRA408", "protocol", "Answers are valid messages.", "calls"),
    "raised": Entry("LRA409", "raised", "No call raises an exception.", "calls"),
}

PRINTED = Entry("LRA410", "printed", "Nothing is printed (a warning).", "calls")
