"""Rules on a candidate's syntax tree: only what is unambiguous is refused here.

Whatever the text leaves open (a name computed at run time, an alias of an alias) is judged by
behaviour, in the isolated worker. Every rule reports all it sees; none hides another's findings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from agent_sandbox.candidate import class_attribute, class_method
from agent_sandbox.validator.syntax import Syntax, literal_attribute
from agent_sandbox.validator.violation import Violation

ALLOWED_ROOTS = ("torch", "einops", "math", "typing", "dataclasses", "functools", "__future__")
CONTRACT_MODULES = ("lra_design", "lra_design.interface", "lra_design.kernels")
FORBIDDEN_TORCH = {
    "torch.multiprocessing": "starts processes",
    "torch.distributed": "starts processes and opens the network",
    "torch.hub": "downloads and executes code",
    "torch.package": "loads pickled code",
    "torch.serialization": "reads and writes files",
    "torch.load": "reads files",
    "torch.save": "writes files",
    "torch.from_file": "maps files",
    "torch.jit.load": "reads files",
    "torch.jit.save": "writes files",
    "torch.onnx.export": "writes files",
    "torch.ops.load_library": "loads native code",
    "torch.classes.load_library": "loads native code",
    "torch.utils.cpp_extension": "compiles and loads native code",
    "torch.utils.data": "starts processes; the benchmark owns the data",
    "torch.utils.tensorboard": "writes files",
    "torch.utils.model_zoo": "downloads weights",
    "torch.utils.collect_env": "starts programs",
    "torch.utils.bottleneck": "starts programs",
    "torch.library": "replaces operators for the whole process",
}
# fmt: off
FORBIDDEN_MODULES = frozenset((
    "os", "sys", "io", "subprocess", "socket", "ctypes", "shutil", "pathlib", "importlib",
    "builtins", "threading", "multiprocessing", "concurrent", "inspect", "gc", "pickle",
    "tempfile", "traceback", "linecache", "mmap",
))
"""Standard modules that other modules carry as attributes, `torch.nn.functional.os`.
`signal` is not among them: `torch.signal` is torch's own."""
FORBIDDEN_BUILTINS = frozenset((
    "eval", "exec", "compile", "open", "__import__", "globals", "breakpoint", "input", "exit",
    "quit", "__builtins__", "__loader__", "__spec__",
))
ESCAPES = frozenset((
    "__globals__", "__subclasses__", "__builtins__", "__code__", "__closure__", "__bases__",
    "__base__", "__mro__", "__loader__", "__spec__", "__import__", "__reduce__",
    "__reduce_ex__", "__getattribute__", "f_globals", "f_locals", "f_builtins", "f_back",
    "f_code", "tb_frame", "gi_frame", "cr_frame", "ag_frame", "gi_code",
))
# fmt: on


def check_imports(syntax: Syntax) -> Iterator[Violation]:
    """Only torch, einops, math, typing, dataclasses, functools and the contract are imported."""
    for node in syntax.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _judge_import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield from _judge_import(module, node.lineno, alias.name)


def _judge_import(module: str, line: int, name: str | None = None) -> Iterator[Violation]:
    path = module if name is None else f"{module}.{name}"
    reason = _refused_import(module, path)
    if reason:
        yield Violation(
            expected=f"imports of {', '.join(ALLOWED_ROOTS)} and lra_design (the contract) only",
            found=f"import of {path}, which {reason}",
            likely_cause="a mechanism needs tensors only; the benchmark owns everything else",
            hint="Remove the import and write the computation with torch.",
            where=f"line {line}",
        )


def _refused_import(module: str, path: str) -> str:
    """Why an import is refused; the empty string when it is allowed."""
    if module.startswith("."):
        return "is relative, and a candidate is a single file"
    if module in CONTRACT_MODULES:
        allowed = path in CONTRACT_MODULES or path.rsplit(".", 1)[-1] in _CONTRACT_NAMES
        return "" if allowed else "is not part of the contract"
    if module.split(".")[0] not in ALLOWED_ROOTS:
        return "is not on the list"
    return _forbidden_torch(path) or _carried_module(path)


