"""Writes ops_*.lua: calls of tensor operators with the results, gradients and messages of PyTorch 2.15.

Run from any folder with a Python that has torch 2.15. Each families_*.py beside this file names its families in FAMILIES.
Inputs are drawn from generators seeded by the family's name, so the files come out the same every time.
"""
import glob
import importlib
import os

FOLDER = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    modules = sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(FOLDER, "families_*.py")))
    families = [family for name in modules for family in importlib.import_module(name).FAMILIES]
    print(sum(family().write() for family in families), "cases")
