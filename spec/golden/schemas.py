"""Schemas of the op table as Python sees them: which arguments and results count positions.

Reads schemas.txt, which spec/support/dump_cases.lua writes; src/graph/op.h has the grammar.
"""
import os
import re


class Parameter:
    def __init__(self, text, keyword_only):
        typed, _, rest = text.partition(" ")
        self.name = rest.split("=")[0]
        self.default = rest.partition("=")[2] or None
        self.type = typed.replace("...", "").replace("?", "")
        self.varargs = "..." in typed
        self.keyword_only = keyword_only


class Schema:
    """name, params by position, and returns: a list of types, ["Tensor[]"] for an array."""

    def __init__(self, text):
        self.text = text
        name, inside, returns = re.match(r"(\w+)\((.*?)\)\s*->\s*(.+)$", text).groups()
        self.name, self.params, only = name, [], False
        for part in filter(None, (p.strip() for p in inside.split(","))):
            if part == "*":
                only = True
            else:
                self.params.append(Parameter(part, only))
        self.returns = [p.split()[0] for p in returns.strip("()").split(",")]

    def parameter(self, key):
        """By number (the last one takes all varargs) or by name."""
        if isinstance(key, int):
            return self.params[min(key, len(self.params) - 1)]
        return next((p for p in self.params if p.name == key), None)


def read(path=None):
    path = path or os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas.txt")
    with open(path) as f:
        return [Schema(line.strip()) for line in f if line.strip()]