_CONTRACT_NAMES = (
    "Mechanism",
    "MechanismConfig",
    "CONTRACT_VERSION",
    "interface",
    "load_kernel",
    "*",
)


def _forbidden_torch(path: str) -> str:
    for prefix, reason in FORBIDDEN_TORCH.items():
        if path == prefix or path.startswith(prefix + "."):
            return reason
    return ""


def _carried_module(path: str) -> str:
    carried = [part for part in path.split(".")[1:] if part in FORBIDDEN_MODULES]
    return f"reaches the module '{carried[0]}'" if carried else ""


def check_single_mechanism(syntax: Syntax) -> Iterator[Violation]:
    """The file defines exactly one concrete subclass of `Mechanism`."""
    if len(syntax.mechanisms) == 1:
        return
    names = [f"{node.name} (line {node.lineno})" for node in syntax.mechanisms]
    yield Violation(
        expected="exactly one subclass of lra_design.Mechanism with a forward method",
        found=", ".join(names) or "none",
        likely_cause="several variants in one file"
        if names
        else "the base class or forward is missing",
        hint="Keep one `class Name(Mechanism)`; make parts of it plain nn.Module classes.",
        where=f"line {syntax.mechanisms[1].lineno}" if names else "",
    )


def check_signatures(syntax: Syntax) -> Iterator[Violation]:
    """`__init__(self, config, **hyperparameters)` and `forward(self, x, key_padding_mask=None)`."""
    for class_def in syntax.mechanisms:
        if init := class_method(class_def, "__init__"):
            fault = _init_fault(init.args)
            if fault:
                yield _signature("__init__(self, config, *, name=default, ...)", fault, init)
        if forward := class_method(class_def, "forward"):
            fault = _forward_fault(forward.args)
            if fault:
                yield _signature("forward(self, x, key_padding_mask=None)", fault, forward)


def _init_fault(args: ast.arguments) -> str:
    positional = [*args.posonlyargs, *args.args]
    if len(positional) < 2 and not args.vararg:
        return "no place for config"
    without_default = positional[2 : len(positional) - len(args.defaults)]
    keywords = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    required = [*without_default, *(arg for arg, default in keywords if default is None)]
    names = ", ".join(arg.arg for arg in required)
    return f"no default for {names}" if names else ""


def _forward_fault(args: ast.arguments) -> str:
    if args.vararg or args.kwarg:
        return ""  # what it accepts shows only when it is called
    positional = [*args.posonlyargs, *args.args]
    required = len(positional) - len(args.defaults)
    named = [arg.arg for arg in [*args.args, *args.kwonlyargs]]
    if "key_padding_mask" not in named:
        return f"arguments {', '.join(arg.arg for arg in positional)}"
    if required != 2 or None in args.kw_defaults:
        return f"{required - 1} required arguments besides self"
    return ""


def _signature(expected: str, found: str, method: ast.FunctionDef) -> Violation:
    return Violation(
        expected=expected,
        found=found,
        likely_cause="the host calls a mechanism in this one way",
        hint="Follow the signature of the contract; read sizes from config.",
        where=f"line {method.lineno}",
    )


def check_modes(syntax: Syntax) -> Iterator[Violation]:
    """At least one of `supports_causal` and `supports_bidirectional` is True, both literal."""
    for class_def in syntax.mechanisms:
        flags = {name: _flag(class_def, name) for name in SUPPORTS}
        bad = [name for name, value in flags.items() if value is None]
        if not bad and any(flags.values()):
            continue
        yield Violation(
            expected="literal True or False for each, and at least one of them True",
            found=", ".join(f"{name} = {value}" for name, value in flags.items())
            if not bad
            else f"{bad[0]} is not a literal",
            likely_cause="a declaration that no host can use",
            hint="Declare what the mechanism can be built for: config.causal True, False or both.",
            where=f"line {class_def.lineno}",
        )


