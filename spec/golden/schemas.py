"""Schemas of the op table as Python sees them: which arguments and results count positions.

Reads schemas.txt, which spec/support/dump_cases.lua writes: a schema a line, then `#` and the operator's aliases;
src/graph/op.h has the grammar of a schema.
"""
import functools
import os
import re

# How the values of a parameter are shifted: D a dim or a list of them, P a position, I a tensor of positions.
KINDS = {"Dim": "D", "Dims": "D", "Position": "P", "Index": "I"}


class Parameter:
    def __init__(self, text, keyword_only):
        typed, _, rest = text.partition(" ")
        self.name, _, default = rest.partition("=")
        self.default = default or None
        self.type = typed.replace("...", "").replace("?", "")
        self.kind = KINDS.get(self.type)
        self.varargs = "..." in typed
        self.required = default == "" and "?" not in typed
        self.keyword_only = keyword_only


class Schema:
    """name, aliases, params by position, and returns: a list of types, ["Tensor[]"] for an array."""

    def __init__(self, line):
        text, _, aliases = (part.strip() for part in line.partition("#"))
        self.aliases = aliases.split()
        self.name, inside, returns = re.match(r"(\w+)\((.*?)\)\s*->\s*(.+)$", text).groups()
        self.params, only = [], False
        for part in filter(None, (p.strip() for p in inside.split(","))):
            if part == "*":
                only = True
            else:
                self.params.append(Parameter(part, only))
        self.returns = [p.split()[0].replace("?", "") for p in returns.strip("()").split(",")]
        self.positions = {k for k, type in enumerate(self.returns) if type == "Index"}
        self.gives_list = self.returns == ["Tensor[]"]

    def parameter(self, key):
        """By number (the last positional one takes all varargs) or by name; None if there is no such parameter."""
        if isinstance(key, str):
            return next((p for p in self.params if p.name == key), None)
        positional = [p for p in self.params if not p.keyword_only]
        if key < len(positional):
            return positional[key]
        return positional[-1] if positional and positional[-1].varargs else None

    def takes(self, count, names):
        """Could it be called with that many positional arguments and keywords of these names?"""
        if (count and not self.parameter(count - 1)) or any(not self.parameter(n) for n in names):
            return False
        return all(not p.required or k < count or p.name in names for k, p in enumerate(self.params))


@functools.cache
def overloads():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas.txt")
    table = {}
    with open(path) as f:
        for schema in (Schema(line) for line in f if line.strip()):
            for name in [schema.name] + schema.aliases:
                table.setdefault(name, []).append(schema)
    return table


def matching(name, count, names):
    """The overloads that a call could mean; all of them when PyTorch's names are not ours."""
    found = overloads().get(name, [])
    return [s for s in found if s.takes(count, names)] or found
