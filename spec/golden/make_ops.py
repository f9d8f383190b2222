"""Writes ops_*.lua: calls of tensor operators with the results, gradients and messages of PyTorch 2.15.

Run from any folder with a Python that has torch 2.15. Inputs are drawn from generators seeded by the family's name, so the
files come out the same every time.
"""
import families_arrange_more as a
import families_index as i
import families_math as m
import families_shape as s

FAMILIES = (s.creation, s.views, s.index, s.joins, m.arith, m.unary, m.reductions, m.matmuls, m.selects, s.casts, i.scatters, i.arranges) + a.FAMILIES

if __name__ == "__main__":
    print(sum(family().write() for family in FAMILIES), "cases")