SUPPORTS = ("supports_causal", "supports_bidirectional")


def _flag(class_def: ast.ClassDef, name: str) -> bool | None:
    """The declared flag, True when it is not declared, None when it is not a literal."""
    match class_attribute(class_def, name):
        case None:
            return True
        case ast.Constant(value=bool(value)):
            return value
    return None


def supports(class_def: ast.ClassDef) -> tuple[bool, bool]:
    """Whether the class declares that it can be built causal, and bidirectional."""
    causal, bidirectional = (_flag(class_def, name) is not False for name in SUPPORTS)
    return causal, bidirectional


def claimed_cost(class_def: ast.ClassDef) -> float | None:
    """The literal `claimed_cost`; None where there is none, or nothing that can be read."""
    match class_attribute(class_def, "claimed_cost"):
        case ast.Constant(value=int(value) | float(value)) if not isinstance(value, bool):
            return float(value) if 0 <= value <= 10 else None
    return None


def check_builtins(syntax: Syntax) -> Iterator[Violation]:
    """No builtin is used that executes text, opens files or reaches the interpreter."""
    for node in syntax.nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in FORBIDDEN_BUILTINS - syntax.rebound:
                yield Violation(
                    expected="no builtin that executes text, opens files or reads the process",
                    found=f"use of {name}",
                    likely_cause="a mechanism is a function of tensors and has no use for it",
                    hint="Remove it and write the computation with torch.",
                    where=f"line {node.lineno}",
                )


def check_escapes(syntax: Syntax) -> Iterator[Violation]:
    """No attribute is used that leads out of the mechanism into the interpreter or the system."""
    for line, found in _escapes(syntax):
        yield Violation(
            expected="attributes of tensors, modules and the allowed libraries only",
            found=found,
            likely_cause="an attempt to reach the interpreter or the operating system",
            hint="Remove it; a mechanism that needs it cannot be valid.",
            where=f"line {line}",
        )


def _escapes(syntax: Syntax) -> Iterator[tuple[int, str]]:
    for node in syntax.nodes:
        if isinstance(node, ast.Attribute) and node.attr in ESCAPES:
            yield node.lineno, f"attribute {node.attr}"
        elif (literal := literal_attribute(node)) is not None and literal.name in ESCAPES:
            yield node.lineno, f"attribute {literal.name} by getattr"  # type: ignore[attr-defined]
    seen = set()
    for reference in syntax.references:
        reason = _forbidden_torch(reference.path) or _carried_module(reference.path)
        if reason and (reference.line, reason) not in seen:
            seen.add((reference.line, reason))  # `torch.hub.load` holds `torch.hub` too
            yield reference.line, f"{reference.path}, which {reason}"


def check_patching(syntax: Syntax) -> Iterator[Violation]:
    """Nothing is assigned to, or deleted from, an imported module or class."""
    for node in syntax.nodes:
        path, line = _patched(node, syntax)
        if path is not None:
            yield Violation(
                expected="imported modules and classes left as they are",
                found=f"assignment to {path}",
                likely_cause="patching a library changes the benchmark that runs the mechanism",
                hint="Keep values in attributes of self, made in __init__.",
                where=f"line {line}",
            )


def _patched(node: ast.AST, syntax: Syntax) -> tuple[str | None, int]:
    match node:
        case ast.Attribute(ctx=ast.Store() | ast.Del(), lineno=line):
            return syntax.resolve(node), line
        case ast.Call(lineno=line):
            literal = literal_attribute(node, ("setattr", "delattr"))
            owner = syntax.resolve(literal.owner) if literal else None
            return (f"{owner}.{literal.name}", line) if literal and owner else (None, line)
    return None, 0
